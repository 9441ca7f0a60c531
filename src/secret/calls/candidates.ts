/**
 * Telling apart the items that a search finds: a search gives every item that has the attributes among
 * others, and the three verbs `lookup`, `set` and `clear` must not take one item for another.
 *
 * Secret Service specification 0.2, "Lookup Attributes".
 */

import { includesAttributes, isSameItem } from '../attributes.js';
import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { concurrently } from './concurrently.js';
import { readItemAttributes, whyUnreadable } from './item-calls.js';

/**
 * How an item stands to the attributes that were searched for:
 *
 * - `same`: it is the item made with them.
 * - `more`: it has them and others.
 * - `other`: it does not have them, whatever the service says.
 * - `unreadable`: it is locked, and its attributes with it.
 * - `gone`: it was deleted meanwhile.
 */
export type Likeness = 'same' | 'more' | 'other' | 'unreadable' | 'gone';

/** An item that was found. */
export interface Candidate {
  readonly path: string;
  readonly likeness: Likeness;
}

/**
 * Compares the items at `paths` with the attributes that were searched for.
 * @returns In the order of `paths`.
 * @throws as `Caller.call`.
 */
export async function compareItems(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
  wanted: ReadonlyMap<string, string>,
): Promise<Candidate[]> {
  const items = await readItems(context, operation, paths);
  return items.map((attributes, index) => ({
    path: paths[index] as string,
    likeness: typeof attributes === 'string' ? attributes : likenessOf(attributes, wanted),
  }));
}

/**
 * What the names of attributes begin with in a keyring of GNOME's that was not unlocked since the daemon has started: they
 * are kept as hashes outside of what is encrypted, which a search compares, and nobody can read.
 */
const HASHED = 'gkr:compat:hashed:';

/**
 * Reads the attributes of the items at `paths`.
 * @returns In the order of `paths`.
 * @throws as `Caller.call`.
 */
export async function readItems(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<(ReadonlyMap<string, string> | 'unreadable' | 'gone')[]> {
  return await concurrently(paths, async (path) => {
    try {
      const attributes = await readItemAttributes(context, operation, path);
      return [...attributes.keys()].some((name) => name.startsWith(HASHED)) ? 'unreadable' : attributes;
    } catch (error) {
      return (await whyUnreadable(context, operation, path, error)) === 'locked' ? 'unreadable' : 'gone';
    }
  });
}

/** How an item with `attributes` stands to those that are `wanted`. */
export function likenessOf(
  attributes: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): Likeness {
  if (!includesAttributes(attributes, wanted)) return 'other';
  return isSameItem(attributes, wanted) ? 'same' : 'more';
}

/** The paths of the candidates that are one of `likenesses`. */
export function pathsOf(candidates: readonly Candidate[], ...likenesses: Likeness[]): string[] {
  return candidates
    .filter((candidate) => likenesses.includes(candidate.likeness))
    .map((candidate) => candidate.path);
}
