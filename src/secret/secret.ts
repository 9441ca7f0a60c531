/**
 * The value of an item, kept from logs and wiped on request; and the reading of values from callers.
 *
 * Secret Service specification 0.2, "Secrets". Imports no wire and no `node:`.
 */

import { SecretServiceError } from './errors.js';

/** A value to store: text (stored as UTF-8) or bytes. Bytes are copied when the operation is called. */
export type SecretInput = string | Uint8Array;

export const TEXT_CONTENT_TYPE = 'text/plain';
export const BINARY_CONTENT_TYPE = 'application/octet-stream';

/** The largest value, in bytes: with padding it still fits a D-Bus array (2^26 bytes). */
export const MAX_SECRET_BYTE_LENGTH: number = 2 ** 26 - 16;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * A secret that was read. The value is private, and so out of the reach of `inspect`, `console.log`,
 * `JSON.stringify` and string conversion; `Symbol.dispose` wipes it.
 */
export class Secret {
  /** What the service says the value is, such as `text/plain`; services differ in what they keep. */
  readonly contentType: string;
  #value: Uint8Array | undefined;

  static {
    // Asked for getters, inspect would call that of the value. Not a method: `isolatedDeclarations` takes no such name.
    Object.defineProperty(this.prototype, Symbol.for('nodejs.util.inspect.custom'), {
      value(this: Secret): string {
        return `Secret { contentType: ${JSON.stringify(this.contentType)} }`;
      },
    });
  }

  /** Takes `value` over without copying: disposing wipes that very array. */
  constructor(value: Uint8Array, contentType: string) {
    this.#value = value;
    this.contentType = contentType;
  }

  /**
   * The bytes, as a view that is wiped with the secret: copy what has to live longer.
   * @throws {SecretServiceError} `disposed`
   */
  get value(): Uint8Array {
    if (this.#value === undefined) throw new SecretServiceError('disposed', 'the secret was wiped');
    return this.#value;
  }

  /**
   * Decodes the value as strict UTF-8. The string cannot be wiped.
   * @throws {SecretServiceError} `not-text` if it is not valid UTF-8, `disposed`.
   */
  text(): string {
    const text = decodeText(this.value);
    if (text === undefined) throw new SecretServiceError('not-text', 'the secret is not valid UTF-8');
    return text;
  }

  /** Overwrites the value with zeros and forgets it. Idempotent. */
  [Symbol.dispose](): void {
    this.#value?.fill(0);
    this.#value = undefined;
  }

  /** Never the value. */
  toString(): string {
    return '[Secret]';
  }

  /** Never the value. */
  toJSON(): { contentType: string } {
    return { contentType: this.contentType };
  }
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A value to store, read from the caller: bytes of our own. */
export class SecretToStore {
  /** Our copy. */
  readonly bytes: Uint8Array;
  readonly contentType: string;

  /**
   * Copies the caller's value at once, so that the caller may wipe its own.
   * @param contentType - Without it `text/plain` for what every service keeps as text, otherwise
   * `application/octet-stream`.
   * @throws {SecretServiceError} `bad-argument` for another type, a lone surrogate, an empty content
   * type, or more than 2^26 − 16 bytes.
   */
  constructor(input: SecretInput, contentType?: string) {
    if (contentType !== undefined && (typeof contentType !== 'string' || contentType === '')) {
      throw new SecretServiceError('bad-argument', 'contentType must be a non-empty string');
    }
    this.bytes = copyBytes(input);
    this.contentType = contentType ?? (isText(this.bytes) ? TEXT_CONTENT_TYPE : BINARY_CONTENT_TYPE);
  }

  /** Overwrites our copy with zeros. */
  wipe(): void {
    this.bytes.fill(0);
  }
}

function copyBytes(input: SecretInput): Uint8Array {
  const isString = typeof input === 'string';
  if (!isString && !(input instanceof Uint8Array)) {
    throw new SecretServiceError('bad-argument', 'the secret must be a string or a Uint8Array');
  }
  if ((isString ? input.length : input.byteLength) > MAX_SECRET_BYTE_LENGTH) throw tooLong();
  if (!isString) return new Uint8Array(input);
  if (/\p{Surrogate}/u.test(input)) {
    throw new SecretServiceError('bad-argument', 'the secret has a lone surrogate and no UTF-8 form');
  }
  const bytes = encoder.encode(input);
  if (bytes.byteLength > MAX_SECRET_BYTE_LENGTH) throw tooLong();
  return bytes;
}

/** What KeePassXC takes for the name of something else when it reads a text, and replaces. */
const PLACEHOLDER = /\{[A-Za-z][^{}]*\}/;

/**
 * Whether every service keeps it under a text type: KWallet loses what comes after a NUL, KWallet and KeePassXC a byte order
 * mark at the beginning, and KeePassXC gives something else for placeholders.
 */
function isText(bytes: Uint8Array): boolean {
  const text = decodeText(bytes);
  return text !== undefined && !text.includes('\0') && !text.startsWith('\ufeff') && !PLACEHOLDER.test(text);
}

function tooLong(): SecretServiceError {
  return new SecretServiceError('bad-argument', `the secret is longer than ${MAX_SECRET_BYTE_LENGTH} bytes`);
}
