/**
 * Framing: chunks of bytes in, whole messages out (D-Bus specification, "Message Protocol").
 * Layer 3: imports lower layers only.
 */
import { FIXED_HEADER_BYTE_LENGTH } from '../base/limits.js';
import { plainBytes } from '../codec/reader.js';
import { decodeWhole, type FixedHeader, readFixedHeader } from './decode.js';
import type { Message } from './message.js';

/** What is allocated before anything is known of the length of a message. */
const INITIAL_CAPACITY = 4096;

/**
 * Cuts a stream into messages, however it is chunked. Only a message that is not whole yet is kept, in a buffer that
 * grows with the bytes that have come and never with those that were promised.
 */
export class MessageParser {
  #kept: Uint8Array = new Uint8Array(0);
  #keptByteLength = 0;
  /** Of the message being kept, once its first 16 bytes are there. */
  #header: FixedHeader | undefined;
  /** What went wrong, after which the border of the next message is not known. */
  #failure: { readonly error: unknown } | undefined;

  /** Bytes of an unfinished message that are kept. */
  get bufferedByteLength(): number {
    return this.#keptByteLength;
  }

  /**
   * Takes the next bytes and gives the messages they complete. The bytes are not kept: the caller may use them again.
   * After an error nothing more can be read from the stream, and each further call throws the same error.
   * @throws {ProtocolError} as `decodeMessage`. Messages before the faulty one in the same chunk are lost with it;
   * use `pushEach` to have them.
   * @throws {DBusError} `invalid-bytes`, which changes nothing
   */
  push(chunk: Uint8Array): Message[] {
    const messages: Message[] = [];
    this.pushEach(chunk, (message) => messages.push(message));
    return messages;
  }

  /**
   * As `push`, giving each message to `take` as soon as it is decoded, with all its bytes: a view, valid only during the
   * call. What `take` throws ends the stream as an error in it does.
   */
  pushEach(chunk: Uint8Array, take: (message: Message, frame: Uint8Array) => void): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    const bytes = plainBytes(chunk);
    try {
      let rest = this.#keptByteLength > 0 ? this.#complete(bytes, take) : bytes;
      while (rest.length >= FIXED_HEADER_BYTE_LENGTH) {
        const header = readFixedHeader(rest);
        if (rest.length < header.byteLength) {
          this.#header = header;
          break;
        }
        const frame = rest.subarray(0, header.byteLength);
        take(decodeWhole(frame, header), frame);
        rest = rest.subarray(header.byteLength);
      }
      if (rest.length > 0) this.#keep(rest);
    } catch (error) {
      this.#failure = { error };
      this.#release();
      throw error;
    }
  }

  /** Adds to the message being kept; gives what of `chunk` lies past it. */
  #complete(chunk: Uint8Array, take: (message: Message, frame: Uint8Array) => void): Uint8Array {
    let used = 0;
    if (this.#header === undefined) {
      used = Math.min(chunk.length, FIXED_HEADER_BYTE_LENGTH - this.#keptByteLength);
      this.#keep(chunk.subarray(0, used));
      if (this.#keptByteLength < FIXED_HEADER_BYTE_LENGTH) return chunk.subarray(used);
      this.#header = readFixedHeader(this.#kept);
    }
    const header = this.#header;
    const wanted = Math.min(chunk.length - used, header.byteLength - this.#keptByteLength);
    this.#keep(chunk.subarray(used, used + wanted));
    used += wanted;
    if (this.#keptByteLength === header.byteLength) {
      const whole = this.#kept.subarray(0, header.byteLength);
      this.#release();
      take(decodeWhole(whole, header), whole);
    }
    return chunk.subarray(used);
  }

  #keep(bytes: Uint8Array): void {
    const needed = this.#keptByteLength + bytes.length;
    if (needed > this.#kept.length) {
      const wanted = Math.max(needed, this.#kept.length * 2, INITIAL_CAPACITY);
      const most = this.#header?.byteLength ?? INITIAL_CAPACITY;
      const grown = new Uint8Array(Math.max(needed, Math.min(wanted, most)));
      grown.set(this.#kept.subarray(0, this.#keptByteLength));
      this.#kept = grown;
    }
    this.#kept.set(bytes, this.#keptByteLength);
    this.#keptByteLength = needed;
  }

  /** Forgets the message kept; its buffer may go on as the message's own, so the next one gets another. */
  #release(): void {
    this.#kept = new Uint8Array(0);
    this.#keptByteLength = 0;
    this.#header = undefined;
  }
}
