/**
 * Values to bytes, by functions compiled once a signature (D-Bus specification, "Marshaling").
 * Layer 2: imports lower layers only.
 */
import { DBusError, InvalidTextError, MarshalError } from '../base/errors.js';
import { MAX_CONTAINER_DEPTH } from '../base/limits.js';
import type { ArgumentsOf } from '../types/infer.js';
import { isSignature, parseSignature, parseSingleType, remember, type Type } from '../types/signature.js';
import { type CodecOptions, isLittleEndian, phaseOf } from './options.js';
import { Variant } from './variant.js';
import { faultAt, MarshalFault, unreadable, Writer } from './writer.js';

type Marshaller = (writer: Writer, value: unknown) => void;

function wrongType(expected: string): MarshalFault {
  return new MarshalFault('invalid-value', `expected ${expected}`);
}

function marshalByte(writer: Writer, value: unknown): void {
  if (((value as number) & 0xff) !== value) throw wrongType('an integer from 0 to 255');
  writer.byte(value);
}

function marshalBoolean(writer: Writer, value: unknown): void {
  if (typeof value !== 'boolean') throw wrongType('a boolean');
  writer.uint32(value ? 1 : 0);
}

function marshalInt16(writer: Writer, value: unknown): void {
  if (((value as number) << 16) >> 16 !== value) throw wrongType('an integer from -2^15 to 2^15-1');
  writer.uint16(value & 0xffff);
}

function marshalUint16(writer: Writer, value: unknown): void {
  if (((value as number) & 0xffff) !== value) throw wrongType('an integer from 0 to 2^16-1');
  writer.uint16(value);
}

function marshalInt32(writer: Writer, value: unknown): void {
  if (((value as number) | 0) !== value) throw wrongType('an integer from -2^31 to 2^31-1');
  writer.uint32(value >>> 0);
}

function marshalUint32(writer: Writer, value: unknown): void {
  if ((value as number) >>> 0 !== value) throw wrongType('an integer from 0 to 2^32-1');
  writer.uint32(value);
}

/** A bigint, or a number that is exactly an integer: a number past 2^53 would already have lost digits. */
function toBigInt(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
}

function marshalInt64(writer: Writer, value: unknown): void {
  const integer = toBigInt(value);
  if (integer === undefined || BigInt.asIntN(64, integer) !== integer) {
    throw wrongType('a bigint or safe integer from -2^63 to 2^63-1');
  }
  writer.uint64(BigInt.asUintN(64, integer));
}

function marshalUint64(writer: Writer, value: unknown): void {
  const integer = toBigInt(value);
  if (integer === undefined || BigInt.asUintN(64, integer) !== integer) {
    throw wrongType('a bigint or safe integer from 0 to 2^64-1');
  }
  writer.uint64(integer);
}

function marshalDouble(writer: Writer, value: unknown): void {
  if (typeof value !== 'number') throw wrongType('a number');
  writer.double(value);
}

function marshalString(writer: Writer, value: unknown): void {
  if (typeof value !== 'string') throw wrongType('a string');
  writer.string(value);
}

function marshalObjectPath(writer: Writer, value: unknown): void {
  if (typeof value !== 'string' || !writer.objectPath(value)) throw wrongType('an object path');
}

function marshalSignature(writer: Writer, value: unknown): void {
  if (typeof value !== 'string' || !isSignature(value)) throw wrongType('a signature');
  writer.signature(value);
}

function marshalDescriptor(writer: Writer, value: unknown): void {
  marshalUint32(writer, value);
  writer.hasDescriptors = true;
}

const MARSHAL_BASIC: Readonly<Record<string, Marshaller>> = {
  y: marshalByte,
  b: marshalBoolean,
  n: marshalInt16,
  q: marshalUint16,
  i: marshalInt32,
  u: marshalUint32,
  x: marshalInt64,
  t: marshalUint64,
  d: marshalDouble,
  s: marshalString,
  o: marshalObjectPath,
  g: marshalSignature,
  h: marshalDescriptor,
};

/** Refuses a container whose contents would lie deeper than peers accept. `depth` is its own within the signature. */
function enter(writer: Writer, depth: number): void {
  if (writer.nesting + depth >= MAX_CONTAINER_DEPTH) {
    throw new MarshalFault('nesting-too-deep', `more than ${MAX_CONTAINER_DEPTH} nested containers`);
  }
}

function compileVariant(depth: number): Marshaller {
  return (writer, value) => {
    if (!(value instanceof Variant)) throw wrongType('a Variant');
    enter(writer, depth);
    const { signature } = value;
    let marshalValue: Marshaller;
    try {
      marshalValue = compileSingle(signature);
    } catch (error) {
      if (!(error instanceof InvalidTextError)) throw error;
      throw new MarshalFault(error.code, error.message);
    }
    writer.signature(signature);
    const outer = writer.nesting;
    writer.nesting = outer + depth + 1;
    try {
      marshalValue(writer, value.value);
    } catch (error) {
      throw faultAt(error, 'value');
    }
    writer.nesting = outer;
  };
}

function marshalBytes(writer: Writer, value: unknown): void {
  if (!(value instanceof Uint8Array)) throw wrongType('a Uint8Array');
  const lengthAt = writer.beginArray(1);
  const start = writer.position;
  writer.copy(value);
  writer.endArray(lengthAt, start);
}

/**
 * Marshals each value by `marshalElement`. Doubles have a loop of their own: they come in arrays so long that a call to a
 * function not known beforehand would tell.
 */
function marshalElements(marshalElement: Marshaller, writer: Writer, values: readonly unknown[]): void {
  let index = 0;
  try {
    if (marshalElement === marshalDouble) {
      for (; index < values.length; index++) marshalDouble(writer, values[index]);
    } else {
      for (; index < values.length; index++) marshalElement(writer, values[index]);
    }
  } catch (error) {
    throw faultAt(error, index);
  }
}

/** Room made for an array before any of its elements is looked at, in bytes. */
const MOST_RESERVED = 0x10_0000;

function compileArray(element: Type, depth: number): Marshaller {
  if (element.code === 'y') return marshalBytes;
  if (element.code === '{') return compileDict(element, depth);
  const marshalElement = compileType(element, depth + 1);
  const { alignment, fixedByteLength } = element;
  return (writer, value) => {
    if (!Array.isArray(value)) throw wrongType('an array');
    const lengthAt = writer.beginArray(alignment);
    const start = writer.position;
    // As the reference implementation counts, only elements that may hold more make a level of nesting.
    if (fixedByteLength === 0 && value.length > 0) enter(writer, depth);
    // At once, and not by doubling what there is again and again.
    writer.reserve(Math.min(value.length * fixedByteLength, MOST_RESERVED));
    marshalElements(marshalElement, writer, value);
    writer.endArray(lengthAt, start);
  };
}

/** A Map, or an object of nothing but string keys when `stringKeys` are asked for, as pairs. */
function pairsOf(value: unknown, stringKeys: boolean): Iterable<readonly [unknown, unknown]> {
  if (value instanceof Map) return value as Map<unknown, unknown>;
  if (stringKeys && typeof value === 'object' && value !== null) {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return Object.entries(value);
  }
  throw wrongType(stringKeys ? 'a Map or a plain object' : 'a Map');
}

/** A key as part of a path. One that is of no key type at all might hold anything, and is not shown. */
function segmentOf(key: unknown): string {
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key) : '?';
}

function compileDict(entry: Type, depth: number): Marshaller {
  const [key, value] = entry.children as readonly [Type, Type];
  const stringKeys = key.code === 's' || key.code === 'o' || key.code === 'g';
  const marshalKey = compileType(key, depth + 2);
  const marshalValue = compileType(value, depth + 2);
  return (writer, dict) => {
    const pairs = pairsOf(dict, stringKeys);
    const lengthAt = writer.beginArray(8);
    const start = writer.position;
    for (const [entryKey, entryValue] of pairs) {
      enter(writer, depth + 1);
      writer.align(8);
      try {
        marshalKey(writer, entryKey);
        marshalValue(writer, entryValue);
      } catch (error) {
        throw faultAt(error, segmentOf(entryKey));
      }
    }
    writer.endArray(lengthAt, start);
  };
}

function compileStruct(fields: readonly Type[], depth: number): Marshaller {
  const marshalFields = fields.map((field) => compileType(field, depth + 1));
  return (writer, value) => {
    if (!Array.isArray(value)) throw wrongType('an array of fields');
    if (value.length !== marshalFields.length) {
      throw wrongType(`${marshalFields.length} fields and not ${value.length}`);
    }
    enter(writer, depth);
    writer.align(8);
    marshalEach(marshalFields, writer, value);
  };
}

function marshalEach(marshallers: readonly Marshaller[], writer: Writer, values: readonly unknown[]): void {
  let index = 0;
  try {
    for (; index < marshallers.length; index++) (marshallers[index] as Marshaller)(writer, values[index]);
  } catch (error) {
    throw faultAt(error, index);
  }
}

/** `depth` is how many containers of the same signature lie around `type`. */
function compileType(type: Type, depth: number): Marshaller {
  switch (type.code) {
    case 'a':
      return compileArray(type.children[0] as Type, depth);
    case '(':
      return compileStruct(type.children, depth);
    case 'v':
      return compileVariant(depth);
    default:
      return MARSHAL_BASIC[type.code] as Marshaller;
  }
}

const CACHE_LENGTH = 512;
const singles = new Map<string, Marshaller>();
const bodies = new Map<string, readonly Marshaller[]>();

function compileSingle(signature: string): Marshaller {
  let compiled = singles.get(signature);
  if (compiled === undefined) {
    compiled = compileType(parseSingleType(signature), 0);
    remember(singles, signature, compiled, CACHE_LENGTH);
  }
  return compiled;
}

/**
 * Appends `values`, one a single complete type of `signature`, to `writer`.
 * @throws {InvalidTextError} `invalid-signature`
 * @throws {MarshalFault} for the entry function to turn into a `MarshalError`
 */
export function marshalInto(writer: Writer, signature: string, values: readonly unknown[]): void {
  let compiled = bodies.get(signature);
  if (compiled === undefined) {
    compiled = parseSignature(signature).map((type) => compileType(type, 0));
    remember(bodies, signature, compiled, CACHE_LENGTH);
  }
  if (!Array.isArray(values)) throw wrongType('an array of values');
  if (values.length !== compiled.length) {
    throw wrongType(`${compiled.length} values for signature '${signature}', not ${values.length}`);
  }
  marshalEach(compiled, writer, values);
}

/** Most of a key that an error quotes. */
const MAX_SEGMENT_LENGTH = 64;

/** The error the caller sees for one thrown while the body was marshalled, with the path from `body` down. */
export function toMarshalError(error: unknown): Error {
  if (error instanceof DBusError) return error;
  const fault = error instanceof MarshalFault ? error : unreadable(error);
  let path = 'body';
  for (const segment of fault.segments.toReversed()) {
    if (typeof segment === 'number') path += `[${segment}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(segment) && segment.length <= MAX_SEGMENT_LENGTH)
      path += `.${segment}`;
    else path += `[${JSON.stringify(segment.slice(0, MAX_SEGMENT_LENGTH))}]`;
  }
  return new MarshalError(
    fault.code,
    fault.message,
    path,
    fault.cause === undefined ? undefined : { cause: fault.cause },
  );
}

/**
 * Marshals `values`, one a single complete type of `signature`, as they would stand `offset` bytes into a message:
 * padding depends on it, and the padding before the first value is part of the result.
 * @returns bytes in a buffer that belongs to nobody else, and is at most twice as long.
 * @throws {InvalidTextError} `invalid-signature`
 * @throws {MarshalError} `invalid-value`, `nul-in-string`, `lone-surrogate`, `nesting-too-deep`, `array-too-long`,
 * `message-too-long` or `unreadable-value`
 * @throws {DBusError} `invalid-offset` or `invalid-endian`
 */
export function marshal<const Signature extends string>(
  signature: Signature,
  values: ArgumentsOf<Signature>,
  options: CodecOptions = {},
): Uint8Array<ArrayBuffer> {
  const phase = phaseOf(options);
  const writer = Writer.begin(isLittleEndian(options.endian), phase);
  try {
    marshalInto(writer, signature, values);
  } catch (error) {
    throw toMarshalError(error);
  }
  return writer.finish(phase);
}
