/**
 * Checks on what the service answers. The wire has checked the bytes; here every value is checked to be
 * what the specification promises, because the service is not trusted and the bus may be the caller's.
 */

import { Variant } from '../../wire/index.js';
import { SecretServiceError } from '../errors.js';
import { NO_OBJECT } from '../names.js';

/** A Secret struct as it travels: session, parameters, value, content type. */
export type SecretStruct = [session: string, parameters: Uint8Array, value: Uint8Array, contentType: string];

/** Makes the error for an answer that is not what the specification promises. */
export function badReply(what: string): SecretServiceError {
  return new SecretServiceError('bad-reply', `the service answered wrongly: ${what}`);
}

/**
 * Reads an object path, which may be `/` for "none".
 * @throws {SecretServiceError} `bad-reply`
 */
export function parsePath(value: unknown, what: string): string {
  if (typeof value !== 'string' || !value.startsWith('/')) throw badReply(`${what} is no object path`);
  return value;
}

/**
 * Reads the object path of something that exists.
 * @throws {SecretServiceError} `bad-reply` also for `/`.
 */
export function parseObjectPath(value: unknown, what: string): string {
  const path = parsePath(value, what);
  if (path === NO_OBJECT) throw badReply(`${what} is "/"`);
  return path;
}

/**
 * Reads a list of object paths.
 * @throws {SecretServiceError} `bad-reply`
 */
export function parseObjectPaths(value: unknown, what: string): string[] {
  if (!Array.isArray(value)) throw badReply(`${what} is no list`);
  return value.map((path) => parseObjectPath(path, what));
}

/**
 * Reads the value of a property.
 * @param signature - What the variant must hold.
 * @throws {SecretServiceError} `bad-reply`
 */
export function parseVariant(value: unknown, signature: string, what: string): unknown {
  if (!(value instanceof Variant)) throw badReply(`${what} is no variant`);
  if (value.signature !== signature) {
    throw badReply(`${what} has the signature '${value.signature}', not '${signature}'`);
  }
  return value.value;
}

/** @throws {SecretServiceError} `bad-reply` */
export function parseString(value: unknown, what: string): string {
  if (typeof value !== 'string') throw badReply(`${what} is no string`);
  return value;
}

/** @throws {SecretServiceError} `bad-reply` */
export function parseBoolean(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw badReply(`${what} is no boolean`);
  return value;
}

/** @throws {SecretServiceError} `bad-reply` */
export function parseBytes(value: unknown, what: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw badReply(`${what} is no byte array`);
  return value;
}

/** @throws {SecretServiceError} `bad-reply` */
export function parseMap(value: unknown, what: string): ReadonlyMap<unknown, unknown> {
  if (!(value instanceof Map)) throw badReply(`${what} is no dictionary`);
  return value;
}

/** @throws {SecretServiceError} `bad-reply` */
export function parseProperties(value: unknown): ReadonlyMap<string, Variant> {
  const properties = new Map<string, Variant>();
  for (const [name, property] of parseMap(value, 'GetAll')) {
    if (!(property instanceof Variant)) throw badReply('a property is no variant');
    properties.set(parseString(name, 'the name of a property'), property);
  }
  return properties;
}

/**
 * One of all properties.
 * @throws {SecretServiceError} `bad-reply` if it is not there, or of another type
 */
export function valueOf(properties: ReadonlyMap<string, Variant>, name: string, signature: string): unknown {
  return parseVariant(properties.get(name), signature, name);
}

/** A time of all properties; undefined also where the service does not have it. @throws {SecretServiceError} `bad-reply` */
export function timeOf(properties: ReadonlyMap<string, Variant>, name: string): Date | undefined {
  return properties.has(name) ? parseTime(valueOf(properties, name, 't'), name) : undefined;
}

/**
 * Reads a time, which is in seconds since 1970.
 * @returns Undefined for 0, which services give that do not know, and for what no Date can hold.
 * @throws {SecretServiceError} `bad-reply`
 */
export function parseTime(value: unknown, what: string): Date | undefined {
  if (typeof value !== 'bigint') throw badReply(`${what} is no 64-bit number`);
  const date = new Date(Number(value) * 1000);
  return value === 0n || Number.isNaN(date.getTime()) ? undefined : date;
}

/**
 * Reads attributes.
 * @throws {SecretServiceError} `bad-reply`
 */
export function parseAttributes(value: unknown): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [name, text] of parseMap(value, 'Attributes')) {
    attributes.set(parseString(name, 'an attribute'), parseString(text, 'an attribute'));
  }
  return attributes;
}

/**
 * Reads a Secret struct; the arrays are not copied.
 * @throws {SecretServiceError} `bad-reply`
 */
export function parseSecretStruct(value: unknown): SecretStruct {
  if (!Array.isArray(value) || value.length !== 4) throw badReply('the secret is no struct of four');
  const [session, parameters, bytes, contentType] = value as unknown[];
  return [
    parsePath(session, "the secret's session"),
    parseBytes(parameters, "the secret's parameters"),
    parseBytes(bytes, "the secret's value"),
    parseString(contentType, "the secret's content type"),
  ];
}
