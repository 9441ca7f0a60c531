/** A conversation that a real transport carried, written down, and had again with its bytes cut otherwise. */
import type { Transport, TransportHandlers } from '../../src/wire/index.js';

/** Bytes that came once `afterSent` bytes had been sent. */
export interface Arrival {
  readonly afterSent: number;
  readonly bytes: Buffer;
}

export class Recording {
  readonly arrivals: Arrival[] = [];
  #sent: Buffer[] = [];

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }

  get received(): Buffer {
    return Buffer.concat(this.arrivals.map(({ bytes }) => bytes));
  }

  /** The same transport, with everything it carries written down. */
  of(transport: Transport): Transport {
    let byteLength = 0;
    return {
      get queuedByteLength() {
        return transport.queuedByteLength;
      },
      start: (handlers) => {
        transport.start({
          ...handlers,
          receive: (bytes, fds) => {
            this.arrivals.push({ afterSent: byteLength, bytes: Buffer.from(bytes) });
            handlers.receive(bytes, fds);
          },
        });
      },
      write: (bytes) => {
        byteLength += bytes.length;
        this.#sent.push(Buffer.from(bytes));
        transport.write(bytes);
      },
      close: () => transport.close(),
      destroy: () => transport.destroy(),
    };
  }
}

/** Says what was received in a recording, in the pieces that `cut` makes, as soon as as much was sent as had been then. */
export class Replay implements Transport {
  readonly queuedByteLength = 0;
  #sent: Buffer[] = [];
  #sentByteLength = 0;
  readonly #pieces: Arrival[];
  #next = 0;
  #handlers: TransportHandlers | undefined;
  #ended = false;

  /** @param cut - the pieces of bytes that begin at `offset` of all that was received. */
  constructor(arrivals: readonly Arrival[], cut: (bytes: Buffer, offset: number) => Buffer[]) {
    this.#pieces = [];
    let offset = 0;
    for (const { afterSent, bytes } of arrivals) {
      for (const piece of cut(bytes, offset)) this.#pieces.push({ afterSent, bytes: piece });
      offset += bytes.length;
    }
  }

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }

  /** Whether everything was said. */
  get isDone(): boolean {
    return this.#next === this.#pieces.length;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    setImmediate(() => this.#pump());
  }

  write(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#sent.push(Buffer.from(bytes));
    this.#sentByteLength += bytes.length;
    setImmediate(() => this.#pump());
  }

  close(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#ended) return;
    this.#ended = true;
    queueMicrotask(() => this.#handlers?.ended());
  }

  #pump(): void {
    for (;;) {
      const piece = this.#pieces[this.#next];
      if (piece === undefined || piece.afterSent > this.#sentByteLength || this.#ended) return;
      this.#next++;
      // A copy that is overwritten afterwards, as the buffer of a socket is.
      const bytes = Uint8Array.from(piece.bytes);
      this.#handlers?.receive(bytes, []);
      bytes.fill(0xff);
    }
  }
}

export const whole = (bytes: Buffer): Buffer[] => [bytes];
export const byteByByte = (bytes: Buffer): Buffer[] => Array.from(bytes, (byte) => Buffer.of(byte));

/** Everything in one piece as it came, but for a cut before byte `at` of all. */
export const cutAt =
  (at: number) =>
  (bytes: Buffer, offset: number): Buffer[] => {
    const here = at - offset;
    return here <= 0 || here >= bytes.length ? [bytes] : [bytes.subarray(0, here), bytes.subarray(here)];
  };
