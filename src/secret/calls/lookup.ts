/** Looking a secret up. Secret Service specification 0.2, "Lookup Attributes". */

import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { hasCode } from '../map-error.js';
import type { Secret } from '../secret.js';
import { compareItems, pathsOf } from './candidates.js';
import { readSecret } from './item-calls.js';
import { likenessesOf, lockedError, search, unlocking, type Wanted } from './wanted.js';

/**
 * Reads the secret of the item with the `wanted` attributes. The item made with exactly these comes before
 * items that have more.
 * @returns The secret, owned by the caller; undefined if there is no such item.
 * @throws {SecretServiceError} `locked` if the item is locked, or may be among the locked ones, and cannot
 * be unlocked; `prompt-dismissed`.
 */
export function lookup(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
): Promise<Secret | undefined> {
  return unlocking(context, operation, () => lookupUnlocked(context, operation, wanted));
}

async function lookupUnlocked(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
): Promise<Secret | undefined> {
  const found = await search(context, operation, wanted.attributes);
  // Nothing to choose: no need to know more.
  if (found.unlocked.length + found.locked.length === 0) return undefined;
  if (found.unlocked.length === 1 && found.locked.length === 0) {
    return await lookupOnly(context, operation, found.unlocked, wanted);
  }
  const unlocked = await compareItems(context, operation, found.unlocked, wanted.attributes);
  const locked = await compareItems(context, operation, found.locked, wanted.attributes);
  const same = await readFirst(context, operation, pathsOf(unlocked, 'same'));
  if (same.secret !== undefined) return same.secret;
  const sameLocked = [...same.locked, ...pathsOf(locked, 'same')];
  if (sameLocked.length > 0) throw lockedError('lookup', sameLocked);
  const likenesses = likenessesOf(wanted).filter((likeness) => likeness !== 'same');
  const more = await readFirst(context, operation, pathsOf(unlocked, ...likenesses));
  if (more.secret !== undefined) return more.secret;
  const closed = [
    ...more.locked,
    ...pathsOf(unlocked, 'unreadable'),
    ...pathsOf(locked, ...likenesses, 'unreadable'),
  ];
  if (closed.length > 0) throw lockedError('lookup', closed);
  return undefined;
}

/** The secret of the only item there is, if that is wanted: what it is and what it holds are asked at the same time. */
async function lookupOnly(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
  { attributes, isExact }: Wanted,
): Promise<Secret | undefined> {
  const reading = readFirst(context, operation, paths);
  const comparing = isExact ? compareItems(context, operation, paths, attributes) : [];
  const [read, compared] = await Promise.allSettled([reading, comparing]);
  const secret = read.status === 'fulfilled' ? read.value.secret : undefined;
  if (compared.status === 'rejected' || pathsOf(compared.value, 'more', 'other', 'gone').length > 0) {
    secret?.[Symbol.dispose]();
    if (compared.status === 'rejected') throw compared.reason;
    return undefined;
  }
  const { locked } = await reading;
  if (locked.length > 0) throw lockedError('lookup', locked);
  return secret;
}

interface FirstSecret {
  readonly secret: Secret | undefined;
  /** The paths of those before it that were locked. */
  readonly locked: readonly string[];
}

/** Reads the first secret that can be read. */
async function readFirst(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<FirstSecret> {
  const locked: string[] = [];
  for (const path of paths) {
    try {
      return { secret: await readSecret(context, operation, path), locked };
    } catch (error) {
      if (!hasCode(error, 'locked', 'not-found')) throw error;
      if (error.code === 'locked') locked.push(path);
    }
  }
  return { secret: undefined, locked };
}
