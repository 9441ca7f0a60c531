/**
 * What opens a native stash, as the caller gives it: a password, a key or a recovery key, each at once or by a
 * function. And recovery keys as text that people write down.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes, isBytes } from '../bytes.js';
import { StashError, StashValueError } from '../errors.js';
import { sha256 } from '../hashing.js';
import { type PasswordSource, parseOptions, readPassword } from '../options.js';
import { keyByteLength } from './derivation.js';
import type { SlotKind } from './slots.js';

/** A key of 32 to 1,048,576 random bytes, or a function that gets one when it is needed. */
export type KeySource = Uint8Array | (() => Uint8Array | Promise<Uint8Array>);

/** What opens a stash: exactly one of these. Bytes, those from functions too, are copied and never changed. */
export interface CredentialOptions {
  readonly password?: PasswordSource | undefined;
  readonly key?: KeySource | undefined;
  /** What {@link generateRecoveryKey} returned, as text or as the UTF-8 of it. */
  readonly recoveryKey?: PasswordSource | undefined;
}

/** What a key is derived from. Whoever has it owns `bytes` and has to wipe them. */
export interface Secret {
  readonly kind: SlotKind;
  readonly bytes: Uint8Array;
}

const maxKeyByteLength = 2 ** 20;

const kindsByOption = { password: 'password', key: 'key', recoveryKey: 'recovery' } as const;

/** Keys are never text: which bytes were meant by it? */
function requireBytes(key: unknown): Uint8Array {
  if (isBytes(key)) return key;
  throw new StashValueError('bad-password', 'the key must be a Uint8Array');
}

/** Returns `given` itself, or what it stands for and then wipes it; wipes it too if it throws. */
function secretFrom(kind: SlotKind, given: Uint8Array): Uint8Array {
  if (kind === 'password') return given;
  if (kind === 'key' && given.length >= keyByteLength && given.length <= maxKeyByteLength) return given;
  try {
    if (kind === 'recovery') return parseRecoveryKey(given);
    throw new StashValueError(
      'bad-password',
      `the key must have ${keyByteLength} to ${maxKeyByteLength} bytes, and not ${given.length}`,
    );
  } finally {
    given.fill(0);
  }
}

/** Keeps what was given at once, as bytes of its own, until it is wiped; asks a function each time. */
export class Credential {
  readonly kind: SlotKind;
  #source: PasswordSource | undefined;

  /** @throws {StashValueError} `bad-option` or `bad-password`. */
  constructor(options: CredentialOptions) {
    const names = (['password', 'key', 'recoveryKey'] as const).filter(
      (name) => options?.[name] !== undefined,
    );
    const [name] = names;
    if (name === undefined || names.length > 1) {
      throw new StashValueError('bad-option', 'give one of password, key and recoveryKey');
    }
    this.kind = kindsByOption[name];
    const { key } = options;
    if (name === 'key' && typeof key !== 'function') requireBytes(key);
    const { password } = parseOptions({
      password:
        typeof key === 'function' ? async () => requireBytes(await key()) : (options[name] as PasswordSource),
    });
    this.#source = isBytes(password) ? secretFrom(this.kind, password) : password;
  }

  /**
   * Returns the secret, for the caller to wipe.
   * @throws {StashValueError} `bad-password` or `password-failed`.
   * @throws {StashError} `cancelled`, or `closed` once this was wiped.
   */
  async read(signal: AbortSignal | undefined): Promise<Secret> {
    const source = this.#source;
    // Not the zeros that wiped bytes are: they would make a slot that anyone opens.
    if (source === undefined) throw new StashError('closed', 'the password or key was wiped');
    const bytes = await readPassword(source, signal);
    return { kind: this.kind, bytes: typeof source === 'function' ? secretFrom(this.kind, bytes) : bytes };
  }

  /** Wipes what is kept. What was read before is its holder's. */
  wipe(): void {
    if (isBytes(this.#source)) this.#source.fill(0);
    this.#source = undefined;
  }
}

/** Returns a new key: 32 random bytes. */
export function generateKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(keyByteLength));
}

// Crockford's base32: no I, L, O, which look like digits, and no U.
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Three bytes: with them the key fills whole digits, and one mistyped key of 2^24 goes unseen. */
const checksumByteLength = 3;
const checkedByteLength = keyByteLength + checksumByteLength;
const digitCount = (checkedByteLength * 8) / 5;

function checksumOf(key: Uint8Array): Uint8Array {
  return sha256(key).subarray(0, checksumByteLength);
}

/**
 * Returns a new recovery key as text to be written down: 14 groups of four letters and digits, of which the last
 * are a checksum. It stands for 32 random bytes.
 */
export function generateRecoveryKey(): string {
  const key = generateKey();
  const checked = new Uint8Array(checkedByteLength);
  checked.set(key);
  checked.set(checksumOf(key), keyByteLength);
  let text = '';
  for (let digit = 0; digit < digitCount; digit++) {
    if (digit > 0 && digit % 4 === 0) text += '-';
    const bit = digit * 5;
    const pair = ((checked[bit >> 3] ?? 0) << 8) | (checked[(bit >> 3) + 1] ?? 0);
    text += alphabet[(pair >> (11 - (bit & 7))) & 31];
  }
  key.fill(0);
  checked.fill(0);
  return text;
}

/** The value of each ASCII letter and digit, 32 for U, which is none; what else there is stands between digits. */
const valueByByte: ReadonlyMap<number, number> = new Map(
  Array.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ').flatMap((character) => {
    const digit = character.replace('O', '0').replace(/[IL]/, '1');
    const value = digit === 'U' ? 32 : alphabet.indexOf(digit);
    return [character, character.toLowerCase()].map((typed) => [typed.charCodeAt(0), value] as const);
  }),
);

/**
 * Returns the 32 bytes that a recovery key stands for, for the caller to wipe. Case and everything but letters and
 * digits are ignored; O is read as 0, I and L as 1.
 * @param text - The UTF-8 of it; not changed.
 * @throws {StashValueError} `bad-password`.
 */
export function parseRecoveryKey(text: Uint8Array): Uint8Array {
  const checked = new Uint8Array(checkedByteLength);
  try {
    let count = 0;
    for (const byte of text) {
      const value = valueByByte.get(byte);
      if (value === undefined) continue;
      if (value > 31) throw new StashValueError('bad-password', 'the recovery key has a U, which none has');
      const bit = 5 * count++;
      const pair = value << (11 - (bit & 7));
      // Beyond the end these do nothing.
      checked[bit >> 3] = (checked[bit >> 3] ?? 0) | (pair >> 8);
      checked[(bit >> 3) + 1] = (checked[(bit >> 3) + 1] ?? 0) | (pair & 0xff);
    }
    if (count !== digitCount) {
      throw new StashValueError(
        'bad-password',
        `a recovery key has ${digitCount} letters and digits, and this one ${count}`,
      );
    }
    const key = checked.subarray(0, keyByteLength);
    if (!equalBytes(checksumOf(key), checked.subarray(keyByteLength))) {
      throw new StashValueError('bad-password', 'the recovery key is mistyped: its checksum is wrong');
    }
    return key.slice();
  } finally {
    checked.fill(0);
  }
}
