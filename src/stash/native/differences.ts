/**
 * Which keys two files differ in. Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes, wipe } from '../bytes.js';
import { StashError } from '../errors.js';
import { type ReadOptions, Turns } from './frame-reader.js';
import type { LoadedLog } from './loaded-log.js';
import { isLarge, type LargeValue, type TreeNode, valueByteLength } from './tree.js';

/** A key with a large value in both. */
interface LargePair {
  readonly key: string[];
  readonly before: LargeValue;
  readonly after: LargeValue;
}

/**
 * Returns the keys that one log has and the other has not, or has with another value; of keys that are gone only
 * the uppermost. Large values that cannot be read count as changed.
 * @throws {StashError} `cancelled`.
 */
export async function changedKeys(
  before: LoadedLog,
  after: LoadedLog,
  options: ReadOptions,
): Promise<string[][]> {
  const changed: string[][] = [];
  const large: LargePair[] = [];
  compare(before.tree.root, after.tree.root, [], { changed, large });
  const turns = new Turns(options);
  for (const pair of large) {
    if (!(await isSameLarge(before.chunksOf(pair.before), after.chunksOf(pair.after), turns)))
      changed.push(pair.key);
  }
  return changed;
}

function compare(
  before: TreeNode | undefined,
  after: TreeNode,
  key: string[],
  found: { readonly changed: string[][]; readonly large: LargePair[] },
): void {
  const [was, is] = [before?.source, after.source];
  if (isLarge(was) && isLarge(is) && was.byteLength === is.byteLength)
    found.large.push({ key, before: was, after: is });
  else if (key.length > 0 && (before === undefined || !isSameSmall(before, after))) found.changed.push(key);
  for (const [name, child] of after.children ?? [])
    compare(before?.children?.get(name), child, [...key, name], found);
  for (const name of before?.children?.keys() ?? []) {
    if (after.children?.has(name) !== true) found.changed.push([...key, name]);
  }
}

function isSameSmall(a: TreeNode, b: TreeNode): boolean {
  if (a.source === undefined || b.source === undefined) return a.source === b.source;
  if (isLarge(a.source) || isLarge(b.source) || valueByteLength(a) !== valueByteLength(b)) return false;
  return equalBytes(a.source.subarray(a.start, a.end), b.source.subarray(b.start, b.end));
}

/** Compares chunk by chunk: of the same length in all, they are cut at the same places. */
async function isSameLarge(
  before: Iterator<Uint8Array, void>,
  after: Iterable<Uint8Array>,
  turns: Turns,
): Promise<boolean> {
  try {
    for (const is of after) {
      const was = before.next().value ?? new Uint8Array();
      const isSame = equalBytes(was, is);
      wipe([was, is]);
      if (!isSame) return false;
      if (turns.due) await turns.take(0);
    }
    return true;
  } catch (error) {
    if (error instanceof StashError && error.code === 'cancelled') throw error;
    return false;
  }
}
