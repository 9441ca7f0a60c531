/**
 * A connection: replies matched to calls, deadlines, cancellation, close.
 * Layer 7: imports lower layers only.
 */
import { AuthError, ClosedError, DBusError, OverloadError } from '../base/errors.js';
import {
  CLOSE_TIMEOUT_MS,
  DEFAULT_CALL_TIMEOUT_MS,
  MAX_PENDING_CALLS,
  MAX_QUEUED_BYTE_LENGTH,
} from '../base/limits.js';
import type { SaslMechanism } from '../handshake/sasl-client.js';
import { type Message, MessageFlag, MessageType } from '../message/message.js';
import { ClientProtocol, type OutgoingMessage, type ProtocolEvent } from '../protocol/client-protocol.js';
import type { Transport } from '../transport/transport.js';
import { checkTimeout, throwIfAborted } from './deadline.js';
import { PendingCalls } from './pending-calls.js';

/** How one call waits. */
export interface WaitOptions {
  /** Time to wait for the reply, in milliseconds; default the `callTimeoutMs` of the connection. */
  timeoutMs?: number | undefined;
  /** Stops the wait. The call itself cannot be called back. */
  signal?: AbortSignal | undefined;
}

/** What a connection needs to begin. */
export interface ConnectionOptions {
  /** Mechanisms of authentication, in the order to try them. */
  mechanisms: readonly SaslMechanism[];
  /** Time a call waits that names none of its own, in milliseconds; default 25,000. */
  callTimeoutMs?: number | undefined;
}

/** An open and authenticated connection. */
export class Connection {
  /** The server's guid: 32 lower-case hexadecimal digits. */
  readonly guid: string;
  /** Resolves when the connection has ended, with the reason, or with undefined after an ordinary `close()`. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  readonly #link: Link;

  /** @internal */
  constructor(link: Link, guid: string) {
    this.#link = link;
    this.guid = guid;
    this.closed = link.closed;
  }

  /**
   * Authenticates over `transport`, which belongs to the connection from now on.
   * @throws {AuthError} `rejected`, `protocol` or `no-mechanism`
   * @throws {ClosedError} when the transport ends before
   */
  static async open(transport: Transport, options: ConnectionOptions): Promise<Connection> {
    const link = new Link(transport, options);
    return new Connection(link, await link.authenticated);
  }

  /**
   * Sends a method call and waits for its reply.
   * @returns the reply, of type METHOD_RETURN or ERROR
   * @throws {MarshalError} when the message is not valid; nothing was sent then
   * @throws {DeadlineError} `deadline`
   * @throws {CancelledError} `cancelled`
   * @throws {ClosedError} `closed`, when the connection ends before the reply; the peer may or may not have acted
   * @throws {OverloadError} `too-many-calls` or `queue-full`; nothing was sent then
   * @throws {DBusError} `invalid-timeout`
   */
  async call(message: Omit<OutgoingMessage, 'type'>, options: WaitOptions = {}): Promise<Message> {
    const timeoutMs = checkTimeout(options.timeoutMs, this.#link.callTimeoutMs);
    throwIfAborted(options.signal);
    return this.#link.call({ ...message, type: MessageType.methodCall }, timeoutMs, options.signal);
  }

  /** Ends the connection: what was sent still leaves, pending calls reject with `ClosedError`. Resolves once it has ended. */
  async close(): Promise<void> {
    this.#link.close();
    await this.closed;
  }
}

/** Joins transport, protocol and pending calls; a connection is the public face of it. */
class Link {
  readonly callTimeoutMs: number;
  readonly authenticated: Promise<string>;
  readonly closed: Promise<Error | undefined>;
  readonly #transport: Transport;
  readonly #protocol: ClientProtocol;
  readonly #pending = new PendingCalls();
  /** Why the connection is ending or has ended; undefined inside means by our own wish. */
  #ending: { readonly cause: Error | undefined } | undefined;
  #settleAuthentication!: { resolve: (guid: string) => void; reject: (error: Error) => void };
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #settleClosed!: (cause: Error | undefined) => void;

  constructor(transport: Transport, options: ConnectionOptions) {
    this.callTimeoutMs = checkTimeout(options.callTimeoutMs, DEFAULT_CALL_TIMEOUT_MS);
    this.#transport = transport;
    this.#protocol = new ClientProtocol(options);
    this.authenticated = new Promise((resolve, reject) => {
      this.#settleAuthentication = { resolve, reject };
    });
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    const first = this.#protocol.start();
    transport.start({
      receive: (bytes) => this.#receive(bytes),
      ended: (error) => this.#ended(error),
    });
    transport.write(first);
  }

  /** Sends a call and waits for its reply. */
  call(message: OutgoingMessage, timeoutMs: number, signal: AbortSignal | undefined): Promise<Message> {
    if (this.#pending.size >= MAX_PENDING_CALLS) {
      throw new OverloadError('too-many-calls', `${MAX_PENDING_CALLS} calls are waiting for their replies`);
    }
    const { serial, bytes } = this.#encode(message);
    // Waiting before writing: the reply may come within the call that writes.
    const reply = this.#pending.wait(serial, message.destination, timeoutMs, signal);
    this.#transport.write(bytes);
    return reply;
  }

  /** Encodes a message that may be written now. */
  #encode(message: OutgoingMessage): { serial: number; bytes: Uint8Array } {
    if (this.#ending !== undefined) throw new ClosedError(this.#ending.cause);
    const encoded = this.#protocol.send(message, (taken) => this.#pending.has(taken));
    if (this.#transport.queuedByteLength + encoded.bytes.length > MAX_QUEUED_BYTE_LENGTH) {
      throw new OverloadError('queue-full', 'the peer does not take what is already sent');
    }
    return encoded;
  }

  close(): void {
    if (this.#ending !== undefined) return;
    this.#fail(undefined);
    this.#transport.close();
    // A peer that has stopped reading must not hold us.
    this.#closeTimer = setTimeout(() => this.#destroy(), CLOSE_TIMEOUT_MS);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#ending !== undefined) return;
    for (const event of this.#protocol.receive(bytes)) this.#handle(event);
  }

  #handle(event: ProtocolEvent): void {
    switch (event.type) {
      case 'write':
        this.#transport.write(event.bytes);
        break;
      case 'authenticated':
        this.#settleAuthentication.resolve(event.guid);
        break;
      case 'message':
        this.#dispatch(event.message);
        break;
      case 'failed':
        this.#fail(event.error);
        this.#destroy();
        break;
    }
  }

  #dispatch(message: Message): void {
    if (message.type === MessageType.methodReturn || message.type === MessageType.error) {
      this.#pending.settle(message);
    } else if (message.type === MessageType.methodCall) {
      this.#refuse(message);
    }
  }

  /** Nothing is exported here. Saying so keeps a caller from waiting for its own deadline. */
  #refuse(message: Message): void {
    if ((message.flags & MessageFlag.noReplyExpected) !== 0) return;
    try {
      const { bytes } = this.#encode({
        type: MessageType.error,
        flags: MessageFlag.noReplyExpected,
        errorName: 'org.freedesktop.DBus.Error.UnknownObject',
        replySerial: message.serial,
        ...(message.sender === undefined ? {} : { destination: message.sender }),
        signature: 's',
        body: ['no objects are exported here'],
      });
      this.#transport.write(bytes);
    } catch {
      // The queue is full or the connection is ending; the caller has a deadline of its own.
    }
  }

  /** Rejects everything that waits. The transport is still to be ended. */
  #fail(cause: Error | undefined): void {
    if (this.#ending !== undefined) return;
    this.#ending = { cause };
    const authentication = cause instanceof AuthError ? cause : new ClosedError(cause);
    this.#settleAuthentication.reject(authentication);
    this.#pending.rejectAll(() => new ClosedError(cause));
  }

  /** Ends the transport at once, and waits no longer for it to say so. */
  #destroy(): void {
    this.#transport.destroy();
    this.#settleClosed(this.#ending?.cause);
  }

  #ended(error: Error | undefined): void {
    clearTimeout(this.#closeTimer);
    this.#fail(
      error ?? this.#protocol.end() ?? new DBusError('disconnected', 'the peer closed the connection'),
    );
    this.#settleClosed(this.#ending?.cause);
  }
}
