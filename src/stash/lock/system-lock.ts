/**
 * What a lock of the system is to the code that shares it out, and the errors of all such locks.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { StashIOError } from '../errors.js';
import { systemCodeOf, toIOError } from '../file-image.js';

/** The lock, held. The system takes it back when the process dies; `release` gives it back before. */
export interface SystemHold {
  /** Whether the lock is to be let go of as soon as no task runs, since others wait or may do so. */
  readonly wanted: boolean;
  /**
   * Makes the lock cover another file as well, which is about to be renamed over the locked one.
   * @throws {StashIOError} `lock-unavailable`, or as the system says.
   */
  replacing?(temporaryPath: string): Promise<void>;
  /** To be asked after each task: whether what is held still is the lock, and not one of a file replaced since. */
  settle?(): Promise<boolean>;
  release(): void;
}

/** A lock that one process (or thread) in the system holds at a time. */
export interface SystemLock {
  /** How long it is worth keeping unused, in milliseconds. */
  readonly idleMs: number;
  /**
   * Takes the lock. Waits for it until `signal` is aborted; one attempt is made even if it is so from the start.
   * @param onWanted - Called, perhaps, when `wanted` of the hold turns true.
   * @returns The hold, or `undefined` if others held the lock until the signal was aborted.
   * @throws {StashIOError} `lock-unavailable`, or as the system says.
   */
  take(signal: AbortSignal, onWanted: () => void): Promise<SystemHold | undefined>;
}

/** Returns the error for a lock that cannot be had here, by whatever means. */
export function unavailable(path: string, message: string, cause?: unknown): StashIOError {
  const systemCode = systemCodeOf(cause);
  return new StashIOError('lock-unavailable', message, {
    path,
    operation: 'lock',
    cause,
    ...(systemCode === undefined ? {} : { systemCode }),
  });
}

/** Returns the error of a system's call that takes a lock: `lock-unavailable` for a code in `codes`. */
export function lockError(
  path: string,
  cause: unknown,
  codes: ReadonlySet<string>,
  message: string,
): StashIOError {
  return codes.has(systemCodeOf(cause) ?? '')
    ? unavailable(path, message, cause)
    : toIOError(path, 'lock', cause);
}

/** Waits for a while, less at random so that several who wait do not keep in step, or until the signal is aborted. */
export async function pause(maxMs: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, maxMs * (1 + Math.random()) * 0.5);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });
}
