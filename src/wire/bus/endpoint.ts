/**
 * What a connection to a bus and one to a peer have in common: calls, messages, signals, proxies, exported objects, an end.
 * Layer 8: imports lower layers only.
 */
import { AuthError, ClosedError, DBusError, DeadlineError, OverloadError } from '../base/errors.js';
import { DEFAULT_CALL_TIMEOUT_MS, MAX_PENDING_CALLS } from '../base/limits.js';
import { checkTimeout, withDeadline } from '../connection/deadline.js';
import { type Deferred, deferred } from '../connection/deferred.js';
import { Link, type MessageRecorder } from '../connection/link.js';
import type { SaslResult } from '../handshake/sasl-client.js';
import type { InterfaceDefinition } from '../interface/definition.js';
import { MatchRule, type MatchRuleFields } from '../match/match-rule.js';
import type { Message, UnsentMessage } from '../message/message.js';
import type { ExportedObject, ExportOptions } from '../objects/exported-object.js';
import type { Implementation } from '../objects/implementation.js';
import type { ErrorPlace } from '../objects/property-values.js';
import type { Handshake } from '../protocol/protocol.js';
import type { Transport } from '../transport/transport.js';
import { throwIfAborted, whenAborted } from '../transport/when-aborted.js';
import type { ValuesOf } from '../types/infer.js';
import { isBusName, isObjectPath } from '../types/names.js';
import { type CallOptions, callOver, type WaitOptions } from './call.js';
import { Inbox } from './inbox.js';
import type { Entered, Failed } from './match-references.js';
import { Proxy } from './proxy.js';
import {
  type CallbackOptions,
  deliver,
  type Feed,
  Subscription,
  type SubscriptionOptions,
} from './subscription.js';

export interface EndpointOptions {
  /** Time a call waits that names none of its own, in milliseconds; default 25,000. */
  callTimeoutMs?: number | undefined;
  /**
   * Told what a handler or getter of an exported object threw that is no `MethodError`: the caller learns nothing of it. What
   * was thrown may hold values.
   */
  onHandlerError?: ((error: unknown, place: ErrorPlace) => void) | undefined;
  /** Gets every message that is sent and received. */
  recorder?: MessageRecorder | undefined;
}

export interface SendOptions extends WaitOptions {
  /** The message is not to be recorded. */
  sensitive?: boolean | undefined;
}

/** One end of a connection; see `Bus` and `Connection`. */
export abstract class Endpoint {
  readonly #closed: Deferred<Error | undefined> = deferred();
  /** Resolves when it has ended for good: with the reason, or with undefined after an ordinary `close()`. Never rejects. */
  readonly closed: Promise<Error | undefined> = this.#closed.promise;
  protected readonly callTimeoutMs: number;
  readonly #recorder: MessageRecorder | undefined;
  readonly #onHandlerError: EndpointOptions['onHandlerError'];
  protected readonly inbox: Inbox = new Inbox({
    preview: (message) => this.preview(message),
    isOurs: (destination) => this.isOurs(destination),
    ownerOf: (name) => this.ownerOf(name),
  });
  #link: Link | undefined;
  /** What waits for the next link. */
  #waitingForLink = 0;
  /** A wait for the next connection, while there is none. */
  #gap: Deferred<void> | undefined;
  #ended: { readonly cause: Error | undefined } | undefined;

  /** @internal */
  constructor(options: EndpointOptions) {
    this.callTimeoutMs = checkTimeout(options.callTimeoutMs, DEFAULT_CALL_TIMEOUT_MS);
    this.#recorder = options.recorder;
    this.#onHandlerError = options.onHandlerError;
  }

  /**
   * Calls a method; resolves to the values of its reply, one a single complete type.
   * @throws {ErrorReply} when the reply is an ERROR; `name` is its error name
   * @throws {ReplySignatureError} `unexpected-signature`, when the reply has not the `replySignature`
   * @throws {MarshalError} | {InvalidTextError} when the arguments are not valid; nothing was sent then
   * @throws {DeadlineError} `deadline`
   * @throws {CancelledError} `cancelled`
   * @throws {ClosedError} `closed`; the call may or may not have been carried out
   * @throws {OverloadError} `too-many-calls` or `queue-full`
   * @throws {DBusError} `invalid-timeout`
   */
  call<const Signature extends string = '', const ReplySignature extends string = string>(
    options: CallOptions<Signature, ReplySignature>,
  ): Promise<ValuesOf<ReplySignature>> {
    return this.callTaking(options, (values) => values);
  }

  /**
   * Sends a message of any type without waiting for a reply. Resolves to its serial once there is room for more, so that
   * who awaits it never sends faster than the peer takes.
   * @throws {MarshalError} | {InvalidTextError} | {ClosedError} | {OverloadError} `queue-full`; nothing was sent then
   * @throws {DeadlineError} | {CancelledError} when there is no room in time; it was sent
   */
  async send(message: UnsentMessage, options: SendOptions = {}): Promise<number> {
    const timeoutMs = checkTimeout(options.timeoutMs, this.callTimeoutMs);
    throwIfAborted(options.signal);
    const link = this.currentLink() ?? (await this.#nextLink(timeoutMs, options.signal));
    const serial = link.send(message, options.sensitive === true);
    const drained = link.drained();
    if (drained === undefined) return serial;
    await this.#within(timeoutMs, options.signal, drained);
    // It may not have left any more.
    if (!link.isOpen) throw new ClosedError(await link.closed);
    return serial;
  }

  /**
   * Signals that match `rule`, from now on. Read it as an async iterable, or have `callback` called for each, one after the
   * other. What comes faster than it is read is dropped, oldest first unless `overflow` says otherwise, and counted.
   * @param rule - fields of a match rule, or its text; `type` is `signal` whatever it says.
   * @throws {InvalidTextError} `invalid-match-rule`
   * @throws {DBusError} `invalid-option`
   * @throws {CancelledError} when `signal` has fired
   */
  signals(rule: MatchRuleFields | string, options?: SubscriptionOptions): Subscription;
  signals(
    rule: MatchRuleFields | string,
    callback: (signal: Message) => unknown,
    options?: CallbackOptions,
  ): Subscription;
  signals(
    rule: MatchRuleFields | string,
    callback: ((signal: Message) => unknown) | SubscriptionOptions = {},
    options: CallbackOptions = {},
  ): Subscription {
    const fields: MatchRuleFields = MatchRule.from(rule);
    const wanted = new MatchRule({ ...fields, type: 'signal' });
    return this.subscribe(wanted, (message) => message, callback, options);
  }

  /**
   * The interface `definition` of the object at `path` of `destination`. Nothing is sent, and the object need not be there.
   * @param destination - undefined only on a connection without a bus.
   * @throws {DBusError} `invalid-option` when `path` or `destination` is none
   */
  proxy<const Definition extends InterfaceDefinition>(
    destination: string | undefined,
    path: string,
    definition: Definition,
  ): Proxy<Definition> {
    if (!isObjectPath(path)) throw new DBusError('invalid-option', '`path` is not an object path');
    if (destination !== undefined && !isBusName(destination)) {
      throw new DBusError('invalid-option', '`destination` is not a bus name');
    }
    return new Proxy(this, destination, path, definition);
  }

  /**
   * Exports interfaces, each made by `implement`, at `path`: from now on calls to it are answered.
   * @throws {InvalidTextError} `invalid-object-path`
   * @throws {DBusError} `already-exported` when the path has one of the interfaces, `invalid-option` when there is none
   * @throws {ClosedError} `closed`
   */
  export<const Interfaces extends readonly Implementation[]>(
    path: string,
    interfaces: Interfaces,
    options: ExportOptions = {},
  ): ExportedObject<Interfaces[number]['definition']> {
    this.#assertOpen();
    const [first] = interfaces;
    if (first === undefined) throw new DBusError('invalid-option', 'no interface to export');
    this.inbox.objects ??= first.createRegistry(
      { send: (message) => this.#sendNow(message) },
      { onError: this.#onHandlerError },
    );
    return this.inbox.objects.export(path, interfaces, options);
  }

  /** Ends the connection: what was sent still leaves, pending calls reject with `ClosedError`. */
  async close(): Promise<void> {
    const link = this.#link;
    this.finish(undefined);
    link?.close();
    await link?.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** As `call`; `take` runs before any later message is looked at, and is code of ours. @internal */
  callTaking<ReplySignature extends string, Result>(
    options: CallOptions<string, ReplySignature>,
    take: (values: ValuesOf<ReplySignature>) => Result,
  ): Promise<Result> {
    try {
      const link = this.currentLink();
      if (link !== undefined) return callOver(link, options, this.callTimeoutMs, take);
      return this.#callLater(options, take);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * A subscription to the messages that match `rule`, as `signals`; `select` is code of ours.
   * @param callback - or the options, when there is none.
   * @internal
   */
  subscribe<Item>(
    rule: MatchRule,
    select: (message: Message) => Item | undefined,
    callback: ((item: Item) => unknown) | SubscriptionOptions,
    options: CallbackOptions = {},
  ): Subscription<Item> {
    const isCallback = typeof callback === 'function';
    const subscription = new Subscription(
      (feed) => this.feed(rule, feed),
      select,
      isCallback ? options : callback,
    );
    if (isCallback) void deliver(subscription, callback, options.onError);
    return subscription;
  }

  /** Gives `feed`, which has no other rule, what matches `rule`. @throws {ClosedError} @internal */
  feed(rule: MatchRule, feed: Feed): Entered {
    this.#assertOpen();
    this.inbox.add(feed, rule);
    const { ready, leave } = this.enter(rule, (error) => feed.end(error));
    return {
      ready,
      leave: async () => {
        if (this.inbox.remove(feed)) await leave();
      },
    };
  }

  /** Whether it has ended for good. */
  protected get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** The link to send over right now; undefined while there is none. @throws {ClosedError} when there will be none */
  protected currentLink(): Link | undefined {
    this.#assertOpen();
    return this.#gap === undefined ? this.#link : undefined;
  }

  /** What a subscription needs from the other side, and how to give it back. */
  protected enter(_rule: MatchRule, _failed: Failed): Entered {
    return { ready: Promise.resolve(), leave: () => Promise.resolve() };
  }

  /** The owner of the well-known name that a rule has as its sender. */
  protected ownerOf(_name: string): string | undefined {
    return undefined;
  }

  /** Whether a message with this destination is for us. */
  protected isOurs(_destination: string): boolean {
    return true;
  }

  /** Looks at every message before anybody else does. */
  protected preview(_message: Message): void {}

  /** The connection has ended by itself. */
  protected lost(cause: Error | undefined): void {
    this.finish(cause);
  }

  /** Authenticates over `transport`. When that fails, or when `signal` fires meanwhile, the transport is ended. */
  protected async openLink(
    transport: Transport,
    handshake: Handshake,
    signal: AbortSignal,
  ): Promise<{ link: Link; result: SaslResult }> {
    const stopListening = whenAborted(signal, () => transport.destroy());
    try {
      const link = new Link(transport, {
        handshake,
        recorder: this.#recorder,
        handlers: { message: (from, message, byteLength) => this.inbox.receive(from, message, byteLength) },
      });
      return { link, result: await link.authenticated };
    } catch (error) {
      if (!hasLastWord(error)) transport.destroy();
      throw error;
    } finally {
      stopListening();
    }
  }

  /** From now on this is the link to use. */
  protected use(link: Link): void {
    this.#link = link;
    this.#gap?.resolve();
    this.#gap = undefined;
    void this.#watch(link);
  }

  /** From now on, what wants to send waits for the next link. */
  protected suspend(): void {
    if (this.#gap !== undefined) return;
    this.#gap = deferred();
    // Those who wait for these replies are on a connection that is gone.
    this.inbox.objects?.abortRunning();
  }

  /** The end for good: nothing waits any longer. */
  protected finish(cause: Error | undefined): void {
    if (this.#ended !== undefined) return;
    this.#ended = { cause };
    this.#gap?.resolve();
    this.#gap = undefined;
    this.inbox.end(cause === undefined ? undefined : new ClosedError(cause));
    this.#closed.resolve(cause);
  }

  /** @throws {ClosedError} when it has ended for good */
  #assertOpen(): void {
    if (this.#ended !== undefined) throw new ClosedError(this.#ended.cause);
  }

  async #watch(link: Link): Promise<void> {
    const cause = await link.closed;
    if (this.#link === link && this.#ended === undefined) this.lost(cause);
  }

  async #callLater<ReplySignature extends string, Result>(
    options: CallOptions<string, ReplySignature>,
    take: (values: ValuesOf<ReplySignature>) => Result,
  ): Promise<Result> {
    const timeoutMs = checkTimeout(options.timeoutMs, this.callTimeoutMs);
    const endsAt = performance.now() + timeoutMs;
    const link = await this.#nextLink(timeoutMs, options.signal);
    const left = Math.max(0, endsAt - performance.now());
    try {
      return await callOver(link, { ...options, timeoutMs: left }, this.callTimeoutMs, take);
    } catch (error) {
      throw error instanceof DeadlineError ? new DeadlineError('call', timeoutMs) : error;
    }
  }

  async #nextLink(timeoutMs: number, signal: AbortSignal | undefined): Promise<Link> {
    if (this.#waitingForLink >= MAX_PENDING_CALLS) {
      throw new OverloadError('too-many-calls', `${MAX_PENDING_CALLS} calls are waiting for a connection`);
    }
    const endsAt = performance.now() + timeoutMs;
    this.#waitingForLink++;
    try {
      while (this.#gap !== undefined) {
        await this.#within(Math.max(0, endsAt - performance.now()), signal, this.#gap.promise);
      }
    } finally {
      this.#waitingForLink--;
    }
    const link = this.currentLink();
    if (link === undefined) throw new ClosedError();
    return link;
  }

  #within(timeoutMs: number, signal: AbortSignal | undefined, promise: Promise<void>): Promise<void> {
    return withDeadline({ timeoutMs, signal, deadline: 'call' }, () => promise);
  }

  /** Sends what an exported object has to say. A peer that calls and calls and never reads the replies is hung up on. */
  #sendNow(message: UnsentMessage): void {
    const link = this.currentLink();
    if (link === undefined) throw new ClosedError();
    try {
      link.send(message, false);
    } catch (error) {
      if (error instanceof OverloadError) link.fail(error);
      throw error;
    }
  }
}

/** Whether the link is still telling the peer why it ends, and ends the transport itself. */
export function hasLastWord(error: unknown): boolean {
  return error instanceof AuthError && error.unsent !== undefined;
}
