/** Operations of which there may be one at a time for each of some things. */

import type { Operation } from '../connection/operation.js';

/** Turns by key; a key takes memory only while operations have or await it. */
export class Turns {
  /** When all operations that have or await the turn have ended. */
  readonly #ends = new Map<string, Promise<unknown>>();

  /**
   * Runs `work` when all before it with the same key have ended.
   * @throws what `work` throws; {DeadlineError}, {CancelledError} of an operation that waits too long
   */
  async take<Result>(key: string, operation: Operation, work: () => Promise<Result>): Promise<Result> {
    const before = this.#ends.get(key);
    const turn = (async () => {
      if (before !== undefined) await operation.waitFor(before);
      return await work();
    })();
    // A turn that gave up waiting has ended before the one it waited for.
    const allSoFar = Promise.allSettled([before, turn]).then(() => undefined);
    this.#ends.set(key, allSoFar);
    void this.#forget(key, allSoFar);
    return await turn;
  }

  async #forget(key: string, allSoFar: Promise<unknown>): Promise<void> {
    await allSoFar;
    if (this.#ends.get(key) === allSoFar) this.#ends.delete(key);
  }
}
