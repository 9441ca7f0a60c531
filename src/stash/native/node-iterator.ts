/**
 * Going through the keys and values of a native stash.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { StashKeyError } from '../errors.js';
import type { StashKey } from '../key.js';
import type { StashNode } from '../sstash/entries.js';
import { isLarge, type Tree, walk } from './tree.js';

/** What iterating needs of a handle. */
export interface IteratorSource {
  /** Where it begins. `[]` itself is left out. */
  readonly key: string[];
  /** Leaves keys without a value out. */
  readonly onlyValues: boolean;
  tree<Result>(use: (tree: Tree) => Result): Promise<Result>;
  read(key: StashKey): Promise<Uint8Array>;
  assertOpen(): void;
}

interface Listed {
  readonly key: string[];
  readonly value: Uint8Array | undefined;
  /** The value is in the file, and is read when its turn comes. */
  readonly isLarge: boolean;
}

/** The nodes as they were at the first `next()`; a large value that is gone when its turn comes is passed over. */
export class NodeIterator implements AsyncIterableIterator<StashNode> {
  readonly #source: IteratorSource;
  #nodes: Promise<Listed[]> | undefined;
  #position = 0;

  constructor(source: IteratorSource) {
    this.#source = source;
  }

  async next(): Promise<IteratorResult<StashNode, undefined>> {
    this.#nodes ??= this.#list();
    const nodes = await this.#nodes;
    try {
      this.#source.assertOpen();
    } catch (error) {
      await this.return();
      throw error;
    }
    for (;;) {
      const node = nodes[this.#position++];
      if (node === undefined) return { done: true, value: undefined };
      const { key, value } = node;
      if (!node.isLarge) return { done: false, value: { key, value } };
      try {
        return { done: false, value: { key, value: await this.#source.read(key) } };
      } catch (error) {
        if (!(error instanceof StashKeyError)) throw error;
      }
    }
  }

  #list(): Promise<Listed[]> {
    const { key, onlyValues } = this.#source;
    return this.#source.tree((tree) => {
      const nodes: Listed[] = [];
      const top = tree.find(key);
      const add = (nodeKey: string[], { source, start, end }: typeof top): void => {
        if (source === undefined && onlyValues) return;
        const value = source instanceof Uint8Array ? source.slice(start, end) : undefined;
        nodes.push({ key: nodeKey, value, isLarge: isLarge(source) });
      };
      if (key.length > 0) add([...key], top);
      for (const [nodeKey, node] of walk(top, key)) add(nodeKey, node);
      return nodes;
    });
  }

  /** Ends the iteration and wipes what was not asked for. */
  async return(): Promise<IteratorResult<StashNode, undefined>> {
    this.#nodes ??= Promise.resolve([]);
    // Where listing failed, there is nothing to wipe.
    const nodes = await this.#nodes.catch(() => []);
    const left = nodes.splice(0).slice(this.#position);
    wipe(left.flatMap(({ value }) => (value === undefined ? [] : [value])));
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
