/**
 * From a secret to 32 bytes: scrypt (RFC 7914), Argon2id (RFC 9106), PBKDF2-HMAC-SHA-512 (RFC 8018) for
 * passwords, HKDF (RFC 5869) for keys.
 *
 * Must not import `node:` or anything outside `src/stash`; `kdf-native.ts` calls the system, and
 * `kdf-portable.ts` is loaded where that cannot.
 */

import { cancelledError, StashCryptoError, StashError } from '../errors.js';
import { hkdfSha256 } from '../hashing.js';
import { untilAborted } from '../serial-queue.js';
import {
  type Derivation,
  type DerivationLimits,
  excessOf,
  keyByteLength,
  type PasswordDerivation,
} from './derivation.js';
import { deriveNatively } from './kdf-native.js';

export type {
  Derivation,
  DerivationLimitOptions,
  DerivationLimits,
  DerivationOptions,
} from './derivation.js';
export { parseDerivation, parseDerivationLimits } from './derivation.js';

/** How far a long operation is: `done` goes from 0 to 1 within each `phase`. */
export interface Progress {
  readonly phase: string;
  readonly done: number;
}

/** What long operations take. */
export interface ProgressOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Returns the key of 32 bytes, which the caller owns and should wipe.
 * @param secret - Must stay as it is until this settles; not changed.
 * @throws {StashCryptoError} `derivation-too-costly`, before any work; `derivation-failed`, also for an
 * `onProgress` that threw.
 * @throws {StashError} `cancelled`, at once, although the system's own functions run on to their end.
 */
export async function derive(
  secret: Uint8Array,
  salt: Uint8Array,
  derivation: Derivation,
  limits: DerivationLimits,
  { signal, onProgress }: ProgressOptions,
): Promise<Uint8Array> {
  const over = excessOf(derivation, limits);
  if (over !== undefined) {
    throw new StashCryptoError(
      'derivation-too-costly',
      `${over.what} that a key slot asks for exceeds ${over.maximum}`,
      { maximum: over.maximum },
    );
  }
  if (derivation.name === 'none') return hkdfSha256(secret, salt, 'secretbus stash 1 secret', keyByteLength);
  const report = (done: number): void => {
    if (signal?.aborted === true) throw cancelledError(signal);
    onProgress?.({ phase: 'derive', done });
  };
  try {
    const key = computeKey(secret, salt, derivation, report);
    return await untilAborted(key, signal, (late) => late.fill(0));
  } catch (cause) {
    if (cause instanceof StashError) throw cause;
    throw new StashCryptoError('derivation-failed', 'the key could not be derived', { cause });
  }
}

async function computeKey(
  secret: Uint8Array,
  salt: Uint8Array,
  derivation: PasswordDerivation,
  report: (done: number) => void,
): Promise<Uint8Array> {
  report(0);
  let key: Uint8Array;
  try {
    key = await deriveNatively(secret, salt, derivation);
  } catch {
    // Which functions there are, and with how much memory, depends on the runtime and how its OpenSSL was
    // built, and so does how it refuses. The result cannot differ, so any failure may be tried again.
    report(0);
    const { derivePortably } = await import('./kdf-portable.js');
    key = await derivePortably(secret, salt, derivation, report);
  }
  try {
    report(1);
  } catch (error) {
    key.fill(0);
    throw error;
  }
  return key;
}
