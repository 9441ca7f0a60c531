/**
 * The verbs most programs need: look a secret up, set it, clear it, list what there is.
 *
 * Secret Service specification 0.2. They never rely on `CreateItem`'s `replace`: with it most services
 * overwrite an item that has the attributes among others, which is another item.
 */

import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { SecretServiceError } from '../errors.js';
import { hasCode } from '../map-error.js';
import { COLLECTION_INTERFACE, ITEM_INTERFACE, SERVICE_PATH } from '../names.js';
import type { Secret, SecretToStore } from '../secret.js';
import { compareItems, type Likeness, likenessOf, pathsOf, readItems } from './candidates.js';
import {
  createItem,
  type FoundPaths,
  readCollectionProperties,
  readCollections,
  readDefaultCollection,
  readOrCreateDefaultCollection,
  searchCollection,
  searchService,
} from './collection-calls.js';
import { concurrently } from './concurrently.js';
import {
  assertUnlocked,
  deleteItem,
  type ItemProperties,
  itemProperty,
  readAllProperties,
  readSecret,
  writeLabel,
  writeSecret,
} from './item-calls.js';
import { type Lockable, unlockAll } from './locking.js';
import { readSecrets } from './read-secrets.js';
import { parseBoolean } from './replies.js';

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
 * Runs `attempt`; where locked items are in its way and the user may be asked, unlocks them and runs it once more.
 * @throws what `attempt` throws, and as `unlockAll`
 */
async function unlocking<Result>(
  context: ServiceContext,
  operation: Operation,
  attempt: () => Promise<Result>,
): Promise<Result> {
  try {
    return await attempt();
  } catch (error) {
    const paths = hasCode(error, 'locked') ? error.lockedPaths : undefined;
    if (paths === undefined || operation.prompts.prompt === 'never') throw error;
    try {
      await unlockAll(context, operation, paths.map(asLockable));
    } catch (failure) {
      // It has gone meanwhile, or the service does not unlock anything: what is wrong is that it is locked.
      throw hasCode(failure, 'not-found') ? error : failure;
    }
    return await attempt();
  }
}

/** The paths of items have one part more. */
function asLockable(path: string): Lockable {
  const isItem = path.split('/').length > COLLECTION_PATH_PARTS;
  return { path, interfaceName: isItem ? ITEM_INTERFACE : COLLECTION_INTERFACE };
}

const COLLECTION_PATH_PARTS = `${SERVICE_PATH}/collection/name`.split('/').length;

/**
 * Finds the items of all collections.
 * @throws {SecretServiceError} `locked` if nothing is found and a collection may hide something
 */
async function search(
  context: ServiceContext,
  operation: Operation,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  const found = await searchService(context, operation, attributes);
  if (found.unlocked.length + found.locked.length === 0) {
    await assertNothingHidden(context, operation, await readCollections(context, operation));
  }
  return found;
}

/** Finds the items of one collection, which is unlocked. @throws {SecretServiceError} `locked` */
async function searchIn(
  context: ServiceContext,
  operation: Operation,
  collectionPath: string,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  const unlocked = await searchCollection(context, operation, collectionPath, attributes);
  // This search does not tell what is locked, and KWallet lets what is locked be written, to no effect.
  if (unlocked.length > 0) await assertUnlocked(context, operation, collectionPath, COLLECTION_INTERFACE);
  else await assertNothingHidden(context, operation, [collectionPath]);
  return { unlocked, locked: [] };
}

/**
 * Makes sure that none of the collections is locked and seems to be empty: KeePassXC shows nothing of a locked database,
 * where the others find its items all the same. What is taken for missing would be made a second time.
 * @throws {SecretServiceError} `locked`
 */
async function assertNothingHidden(
  context: ServiceContext,
  operation: Operation,
  collectionPaths: readonly string[],
): Promise<void> {
  const hidden: string[] = [];
  await concurrently(collectionPaths, async (path) => {
    const property = { path, interface: COLLECTION_INTERFACE, name: 'Locked', signature: 'b' };
    try {
      if (!parseBoolean(await context.getProperty(operation, property), 'Locked')) return;
      const { itemPaths } = await readCollectionProperties(context, operation, path);
      if (itemPaths.length === 0) hidden.push(path);
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
  });
  if (hidden.length > 0) throw lockedError('search', hidden);
}

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
  if (!wanted.isExact && found.unlocked.length === 1 && found.locked.length === 0) {
    const only = await readFirst(context, operation, found.unlocked);
    if (only.locked.length > 0) throw lockedError('lookup', only.locked);
    return only.secret;
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
 * @throws {SecretServiceError} `locked` if the item or its collection is locked, or may be among the locked
 * ones, and cannot be unlocked; `no-default-collection`, `prompt-required`, `prompt-dismissed`.
 */
export async function set(context: ServiceContext, operation: Operation, item: ItemToSet): Promise<string> {
  const [path] = await unlocking(context, operation, () => write(context, operation, item));
  return path ?? (await createUnlocked(context, operation, item));
}

/**
 * Writes the secret to the items there are.
 * @returns Their paths.
 * @throws {SecretServiceError} `locked` if none was written and some may be the item
 */
async function write(
  context: ServiceContext,
  operation: Operation,
  { collectionPath, attributes, label, secret }: ItemToSet,
): Promise<string[]> {
  const found =
    collectionPath === undefined
      ? await search(context, operation, attributes)
      : await searchIn(context, operation, collectionPath, attributes);
  const unlocked = await compareItems(context, operation, found.unlocked, attributes);
  const written: string[] = [];
  const closed: string[] = [];
  for (const path of pathsOf(unlocked, 'same')) {
    try {
      // The label first: KWallet loses the secret where a new label moves the item to another of its folders.
      if (label !== undefined) await relabel(context, operation, path, label);
      await writeSecret(context, operation, path, secret);
      written.push(path);
    } catch (error) {
      if (!hasCode(error, 'locked', 'not-found')) throw error;
      if (error.code === 'locked') closed.push(path);
    }
  }
  if (written.length > 0) return written;
  const locked = await compareItems(context, operation, found.locked, attributes);
  closed.push(...pathsOf(unlocked, 'unreadable'), ...pathsOf(locked, 'same', 'unreadable'));
  if (closed.length > 0) throw lockedError('set', closed);
  return [];
}

/** Creates the item; where its collection is locked or missing and the user may be asked, after that is mended. */
async function createUnlocked(
  context: ServiceContext,
  operation: Operation,
  { collectionPath, newLabel: label, attributes, secret }: ItemToSet,
): Promise<string> {
  const mayAsk = operation.prompts.prompt === 'allow';
  const readDefault = mayAsk ? readOrCreateDefaultCollection : readDefaultCollection;
  const path = collectionPath ?? (await readDefault(context, operation));
  const create = (): Promise<string> =>
    createItem(context, operation, path, { label, attributes, secret, replace: false });
  try {
    return await create();
  } catch (error) {
    if (!mayAsk || !hasCode(error, 'locked')) throw error;
    await unlockAll(context, operation, [{ path, interfaceName: COLLECTION_INTERFACE }]);
    return await create();
  }
}

async function relabel(
  context: ServiceContext,
  operation: Operation,
  path: string,
  label: string,
): Promise<void> {
  const present = await context.getProperty(operation, itemProperty(path, 'Label', 's'));
  // KWallet renames its entry even for the same label.
  if (present !== label) await writeLabel(context, operation, path, label);
}

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

/** An item that was found, with all there is to know of it. */
export interface ReadItem {
  readonly path: string;
  readonly properties: ItemProperties;
  /** Owned by the caller. */
  readonly secret: Secret;
}

/**
 * Reads every item with the `wanted` attributes, with its secret, in two round trips.
 * @returns In the order the service gives them; one that goes away meanwhile is left out.
 * @throws {SecretServiceError} `locked` if one of them is locked, and cannot be unlocked; secrets read so far are wiped
 */
export async function findAll(
  context: ServiceContext,
  operation: Operation,
  wanted: Wanted,
): Promise<ReadItem[]> {
  return await unlocking(context, operation, async () => {
    const found = await search(context, operation, wanted.attributes);
    if (found.locked.length > 0) {
      const locked = await compareItems(context, operation, found.locked, wanted.attributes);
      const closed = pathsOf(locked, ...likenessesOf(wanted), 'unreadable');
      if (closed.length > 0) throw lockedError('findAll', closed);
    }
    const paths = found.unlocked;
    const reading = readSecrets(context, operation, paths);
    try {
      const [secrets, properties] = await Promise.all([
        reading,
        readAllProperties(context, operation, paths),
      ]);
      return joined(paths, properties, secrets, wanted);
    } catch (error) {
      // Also of what was still being read when the other failed.
      for (const secret of (await reading.catch(() => undefined))?.values() ?? []) secret[Symbol.dispose]();
      throw error;
    }
  });
}

/** What was read of each path; the secrets of what is not wanted are wiped. */
function joined(
  paths: readonly string[],
  properties: ReadonlyMap<string, ItemProperties | 'locked'>,
  secrets: ReadonlyMap<string, Secret>,
  wanted: Wanted,
): ReadItem[] {
  const items: ReadItem[] = [];
  const locked: string[] = [];
  const likenesses = likenessesOf(wanted);
  for (const path of paths) {
    const [read, secret] = [properties.get(path), secrets.get(path)];
    if (read === undefined) secret?.[Symbol.dispose]();
    else if (read === 'locked') locked.push(path);
    else if (!likenesses.includes(likenessOf(read.attributes, wanted.attributes))) secret?.[Symbol.dispose]();
    else if (secret !== undefined) items.push({ path, properties: read, secret });
    else if (read.locked) locked.push(path);
  }
  if (locked.length > 0) throw lockedError('findAll', locked);
  return items;
}

function lockedError(verb: string, lockedPaths: readonly string[]): SecretServiceError {
  return new SecretServiceError('locked', `${verb}: an item with these attributes is locked`, {
    lockedPaths,
  });
}
