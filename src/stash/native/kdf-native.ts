/**
 * Key derivation by `node:crypto`, off the main thread. Must be imported by `kdf.ts` alone, which knows what
 * to do where the runtime lacks a function or refuses its costs.
 *
 * The only file of this format that imports `node:crypto`.
 */

import * as nodeCrypto from 'node:crypto';
import { keyByteLength, type PasswordDerivation } from './derivation.js';

type Callback = (error: Error | null, key: Buffer) => void;

/** `crypto.argon2` of Node 24.7 and later. `memory` counts KiB. */
type Argon2 = (
  algorithm: 'argon2id',
  parameters: {
    message: Uint8Array;
    nonce: Uint8Array;
    parallelism: number;
    tagLength: number;
    memory: number;
    passes: number;
  },
  callback: Callback,
) => void;

/**
 * Returns the key of 32 bytes, which the caller owns and should wipe.
 * @param secret - Copied by the system's function before this returns; not changed.
 * @throws Whatever the runtime throws where it lacks the function or refuses a parameter.
 */
export function deriveNatively(
  secret: Uint8Array,
  salt: Uint8Array,
  derivation: PasswordDerivation,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const settle: Callback = (error, key) => {
      if (error instanceof Error) reject(error);
      else resolve(new Uint8Array(key.buffer, key.byteOffset, key.byteLength));
    };
    switch (derivation.name) {
      case 'scrypt': {
        const { N, r, p } = derivation;
        // OpenSSL counts what it allocates: N + 2 blocks, and one more for each p.
        nodeCrypto.scrypt(secret, salt, keyByteLength, { N, r, p, maxmem: 128 * r * (N + p + 2) }, settle);
        break;
      }
      case 'argon2id': {
        const { argon2 } = nodeCrypto as { argon2?: Argon2 };
        if (argon2 === undefined) throw new Error('this runtime has no crypto.argon2');
        argon2(
          'argon2id',
          {
            message: secret,
            nonce: salt,
            parallelism: derivation.lanes,
            tagLength: keyByteLength,
            memory: derivation.memoryKiB,
            passes: derivation.passes,
          },
          settle,
        );
        break;
      }
      case 'pbkdf2':
        nodeCrypto.pbkdf2(secret, salt, derivation.iterations, keyByteLength, 'sha512', settle);
    }
  });
}
