/**
 * The server's side of the transport `nonce-tcp` (D-Bus specification, "Nonce-authenticated TCP Sockets").
 * Layer 6: imports lower layers only.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuthError } from '../base/errors.js';
import { NONCE_BYTE_LENGTH } from '../base/limits.js';
import type { Transport, TransportHandlers } from './transport.js';

/** A nonce in its file. */
export interface Nonce {
  readonly bytes: Uint8Array;
  readonly file: string;
  /** Removes what was made. */
  remove(): Promise<void>;
}

/**
 * Makes a nonce in a file that only its owner can read: `wanted`, which must not exist, or one in a new temporary folder.
 * @throws {Error} the system's
 */
export async function writeNonce(wanted: string | undefined): Promise<Nonce> {
  const bytes = randomBytes(NONCE_BYTE_LENGTH);
  const directory = wanted === undefined ? await mkdtemp(join(tmpdir(), 'dbus-nonce-')) : undefined;
  const file = wanted ?? join(directory as string, 'nonce');
  const remove = (): Promise<void> =>
    rm(directory ?? file, { recursive: directory !== undefined, force: true });
  try {
    await writeFile(file, bytes, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (directory !== undefined) await remove();
    throw error;
  }
  return { bytes, file, remove };
}

/** A transport whose peer must send the nonce first; one that sends anything else is ended, and told nothing. */
class NonceTransport implements Transport {
  readonly #inner: Transport;
  readonly #nonce: Uint8Array;
  readonly #received = new Uint8Array(NONCE_BYTE_LENGTH);
  #receivedByteLength = 0;
  #failure: Error | undefined;

  constructor(inner: Transport, nonce: Uint8Array) {
    this.#inner = inner;
    this.#nonce = nonce;
  }

  get queuedByteLength(): number {
    return this.#inner.queuedByteLength;
  }

  start(handlers: TransportHandlers): void {
    this.#inner.start({
      receive: (bytes, fds) => {
        const rest = this.#receivedByteLength < NONCE_BYTE_LENGTH ? this.#take(bytes) : bytes;
        if (rest.length > 0) handlers.receive(rest, fds);
      },
      drained: () => handlers.drained?.(),
      ended: (error) => handlers.ended(error ?? this.#failure),
    });
  }

  write(bytes: Uint8Array): void {
    this.#inner.write(bytes);
  }

  close(): void {
    this.#inner.close();
  }

  destroy(): void {
    this.#inner.destroy();
  }

  /** Takes what belongs to the nonce from `bytes`; compares once it is whole. Gives what comes behind it. */
  #take(bytes: Uint8Array): Uint8Array {
    const taken = bytes.subarray(0, NONCE_BYTE_LENGTH - this.#receivedByteLength);
    this.#received.set(taken, this.#receivedByteLength);
    this.#receivedByteLength += taken.length;
    if (this.#receivedByteLength < NONCE_BYTE_LENGTH) return bytes.subarray(bytes.length);
    if (timingSafeEqual(this.#received, this.#nonce)) return bytes.subarray(taken.length);
    this.#failure = new AuthError('rejected', 'the peer does not know the nonce');
    this.#inner.destroy();
    return bytes.subarray(bytes.length);
  }
}

/** `transport`, for whose peer to show that it knows `nonce` before anything it says is delivered. */
export function expectNonce(transport: Transport, nonce: Uint8Array): Transport {
  return new NonceTransport(transport, nonce);
}
