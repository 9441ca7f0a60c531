/** Every operation there is, and a client to run it with: what has to hold for all of them is tested for all of them. */
import {
  type Collection,
  createCollectionWithPassword,
  type Item,
  type OperationOptions,
  SecretService,
  unlockWithPassword,
} from '../../../src/secret/index.js';
import type { Bus } from '../../../src/wire/index.js';
import { LOGIN, MockService } from './mock-service.js';
import type { PromptCase, Quirks } from './quirks.js';

export interface Objects {
  readonly service: MockService;
  readonly client: SecretService;
  readonly bus: Bus;
  /** Ends the connection from the other side. */
  readonly hangUp: () => void;
  readonly collection: Collection;
  readonly item: Item;
  /** An item that is locked. */
  readonly locked: Item;
}

export type Run = (objects: Objects, options: OperationOptions) => Promise<unknown>;

export const attributes = { a: 'b' };
export const lockedAttributes = { c: 'd' };
const secret = 'x';
const label = 'new';

/** Every operation that asks nobody. */
export const operations: Readonly<Record<string, Run>> = {
  defaultCollection: ({ client }, options) => client.defaultCollection(options),
  'defaultCollection, created': ({ service, client }, options) => {
    service.aliases.delete('default');
    return client.defaultCollection({ create: true, ...options });
  },
  anyCollection: ({ service, client }, options) => {
    service.aliases.delete('default');
    return client.anyCollection(options);
  },
  collection: ({ client }, options) => client.collection('default', options),
  'collection, by path': ({ client }, options) => client.collection(LOGIN, options),
  collections: ({ client }, options) => client.collections(options),
  createCollection: ({ client }, options) => client.createCollection(label, options),
  setAlias: ({ client, collection }, options) => client.setAlias('other', collection, options),
  'setAlias, to none': ({ client }, options) => client.setAlias('default', undefined, options),
  'service.lock': ({ client, item, collection }, options) => client.lock([item, collection], options),
  'service.unlock': ({ client, item, locked }, options) => client.unlock([item, locked], options),
  search: ({ client }, options) => client.search(attributes, options),
  getSecrets: ({ client, item, locked }, options) => client.getSecrets([item, locked], options),
  getProperties: ({ client, item, locked }, options) => client.getProperties([item, locked], options),
  findAll: ({ client }, options) => client.findAll(attributes, options),
  lookup: ({ client }, options) => client.lookup(attributes, options),
  'lookup, exact': ({ client }, options) => client.lookup(attributes, { exact: true, ...options }),
  'lookup, of several': ({ service, client }, options) => {
    service.add({ ...attributes, more: 'x' }, 'more');
    return client.lookup(attributes, options);
  },
  set: ({ client }, options) => client.set(attributes, secret, { label, ...options }),
  'set, a new item': ({ client }, options) => client.set({ new: 'one' }, secret, options),
  'set, in a collection': ({ client, collection }, options) =>
    client.set(attributes, secret, { collection, ...options }),
  clear: ({ client }, options) => client.clear(attributes, options),
  listValues: ({ client }, options) => client.listValues(attributes, 'c', options),
  'client.probe': ({ client }, options) => client.probe(options),
  createItem: ({ collection }, options) => collection.createItem({ label, attributes, secret }, options),
  'collection.search': ({ collection }, options) => collection.search(attributes, options),
  'collection.items': ({ collection }, options) => collection.items(options),
  'collection.label': ({ collection }, options) => collection.label(options),
  'collection.setLabel': ({ collection }, options) => collection.setLabel(label, options),
  'collection.locked': ({ collection }, options) => collection.locked(options),
  'collection.created': ({ collection }, options) => collection.created(options),
  'collection.modified': ({ collection }, options) => collection.modified(options),
  'collection.properties': ({ collection }, options) => collection.properties(options),
  'collection.lock': ({ collection }, options) => collection.lock(options),
  'collection.assertUnlocked': ({ collection }, options) => collection.assertUnlocked(options),
  'collection.delete': ({ collection }, options) => collection.delete(options),
  'item.getSecret': ({ item }, options) => item.getSecret(options),
  'item.setSecret': ({ item }, options) => item.setSecret(secret, options),
  'item.delete': ({ item }, options) => item.delete(options),
  'item.label': ({ item }, options) => item.label(options),
  'item.setLabel': ({ item }, options) => item.setLabel('', options),
  'item.setLabel, in a folder': ({ item }, options) => item.setLabel('folder/new', options),
  'item.attributes': ({ item }, options) => item.attributes(options),
  'item.setAttributes': ({ item }, options) => item.setAttributes({ a: 'b' }, options),
  'item.locked': ({ item }, options) => item.locked(options),
  'item.created': ({ item }, options) => item.created(options),
  'item.modified': ({ item }, options) => item.modified(options),
  'item.properties': ({ item }, options) => item.properties(options),
  'item.assertUnlocked': ({ item }, options) => item.assertUnlocked(options),
  'item.unlock': ({ locked }, options) => locked.unlock(options),
  'item.lock': ({ item }, options) => item.lock(options),
  createCollectionWithPassword: ({ client }, options) =>
    createCollectionWithPassword(client, label, 'pass', { alias: 'other', ...options }),
  unlockWithPassword: ({ service, collection }, options) => {
    service.setPassword(LOGIN, 'pass');
    return unlockWithPassword(collection, 'pass', options);
  },
};

/** Those that have the user asked by a service that always asks. */
export const prompting: Readonly<Record<string, Run>> = {
  'defaultCollection, created': operations['defaultCollection, created'] as Run,
  createCollection: operations['createCollection'] as Run,
  'service.lock': operations['service.lock'] as Run,
  'service.unlock': operations['service.unlock'] as Run,
  'lookup, locked': ({ client }, options) => client.lookup(lockedAttributes, options),
  'findAll, locked': ({ client }, options) => client.findAll(lockedAttributes, options),
  'set, locked': ({ client }, options) => client.set(lockedAttributes, secret, options),
  'set, a new item': operations['set, a new item'] as Run,
  'clear, locked': ({ client }, options) => client.clear(lockedAttributes, options),
  createItem: operations['createItem'] as Run,
  'collection.delete': operations['collection.delete'] as Run,
  'collection.lock': operations['collection.lock'] as Run,
  'item.delete': operations['item.delete'] as Run,
  'item.unlock': operations['item.unlock'] as Run,
  'item.lock': operations['item.lock'] as Run,
};

export const ALL_PROMPTS: ReadonlySet<PromptCase> = new Set([
  'CreateCollection',
  'CreateItem',
  'CreateItem, locked',
  'Delete',
  'Delete, locked',
  'Lock',
  'Unlock',
]);

/** A client of a mock with two items, one of which is locked, in a plain session. */
export async function prepared(quirks: Partial<Quirks> = {}): Promise<Objects> {
  const service = new MockService(quirks);
  service.unlocks = true;
  const paths = [service.add(attributes, 'one'), service.add(lockedAttributes, 'two', { isLocked: true })];
  const { bus, hangUp } = await service.openBus();
  const client = await SecretService.connect({ bus, session: 'plain', timeoutMs: 5_000, prompt: 'never' });
  const collection = await client.defaultCollection();
  const items = await collection.items();
  const [item, locked] = paths.map((path) => items.find((one) => one.path === path));
  if (item === undefined || locked === undefined) throw new Error('the mock lost an item');
  service.calls.length = 0;
  return { service, client, bus, hangUp, collection, item, locked };
}

/** What the operation calls when nothing goes wrong: the members, in order. */
export async function stepsOf(
  run: Run,
  options: OperationOptions,
  quirks: Partial<Quirks> = {},
): Promise<string[]> {
  const objects = await prepared(quirks);
  await run(objects, options);
  const { members } = objects.service;
  await objects.client.close();
  await objects.bus.close();
  return members;
}

/** Ends what {@link prepared} gave. */
export async function release({ service, client, bus }: Objects): Promise<void> {
  service.overrides.clear();
  service.interceptor = undefined;
  await client.close();
  await bus.close();
}
