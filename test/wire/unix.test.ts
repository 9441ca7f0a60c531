import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeMessage, MessageParser, openBus, sessionBus, systemBus } from '../../src/wire/index.js';
import { GUID } from '../support/scripted-peer.js';

const HELLO_REPLY = {
  type: 2,
  flags: 1,
  serial: 1,
  sender: 'org.freedesktop.DBus',
  signature: 's',
  body: [':1.1'],
};

let directory: string;
let servers: Server[];
let sockets: Socket[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
  servers = [];
  sockets = [];
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  rmSync(directory, { recursive: true });
});

function listen(path: string, onSocket: (socket: Socket) => void): Promise<void> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  servers.push(server);
  return new Promise((resolve) => server.listen({ path }, resolve));
}

/** Authenticates a client and answers its Hello, then reads no more when `deaf`. */
function greet(socket: Socket, deaf = false): void {
  const parser = new MessageParser();
  let began = false;
  socket.on('data', (chunk) => {
    const begin = chunk.indexOf('BEGIN\r\n');
    if (begin !== -1) began = true;
    else if (!began) socket.write(`OK ${GUID}\r\n`);
    if (!began) return;
    for (const message of parser.push(begin === -1 ? chunk : chunk.subarray(begin + 7))) {
      socket.write(encodeMessage({ ...HELLO_REPLY, replySerial: message.serial }));
      if (deaf) socket.pause();
    }
  });
}

describe('openBus on a Unix socket', () => {
  it('connects by path and by abstract name', async () => {
    const path = join(directory, 'bus');
    const abstract = `secretbus-test-${process.pid}-${Date.now()}`;
    await listen(path, greet);
    await using byPath = await openBus(`unix:path=${path}`);
    expect(byPath.uniqueName).toBe(':1.1');
    // Node 20 cannot, and says so.
    if (process.platform !== 'linux' || Number.parseInt(process.versions.node, 10) < 22) return;
    await listen(`\0${abstract}`, greet);
    await using byName = await openBus(`unix:abstract=${abstract}`);
    expect(byName.uniqueName).toBe(':1.1');
  });

  it('tries one address after the other, and compares the guid', async () => {
    const path = join(directory, 'bus');
    await listen(path, greet);
    await using bus = await openBus(`unix:path=${directory}/none;x:host=x;unix:path=${path},guid=${GUID}`);
    expect(bus.guid).toBe(GUID);
    await expect(openBus(`unix:path=${path},guid=${GUID.replace('0', '1')}`)).rejects.toMatchObject({
      code: 'wrong-guid',
    });
    await expect(openBus(`unix:path=${directory}/none;x:host=x`)).rejects.toMatchObject({
      code: 'connect-failed',
      cause: {
        errors: [{ code: 'connect-failed', cause: { code: 'ENOENT' } }, { code: 'unsupported-transport' }],
      },
    });
  });

  it.each([
    ['an absent socket', 'none', 'ENOENT'],
    ['a file that is no socket', 'file', 'ECONNREFUSED'],
  ])('rejects at %s', async (_what, name, cause) => {
    writeFileSync(join(directory, 'file'), '');
    await expect(openBus(`unix:path=${join(directory, name)}`)).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'connect-failed',
      cause: { code: cause },
    });
  });

  it.each([
    'unix:',
    'unix:path=/a,abstract=b',
    `unix:path=/${'a'.repeat(107)}`,
    'unix:path=/a%00b',
    'unix:abstract=',
  ])('refuses %s', async (address) => {
    await expect(openBus(address)).rejects.toMatchObject({
      name: 'InvalidTextError',
      code: 'invalid-address',
    });
  });

  it.each([
    ['says nothing', () => {}],
    ['says garbage', (socket: Socket) => socket.write(Buffer.alloc(100_000, 'x'))],
    ['hangs up', (socket: Socket) => socket.destroy()],
    ['hangs up after OK', (socket: Socket) => socket.end(`OK ${GUID}\r\n`)],
    ['refuses', (socket: Socket) => socket.on('data', () => socket.write('REJECTED EXTERNAL\r\n'))],
  ])('rejects in time at a server that %s', async (_what, behave) => {
    const path = join(directory, 'bus');
    await listen(path, behave);
    await expect(openBus(`unix:path=${path}`, { connectTimeoutMs: 200 })).rejects.toMatchObject({
      code: expect.stringMatching(/^(deadline|closed|rejected|protocol)$/),
    });
  });

  it('sends what is queued before it closes', async () => {
    const path = join(directory, 'bus');
    let received = 0;
    const ended = new Promise<void>((resolve) => {
      void listen(path, (socket) => {
        greet(socket, true);
        socket.on('data', (chunk) => (received += chunk.length));
        socket.on('close', () => resolve());
        // Reads nothing while the client calls and closes.
        setTimeout(() => socket.resume(), 100);
      });
    });
    const bus = await openBus(`unix:path=${path}`);
    const body = [new Uint8Array(2 ** 22)];
    const call = { destination: 'a.b', path: '/', member: 'Put', signature: 'ay', body };
    const unanswered = bus.call(call).catch((error: { code: string }) => error.code);
    await bus.close();
    expect(await unanswered).toBe('closed');
    await ended;
    expect(received).toBeGreaterThan(2 ** 22);
  });

  it('closes in time though the peer has stopped reading, and reports a full queue', async () => {
    const path = join(directory, 'bus');
    await listen(path, (socket) => greet(socket, true));
    const bus = await openBus(`unix:path=${path}`);
    const body = [new Uint8Array(2 ** 25)];
    const call = { destination: 'a.b', path: '/', member: 'Put', signature: 'ay', body };
    const calls = Array.from({ length: 6 }, () =>
      bus.call(call).catch((error: { code: string }) => error.code),
    );
    const started = performance.now();
    await bus.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await Promise.all(calls)).toEqual([
      'closed',
      'closed',
      'closed',
      'closed',
      'queue-full',
      'queue-full',
    ]);
  });
});

describe('the buses of the environment', () => {
  it('are found by DBUS_SESSION_BUS_ADDRESS, else by the socket in XDG_RUNTIME_DIR', async () => {
    const path = join(directory, 'bus');
    await listen(path, greet);
    await using named = await sessionBus({ env: { DBUS_SESSION_BUS_ADDRESS: `unix:path=${path}` } });
    await using found = await sessionBus({ env: { XDG_RUNTIME_DIR: directory } });
    await using system = await systemBus({ env: { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${path}` } });
    expect([named, found, system].map((bus) => bus.uniqueName)).toEqual([':1.1', ':1.1', ':1.1']);
  });

  it('are missed with an error that says where was looked', async () => {
    writeFileSync(join(directory, 'bus'), 'not a socket');
    for (const env of [{}, { XDG_RUNTIME_DIR: directory }, { XDG_RUNTIME_DIR: 'relative' }]) {
      await expect(sessionBus({ env })).rejects.toMatchObject({ name: 'ConnectError', code: 'no-bus' });
    }
  });
});
