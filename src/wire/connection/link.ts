/**
 * A connection: replies matched to calls, deadlines, cancellation, close. What else comes in goes to its owner.
 * Layer 7: imports lower layers only.
 */
import { AuthError, ClosedError, DBusError, OverloadError } from '../base/errors.js';
import { CLOSE_TIMEOUT_MS, MAX_PENDING_CALLS, MAX_QUEUED_BYTE_LENGTH } from '../base/limits.js';
import type { Writer } from '../codec/writer.js';
import type { SaslResult } from '../handshake/sasl-client.js';
import { type Message, MessageType, type UnsentMessage } from '../message/message.js';
import { type Handshake, Protocol } from '../protocol/protocol.js';
import type { Transport } from '../transport/transport.js';
import { throwIfAborted } from '../transport/when-aborted.js';
import { type Deferred, deferred } from './deferred.js';
import { type DropReason, newObserver } from './link-observer.js';
import { PendingCalls, type Waiting } from './pending-calls.js';

/** Sees every message that is sent or received, such as to write it to a file. Must not throw. */
export interface MessageRecorder {
  /** `frame` are the bytes of the message, valid only during the call; a `sensitive` body must not be kept. */
  record(frame: Uint8Array, message: Message, sensitive: boolean): void;
}

/** What a link tells its owner. Nothing of it may throw, or run code of users. */
export interface LinkHandlers {
  /** A message came that is not the reply to a call of ours. `byteLength` is that of the whole message. */
  message(link: Link, message: Message, byteLength: number): void;
}

export interface LinkOptions {
  readonly handshake: Handshake;
  readonly handlers: LinkHandlers;
  readonly recorder?: MessageRecorder | undefined;
}

/** Bytes waiting to be written above which `drained` makes the sender wait: enough to keep the socket busy. */
const HIGH_WATER_BYTE_LENGTH = 0x10_0000;

/** Joins a transport, the protocol and the calls that wait. */
export class Link {
  readonly #transport: Transport;
  readonly #protocol: Protocol;
  readonly #handlers: LinkHandlers;
  readonly #recorder: MessageRecorder | undefined;
  readonly #pending = new PendingCalls();
  readonly #observer = newObserver();
  readonly #isTaken = (serial: number): boolean => this.#pending.has(serial);
  /** Why the connection is ending or has ended; undefined inside means by our own wish. */
  #ending: { readonly cause: Error | undefined } | undefined;
  /** Those who wait until what is queued has been taken. */
  #waiting: (() => void)[] = [];
  readonly #authenticated: Deferred<SaslResult> = deferred();
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #closed: Deferred<Error | undefined> = deferred();
  /** Resolves once messages can be sent. @throws {AuthError} | {ClosedError} */
  readonly authenticated: Promise<SaslResult> = this.#authenticated.promise;
  /** Resolves when the connection has ended, with the reason, or with undefined after an ordinary `close()`. Never rejects. */
  readonly closed: Promise<Error | undefined> = this.#closed.promise;

  /** Begins to authenticate over `transport`, which belongs to the link from now on. @throws {AuthError} `no-mechanism` */
  constructor(transport: Transport, options: LinkOptions) {
    this.#transport = transport;
    this.#protocol = new Protocol(options.handshake);
    this.#handlers = options.handlers;
    this.#recorder = options.recorder;
    const first = this.#protocol.start();
    const events = {
      write: (bytes: Uint8Array): void => transport.write(bytes),
      authenticated: (result: SaslResult): void => {
        this.#observer?.authenticated(result);
        this.#authenticated.resolve(result);
      },
      message: (message: Message, frame: Uint8Array): void => this.#dispatch(message, frame),
    };
    transport.start({
      receive: (bytes) => {
        if (this.#ending !== undefined) return;
        const error = this.#protocol.receive(bytes, events);
        if (error === undefined) return;
        if (error instanceof AuthError && error.unsent !== undefined) {
          // The last word of the authentication, without which the peer does not learn why it ends.
          transport.write(error.unsent);
          this.#close(error);
        } else {
          this.fail(error);
        }
      },
      drained: () => this.#drained(),
      ended: (error) => this.#ended(error),
    });
    transport.write(first);
  }

  get isOpen(): boolean {
    return this.#ending === undefined;
  }

  /**
   * Sends a method call and waits for its reply, a METHOD_RETURN or ERROR, out of which `take` makes the result. It runs
   * before any later message is looked at, and must be code of ours.
   * @throws {MarshalError} | {ClosedError} | {OverloadError} | {CancelledError} at once; nothing was sent then. The promise
   * rejects with {DeadlineError}, {CancelledError}, {ClosedError} or what `take` throws.
   */
  call<Result>(message: UnsentMessage, waiting: Waiting, take: (reply: Message) => Result): Promise<Result> {
    throwIfAborted(waiting.signal);
    if (this.#pending.size >= MAX_PENDING_CALLS) {
      throw new OverloadError('too-many-calls', `${MAX_PENDING_CALLS} calls are waiting for their replies`);
    }
    const { serial, writer } = this.#encode(message);
    // Waiting before writing: the reply may come within the call that writes.
    const watched = this.#observer?.watch(serial, take);
    const reply = this.#pending.wait(serial, waiting, watched?.take ?? take, watched?.failed);
    // Who calls one at a time waits for this one, and gains nothing by waiting for more to send with it.
    this.#write(message, serial, writer, waiting.sensitive, this.#pending.size === 1);
    return reply;
  }

  /** Sends a message for which no reply is awaited; gives its serial. @throws {MarshalError} | {ClosedError} | {OverloadError} */
  send(message: UnsentMessage, sensitive: boolean): number {
    const { serial, writer } = this.#encode(message);
    this.#write(message, serial, writer, sensitive, false);
    return serial;
  }

  /** Tells that a message which came was dropped. */
  dropped(reason: DropReason, message: Message): void {
    this.#observer?.dropped(reason, message);
  }

  /** Undefined when more can be sent right now, else what resolves when it can, or when the connection has ended. */
  drained(): Promise<void> | undefined {
    if (this.#ending !== undefined || this.#transport.queuedByteLength <= HIGH_WATER_BYTE_LENGTH)
      return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends the connection: what was sent still leaves, pending calls reject with `ClosedError`. */
  close(): void {
    if (this.#ending === undefined) this.#close(undefined);
  }

  #close(cause: Error | undefined): void {
    this.#end(cause);
    // A peer that has stopped reading must not hold us.
    this.#closeTimer = setTimeout(() => this.#destroy(), CLOSE_TIMEOUT_MS);
    this.#transport.close();
  }

  /** Ends the connection at once, because of `cause`. */
  fail(cause: Error): void {
    this.#end(cause);
    this.#destroy();
  }

  /** Encodes a message that may be written now. */
  #encode(message: UnsentMessage): { serial: number; writer: Writer } {
    if (this.#ending !== undefined) throw new ClosedError(this.#ending.cause);
    const encoded = this.#protocol.send(message, this.#isTaken);
    if (this.#transport.queuedByteLength + encoded.writer.position > MAX_QUEUED_BYTE_LENGTH) {
      this.#observer?.dropped('queue-full', message);
      throw new OverloadError('queue-full', 'the peer does not take what is already sent');
    }
    return encoded;
  }

  #write(message: UnsentMessage, serial: number, writer: Writer, sensitive: boolean, urgent: boolean): void {
    const bytes = writer.lend();
    this.#recorder?.record(bytes, { ...message, serial }, sensitive);
    this.#observer?.sent(message, serial, bytes.length);
    this.#transport.write(bytes, urgent);
    writer.giveBack(bytes);
  }

  #dispatch(message: Message, frame: Uint8Array): void {
    if (this.#ending !== undefined) return;
    this.#recorder?.record(frame, message, this.#pending.isSensitive(message.replySerial));
    this.#observer?.received(message, frame.length);
    const isReply = message.type === MessageType.methodReturn || message.type === MessageType.error;
    if (isReply && this.#pending.settle(message)) return;
    this.#handlers.message(this, message, frame.length);
  }

  #drained(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /** Rejects everything that waits. The transport is still to be ended. */
  #end(cause: Error | undefined): void {
    if (this.#ending !== undefined) return;
    this.#ending = { cause };
    this.#observer?.ended(cause);
    // Whoever waits for it has it; when nobody does, or it is over already, nothing is lost.
    this.authenticated.catch(() => {});
    this.#authenticated.reject(cause instanceof AuthError ? cause : new ClosedError(cause));
    this.#pending.rejectAll(() => new ClosedError(cause));
    this.#drained();
  }

  /** Ends the transport at once, and waits no longer for it to say so. */
  #destroy(): void {
    clearTimeout(this.#closeTimer);
    this.#transport.destroy();
    this.#closed.resolve(this.#ending?.cause);
  }

  #ended(error: Error | undefined): void {
    clearTimeout(this.#closeTimer);
    const cut = this.#protocol.end();
    if (this.#ending === undefined) {
      this.#end(error ?? cut ?? new DBusError('disconnected', 'the peer closed the connection'));
    }
    this.#closed.resolve(this.#ending?.cause);
  }
}
