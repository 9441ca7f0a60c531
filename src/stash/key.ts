/**
 * Keys of a stash: arrays of strings, each naming one level of the tree.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { StashKeyError } from './errors.js';

/** Where a value lies: the names from the top down. `[]` is the top itself, which never has a value. */
export type StashKey = readonly string[];

/**
 * Returns a copy of `key` that later changes of the caller's array do not reach.
 * @throws {StashKeyError} `bad-key` unless `key` is an array of strings.
 */
export function parseKey(key: unknown): string[] {
  if (!Array.isArray(key)) throw new StashKeyError('bad-key', 'a key must be an array of strings');
  const copy: string[] = [];
  for (let level = 0; level < key.length; level++) {
    const name: unknown = key[level];
    if (typeof name !== 'string') {
      throw new StashKeyError(
        'bad-key',
        `a key must be an array of strings: element ${level} is not a string`,
      );
    }
    copy.push(name);
  }
  return copy;
}
