/**
 * The encryption of secrets in a session: HKDF-SHA256 for the key, AES-128-CBC with PKCS#7 for values.
 *
 * Secret Service specification 0.2, "dh-ietf1024-sha256-aes128-cbc-pkcs7"; RFC 5869 (HKDF); RFC 5652
 * §6.3 (padding). No D-Bus, no `node:`, no session in here.
 *
 * The algorithm has no authentication: an attacker who can change messages on the bus can change
 * values. All that a bad ciphertext gives is one error that says nothing about the place or the kind of
 * the fault, so that it does not serve as a padding oracle.
 */

import { cbc } from '@noble/ciphers/aes.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { SecretServiceError } from '../errors.js';

/** Byte length of the AES key of a session. */
export const KEY_BYTE_LENGTH = 16;

/** Byte length of an AES block, and of the initialization vector that travels as `parameters`. */
export const BLOCK_BYTE_LENGTH = 16;

/** What {@link encryptValue} makes: the `parameters` and `value` of a Secret struct. */
export interface EncryptedValue {
  /** The random initialization vector, 16 bytes. */
  readonly parameters: Uint8Array<ArrayBuffer>;
  /** The ciphertext: whole blocks, at least one. */
  readonly value: Uint8Array<ArrayBuffer>;
}

/**
 * Derives the AES key from a shared secret with HKDF-SHA256, null salt and empty info.
 * @param sharedSecret - Padded to 128 bytes; only read.
 * @returns A new array of 16 bytes, owned by the caller, who wipes it.
 */
export function deriveKey(sharedSecret: Uint8Array): Uint8Array<ArrayBuffer> {
  return hkdf(sha256, sharedSecret, undefined, undefined, KEY_BYTE_LENGTH);
}

/**
 * Encrypts a value under a new random initialization vector.
 * @param key - 16 bytes; only read.
 * @param plaintext - Any byte length; only read. The padded copy made of it is wiped.
 */
export function encryptValue(key: Uint8Array, plaintext: Uint8Array): EncryptedValue {
  const parameters = globalThis.crypto.getRandomValues(new Uint8Array(BLOCK_BYTE_LENGTH));
  const padded = pad(plaintext);
  try {
    const value = cbc(key, parameters, { disablePadding: true }).encrypt(padded);
    return { parameters, value };
  } finally {
    padded.fill(0);
  }
}

/**
 * Decrypts what {@link encryptValue}, or a service, encrypted.
 * @param key - 16 bytes; only read.
 * @param parameters - The initialization vector; only read.
 * @param value - The ciphertext; only read.
 * @returns The plaintext in an array of its own, owned by the caller.
 * @throws {SecretServiceError} `bad-secret` for any fault: a wrong byte length, a wrong padding.
 */
export function decryptValue(
  key: Uint8Array,
  parameters: Uint8Array,
  value: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const isWholeBlocks = value.byteLength > 0 && value.byteLength % BLOCK_BYTE_LENGTH === 0;
  if (parameters.byteLength !== BLOCK_BYTE_LENGTH || !isWholeBlocks) throw badSecret();
  const padded = cbc(key, parameters, { disablePadding: true }).decrypt(value);
  try {
    const byteLength = unpaddedByteLength(padded);
    if (byteLength === undefined) throw badSecret();
    // A copy: a view would keep the padding, and reveal it by its buffer.
    return padded.slice(0, byteLength);
  } finally {
    padded.fill(0);
  }
}

/**
 * Pads to whole blocks: 1 to 16 bytes, each holding how many they are (RFC 5652 §6.3).
 * @returns A new array, owned by the caller, who wipes it.
 */
export function pad(plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
  const count = BLOCK_BYTE_LENGTH - (plaintext.byteLength % BLOCK_BYTE_LENGTH);
  const padded = new Uint8Array(plaintext.byteLength + count);
  padded.set(plaintext);
  padded.fill(count, plaintext.byteLength);
  return padded;
}

/**
 * Tells where the padding begins, or undefined where it is not exactly as {@link pad} makes it.
 *
 * The last block is always read whole, so that the time taken does not tell which byte is wrong.
 * @param padded - Any bytes; only read.
 */
export function unpaddedByteLength(padded: Uint8Array): number | undefined {
  const { byteLength } = padded;
  if (byteLength === 0 || byteLength % BLOCK_BYTE_LENGTH !== 0) return undefined;
  const count = padded[byteLength - 1] ?? 0;
  let fault = Number(count < 1) | Number(count > BLOCK_BYTE_LENGTH);
  for (let back = 1; back <= BLOCK_BYTE_LENGTH; back++) {
    const isPadding = Number(back <= count);
    fault |= isPadding * ((padded[byteLength - back] ?? 0) ^ count);
  }
  return fault === 0 ? byteLength - count : undefined;
}

function badSecret(): SecretServiceError {
  return new SecretServiceError('bad-secret', 'the secret cannot be decrypted with the key of this session');
}
