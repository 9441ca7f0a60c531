/**
 * The client of a Secret Service.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Service". Nothing is introspected.
 */

import {
  type Attributes,
  attributesKey,
  labelFor,
  readAttributes,
  readSelectiveAttributes,
} from './attributes.js';
import { Collection } from './collection.js';
import { readAlias, readDefaultCollection, searchService } from './collection-calls.js';
import type { OpenedService } from './connect.js';
import { type BusOptions, type ConnectOptions, openBusFor, openService, serviceExists } from './connect.js';
import { ServiceContext } from './context.js';
import { SecretServiceError } from './errors.js';
import { Item } from './item.js';
import { hasCode } from './map-error.js';
import { COLLECTION_INTERFACE, SERVICE_INTERFACE, SERVICE_PATH } from './names.js';
import { Operation, type OperationOptions } from './operation.js';
import { readSecrets } from './read-secrets.js';
import { parseObjectPaths, parseString } from './replies.js';
import { Secret, type SecretInput, SecretToStore } from './secret.js';
import { closeSession, type SessionInfo } from './session.js';
import * as verbs from './verbs.js';

/** What a search finds. */
export interface FoundItems {
  readonly unlocked: Item[];
  readonly locked: Item[];
}

/** What the verbs that find items by attributes take. */
export interface MatchOptions extends OperationOptions {
  /**
   * Only the item made with exactly these attributes, and none that has them among others; false if not given.
   * Attributes that services are known to add do not count. An item with more attributes was made by another program, or
   * for another purpose: a search finds it all the same.
   */
  readonly exact?: boolean | undefined;
}

/** What {@link SecretService.set} takes beside the attributes and the secret. */
export interface SetOptions extends OperationOptions {
  /** The label, also for an item that exists. Without it, or empty, one is made of the attributes. */
  readonly label?: string | undefined;
  /** As in `Item.setSecret`. */
  readonly contentType?: string | undefined;
  /** Where to look and store. Without it every collection is looked in, and the default one stored in. */
  readonly collection?: Collection | undefined;
}

/**
 * A connection to the Secret Service with an open session.
 *
 * Every method rejects with SecretServiceError, or with the wire's DeadlineError and CancelledError.
 * Each bounds its whole run by `timeoutMs`. No method shows a prompt: where the service wants
 * one, it is dismissed and the method rejects with `prompt-required`.
 */
export class SecretService {
  readonly #opened: OpenedService;
  readonly #context: ServiceContext;
  /** When the `set`s under way for the same attributes have ended. */
  readonly #setting = new Map<string, Promise<unknown>>();
  #closing: Promise<void> | undefined;

  private constructor(opened: OpenedService) {
    this.#opened = opened;
    this.#context = new ServiceContext(opened.caller, opened.session, opened.timeoutMs);
  }

  /**
   * Connects to the service and opens a session, an encrypted one unless the options allow another.
   * @returns A service owned by the caller, who closes it.
   * @throws {SecretServiceError} `not-available` if there is no bus or no service, or none that answers (`isAbsent`
   * tells which); `session` if the service has no session that is allowed.
   */
  static async connect(options: ConnectOptions = {}): Promise<SecretService> {
    return new SecretService(await openService(options));
  }

  /** The session in force: which algorithm, and whether secrets are encrypted while they travel. */
  get session(): SessionInfo {
    return this.#context.session;
  }

  /**
   * Finds the collection with the alias `default`.
   * @throws {SecretServiceError} `no-default-collection`
   */
  async defaultCollection(options: OperationOptions = {}): Promise<Collection> {
    const operation = this.#context.begin(options);
    return new Collection(this.#context, await readDefaultCollection(this.#context, operation));
  }

  /**
   * Finds a collection by its alias or its object path.
   * @throws {SecretServiceError} `not-found`
   */
  async collection(aliasOrPath: string, options: OperationOptions = {}): Promise<Collection> {
    const operation = this.#context.begin(options);
    const { caller } = this.#context;
    if (typeof aliasOrPath !== 'string') {
      throw new SecretServiceError('bad-argument', 'the alias or path must be a string');
    }
    if (!aliasOrPath.startsWith('/')) {
      const path = await readAlias(this.#context, operation, aliasOrPath);
      if (path === undefined) throw new SecretServiceError('not-found', 'no collection has this alias');
      return new Collection(this.#context, path);
    }
    const label = { path: aliasOrPath, interface: COLLECTION_INTERFACE, name: 'Label', signature: 's' };
    parseString(await caller.getProperty(operation, label), 'Label');
    return new Collection(this.#context, aliasOrPath);
  }

  /** Lists all collections. */
  async collections(options: OperationOptions = {}): Promise<Collection[]> {
    const operation = this.#context.begin(options);
    const property = { path: SERVICE_PATH, interface: SERVICE_INTERFACE, name: 'Collections' };
    const value = await this.#context.caller.getProperty(operation, { ...property, signature: 'ao' });
    return parseObjectPaths(value, 'Collections').map((path) => new Collection(this.#context, path));
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
    if (typeof items?.[Symbol.iterator] !== 'function') {
      throw new SecretServiceError('bad-argument', 'the items must be iterable');
    }
    const wanted = [...items];
    for (const item of wanted) this.#assertOurs(item);
    const paths = new Set(wanted.map((item) => item.path));
    const byPath = await readSecrets(this.#context, operation, [...paths]);
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
   * Reads the secret of the item with these attributes; the item made with exactly these comes before
   * items that have more, which with `exact` are none of them.
   * @returns The secret, owned by the caller; undefined if there is no such item.
   * @throws {SecretServiceError} `locked` if the item is locked, or may be among the locked ones.
   */
  async lookup(attributes: Attributes, options: MatchOptions = {}): Promise<Secret | undefined> {
    const operation = this.#context.begin(options);
    return await verbs.lookup(this.#context, operation, readWanted(attributes, options));
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
    const item: verbs.ItemToSet = {
      attributes: wanted,
      secret: stored,
      label: label === undefined || label === '' ? undefined : label,
      newLabel,
      collectionPath: collection?.path,
    };
    try {
      return new Item(this.#context, await this.#setInTurn(operation, item));
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
    return await verbs.clear(this.#context, operation, readWanted(attributes, options));
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
    return await verbs.listValues(this.#context, operation, wanted, name);
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
    const { caller, session, bus, isOurs } = this.#opened;
    caller.close();
    await closeSession(caller, session);
    if (isOurs) await bus.close();
  }

  /** One at a time for the same attributes: two at once would both find nothing and make two items. */
  async #setInTurn(operation: Operation, item: verbs.ItemToSet): Promise<string> {
    const key = attributesKey(item.attributes);
    const before = this.#setting.get(key);
    const turn = (async () => {
      if (before !== undefined) await operation.waitFor(before);
      return await verbs.set(this.#context, operation, item);
    })();
    // A turn that gave up waiting has ended before the one it waited for.
    const allSoFar = Promise.allSettled([before, turn]);
    this.#setting.set(key, allSoFar);
    void this.#forgetWhenEnded(key, allSoFar);
    return await turn;
  }

  async #forgetWhenEnded(key: string, allSoFar: Promise<unknown>): Promise<void> {
    await allSoFar;
    if (this.#setting.get(key) === allSoFar) this.#setting.delete(key);
  }

  #assertOurs(object: Item | Collection): void {
    const isObject = object instanceof Item || object instanceof Collection;
    if (!isObject || !object.belongsTo(this.#context)) {
      throw new SecretServiceError('bad-argument', 'not an item or collection of this connection');
    }
  }
}

/** @throws {SecretServiceError} `bad-argument` */
function readWanted(attributes: Attributes, options: MatchOptions): verbs.Wanted {
  const { exact = false } = options;
  if (typeof exact !== 'boolean') throw new SecretServiceError('bad-argument', 'exact must be a boolean');
  return { attributes: readSelectiveAttributes(attributes), isExact: exact };
}

/**
 * Tells whether a Secret Service is running on the bus, or can be started by it. Starts none, and opens
 * no session. False also if there is no bus.
 * @throws {SecretServiceError} for anything else; {DeadlineError}, {CancelledError}.
 */
export async function isAvailable(options: BusOptions = {}): Promise<boolean> {
  try {
    const { bus, isOurs } = await openBusFor(options);
    try {
      return await serviceExists(bus, new Operation(options));
    } finally {
      if (isOurs) await bus.close();
    }
  } catch (error) {
    if (hasCode(error, 'not-available')) return false;
    throw error;
  }
}
