/**
 * Several changes of a sstash tree: checked and copied when they are asked for, applied together later.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { hexFromBytes, isBytes, wipe } from '../bytes.js';
import { StashError, StashValueError } from '../errors.js';
import { parseKey, type StashKey } from '../key.js';
import { parseRecursive } from '../options.js';
import { type Leftovers, makeNode, removeNode, type TreeNode, writeValue } from './tree.js';

/** One step of a batch. */
export type StashOperation =
  | { readonly type: 'write'; readonly key: StashKey; readonly value: Uint8Array }
  | {
      readonly type: 'remove';
      readonly key: StashKey;
      /** As in `SecureStash.remove`. */
      readonly recursive?: boolean | undefined;
    }
  | {
      /** Makes the key, without a value, if it is not there. */
      readonly type: 'make';
      readonly key: StashKey;
      /** Makes it an error, `has-children`, if there is anything below the key. Default false. */
      readonly empty?: boolean | undefined;
    };

/** A step that no longer depends on the caller's objects. */
export type CheckedOperation =
  | { readonly type: 'write'; readonly key: StashKey; readonly text: Uint8Array }
  | { readonly type: 'remove'; readonly key: StashKey; readonly recursive: boolean }
  | { readonly type: 'make'; readonly key: StashKey; readonly empty: boolean };

/**
 * Returns the text of a value, a copy that the caller should wipe if it does not enter a tree.
 * @throws {StashValueError} `bad-value`.
 */
export function parseValue(key: StashKey, value: unknown): Uint8Array {
  if (isBytes(value)) return hexFromBytes(value);
  throw new StashValueError('bad-value', 'a value must be a Uint8Array', { key });
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
 * @throws {StashValueError} `bad-option` or `bad-value`.
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
    wipe(textsOf(checked));
    throw error;
  }
  return checked;
}

function parseOperation(operation: StashOperation | undefined): CheckedOperation {
  switch (operation?.type) {
    case 'write': {
      const key = parseKey(operation.key);
      return { type: 'write', key, text: parseValue(key, operation.value) };
    }
    case 'remove':
      return { type: 'remove', key: parseKey(operation.key), recursive: parseRecursive(operation) };
    case 'make':
      return { type: 'make', key: parseKey(operation.key), empty: parseEmpty(operation.empty) };
    default:
      throw new StashValueError('bad-option', 'the type of an operation must be "write", "remove" or "make"');
  }
}

/** @throws {StashValueError} `bad-option`. */
export function parseEmpty(empty: unknown): boolean {
  if (empty === undefined || typeof empty === 'boolean') return empty ?? false;
  throw new StashValueError('bad-option', 'empty must be a boolean');
}

/** Returns the texts that the operations would write. */
export function textsOf(operations: readonly CheckedOperation[]): Uint8Array[] {
  return operations.flatMap((operation) => (operation.type === 'write' ? [operation.text] : []));
}

/**
 * Applies the operations to a tree, which is of no more use if one of them fails.
 * @returns For each operation the value removed, a copy, or `undefined`.
 * @throws {StashKeyError} `empty-key`, `key-not-found`, `has-children` or `key-too-deep`.
 * @throws {StashValueError} `damaged-value`.
 */
export function applyOperations(
  top: TreeNode,
  operations: readonly CheckedOperation[],
  leftovers: Leftovers,
): (Uint8Array | undefined)[] {
  return operations.map((operation, index) =>
    atIndex(index, () => {
      if (operation.type === 'remove') return removeNode(top, operation, leftovers);
      if (operation.type === 'make') makeNode(top, operation.key, operation.empty);
      else writeValue(top, operation.key, operation.text, leftovers);
      return undefined;
    }),
  );
}
