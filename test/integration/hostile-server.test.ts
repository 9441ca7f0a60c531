/** Hostile clients of a server of ours: each is hung up on, the others never notice. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Connection,
  connect,
  implement,
  type ListenOptions,
  listen,
  type Message,
  MessageParser,
  type Server,
} from '../../src/wire/index.js';
import {
  authenticatedClient,
  CLIENT_SASL,
  Escapes,
  frame,
  hostileClient,
  type RawSide,
} from '../support/hostile-peer.js';

const ECHO = { name: 'org.example.Echo', methods: { Echo: { in: 's', out: 's' }, Never: {} } } as const;
const CALL = {
  path: '/',
  interface: ECHO.name,
  member: 'Echo',
  signature: 's',
  body: ['still here'],
} as const;

let escapes: Escapes;
let server: Server;
let good: Connection;
let errors: unknown[];
let running: number;
const sides: RawSide[] = [];

/** A method that runs until its caller is gone. */
function never({ signal }: { signal: AbortSignal }): Promise<void> {
  running++;
  return new Promise((resolve) =>
    signal.addEventListener('abort', () => {
      running--;
      resolve();
    }),
  );
}

async function start(options: Partial<ListenOptions> = {}): Promise<void> {
  errors = [];
  running = 0;
  server = await listen('unix:tmpdir=/tmp', {
    onConnection: (peer) => {
      peer.export('/', [implement(ECHO, { methods: { Echo: (text) => text, Never: never } })]);
    },
    onError: (error) => errors.push(error),
    ...options,
  });
  good = await connect(server.address);
}

async function client(): Promise<RawSide> {
  const side = await hostileClient(server.address);
  sides.push(side);
  return side;
}

async function authenticated(): Promise<RawSide> {
  const side = await authenticatedClient(server.address);
  sides.push(side);
  return side;
}

beforeEach(() => {
  escapes = new Escapes();
});
afterEach(async () => {
  expect(await good.call(CALL)).toEqual(['still here']);
  for (const side of sides.splice(0)) side.destroy();
  await good.close();
  await server.close();
  expect(running).toBe(0);
  expect(await escapes.leaks()).toEqual([]);
  expect(escapes.errors).toEqual([]);
});

describe('a client of our server', () => {
  it.each<[string, string]>([
    ['no NUL', 'AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n'],
    ['a request of HTTP', 'POST / HTTP/1.1\r\nHost: x\r\n\r\nAUTH ANONYMOUS\r\nBEGIN\r\n'],
    ['a line without an end', `\0AUTH ${'a'.repeat(100_000)}`],
    ['lines without an end', '\0'.padEnd(1_000_000, 'NEGOTIATE_UNIX_FD\r\n')],
    ['BEGIN before anything', '\0BEGIN\r\n'],
    ['bytes that are not ASCII', '\0\xff\xff\r\n'.repeat(100)],
    ['another user', `\0${'AUTH EXTERNAL 39393939\r\n'.repeat(20)}`],
    ['a mechanism that is not there', `\0${'AUTH ANONYMOUS 61\r\n'.repeat(20)}`],
    ['CANCEL for ever', `\0${'AUTH EXTERNAL\r\nCANCEL\r\n'.repeat(100)}`],
    [
      'a message without BEGIN',
      `\0AUTH EXTERNAL\r\nDATA\r\n${Buffer.from(frame({ type: 1, path: '/', member: 'M' }))
        .toString('latin1')
        .padEnd(20_000, '\0')}`,
    ],
  ])('that authenticates with %s is hung up on', async (_name, text) => {
    await start();
    const side = await client();
    side.write(text);
    await side.closed;
    await expect.poll(() => errors).toMatchObject([{ name: 'AuthError' }]);
    expect(server.connections.size).toBe(1);
  });

  it.each([1, 10, CLIENT_SASL.length - 1])(
    'that ends its half after %i bytes of its authentication, or hangs up there',
    async (byteLength) => {
      await start();
      for (const how of ['end', 'destroy'] as const) {
        const side = await client();
        side.write(CLIENT_SASL.slice(0, byteLength));
        side[how]();
        await side.closed;
      }
      await expect.poll(() => errors).toHaveLength(2);
      expect(errors[0]).toMatchObject({ code: 'closed', cause: { code: 'disconnected' } });
    },
  );

  it('that trickles, or never begins, has no longer than its deadline', async () => {
    await start({ authenticationTimeoutMs: 100 });
    const silent = await client();
    const slow = await client();
    const timer = setInterval(() => slow.write('A'), 5);
    slow.write('\0');
    await Promise.all([silent.closed, slow.closed]);
    clearInterval(timer);
    await expect.poll(() => errors).toHaveLength(2);
    expect(errors[0]).toMatchObject({ code: 'deadline', deadline: 'connect' });
  });

  it('that comes with many others which never authenticate keeps nobody out longer than their deadline', async () => {
    await start({ authenticationTimeoutMs: 200, maxConnections: 20 });
    const idle = await Promise.all(Array.from({ length: 40 }, client));
    await expect(connect(server.address)).rejects.toMatchObject({ code: 'closed' });
    await Promise.all(idle.map((side) => side.closed));
    const late = await connect(server.address);
    expect(await late.call(CALL)).toEqual(['still here']);
    await late.close();
  });

  it('that comes and goes 2,000 times leaves nothing behind', async () => {
    await start({ maxConnections: 50 });
    for (let round = 0; round < 20; round++) {
      // Some do not even get into the system's queue.
      await Promise.allSettled(
        Array.from({ length: 100 }, async (_value, index) => {
          const side = await hostileClient(server.address);
          if (index % 3 === 0) side.write(CLIENT_SASL);
          if (index % 3 === 1) side.write('garbage\r\n');
          side.destroy();
        }),
      );
    }
    await expect.poll(() => server.connections.size, { timeout: 5000 }).toBe(1);
    const late = await connect(server.address);
    await late.close();
  });

  it.each<[string, Uint8Array]>([
    ['garbage', Buffer.alloc(64, 0x41)],
    ['a message too long', Buffer.from('6c010001ffffff07010000000000000000', 'hex')],
    [
      'a call in the reserved path',
      Buffer.from(frame({ type: 1, path: '/org/freedesktop/DBus/Locax', member: 'M' })).map((byte) =>
        byte === 0x78 ? 0x6c : byte,
      ),
    ],
    [
      'a signal of the reserved interface',
      Buffer.from(frame({ type: 4, path: '/', interface: 'org.freedesktop.DBus.Locax', member: 'M' })).map(
        (byte) => (byte === 0x78 ? 0x6c : byte),
      ),
    ],
  ])('that sends %s is hung up on, with its reason', async (_name, bytes) => {
    await start();
    const side = await authenticated();
    await expect.poll(() => server.connections.size).toBe(2);
    const [, victim] = [...server.connections];
    side.write(bytes);
    expect(await victim?.closed).toMatchObject({ name: 'ProtocolError' });
    await side.closed;
    await expect.poll(() => server.connections.size).toBe(1);
  });

  it('that sends calls together with its authentication is answered, in order', async () => {
    await start();
    const calls = Array.from({ length: 100 }, (_value, index) =>
      frame(
        { type: 1, serial: index + 1, path: '/', member: 'Echo', signature: 's', body: [`${index}`] },
        index % 2 === 0 ? 'little' : 'big',
      ),
    );
    const side = await client();
    let bytes = Buffer.alloc(0);
    side.onData = (more) => (bytes = Buffer.concat([bytes, more]));
    side.write(Buffer.concat([Buffer.from(CLIENT_SASL), ...calls]));
    const replies = (): Message[] => new MessageParser().push(bytes.subarray(bytes.indexOf('\n') + 1));
    await expect.poll(() => (bytes.includes('\n') ? replies().length : 0)).toBe(100);
    expect(replies().map(({ replySerial, body }) => [replySerial, body[0]])).toEqual(
      calls.map((_call, index) => [index + 1, `${index}`]),
    );
  });

  it('that calls with every malformed argument gets errors, and can go on', async () => {
    await start();
    const side = await authenticated();
    const parser = new MessageParser();
    const replies: Message[] = [];
    side.onData = (bytes) => replies.push(...parser.push(bytes));
    const calls: [Partial<Message>, string][] = [
      [{ path: '/none', member: 'Echo' }, 'UnknownObject'],
      [{ path: '/', member: 'None' }, 'UnknownMethod'],
      [{ path: '/', interface: 'a.b', member: 'Echo' }, 'UnknownInterface'],
      [{ path: '/', member: 'Echo' }, 'InvalidArgs'],
      [{ path: '/', member: 'Echo', signature: 'u', body: [1] }, 'InvalidArgs'],
      [{ path: '/', member: 'Echo', signature: 'ss', body: ['a', 'b'] }, 'InvalidArgs'],
      [
        {
          path: '/',
          interface: 'org.freedesktop.DBus.Properties',
          member: 'Get',
          signature: 'ss',
          body: ['__proto__', 'constructor'],
        },
        'UnknownInterface',
      ],
      [
        {
          path: '/',
          interface: 'org.freedesktop.DBus.Properties',
          member: 'Get',
          signature: 'ss',
          body: [ECHO.name, '__proto__'],
        },
        'UnknownProperty',
      ],
      [{ path: '/', interface: ECHO.name, member: 'constructor' }, 'UnknownMethod'],
      [{ path: '/', interface: ECHO.name, member: 'toString' }, 'UnknownMethod'],
    ];
    for (const [index, [call]] of calls.entries()) side.write(frame({ type: 1, serial: index + 1, ...call }));
    await expect.poll(() => replies.length).toBe(calls.length);
    expect(replies.map(({ errorName }) => errorName)).toEqual(
      calls.map(([, name]) => `org.freedesktop.DBus.Error.${name}`),
    );
    expect(replies.map(({ replySerial }) => replySerial)).toEqual(calls.map((_call, index) => index + 1));
  });

  it('has no more calls running than it may; the others are refused at once, and end with it', async () => {
    await start();
    const side = await authenticated();
    const parser = new MessageParser();
    const replies: Message[] = [];
    side.onData = (bytes) => replies.push(...parser.push(bytes));
    const call = { type: 1, path: '/', interface: ECHO.name, member: 'Never' };
    side.write(
      Buffer.concat(Array.from({ length: 1500 }, (_value, index) => frame({ ...call, serial: index + 1 }))),
    );
    await expect.poll(() => replies.length).toBe(1500 - 1024);
    expect(new Set(replies.map(({ errorName }) => errorName))).toEqual(
      new Set(['org.freedesktop.DBus.Error.LimitsExceeded']),
    );
    expect(running).toBe(1024);
    side.destroy();
    await expect.poll(() => running).toBe(0);
  });

  it('that wants no replies gets none, whatever becomes of its calls', async () => {
    await start();
    const side = await authenticated();
    let got = 0;
    side.onData = (bytes) => (got += bytes.length);
    const call = { type: 1, flags: 1, path: '/', interface: ECHO.name };
    side.write(frame({ ...call, member: 'Echo', signature: 's', body: ['a'] }));
    side.write(frame({ ...call, member: 'None' }));
    side.write(frame({ ...call, path: '/none', member: 'Echo' }));
    side.write(frame({ ...call, member: 'Echo', signature: 'u', body: [1] }));
    side.write(frame({ ...call, path: '/', interface: 'org.freedesktop.DBus.Peer', member: 'Ping' }));
    await delay(20);
    expect(got).toBe(0);
    side.write(frame({ ...call, flags: 0, member: 'Echo', signature: 's', body: ['a'] }));
    await expect.poll(() => got).toBeGreaterThan(0);
  });

  it('that ends its half with calls unanswered is done with', async () => {
    await start();
    const side = await authenticated();
    side.write(frame({ type: 1, path: '/', interface: ECHO.name, member: 'Never' }));
    await expect.poll(() => running).toBe(1);
    side.end();
    await side.closed;
    await expect.poll(() => running).toBe(0);
  });
});
