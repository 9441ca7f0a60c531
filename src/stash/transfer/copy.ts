/**
 * Copying the tree of one stash into another, whichever format either has.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { parseKey, type StashKey } from '../key.js';
import type { StashOperation } from '../sstash/batch.js';
import { parseFlag, parseTransfer, type TransferOptions } from './options.js';
import type { StashTree } from './stash-tree.js';

/** What copying takes. */
export interface CopyOptions extends TransferOptions {
  /** Where in the target the copy goes. Default `[]`, the top. */
  readonly key?: StashKey | undefined;
  /** Adds to what is there, writing over values of the same keys. Default false: then there must be nothing. */
  readonly merge?: boolean | undefined;
}

/** What was copied. */
export interface CopySummary {
  readonly values: number;
  /** Of all values together. */
  readonly byteLength: number;
}

/**
 * Copies all keys and values of a stash, in order, into another: one change, made whole or not at all.
 *
 * All values are in memory for that time.
 * @throws {StashKeyError} `has-children` if there is anything at `key` in the target, unless `merge` is set; `bad-key`;
 * `key-too-deep`, also for keys of the source that the target's format is too shallow for.
 * @throws {StashValueError} `damaged-value` of the source, `store-too-large` of the target, or `bad-option`.
 * @throws {StashError} as `nodes` of the source and `batch` of the target.
 */
export async function copyStash(from: StashTree, to: StashTree, options?: CopyOptions): Promise<CopySummary> {
  const transfer = parseTransfer(options);
  const target = parseKey(options?.key ?? []);
  const merge = parseFlag('merge', options?.merge);
  const operations: StashOperation[] = [{ type: 'make', key: target, empty: !merge }];
  const values: Uint8Array[] = [];
  try {
    for await (const node of from.nodes([], transfer)) {
      const { value } = node;
      const key = [...target, ...node.key];
      if (value !== undefined) values.push(value);
      operations.push(value === undefined ? { type: 'make', key } : { type: 'write', key, value });
    }
    transfer.step('read', 1);
    await to.batch(operations, transfer);
    transfer.report('write', 1);
    return { values: values.length, byteLength: values.reduce((sum, value) => sum + value.length, 0) };
  } finally {
    wipe(values);
  }
}
