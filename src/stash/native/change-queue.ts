/**
 * Collects the changes that are called while others are being written, so that they are written together.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { cancelledError } from '../errors.js';
import type { CheckedOperation } from './changes.js';
import { type ChangeRequest, commitChanges, reject } from './committer.js';
import { framesOffset } from './header-page.js';
import { replaceStore } from './replacement.js';
import type { NativeStore } from './store.js';

/** Smaller files are not compacted unasked: 1 MiB. */
const leastCompacted: number = 2 ** 20;

/** Compacted is a file that is so many times as long as what it holds. */
const wasteFactor = 4;

interface Group {
  readonly requests: (ChangeRequest & { settled: boolean })[];
  /** Ends the wait for the lock when nobody waits for the group any more; undefined if the first always will. */
  readonly abort: AbortController | undefined;
  /** From then on the changes are made. */
  started: boolean;
}

/** The changes of one handle. */
export class ChangeQueue {
  readonly #store: NativeStore;
  readonly #enqueue: (task: () => Promise<void>) => Promise<void>;
  #open: Group | undefined;
  /** Whether anything was written that the header does not know. */
  #hasWritten = false;
  /** Not compacted again before the file has this length. */
  #compactFrom = leastCompacted;

  /** @param enqueue - Runs a task when it is its turn. */
  constructor(store: NativeStore, enqueue: (task: () => Promise<void>) => Promise<void>) {
    this.#store = store;
    this.#enqueue = enqueue;
  }

  /**
   * Makes a change together with the others that wait.
   * @returns For each operation the value it removed.
   */
  add(
    operations: readonly CheckedOperation[],
    signal: AbortSignal | undefined,
  ): Promise<(Uint8Array | undefined)[]> {
    return new Promise((resolve, rejectPromise) => {
      let group = this.#open;
      const isNew = group === undefined;
      group ??= { requests: [], abort: signal && new AbortController(), started: false };
      const leave = (): void => {
        request.settled = true;
        signal?.removeEventListener('abort', onAbort);
      };
      const request = {
        operations,
        signal,
        settled: false,
        resolve: (removed: (Uint8Array | undefined)[]): void => {
          leave();
          resolve(removed);
        },
        reject: (error: unknown): void => {
          leave();
          rejectPromise(error);
        },
      };
      const waiting = group;
      const onAbort = (): void => {
        // Once the group is being made, it is decided there.
        if (waiting.started) return;
        reject(request, cancelledError(signal as AbortSignal));
        if (!waiting.requests.every(({ settled }) => settled)) return;
        this.#endGroup(waiting);
        waiting.abort?.abort();
      };
      signal?.addEventListener('abort', onAbort);
      group.requests.push(request);
      if (!isNew) return;
      // In this order: taking its place in the queue seals the group before.
      const done = this.#enqueue(() => this.#commit(waiting));
      this.#open = waiting;
      void done.catch((error: unknown) => this.#rejectAll(waiting, error));
    });
  }

  /** Lets changes that are called from now on be made after what has been called until now. */
  seal(): void {
    this.#open = undefined;
  }

  /** Nothing more joins the group. */
  #endGroup(group: Group): void {
    if (this.#open === group) this.#open = undefined;
  }

  async #commit(group: Group): Promise<void> {
    try {
      await this.#store.exclusively(async () => {
        this.#endGroup(group);
        group.started = true;
        this.#hasWritten = true;
        let rest: readonly ChangeRequest[] = group.requests.filter(({ settled }) => !settled);
        while (rest.length > 0) {
          rest = rest.slice(await commitChanges(this.#store, rest));
        }
        await this.#compactIfWorthwhile();
      }, group.abort?.signal);
    } catch (error) {
      this.#rejectAll(group, error);
    }
  }

  #rejectAll(group: Group, error: unknown): void {
    this.#endGroup(group);
    for (const request of group.requests) if (!request.settled) reject(request, error);
  }

  async #compactIfWorthwhile(): Promise<void> {
    const { log, options } = this.#store;
    const { byteLength } = log.status;
    const worthwhile =
      byteLength >= this.#compactFrom && byteLength > wasteFactor * (log.tree.byteLength + framesOffset);
    if (!options.autoCompact || !worthwhile || this.#store.isPoisoned) return;
    this.#compactFrom = 2 * byteLength;
    try {
      await replaceStore(this.#store, undefined, {});
      this.#compactFrom = leastCompacted;
    } catch {
      // It takes nothing away, and nobody asked for it: later, then. What was not durable has poisoned the handle.
    }
  }

  /**
   * Makes what was written safe before the file is closed: on the disk, and known to the header.
   * @throws {StashIOError} `not-durable`.
   */
  async finish(): Promise<void> {
    const store = this.#store;
    if (!this.#hasWritten || store.isPoisoned) return;
    const { synced, sequence } = store.log.position;
    if (synced < sequence) await store.sync(store.log);
    // A help only: the changes are on the disk. So not at the price of waiting for others, or of an error.
    await store
      .tryExclusively(async () => {
        if (store.log.header.floor.sequence < store.log.position.sequence)
          await store.writeHeader(() => ({}));
      })
      .catch(() => undefined);
  }
}
