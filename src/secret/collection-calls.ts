/**
 * The calls on collections and on the service, shared by the classes and by the operations over many
 * items.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Collection" and
 * "org.freedesktop.Secret.Service". Each throws as `Caller.call` does, and `bad-reply`.
 */

import { Variant } from '../wire/index.js';
import type { ServiceContext } from './context.js';
import { SecretServiceError } from './errors.js';
import {
  COLLECTION_INTERFACE,
  DEFAULT_ALIAS,
  ITEM_INTERFACE,
  NO_OBJECT,
  SECRET_SIGNATURE,
  SERVICE_INTERFACE,
  SERVICE_PATH,
} from './names.js';
import type { Operation } from './operation.js';
import { assertNoPrompt } from './prompt.js';
import { parseObjectPath, parseObjectPaths, parsePath } from './replies.js';
import type { SecretToStore } from './secret.js';

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
 * @throws {SecretServiceError} `prompt-required`
 */
export async function createItem(
  context: ServiceContext,
  operation: Operation,
  collectionPath: string,
  item: ItemToCreate,
): Promise<string> {
  const { caller, session } = context;
  const properties = new Map<string, Variant>([
    [`${ITEM_INTERFACE}.Label`, new Variant('s', item.label)],
    [`${ITEM_INTERFACE}.Attributes`, new Variant('a{ss}', item.attributes)],
  ]);
  const [path, prompt] = await caller.call(operation, {
    path: collectionPath,
    interface: COLLECTION_INTERFACE,
    member: 'CreateItem',
    signature: `a{sv}${SECRET_SIGNATURE}b`,
    body: [properties, session.encode(item.secret.bytes, item.secret.contentType), item.replace],
    replySignature: 'oo',
  });
  assertNoPrompt(caller, prompt, 'CreateItem');
  return parseObjectPath(path, 'the new item');
}

/** Finds the items of one collection; services do not say which of them are locked. */
export async function searchCollection(
  context: ServiceContext,
  operation: Operation,
  collectionPath: string,
  attributes: ReadonlyMap<string, string>,
): Promise<string[]> {
  const [paths] = await context.caller.call(operation, {
    path: collectionPath,
    interface: COLLECTION_INTERFACE,
    member: 'SearchItems',
    signature: 'a{ss}',
    body: [attributes],
    replySignature: 'ao',
  });
  return parseObjectPaths(paths, 'SearchItems');
}

/** The paths of items, by whether they are locked. */
export interface FoundPaths {
  readonly unlocked: string[];
  readonly locked: string[];
}

/** Finds the items of all collections. */
export async function searchService(
  context: ServiceContext,
  operation: Operation,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  const [unlocked, locked] = await context.caller.call(operation, {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'SearchItems',
    signature: 'a{ss}',
    body: [attributes],
    replySignature: 'aoao',
  });
  return {
    unlocked: parseObjectPaths(unlocked, 'SearchItems'),
    locked: parseObjectPaths(locked, 'SearchItems'),
  };
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
  const [value] = await context.caller.call(operation, {
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
