/**
 * A transport over Node's streams: a socket, or the two ends of a program. Layer 6: imports lower layers only.
 */
import type { Readable, Writable } from 'node:stream';
import { MAX_COPIED_BYTE_LENGTH } from '../base/limits.js';
import type { Transport, TransportHandlers } from './transport.js';

/**
 * A slab that nobody uses. What is written is copied into a slab, and handed to the system from there: a buffer for each
 * small message costs more than the message, in time, and in memory while the peer does not read.
 */
let spare: Buffer | undefined;

/**
 * Errors that only say that the peer went away while there was something left to read or to write. Which way it went is
 * a matter of timing, so that its owner is told of an ordinary end.
 */
const DEPARTED: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

const NO_DESCRIPTORS: readonly number[] = [];

/** What differs between a socket and a program. */
export interface StreamEnding {
  /** Ends after what has been written, as far as the peer lets it. */
  readonly close: () => void;
  /** Ends now. May be called again. */
  readonly destroy: () => void;
  /** Ends since the peer has; `destroy` if it is not given. */
  readonly peerEnded?: () => void;
}

/** A transport that reads `input`, which is paused until the start, and writes `output`; they may be the same stream. */
export class StreamTransport implements Transport {
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #ending: StreamEnding;
  #handlers: TransportHandlers | undefined;
  /** What was written and is not with the stream: full slabs and long messages, then the slab that is being filled. */
  #pieces: Uint8Array[] = [];
  #slab: Buffer | undefined;
  #slabByteLength = 0;
  #waitingByteLength = 0;
  /** Something was written since all was taken. */
  #filled = false;
  /** What came before the start: the platform reads a program's last words by itself. */
  #early: Uint8Array[] = [];
  #closing = false;
  /** Set when it has ended: with the error, if any. */
  #end: { readonly error: Error | undefined } | undefined;
  #failure: Error | undefined;

  constructor(input: Readable, output: Writable, ending: StreamEnding) {
    this.#input = input;
    this.#output = output;
    this.#ending = ending;
    // From the very beginning, since an 'error' that nobody hears ends the process.
    input.on('error', this.#failed);
    // A program that takes no more may still have said something, which is read to its end.
    if ((output as unknown) !== input) {
      output.on('error', (error: NodeJS.ErrnoException) => {
        if (!DEPARTED.has(error.code)) this.#failed(error);
      });
    }
    // The peer has closed its half. One that no longer sends is of no use, whatever we still have to say.
    output.on('drain', this.#flush);
    input.on('end', () => (ending.peerEnded ?? ending.destroy)());
  }

  get queuedByteLength(): number {
    return this.#output.destroyed ? 0 : this.#waitingByteLength + this.#output.writableLength;
  }

  start(handlers: TransportHandlers): void {
    queueMicrotask(() => {
      for (;;) {
        const bytes = this.#early.shift();
        if (bytes === undefined) break;
        handlers.receive(bytes, NO_DESCRIPTORS);
      }
      this.#handlers = handlers;
      if (this.#end === undefined) this.#input.resume();
      else handlers.ended(this.#end.error);
    });
  }

  write(bytes: Uint8Array, urgent = false): void {
    const { length } = bytes;
    if (this.#closing || length === 0) return;
    // What is written within one tick leaves in one system call.
    if (this.#waitingByteLength === 0 && !urgent) process.nextTick(this.#flush);
    this.#waitingByteLength += length;
    this.#filled = true;
    if (length > MAX_COPIED_BYTE_LENGTH) {
      this.#seal();
      this.#pieces.push(bytes);
    } else {
      if (length > MAX_COPIED_BYTE_LENGTH - this.#slabByteLength) this.#seal();
      if (this.#slab === undefined) {
        this.#slab = spare ?? Buffer.allocUnsafeSlow(MAX_COPIED_BYTE_LENGTH);
        spare = undefined;
      }
      this.#slab.set(bytes, this.#slabByteLength);
      this.#slabByteLength += length;
    }
    if (urgent) this.#flush();
  }

  close(): void {
    if (this.#closing) return;
    this.#hand();
    this.#closing = true;
    this.#early = [];
    this.#ending.close();
    // Read on: an end that is not read is never heard, and closing a socket with bytes unread may lose what was sent.
    this.#input.resume();
  }

  destroy(): void {
    this.#closing = true;
    this.#early = [];
    this.#drop();
    this.#ending.destroy();
  }

  /** Bytes came; they are only valid during the call. For the creator of the streams. */
  readonly received = (bytes: Uint8Array): void => {
    if (this.#closing) return;
    if (this.#handlers === undefined) this.#early.push(bytes.slice());
    else this.#handlers.receive(bytes, NO_DESCRIPTORS);
  };

  /** The streams are closed; `error` is why, when they do not tell themselves. For the creator of the streams, once. */
  ended(error?: Error): void {
    this.#closing = true;
    this.#drop();
    this.#end = { error: this.#failure ?? error };
    this.#handlers?.ended(this.#end.error);
  }

  readonly #failed = (error: NodeJS.ErrnoException): void => {
    if (!DEPARTED.has(error.code)) this.#failure ??= error;
    this.#ending.destroy();
  };

  #drop(): void {
    this.#pieces = [];
    this.#slab = undefined;
    this.#slabByteLength = 0;
    this.#waitingByteLength = 0;
  }

  /** Ends the slab that is being filled. */
  #seal(): void {
    if (this.#slab === undefined) return;
    this.#pieces.push(this.#slab.subarray(0, this.#slabByteLength));
    this.#slab = undefined;
    this.#slabByteLength = 0;
  }

  /** Hands over what waits, unless the stream has enough: small writes are better kept here, where they are joined. */
  readonly #flush = (): void => {
    if (this.#waitingByteLength > 0 && !this.#output.writableNeedDrain) this.#hand();
  };

  #hand(): void {
    const output = this.#output;
    if (!output.writable) {
      this.#drop();
      return;
    }
    const slab = this.#pieces.length === 0 ? this.#slab : undefined;
    const used = this.#slabByteLength;
    this.#seal();
    const pieces = this.#pieces;
    this.#drop();
    const last = pieces.length - 1;
    if (last > 0) output.cork();
    for (const [index, bytes] of pieces.entries())
      output.write(bytes, index === last ? this.#taken : undefined);
    if (last > 0) output.uncork();
    // The system has all of it, and nothing refers to the slab any more. It may have held a secret of a plain session.
    if (slab !== undefined && output.writableLength === 0) spare = slab.fill(0, 0, used);
  }

  readonly #taken = (error?: Error | null): void => {
    // Each write says so, also when those after it are taken already.
    if (error || this.#closing || !this.#filled || this.queuedByteLength > 0) return;
    this.#filled = false;
    this.#handlers?.drained?.();
  };
}
