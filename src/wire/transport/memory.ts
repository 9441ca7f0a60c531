/**
 * A pair of transports joined in memory, for tests and for services in the same process. To its owner it is like a Unix
 * socket: what was written in an earlier tick reaches the peer whatever happens here afterwards.
 * Layer 6: imports lower layers only.
 */
import { MAX_COPIED_BYTE_LENGTH } from '../base/limits.js';
import type { Transport, TransportHandlers } from './transport.js';

class MemoryTransport implements Transport {
  /** The other side; this one itself until they are joined. */
  peer: MemoryTransport = this;
  #handlers: TransportHandlers | undefined;
  /** What was written in this tick. */
  #written: Uint8Array[] = [];
  /** What has come from the other side and is not delivered; undefined is its end. */
  #arrived: (Uint8Array | undefined)[] = [];
  #queuedByteLength = 0;
  #closing = false;
  #ended = false;

  get queuedByteLength(): number {
    return this.#ended ? 0 : this.#queuedByteLength;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    const begin = this.#ended ? () => handlers.ended() : () => this.#deliver();
    queueMicrotask(begin);
  }

  write(bytes: Uint8Array): void {
    if (this.#closing || bytes.length === 0) return;
    this.#queuedByteLength += bytes.length;
    // Never delivered within the call: who answers at once would run inside its caller.
    const kept = bytes.length > MAX_COPIED_BYTE_LENGTH ? bytes : bytes.slice();
    if (this.#written.push(kept) === 1) queueMicrotask(() => this.#flush());
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    queueMicrotask(() => {
      if (this.#ended) return;
      this.#flush();
      this.#leave();
    });
  }

  destroy(): void {
    this.#closing = true;
    if (this.#ended) return;
    this.#written = [];
    this.#leave();
  }

  /** Ends this side, and lets the other know. */
  #leave(): void {
    this.peer.#arrived.push(undefined);
    queueMicrotask(() => this.peer.#deliver());
    this.#end();
  }

  #flush(): void {
    const written = this.#written;
    this.#written = [];
    if (this.peer.#ended) return;
    this.peer.#arrived = this.peer.#arrived.concat(written);
    this.peer.#deliver();
  }

  #deliver(): void {
    if (this.#handlers === undefined) return;
    const arrived = this.#arrived;
    this.#arrived = [];
    for (const bytes of arrived) {
      if (this.#ended) return;
      if (bytes === undefined) this.#end();
      else this.#receive(bytes);
    }
  }

  #receive(bytes: Uint8Array): void {
    this.peer.#queuedByteLength -= bytes.length;
    if (!this.#closing) this.#handlers?.receive(bytes, []);
    if (this.peer.#queuedByteLength === 0 && !this.peer.#closing) this.peer.#handlers?.drained?.();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closing = true;
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
