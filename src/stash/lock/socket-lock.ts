/**
 * A lock by the name of a socket: on Linux an abstract Unix socket, on Windows a named pipe. Who has bound the
 * name holds the lock; nothing lies on the disk, and the system frees the name when its process dies. No child
 * process inherits it.
 *
 * Who waits connects, and waits for the connection to end: the holder sees it, and ends it when it lets go; the
 * system ends it if the holder dies. Anybody on the machine who knows the name can connect, or bind it first.
 * Nothing is read from a connection and their number is limited, so that this can cost time and no more.
 *
 * An abstract name is one per network namespace: containers do not keep each other out.
 */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { systemCodeOf } from '../file-image.js';
import { lockError, pause, type SystemHold, type SystemLock, unavailable } from './system-lock.js';

/** Node 20 fills shorter abstract names up with NULs, later ones do not; of this length they are the same name. */
const abstractNameLength = 107;

/** More who wait than this have to ask again and again. */
const maxConnections = 64;

/** So often is the lock asked for at once when a wait has ended, before the pauses begin. */
const quickAttempts = 4;

const longestPauseMs = 8;

/** Sandboxes and runtimes without such sockets refuse them with one of these: Bun with `EINVAL`, for the length. */
const forbidden: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'EAFNOSUPPORT',
  'EPROTONOSUPPORT',
  'EOPNOTSUPP',
  'ENOTSUP',
  'ENOSYS',
  'EINVAL',
  'ENOENT',
  'ERR_ACCESS_DENIED',
]);

class SocketHold implements SystemHold {
  readonly #server: Server;
  readonly #waiting: readonly Socket[];

  constructor(server: Server, waiting: readonly Socket[]) {
    this.#server = server;
    this.#waiting = waiting;
  }

  get wanted(): boolean {
    return this.#waiting.length > 0;
  }

  release(): void {
    // The name first: who sees the connection end tries to bind it.
    this.#server.close();
    for (const socket of this.#waiting) socket.destroy();
  }
}

/** The lock of this name, of at most 80 ASCII characters. `path` is for errors only. */
export class SocketLock implements SystemLock {
  readonly idleMs = 10;
  readonly #path: string;
  readonly #address: string;

  constructor(path: string, name: string) {
    this.#path = path;
    this.#address =
      process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : `\0${name.padEnd(abstractNameLength, '-')}`;
  }

  async take(signal: AbortSignal, onWanted: () => void): Promise<SystemHold | undefined> {
    if (process.platform !== 'linux' && process.platform !== 'win32') {
      throw unavailable(this.#path, 'this system has no sockets that can serve as locks');
    }
    for (let attempts = 1; ; attempts++) {
      const hold = await this.#bind(onWanted);
      if (hold !== undefined || signal.aborted) return hold;
      const endedSoon = await this.#untilReleased(signal);
      if (!endedSoon) attempts = 0;
      else if (attempts > quickAttempts) {
        await pause(Math.min(longestPauseMs, 2 ** (attempts - quickAttempts)), signal);
      }
      if (signal.aborted) return undefined;
    }
  }

  async #bind(onWanted: () => void): Promise<SystemHold | undefined> {
    const waiting: Socket[] = [];
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined).unref();
      if (waiting.push(socket) === 1) onWanted();
    });
    server.maxConnections = maxConnections;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        // Exclusive: a worker of node:cluster would ask its primary process to bind, and share the socket.
        server.listen({ path: this.#address, exclusive: true, backlog: maxConnections }, resolve);
      });
    } catch (error) {
      if (systemCodeOf(error) === 'EADDRINUSE') return undefined;
      throw lockError(this.#path, error, forbidden, 'this process may not bind the socket that is the lock');
    }
    server.on('error', () => undefined).unref();
    return new SocketHold(server, waiting);
  }

  /** Waits until the holder ends the connection, or there is none. Returns whether that was so at once. */
  async #untilReleased(signal: AbortSignal): Promise<boolean> {
    const start = performance.now();
    await new Promise<void>((resolve) => {
      const socket = connect({ path: this.#address });
      const end = (): void => void socket.destroy();
      signal.addEventListener('abort', end);
      socket
        // A holder of ours sends nothing.
        .on('data', end)
        .on('error', end)
        .on('end', end)
        .on('close', () => {
          signal.removeEventListener('abort', end);
          resolve();
        });
    });
    return performance.now() - start < 1;
  }
}
