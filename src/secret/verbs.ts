/**
 * The verbs most programs need: look a secret up, set it, clear it, list what there is.
 *
 * Secret Service specification 0.2. They never rely on `CreateItem`'s `replace`: with it most services
 * overwrite an item that has the attributes among others, which is another item.
 */

import { type Candidate, compareItems, type Likeness, likenessOf, pathsOf, readItems } from './candidates.js';
import { createItem, readDefaultCollection, searchCollection, searchService } from './collection-calls.js';
import { concurrently } from './concurrently.js';
import type { ServiceContext } from './context.js';
import { SecretServiceError } from './errors.js';
import { deleteItem, itemProperty, readSecret, writeLabel, writeSecret } from './item-calls.js';
import { hasCode } from './map-error.js';
import type { Operation } from './operation.js';
import type { Secret, SecretToStore } from './secret.js';

/** Which items a verb is about. */
export interface Wanted {
  readonly attributes: ReadonlyMap<string, string>;
  /** Only items made with exactly these attributes, and none that has them among others. */
  readonly isExact: boolean;
}

/** How the items that are wanted stand to the attributes. */
function likenessesOf({ isExact }: Wanted): Likeness[] {
  return isExact ? ['same'] : ['same', 'more'];
}

/**
 * Reads the secret of the item with the `wanted` attributes. The item made with exactly these comes before
 * items that have more.
 * @returns The secret, owned by the caller; undefined if there is no such item.
 * @throws {SecretServiceError} `locked` if the item is locked, or may be among the locked ones.
 */
export async function lookup(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
): Promise<Secret | undefined> {
  const found = await searchService(context, operation, wanted.attributes);
  // Nothing to choose: no need to know more.
  if (found.unlocked.length + found.locked.length === 0) return undefined;
  if (!wanted.isExact && found.unlocked.length === 1 && found.locked.length === 0) {
    return (await readFirst(context, operation, found.unlocked)).secret;
  }
  const unlocked = await compareItems(context, operation, found.unlocked, wanted.attributes);
  const locked = await compareItems(context, operation, found.locked, wanted.attributes);
  const same = await readFirst(context, operation, pathsOf(unlocked, 'same'));
  if (same.secret !== undefined) return same.secret;
  if (same.wasLocked || pathsOf(locked, 'same').length > 0) throw lockedError('lookup');
  const likenesses = likenessesOf(wanted).filter((likeness) => likeness !== 'same');
  const more = await readFirst(context, operation, pathsOf(unlocked, ...likenesses));
  if (more.secret !== undefined) return more.secret;
  const closed = [...pathsOf(unlocked, 'unreadable'), ...pathsOf(locked, ...likenesses, 'unreadable')];
  if (more.wasLocked || closed.length > 0) throw lockedError('lookup');
  return undefined;
}

interface FirstSecret {
  readonly secret: Secret | undefined;
  /** Whether an item before it, or in its place, was locked. */
  readonly wasLocked: boolean;
}

/**
 * Reads the first secret that can be read.
 * @throws {SecretServiceError} `locked` if there is only one path and it is locked.
 */
async function readFirst(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<FirstSecret> {
  let wasLocked = false;
  for (const path of paths) {
    try {
      return { secret: await readSecret(context, operation, path), wasLocked };
    } catch (error) {
      if (!hasCode(error, 'locked', 'not-found')) throw error;
      if (paths.length === 1 && hasCode(error, 'locked')) throw error;
      wasLocked ||= error.code === 'locked';
    }
  }
  return { secret: undefined, wasLocked };
}

/** What `set` stores, with everything read and checked. */
export interface ItemToSet {
  readonly attributes: ReadonlyMap<string, string>;
  readonly secret: SecretToStore;
  /** Undefined: keep that of the item there is. */
  readonly label: string | undefined;
  /** The label of a new item. */
  readonly newLabel: string;
  /** Undefined: any collection, and the default one for a new item. */
  readonly collectionPath: string | undefined;
}

/**
 * Stores a secret in the item made with exactly these attributes, or in a new one.
 *
 * Where there are several such items, all of them get the secret, so that whichever a program finds is
 * right.
 * @returns The path of the item.
 * @throws {SecretServiceError} `locked` if the item is locked, or may be among the locked ones;
 * `no-default-collection`, `prompt-required`.
 */
export async function set(context: ServiceContext, operation: Operation, item: ItemToSet): Promise<string> {
  const { collectionPath, attributes } = item;
  const found =
    collectionPath === undefined
      ? await searchService(context, operation, attributes)
      : {
          unlocked: await searchCollection(context, operation, collectionPath, attributes),
          locked: [],
        };
  const candidates = await compareItems(context, operation, found.unlocked, attributes);
  const { written, wasLocked } = await writeAll(context, operation, pathsOf(candidates, 'same'), item.secret);
  const [path] = written;
  if (path !== undefined) {
    if (item.label !== undefined) await relabel(context, operation, written, item.label);
    return path;
  }
  const locked: Candidate[] = await compareItems(context, operation, found.locked, attributes);
  const closed = [...pathsOf(candidates, 'unreadable'), ...pathsOf(locked, 'same', 'unreadable')];
  if (wasLocked || closed.length > 0) throw lockedError('set');
  return await createItem(
    context,
    operation,
    collectionPath ?? (await readDefaultCollection(context, operation)),
    { label: item.newLabel, attributes, secret: item.secret, replace: false },
  );
}

async function writeAll(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
  secret: SecretToStore,
): Promise<{ written: string[]; wasLocked: boolean }> {
  const written: string[] = [];
  let wasLocked = false;
  for (const path of paths) {
    try {
      await writeSecret(context, operation, path, secret);
      written.push(path);
    } catch (error) {
      if (!hasCode(error, 'locked', 'not-found')) throw error;
      wasLocked ||= error.code === 'locked';
    }
  }
  return { written, wasLocked };
}

async function relabel(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
  label: string,
): Promise<void> {
  for (const path of paths) {
    const present = await context.caller.getProperty(operation, itemProperty(path, 'Label', 's'));
    // KWallet renames its entry even for the same label.
    if (present !== label) await writeLabel(context, operation, path, label);
  }
}

/**
 * Deletes every item that has the `wanted` attributes.
 * @returns How many were deleted.
 * @throws {SecretServiceError} `locked` if one of them is locked, or may be among the locked ones: the
 * others are deleted by then; `prompt-required`.
 */
export async function clear(context: ServiceContext, operation: Operation, wanted: Wanted): Promise<number> {
  const found = await searchService(context, operation, wanted.attributes);
  const unlocked = await compareItems(context, operation, found.unlocked, wanted.attributes);
  const locked = await compareItems(context, operation, found.locked, wanted.attributes);
  const likenesses = likenessesOf(wanted);
  const outcomes = await concurrently(pathsOf(unlocked, ...likenesses), async (path) => {
    try {
      await deleteItem(context, operation, path);
      return 'deleted';
    } catch (error) {
      if (hasCode(error, 'not-found')) return 'gone';
      if (hasCode(error, 'locked')) return 'locked';
      throw error;
    }
  });
  const closed = [...pathsOf(unlocked, 'unreadable'), ...pathsOf(locked, ...likenesses, 'unreadable')];
  if (outcomes.includes('locked') || closed.length > 0) throw lockedError('clear');
  return outcomes.filter((outcome) => outcome === 'deleted').length;
}

/**
 * Gives the values that the attribute `name` has in the items with the `wanted` attributes; exact items are those made
 * with these and `name`.
 * @returns Each once, in the order of the items.
 * @throws {SecretServiceError} `locked` if the attributes of an item are locked with it.
 */
export async function listValues(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
  name: string,
): Promise<string[]> {
  const found = await searchService(context, operation, wanted.attributes);
  const items = await readItems(context, operation, [...found.unlocked, ...found.locked]);
  const values = new Set<string>();
  for (const attributes of items) {
    if (attributes === 'unreadable') throw lockedError('listValues');
    const value = attributes === 'gone' ? undefined : attributes.get(name);
    if (attributes === 'gone' || value === undefined) continue;
    const whole = new Map(wanted.attributes).set(name, value);
    if (likenessesOf(wanted).includes(likenessOf(attributes, whole))) values.add(value);
  }
  return [...values];
}

function lockedError(verb: string): SecretServiceError {
  return new SecretServiceError('locked', `${verb}: an item with these attributes is locked`);
}
