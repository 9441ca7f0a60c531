/** Floods, and what they cost: memory is measured after a full collection, and stays below a stated figure. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Bus,
  type Connection,
  connect,
  implement,
  listen,
  type Message,
  openBus,
  type Server,
  type Subscription,
  Variant,
  watchObjects,
  watchProperties,
} from '../../src/wire/index.js';
import {
  authenticatedClient,
  busReply,
  flood,
  frame,
  type HostileServer,
  hostileSocket,
  type RawSide,
  serveBus,
  serveSasl,
  UNIQUE_NAME,
  usedByteLength,
  watchEachTest,
} from '../support/hostile-peer.js';

const MEBIBYTE = 0x10_0000;
const SIGNAL = { type: 4, path: '/', interface: 'a.b', member: 'Ticked', sender: ':1.9' } as const;
const ECHO = {
  name: 'org.example.Echo',
  methods: { Echo: { in: 's', out: 's' }, Big: { out: 'ay' } },
} as const;
const PING = { destination: ':1.5', path: '/', member: 'Ping', replySignature: 's' } as const;

watchEachTest();

/** What `act` leaves in memory, in MiB. */
async function growth(act: () => Promise<void>): Promise<number> {
  const before = usedByteLength();
  await act();
  return (usedByteLength() - before) / MEBIBYTE;
}

describe('a bus that floods its client', () => {
  let server: HostileServer;
  let bus: Bus;
  let side: RawSide;
  beforeEach(async () => {
    server = await hostileSocket((one) =>
      serveBus(one, (call) => {
        if (call.type === 1)
          one.write(
            busReply(call, call.member === 'Ping' ? 's' : '', call.member === 'Ping' ? ['pong'] : [], {
              sender: call.destination ?? '',
            }),
          );
      }),
    );
    bus = await openBus(server.target());
    side = server.sides[0] as RawSide;
  });
  afterEach(async () => {
    await bus.close();
    await server.close();
  });

  async function ticks(): Promise<Subscription> {
    const subscription = bus.signals({ interface: 'a.b' });
    await subscription.ready;
    return subscription;
  }

  it('with 300,000 small signals that nobody reads: 1,024 are kept', async () => {
    const subscription = await ticks();
    const signal = frame({ ...SIGNAL, signature: 's', body: ['x'.repeat(100)] });
    expect(await growth(() => flood(side, 300_000, () => signal))).toBeLessThan(4);
    expect(await bus.call(PING)).toEqual(['pong']);
    expect(subscription.queued).toBe(1024);
    expect(subscription.dropped).toBe(300_000 - 1024);
    await subscription.close();
  });

  it('with 300 signals of 1 MiB: 16 MiB of them are kept', async () => {
    const subscription = await ticks();
    const signal = frame({ ...SIGNAL, signature: 'ay', body: [new Uint8Array(MEBIBYTE)] });
    expect(await growth(() => flood(side, 300, () => signal))).toBeLessThan(40);
    expect(await bus.call(PING)).toEqual(['pong']);
    expect(subscription.queued).toBeLessThanOrEqual(16);
    expect(subscription.queued + subscription.dropped).toBe(300);
    await subscription.close();
    expect(subscription.queued).toBe(0);
  });

  it('with signals of a million empty arrays, which are bigger in memory than on the wire', async () => {
    const subscription = await ticks();
    const signal = frame({
      ...SIGNAL,
      signature: 'aas',
      body: [Array.from({ length: 1_000_000 }, () => [])],
    });
    expect(await growth(() => flood(side, 12, () => signal))).toBeLessThan(256);
    expect(await bus.call(PING)).toEqual(['pong']);
    await subscription.close();
  }, 60_000);

  it('with signals of hundreds of thousands of small structs', async () => {
    const subscription = await ticks();
    const signal = frame({ ...SIGNAL, signature: 'a(yv)', body: [[]] });
    expect(signal.length).toBeGreaterThan(0);
    const small = frame({ ...SIGNAL, signature: 'a(y)', body: [Array.from({ length: 500_000 }, () => [1])] });
    expect(await growth(() => flood(side, 12, () => small))).toBeLessThan(256);
    expect(await bus.call(PING)).toEqual(['pong']);
    await subscription.close();
  }, 60_000);

  it('with a million containers and one', async () => {
    const signal = frame({
      ...SIGNAL,
      signature: 'aas',
      body: [Array.from({ length: 1_000_000 }, () => [])],
    });
    const doubled = Buffer.concat([signal, Buffer.alloc(400_000)]);
    doubled.writeUInt32LE(doubled.readUInt32LE(4) + 400_000, 4);
    doubled.writeUInt32LE(4_400_000, signal.length - 4_000_004);
    side.write(doubled);
    expect(await bus.closed).toMatchObject({ name: 'ProtocolError' });
  });

  it('with signals nobody wants, and replies to calls nobody made: nothing is kept', async () => {
    const left = await growth(async () => {
      await flood(side, 200_000, (index) =>
        frame(
          index % 2 === 0
            ? SIGNAL
            : { type: 2, replySerial: 1000 + index, sender: ':1.9', signature: 's', body: ['nothing'] },
        ),
      );
      expect(await bus.call(PING)).toEqual(['pong']);
    });
    expect(left).toBeLessThan(4);
  });

  it('with names and signatures that are never the same: no cache grows with them', async () => {
    const subscription = await ticks();
    const types = 'ybnqiuxtdsog';
    const left = await growth(async () => {
      await flood(side, 100_000, (index) => {
        const signature = Array.from(
          { length: 6 },
          (_value, digit) => types[Math.floor(index / 12 ** digit) % 12],
        ).join('');
        return frame({
          ...SIGNAL,
          member: `M${index}`,
          sender: `:1.${index}`,
          path: `/p${index}`,
          signature: `a(${signature})`,
          body: [[]],
        });
      });
      expect(await bus.call(PING)).toEqual(['pong']);
    });
    expect(left).toBeLessThan(8);
    await subscription.close();
  }, 60_000);

  it('with a message of 2^27 bytes that comes slowly: memory is for what has come', async () => {
    const header = Buffer.alloc(16);
    header.set([0x6c, 4, 0, 1]);
    header.writeUInt32LE(0x800_0000 - 16, 4);
    header.writeUInt32LE(1, 8);
    const before = usedByteLength();
    side.write(header);
    await delay(20);
    expect((usedByteLength() - before) / MEBIBYTE).toBeLessThan(1);
    for (const sent of [1, 2, 4, 8]) {
      await flood(side, sent === 1 ? 1 : sent / 2, () => Buffer.alloc(MEBIBYTE));
      await delay(20);
      // The buffer doubles; it is never more than twice what is in it.
      expect((usedByteLength() - before) / MEBIBYTE).toBeLessThan(2 * sent + 2);
    }
    side.destroy();
    expect(await bus.closed).toMatchObject({
      code: expect.stringMatching(/truncated|disconnected|invalid|unknown/),
    });
    await bus.close();
    expect((usedByteLength() - before) / MEBIBYTE).toBeLessThan(2);
  });

  it('with calls, and reads no answer: it is hung up on, for a bounded amount of memory', async () => {
    side.socket?.pause();
    const before = usedByteLength();
    let most = 0;
    const call = frame({ type: 1, path: '/', member: 'M', sender: ':1.9', destination: UNIQUE_NAME });
    const watch = setInterval(() => {
      most = Math.max(most, (usedByteLength() - before) / MEBIBYTE);
    }, 500);
    void flood(side, 3_000_000, () => call);
    const cause = await bus.closed;
    clearInterval(watch);
    console.info(`calls that nothing exports: ${most.toFixed(0)} MiB`);
    expect(cause).toMatchObject({ name: 'OverloadError', code: 'queue-full' });
    expect(most).toBeLessThan(400);
  }, 60_000);
});

describe('a client that floods a server of ours', () => {
  let server: Server;
  let good: Connection;
  let side: RawSide;
  let handled = 0;
  beforeEach(async () => {
    handled = 0;
    const big = new Uint8Array(MEBIBYTE);
    server = await listen('unix:tmpdir=/tmp', {
      onConnection: (peer) =>
        void peer.export('/', [
          implement(ECHO, {
            methods: {
              Echo: (text) => {
                handled++;
                return text;
              },
              Big: () => big,
            },
          }),
        ]),
    });
    good = await connect(server.address);
    side = await authenticatedClient(server.address);
  });
  afterEach(async () => {
    side.destroy();
    await good.close();
    await server.close();
  });
  const echo = (): Promise<unknown> =>
    good.call({
      path: '/',
      interface: ECHO.name,
      member: 'Echo',
      signature: 's',
      body: ['me'],
      timeoutMs: 8000,
    });

  /** Floods with `call`, reading nothing; gives the most memory that took, and the longest another client had to wait. */
  async function unread(
    call: Uint8Array,
  ): Promise<{ most: number; slowest: number; cause: Error | undefined }> {
    await expect.poll(() => server.connections.size).toBe(2);
    const victim = [...server.connections].at(-1) as Connection;
    side.socket?.pause();
    const before = usedByteLength();
    let most = 0;
    let slowest = 0;
    const done = new AbortController();
    const sending = flood(side, 4_500_000, () => call);
    const watching = (async () => {
      while (!done.signal.aborted) {
        const begin = performance.now();
        expect(await echo()).toEqual(['me']);
        slowest = Math.max(slowest, performance.now() - begin);
        most = Math.max(most, (usedByteLength() - before) / MEBIBYTE);
        await delay(300);
      }
    })();
    const cause = await victim.closed;
    done.abort();
    await Promise.all([watching, sending]);
    return { most, slowest, cause };
  }

  it('with small calls, and reads no reply: it is hung up on, the others go on', async () => {
    const call = frame({
      type: 1,
      path: '/',
      interface: ECHO.name,
      member: 'Echo',
      signature: 's',
      body: [''],
    });
    const { most, slowest, cause } = await unread(call);
    console.info(
      `small calls: ${most.toFixed(0)} MiB, slowest other call ${slowest.toFixed(0)} ms, ${handled} handled`,
    );
    expect(cause).toMatchObject({ name: 'OverloadError', code: 'queue-full' });
    expect(most).toBeLessThan(400);
    expect(slowest).toBeLessThan(3000);
    expect(await echo()).toEqual(['me']);
  }, 60_000);

  it('with calls of large results', async () => {
    const { most, cause } = await unread(frame({ type: 1, path: '/', interface: ECHO.name, member: 'Big' }));
    console.info(`large results: ${most.toFixed(0)} MiB`);
    expect(cause).toMatchObject({ name: 'OverloadError', code: 'queue-full' });
    expect(most).toBeLessThan(200);
  }, 60_000);

  it('with 300,000 calls that want no reply: nothing is kept', async () => {
    const before = usedByteLength();
    const call = frame({
      type: 1,
      flags: 1,
      path: '/',
      interface: ECHO.name,
      member: 'Echo',
      signature: 's',
      body: ['x'],
    });
    await flood(side, 300_000, () => call);
    await expect.poll(() => handled, { timeout: 10_000 }).toBe(300_000);
    expect((usedByteLength() - before) / MEBIBYTE).toBeLessThan(8);
    expect(await echo()).toEqual(['me']);
  }, 60_000);

  it('with 300,000 calls of which it reads every reply: each is answered once', async () => {
    let got = 0;
    side.onData = (bytes) => (got += bytes.length);
    const call = frame({
      type: 1,
      path: '/',
      interface: ECHO.name,
      member: 'Echo',
      signature: 's',
      body: ['x'],
    });
    const before = usedByteLength();
    await flood(side, 300_000, () => call);
    await expect.poll(() => handled, { timeout: 10_000 }).toBe(300_000);
    const one = frame({ type: 2, flags: 1, replySerial: 1, signature: 's', body: ['x'] }).length;
    await expect.poll(() => got, { timeout: 10_000 }).toBe(300_000 * one);
    expect((usedByteLength() - before) / MEBIBYTE).toBeLessThan(8);
  }, 60_000);
});

describe('a service that floods those who follow its objects', () => {
  let server: HostileServer;
  let peer: Connection;
  let side: RawSide;
  beforeEach(async () => {
    server = await hostileSocket((one) =>
      serveSasl(one, (call) => {
        const isGetAll = call.member === 'GetAll';
        if (call.type === 1)
          one.write(
            frame({
              type: 2,
              flags: 1,
              replySerial: call.serial,
              signature: isGetAll ? 'a{sv}' : 'a{oa{sa{sv}}}',
              body: [new Map()],
            }),
          );
      }),
    );
    peer = await connect(server.target());
    side = server.sides[0] as RawSide;
  });
  afterEach(async () => {
    await peer.close();
    await server.close();
  });
  const done = async (): Promise<void> => {
    await peer.call({ path: '/', member: 'Ping' });
  };

  it('with 400,000 objects: their number is bounded', async () => {
    const objects = await watchObjects(peer, undefined, '/');
    const before = usedByteLength();
    const manager = {
      type: 4,
      path: '/',
      interface: 'org.freedesktop.DBus.ObjectManager',
      member: 'InterfacesAdded',
      signature: 'oa{sa{sv}}',
    };
    await flood(side, 400_000, (index) =>
      frame({ ...manager, body: [`/o${index}`, new Map([['a.b', new Map([['P', new Variant('u', 1)]])]])] }),
    );
    await done();
    const cost = (usedByteLength() - before) / MEBIBYTE;
    console.info(`objects followed: ${objects.objects.size}, ${cost.toFixed(0)} MiB`);
    expect(cost).toBeLessThan(64);
    await objects.close();
  }, 60_000);

  it('with 400,000 names of properties of one object', async () => {
    const objects = await watchObjects(peer, undefined, '/');
    const before = usedByteLength();
    side.write(
      frame({
        type: 4,
        path: '/',
        interface: 'org.freedesktop.DBus.ObjectManager',
        member: 'InterfacesAdded',
        signature: 'oa{sa{sv}}',
        body: ['/o', new Map([['a.b', new Map()]])],
      }),
    );
    const changed = {
      type: 4,
      path: '/o',
      interface: 'org.freedesktop.DBus.Properties',
      member: 'PropertiesChanged',
      signature: 'sa{sv}as',
    };
    await flood(side, 400_000, (index) =>
      frame({ ...changed, body: ['a.b', new Map([[`Property${index}`, new Variant('u', 1)]]), []] }),
    );
    await done();
    const cost = (usedByteLength() - before) / MEBIBYTE;
    console.info(`properties followed: ${cost.toFixed(0)} MiB`);
    expect(cost).toBeLessThan(16);
    await objects.close();
  }, 60_000);

  it('with properties that a cache has no definition of: none is kept', async () => {
    const definition = { name: 'a.b', properties: { P: { type: 'u', access: 'read' } } } as const;
    const cache = await watchProperties(peer.proxy(undefined, '/o', definition));
    const before = usedByteLength();
    const changed = {
      type: 4,
      path: '/o',
      interface: 'org.freedesktop.DBus.Properties',
      member: 'PropertiesChanged',
      signature: 'sa{sv}as',
    };
    await flood(side, 400_000, (index) =>
      frame({
        ...changed,
        body: ['a.b', new Map([[`Property${index}`, new Variant('u', 1)]]), [`Other${index}`]],
      }),
    );
    await done();
    expect((usedByteLength() - before) / MEBIBYTE).toBeLessThan(16);
    await cache.close();
  }, 60_000);
});

it('a client of ours that sends signals to a peer that reads nothing is told so, and bounded', async () => {
  const server = await hostileSocket((side) => serveBus(side, () => {}));
  const bus = await openBus(server.target());
  server.sides[0]?.socket?.pause();
  const before = usedByteLength();
  const message: Omit<Message, 'serial'> = {
    ...SIGNAL,
    flags: 0,
    sender: undefined as never,
    signature: 'ay',
    body: [new Uint8Array(1024)],
  };
  const { sender: _sender, ...signal } = message;
  const refusals: unknown[] = [];
  for (let index = 0; index < 400_000 && refusals.length === 0; index++) {
    // Not awaited, as who sends too fast does not.
    void bus.send(signal, { timeoutMs: 60_000 }).catch((error: unknown) => {
      refusals.push(error);
    });
    if (index % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const most = (usedByteLength() - before) / MEBIBYTE;
  console.info(`signals to nobody: ${most.toFixed(0)} MiB`);
  expect(refusals[0]).toMatchObject({ name: 'OverloadError', code: 'queue-full' });
  // 144 MiB of the queue, and what each of the sends that wait costs beside it.
  expect(most).toBeLessThan(1000);
  await server.close();
  await bus.close();
}, 60_000);
