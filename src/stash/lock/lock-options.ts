/**
 * The options of every stash that say how it is locked.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { StashValueError } from '../errors.js';

/**
 * How writers of several processes are kept apart. All who write one stash have to use the same kind.
 * - `socket`: by an abstract Unix socket (Linux) or a named pipe (Windows): quick. It keeps apart the processes of one
 *   network namespace, so not those of different containers or machines.
 * - `flock`: by a lock on the file, for files that containers share and for network file systems. On Linux the
 *   program `flock` has to be there.
 * - `auto`: `socket` on the local file systems of Linux and on Windows, else `flock`.
 */
export type LockMode = 'auto' | 'socket' | 'flock';

/** How a stash is locked for writing. Reading takes no lock. */
export interface LockOptions {
  /** The kind of lock. Default `auto`. */
  readonly lock?: LockMode | undefined;
  /** How long a change waits for other writers, in milliseconds, before it fails with `locked`. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined;
}

/** {@link LockOptions} with every default filled in. */
export interface CheckedLockOptions {
  readonly lock: LockMode;
  readonly lockTimeoutMs: number;
}

/**
 * Returns the options of the lock with defaults.
 * @throws {StashValueError} `bad-option`.
 */
export function parseLockOptions(options: LockOptions): CheckedLockOptions {
  const { lock = 'auto', lockTimeoutMs = 30_000 } = options;
  if (lock !== 'auto' && lock !== 'socket' && lock !== 'flock') {
    throw new StashValueError('bad-option', 'lock must be auto, socket or flock');
  }
  if (!(Number.isInteger(lockTimeoutMs) && lockTimeoutMs >= 1 && lockTimeoutMs < 2 ** 31)) {
    throw new StashValueError('bad-option', `lockTimeoutMs must be an integer from 1 to ${2 ** 31 - 1}`);
  }
  return { lock, lockTimeoutMs };
}
