/**
 * A stream of received messages between the connection and who reads them: bounded, so that a slow reader costs a known
 * amount of memory, and apart from replies, which it can never hold up. Layer 8: imports lower layers only.
 */
import { CancelledError, ClosedError, DBusError, OverloadError } from '../base/errors.js';
import { DEFAULT_MAX_QUEUED_SIGNALS, MAX_QUEUED_SIGNAL_BYTE_LENGTH } from '../base/limits.js';
import { type Deferred, deferred } from '../connection/deferred.js';
import type { Message } from '../message/message.js';
import { throwIfAborted, whenAborted } from '../transport/when-aborted.js';

/** What happens to what comes when the queue is full: the oldest makes room, the new one is dropped, or the stream fails. */
export type OverflowPolicy = 'drop-oldest' | 'drop-newest' | 'fail';

export interface SubscriptionOptions {
  /** Ends the subscription; who reads it gets a `CancelledError`. */
  readonly signal?: AbortSignal | undefined;
  /** How many may wait to be read; default 1,024. */
  readonly maxQueued?: number | undefined;
  /** Default `drop-oldest`. `dropped` counts what was lost. */
  readonly overflow?: OverflowPolicy | undefined;
}

export interface CallbackOptions extends SubscriptionOptions {
  /** Takes what the callback throws, and the error that ends the subscription; without it, the former is uncaught. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

const POLICIES: ReadonlySet<unknown> = new Set<OverflowPolicy>(['drop-oldest', 'drop-newest', 'fail']);

type Result<Item> = IteratorResult<Item, undefined>;

interface Queued<Item> {
  readonly item: Item;
  readonly byteLength: number;
}

/** What an owner of subscriptions does with them; not for users. */
export interface Feed {
  /** False when one had to be dropped. */
  push(message: Message, byteLength: number): boolean;
  end(error: Error | undefined): void;
}

/**
 * Reads as an async iterable, once. Its end is `close()` or leaving the loop, an ordinary end of the connection, or an
 * error, which the loop throws: `ClosedError` when the connection is lost, `CancelledError`, `OverloadError`
 * `queue-full` by policy, or why the bus refused the match rule.
 */
export class Subscription<Item = Message> implements AsyncIterableIterator<Item, undefined> {
  readonly #ready: Deferred<void> = deferred();
  /**
   * Resolves once the bus has taken the match rule: signals sent from then on arrive. Rejects when it refuses, and when the
   * subscription ends before.
   */
  readonly ready: Promise<void> = this.#ready.promise;
  readonly #policy: OverflowPolicy;
  readonly #maxQueued: number;
  #queue: (Queued<Item> | undefined)[] = [];
  /** Where in the queue the oldest is. */
  #head = 0;
  #queuedByteLength = 0;
  #dropped = 0;
  /** Those who wait for the next item. */
  #readers: ((result: Result<Item> | Promise<Result<Item>>) => void)[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  readonly #leave: () => Promise<unknown>;
  #stopListening: () => void = () => {};

  /**
   * @internal
   * @param subscribe - enters the feed where messages come from; gives when it is in force and how to leave.
   * @param select - makes an item of a message, or leaves it out.
   */
  constructor(
    subscribe: (feed: Feed) => { ready: Promise<unknown>; leave: () => Promise<unknown> },
    select: (message: Message) => Item | undefined,
    options: SubscriptionOptions,
  ) {
    const { signal, maxQueued = DEFAULT_MAX_QUEUED_SIGNALS, overflow = 'drop-oldest' } = options;
    if (!Number.isSafeInteger(maxQueued) || maxQueued < 1) {
      throw new DBusError('invalid-option', '`maxQueued` is no positive integer');
    }
    if (!POLICIES.has(overflow)) throw new DBusError('invalid-option', 'unknown `overflow`');
    throwIfAborted(signal);
    this.#policy = overflow;
    this.#maxQueued = maxQueued;
    const { ready, leave } = subscribe({
      push: (message, byteLength) => {
        const item = select(message);
        return item === undefined || this.#push({ item, byteLength });
      },
      end: (error) => this.#abandon(error),
    });
    this.#leave = leave;
    this.ready.catch(() => {});
    ready.then(
      () => this.#ready.resolve(),
      (error: unknown) => this.#abandon(error as Error),
    );
    this.#stopListening = whenAborted(signal, () => this.#abandon(new CancelledError(signal?.reason)));
  }

  /** How many were lost because the queue was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** How many wait to be read. */
  get queued(): number {
    return this.#queue.length - this.#head;
  }

  next(): Promise<Result<Item>> {
    const queued = this.#take();
    if (queued !== undefined) return Promise.resolve({ done: false, value: queued.item });
    if (this.#end === undefined) return new Promise((resolve) => this.#readers.push(resolve));
    const { error } = this.#end;
    // Thrown once; the stream is over afterwards, as with every iterator.
    this.#end = { error: undefined };
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }

  async return(): Promise<Result<Item>> {
    await this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the subscription and drops what waits; resolves when the bus knows. Never rejects. */
  async close(): Promise<void> {
    this.#finish(undefined);
    this.#queue = [];
    this.#head = 0;
    this.#end = { error: undefined };
    await this.#leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** False when one had to be dropped. */
  #push(queued: Queued<Item>): boolean {
    if (this.#end !== undefined) return true;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader({ done: false, value: queued.item });
      return true;
    }
    const before = this.#dropped;
    const isFull = (): boolean =>
      this.queued >= this.#maxQueued ||
      (this.queued > 0 && this.#queuedByteLength + queued.byteLength > MAX_QUEUED_SIGNAL_BYTE_LENGTH);
    if (isFull() && this.#policy !== 'drop-oldest') {
      this.#dropped++;
      if (this.#policy === 'fail') {
        this.#abandon(new OverloadError('queue-full', 'signals come faster than they are read'));
      }
      return false;
    }
    while (isFull()) {
      this.#take();
      this.#dropped++;
    }
    this.#queue.push(queued);
    this.#queuedByteLength += queued.byteLength;
    return this.#dropped === before;
  }

  #take(): Queued<Item> | undefined {
    const queued = this.#queue[this.#head];
    if (queued === undefined) return undefined;
    // What was taken must not stay in memory until the rest is.
    this.#queue[this.#head++] = undefined;
    this.#queuedByteLength -= queued.byteLength;
    // Shifting an array moves all of it: what was taken goes in one piece, when it is half of it.
    if (this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return queued;
  }

  /** Ends it before its reader has left. */
  #abandon(error: Error | undefined): void {
    this.#finish(error);
    void this.#leave();
  }

  #finish(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#ready.reject(error ?? new ClosedError());
    this.#stopListening();
    for (const reader of this.#readers.splice(0)) reader(this.next());
  }
}

/**
 * Calls `callback` for each item, one after the other: the next waits until what it returned has settled. What it throws
 * goes to `onError`, or is uncaught as what a listener of an event throws, and does not end the subscription.
 */
export async function deliver<Item>(
  subscription: Subscription<Item>,
  callback: (item: Item) => unknown,
  onError: ((error: unknown) => void) | undefined,
): Promise<void> {
  try {
    for await (const item of subscription) {
      try {
        await callback(item);
      } catch (error) {
        report(error, onError);
      }
    }
  } catch (error) {
    // How the stream ends is told by `bus.closed` and `ready` too, and no reason to end the process.
    if (onError !== undefined) report(error, onError);
  }
}

function report(error: unknown, onError: ((error: unknown) => void) | undefined): void {
  queueMicrotask(() => {
    if (onError === undefined) throw error;
    onError(error);
  });
}
