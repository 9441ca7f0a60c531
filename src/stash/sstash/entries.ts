/**
 * Going through the keys and values of a sstash file.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { type TreeEntry, takeEntryValue, textsOfEntries } from './tree.js';

/** A key and its value. Both belong to the receiver. */
export interface StashEntry {
  readonly key: string[];
  readonly value: Uint8Array;
}

/** A key, and its value if it has one. Both belong to the receiver. */
export interface StashNode {
  readonly key: string[];
  readonly value: Uint8Array | undefined;
}

/**
 * The entries as they were at the first `next()`. A damaged value rejects one `next()` with
 * `damaged-value` and its key; the next call goes on behind it.
 */
export class EntryIterator implements AsyncIterableIterator<StashNode> {
  readonly #load: () => Promise<TreeEntry[]>;
  readonly #assertOpen: () => void;
  #entries: Promise<TreeEntry[]> | undefined;
  #position = 0;

  /**
   * @param load - Takes a copy of all entries.
   * @param assertOpen - Throws once the handle is closed.
   */
  constructor(load: () => Promise<TreeEntry[]>, assertOpen: () => void) {
    this.#load = load;
    this.#assertOpen = assertOpen;
  }

  async next(): Promise<IteratorResult<StashNode, undefined>> {
    this.#entries ??= this.#load();
    const entries = await this.#entries;
    try {
      this.#assertOpen();
    } catch (error) {
      await this.return();
      throw error;
    }
    const entry = entries[this.#position++];
    if (entry === undefined) return { done: true, value: undefined };
    return { done: false, value: { key: entry.key, value: takeEntryValue(entry) } };
  }

  /** Ends the iteration and wipes what was not asked for. */
  async return(): Promise<IteratorResult<StashNode, undefined>> {
    this.#entries ??= Promise.resolve([]);
    // Where loading failed, there is nothing to wipe.
    const entries = await this.#entries.catch(() => []);
    wipe(textsOfEntries(entries.splice(0)));
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
