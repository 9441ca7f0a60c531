/**
 * Changes to a native store: checked and copied when they are asked for, then done to the tree and written as a body.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { isBytes, wipe } from '../bytes.js';
import { StashError, StashKeyError, StashValueError } from '../errors.js';
import { parseKey, type StashKey } from '../key.js';
import { parseRecursive } from '../options.js';
import { parseEmpty, type StashOperation } from '../sstash/batch.js';
import { maxValueByteLength } from './body-reader.js';
import { type BodyWriter, maxInlineByteLength } from './body-writer.js';
import { type LargeValue, type Tree, type TreeNode, type Undo, wipeValues } from './tree.js';

/** A step that no longer depends on the caller's objects. */
export type CheckedOperation =
  | { readonly type: 'write'; readonly key: StashKey; readonly value: Uint8Array }
  | { readonly type: 'make'; readonly key: StashKey; readonly empty: boolean }
  | { readonly type: 'remove'; readonly key: StashKey; readonly recursive: boolean };

/**
 * Returns a copy of a value, to be wiped by whoever holds it last.
 * @throws {StashValueError} `bad-value` or `store-too-large`.
 */
function copyValue(key: StashKey, value: unknown): Uint8Array {
  if (!isBytes(value)) throw new StashValueError('bad-value', 'a value must be a Uint8Array', { key });
  // Not `slice`: that of a Buffer is a view.
  if (value.length <= maxValueByteLength) return new Uint8Array(value);
  throw new StashValueError('store-too-large', `a value may have at most ${maxValueByteLength} bytes`, {
    key,
  });
}

function parseOperation(operation: StashOperation | undefined): CheckedOperation {
  switch (operation?.type) {
    case 'write': {
      const key = parseKey(operation.key);
      return { type: 'write', key, value: copyValue(key, operation.value) };
    }
    case 'make':
      return { type: 'make', key: parseKey(operation.key), empty: parseEmpty(operation.empty) };
    case 'remove':
      return { type: 'remove', key: parseKey(operation.key), recursive: parseRecursive(operation) };
    default:
      throw new StashValueError('bad-option', 'the type of an operation must be "write", "make" or "remove"');
  }
}

/** Runs one step of a batch so that its error tells which step it was. */
function atIndex<Result>(index: number, step: () => Result): Result {
  try {
    return step();
  } catch (error) {
    if (error instanceof StashError) error.operationIndex = index;
    throw error;
  }
}

/**
 * Returns the operations with keys and values copied.
 * @throws {StashValueError} `bad-option`, `bad-value` or `store-too-large`.
 * @throws {StashKeyError} `bad-key`.
 */
export function parseOperations(operations: readonly StashOperation[]): CheckedOperation[] {
  if (!Array.isArray(operations))
    throw new StashValueError('bad-option', 'a batch must be an array of operations');
  const checked: CheckedOperation[] = [];
  try {
    for (let index = 0; index < operations.length; index++) {
      checked.push(atIndex(index, () => parseOperation(operations[index])));
    }
  } catch (error) {
    wipe(valuesOf(checked));
    throw error;
  }
  return checked;
}

/** The values that operations would write. */
export function valuesOf(operations: readonly CheckedOperation[]): Uint8Array[] {
  return operations.flatMap((operation) => (operation.type === 'write' ? [operation.value] : []));
}

/** A value that was removed: its bytes, a copy, or where it is. */
export type RemovedValue = Uint8Array | LargeValue | undefined;

/** What a change leaves behind. */
export interface Leftovers {
  /** To be called when the change is kept: overwrites what is no longer in the tree. */
  readonly wipers: (() => void)[];
  /** Takes the change back. */
  readonly undo: Undo;
}

/**
 * Does operations to a tree: all of them, or after an error none.
 * @returns For each what was removed.
 * @throws {StashKeyError} `empty-key`, `key-not-found`, `has-children` or `key-too-deep`.
 * @throws {StashValueError} `store-too-large`.
 */
export function applyOperations(
  tree: Tree,
  operations: readonly CheckedOperation[],
  leftovers: Leftovers,
): RemovedValue[] {
  const before = markOf(leftovers);
  const removed: RemovedValue[] = [];
  try {
    for (const [index, operation] of operations.entries()) {
      removed.push(atIndex(index, () => applyOperation(tree, operation, leftovers)));
    }
    return removed;
  } catch (error) {
    takeBack(leftovers, before);
    wipeRemoved(removed);
    throw error;
  }
}

function applyOperation(tree: Tree, operation: CheckedOperation, leftovers: Leftovers): RemovedValue {
  if (operation.type === 'remove') return removeNode(tree, operation, leftovers);
  const { key } = operation;
  // Only for a key with names: the top is always there.
  if (operation.type === 'make' && operation.empty) requireEmpty(findNode(tree, key), key);
  if (operation.type === 'make' && key.length === 0) return undefined;
  const { undo, wipers } = leftovers;
  const node = tree.make(key, undo);
  if (operation.type === 'write') {
    const { source, start, end } = node;
    if (source instanceof Uint8Array) wipers.push(() => source.fill(0, start, end));
    tree.setValue(node, { source: operation.value, start: 0, end: operation.value.length }, undo);
  }
  return undefined;
}

/** How much was left behind at some time. */
export type LeftoversMark = readonly [undo: number, wipers: number];

/** Returns a mark to take things back to. */
export function markOf({ undo, wipers }: Leftovers): LeftoversMark {
  return [undo.length, wipers.length];
}

/** Takes back what was done after a mark; what it would have wiped is in the tree again. */
export function takeBack({ undo, wipers }: Leftovers, [steps, wipes]: LeftoversMark = [0, 0]): void {
  while (undo.length > steps) undo.pop()?.();
  wipers.length = wipes;
}

/** Wipes the copies of values that were removed. */
export function wipeRemoved(removed: readonly RemovedValue[]): void {
  wipe(removed.filter((value) => value instanceof Uint8Array));
}

/** @throws {StashKeyError} `has-children`. */
function requireEmpty(node: TreeNode | undefined, key: StashKey): void {
  if (node?.children === undefined || node.children.size === 0) return;
  const hasValue = node.source !== undefined;
  throw new StashKeyError('has-children', 'there are other keys below this one', { key, hasValue });
}

function removeNode(
  tree: Tree,
  { key, recursive }: { key: StashKey; recursive: boolean },
  { undo, wipers }: Leftovers,
): RemovedValue {
  const node = tree.find(key);
  if (!recursive) requireEmpty(node, key);
  const { source, start, end } = node;
  if (key.length === 0) tree.clear(undo);
  else tree.removeChild(tree.find(key.slice(0, -1)), key[key.length - 1] as string, undo);
  wipers.push(() => wipeValues(node));
  return source instanceof Uint8Array ? source.slice(start, end) : source;
}

/**
 * Writes operations into a body.
 * @param placeLarge - Gives the sequence of the first chunk of a value that is too long for a body.
 */
export function writeOperations(
  writer: BodyWriter,
  operations: readonly CheckedOperation[],
  placeLarge: (value: Uint8Array) => number,
): void {
  for (const operation of operations) {
    const { key } = operation;
    if (operation.type === 'remove') writer.remove(key);
    else if (operation.type === 'make') {
      if (key.length > 0) writer.make(key);
    } else if (operation.value.length <= maxInlineByteLength) writer.set(key, operation.value);
    else writer.setLarge(key, operation.value.length, placeLarge(operation.value));
  }
}

/** Whether a value of the operations is too long for a body. */
export function hasLarge(operations: readonly CheckedOperation[]): boolean {
  return operations.some(
    (operation) => operation.type === 'write' && operation.value.length > maxInlineByteLength,
  );
}

/** The node of a key, for tests of whether it has a value; undefined if there is none. */
export function findNode(tree: Tree, key: StashKey): TreeNode | undefined {
  let node: TreeNode | undefined = tree.root;
  for (const name of key) node = node?.children?.get(name);
  return node;
}
