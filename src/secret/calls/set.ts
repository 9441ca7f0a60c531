/**
 * Storing a secret: an exact upsert.
 *
 * Secret Service specification 0.2, "Collection.CreateItem". It does not rely on `replace`: with it most services
 * overwrite an item that has the attributes among others, which is another item.
 */

import { attributesKey } from '../attributes.js';
import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { hasCode } from '../map-error.js';
import type { SecretToStore } from '../secret.js';
import { compareItems, pathsOf } from './candidates.js';
import { createItem, readDefaultCollection, readOrCreateDefaultCollection } from './collection-calls.js';
import { itemProperty, writeLabel, writeSecret } from './item-calls.js';
import { lockedError, search, searchIn, unlocking } from './wanted.js';

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
  const path = await unlocking(context, operation, async () => {
    const [written] = await write(context, operation, item);
    // Inside: after the collection was unlocked, the item may be there to be seen.
    return written ?? (await create(context, operation, item));
  });
  // The next lookup begins with it.
  context.knownPaths.set(attributesKey(item.attributes), path);
  return path;
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
      if (label !== undefined) await writeNewLabel(context, operation, path, label);
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

/** Creates the item, and the default collection where that is missing and the user may be asked. */
async function create(
  context: ServiceContext,
  operation: Operation,
  { collectionPath, newLabel: label, attributes, secret }: ItemToSet,
): Promise<string> {
  const mayAsk = operation.prompts.prompt === 'allow';
  const readDefault = mayAsk ? readOrCreateDefaultCollection : readDefaultCollection;
  const path = collectionPath ?? (await readDefault(context, operation));
  try {
    return await createItem(context, operation, path, { label, attributes, secret, replace: false });
  } catch (error) {
    throw hasCode(error, 'locked') ? lockedError('set', [path]) : error;
  }
}

async function writeNewLabel(
  context: ServiceContext,
  operation: Operation,
  path: string,
  label: string,
): Promise<void> {
  const present = await context.getProperty(operation, itemProperty(path, 'Label', 's'));
  // KWallet renames its entry even for the same label.
  if (present !== label) await writeLabel(context, operation, path, label);
}
