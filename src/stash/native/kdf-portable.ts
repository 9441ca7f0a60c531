/**
 * Key derivation by noble, for runtimes that lack a function or refuse its costs. Loaded only there.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { argon2idAsync } from '@noble/hashes/argon2.js';
import { pbkdf2Async } from '@noble/hashes/pbkdf2.js';
import { scryptAsync } from '@noble/hashes/scrypt.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { keyByteLength, type PasswordDerivation } from './derivation.js';

/**
 * Returns the same key by noble alone, yielding to the event loop.
 * @param report - Gets how much is done, from 0 to 1, except for PBKDF2; ends the work by throwing, after
 * which the memory of Argon2 is left to the garbage collector: noble wipes only that of scrypt.
 */
export function derivePortably(
  secret: Uint8Array,
  salt: Uint8Array,
  derivation: PasswordDerivation,
  report: (done: number) => void,
): Promise<Uint8Array> {
  const common = { dkLen: keyByteLength, maxmem: 2 ** 32 - 1, onProgress: report };
  switch (derivation.name) {
    case 'scrypt': {
      const { N, r, p } = derivation;
      return scryptAsync(secret, salt, { ...common, N, r, p });
    }
    case 'argon2id': {
      const { memoryKiB: m, passes: t, lanes: p } = derivation;
      return argon2idAsync(secret, salt, { ...common, m, t, p });
    }
    default:
      return pbkdf2Async(sha512, secret, salt, { c: derivation.iterations, dkLen: keyByteLength });
  }
}
