/** Peers that break the rules, over real sockets and in memory, and what is watched while they do. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect } from 'vitest';
import { createMemoryPair, encodeMessage, type Message, MessageParser } from '../../src/wire/index.js';

export const GUID = '0123456789abcdef0123456789abcdef';
export const UNIQUE_NAME = ':1.7';
export const BUS_NAME = 'org.freedesktop.DBus';

/** A hostile side of a connection: bytes out, bytes in, and two ways to end it. */
export interface RawSide {
  write(bytes: Uint8Array | string): void;
  /** Ends our half alone, where the carrier knows halves. */
  end(): void;
  destroy(): void;
  /** Resolves when the other side has ended the connection, or its half. */
  readonly closed: Promise<void>;
  onData: (bytes: Buffer) => void;
  /** Stops and goes on reading, where the carrier can. */
  readonly socket?: Socket;
}

function socketSide(socket: Socket): RawSide {
  socket.on('error', () => {});
  const side: RawSide = {
    write: (bytes) => void (socket.destroyed || socket.write(bytes, 'latin1')),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    closed: new Promise((resolve) => {
      socket.once('end', resolve);
      socket.once('close', () => resolve());
    }),
    onData: () => {},
    socket,
  };
  socket.on('data', (bytes) => side.onData(bytes));
  return side;
}

/** Where a hostile server waits for victims. */
export interface HostileServer {
  /** To be given to `openBus` or `connect`, as often as wanted. */
  readonly target: () => string | ReturnType<typeof createMemoryPair>[0];
  readonly sides: RawSide[];
  close(): Promise<void>;
}

/** Serves each connection by `serve`, over a Unix socket. */
export async function hostileSocket(serve: (side: RawSide) => void): Promise<HostileServer> {
  const directory = mkdtempSync(join(tmpdir(), 'sb-hostile-'));
  const path = join(directory, 's');
  const sides: RawSide[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    const side = socketSide(socket);
    sides.push(side);
    serve(side);
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    target: () => `unix:path=${path}`,
    sides,
    close: async () => {
      for (const side of sides) side.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The same in memory, without a socket. */
export async function hostileMemory(serve: (side: RawSide) => void): Promise<HostileServer> {
  const sides: RawSide[] = [];
  const target = (): ReturnType<typeof createMemoryPair>[0] => {
    const [ours, theirs] = createMemoryPair();
    let gone!: () => void;
    const side: RawSide = {
      write: (bytes) => theirs.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
      end: () => theirs.close(),
      destroy: () => theirs.destroy(),
      closed: new Promise((resolve) => (gone = resolve)),
      onData: () => {},
    };
    theirs.start({
      receive: (bytes) => side.onData(Buffer.from(bytes)),
      ended: () => gone(),
    });
    sides.push(side);
    serve(side);
    return ours;
  };
  return {
    target,
    sides,
    close: async () => {
      for (const side of sides) side.destroy();
    },
  };
}

/** Connects to a server of ours, as nobody in particular. */
export async function hostileClient(address: string): Promise<RawSide> {
  const path = /unix:path=([^,;]*)/.exec(address)?.[1];
  if (path === undefined) throw new Error(`no path in ${address}`);
  const socket = connect({ path: decodeURIComponent(path), allowHalfOpen: true });
  const side = socketSide(socket);
  await once(socket, 'connect');
  return side;
}

export const CLIENT_SASL = `\0AUTH EXTERNAL ${Buffer.from(String(process.getuid?.())).toString('hex')}\r\nBEGIN\r\n`;

/** Authenticates as a client; resolves once the server has said OK. */
export async function authenticatedClient(address: string): Promise<RawSide> {
  const side = await hostileClient(address);
  let text = '';
  const ok = new Promise<void>((resolve) => {
    side.onData = (bytes) => {
      text += bytes.toString('latin1');
      if (/^OK .*\r\n/m.test(text)) resolve();
    };
  });
  side.write(CLIENT_SASL);
  await ok;
  side.onData = () => {};
  return side;
}

/** A message with what is missing filled in. */
export function frame(
  message: Partial<Message> & { type: number },
  endian: 'little' | 'big' = 'little',
): Uint8Array {
  return encodeMessage({ flags: 0, serial: 1, signature: '', body: [], ...message }, { endian });
}

/** Reads the client's half of the handshake, answers it, then gives each message to `take`. */
export function serveSasl(side: RawSide, take: (message: Message) => void, ok = `OK ${GUID}\r\n`): void {
  let lines = '';
  let answered = false;
  side.onData = (bytes) => {
    lines += bytes.toString('latin1');
    if (!answered && /\0AUTH [^\r]*\r\n/.test(lines)) {
      answered = true;
      side.write(ok);
    }
    const begin = lines.indexOf('BEGIN\r\n');
    if (begin === -1) return;
    const parser = new MessageParser();
    side.onData = (more) => {
      for (const message of parser.push(more)) take(message);
    };
    side.onData(Buffer.from(lines.slice(begin + 7), 'latin1'));
  };
}

/** The reply of the bus to a call. */
export function busReply(
  call: Message,
  signature: string,
  body: unknown[],
  extra: Partial<Message> = {},
): Uint8Array {
  return frame({
    type: 2,
    flags: 1,
    replySerial: call.serial,
    sender: BUS_NAME,
    destination: UNIQUE_NAME,
    signature,
    body,
    ...extra,
  });
}

/** A bus that says OK and Hello as it should, and leaves everything else to `take`. */
export function serveBus(side: RawSide, take: (message: Message) => void = () => {}): void {
  serveSasl(side, (message) => {
    if (message.member === 'Hello') side.write(busReply(message, 's', [UNIQUE_NAME]));
    else take(message);
  });
}

let collect: (() => void) | undefined;

/** Bytes of memory in use, after a full collection. */
export function usedByteLength(): number {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/** Writes `total` copies of what `make` gives, no faster than the other side takes them. */
export async function flood(
  side: RawSide,
  total: number,
  make: (index: number) => Uint8Array,
): Promise<void> {
  const { socket } = side;
  if (socket === undefined) throw new Error('a flood needs a socket');
  for (let index = 0; index < total && !socket.destroyed; ) {
    const parts: Uint8Array[] = [];
    let byteLength = 0;
    for (; index < total && byteLength < 262_144; index++) {
      const bytes = make(index);
      parts.push(bytes);
      byteLength += bytes.length;
    }
    const taken = new Promise<void>((resolve) => {
      socket.write(Buffer.concat(parts), () => resolve());
    });
    await Promise.race([taken, side.closed]);
  }
}

/** Errors that nobody caught, and resources that stay: none may be left by a hostile peer. */
export class Escapes {
  readonly errors: unknown[] = [];
  readonly #take = (error: unknown): void => void this.errors.push(error);
  readonly #before: Map<string, number>;

  constructor() {
    process.on('unhandledRejection', this.#take);
    process.on('uncaughtExceptionMonitor', this.#take);
    this.#before = resources();
  }

  /** Resources of sockets and timers above what there was, once they have had some time to go. */
  async leaks(): Promise<string[]> {
    process.off('unhandledRejection', this.#take);
    process.off('uncaughtExceptionMonitor', this.#take);
    const left = (): string[] =>
      [...resources()]
        .filter(([name, count]) => count > (this.#before.get(name) ?? 0))
        .map(([name, count]) => `${name} ${count}`);
    for (let round = 0; round < 100 && left().length > 0; round++) {
      await new Promise((resolve) => setTimeout(resolve, 10).unref());
      await new Promise((resolve) => setImmediate(resolve));
    }
    return left();
  }
}

/** Sees to it that no test of the file lets anything escape, or leaves anything behind. */
export function watchEachTest(): void {
  let escapes: Escapes;
  beforeEach(() => {
    escapes = new Escapes();
  });
  afterEach(async () => {
    expect(await escapes.leaks()).toEqual([]);
    expect(escapes.errors).toEqual([]);
  });
}

function resources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    if (/Pipe|TCP|Timeout|Process/.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
