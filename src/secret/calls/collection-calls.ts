/**
 * The calls on collections and on the service, shared by the classes and by the operations over many
 * items.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Collection" and
 * "org.freedesktop.Secret.Service". Each throws as `Caller.call` does, and `bad-reply`.
 */

import { Variant } from '../../wire/index.js';
import type { ServiceCall, ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { resultOfDismissed } from '../connection/prompt.js';
import { SecretServiceError } from '../errors.js';
import {
  COLLECTION_INTERFACE,
  DEFAULT_ALIAS,
  ITEM_INTERFACE,
  NO_OBJECT,
  SECRET_SIGNATURE,
  SERVICE_INTERFACE,
  SERVICE_PATH,
  SESSION_ALIAS,
} from '../names.js';
import type { SecretToStore } from '../secret.js';
import { concurrently } from './concurrently.js';
import { deleteItem } from './item-calls.js';
import { type Lockable, readLocked } from './locked.js';
import {
  parseBoolean,
  parseObjectPath,
  parseObjectPaths,
  parsePath,
  parseString,
  parseVariant,
  timeOf,
  valueOf,
} from './replies.js';

/** An item to create, with everything read and checked. */
export interface ItemToCreate {
  readonly label: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly secret: SecretToStore;
  readonly replace: boolean;
}

/**
 * Creates an item.
 * @returns Its path.
 * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`
 */
export async function createItem(
  context: ServiceContext,
  operation: Operation,
  collectionPath: string,
  item: ItemToCreate,
): Promise<string> {
  const properties = new Map<string, Variant>([
    [`${ITEM_INTERFACE}.Label`, new Variant('s', item.label)],
    [`${ITEM_INTERFACE}.Attributes`, new Variant('a{ss}', item.attributes)],
  ]);
  const { bytes, contentType } = item.secret;
  try {
    return await create(context, operation, {
      path: collectionPath,
      interface: COLLECTION_INTERFACE,
      member: 'CreateItem',
      signature: `a{sv}${SECRET_SIGNATURE}b`,
      body: (session) => [properties, session.encode(bytes, contentType), item.replace],
      replySignature: 'oo',
    });
  } catch (error) {
    const left = resultOfDismissed(error);
    if (left?.signature === 'o' && left.value !== NO_OBJECT) {
      await removeLeftover(context, parseObjectPath(left.value, 'what was left'));
    }
    throw error;
  }
}

/**
 * Creates a collection, or finds the one that has the alias already.
 * @param alias - Empty for none.
 * @returns Its path.
 * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`
 */
export async function createCollection(
  context: ServiceContext,
  operation: Operation,
  label: string,
  alias: string,
): Promise<string> {
  // Some services do as the specification says by themselves; GNOME Keyring makes another one.
  const present = alias === '' ? undefined : await readAlias(context, operation, alias);
  if (present !== undefined) return present;
  return await create(context, operation, {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'CreateCollection',
    signature: 'a{sv}s',
    body: [collectionProperties(label), alias],
    replySignature: 'oo',
  });
}

/** The properties that a collection is created with. */
export function collectionProperties(label: string): Map<string, Variant> {
  return new Map([[`${COLLECTION_INTERFACE}.Label`, new Variant('s', label)]]);
}

/**
 * Deletes an item without a secret that KeePassXC leaves where it does not take the secret, such as a reference to another
 * entry: whoever looks for the item would be given an empty one. Never rejects.
 */
async function removeLeftover(context: ServiceContext, path: string): Promise<void> {
  const limits = { timeoutMs: LEFTOVER_TIMEOUT_MS, promptTimeoutMs: LEFTOVER_TIMEOUT_MS };
  try {
    await deleteItem(context, context.begin(limits), path);
  } catch {
    // The error to tell is that the item was not made.
  }
}

const LEFTOVER_TIMEOUT_MS = 2_000;

/** Makes a call that creates an object, at once or when the user has answered a prompt. */
async function create(context: ServiceContext, operation: Operation, call: ServiceCall): Promise<string> {
  // Twice would make two.
  const { values, result } = await context.callPrompting(operation, { ...call, isRepeatable: false });
  const path = result === undefined ? values[0] : parseVariant(result, 'o', 'what the prompt gave');
  return parseObjectPath(path, 'the new object');
}

/** Finds the items of one collection; services do not say which of them are locked. */
export async function searchCollection(
  context: ServiceContext,
  operation: Operation,
  collectionPath: string,
  attributes: ReadonlyMap<string, string>,
): Promise<string[]> {
  const [paths] = await context.call(operation, {
    path: collectionPath,
    interface: COLLECTION_INTERFACE,
    member: 'SearchItems',
    signature: 'a{ss}',
    body: [attributes],
    replySignature: 'ao',
  });
  return parseObjectPaths(paths, 'SearchItems');
}

/**
 * Finds the collection that has an alias.
 * @returns Its path, or undefined if there is none.
 */
export async function readAlias(
  context: ServiceContext,
  operation: Operation,
  alias: string,
): Promise<string | undefined> {
  const [value] = await context.call(operation, {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'ReadAlias',
    signature: 's',
    body: [alias],
    replySignature: 'o',
  });
  const path = parsePath(value, 'ReadAlias');
  return path === NO_OBJECT ? undefined : path;
}

/** Gives a collection an alias, or takes the alias away. */
export async function writeAlias(
  context: ServiceContext,
  operation: Operation,
  alias: string,
  path: string = NO_OBJECT,
): Promise<void> {
  await context.call(operation, {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'SetAlias',
    signature: 'so',
    body: [alias, path],
    replySignature: '',
  });
}

/**
 * Finds the default collection.
 * @throws {SecretServiceError} `no-default-collection`
 */
export async function readDefaultCollection(context: ServiceContext, operation: Operation): Promise<string> {
  const path = await readAlias(context, operation, DEFAULT_ALIAS);
  if (path === undefined) {
    throw new SecretServiceError('no-default-collection', 'the service has no default collection');
  }
  return path;
}

/**
 * Finds a collection to store in: the default one, else the one that lasts as long as the service, else the first.
 * @throws {SecretServiceError} `no-default-collection` if there is none at all
 */
export async function readAnyCollection(context: ServiceContext, operation: Operation): Promise<string> {
  const path =
    (await readAlias(context, operation, DEFAULT_ALIAS)) ??
    (await readAlias(context, operation, SESSION_ALIAS)) ??
    (await readCollections(context, operation))[0];
  if (path !== undefined) return path;
  throw new SecretServiceError('no-default-collection', 'the service has no collection');
}

/** The label of a default collection that has to be made. */
const DEFAULT_LABEL = 'Default';

/** Finds the default collection, or creates it. @throws {SecretServiceError} `prompt-required`, `prompt-dismissed` */
export async function readOrCreateDefaultCollection(
  context: ServiceContext,
  operation: Operation,
  label: string = DEFAULT_LABEL,
): Promise<string> {
  return await createCollection(context, operation, label, DEFAULT_ALIAS);
}

/** Lists the collections. */
export async function readCollections(context: ServiceContext, operation: Operation): Promise<string[]> {
  const property = { path: SERVICE_PATH, interface: SERVICE_INTERFACE, name: 'Collections', signature: 'ao' };
  return parseObjectPaths(await context.getProperty(operation, property), 'Collections');
}

/** What a collection is. */
export interface CollectionProperties {
  readonly label: string;
  readonly locked: boolean;
  /** Undefined where the service does not know. */
  readonly created: Date | undefined;
  /** Undefined where the service does not know. */
  readonly modified: Date | undefined;
  /** The object paths of its items. */
  readonly itemPaths: readonly string[];
}

/** Reads all properties of one collection in one call. */
export async function readCollectionProperties(
  context: ServiceContext,
  operation: Operation,
  path: string,
): Promise<CollectionProperties> {
  const properties = await context.getProperties(operation, path, COLLECTION_INTERFACE);
  return {
    label: parseString(valueOf(properties, 'Label', 's'), 'Label'),
    locked: parseBoolean(valueOf(properties, 'Locked', 'b'), 'Locked'),
    created: timeOf(properties, 'Created'),
    modified: timeOf(properties, 'Modified'),
    itemPaths: parseObjectPaths(valueOf(properties, 'Items', 'ao'), 'Items'),
  };
}

/** Which of the collections at `paths` are locked. What is gone is left out. */
export async function readLockedCollections(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<string[]> {
  const locked: string[] = [];
  await concurrently(paths, async (path) => {
    if ((await readLocked(context, operation, asCollection(path))) === true) locked.push(path);
  });
  return locked;
}

/** A collection, to be asked whether it is locked. */
export function asCollection(path: string): Lockable {
  return { path, interfaceName: COLLECTION_INTERFACE };
}
