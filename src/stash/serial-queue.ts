/**
 * Runs asynchronous tasks one after another, in the order they were asked for.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { cancelledError } from './errors.js';

/** A queue of tasks. A task that fails does not stop those behind it. */
export class SerialQueue {
  #tail: Promise<void> = Promise.resolve();

  /**
   * Runs `task` when all earlier ones have ended, and settles as it does.
   * @param signal - Rejects at once while the task waits; once it runs, the task has to look itself.
   * @throws {StashError} `cancelled`.
   */
  run<Result>(task: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    if (signal?.aborted === true) return Promise.reject(cancelledError(signal));
    return new Promise<Result>((resolve, reject) => {
      const onAbort = (): void => {
        if (signal !== undefined) reject(cancelledError(signal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const start = async (): Promise<void> => {
        signal?.removeEventListener('abort', onAbort);
        try {
          if (signal?.aborted === true) throw cancelledError(signal);
          resolve(await task());
        } catch (error) {
          reject(error);
        }
      };
      this.#tail = this.#tail.then(start);
    });
  }
}

/**
 * Settles as `promise` does, or rejects as soon as `signal` is aborted.
 * @param discard - Gets a result that nobody waits for any more.
 * @throws {StashError} `cancelled`.
 */
export async function untilAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal | undefined,
  discard: (result: Result) => void,
): Promise<Result> {
  if (signal === undefined) return await promise;
  const settled = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(cancelledError(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true, signal: settled.signal });
  });
  try {
    return await Promise.race([aborted, promise]);
  } catch (error) {
    void promise.then(discard, () => undefined);
    throw error;
  } finally {
    settled.abort();
  }
}
