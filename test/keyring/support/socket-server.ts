/** A Unix socket in a folder of its own, where a test plays a bus to the front door, or something that is none. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Transport } from '../../../src/wire/index.js';

export interface SocketServer extends AsyncDisposable {
  /** Where the socket is. */
  readonly path: string;
  readonly address: string;
  /** An environment in which the session bus is this socket. */
  readonly env: Readonly<Record<string, string>>;
  /** Ends the server and its connections; the folder stays until the server is disposed of. */
  close(): Promise<void>;
}

/** The server's end of a connection as the wire wants it. */
export function transportOf(socket: Socket): Transport {
  return {
    get queuedByteLength() {
      return socket.writableLength;
    },
    start: (handlers) => {
      socket.on('data', (bytes) => handlers.receive(bytes, []));
      socket.on('close', () => handlers.ended());
    },
    write: (bytes) => void socket.write(bytes),
    close: () => socket.end(),
    destroy: () => socket.destroy(),
  };
}

/** Listens, and gives every connection to `serve`. */
export async function listen(serve: (socket: Socket) => void): Promise<SocketServer> {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  const path = join(directory, 'bus');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const address = `unix:path=${path}`;
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return {
    path,
    address,
    env: { DBUS_SESSION_BUS_ADDRESS: address },
    close,
    [Symbol.asyncDispose]: async () => {
      await close();
      rmSync(directory, { recursive: true });
    },
  };
}
