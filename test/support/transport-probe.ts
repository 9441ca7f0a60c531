/** The owner of a transport that writes down what it is told. */
import type { Transport } from '../../src/wire/transport/transport.js';

/** A promise, and what settles it. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

export class TransportProbe {
  readonly transport: Transport;
  /** Copies of what came, chunk by chunk. */
  readonly chunks: Buffer[] = [];
  drained = 0;
  /** One element each time the transport said that it has ended. */
  readonly ends: (Error | undefined)[] = [];
  /** Resolves at the first end, with its error. */
  readonly ended: Promise<Error | undefined>;
  readonly #settle: (error: Error | undefined) => void;

  constructor(transport: Transport) {
    this.transport = transport;
    const { promise, resolve } = deferred<Error | undefined>();
    this.ended = promise;
    this.#settle = resolve;
  }

  start(): this {
    this.transport.start({
      receive: (bytes) => {
        if (this.ends.length > 0) throw new Error('bytes after the end');
        this.chunks.push(Buffer.from(bytes));
      },
      drained: () => {
        if (this.ends.length > 0) throw new Error('drained after the end');
        if (this.transport.queuedByteLength > 0) throw new Error('drained with bytes queued');
        this.drained++;
      },
      ended: (error) => {
        this.ends.push(error);
        this.#settle(error);
      },
    });
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString();
  }

  get byteLength(): number {
    return this.chunks.reduce((sum, { length }) => sum + length, 0);
  }
}

/** Waits until `condition` holds; rejects after `timeoutMs`. */
export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${String(condition)}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Bytes that differ all along, so that none can be lost, doubled or moved unseen. */
export function pattern(byteLength: number): Buffer {
  const bytes = Buffer.alloc(byteLength);
  for (let at = 0; at + 4 <= byteLength; at += 4) bytes.writeUInt32LE(at, at);
  return bytes;
}
