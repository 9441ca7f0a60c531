/**
 * Server addresses (D-Bus specification, "Server Addresses"). Layer 4: imports lower layers only.
 */
import { InvalidTextError } from '../base/errors.js';
import { MAX_ADDRESS_LENGTH } from '../base/limits.js';

/** One address of a list: `transport:key=value,…`. */
export interface Address {
  readonly transport: string;
  /** The values, unescaped. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Bytes that stand for themselves in a value; all others are escaped as `%` and two hexadecimal digits. */
const UNESCAPED = /^[-0-9A-Za-z_/.\\*]$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

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
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    throw invalid('a value that is not UTF-8', offset);
  }
}

/**
 * Escapes text as the value of a parameter.
 * @throws {InvalidTextError} `invalid-address` for a lone surrogate, which UTF-8 cannot hold
 */
export function escapeAddressValue(text: string): string {
  if (!text.isWellFormed()) throw invalid('a lone surrogate', 0);
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
 * Parses a list of addresses, separated by `;` (one may follow the last, as a `,` may the last parameter). Any transport
 * and any key is taken: whether they can be connected to is seen when that is tried. Stricter than the reference
 * implementation in three things that mean nothing or mean two things: a transport without a name, a key that comes
 * twice, and a value that is not UTF-8.
 * @throws {InvalidTextError} `invalid-address`
 */
export function parseAddress(text: string): Address[] {
  if (typeof text !== 'string' || !text.isWellFormed()) throw invalid('it is not text', 0);
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

/** What neither a transport nor a key can hold, since nothing escapes there. */
const ENDS_TRANSPORT = /^$|[:;]/;
const ENDS_KEY = /^$|[=,;]/;

/**
 * Formats a list of addresses so that {@link parseAddress} gives it back.
 * @throws {InvalidTextError} `invalid-address` when it could not: an empty list, an empty name or value, a transport with
 * `:` or `;`, a key with `=`, `,` or `;`, a lone surrogate, or more text than is read
 */
export function formatAddress(addresses: readonly Address[]): string {
  const text = addresses
    .map(({ transport, parameters }) => {
      if (ENDS_TRANSPORT.test(transport)) throw invalid('not the name of a transport', 0);
      const pairs = Array.from(parameters, ([key, value]) => {
        if (ENDS_KEY.test(key) || value === '') throw invalid('a key or a value that cannot be written', 0);
        return `${key}=${escapeAddressValue(value)}`;
      });
      return `${transport}:${pairs.join(',')}`;
    })
    .join(';');
  const readable = text !== '' && text.length <= MAX_ADDRESS_LENGTH && text.isWellFormed();
  if (!readable) throw invalid('empty, too long or not text', 0);
  return text;
}
