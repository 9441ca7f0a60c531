/**
 * Bytes to values, by functions compiled once a signature; strict, so that whatever is accepted marshals to the same
 * bytes again, but for what JavaScript cannot tell apart: kinds of NaN, and as keys of a Map 0 and −0, or two alike
 * (D-Bus specification, "Marshaling"). Layer 2: imports lower layers only.
 */

import { MAX_CONTAINER_DEPTH, SIGNATURE_COST } from '../base/limits.js';
import type { ValuesOf } from '../types/infer.js';
import { parseSignature, remember, type Type } from '../types/signature.js';
import { type CodecOptions, isLittleEndian, phaseOf } from './options.js';
import { faultIn, plainBytes, Reader, UnmarshalFault } from './reader.js';
import { Variant } from './variant.js';

type Unmarshaller = (reader: Reader) => unknown;

function unmarshalDouble(reader: Reader): number {
  return reader.double();
}

const UNMARSHAL_BASIC: Readonly<Record<string, Unmarshaller>> = {
  y: (reader) => reader.byte(),
  b: (reader) => reader.boolean(),
  n: (reader) => reader.int16(),
  q: (reader) => reader.uint16(),
  i: (reader) => reader.int32(),
  u: (reader) => reader.uint32(),
  x: (reader) => reader.int64(),
  t: (reader) => reader.uint64(),
  d: unmarshalDouble,
  s: (reader) => reader.string(),
  o: (reader) => reader.objectPath(),
  g: (reader) => reader.signature(),
  h: (reader) => reader.uint32(),
};

/** Refuses a container whose contents lie too deep. `depth` is its own within the signature. */
function enter(reader: Reader, depth: number): void {
  if (reader.nesting + depth >= MAX_CONTAINER_DEPTH) {
    reader.fail('nesting-too-deep', `more than ${MAX_CONTAINER_DEPTH} nested containers`);
  }
}

/**
 * Reads one variant that lies inside `depth` containers of its signature.
 * @throws {UnmarshalFault}
 */
export function unmarshalVariant(reader: Reader, depth: number): Variant {
  enter(reader, depth);
  reader.count(1);
  const start = reader.position;
  const signature = reader.signature();
  const unmarshalValue = singles.get(signature) ?? compileSingle(reader, signature, start);
  const outer = reader.nesting;
  reader.nesting = outer + depth + 1;
  try {
    const value = unmarshalValue(reader);
    reader.nesting = outer;
    return new Variant(signature, value);
  } catch (error) {
    throw faultIn(error, 'v');
  }
}

/** There is nothing in it that one of its holders could change for another. */
const NO_BYTES = new Uint8Array(0);

function unmarshalBytes(reader: Reader): Uint8Array {
  const end = reader.beginArray(1);
  // A copy: a view would keep the whole chunk it came in alive.
  const bytes = end === reader.position ? NO_BYTES : reader.bytes.slice(reader.position, end);
  reader.position = end;
  return bytes;
}

/** Refuses when the last element ran past the end its array declared. */
function endArray(reader: Reader, end: number): void {
  if (reader.position !== end) {
    reader.fail('array-length-mismatch', 'the length of an array ends inside an element', end);
  }
}

function compileArray(type: Type, depth: number): Unmarshaller {
  const element = type.children[0] as Type;
  if (element.code === 'y') return unmarshalBytes;
  if (element.code === '{') return compileDict(type, element, depth);
  const unmarshalElement = compileType(element, depth + 1);
  const { alignment, fixedByteLength } = element;
  return (reader) => {
    const values: unknown[] = [];
    try {
      const end = reader.beginArray(alignment);
      // As the reference implementation counts, only elements that may hold more make a level of nesting.
      if (fixedByteLength === 0 && reader.position < end) enter(reader, depth);
      if (unmarshalElement === unmarshalDouble) {
        // They come in arrays so long that a call to a function not known beforehand would tell.
        while (reader.position < end) values.push(reader.double());
      } else {
        while (reader.position < end) values.push(unmarshalElement(reader));
      }
      endArray(reader, end);
    } catch (error) {
      throw faultIn(error, type.signature);
    }
    return values;
  };
}

function compileDict(type: Type, entry: Type, depth: number): Unmarshaller {
  const [key, value] = entry.children as readonly [Type, Type];
  const unmarshalKey: Unmarshaller =
    key.code === 's' ? (reader) => reader.key() : compileType(key, depth + 2);
  const unmarshalValue = compileType(value, depth + 2);
  return (reader) => {
    const dict = new Map<unknown, unknown>();
    try {
      const end = reader.beginArray(8);
      while (reader.position < end) {
        enter(reader, depth + 1);
        reader.align(8);
        const entryKey = unmarshalKey(reader);
        dict.set(entryKey, unmarshalValue(reader));
      }
      endArray(reader, end);
    } catch (error) {
      throw faultIn(error, type.signature);
    }
    return dict;
  };
}

/** One value by each of `unmarshallers`. Array literals are the fastest arrays; few structs and bodies have more fields. */
function inOrder(unmarshallers: readonly Unmarshaller[]): (reader: Reader) => unknown[] {
  const [a, b, c, d] = unmarshallers as [Unmarshaller, Unmarshaller, Unmarshaller, Unmarshaller];
  switch (unmarshallers.length) {
    case 1:
      return (reader) => [a(reader)];
    case 2:
      return (reader) => [a(reader), b(reader)];
    case 3:
      return (reader) => [a(reader), b(reader), c(reader)];
    case 4:
      return (reader) => [a(reader), b(reader), c(reader), d(reader)];
    default:
      return (reader) => unmarshallers.map((unmarshalOne) => unmarshalOne(reader));
  }
}

function compileStruct(type: Type, depth: number): Unmarshaller {
  const unmarshalEach = inOrder(type.children.map((field) => compileType(field, depth + 1)));
  return (reader) => {
    try {
      enter(reader, depth);
      reader.count(1);
      reader.align(8);
      return unmarshalEach(reader);
    } catch (error) {
      throw faultIn(error, type.signature);
    }
  };
}

/** `depth` is how many containers of the same signature lie around `type`. */
function compileType(type: Type, depth: number): Unmarshaller {
  switch (type.code) {
    case 'a':
      return compileArray(type, depth);
    case '(':
      return compileStruct(type, depth);
    case 'v':
      return (reader) => unmarshalVariant(reader, depth);
    default:
      return UNMARSHAL_BASIC[type.code] as Unmarshaller;
  }
}

const CACHE_LENGTH = 512;
const singles = new Map<string, Unmarshaller>();
const bodies = new Map<string, (reader: Reader) => unknown[]>();

/** Compiles the signature, valid but perhaps not of one type, of the variant that begins at `start`. */
function compileSingle(reader: Reader, signature: string, start: number): Unmarshaller {
  reader.count(SIGNATURE_COST);
  const [type, ...more] = parseSignature(signature);
  if (type === undefined || more.length > 0) {
    reader.fail('bad-signature', 'a variant holds exactly one complete type', start);
  }
  const compiled = compileType(type, 0);
  remember(singles, signature, compiled, CACHE_LENGTH);
  return compiled;
}

/**
 * Reads the values of `signature` and requires that they end where `reader` does.
 * @throws {InvalidTextError} `invalid-signature`
 * @throws {UnmarshalFault} for the entry function to turn into a `ProtocolError`
 */
export function unmarshalFrom(reader: Reader, signature: string): unknown[] {
  let compiled = bodies.get(signature);
  if (compiled === undefined) {
    compiled = inOrder(parseSignature(signature).map((type) => compileType(type, 0)));
    remember(bodies, signature, compiled, CACHE_LENGTH);
  }
  const values = compiled(reader);
  if (reader.position !== reader.end) {
    reader.fail('leftover-bytes', `${reader.end - reader.position} bytes after the last value`);
  }
  return values;
}

/**
 * Unmarshals the values of `signature`, one a single complete type, from bytes that stand `offset` bytes into a message.
 * All bytes must be used up. Byte arrays in the result are copies.
 * @throws {InvalidTextError} `invalid-signature`
 * @throws {ProtocolError} `truncated`, `leftover-bytes`, `nonzero-padding`, `bad-boolean`, `bad-utf8`, `nul-in-string`,
 * `missing-nul`, `bad-object-path`, `bad-signature`, `array-too-long`, `array-length-mismatch`, `nesting-too-deep` or
 * `too-many-containers`
 * @throws {DBusError} `invalid-offset`, `invalid-endian` or `invalid-bytes`
 */
export function unmarshal<const Signature extends string>(
  signature: Signature,
  bytes: Uint8Array,
  options: CodecOptions = {},
): ValuesOf<Signature> {
  try {
    const reader = new Reader(plainBytes(bytes), isLittleEndian(options.endian), phaseOf(options));
    return unmarshalFrom(reader, signature) as ValuesOf<Signature>;
  } catch (error) {
    throw error instanceof UnmarshalFault ? error.toProtocolError() : error;
  }
}
