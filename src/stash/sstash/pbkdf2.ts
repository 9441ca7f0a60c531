/**
 * PBKDF2-HMAC (RFC 8018, section 5.2): by `node:crypto` off the main thread where it has the hash
 * function, by noble otherwise. Both give the same bytes.
 *
 * The only file of this format that imports `node:crypto`.
 */

import * as nodeCrypto from 'node:crypto';
import { pbkdf2Async } from '@noble/hashes/pbkdf2.js';
import { StashCryptoError } from '../errors.js';
import { type KdfParameters, keyByteLength } from './container.js';
import { type HashFunction, parseHashName } from './hashes.js';

/**
 * Returns the key of a file, which the caller owns and should wipe.
 * @param password - Copied by the system's function; not changed.
 * @throws {StashCryptoError} `unsupported-hash`, or `derivation-failed` with the system's error as `cause`.
 */
export async function deriveKey(password: Uint8Array, parameters: KdfParameters): Promise<Uint8Array> {
  const hash = parseHashName(parameters.hash);
  try {
    return await deriveNatively(hash.nativeName, password, parameters);
  } catch (cause) {
    // Which hash functions there are depends on the runtime and on how its OpenSSL was built, and so does
    // how it refuses one. The result cannot differ, so any failure may be tried again.
    if (hash.noble !== undefined) return await derivePortably(hash.noble, password, parameters);
    throw new StashCryptoError(
      'derivation-failed',
      `this runtime cannot derive a key with "${hash.nativeName}"`,
      { cause },
    );
  }
}

/** PBKDF2 by `node:crypto` alone. */
export function deriveNatively(
  hashName: string,
  password: Uint8Array,
  { salt, iterations }: KdfParameters,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    nodeCrypto.pbkdf2(password, salt, iterations, keyByteLength, hashName, (error, key) => {
      if (error instanceof Error) reject(error);
      else resolve(new Uint8Array(key.buffer, key.byteOffset, key.byteLength));
    });
  });
}

/** PBKDF2 by noble alone, yielding to the event loop. */
export function derivePortably(
  hash: NonNullable<HashFunction['noble']>,
  password: Uint8Array,
  { salt, iterations }: KdfParameters,
): Promise<Uint8Array> {
  return pbkdf2Async(hash, password, salt, { c: iterations, dkLen: keyByteLength });
}
