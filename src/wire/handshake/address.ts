/**
 * Server addresses (D-Bus specification, "Server Addresses"). Layer 4: imports lower layers only.
 */
import { type InvalidTextError, invalidText } from '../base/errors.js';
import { MAX_ADDRESS_LENGTH } from '../base/limits.js';
import { bytesOf, hexOfByte } from './hex.js';

/** One address of a list: `transport:key=value,…`. */
export interface Address {
  readonly transport: string;
  /** The values, unescaped. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Bytes that stand for themselves in a value; all others are escaped as `%` and two hexadecimal digits. */
const UNESCAPED = /^[-0-9A-Za-z_/.\\*]$/;
/** What is neither such a byte nor an escape. */
const NOT_ESCAPED = /[^-0-9A-Za-z_/.\\*%]|%(?![0-9A-Fa-f]{2})/;

/** The error for an address that is none, or of other parameters than its transport has. */
export function invalidAddress(detail: string, offset?: number): InvalidTextError {
  return invalidText('invalid-address', detail, offset);
}

/** Unescapes `text`, which stands at `offset` of the whole list. */
function unescapeValue(text: string, offset: number): string {
  const at = text.search(NOT_ESCAPED);
  if (at !== -1) throw invalidAddress('a character to be escaped, or `%` without two digits', offset + at);
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalidAddress('not UTF-8', offset);
  }
}

/**
 * Escapes text as the value of a parameter.
 * @throws {InvalidTextError} `invalid-address` for a lone surrogate, which UTF-8 cannot hold
 */
export function escapeAddressValue(text: string): string {
  if (!text.isWellFormed()) throw invalidAddress('a lone surrogate', 0);
  return Array.from(bytesOf(text), (byte) => {
    const character = String.fromCharCode(byte);
    return UNESCAPED.test(character) ? character : `%${hexOfByte(byte)}`;
  }).join('');
}

function parseOne(text: string, offset: number): Address {
  const colon = text.indexOf(':');
  if (colon <= 0) throw invalidAddress('no transport', offset);
  const transport = text.slice(0, colon);
  const parameters = new Map<string, string>();
  let at = colon + 1;
  while (at < text.length) {
    const comma = text.indexOf(',', at);
    const end = comma === -1 ? text.length : comma;
    const pair = text.slice(at, end);
    const equals = pair.indexOf('=');
    if (equals <= 0 || equals === pair.length - 1) throw invalidAddress('not `key=value`', offset + at);
    const key = pair.slice(0, equals);
    if (parameters.has(key)) throw invalidAddress('a key that comes twice', offset + at);
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
  if (typeof text !== 'string' || !text.isWellFormed()) throw invalidAddress('not text', 0);
  if (text.length > MAX_ADDRESS_LENGTH) throw invalidAddress('too long', MAX_ADDRESS_LENGTH);
  const addresses: Address[] = [];
  let at = 0;
  while (at < text.length) {
    const semicolon = text.indexOf(';', at);
    const end = semicolon === -1 ? text.length : semicolon;
    addresses.push(parseOne(text.slice(at, end), at));
    at = end + 1;
  }
  if (addresses.length === 0) throw invalidAddress('empty', 0);
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
      if (ENDS_TRANSPORT.test(transport)) throw invalidAddress('not the name of a transport', 0);
      const pairs = Array.from(parameters, ([key, value]) => {
        if (ENDS_KEY.test(key) || value === '')
          throw invalidAddress('a key or a value that cannot be written', 0);
        return `${key}=${escapeAddressValue(value)}`;
      });
      return `${transport}:${pairs.join(',')}`;
    })
    .join(';');
  const readable = text !== '' && text.length <= MAX_ADDRESS_LENGTH && text.isWellFormed();
  if (!readable) throw invalidAddress('empty, too long or not text', 0);
  return text;
}
