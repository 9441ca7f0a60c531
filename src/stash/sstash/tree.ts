/**
 * The tree of a sstash file in memory: nodes with a value, children, or both, in insertion order.
 *
 * A value is kept as the text the file has, the inside of its JSON string: one that is not hexadecimal
 * fails only when it is read, and survives a rewrite. Maps, because `__proto__`, `10` and the empty string
 * are ordinary names. Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromHex, wipe } from '../bytes.js';
import { StashKeyError, StashValueError } from '../errors.js';
import type { StashKey } from '../key.js';

/** Keys with more levels are not written: Python's reader fails beyond 81. */
export const maxWriteLevels = 64;

/** Files with more levels are refused. Python cannot read more than 81, and nothing writes more. */
export const maxReadLevels = 256;

/** One level of the tree. The top is a node without a value. */
export interface TreeNode {
  readonly children: Map<string, TreeNode>;
  /** ASCII inside of the JSON string: hexadecimal unless the file was damaged. Owned by the tree. */
  value: Uint8Array | undefined;
  /** The file had `value` before `children`; Python keeps such an order when it rewrites, and so do we. */
  valueFirst: boolean;
}

/** What a change of a tree leaves to be wiped. */
export interface Leftovers {
  /** Texts no longer in the changed tree: to be wiped once the change is kept, and not before. */
  readonly dropped: Uint8Array[];
  /** Copies of values for the caller: to be wiped if the change is not kept. */
  readonly copies: Uint8Array[];
}

/** Returns a node with neither value nor children. */
export function createNode(): TreeNode {
  return { children: new Map(), value: undefined, valueFirst: false };
}

/** @throws {StashKeyError} `key-not-found`, naming the missing prefix. */
function findNode(top: TreeNode, key: StashKey): TreeNode {
  let node = top;
  for (let level = 0; level < key.length; level++) {
    const child = node.children.get(key[level] as string);
    if (child === undefined) {
      throw new StashKeyError('key-not-found', 'no such key', { key, missing: key.slice(0, level + 1) });
    }
    node = child;
  }
  return node;
}

function decodeValue(key: StashKey, text: Uint8Array): Uint8Array {
  const bytes = bytesFromHex(text);
  if (typeof bytes !== 'number') return bytes;
  throw new StashValueError(
    'damaged-value',
    'the stored value is not hexadecimal; write it anew before removing it',
    { key },
  );
}

/**
 * Returns the value of `key`, a copy.
 * @throws {StashKeyError} `empty-key`, `key-not-found` or `no-value`.
 * @throws {StashValueError} `damaged-value`.
 */
export function readValue(top: TreeNode, key: StashKey): Uint8Array {
  if (key.length === 0) throw new StashKeyError('empty-key', 'the empty key has no value', { key });
  const { value } = findNode(top, key);
  if (value === undefined) throw new StashKeyError('no-value', 'the key has children but no value', { key });
  return decodeValue(key, value);
}

/**
 * Returns the node of `key`, adding what is missing of the path at the end of each level.
 * @throws {StashKeyError} `key-too-deep`; the tree is then unchanged.
 */
function ensureNode(top: TreeNode, key: StashKey): TreeNode {
  if (key.length > maxWriteLevels) {
    throw new StashKeyError('key-too-deep', `a key may have at most ${maxWriteLevels} levels`, { key });
  }
  let node = top;
  for (const name of key) {
    let child = node.children.get(name);
    if (child === undefined) {
      child = createNode();
      node.children.set(name, child);
    }
    node = child;
  }
  return node;
}

/**
 * Sets the value of `key`, making what is missing of the path.
 * @param text - Hexadecimal ASCII; the tree owns it from now on.
 * @throws {StashKeyError} `empty-key` or `key-too-deep`; the tree is then unchanged.
 */
export function writeValue(top: TreeNode, key: StashKey, text: Uint8Array, leftovers: Leftovers): void {
  if (key.length === 0) throw new StashKeyError('empty-key', 'the empty key cannot have a value', { key });
  const node = ensureNode(top, key);
  if (node.value !== undefined) leftovers.dropped.push(node.value);
  node.value = text;
}

/**
 * Makes `key`, without a value, if it is not there.
 * @param empty - Whether anything below it is an error.
 * @throws {StashKeyError} `key-too-deep` or `has-children`.
 */
export function makeNode(top: TreeNode, key: StashKey, empty: boolean): void {
  refuseChildren(ensureNode(top, key), key, !empty);
}

/** @throws {StashKeyError} `has-children`, unless they are allowed or there are none. */
function refuseChildren(node: TreeNode, key: StashKey, allowed: boolean): void {
  if (allowed || node.children.size === 0) return;
  throw new StashKeyError('has-children', 'there are other keys below this one', {
    key,
    hasValue: node.value !== undefined,
  });
}

/** What to remove. */
export interface Removal {
  readonly key: StashKey;
  /** Removes what is below the key as well; otherwise anything there is an error. */
  readonly recursive: boolean;
}

/**
 * Removes a key and returns its value, a copy, or `undefined` if it has none. `[]` empties the tree.
 * @throws {StashKeyError} `key-not-found` or `has-children`; nothing is removed.
 * @throws {StashValueError} `damaged-value`; nothing is removed.
 */
export function removeNode(
  top: TreeNode,
  { key, recursive }: Removal,
  leftovers: Leftovers,
): Uint8Array | undefined {
  const node = findNode(top, key);
  refuseChildren(node, key, recursive);
  const value = node.value === undefined ? undefined : decodeValue(key, node.value);
  if (value !== undefined) leftovers.copies.push(value);
  collectTexts(node, leftovers.dropped);
  if (key.length === 0) top.children.clear();
  else findNode(top, key.slice(0, -1)).children.delete(key[key.length - 1] as string);
  return value;
}

/**
 * Returns the names directly below `key`, in order.
 * @throws {StashKeyError} `key-not-found`.
 */
export function listChildren(top: TreeNode, key: StashKey): string[] {
  return [...findNode(top, key).children.keys()];
}

/** Whether `key` exists and has a value. */
export function hasValue(top: TreeNode, key: StashKey): boolean {
  let node: TreeNode | undefined = top;
  for (const name of key) {
    node = node.children.get(name);
    if (node === undefined) return false;
  }
  return node.value !== undefined;
}

/** A key, and the text of its value if it has one. */
export interface TreeEntry {
  readonly key: string[];
  readonly text: Uint8Array | undefined;
}

/**
 * Returns `key`, unless that is the top, and every key below it, with copies of the texts, a node before its children.
 * @throws {StashKeyError} `key-not-found`.
 */
export function copyNodes(top: TreeNode, key: StashKey): TreeEntry[] {
  const entries: TreeEntry[] = [];
  const visit = (node: TreeNode, at: string[]): void => {
    if (at.length > 0) entries.push({ key: at, text: node.value?.slice() });
    for (const [name, child] of node.children) visit(child, [...at, name]);
  };
  visit(findNode(top, key), [...key]);
  return entries;
}

/**
 * Returns the value of an entry, if it has one, and wipes its text.
 * @throws {StashValueError} `damaged-value`.
 */
export function takeEntryValue({ key, text }: TreeEntry): Uint8Array | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeValue(key, text);
  } finally {
    wipe([text]);
  }
}

/** Returns the texts of the entries that have one. */
export function textsOfEntries(entries: readonly TreeEntry[]): Uint8Array[] {
  return entries.flatMap(({ text }) => (text === undefined ? [] : [text]));
}

/** Returns a tree of new nodes that shares the texts: to be changed, then kept or thrown away. */
export function cloneTree(node: TreeNode): TreeNode {
  const children = new Map<string, TreeNode>();
  for (const [name, child] of node.children) children.set(name, cloneTree(child));
  return { children, value: node.value, valueFirst: node.valueFirst };
}

/** Adds the texts of a node and of all below it to `texts`. */
function collectTexts(node: TreeNode, texts: Uint8Array[]): void {
  if (node.value !== undefined) texts.push(node.value);
  for (const child of node.children.values()) collectTexts(child, texts);
}

/** Overwrites every value of the tree, which must not be used afterwards. */
export function wipeTree(top: TreeNode): void {
  const texts: Uint8Array[] = [];
  collectTexts(top, texts);
  wipe(texts);
}
