import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/wire/handshake/address.js';
import { connectTransport } from '../../src/wire/transport/connect.js';
import { type Listener, listenTransport } from '../../src/wire/transport/listen.js';
import { createMemoryPair } from '../../src/wire/transport/memory.js';
import type { Transport } from '../../src/wire/transport/transport.js';
import { deferred, pattern, TransportProbe, until } from '../support/transport-probe.js';

let directory: string;
let listeners: (Listener | { close(): unknown })[];
let transports: Transport[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
  listeners = [];
  transports = [];
});

afterEach(async () => {
  for (const transport of transports) transport.destroy();
  await Promise.all(listeners.map((listener) => listener.close()));
  rmSync(directory, { recursive: true });
});

const never = new AbortController().signal;

async function connect(address: string, signal: AbortSignal = never): Promise<Transport> {
  const [first] = parseAddress(address);
  const transport = await connectTransport(first as NonNullable<typeof first>, signal);
  transports.push(transport);
  return transport;
}

/** Two transports joined by a listener of ours. */
async function socketPair(where: string): Promise<[Transport, Transport]> {
  const [first] = parseAddress(where);
  const { promise: accepted, resolve: accept } = deferred<Transport>();
  const listener = await listenTransport(first as NonNullable<typeof first>, accept);
  listeners.push(listener);
  const client = await connect(listener.address);
  const server = await accepted;
  // The nonce is on its way.
  await until(() => client.queuedByteLength === 0);
  await turn();
  transports.push(server);
  return [client, server];
}

const PAIRS: readonly (readonly [string, () => Promise<[Transport, Transport]>])[] = [
  ['unix:path', () => socketPair(`unix:path=${directory}/${Math.random()}`)],
  ['tcp', () => socketPair('tcp:host=127.0.0.1')],
  ['tcp by name', () => socketPair('tcp:host=localhost,family=ipv4')],
  ['nonce-tcp', () => socketPair('nonce-tcp:host=127.0.0.1')],
  ['memory', async () => createMemoryPair()],
];

/** Handles that may keep the process alive. */
const resources = (): string[] =>
  process.getActiveResourcesInfo().filter((name) => /Pipe|TCP|Process/.test(name));

/** A server that does `behave` to each socket. */
async function serve(behave: (socket: Socket) => void): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    behave(socket);
  });
  listeners.push(server);
  await new Promise<void>((resolve) => server.listen(`${directory}/s`, resolve));
  return `unix:path=${directory}/s`;
}

describe.each(PAIRS)('a pair over %s', (kind, makePair) => {
  let pair: [Transport, Transport];

  beforeEach(async () => {
    pair = await makePair();
  });

  it('carries bytes both ways, in order, and never within the call', async () => {
    const [one, other] = pair.map((transport) => new TransportProbe(transport).start()) as [
      TransportProbe,
      TransportProbe,
    ];
    one.transport.write(Buffer.from('a'));
    one.transport.write(new Uint8Array());
    one.transport.write(Buffer.from('b'));
    other.transport.write(Buffer.from('c'));
    expect(one.transport.queuedByteLength).toBe(2);
    expect([one.drained, other.text]).toEqual([0, '']);
    await until(() => other.text.length === 2 && one.text.length === 1 && one.drained === 1);
    expect([other.text, one.text, one.transport.queuedByteLength]).toEqual(['ab', 'c', 0]);
    await until(() => other.drained === 1);
    expect(one.ends).toEqual([]);
  });

  it('carries many writes of every size', async () => {
    const whole = pattern(3_000_000);
    const [one, other] = pair.map((transport) => new TransportProbe(transport).start()) as [
      TransportProbe,
      TransportProbe,
    ];
    let at = 0;
    for (let size = 1; at < whole.length; size = (size * 7 + 1) % 40_000) {
      one.transport.write(whole.subarray(at, at + size));
      at += size;
      if (size % 5 === 0) await turn();
    }
    await until(() => other.byteLength === whole.length);
    expect(other.bytes.equals(whole)).toBe(true);
    await until(() => one.transport.queuedByteLength === 0 && one.drained > 0);
  });

  it('delivers to one that starts late what came before, and drains when it is taken', async () => {
    const whole = pattern(8_000_000);
    const one = new TransportProbe(pair[0]).start();
    for (const [from, to] of [
      [0, 3_000_000],
      [3_000_000, 5_000_000],
      [5_000_000, 8_000_000],
    ]) {
      pair[0].write(whole.subarray(from, to));
      // The first two leave in one tick.
      if (from !== 0) await turn();
    }
    await turn();
    expect(pair[0].queuedByteLength).toBeGreaterThan(0);
    expect(one.drained).toBe(0);
    const other = new TransportProbe(pair[1]).start();
    await until(() => other.byteLength === whole.length && one.drained > 0);
    expect(other.bytes.equals(whole)).toBe(true);
    expect([pair[0].queuedByteLength, one.drained]).toEqual([0, 1]);
  });

  it('sends what is queued before it closes, and both end without an error', async () => {
    const whole = pattern(8_000_000);
    const one = new TransportProbe(pair[0]).start();
    pair[0].write(whole.subarray(0, 5));
    pair[0].write(whole.subarray(5));
    pair[0].close();
    pair[0].write(Buffer.from('too late'));
    pair[0].close();
    await turn();
    const other = new TransportProbe(pair[1]).start();
    expect(await one.ended).toBeUndefined();
    expect(await other.ended).toBeUndefined();
    expect(other.bytes.equals(whole)).toBe(true);
    expect([one.ends.length, other.ends.length]).toEqual([1, 1]);
  });

  it('delivers nothing that comes after it closes, and loses nothing that it sent', async () => {
    const one = new TransportProbe(pair[0]).start();
    const other = new TransportProbe(pair[1]).start();
    // What comes unread makes a closed TCP socket throw away what it has still to send. A Unix socket does not; but one
    // that is still writing to it when it goes loses what it has not read, whatever the one that goes does.
    pair[1].write(pattern(kind.includes('tcp') ? 1_000_000 : 1000));
    pair[0].write(pattern(1_000_000));
    pair[0].close();
    expect(await one.ended).toBeUndefined();
    expect(await other.ended).toBeUndefined();
    expect(one.byteLength).toBe(0);
    expect(other.byteLength).toBe(1_000_000);
  });

  it('ends at once when it is destroyed, on both sides, once', async () => {
    const one = new TransportProbe(pair[0]).start();
    const other = new TransportProbe(pair[1]).start();
    pair[0].write(Buffer.from('dropped'));
    pair[0].destroy();
    pair[0].destroy();
    pair[0].close();
    pair[0].write(Buffer.from('ignored'));
    expect(pair[0].queuedByteLength).toBe(0);
    await Promise.all([one.ended, other.ended]);
    pair[1].destroy();
    pair[1].write(Buffer.from('ignored'));
    await turn();
    await turn();
    expect([one.ends, other.ends]).toEqual([[undefined], [undefined]]);
    expect([one.text, other.text, one.drained]).toEqual(['', '', 0]);
    expect([pair[0].queuedByteLength, pair[1].queuedByteLength]).toEqual([0, 0]);
  });

  it('that has ended before it is started says so then', async () => {
    pair[0].destroy();
    await turn();
    await turn();
    expect(await new TransportProbe(pair[0]).start().ended).toBeUndefined();
    expect(await new TransportProbe(pair[1]).start().ended).toBeUndefined();
    pair[0].close();
    pair[1].close();
  });

  it('started and destroyed in one tick, ends once', async () => {
    const one = new TransportProbe(pair[0]).start();
    pair[0].destroy();
    await one.ended;
    await turn();
    expect(one.ends.length).toBe(1);
  });

  it('may be destroyed while it receives', async () => {
    const ends: unknown[] = [];
    let received = 0;
    pair[1].write(pattern(1_000_000));
    pair[0].start({
      receive: () => {
        received++;
        pair[0].destroy();
      },
      ended: (error) => ends.push(error),
    });
    await until(() => ends.length > 0);
    await turn();
    expect([received, ends]).toEqual([1, [undefined]]);
  });

  it('leaves nothing that keeps the process alive', async () => {
    const before = resources();
    const [one, other] = (await makePair()).map((transport) => new TransportProbe(transport).start()) as [
      TransportProbe,
      TransportProbe,
    ];
    if (kind !== 'memory') expect(resources().length).toBeGreaterThan(before.length);
    one.transport.write(Buffer.from('a'));
    one.transport.close();
    await Promise.all([one.ended, other.ended]);
    await listeners.at(-1)?.close();
    for (let rest = 0; rest < 3; rest++) await turn();
    expect(resources().toSorted()).toEqual(before.toSorted());
  });

  it('leaves nothing, though one side closes without ever having been started', async () => {
    const before = resources();
    const [one, other] = await makePair();
    const probe = new TransportProbe(other).start();
    other.write(pattern(1000));
    await turn();
    one.write(Buffer.from('last words'));
    one.close();
    expect(await probe.ended).toBeUndefined();
    expect(probe.text).toBe('last words');
    await listeners.at(-1)?.close();
    await until(() => resources().length <= before.length);
  });
});

type Operation = readonly ['start' | 'write' | 'close' | 'destroy', 0 | 1];

/** What the owners of both ends see when `operations` are done one after the other, each when the one before has settled. */
async function observe(pair: readonly Transport[], operations: readonly Operation[]): Promise<unknown> {
  const probes = pair.map((transport) => new TransportProbe(transport));
  const started = [false, false];
  const left = [false, false];
  let count = 0;
  for (const [operation, side] of operations) {
    const probe = probes[side] as TransportProbe;
    if (operation === 'start') {
      if (started[side] === true) continue;
      started[side] = true;
      probe.start();
    } else if (operation === 'write') {
      // To one that has gone: a socket that has not begun to read loses what it could have read (EPIPE closes it).
      if (started[side] === false && left[1 - side] === true) continue;
      probe.transport.write(Buffer.from(`${count++} `));
    } else {
      probe.transport[operation]();
      left[side] = true;
    }
    for (let rest = 0; rest < 6; rest++) await turn();
  }
  for (const [side, probe] of probes.entries()) if (started[side] === false) probe.start();
  for (let rest = 0; rest < 6; rest++) await turn();
  if (left.includes(true)) await Promise.all(probes.map(({ ended }) => ended));
  return probes.map(({ text, ends }) => ({ text, ends }));
}

describe('the memory pair', () => {
  it('is to its owners what a pair of Unix sockets is', async () => {
    let waiting = deferred<Transport>();
    const [where] = parseAddress(`unix:path=${directory}/pair`);
    const listener = await listenTransport(where as NonNullable<typeof where>, (transport) =>
      waiting.resolve(transport),
    );
    listeners.push(listener);
    const operation = fc.tuple(
      fc.constantFrom('start', 'start', 'write', 'write', 'write', 'close', 'destroy'),
      fc.constantFrom(0, 1),
    ) as fc.Arbitrary<Operation>;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 8 }), async (operations) => {
        waiting = deferred();
        const sockets = [await connect(listener.address), await waiting.promise];
        transports.length = 0;
        try {
          const [bySocket, byMemory] = await Promise.all([
            observe(sockets, operations),
            observe(createMemoryPair(), operations),
          ]);
          assert.deepEqual(byMemory, bySocket);
        } finally {
          for (const socket of sockets) socket.destroy();
        }
      }),
    );
  });
});

describe('what is received', () => {
  it('is valid during the call only: the next read writes over it', async () => {
    const [one, other] = await socketPair(`unix:path=${directory}/reused`);
    const views: Uint8Array[] = [];
    one.start({ receive: (bytes) => views.push(bytes), ended: () => {} });
    other.write(Buffer.from('first'));
    await until(() => views.length === 1);
    other.write(Buffer.from('other'));
    await until(() => views.length === 2);
    expect(Buffer.from(views[0] as Uint8Array).toString()).toBe('other');
  });

  it('on one connection is not touched by another, within the call', async () => {
    const pairs = await Promise.all(
      Array.from({ length: 8 }, (_, index) => socketPair(`unix:path=${directory}/${index}`)),
    );
    const probes = pairs.map(([one]) => new TransportProbe(one).start());
    for (let round = 0; round < 50; round++) {
      for (const [index, [, other]] of pairs.entries()) other.write(Buffer.alloc(3000, 65 + index));
      await turn();
    }
    await until(() => probes.every(({ byteLength }) => byteLength === 150_000));
    for (const [index, { bytes }] of probes.entries()) {
      expect(bytes.equals(Buffer.alloc(150_000, 65 + index))).toBe(true);
    }
  });
});

describe('writes of one tick', () => {
  it.each([
    ['small ones', 100, 10],
    ['large ones', 3, 20_000],
  ])('leave together: %s', async (_what, count, byteLength) => {
    const reads: number[] = [];
    const server: Server = createServer((socket: Socket) =>
      socket.on('data', ({ length }) => reads.push(length)),
    );
    listeners.push(server);
    await new Promise<void>((resolve) => server.listen(`${directory}/s`, resolve));
    const transport = await connect(`unix:path=${directory}/s`);
    for (let written = 0; written < count; written++) transport.write(Buffer.alloc(byteLength));
    await until(() => reads.length > 0);
    expect(reads).toEqual([count * byteLength]);
  });
});

describe('a socket whose peer', () => {
  it('closes its half has ended, after what it sent', async () => {
    const address = await serve((socket) => socket.end('last words'));
    const probe = new TransportProbe(await connect(address)).start();
    probe.transport.write(pattern(10_000_000));
    expect(await probe.ended).toBeUndefined();
    expect(probe.text).toBe('last words');
  });

  it('goes away while we write ends without an error, whenever that is', async () => {
    for (const delay of [0, 1, 2, 5]) {
      listeners.push({ close: () => rmSync(`${directory}/s`, { force: true }) });
      const address = await serve((socket) => {
        socket.resume();
        setTimeout(() => socket.destroy(), delay);
      });
      const probe = new TransportProbe(await connect(address)).start();
      const writing = setInterval(() => probe.transport.write(pattern(100_000)), 0);
      expect(await probe.ended).toBeUndefined();
      clearInterval(writing);
      (listeners.at(-1) as Server).close();
      rmSync(`${directory}/s`, { force: true });
    }
  });

  it('goes away before the start, or is written to before it, harms nobody', async () => {
    const address = await serve((socket) => socket.destroy());
    const transport = await connect(address);
    for (let round = 0; round < 10; round++) {
      transport.write(pattern(100_000));
      await turn();
    }
    expect(await new TransportProbe(transport).start().ended).toBeUndefined();
  });
});

describe('connectTransport', () => {
  it.each([
    'unix:',
    'unix:path=/a,abstract=b',
    `unix:path=/${'a'.repeat(107)}`,
    'unix:path=/a%00b',
    'unix:abstract=a%00b',
    'unix:runtime=yes',
    'unix:dir=/tmp',
    'unix:tmpdir=/tmp',
    'tcp:host=localhost',
    'tcp:host=localhost,port=0',
    'tcp:host=localhost,port=65536',
    'tcp:host=localhost,port=1e3',
    'tcp:host=localhost,port=-1',
    'tcp:host=localhost,port=1,family=ipv5',
    'tcp:host=a%00b,port=1',
    'tcp:host=127.0.0.1,port=1,family=ipv6',
    'tcp:host=%3a%3a1,port=1,family=ipv4',
    'nonce-tcp:host=localhost,port=1',
    'nonce-tcp:host=localhost,port=1,noncefile=a%00b',
    'unixexec:',
    'unixexec:argv0=x',
    'unixexec:path=cat,argv2=x',
    'unixexec:path=cat,argv1=x,argv3=x',
    'unixexec:path=cat,argv1=a%00b',
    'unixexec:path=c%00at',
  ])('refuses %s', async (address) => {
    await expect(connect(address)).rejects.toMatchObject({
      name: 'InvalidTextError',
      code: 'invalid-address',
    });
  });

  it.each(['x:', 'UNIX:path=/a', 'launchd:env=A', 'systemd:'])('does not support %s', async (address) => {
    await expect(connect(address)).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'unsupported-transport',
    });
  });

  it('says why it cannot connect', async () => {
    writeFileSync(`${directory}/file`, '');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    for (const [address, code] of [
      [`unix:path=${directory}/none`, 'ENOENT'],
      [`unix:path=${directory}/file`, 'ECONNREFUSED'],
      [`unix:path=${directory}/file/below`, 'ENOTDIR'],
      [`tcp:host=127.0.0.1,port=${port}`, 'ECONNREFUSED'],
      [`tcp:host=localhost,port=${port}`, 'ECONNREFUSED'],
      ['tcp:host=nowhere.invalid,port=1', expect.stringMatching(/^E/)],
      [`nonce-tcp:host=127.0.0.1,port=${port},noncefile=${directory}/none`, 'ENOENT'],
      [`unixexec:path=${directory}/none`, 'ENOENT'],
      ['unixexec:path=secretbus-no-such-program', 'ENOENT'],
      [`unixexec:path=${directory}/file`, 'EACCES'],
    ] as const) {
      await expect(connect(address), address).rejects.toMatchObject({
        name: 'ConnectError',
        code: 'connect-failed',
        cause: { code },
      });
    }
  });

  it.each([0, 15, 17, 1000])('refuses a nonce of %i bytes', async (byteLength) => {
    writeFileSync(`${directory}/nonce`, Buffer.alloc(byteLength));
    await expect(
      connect(`nonce-tcp:host=127.0.0.1,port=1,noncefile=${directory}/nonce`),
    ).rejects.toMatchObject({ code: 'connect-failed', message: expect.stringContaining('16 bytes') });
  });

  it.each([
    'unix:path=DIR/s',
    'tcp:host=localhost,port=9',
    'unixexec:path=cat',
    'autolaunch:',
    'nonce-tcp:port=1',
  ])('is cancelled at once: %s', async (address) => {
    const text = address.replace('DIR', directory);
    const reason = new Error('stop');
    await expect(connect(text, AbortSignal.abort(reason))).rejects.toMatchObject({
      name: 'CancelledError',
      cause: reason,
    });
  });

  it.each(['unix:path=DIR/s', 'tcp:host=nowhere.invalid,port=9', 'unixexec:path=cat'])(
    'is cancelled while it connects: %s',
    async (address) => {
      const controller = new AbortController();
      const connecting = connect(address.replace('DIR', directory), controller.signal);
      controller.abort();
      await expect(connecting).rejects.toMatchObject({ name: 'CancelledError', code: 'cancelled' });
    },
  );
});
