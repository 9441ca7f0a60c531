/**
 * Checks interface definitions and makes frozen copies of them (D-Bus specification, "Valid Names", "Introspection Data
 * Format"). Layer 4: imports lower layers only.
 */
import { InvalidTextError } from '../base/errors.js';
import { isInterfaceName, isMemberName } from '../types/names.js';
import { parseSignature, parseSingleType } from '../types/signature.js';
import type {
  Annotations,
  InterfaceDefinition,
  MethodDefinition,
  PropertyDefinition,
  SignalDefinition,
} from './definition.js';
import { illegalXmlAt } from './xml-text.js';

/** The annotation that `emitsChanged` stands for. */
export const EMITS_CHANGED: string = 'org.freedesktop.DBus.Property.EmitsChangedSignal';

const ACCESS: ReadonlySet<unknown> = new Set(['read', 'write', 'readwrite']);
const EMITS: ReadonlySet<unknown> = new Set(['true', 'invalidates', 'const', 'false']);

/** Most of a name that an error quotes. */
const MAX_QUOTED_LENGTH = 64;

/** A name from outside as an error can show it. */
export function quoteName(name: unknown): string {
  return typeof name === 'string' ? JSON.stringify(name.slice(0, MAX_QUOTED_LENGTH)) : 'what is not a string';
}

/** `where` is the way to the part at fault, such as `methods.Get.in`. */
function invalid(where: string, detail: string, offset = 0): InvalidTextError {
  const message = `invalid interface definition: ${where === '' ? '' : `${where}: `}${detail}`;
  return new InvalidTextError('invalid-interface', message, offset);
}

function below(where: string, key: string): string {
  const part = isMemberName(key) ? key.slice(0, MAX_QUOTED_LENGTH) : quoteName(key);
  return where === '' ? part : `${where}.${part}`;
}

/** The own entries of a plain object that are not undefined: what a prototype holds would be lost without a word. */
function entriesOf(value: unknown, where: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null) throw invalid(where, 'not an object');
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) throw invalid(where, 'not a plain object');
  return Object.entries(value).filter(([, entry]) => entry !== undefined);
}

/** A frozen object without a prototype, so that any name can be looked up in it, made of checked entries. */
function mapOf<Value>(
  value: unknown,
  where: string,
  check: (key: string, entry: unknown, where: string) => Value,
): Readonly<Record<string, Value>> {
  const copy = Object.create(null) as Record<string, Value>;
  for (const [key, entry] of entriesOf(value, where)) copy[key] = check(key, entry, below(where, key));
  return Object.freeze(copy);
}

/** A frozen copy of an object with no fields but those of `checks`, each through its check. */
function recordOf(
  value: unknown,
  where: string,
  checks: Readonly<Record<string, (entry: unknown, where: string) => unknown>>,
): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [key, entry] of entriesOf(value, where)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
    if (check === undefined) throw invalid(below(where, key), 'no such field');
    copy[key] = check(entry, below(where, key));
  }
  return Object.freeze(copy);
}

/** Runs a parser of signatures and tells its error as one of the definition. */
function checkSignature<Parsed>(value: unknown, where: string, parse: (text: string) => Parsed): Parsed {
  try {
    return parse(value as string);
  } catch (error) {
    if (error instanceof InvalidTextError) throw invalid(where, error.message, error.offset);
    throw error;
  }
}

function signature(value: unknown, where: string): string {
  checkSignature(value, where, parseSignature);
  return value as string;
}

function singleType(value: unknown, where: string): string {
  checkSignature(value, where, parseSingleType);
  return value as string;
}

function oneOf(allowed: ReadonlySet<unknown>) {
  return (value: unknown, where: string): unknown => {
    if (!allowed.has(value)) throw invalid(where, `expected one of ${[...allowed].join(', ')}`);
    return value;
  };
}

function text(value: unknown, where: string): string {
  if (typeof value !== 'string') throw invalid(where, 'not a string');
  const offset = illegalXmlAt(value);
  if (offset !== -1) throw invalid(where, 'a character that XML cannot hold', offset);
  return value;
}

/** Names as they are: the specification does not restrict those of arguments, and an empty one stands for none. */
function names(value: unknown, where: string): readonly string[] {
  if (!Array.isArray(value)) throw invalid(where, 'not an array');
  return Object.freeze(Array.from(value, (name, index) => text(name, `${where}[${index}]`)));
}

function annotations(value: unknown, where: string): Annotations {
  return mapOf(value, where, (key, entry, entryAt) => {
    if (key === '') throw invalid(entryAt, 'an annotation without a name');
    if (key === EMITS_CHANGED) throw invalid(entryAt, 'is written as emitsChanged of each property');
    text(key, entryAt);
    return text(entry, entryAt);
  });
}

/** The names must be as many as the complete types of the signature, when there are any. */
function checkCount(list: readonly string[] | undefined, types: string | undefined, where: string): void {
  if (list === undefined) return;
  const { length } = parseSignature(types ?? '');
  if (list.length !== length) throw invalid(where, `${list.length} names for ${length} complete types`);
}

const METHOD = { in: signature, out: signature, inNames: names, outNames: names, annotations };
const SIGNAL = { signature, names, annotations };
const PROPERTY = { type: singleType, access: oneOf(ACCESS), emitsChanged: oneOf(EMITS), annotations };

function memberName(name: string, where: string): void {
  if (!isMemberName(name)) throw invalid(where, 'not a member name');
}

/** @throws {InvalidTextError} `invalid-interface` */
export function checkMethod(name: string, value: unknown, where: string): MethodDefinition {
  memberName(name, where);
  const method = recordOf(value, where, METHOD) as MethodDefinition;
  checkCount(method.inNames, method.in, `${where}.inNames`);
  checkCount(method.outNames, method.out, `${where}.outNames`);
  return method;
}

/** @throws {InvalidTextError} `invalid-interface` */
export function checkSignal(name: string, value: unknown, where: string): SignalDefinition {
  memberName(name, where);
  const signal = recordOf(value, where, SIGNAL) as SignalDefinition;
  checkCount(signal.names, signal.signature, `${where}.names`);
  return signal;
}

/** @throws {InvalidTextError} `invalid-interface` */
export function checkProperty(name: string, value: unknown, where: string): PropertyDefinition {
  memberName(name, where);
  const property = recordOf(value, where, PROPERTY);
  for (const field of ['type', 'access']) {
    if (property[field] === undefined) throw invalid(`${where}.${field}`, 'missing');
  }
  return property as unknown as PropertyDefinition;
}

const INTERFACE = {
  name: (value: unknown, where: string): unknown => {
    if (!isInterfaceName(value as string)) throw invalid(where, `${quoteName(value)} is no interface name`);
    return value;
  },
  methods: (value: unknown, where: string): unknown => mapOf(value, where, checkMethod),
  signals: (value: unknown, where: string): unknown => mapOf(value, where, checkSignal),
  properties: (value: unknown, where: string): unknown => mapOf(value, where, checkProperty),
  annotations,
};

/**
 * Checks everything in a definition and gives a frozen copy, in which the members and annotations are in objects without a
 * prototype: looking up a name that a peer chose finds a member or nothing.
 * @throws {InvalidTextError} `invalid-interface`; the message tells where, `offset` the character of the text there
 */
export function checkDefinition(definition: unknown): InterfaceDefinition {
  const copy = recordOf(definition, '', INTERFACE);
  if (copy['name'] === undefined) throw invalid('name', 'missing');
  return copy as unknown as InterfaceDefinition;
}
