/**
 * Unix domain sockets: the only file with `node:net`. Layer 6: imports lower layers only.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import { CancelledError, ConnectError, InvalidTextError } from '../base/errors.js';
import type { Address } from '../handshake/address.js';
import type { Transport, TransportHandlers } from './transport.js';
import { whenAborted } from './when-aborted.js';

/**
 * Longest path or abstract name of a socket, in bytes: `sun_path` holds 108 with a NUL behind or before it, and the platform
 * would cut a longer one silently.
 */
const MAX_SOCKET_NAME_BYTE_LENGTH = 107;

class UnixTransport implements Transport {
  readonly #socket: Socket;
  #corked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get queuedByteLength(): number {
    return this.#socket.writableLength;
  }

  start(handlers: TransportHandlers): void {
    const socket = this.#socket;
    let failure: Error | undefined;
    socket.on('data', (chunk: Buffer) => handlers.receive(chunk, []));
    socket.on('error', (error) => {
      failure = error;
    });
    if (socket.destroyed) {
      queueMicrotask(() => handlers.ended());
      return;
    }
    socket.on('close', () => handlers.ended(failure));
    // The peer has closed its half. A bus that no longer sends is of no use, whatever we still have to say.
    socket.on('end', () => socket.destroy());
    socket.resume();
  }

  write(bytes: Uint8Array): void {
    if (!this.#socket.writable) return;
    // What is written within one tick leaves in one system call.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Where an address of the transport `unix` points. A leading NUL makes an abstract socket. */
function socketPath(address: Address): string {
  const path = address.parameters.get('path');
  const abstract = address.parameters.get('abstract');
  if ((path === undefined) === (abstract === undefined)) {
    throw new InvalidTextError(
      'invalid-address',
      'an address of `unix` to connect to has either `path` or `abstract`',
      0,
    );
  }
  const name = path ?? abstract ?? '';
  const tooLong = Buffer.byteLength(name) > MAX_SOCKET_NAME_BYTE_LENGTH;
  if (name === '' || path?.includes('\0') === true || tooLong) {
    throw new InvalidTextError('invalid-address', 'not a name that a socket can have', 0);
  }
  return path ?? `\0${abstract}`;
}

/**
 * Connects to an address of the transport `unix`, with `path` or `abstract`.
 * @throws {InvalidTextError} `invalid-address`
 * @throws {ConnectError} `connect-failed`, with the system's error as `cause`
 * @throws {CancelledError} when `signal` fires first
 */
export function connectUnix(address: Address, signal: AbortSignal): Promise<Transport> {
  const path = socketPath(address);
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    const fail = (error: Error): void => {
      stopListening();
      socket.destroy();
      reject(error);
    };
    // This one stays: until the owner starts the transport nobody else listens, and an unheard 'error' ends the process.
    socket.on('error', (cause) =>
      fail(new ConnectError('connect-failed', `cannot connect to ${JSON.stringify(path)}`, { cause })),
    );
    socket.once('connect', () => {
      stopListening();
      socket.pause();
      resolve(new UnixTransport(socket));
    });
    const stopListening = whenAborted(signal, () => fail(new CancelledError(signal.reason)));
  });
}
