/**
 * Sockets, connected and accepted: the only file with `node:net`. Layer 6: imports lower layers only.
 */
import { connect, createServer, type ListenOptions, type NetConnectOpts, type Socket } from 'node:net';
import { CancelledError } from '../base/errors.js';
import { connectFailed } from './endpoint.js';
import { StreamTransport } from './stream.js';
import type { Transport } from './transport.js';
import { throwIfAborted, whenAborted } from './when-aborted.js';

/** Bytes read at one time, as many as the platform itself would. */
const READ_BYTE_LENGTH = 65_536;

/**
 * A message is not held back to be joined with later ones: writes of one tick are joined already. Probes while idle, since
 * a host that vanishes says nothing, and one who only waits for signals would wait for ever; a minute is short beside how
 * long a call may take to be answered by a person, and costs nothing while there is traffic.
 */
const TCP = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 } as const;

let shared: Buffer | undefined;

/**
 * What the sockets read into. One buffer for all of them: on Unix the system fills it just before it is handed to
 * `receive`, which may not keep it. On Windows reads are begun before, so that there each has its own.
 */
function readBuffer(): Buffer {
  if (process.platform === 'win32') return Buffer.allocUnsafeSlow(READ_BYTE_LENGTH);
  shared ??= Buffer.allocUnsafeSlow(READ_BYTE_LENGTH);
  return shared;
}

function transportOf(socket: Socket, isTcp: boolean): StreamTransport {
  const transport = new StreamTransport(socket, socket, {
    // A TCP socket that is closed with bytes unread resets the connection, and with it what was sent last; so it waits for
    // the peer's end. What was sent over a Unix socket is with the peer at once.
    close: () => (isTcp ? socket.end() : socket.destroySoon()),
    destroy: () => socket.destroy(),
  });
  socket.on('close', () => transport.ended());
  return transport;
}

/**
 * Connects to a socket.
 * @throws {ConnectError} `connect-failed`, with the system's error as `cause`
 * @throws {CancelledError} when `signal` fires first
 */
export function openSocket(
  target:
    | { readonly path: string }
    | { readonly host: string; readonly port: number; readonly family: number },
  signal: AbortSignal,
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const isTcp = 'host' in target;
    const where = isTcp ? `${target.host}, port ${target.port}` : target.path;
    const onread = {
      buffer: readBuffer(),
      callback: (byteLength: number, buffer: Uint8Array): boolean => {
        transport.received(buffer.subarray(0, byteLength));
        return true;
      },
    };
    const socket = connect({ ...target, ...(isTcp && TCP), onread } as NetConnectOpts);
    // Nothing is read before the owner starts the transport.
    socket.pause();
    const transport = transportOf(socket, isTcp);
    const fail = (error: Error): void => {
      stopListening();
      socket.destroy();
      reject(error);
    };
    socket.once('error', (cause) => fail(connectFailed('connect to', where, cause)));
    socket.once('connect', () => {
      stopListening();
      resolve(transport);
    });
    const stopListening = whenAborted(signal, () => fail(new CancelledError(signal.reason)));
  });
}

/** A socket that is being listened on. */
export interface SocketServer {
  /** The port, of TCP. */
  readonly port: number | undefined;
  /** Accepts no more. What was accepted stays. */
  close(): void;
}

/**
 * Listens on a path, an abstract name (with a NUL before it), or a host and port. `accept` owns what it is given.
 * @throws {Error} the system's
 */
export function listenOnSocket(
  where: Pick<ListenOptions, 'path' | 'host' | 'port' | 'ipv6Only'>,
  accept: (transport: Transport) => void,
): Promise<SocketServer> {
  return new Promise((resolve, reject) => {
    const isTcp = where.path === undefined;
    const server = createServer({ pauseOnConnect: true, ...(isTcp ? TCP : {}) }, (socket) => {
      const transport = transportOf(socket, isTcp);
      socket.on('data', transport.received);
      accept(transport);
    });
    // This one stays: too many open files make an 'error' of a server that goes on listening.
    server.on('error', reject);
    server.listen({ ...where, exclusive: true }, () => {
      const address = server.address();
      resolve({
        port: typeof address === 'object' ? address?.port : undefined,
        close: () => void server.close(),
      });
    });
  });
}
