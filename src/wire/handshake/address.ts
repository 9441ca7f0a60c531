/**
 * Server addresses (D-Bus specification, "Server Addresses"). Layer 4: imports lower layers only.
 */
import { InvalidTextError } from '../base/errors.js';
import { MAX_ADDRESS_LENGTH } from '../base/limits.js';
import { decodeUtf8 } from '../base/utf8.js';

/** One address of a list: `transport:key=value,…`. */
export interface Address {
  readonly transport: string;
  /** The values, unescaped. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Bytes that stand for themselves in a value; all others are escaped as `%` and two hexadecimal digits. */
const UNESCAPED = /^[-0-9A-Za-z_/.\\*]$/;
const encoder = new TextEncoder();

function invalid(detail: string, offset: number): InvalidTextError {
  return new InvalidTextError('invalid-address', `invalid address: ${detail} (character ${offset})`, offset);
}

/** Unescapes `text`, which stands at `offset` of the whole list. */
function unescapeValue(text: string, offset: number): string {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character !== '%') {
      if (!UNESCAPED.test(character)) throw invalid('a character that must be escaped', offset + at);
      bytes.push(character.charCodeAt(0));
      continue;
    }
    const digits = text.slice(at + 1, at + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) throw invalid('`%` without two hexadecimal digits', offset + at);
    bytes.push(Number.parseInt(digits, 16));
    at += 2;
  }
  const value = decodeUtf8(Uint8Array.from(bytes), 0, bytes.length);
  if (value === undefined) throw invalid('a value that is not UTF-8', offset);
  return value;
}

/** Escapes text as the value of a parameter. */
export function escapeAddressValue(text: string): string {
  return Array.from(encoder.encode(text), (byte) => {
    const character = String.fromCharCode(byte);
    return UNESCAPED.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

function parseOne(text: string, offset: number): Address {
  const colon = text.indexOf(':');
  if (colon <= 0) throw invalid('no transport before `:`', offset);
  const transport = text.slice(0, colon);
  const parameters = new Map<string, string>();
  let at = colon + 1;
  while (at < text.length) {
    const comma = text.indexOf(',', at);
    const end = comma === -1 ? text.length : comma;
    const pair = text.slice(at, end);
    const equals = pair.indexOf('=');
    if (equals <= 0 || equals === pair.length - 1)
      throw invalid('a parameter that is not `key=value`', offset + at);
    const key = pair.slice(0, equals);
    if (parameters.has(key)) throw invalid('a key that comes twice', offset + at);
    parameters.set(key, unescapeValue(pair.slice(equals + 1), offset + at + equals + 1));
    at = end + 1;
  }
  return { transport, parameters };
}

/**
 * Parses a list of addresses, separated by `;` (one may follow the last, as a `,` may the last parameter). Any transport and any key is taken: whether
 * they can be connected to is seen when that is tried.
 * @throws {InvalidTextError} `invalid-address`
 */
export function parseAddress(text: string): Address[] {
  if (typeof text !== 'string') throw invalid('it is not text', 0);
  if (text.length > MAX_ADDRESS_LENGTH) throw invalid('too long', MAX_ADDRESS_LENGTH);
  const addresses: Address[] = [];
  let at = 0;
  while (at < text.length) {
    const semicolon = text.indexOf(';', at);
    const end = semicolon === -1 ? text.length : semicolon;
    addresses.push(parseOne(text.slice(at, end), at));
    at = end + 1;
  }
  if (addresses.length === 0) throw invalid('it is empty', 0);
  return addresses;
}
