/**
 * The order of a handle's operations: each sees what was called before it, and only what has not changed since it was
 * looked at is answered at once.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { cancelledError, StashError } from '../errors.js';
import { type OperationOptions, parseSignal } from '../options.js';
import { SerialQueue } from '../serial-queue.js';
import type { StashOperation } from '../sstash/batch.js';
import { ChangeQueue } from './change-queue.js';
import { parseOperations, valuesOf } from './changes.js';
import type { NativeStore } from './store.js';
import type { Tree } from './tree.js';

/** Runs the operations of one handle. */
export class OperationQueue {
  readonly #store: NativeStore;
  readonly #queue: SerialQueue = new SerialQueue();
  readonly #changes: ChangeQueue;
  /** Operations that were called and have not ended. */
  #active = 0;
  #closed: Promise<void> | undefined;

  constructor(store: NativeStore) {
    this.#store = store;
    this.#changes = new ChangeQueue(store, (task) => this.enqueue(task, undefined));
  }

  /** @throws {StashError} `closed`. */
  assertOpen(): void {
    if (this.#closed !== undefined) throw new StashError('closed', 'the stash is closed');
  }

  /** Whether what is in memory is right for an operation called now: nothing is under way, and the file has not changed. */
  isCurrent(signal: AbortSignal | undefined): boolean {
    this.assertOpen();
    this.#store.assertSound();
    if (signal?.aborted === true) throw cancelledError(signal);
    return this.#active === 0 && this.#store.isCurrent;
  }

  /** Answers from memory if that is right, else in turn. */
  async query<Result>(query: (tree: Tree) => Result, signal: AbortSignal | undefined): Promise<Result> {
    if (this.isCurrent(signal)) return query(this.#store.log.tree);
    return await this.exclusive(signal, async () => query(this.#store.log.tree));
  }

  /**
   * Makes changes: all of them or none.
   * @param isSingle - The caller gave no batch: its error does not tell a place.
   * @returns For each operation the value it removed.
   */
  async change(
    operations: readonly StashOperation[],
    options: OperationOptions | undefined,
    isSingle: boolean,
  ): Promise<(Uint8Array | undefined)[]> {
    try {
      const checked = parseOperations(operations);
      let signal: AbortSignal | undefined;
      try {
        this.assertOpen();
        signal = parseSignal(options);
        if (signal?.aborted === true) throw cancelledError(signal);
      } catch (error) {
        wipe(valuesOf(checked));
        throw error;
      }
      return await this.#changes.add(checked, signal);
    } catch (error) {
      if (isSingle && error instanceof StashError) delete error.operationIndex;
      throw error;
    }
  }

  /** Runs a task in turn, on the newest state. */
  async exclusive<Result>(signal: AbortSignal | undefined, task: () => Promise<Result>): Promise<Result> {
    const refreshed = async (): Promise<Result> => {
      await this.#store.refresh(signal);
      return await task();
    };
    return await this.enqueue(refreshed, signal);
  }

  /** Runs a task in turn. */
  async enqueue<Result>(task: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    this.assertOpen();
    this.#active++;
    try {
      // Changes that are called later come later.
      this.#changes.seal();
      return await this.#queue.run(task, signal);
    } finally {
      this.#active--;
    }
  }

  /** Waits for the operations called before, then closes the store. */
  close(): Promise<void> {
    this.#closed ??= this.#queue.run(async () => {
      try {
        await this.#changes.finish();
      } finally {
        this.#store.release();
      }
    });
    return this.#closed;
  }
}
