/** Clearing, listing and reading all items with some attributes. Secret Service specification 0.2, "Lookup Attributes". */

import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { hasCode } from '../map-error.js';
import type { Secret } from '../secret.js';
import { compareItems, likenessOf, pathsOf, readItems } from './candidates.js';
import { concurrently } from './concurrently.js';
import { asItem, deleteItem, itemProperty } from './item-calls.js';
import { assertUnlocked } from './locked.js';
import { readSecrets } from './read-secrets.js';
import { parseString } from './replies.js';
import { likenessesOf, lockedError, search, unlocking, type Wanted } from './wanted.js';

/**
 * Deletes every item that has the `wanted` attributes.
 * @returns How many were deleted.
 * @throws {SecretServiceError} `locked` if one of them is locked, or may be among the locked ones, and cannot be unlocked:
 * the others are deleted by then; `prompt-required`, `prompt-dismissed`.
 */
export async function clear(context: ServiceContext, operation: Operation, wanted: Wanted): Promise<number> {
  let count = 0;
  await unlocking(context, operation, async () => {
    const found = await search(context, operation, wanted.attributes);
    const unlocked = await compareItems(context, operation, found.unlocked, wanted.attributes);
    const locked = await compareItems(context, operation, found.locked, wanted.attributes);
    const likenesses = likenessesOf(wanted);
    const closed = [...pathsOf(unlocked, 'unreadable'), ...pathsOf(locked, ...likenesses, 'unreadable')];
    await concurrently(pathsOf(unlocked, ...likenesses), async (path) => {
      try {
        await deleteItem(context, operation, path);
        count++;
      } catch (error) {
        if (!hasCode(error, 'locked', 'not-found')) throw error;
        if (error.code === 'locked') closed.push(path);
      }
    });
    if (closed.length > 0) throw lockedError('clear', closed);
  });
  return count;
}

/**
 * Gives the values that the attribute `name` has in the items with the `wanted` attributes; exact items are those made
 * with these and `name`.
 * @returns Each once, in the order of the items.
 * @throws {SecretServiceError} `locked` if the attributes of an item are locked with it, and it cannot be unlocked.
 */
export async function listValues(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
  name: string,
): Promise<string[]> {
  return await unlocking(context, operation, async () => {
    const found = await search(context, operation, wanted.attributes);
    const paths = [...found.unlocked, ...found.locked];
    const items = await readItems(context, operation, paths);
    const closed = paths.filter((_path, index) => items[index] === 'unreadable');
    if (closed.length > 0) throw lockedError('listValues', closed);
    const values = new Set<string>();
    for (const attributes of items) {
      if (typeof attributes === 'string') continue;
      const value = attributes.get(name);
      if (value === undefined) continue;
      const whole = new Map(wanted.attributes).set(name, value);
      if (likenessesOf(wanted).includes(likenessOf(attributes, whole))) values.add(value);
    }
    return [...values];
  });
}

/** An item that was found, with what it holds. */
export interface ReadItem {
  readonly path: string;
  readonly label: string | undefined;
  readonly attributes: ReadonlyMap<string, string>;
  /** Owned by the caller. */
  readonly secret: Secret;
}

/**
 * Reads every item with the `wanted` attributes, with its secret, in two round trips.
 *
 * The attributes one by one and not with the other properties: GNOME Keyring takes 62 µs for them, and 161 µs for GetAll.
 * @returns In the order the service gives them; one that goes away meanwhile is left out.
 * @throws {SecretServiceError} `locked` if one of them is locked, and cannot be unlocked; secrets read so far are wiped
 */
export async function findAll(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
  withLabels: boolean,
): Promise<ReadItem[]> {
  return await unlocking(context, operation, async () => {
    const found = await search(context, operation, wanted.attributes);
    const locked = await compareItems(context, operation, found.locked, wanted.attributes);
    const closed = pathsOf(locked, ...likenessesOf(wanted), 'unreadable');
    if (closed.length > 0) throw lockedError('findAll', closed);
    const paths = found.unlocked;
    const reading = readSecrets(context, operation, paths);
    try {
      const [secrets, attributes, labels] = await Promise.all([
        reading,
        readItems(context, operation, paths),
        withLabels ? readLabels(context, operation, paths) : [],
      ]);
      const { items, unread } = joined(paths, { attributes, labels, secrets }, wanted);
      await assertAllUnlocked(context, operation, unread);
      return items;
    } catch (error) {
      // Also of what was still being read when the other failed.
      for (const secret of (await reading.catch(() => undefined))?.values() ?? []) secret[Symbol.dispose]();
      throw error;
    }
  });
}

/** In the order of `paths`; undefined for what is gone, or does not show its label while it is locked. */
async function readLabels(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<(string | undefined)[]> {
  return await concurrently(paths, async (path) => {
    try {
      return parseString(await context.getProperty(operation, itemProperty(path, 'Label', 's')), 'Label');
    } catch (error) {
      if (hasCode(error, 'locked', 'not-found')) return undefined;
      throw error;
    }
  });
}

/** What was read, in the order of the paths but for the secrets. */
interface Read {
  readonly attributes: readonly (ReadonlyMap<string, string> | 'unreadable' | 'gone')[];
  readonly labels: readonly (string | undefined)[];
  readonly secrets: ReadonlyMap<string, Secret>;
}

/** What was read of each path; the secrets of what is not wanted are wiped. */
function joined(
  paths: readonly string[],
  read: Read,
  wanted: Wanted,
): { items: ReadItem[]; unread: string[] } {
  const items: ReadItem[] = [];
  const unread: string[] = [];
  const likenesses = likenessesOf(wanted);
  for (const [index, path] of paths.entries()) {
    const attributes = read.attributes[index] ?? 'gone';
    const secret = read.secrets.get(path);
    if (attributes === 'unreadable') unread.push(path);
    else if (attributes === 'gone') secret?.[Symbol.dispose]();
    else if (!likenesses.includes(likenessOf(attributes, wanted.attributes))) secret?.[Symbol.dispose]();
    else if (secret === undefined) unread.push(path);
    else items.push({ path, label: read.labels[index], attributes, secret });
  }
  return { items, unread };
}

/** Makes sure that what could not be read has gone, and is not locked. @throws {SecretServiceError} `locked` */
async function assertAllUnlocked(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<void> {
  const locked: string[] = [];
  await concurrently(paths, async (path) => {
    try {
      await assertUnlocked(context, operation, asItem(path));
    } catch (error) {
      if (!hasCode(error, 'locked', 'not-found')) throw error;
      if (error.code === 'locked') locked.push(path);
    }
  });
  if (locked.length > 0) throw lockedError('findAll', locked);
}
