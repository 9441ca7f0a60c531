/**
 * The tree of a native stash in memory: nodes with a value, children, or both, in insertion order.
 *
 * Values stay where they were decrypted, as ranges of a body, so that a store of a million entries has no million
 * buffers; those in chunks stay in the file. Must not import `node:` or anything outside `src/stash`.
 */

import { StashKeyError, StashValueError } from '../errors.js';
import type { StashKey } from '../key.js';

/** Levels of a key, UTF-16 units of a name (V8 hashes longer strings by their length alone), and nodes. */
export const maxLevels = 64;
export const maxNameLength = 16_383;
export const maxNodes: number = 2 ** 23;

/** What a node costs in a page beside its name and its value, about. */
const nodeOverhead = 6;

/** A value that is in the file. */
export interface LargeValue {
  readonly byteLength: number;
  /** The sequence of the first chunk. */
  readonly first: number;
  /** Where in the file the frame of each chunk begins. */
  readonly offsets: readonly number[];
}

/** One level of the tree. */
export class TreeNode {
  children: Map<string, TreeNode> | undefined = undefined;
  /** The body that holds the value from `start` to `end`; or where it is; or no value. */
  source: Uint8Array | LargeValue | undefined = undefined;
  start = 0;
  end = 0;
  /** Rises in the order in which nodes were made. */
  readonly order: number;

  constructor(order: number) {
    this.order = order;
  }
}

/** Whether a source of a value is in the file. */
export function isLarge(source: TreeNode['source']): source is LargeValue {
  return source !== undefined && !(source instanceof Uint8Array);
}

/** The length of a node's value, 0 without one. */
export function valueByteLength({ source, start, end }: TreeNode): number {
  return isLarge(source) ? source.byteLength : end - start;
}

/** Takes back what was done, the last first. */
export type Undo = (() => void)[];

/** A value to be set. */
export interface NewValue {
  readonly source: Uint8Array | LargeValue;
  readonly start: number;
  readonly end: number;
}

/** A tree that changes, with what it would take in a file. */
export class Tree {
  #root: TreeNode = new TreeNode(0);
  #made = 0;
  #nodes = 0;
  #byteLength = 0;

  get root(): TreeNode {
    return this.#root;
  }

  /** How many keys there are, with and without values. */
  get nodes(): number {
    return this.#nodes;
  }

  /** What the keys and values would take in pages, about. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** @throws {StashKeyError} `key-not-found`, naming the missing prefix. */
  find(key: StashKey): TreeNode {
    let node = this.#root;
    for (let level = 0; level < key.length; level++) {
      const child = node.children?.get(key[level] as string);
      if (child === undefined) {
        throw new StashKeyError('key-not-found', 'no such key', { key, missing: key.slice(0, level + 1) });
      }
      node = child;
    }
    return node;
  }

  /** Returns the child of that name, made if it is not there, or undefined if there would be too many. */
  child(parent: TreeNode, name: string, undo?: Undo): TreeNode | undefined {
    parent.children ??= new Map();
    const found = parent.children.get(name);
    if (found !== undefined) return found;
    if (this.#nodes >= maxNodes) return undefined;
    const node = new TreeNode(++this.#made);
    parent.children.set(name, node);
    const cost = name.length + nodeOverhead;
    this.#nodes++;
    this.#byteLength += cost;
    undo?.push(() => {
      parent.children?.delete(name);
      this.#nodes--;
      this.#byteLength -= cost;
    });
    return node;
  }

  /** Gives a node a value; the old one is not wiped. */
  setValue(node: TreeNode, value: NewValue, undo?: Undo): void {
    const { source, start, end } = node;
    const before = valueByteLength(node);
    node.source = value.source;
    node.start = value.start;
    node.end = value.end;
    const growth = valueByteLength(node) - before;
    this.#byteLength += growth;
    undo?.push(() => {
      node.source = source;
      node.start = start;
      node.end = end;
      this.#byteLength -= growth;
    });
  }

  /** Lets a value that is in memory be in the file instead, if the key still has it. */
  replaceSource(key: StashKey, value: Uint8Array, large: LargeValue): void {
    let node: TreeNode | undefined = this.#root;
    for (const name of key) node = node?.children?.get(name);
    if (node === undefined || node.source !== value) return;
    node.source = large;
    node.start = 0;
    node.end = 0;
  }

  /**
   * Returns the node of `key`, made with all above it if it is not there.
   * @throws {StashKeyError} `empty-key` or `key-too-deep`.
   * @throws {StashValueError} `store-too-large`.
   */
  make(key: StashKey, undo: Undo): TreeNode {
    if (key.length === 0) throw new StashKeyError('empty-key', 'the empty key cannot have a value', { key });
    if (key.length > maxLevels) {
      throw new StashKeyError('key-too-deep', `a key may have at most ${maxLevels} levels`, { key });
    }
    let node = this.#root;
    for (const name of key) {
      const child = name.length > maxNameLength ? undefined : this.child(node, name, undo);
      if (child === undefined) {
        const excess = name.length > maxNameLength ? 'a name' : 'a tree';
        throw new StashValueError('store-too-large', `${excess} of this size would not be read again`);
      }
      node = child;
    }
    return node;
  }

  /** Removes the child of that name and all below it, which is returned and not wiped; undefined if there is none. */
  removeChild(parent: TreeNode, name: string, undo?: Undo): TreeNode | undefined {
    const removed = parent.children?.get(name);
    if (removed === undefined) return undefined;
    parent.children?.delete(name);
    const { nodes, byteLength } = this;
    this.#discount(removed, name);
    undo?.push(() => {
      // A Map puts an entry only at its end. Sorting is for the rare undoing; a removal costs nothing for it.
      const entries: [string, TreeNode][] = [...(parent.children ?? []), [name, removed]];
      parent.children = new Map(entries.toSorted(([, a], [, b]) => a.order - b.order));
      this.#nodes = nodes;
      this.#byteLength = byteLength;
    });
    return removed;
  }

  /** Empties the tree; returns the old root, which is not wiped. */
  clear(undo?: Undo): TreeNode {
    const root = this.#root;
    const { nodes, byteLength } = this;
    this.#root = new TreeNode(0);
    this.#nodes = 0;
    this.#byteLength = 0;
    undo?.push(() => {
      this.#root = root;
      this.#nodes = nodes;
      this.#byteLength = byteLength;
    });
    return root;
  }

  /** Overwrites every value in memory and forgets the tree. */
  wipe(): void {
    wipeValues(this.clear());
  }

  #discount(node: TreeNode, name: string): void {
    this.#nodes--;
    this.#byteLength -= name.length + nodeOverhead + valueByteLength(node);
    if (node.children === undefined) return;
    for (const [childName, child] of node.children) this.#discount(child, childName);
  }
}

/** Overwrites the values of a node that is in no tree any more, and of all below it. */
export function wipeValues(node: TreeNode): void {
  if (node.source instanceof Uint8Array) node.source.fill(0, node.start, node.end);
  if (node.children !== undefined) for (const child of node.children.values()) wipeValues(child);
}

/** Goes through all nodes but the top, a key before those below it. The array is the receiver's to keep. */
export function* walk(
  node: TreeNode,
  key: readonly string[] = [],
): Generator<[key: string[], node: TreeNode]> {
  if (node.children === undefined) return;
  for (const [name, child] of node.children) {
    const childKey = [...key, name];
    yield [childKey, child];
    yield* walk(child, childKey);
  }
}
