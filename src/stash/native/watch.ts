/**
 * Tells what other handles change in a stash, as an async iterator.
 */

import { type FSWatcher, realpathSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { cancelledError } from '../errors.js';

/** What has changed. */
export interface StashChange {
  /** The keys that were written or removed; of what was removed as a whole only the uppermost. `undefined`: too many to list. */
  readonly keys: readonly (readonly string[])[] | undefined;
}

/** What watching needs of a handle. */
export interface FeedSource {
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  /** Reads what is new, which calls `push`. */
  look(): Promise<unknown>;
  onEnd(feed: ChangeFeed): void;
}

/** The system tells of changes where it can; on network file systems it may not. In milliseconds. */
const pollMs = 1000;

/** More keys are not kept for a receiver that does not come. */
const maxKeys = 10_000;

/** The changes of one file. */
export class ChangeFeed implements AsyncIterableIterator<StashChange> {
  readonly #source: FeedSource;
  readonly #watcher: FSWatcher | undefined;
  readonly #timer: NodeJS.Timeout;
  #pending: StashChange | undefined;
  #waiting: {
    resolve(result: IteratorResult<StashChange, undefined>): void;
    reject(error: unknown): void;
  }[] = [];
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #looking = false;
  #again = false;

  constructor(source: FeedSource) {
    this.#source = source;
    const look = (): void => this.#look();
    this.#timer = setInterval(look, pollMs);
    this.#watcher = watchFolder(source.path, look);
    source.signal?.addEventListener('abort', this.#onAbort);
    if (source.signal?.aborted === true) this.#onAbort();
  }

  readonly #onAbort = (): void => {
    this.#fail(cancelledError(this.#source.signal as AbortSignal));
  };

  #look(): void {
    // What came during a look may have come behind what it read.
    this.#again = this.#looking;
    if (this.#looking || this.#ended) return;
    this.#looking = true;
    this.#source
      .look()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#looking = false;
        if (this.#again) this.#look();
      });
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.end();
    const [first] = this.#waiting.splice(0, 1);
    if (first === undefined) this.#failure = { error };
    else first.reject(error);
    this.#settle();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Adds keys that have changed. */
  push(keys: readonly (readonly string[])[]): void {
    const before = this.#pending === undefined ? [] : this.#pending.keys;
    const all = before === undefined ? undefined : [...before, ...keys];
    this.#pending = { keys: all !== undefined && all.length > maxKeys ? undefined : all };
    const [first] = this.#waiting.splice(0, 1);
    if (first === undefined) return;
    first.resolve({ done: false, value: this.#pending });
    this.#pending = undefined;
  }

  next(): Promise<IteratorResult<StashChange, undefined>> {
    if (this.#pending !== undefined) {
      const value = this.#pending;
      this.#pending = undefined;
      return Promise.resolve({ done: false, value });
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) return Promise.reject(failure.error);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Stops watching; what has been seen can still be received. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    this.#watcher?.close();
    this.#source.signal?.removeEventListener('abort', this.#onAbort);
    this.#source.onEnd(this);
    queueMicrotask(() => this.#settle());
  }

  #settle(): void {
    for (const waiting of this.#waiting.splice(0)) waiting.resolve({ done: true, value: undefined });
  }

  async return(): Promise<IteratorResult<StashChange, undefined>> {
    this.#pending = undefined;
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** The feeds of one handle. */
export class ChangeFeeds {
  readonly #feeds: Set<ChangeFeed> = new Set();

  open(source: Omit<FeedSource, 'onEnd'>): ChangeFeed {
    const feed = new ChangeFeed({ ...source, onEnd: (ended) => this.#feeds.delete(ended) });
    // An aborted signal has ended it already.
    if (!feed.ended) this.#feeds.add(feed);
    return feed;
  }

  /** Tells all of them which keys have changed. */
  push(keys: readonly (readonly string[])[]): void {
    for (const feed of this.#feeds) feed.push(keys);
  }

  end(): void {
    for (const feed of this.#feeds) feed.end();
  }
}

/** Watches the folder and not the file, which is replaced at times; undefined where the system cannot. */
function watchFolder(path: string, look: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(dirname(realpathSync(path)), look);
    // The folder may be removed; the timer goes on looking, and finds that.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
