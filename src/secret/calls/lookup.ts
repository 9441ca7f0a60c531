/** Looking a secret up. Secret Service specification 0.2, "Lookup Attributes". */

import { attributesKey } from '../attributes.js';
import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { hasCode } from '../map-error.js';
import type { Secret } from '../secret.js';
import { type Candidate, compareItems, pathsOf } from './candidates.js';
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
  const key = attributesKey(wanted.attributes);
  const known = context.knownPaths.get(key);
  // Sent together with the search, and only believed where that finds this item and no other.
  const guess = known === undefined ? undefined : readOnly(context, operation, known, wanted);
  let found: Awaited<ReturnType<typeof search>>;
  try {
    found = await search(context, operation, wanted.attributes);
  } catch (error) {
    discard(guess);
    throw error;
  }
  const { unlocked, locked } = found;
  const [only] = unlocked;
  const isOnly = unlocked.length === 1 && locked.length === 0;
  if (guess !== undefined && isOnly && only === known) {
    const secret = await guessed(guess);
    if (secret !== undefined) return secret;
  } else {
    discard(guess);
  }
  if (only === undefined && locked.length === 0) return undefined;
  if (only === undefined || !isOnly) return await lookupAmong(context, operation, unlocked, locked, wanted);
  context.knownPaths.set(key, only);
  return await secretOf(readOnly(context, operation, only, wanted));
}

/** What is being read of an item that may be the only one: what it holds and, if that counts, what it is. */
interface Reading {
  readonly first: Promise<FirstSecret>;
  readonly compared: Promise<Candidate[]>;
}

/** Asks both at the same time. */
function readOnly(context: ServiceContext, operation: Operation, path: string, wanted: Wanted): Reading {
  const first = readFirst(context, operation, [path]);
  const compared = wanted.isExact
    ? compareItems(context, operation, [path], wanted.attributes)
    : Promise.resolve([]);
  // One of them may fail while the other is waited for, or nobody may wait.
  first.catch(() => {});
  compared.catch(() => {});
  return { first, compared };
}

/** The secret of the only item there is, if that is wanted. */
async function secretOf(reading: Reading): Promise<Secret | undefined> {
  let candidates: Candidate[];
  try {
    candidates = await reading.compared;
  } catch (error) {
    discard(reading);
    throw error;
  }
  const [candidate] = candidates;
  if (candidate !== undefined && candidate.likeness !== 'same') {
    discard(reading);
    if (candidate.likeness === 'unreadable') throw lockedError('lookup', [candidate.path]);
    return undefined;
  }
  const { secret, locked } = await reading.first;
  if (locked.length > 0) throw lockedError('lookup', locked);
  return secret;
}

/** The secret that was guessed rightly; undefined where it was asked for too early, while it was still locked. */
async function guessed(guess: Reading): Promise<Secret | undefined> {
  try {
    return await secretOf(guess);
  } catch (error) {
    if (hasCode(error, 'locked')) return undefined;
    throw error;
  }
}

/** Wipes what is not wanted when it comes. */
function discard(reading: Reading | undefined): void {
  reading?.first.then(
    ({ secret }) => secret?.[Symbol.dispose](),
    () => {},
  );
}

/** The secret of one of several items, or of one that may be locked. */
async function lookupAmong(
  context: ServiceContext,
  operation: Operation,
  unlockedPaths: readonly string[],
  lockedPaths: readonly string[],
  wanted: Wanted,
): Promise<Secret | undefined> {
  const unlocked = await compareItems(context, operation, unlockedPaths, wanted.attributes);
  const locked = await compareItems(context, operation, lockedPaths, wanted.attributes);
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
