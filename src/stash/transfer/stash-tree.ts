/**
 * What moving files and trees in and out needs of a stash, whichever format it has.
 * Must not import `node:` or anything outside `src/stash`.
 */

import type { StashKey } from '../key.js';
import type { OperationOptions } from '../options.js';
import type { StashOperation } from '../sstash/batch.js';
import type { StashNode } from '../sstash/entries.js';

/** An open stash of either format. */
export interface StashTree {
  /** Returns the value of `key`, which the caller owns. */
  read(key: StashKey, options?: OperationOptions): Promise<Uint8Array>;
  /** Sets the value of `key`. */
  write(key: StashKey, value: Uint8Array, options?: OperationOptions): Promise<void>;
  /**
   * Goes through `key`, unless that is `[]`, and all keys below it, a key before those below it and otherwise in order,
   * as they are when the first is asked for. Keys are whole, not relative; keys and values belong to the receiver.
   */
  nodes(key: StashKey, options?: OperationOptions): AsyncIterableIterator<StashNode>;
  /** Makes several changes, all of them or none. Keys and values are copied before it returns. */
  batch(operations: readonly StashOperation[], options?: OperationOptions): Promise<unknown>;
}
