/**
 * One connection as a machine without I/O: authentication, then messages; it owns the serials.
 * Layer 5: imports lower layers only, and touches no socket, timer or promise.
 */
import { ProtocolError } from '../base/errors.js';
import { SaslClient, type SaslMechanism } from '../handshake/sasl-client.js';
import { encodeMessage } from '../message/encode.js';
import type { Message } from '../message/message.js';
import { MessageParser } from '../message/parser.js';

/** A message whose serial the connection is to choose. */
export type OutgoingMessage = Omit<Message, 'serial'>;

/** What came of received bytes, in order. */
export type ProtocolEvent =
  /** To be written to the transport. */
  | { readonly type: 'write'; readonly bytes: Uint8Array }
  /** From now on messages can be sent. `guid` is the server's. */
  | { readonly type: 'authenticated'; readonly guid: string }
  | { readonly type: 'message'; readonly message: Message }
  /** The peer broke the protocol: the connection must be closed. Always the last event. */
  | { readonly type: 'failed'; readonly error: Error };

const EMPTY = new Uint8Array(0);

/** The last serial before they begin again at 1: they are 32 bits wide, and 0 is none (specification, "Message Format"). */
const LAST_SERIAL = 0xffff_ffff;

/** The client's side of a connection. */
export class ClientProtocol {
  readonly #sasl: SaslClient;
  readonly #parser = new MessageParser();
  #authenticated = false;
  #lastSerial: number;

  /** @param options - `firstSerial` defaults to 1. */
  constructor(options: { mechanisms: readonly SaslMechanism[]; firstSerial?: number }) {
    this.#sasl = new SaslClient(options);
    this.#lastSerial = (options.firstSerial ?? 1) - 1;
  }

  /** The first bytes to write. @throws {AuthError} `no-mechanism` */
  start(): Uint8Array {
    return this.#sasl.start();
  }

  /** Takes received bytes, however they are chunked. Never throws. */
  receive(chunk: Uint8Array): ProtocolEvent[] {
    const events: ProtocolEvent[] = [];
    try {
      const messages = this.#authenticated ? chunk : this.#authenticate(chunk, events);
      if (messages.length > 0) {
        this.#parser.pushEach(messages, (message) => events.push({ type: 'message', message }));
      }
    } catch (error) {
      events.push({ type: 'failed', error: error as Error });
    }
    return events;
  }

  /** Gives the bytes that are the start of messages. */
  #authenticate(chunk: Uint8Array, events: ProtocolEvent[]): Uint8Array {
    const { send, done } = this.#sasl.receive(chunk);
    if (send.length > 0) events.push({ type: 'write', bytes: send });
    if (done === undefined) return EMPTY;
    this.#authenticated = true;
    events.push({ type: 'authenticated', guid: done.guid });
    return done.rest;
  }

  /** The end of the stream came: the error it means when a message was cut short, else undefined. */
  end(): ProtocolError | undefined {
    const { bufferedByteLength } = this.#parser;
    if (bufferedByteLength === 0) return undefined;
    return new ProtocolError('truncated', 'the connection ended inside a message', bufferedByteLength);
  }

  /**
   * Encodes a message under the next serial for which `isTaken` is false: after 2^32 messages, one may still be waiting
   * for its reply.
   * @throws {MarshalError} {@link encodeMessage}; no serial is used up then
   */
  send(
    message: OutgoingMessage,
    isTaken: (serial: number) => boolean,
  ): { serial: number; bytes: Uint8Array } {
    let serial = this.#lastSerial;
    do {
      serial = serial >= LAST_SERIAL ? 1 : serial + 1;
    } while (isTaken(serial));
    const bytes = encodeMessage({ ...message, serial });
    this.#lastSerial = serial;
    return { serial, bytes };
  }
}
