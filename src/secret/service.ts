/**
 * The client of a Secret Service.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Service". Nothing is introspected.
 */

import {
  type Attributes,
  assertLabel,
  attributesKey,
  labelFor,
  readAttributes,
  readSelectiveAttributes,
} from './attributes.js';
import {
  createCollection,
  readAlias,
  readAnyCollection,
  readCollections,
  readDefaultCollection,
  readOrCreateDefaultCollection,
  writeAlias,
} from './calls/collection-calls.js';
import { clear, findAll, listValues } from './calls/find-items.js';
import { type ItemProperties, readAllProperties } from './calls/item-calls.js';
import { lockAll, unlockAll } from './calls/locking.js';
import { lookup } from './calls/lookup.js';
import { readSecrets } from './calls/read-secrets.js';
import { parseString } from './calls/replies.js';
import { searchService } from './calls/search-service.js';
import { type ItemToSet, set } from './calls/set.js';
import { Turns } from './calls/turns.js';
import { Collection } from './collection.js';
import { attach, type ConnectOptions, openBusFor, readAttachSettings } from './connection/connect.js';
import { type Attached, ServiceContext } from './connection/context.js';
import type { OperationOptions } from './connection/operation.js';
import type { SessionInfo } from './connection/session.js';
import { SecretServiceError } from './errors.js';
import { Item } from './item.js';
import { COLLECTION_INTERFACE } from './names.js';
import { type Probe, probeBus } from './probe.js';
import { Secret, type SecretInput, SecretToStore } from './secret.js';
import {
  assertString,
  type CreateCollectionOptions,
  type DefaultCollectionOptions,
  type FindOptions,
  type FoundItem,
  type FoundItems,
  type MatchOptions,
  pathsOf,
  readWanted,
  type SetOptions,
} from './service-options.js';
import { Watch, type WatchOptions } from './watch.js';

/**
 * A connection to the Secret Service with an open session.
 *
 * Every method rejects with SecretServiceError, or with the wire's DeadlineError and CancelledError. `timeoutMs` bounds
 * all the calls of a method together, `promptTimeoutMs` each wait for the user. The service may restart: the next
 * operation opens a session with the new one.
 */
export class SecretService {
  readonly #context: ServiceContext;
  readonly #isBusOurs: boolean;
  readonly #setting = new Turns();
  #closing: Promise<void> | undefined;

  private constructor(context: ServiceContext, isBusOurs: boolean) {
    this.#context = context;
    this.#isBusOurs = isBusOurs;
  }

  /**
   * Connects to the service and opens a session, an encrypted one unless the options allow another.
   * @returns A service owned by the caller, who closes it.
   * @throws {SecretServiceError} `not-available` if there is no bus or no service, or none that answers (`isAbsent`
   * tells which); `session` if the service has no session that is allowed.
   */
  static async connect(options: ConnectOptions = {}): Promise<SecretService> {
    const settings = readAttachSettings(options);
    const { bus, isOurs } = await openBusFor(options);
    try {
      const open = (signal: AbortSignal | undefined): Promise<Attached> => attach(bus, settings, signal);
      const context = new ServiceContext(bus, await open(options.signal), open, settings.defaults);
      return new SecretService(context, isOurs);
    } catch (error) {
      if (isOurs) await bus.close();
      throw error;
    }
  }

  /** @internal */
  get context(): ServiceContext {
    return this.#context;
  }

  /**
   * The session in force: which algorithm, and whether secrets are encrypted while they travel. Another one after the
   * service has restarted.
   */
  get session(): SessionInfo {
    return this.#context.session;
  }

  /** Tells how the service is now, without side effects; also whether the one that we are connected to has gone. */
  async probe(options: OperationOptions = {}): Promise<Probe> {
    return await probeBus(this.#context.bus, this.#context.begin(options));
  }

  /**
   * Finds the collection with the alias `default`.
   * @throws {SecretServiceError} `no-default-collection`; with `create`, `prompt-required` and `prompt-dismissed`
   */
  async defaultCollection(options: DefaultCollectionOptions = {}): Promise<Collection> {
    const operation = this.#context.begin(options);
    const { create = false } = options;
    if (typeof create !== 'boolean') assertLabel(create);
    const path =
      create === false
        ? await readDefaultCollection(this.#context, operation)
        : await readOrCreateDefaultCollection(
            this.#context,
            operation,
            create === true || create === '' ? undefined : create,
          );
    return new Collection(this.#context, path);
  }

  /**
   * Finds a collection to store in: the default one, else the one that lasts as long as the service, else the first.
   * @throws {SecretServiceError} `no-default-collection` if there is none at all
   */
  async anyCollection(options: OperationOptions = {}): Promise<Collection> {
    const operation = this.#context.begin(options);
    return new Collection(this.#context, await readAnyCollection(this.#context, operation));
  }

  /**
   * Finds a collection by its alias or its object path.
   * @throws {SecretServiceError} `not-found`
   */
  async collection(aliasOrPath: string, options: OperationOptions = {}): Promise<Collection> {
    const operation = this.#context.begin(options);
    assertString(aliasOrPath, 'the alias or path');
    if (!aliasOrPath.startsWith('/')) {
      const path = await readAlias(this.#context, operation, aliasOrPath);
      if (path === undefined) throw new SecretServiceError('not-found', 'no collection has this alias');
      return new Collection(this.#context, path);
    }
    const label = { path: aliasOrPath, interface: COLLECTION_INTERFACE, name: 'Label', signature: 's' };
    parseString(await this.#context.getProperty(operation, label), 'Label');
    return new Collection(this.#context, aliasOrPath);
  }

  /** Lists all collections. */
  async collections(options: OperationOptions = {}): Promise<Collection[]> {
    const paths = await readCollections(this.#context, this.#context.begin(options));
    return paths.map((path) => new Collection(this.#context, path));
  }

  /**
   * Creates a collection; most services ask the user for a password to lock it with.
   * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`
   */
  async createCollection(label: string, options: CreateCollectionOptions = {}): Promise<Collection> {
    const operation = this.#context.begin(options);
    const { alias = '' } = options;
    assertLabel(label);
    assertString(alias, 'the alias');
    return new Collection(this.#context, await createCollection(this.#context, operation, label, alias));
  }

  /**
   * Gives a collection an alias, or takes the alias away. Services differ in which aliases they let be set: `default` by all.
   * @throws {SecretServiceError} `not-supported`, `not-found`
   */
  async setAlias(
    alias: string,
    collection: Collection | undefined,
    options: OperationOptions = {},
  ): Promise<void> {
    const operation = this.#context.begin(options);
    assertString(alias, 'the alias');
    if (collection !== undefined) this.#assertOurs(collection);
    await writeAlias(this.#context, operation, alias, collection?.path);
  }

  /**
   * Unlocks many collections and items with one call, and one prompt at most.
   * @returns Those that are unlocked now, in their order.
   * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`, `not-found` if there is but one and it is gone
   */
  async unlock<Object extends Item | Collection>(
    objects: Iterable<Object>,
    options: OperationOptions = {},
  ): Promise<Object[]> {
    return await this.#change(unlockAll, objects, options);
  }

  /** Locks many collections and items. @returns Those that are locked now, in their order. @throws as {@link unlock} */
  async lock<Object extends Item | Collection>(
    objects: Iterable<Object>,
    options: OperationOptions = {},
  ): Promise<Object[]> {
    return await this.#change(lockAll, objects, options);
  }

  /**
   * Each change of a collection or an item that happens after `ready` of what is given has resolved, by whomever.
   * @throws {SecretServiceError} `bad-argument`, `closed`
   */
  watch(options: WatchOptions = {}): Watch {
    return new Watch(this.#context, options);
  }

  /** Finds the items of all collections that have all of `attributes`. Some services leave locked ones out. */
  async search(attributes: Attributes, options: OperationOptions = {}): Promise<FoundItems> {
    const operation = this.#context.begin(options);
    const found = await searchService(this.#context, operation, readAttributes(attributes));
    const toItem = (path: string): Item => new Item(this.#context, path);
    return { unlocked: found.unlocked.map(toItem), locked: found.locked.map(toItem) };
  }

  /**
   * Reads many secrets with few calls.
   * @returns By the items given, in their order; what is locked or gone is left out. The caller owns the
   * secrets.
   */
  async getSecrets(items: Iterable<Item>, options: OperationOptions = {}): Promise<Map<Item, Secret>> {
    const operation = this.#context.begin(options);
    const wanted = this.#readObjects(items);
    const byPath = await readSecrets(this.#context, operation, pathsOf(wanted));
    const secrets = new Map<Item, Secret>();
    const given = new Set<Secret>();
    for (const item of wanted) {
      const secret = byPath.get(item.path);
      if (secret === undefined || secrets.has(item)) continue;
      // Two Item objects of one path must not wipe each other's secret.
      secrets.set(item, given.has(secret) ? new Secret(secret.value.slice(), secret.contentType) : secret);
      given.add(secret);
    }
    return secrets;
  }

  /**
   * Reads the properties of many items, all at a time.
   * @returns By the items given, in their order; what is gone, or does not show them while it is locked, is left out.
   */
  async getProperties(
    items: Iterable<Item>,
    options: OperationOptions = {},
  ): Promise<Map<Item, ItemProperties>> {
    const operation = this.#context.begin(options);
    const wanted = this.#readObjects(items);
    const byPath = await readAllProperties(this.#context, operation, pathsOf(wanted));
    const properties = new Map<Item, ItemProperties>();
    for (const item of wanted) {
      const read = byPath.get(item.path);
      if (read !== undefined && read !== 'locked') properties.set(item, read);
    }
    return properties;
  }

  /**
   * Reads every item that has these attributes, among others or not, with its secret; with `exact` only those made with
   * exactly these. Two round trips, however many there are.
   * @throws {SecretServiceError} `locked` if one of them is locked and cannot be unlocked; `prompt-dismissed`
   */
  async findAll(attributes: Attributes, options: FindOptions = {}): Promise<FoundItem[]> {
    const operation = this.#context.begin(options);
    const { labels = false } = options;
    const found = await findAll(this.#context, operation, readWanted(attributes, options), labels);
    return found.map(({ path, label, attributes: all, secret }) => ({
      item: new Item(this.#context, path),
      label,
      attributes: all,
      secret,
    }));
  }

  /**
   * Reads the secret of the item with these attributes; the item made with exactly these comes before
   * items that have more, which with `exact` are none of them.
   * @returns The secret, owned by the caller; undefined if there is no such item.
   * @throws {SecretServiceError} `locked` if the item is locked, or may be among the locked ones.
   */
  async lookup(attributes: Attributes, options: MatchOptions = {}): Promise<Secret | undefined> {
    const operation = this.#context.begin(options);
    return await lookup(this.#context, operation, readWanted(attributes, options));
  }

  /**
   * Stores a secret in the item made with exactly these attributes, or in a new one. An item that has
   * them among others is another item and stays as it is; attributes that services are known to add do
   * not count. A `Uint8Array` is copied before this method returns.
   * @throws {SecretServiceError} `locked` if the item is locked, or may be among the locked ones;
   * `no-default-collection`, `prompt-required`.
   */
  async set(attributes: Attributes, secret: SecretInput, options: SetOptions = {}): Promise<Item> {
    const operation = this.#context.begin(options);
    const { collection, label } = options;
    if (collection !== undefined) this.#assertOurs(collection);
    const wanted = readSelectiveAttributes(attributes);
    const newLabel = labelFor(label, wanted);
    const stored = new SecretToStore(secret, options.contentType);
    const item: ItemToSet = {
      attributes: wanted,
      secret: stored,
      label: label === undefined || label === '' ? undefined : label,
      newLabel,
      collectionPath: collection?.path,
    };
    try {
      // Two at once for the same attributes would both find nothing and make two items.
      const path = await this.#setting.take(attributesKey(wanted), operation, () =>
        set(this.#context, operation, item),
      );
      return new Item(this.#context, path);
    } finally {
      stored.wipe();
    }
  }

  /**
   * Deletes every item that has these attributes, among others or not; with `exact` only those made with exactly these.
   * @returns How many were deleted.
   * @throws {SecretServiceError} `locked` if one of them is locked, or may be among the locked ones: the
   * others are deleted by then; `prompt-required`.
   */
  async clear(attributes: Attributes, options: MatchOptions = {}): Promise<number> {
    const operation = this.#context.begin(options);
    return await clear(this.#context, operation, readWanted(attributes, options));
  }

  /**
   * Lists the values that the attribute `name` has in the items with these attributes, such as the users of a server;
   * with `exact` only in those made with exactly these attributes and `name`. No secret is read.
   * @returns Each value once, in the order the service gives the items; one that goes away meanwhile is left out.
   * @throws {SecretServiceError} `locked` if an item's attributes are locked with it.
   */
  async listValues(attributes: Attributes, name: string, options: MatchOptions = {}): Promise<string[]> {
    const operation = this.#context.begin(options);
    const wanted = readWanted(attributes, options);
    if (typeof name !== 'string' || wanted.attributes.has(name)) {
      throw new SecretServiceError('bad-argument', 'the name must be a string, and none of the attributes');
    }
    return await listValues(this.#context, operation, wanted, name);
  }

  /**
   * Ends the session, wipes its key, and closes the bus if it was opened by {@link connect}. Later
   * operations reject with `closed`; one under way rejects too, at the latest with its next call or
   * secret. Never rejects, and settles within a few seconds; idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#context.close();
    if (this.#isBusOurs) await this.#context.bus.close();
  }

  async #change<Object extends Item | Collection>(
    change: typeof lockAll,
    objects: Iterable<Object>,
    options: OperationOptions,
  ): Promise<Object[]> {
    const operation = this.#context.begin(options);
    const wanted = this.#readObjects(objects);
    const changed = await change(this.#context, operation, wanted);
    return wanted.filter(({ path }) => changed.has(path));
  }

  /** @throws {SecretServiceError} `bad-argument` */
  #readObjects<Object extends Item | Collection>(objects: Iterable<Object>): Object[] {
    if (typeof objects?.[Symbol.iterator] !== 'function') {
      throw new SecretServiceError('bad-argument', 'the items must be iterable');
    }
    const read = [...objects];
    for (const object of read) this.#assertOurs(object);
    return read;
  }

  #assertOurs(object: Item | Collection): void {
    const isObject = object instanceof Item || object instanceof Collection;
    if (!isObject || object.context !== this.#context) {
      throw new SecretServiceError('bad-argument', 'not an item or collection of this connection');
    }
  }
}
