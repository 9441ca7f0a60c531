/**
 * What the verbs have in common: which items they are about, finding those, and unlocking what is in the way.
 *
 * Secret Service specification 0.2, "Lookup Attributes" and "Locking and Unlocking".
 */

import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { SecretServiceError } from '../errors.js';
import { hasCode } from '../map-error.js';
import { COLLECTION_INTERFACE, SCHEMA_ATTRIBUTE, SERVICE_PATH } from '../names.js';
import type { Likeness } from './candidates.js';
import {
  asCollection,
  readCollections,
  readLockedCollections,
  searchCollection,
} from './collection-calls.js';
import { concurrently } from './concurrently.js';
import { asItem } from './item-calls.js';
import { assertUnlocked, type Lockable } from './locked.js';
import { unlockAll } from './locking.js';
import { parseObjectPaths, valueOf } from './replies.js';
import { type FoundPaths, searchService } from './search-service.js';

/** Which items a verb is about. */
export interface Wanted {
  readonly attributes: ReadonlyMap<string, string>;
  /** Only items made with exactly these attributes, and none that has them among others. */
  readonly isExact: boolean;
}

/** How the items that are wanted stand to the attributes. */
export function likenessesOf({ isExact }: Wanted): Likeness[] {
  return isExact ? ['same'] : ['same', 'more'];
}

/**
 * Runs `attempt`; where locked items are in its way and the user may be asked, unlocks them and runs it once more.
 * @throws what `attempt` throws, and as `unlockAll`
 */
export async function unlocking<Result>(
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
  return path.split('/').length > COLLECTION_PATH_PARTS ? asItem(path) : asCollection(path);
}

const COLLECTION_PATH_PARTS = `${SERVICE_PATH}/collection/name`.split('/').length;

/**
 * Finds the items of all collections.
 * @throws {SecretServiceError} `locked` if nothing is found and a collection may hide something
 */
export async function search(
  context: ServiceContext,
  operation: Operation,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  const found = await searchService(context, operation, attributes);
  if (found.unlocked.length + found.locked.length > 0) return found;
  const collectionPaths = await readCollections(context, operation);
  const lockedPaths = await readLockedCollections(context, operation, collectionPaths);
  if (lockedPaths.length === 0) return found;
  await assertNothingHidden(context, operation, lockedPaths);
  if (!attributes.has(SCHEMA_ATTRIBUTE)) return found;
  // In a keyring that was not unlocked since the daemon has started, GNOME Keyring finds nothing by a schema.
  const others = new Map(attributes);
  others.delete(SCHEMA_ATTRIBUTE);
  return { unlocked: [], locked: (await searchService(context, operation, others)).locked };
}

/**
 * Finds the items of one collection.
 * @throws {SecretServiceError} `locked` if that is: the search does not tell what is, and KWallet lets what is locked be
 * written, to no effect
 */
export async function searchIn(
  context: ServiceContext,
  operation: Operation,
  collectionPath: string,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  await assertUnlocked(context, operation, asCollection(collectionPath));
  return {
    unlocked: await searchCollection(context, operation, collectionPath, attributes),
    locked: [],
  };
}

/**
 * Makes sure that none of the locked collections is a database of KeePassXC, which shows nothing of it while it is locked,
 * where the others find its items all the same. What is taken for missing would be made a second time.
 * @throws {SecretServiceError} `locked`
 */
async function assertNothingHidden(
  context: ServiceContext,
  operation: Operation,
  lockedPaths: readonly string[],
): Promise<void> {
  const hidden: string[] = [];
  await concurrently(lockedPaths, async (path) => {
    try {
      const properties = await context.getProperties(operation, path, COLLECTION_INTERFACE);
      // Not even when it was made, which every service tells of a collection that it can read.
      const items = parseObjectPaths(valueOf(properties, 'Items', 'ao'), 'Items');
      if (items.length === 0 && !properties.has('Created')) hidden.push(path);
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
  });
  if (hidden.length > 0) throw lockedError('search', hidden);
}

/** The error of a verb in whose way something locked is. */
export function lockedError(verb: string, lockedPaths: readonly string[]): SecretServiceError {
  return new SecretServiceError('locked', `${verb}: what it is about is locked, or may be`, {
    lockedPaths,
  });
}
