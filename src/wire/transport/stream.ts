/**
 * A transport over Node's streams: a socket, or the two ends of a program. Layer 6: imports lower layers only.
 */
import type { Readable, Writable } from 'node:stream';
import type { Transport, TransportHandlers } from './transport.js';

/**
 * Writes of one tick up to this many bytes together are copied into one buffer: one plain write costs less than the list
 * of buffers that the system takes otherwise. Above it copying costs more.
 */
const MAX_JOINED_BYTE_LENGTH = 16_384;

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
  /** What was written in this tick. */
  #written: Uint8Array[] = [];
  #writtenByteLength = 0;
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
    input.on('end', () => (ending.peerEnded ?? ending.destroy)());
  }

  get queuedByteLength(): number {
    return this.#output.destroyed ? 0 : this.#writtenByteLength + this.#output.writableLength;
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
    if (this.#closing || bytes.length === 0) return;
    // What is written within one tick leaves in one system call.
    if (this.#written.push(bytes) === 1 && !urgent) process.nextTick(this.#flush);
    this.#writtenByteLength += bytes.length;
    this.#filled = true;
    if (urgent) this.#flush();
  }

  close(): void {
    if (this.#closing) return;
    this.#flush();
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
    this.#written = [];
    this.#writtenByteLength = 0;
  }

  readonly #flush = (): void => {
    const written = this.#written;
    const byteLength = this.#writtenByteLength;
    if (written.length === 0) return;
    this.#drop();
    const output = this.#output;
    if (!output.writable) return;
    if (byteLength <= MAX_JOINED_BYTE_LENGTH || written.length === 1) {
      const [only] = written;
      output.write(written.length === 1 ? only : Buffer.concat(written, byteLength), this.#taken);
      return;
    }
    const last = written.length - 1;
    output.cork();
    for (const [index, bytes] of written.entries())
      output.write(bytes, index === last ? this.#taken : undefined);
    output.uncork();
  };

  readonly #taken = (error?: Error | null): void => {
    // Each write says so, also when those after it are taken already.
    if (error || this.#closing || !this.#filled || this.queuedByteLength > 0) return;
    this.#filled = false;
    this.#handlers?.drained?.();
  };
}
