/**
 * A pair of transports joined in memory, for tests and for services in the same process.
 * Layer 6: imports lower layers only.
 */
import type { Transport, TransportHandlers } from './transport.js';

class MemoryTransport implements Transport {
  /** The other side; this one itself until they are joined. */
  peer: MemoryTransport = this;
  #handlers: TransportHandlers | undefined;
  /** What the other side has written and this one has not delivered; undefined is its end. */
  #arrived: (Uint8Array | undefined)[] = [];
  #queuedByteLength = 0;
  #closing = false;
  #ended = false;

  get queuedByteLength(): number {
    return this.#queuedByteLength;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    queueMicrotask(() => this.#deliver());
    if (this.#ended) queueMicrotask(() => handlers.ended());
  }

  write(bytes: Uint8Array): void {
    if (this.#closing || this.#ended || bytes.length === 0) return;
    this.#queuedByteLength += bytes.length;
    this.peer.#arrive(bytes);
  }

  close(): void {
    if (this.#closing || this.#ended) return;
    this.#closing = true;
    this.peer.#arrive(undefined);
    queueMicrotask(() => this.#end());
  }

  destroy(): void {
    if (this.#ended) return;
    this.peer.#arrived = [];
    this.peer.#arrive(undefined);
    this.#end();
  }

  /** Takes what the other side sends. Never delivers within the call: who answers at once would run inside its caller. */
  #arrive(bytes: Uint8Array | undefined): void {
    this.#arrived.push(bytes);
    if (this.#arrived.length === 1) queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    const handlers = this.#handlers;
    if (handlers === undefined) return;
    const arrived = this.#arrived;
    this.#arrived = [];
    for (const bytes of arrived) {
      if (this.#ended) return;
      if (bytes === undefined) {
        this.#end();
        return;
      }
      this.peer.#queuedByteLength -= bytes.length;
      handlers.receive(bytes, []);
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#arrived = [];
    const handlers = this.#handlers;
    if (handlers !== undefined) queueMicrotask(() => handlers.ended());
  }
}

/** Two transports: what is written to one arrives at the other. */
export function createMemoryPair(): [Transport, Transport] {
  const one = new MemoryTransport();
  const other = new MemoryTransport();
  one.peer = other;
  other.peer = one;
  return [one, other];
}
