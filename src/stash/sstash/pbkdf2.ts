/**
 * PBKDF2-HMAC (RFC 8018, section 5.2): by `node:crypto` off the main thread where it has the hash
 * function, by noble otherwise. Both give the same bytes.
 *
 * The only file of this format that imports `node:crypto`.
 */

import * as nodeCrypto from 'node:crypto';
import { StashCryptoError } from '../errors.js';
import { type KdfParameters, keyByteLength } from './container.js';
import { parseHashName } from './hashes.js';

/**
 * Returns the key of a file, which the caller owns and should wipe.
 * @param password - Copied by the system's function; not changed.
 * @throws {StashCryptoError} `unsupported-hash`, or `derivation-failed` with the system's error as `cause`.
 */
export async function deriveKey(password: Uint8Array, parameters: KdfParameters): Promise<Uint8Array> {
  const hashName = parseHashName(parameters.hash);
  try {
    return await deriveNatively(hashName, password, parameters);
  } catch (cause) {
    // Which hash functions there are depends on the runtime and on how its OpenSSL was built, and so does
    // how it refuses one. The result cannot differ, so any failure may be tried again.
    const { derivePortably } = await import('./pbkdf2-portable.js');
    const key = await derivePortably(hashName, password, parameters);
    if (key !== undefined) return key;
    throw new StashCryptoError('derivation-failed', `this runtime cannot derive a key with "${hashName}"`, {
      cause,
    });
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
