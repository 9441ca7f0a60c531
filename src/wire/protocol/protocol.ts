/**
 * One connection as a machine without I/O: authentication, then messages; it owns the serials. Either side of a
 * connection: which one is up to the handshake.
 * Layer 5: imports lower layers only, and touches no socket, timer or promise.
 */
import { ProtocolError } from '../base/errors.js';
import type { Writer } from '../codec/writer.js';
import type { SaslResult, SaslStep } from '../handshake/sasl-client.js';
import { writeMessage } from '../message/encode.js';
import type { Message, UnsentMessage } from '../message/message.js';
import { MessageParser } from '../message/parser.js';

/** The authentication, from either side. */
export interface Handshake {
  /** The first bytes to send; may be empty. */
  start(): Uint8Array;
  /** Takes received bytes, however they are chunked. @throws {AuthError} */
  receive(chunk: Uint8Array): SaslStep;
}

/** What a connection does with what comes of received bytes, in order. None of these may throw. */
export interface ProtocolEvents {
  /** To be written to the transport. */
  write(bytes: Uint8Array): void;
  /** From now on messages can be sent. */
  authenticated(result: SaslResult): void;
  /** `frame` are the bytes of the message, valid only during the call. */
  message(message: Message, frame: Uint8Array): void;
}

/** The last serial before they begin again at 1: they are 32 bits wide, and 0 is none (specification, "Message Format"). */
const LAST_SERIAL = 0xffff_ffff;

/** One side of a connection. */
export class Protocol {
  #parser = new MessageParser();
  /** Until it is over. */
  #handshake: Handshake | undefined;
  #lastSerial: number;

  /** @param options - `firstSerial` defaults to 1. */
  constructor(handshake: Handshake, options: { firstSerial?: number } = {}) {
    this.#handshake = handshake;
    this.#lastSerial = (options.firstSerial ?? 1) - 1;
  }

  /** The first bytes to write; may be empty. @throws {AuthError} `no-mechanism` */
  start(): Uint8Array {
    return this.#handshake?.start() ?? new Uint8Array(0);
  }

  /**
   * Takes received bytes, however they are chunked.
   * @returns the error when the peer broke the protocol: the connection must be closed
   */
  receive(chunk: Uint8Array, events: ProtocolEvents): Error | undefined {
    try {
      const messages =
        this.#handshake === undefined ? chunk : this.#authenticate(this.#handshake, chunk, events);
      if (messages !== undefined && messages.length > 0) {
        this.#parser.pushEach(messages, (message, frame) => events.message(message, frame));
      }
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  /** Gives the bytes that are the start of messages. */
  #authenticate(handshake: Handshake, chunk: Uint8Array, events: ProtocolEvents): Uint8Array | undefined {
    const { send, done } = handshake.receive(chunk);
    if (send.length > 0) events.write(send);
    if (done === undefined) return undefined;
    this.#handshake = undefined;
    events.authenticated(done);
    return done.rest;
  }

  /** The end of the stream came: the error it means when a message was cut short, else undefined. */
  end(): ProtocolError | undefined {
    const { bufferedByteLength } = this.#parser;
    // What came of a message is of no use any more, and may be much.
    this.#parser = new MessageParser();
    if (bufferedByteLength === 0) return undefined;
    return new ProtocolError('truncated', 'the connection ended inside a message', bufferedByteLength);
  }

  /**
   * Encodes a message under the next serial for which `isTaken` is false: after 2^32 messages, one may still be waiting
   * for its reply.
   * @throws {MarshalError} as `encodeMessage`; no serial is used up then
   */
  send(message: UnsentMessage, isTaken: (serial: number) => boolean): { serial: number; writer: Writer } {
    let serial = this.#lastSerial;
    do {
      serial = serial >= LAST_SERIAL ? 1 : serial + 1;
    } while (isTaken(serial));
    const writer = writeMessage(message, serial);
    this.#lastSerial = serial;
    return { serial, writer };
  }
}
