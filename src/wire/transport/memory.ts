/**
 * A pair of transports joined in memory, for tests and for services in the same process.
 * Layer 6: imports lower layers only.
 */
import type { Transport, TransportHandlers } from './transport.js';

class MemoryTransport implements Transport {
  peer: MemoryTransport | undefined;
  #handlers: TransportHandlers | undefined;
  #arrived: Uint8Array[] = [];
  #ended = false;
  #queuedByteLength = 0;

  get queuedByteLength(): number {
    return this.#queuedByteLength;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    queueMicrotask(() => (this.#ended ? handlers.ended() : this.#deliver()));
  }

  write(bytes: Uint8Array): void {
    const { peer } = this;
    if (this.#ended || peer === undefined || bytes.length === 0) return;
    this.#queuedByteLength += bytes.length;
    peer.#arrived.push(bytes);
    // Never within the call: a peer that answers at once would run inside its own caller.
    queueMicrotask(() => peer.#deliver());
  }

  #deliver(): void {
    const handlers = this.#handlers;
    if (handlers === undefined) return;
    while (!this.#ended) {
      const bytes = this.#arrived.shift();
      if (bytes === undefined) return;
      if (this.peer !== undefined) this.peer.#queuedByteLength -= bytes.length;
      handlers.receive(bytes, []);
    }
  }

  close(): void {
    // What was written before is in the other side's queue and arrives there before the end does.
    queueMicrotask(() => this.destroy());
  }

  destroy(): void {
    this.#end();
    const { peer } = this;
    if (peer === undefined) return;
    peer.#deliver();
    peer.#end();
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
  const [one, other] = [new MemoryTransport(), new MemoryTransport()];
  one.peer = other;
  other.peer = one;
  return [one, other];
}
