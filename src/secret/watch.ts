/**
 * What happens to collections and items, as a stream that stays right when the service restarts.
 *
 * Secret Service specification 0.2, the signals of "Service" and "Collection". What a service did while it
 * was not there sends no signals: it is found by comparing what there is with what there was.
 */

import {
  CancelledError,
  type Message,
  type OwnerChange,
  type Subscription,
  whenAborted,
} from '../wire/index.js';
import { readCollectionProperties, readCollections } from './calls/collection-calls.js';
import { concurrently } from './calls/concurrently.js';
import { Collection } from './collection.js';
import type { ServiceContext } from './connection/context.js';
import type { Operation, OperationOptions } from './connection/operation.js';
import { watchReconnection } from './connection/reconnection.js';
import { SecretServiceError } from './errors.js';
import { Item } from './item.js';
import { hasCode, mapError } from './map-error.js';
import { COLLECTION_INTERFACE, NO_OBJECT, SERVICE_INTERFACE, SERVICE_NAME, SERVICE_PATH } from './names.js';

/** What happened to a collection or an item. */
export type ServiceChange =
  | {
      readonly type: 'collection-created' | 'collection-changed' | 'collection-deleted';
      readonly collection: Collection;
    }
  | {
      readonly type: 'item-created' | 'item-changed' | 'item-deleted';
      readonly collection: Collection;
      readonly item: Item;
    }
  /**
   * The service has restarted, or changes came faster than they were read. What came and went has been told by now; of
   * all the rest anything may have changed.
   */
  | { readonly type: 'resynchronized' };

/** What {@link SecretService.watch} takes: `signal` ends the watch, `timeoutMs` bounds each time that everything is listed. */
export type WatchOptions = Pick<OperationOptions, 'signal' | 'timeoutMs'>;

/** How many changes may wait to be read; when there are more, they give way to a comparison. */
const MAX_QUEUED_CHANGES = 1024;

const INTERFACES: ReadonlySet<unknown> = new Set([SERVICE_INTERFACE, COLLECTION_INTERFACE]);

/** The objects that KWallet and KeePassXC signal on beside those of the collections. */
const ALIASES = `${SERVICE_PATH}/aliases/`;

type Changes = AsyncGenerator<ServiceChange, void>;

type Change = 'created' | 'changed' | 'deleted';

/**
 * The changes as an async iterable, read once. It ends with `close()`, with leaving the loop and with the client, and
 * throws CancelledError or a SecretServiceError where it ends otherwise. A change may be told several times: services do.
 */
export class Watch implements AsyncIterableIterator<ServiceChange, undefined> {
  /** Resolves once no change can be missed any more. Rejects where the watch ends before. */
  readonly ready: Promise<void>;
  readonly #context: ServiceContext;
  /** Those of the caller, but for the signal: listing ends with the watch. */
  readonly #options: WatchOptions;
  readonly #ended = new AbortController();
  readonly #changes: AsyncGenerator<ServiceChange, undefined>;
  #subscriptions: Pick<Subscription, 'ready' | 'close'>[] = [];
  /** The paths of the items of each collection, by its path. */
  #snapshot: Map<string, Set<string>> = new Map();
  #queue: Message[] = [];
  /** Whether changes were missed, so that what there is has to be compared with what there was. */
  #isBehind = false;
  #end: { readonly error: Error | undefined } | undefined;
  #wake: () => void = () => {};
  #stopListening: () => void = () => {};

  /** @internal */
  constructor(context: ServiceContext, options: WatchOptions) {
    this.#context = context;
    // Looks at all of them, too.
    const { signal } = context.begin(options);
    this.#options = { ...options, signal: this.#ended.signal };
    this.ready = this.#begin(signal);
    this.ready.catch(() => {});
    this.#changes = this.#run();
  }

  next(): Promise<IteratorResult<ServiceChange, undefined>> {
    return this.#changes.next();
  }

  async return(): Promise<IteratorResult<ServiceChange, undefined>> {
    await this.close();
    return await this.#changes.return(undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the watch, also for who waits for a change. Never rejects. */
  async close(): Promise<void> {
    this.#finish(undefined);
    await Promise.all(this.#subscriptions.map((subscription) => subscription.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #begin(signal: AbortSignal | undefined): Promise<void> {
    const { bus, closing } = this.#context;
    try {
      if (signal?.aborted === true) throw new CancelledError(signal.reason);
      const stops = [
        whenAborted(closing, () => this.#finish(undefined)),
        whenAborted(signal, () => this.#finish(new CancelledError(signal?.reason))),
      ];
      this.#stopListening = () => stops.forEach((stop) => stop());
      const operation = this.#context.begin(this.#options);
      const owners = bus.watchName(SERVICE_NAME);
      const reconnections = watchReconnection(bus, () => this.#fallBehind(), this.#onError);
      this.#subscriptions = [owners, reconnections, this.#listen()];
      void this.#follow(owners);
      await operation.waitFor(Promise.all(this.#subscriptions.map(({ ready }) => ready)));
      this.#snapshot = await this.#list(operation);
    } catch (error) {
      this.#finish(mapError(error, 'watch'));
    }
    if (this.#end !== undefined) throw this.#end.error ?? closedError();
  }

  readonly #onError = (error: unknown): void => this.#finish(mapError(error, 'watch'));

  /** With one rule for the service and its collections, whose signals would lose their order in two queues. */
  #listen(): Subscription {
    const rule = { sender: SERVICE_NAME, pathNamespace: SERVICE_PATH };
    let dropped = 0;
    const take = (message: Message): void => {
      if (signals.dropped > dropped) this.#fallBehind();
      dropped = signals.dropped;
      if (INTERFACES.has(message.interface)) this.#push(message);
    };
    const signals = this.#context.bus.signals(rule, take, { onError: this.#onError });
    return signals;
  }

  async #follow(owners: AsyncIterable<OwnerChange>): Promise<void> {
    try {
      for await (const { newOwner } of owners) if (newOwner !== undefined) this.#fallBehind();
      this.#finish(undefined);
    } catch (error) {
      this.#finish(mapError(error, 'watch'));
    }
  }

  #push(message: Message): void {
    // KWallet and KeePassXC say everything a second time on the path of each alias.
    if (message.path?.startsWith(ALIASES) === true) return;
    if (this.#queue.length >= MAX_QUEUED_CHANGES) this.#fallBehind();
    // The comparison that is to come tells what this does.
    if (this.#isBehind) return;
    this.#queue.push(message);
    this.#wake();
  }

  #fallBehind(): void {
    this.#queue = [];
    this.#isBehind = true;
    this.#wake();
  }

  #finish(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#stopListening();
    this.#ended.abort();
    for (const subscription of this.#subscriptions) void subscription.close();
    this.#wake();
  }

  async *#run(): AsyncGenerator<ServiceChange, undefined> {
    try {
      await this.ready.catch(() => {});
      while (this.#end === undefined) {
        const isIdle = !this.#isBehind && this.#queue.length === 0;
        if (isIdle) await new Promise<void>((resolve) => (this.#wake = resolve));
        else yield* this.#untilEnd(this.#isBehind ? this.#resynchronize() : this.#tell(this.#queue.shift()));
      }
      if (this.#end.error !== undefined) throw this.#end.error;
      return undefined;
    } finally {
      await this.close();
    }
  }

  /** What is still to be told when the watch ends is not told. */
  async *#untilEnd(changes: Changes): Changes {
    for await (const change of changes) {
      if (this.#end !== undefined) return;
      yield change;
    }
  }

  /** Tells what a signal says; nothing for one that is not of the specification, or says what is known. */
  async *#tell(message: Message | undefined): Changes {
    if (message === undefined) return;
    const { interface: interfaceName, member = '', path = '', signature, body } = message;
    const [, kind, verb] = /^(Collection|Item)(Created|Changed|Deleted)$/.exec(member) ?? [];
    const [object] = body;
    const expected = interfaceName === SERVICE_INTERFACE ? 'Collection' : 'Item';
    // KeePassXC says that "/" has changed when an item was deleted.
    if (kind !== expected || signature !== 'o' || typeof object !== 'string' || object === NO_OBJECT) return;
    const known = kind === 'Item' ? this.#snapshot.get(path) : this.#snapshot;
    const said = (verb as string).toLowerCase() as Change;
    const isKnown = known?.has(object) === true;
    // KWallet says that an item has changed before it says that there is one.
    const change = said === 'changed' && !isKnown ? 'created' : said;
    // KeePassXC says each thing several times.
    if (change !== 'changed' && known !== undefined && isKnown === (change === 'created')) return;
    if (kind === 'Item') {
      yield this.#changeItem(path, object, change);
      return;
    }
    yield this.#changeCollection(object, change);
    // What was unlocked may show items that it hid, and says nothing of them.
    const present =
      change === 'deleted' ? undefined : await this.#read((operation) => this.#listItems(operation, object));
    if (present !== undefined) yield* this.#compare(object, present);
  }

  #changeCollection(path: string, change: Change): ServiceChange {
    if (change === 'deleted') this.#snapshot.delete(path);
    else if (!this.#snapshot.has(path)) this.#snapshot.set(path, new Set());
    return { type: `collection-${change}`, collection: new Collection(this.#context, path) };
  }

  #changeItem(collectionPath: string, path: string, change: Change): ServiceChange {
    const items = this.#snapshot.get(collectionPath);
    // Services delete what is in a collection after it, too.
    if (change === 'deleted') items?.delete(path);
    else if (items !== undefined) items.add(path);
    else this.#snapshot.set(collectionPath, new Set([path]));
    const collection = new Collection(this.#context, collectionPath);
    return { type: `item-${change}`, collection, item: new Item(this.#context, path) };
  }

  /** Tells what has come and gone since the last signal. */
  async *#resynchronize(): Changes {
    // Signals from here on are for after the comparison.
    this.#isBehind = false;
    const present = await this.#read(this.#list);
    if (present === undefined) return;
    for (const path of this.#snapshot.keys()) {
      if (!present.has(path)) yield this.#changeCollection(path, 'deleted');
    }
    for (const [path, items] of present) {
      if (!this.#snapshot.has(path)) yield this.#changeCollection(path, 'created');
      yield* this.#compare(path, items);
    }
    yield { type: 'resynchronized' };
  }

  /** Tells which items of a collection have come and gone. */
  *#compare(collectionPath: string, present: ReadonlySet<string>): Generator<ServiceChange, void> {
    const before = this.#snapshot.get(collectionPath) ?? new Set();
    for (const item of before) {
      if (!present.has(item)) yield this.#changeItem(collectionPath, item, 'deleted');
    }
    for (const item of present) {
      if (!before.has(item)) yield this.#changeItem(collectionPath, item, 'created');
    }
  }

  /** What `list` gives; undefined where the service has gone again, whose next start is told, and where the watch ends. */
  async #read<Result>(list: (operation: Operation) => Promise<Result>): Promise<Result | undefined> {
    try {
      return await list(this.#context.begin(this.#options));
    } catch (error) {
      if (!hasCode(error, 'not-available')) this.#finish(mapError(error, 'watch'));
      return undefined;
    }
  }

  readonly #list = async (operation: Operation): Promise<Map<string, Set<string>>> => {
    const listed = new Map<string, Set<string>>();
    await concurrently(await readCollections(this.#context, operation), async (path) => {
      const items = await this.#listItems(operation, path);
      if (items !== undefined) listed.set(path, items);
    });
    return listed;
  };

  /**
   * The items of a collection; of a locked one also those that were there when it was seen last, for some services show
   * none. Undefined for a collection that is gone.
   */
  async #listItems(operation: Operation, path: string): Promise<Set<string> | undefined> {
    const known = this.#snapshot.get(path) ?? new Set();
    try {
      const { itemPaths, locked } = await readCollectionProperties(this.#context, operation, path);
      return new Set(locked ? [...known, ...itemPaths] : itemPaths);
    } catch (error) {
      if (hasCode(error, 'locked')) return new Set(known);
      if (hasCode(error, 'not-found')) return undefined;
      throw error;
    }
  }
}

function closedError(): SecretServiceError {
  return new SecretServiceError('closed', 'the watch is closed');
}
