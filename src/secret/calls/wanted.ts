/**
 * What the verbs have in common: which items they are about, finding those, and unlocking what is in the way.
 *
 * Secret Service specification 0.2, "Lookup Attributes" and "Locking and Unlocking".
 */

import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { SecretServiceError } from '../errors.js';
import { hasCode } from '../map-error.js';
import { COLLECTION_INTERFACE, ITEM_INTERFACE, SERVICE_PATH } from '../names.js';
import type { Likeness } from './candidates.js';
import {
  type FoundPaths,
  readCollectionProperties,
  readCollections,
  searchCollection,
  searchService,
} from './collection-calls.js';
import { concurrently } from './concurrently.js';
import { assertUnlocked } from './item-calls.js';
import { type Lockable, unlockAll } from './locking.js';
import { parseBoolean } from './replies.js';

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
  const isItem = path.split('/').length > COLLECTION_PATH_PARTS;
  return { path, interfaceName: isItem ? ITEM_INTERFACE : COLLECTION_INTERFACE };
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
  if (found.unlocked.length + found.locked.length === 0) {
    await assertNothingHidden(context, operation, await readCollections(context, operation));
  }
  return found;
}

/** Finds the items of one collection, which is unlocked. @throws {SecretServiceError} `locked` */
export async function searchIn(
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

/** The error of a verb in whose way something locked is. */
export function lockedError(verb: string, lockedPaths: readonly string[]): SecretServiceError {
  return new SecretServiceError('locked', `${verb}: an item with these attributes is locked`, {
    lockedPaths,
  });
}
