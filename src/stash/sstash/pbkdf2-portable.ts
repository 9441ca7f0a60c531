/**
 * PBKDF2 by noble, for runtimes that lack a hash function. Loaded only there.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { blake2b, blake2s } from '@noble/hashes/blake2.js';
import { md5, ripemd160, sha1 } from '@noble/hashes/legacy.js';
import { pbkdf2Async } from '@noble/hashes/pbkdf2.js';
import { sha224, sha256, sha384, sha512, sha512_224, sha512_256 } from '@noble/hashes/sha2.js';
import { sha3_224, sha3_256, sha3_384, sha3_512 } from '@noble/hashes/sha3.js';
import type { CHash } from '@noble/hashes/utils.js';
import { type KdfParameters, keyByteLength } from './container.js';

/** By their names in `node:crypto`; noble lacks the rarest. */
const hashes: ReadonlyMap<string, CHash> = new Map<string, CHash>([
  ['md5', md5],
  ['sha1', sha1],
  ['sha224', sha224],
  ['sha256', sha256],
  ['sha384', sha384],
  ['sha512', sha512],
  ['sha512-224', sha512_224],
  ['sha512-256', sha512_256],
  ['sha3-224', sha3_224],
  ['sha3-256', sha3_256],
  ['sha3-384', sha3_384],
  ['sha3-512', sha3_512],
  ['blake2b512', blake2b],
  ['blake2s256', blake2s],
  ['ripemd160', ripemd160],
]);

/**
 * PBKDF2 by noble alone, yielding to the event loop; undefined where noble has not the hash function.
 * @param hashName - As `node:crypto` has it.
 */
export async function derivePortably(
  hashName: string,
  password: Uint8Array,
  { salt, iterations }: KdfParameters,
): Promise<Uint8Array | undefined> {
  const hash = hashes.get(hashName);
  return hash && (await pbkdf2Async(hash, password, salt, { c: iterations, dkLen: keyByteLength }));
}
