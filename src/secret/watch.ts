/**
 * What happens to collections and items, as a stream that stays right when the service restarts.
 *
 * Secret Service specification 0.2, the signals of "Service" and "Collection". What a service did while it
 * was not there sends no signals: it is found by comparing what there is with what there was.
 */

import { CancelledError, type Message, type OwnerChange, type Subscription } from '../wire/index.js';
import { readCollectionProperties, readCollections } from './calls/collection-calls.js';
import { concurrently } from './calls/concurrently.js';
import { Collection } from './collection.js';
import type { ServiceContext } from './connection/context.js';
import type { Operation, OperationOptions } from './connection/operation.js';
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

type Change = 'created' | 'changed' | 'deleted';

/** The paths of the items of each collection, by its path. */
type Snapshot = ReadonlyMap<string, Set<string>>;

/**
 * The changes as an async iterable, read once. It ends with `close()`, with leaving the loop and with the client, and
 * throws CancelledError or a SecretServiceError where it ends otherwise. What happens while everything is listed, at the
 * beginning and after a restart, may be told twice.
 */
export class Watch implements AsyncIterableIterator<ServiceChange, undefined> {
  /** Resolves once no change can be missed any more. Rejects where the watch ends before. */
  readonly ready: Promise<void>;
  readonly #context: ServiceContext;
  readonly #options: WatchOptions;
  readonly #changes: AsyncGenerator<ServiceChange, undefined>;
  #subscriptions: Pick<Subscription, 'ready' | 'close'>[] = [];
  #snapshot: Map<string, Set<string>> = new Map();
  #queue: Message[] = [];
  /** Whether changes were missed, so that what there is has to be compared with what there was. */
  #isBehind = false;
  #end: { readonly error: Error | undefined } | undefined;
  #wake: () => void = () => {};

  /** @internal */
  constructor(context: ServiceContext, options: WatchOptions) {
    this.#context = context;
    this.#options = options;
    this.ready = this.#begin(context.begin(options));
    this.ready.catch(() => {});
    this.#changes = this.#read();
  }

  next(): Promise<IteratorResult<ServiceChange, undefined>> {
    return this.#changes.next();
  }

  async return(): Promise<IteratorResult<ServiceChange, undefined>> {
    await this.close();
    return { done: true, value: undefined };
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

  async #begin(operation: Operation): Promise<void> {
    const { bus, closing } = this.#context;
    try {
      closing.addEventListener('abort', this.#onClosing);
      this.#options.signal?.addEventListener('abort', this.#onAbort);
      const owners = bus.watchName(SERVICE_NAME);
      this.#subscriptions = [owners, this.#listen(SERVICE_INTERFACE), this.#listen(COLLECTION_INTERFACE)];
      void this.#follow(owners);
      await operation.waitFor(Promise.all(this.#subscriptions.map(({ ready }) => ready)));
      this.#snapshot = await this.#list(operation);
    } catch (error) {
      this.#finish(mapError(error, 'watch'));
    }
    if (this.#end !== undefined) throw this.#end.error ?? closedError();
  }

  readonly #onClosing = (): void => this.#finish(undefined);

  readonly #onAbort = (): void => this.#finish(new CancelledError(this.#options.signal?.reason));

  #listen(interfaceName: string): Subscription {
    const rule = { sender: SERVICE_NAME, interface: interfaceName, pathNamespace: SERVICE_PATH };
    const onError = (error: unknown): void => this.#finish(mapError(error, 'watch'));
    return this.#context.bus.signals(rule, (message) => this.#push(message), { onError });
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
    this.#context.closing.removeEventListener('abort', this.#onClosing);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    for (const subscription of this.#subscriptions) void subscription.close();
    this.#wake();
  }

  async *#read(): AsyncGenerator<ServiceChange, undefined> {
    try {
      await this.ready.catch(() => {});
      while (this.#end === undefined) {
        if (this.#isBehind) yield* this.#resynchronize();
        else if (this.#queue.length > 0) yield* this.#changesOf(this.#queue.shift() as Message);
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (this.#end.error !== undefined) throw this.#end.error;
      return undefined;
    } finally {
      await this.close();
    }
  }

  /** What a signal says; nothing for a signal that is not of the specification. */
  *#changesOf({
    interface: interfaceName,
    member = '',
    path = '',
    signature,
    body,
  }: Message): Generator<ServiceChange> {
    const [, kind, verb] = /^(Collection|Item)(Created|Changed|Deleted)$/.exec(member) ?? [];
    const [object] = body;
    const expected = interfaceName === SERVICE_INTERFACE ? 'Collection' : 'Item';
    if (kind !== expected || signature !== 'o' || typeof object !== 'string' || object === NO_OBJECT) return;
    const change = (verb as string).toLowerCase() as Change;
    if (kind === 'Collection') yield this.#changeCollection(object, change);
    else yield this.#changeItem(path, object, change);
  }

  #changeCollection(path: string, change: Change): ServiceChange {
    if (change === 'deleted') this.#snapshot.delete(path);
    else if (!this.#snapshot.has(path)) this.#snapshot.set(path, new Set());
    return { type: `collection-${change}`, collection: new Collection(this.#context, path) };
  }

  #changeItem(collectionPath: string, path: string, change: Change): ServiceChange {
    const items = this.#snapshot.get(collectionPath) ?? new Set();
    this.#snapshot.set(collectionPath, items);
    if (change === 'deleted') items.delete(path);
    else items.add(path);
    const collection = new Collection(this.#context, collectionPath);
    return { type: `item-${change}`, collection, item: new Item(this.#context, path) };
  }

  /** Tells what has come and gone since the last signal. */
  async *#resynchronize(): AsyncGenerator<ServiceChange, void> {
    // Signals from here on are for after the comparison.
    this.#isBehind = false;
    const before: Snapshot = this.#snapshot;
    let present: Map<string, Set<string>>;
    try {
      present = await this.#list(this.#context.begin(this.#options));
    } catch (error) {
      // It has gone again: its next start is told.
      if (hasCode(error, 'not-available')) return;
      this.#finish(mapError(error, 'watch'));
      return;
    }
    this.#snapshot = present;
    for (const [path, items] of before) {
      for (const item of items) {
        if (present.has(path) && !present.get(path)?.has(item)) yield this.#changeItem(path, item, 'deleted');
      }
      if (!present.has(path)) yield this.#changeCollection(path, 'deleted');
    }
    for (const [path, items] of present) {
      if (!before.has(path)) yield this.#changeCollection(path, 'created');
      for (const item of items)
        if (!before.get(path)?.has(item)) yield this.#changeItem(path, item, 'created');
    }
    yield { type: 'resynchronized' };
  }

  /** What there is; of a locked collection, what was there when it was seen last: some services show nothing of it. */
  async #list(operation: Operation): Promise<Map<string, Set<string>>> {
    const listed = new Map<string, Set<string>>();
    await concurrently(await readCollections(this.#context, operation), async (path) => {
      const known = this.#snapshot.get(path) ?? new Set();
      try {
        const { itemPaths, locked } = await readCollectionProperties(this.#context, operation, path);
        listed.set(path, new Set(locked ? [...known, ...itemPaths] : itemPaths));
      } catch (error) {
        if (!hasCode(error, 'locked', 'not-found')) throw error;
        if (error.code === 'locked') listed.set(path, known);
      }
    });
    return listed;
  }
}

function closedError(): SecretServiceError {
  return new SecretServiceError('closed', 'the watch is closed');
}
