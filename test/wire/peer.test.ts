import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, expectTypeOf, it } from 'vitest';
import {
  accept,
  Connection,
  connect,
  createMemoryPair,
  defineInterface,
  type IncomingCall,
  implement,
  listen,
  objectManager,
  type Server,
  Variant,
  watchObjects,
  watchProperties,
} from '../../src/wire/index.js';

const Clock = defineInterface({
  name: 'org.example.Clock',
  methods: {
    Now: { in: 's', out: 'x' },
    Split: { in: 'x', out: 'uu' },
    Reset: {},
    Never: {},
    // oxlint-disable-next-line unicorn/no-thenable
    then: { out: 's' },
  },
  signals: { Ticked: { signature: 'xs' } },
  properties: {
    Zone: { type: 's', access: 'readwrite' },
    Count: { type: 'u', access: 'read', emitsChanged: 'invalidates' },
    Version: { type: 'u', access: 'read', emitsChanged: 'const' },
  },
});

/** A clock, and what its callers did to it. */
function makeClock(): { implementation: ReturnType<typeof implement<typeof Clock>>; state: ClockState } {
  const state: ClockState = { zone: 'UTC', count: 0, calls: [] };
  const implementation = implement(Clock, {
    methods: {
      Now: (zone, call) => {
        state.calls.push(call);
        return zone === 'UTC' ? 7n : 8n;
      },
      Split: async (time) => {
        await delay(1);
        return [Number(time / 10n), Number(time % 10n)] as const;
      },
      Reset: () => {
        state.count = 0;
      },
      Never: ({ signal }) =>
        new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
      // oxlint-disable-next-line unicorn/no-thenable
      then: () => 'a member like any other',
    },
    properties: {
      Zone: { get: () => state.zone, set: (zone) => void (state.zone = zone) },
      Count: { get: () => ++state.count },
      Version: 3,
    },
  });
  return { implementation, state };
}

interface ClockState {
  zone: string;
  count: number;
  calls: IncomingCall[];
}

/** Both ends in memory, the far one with a clock. */
async function pair(): Promise<{ near: Connection; far: Connection; state: ClockState }> {
  const [ours, theirs] = createMemoryPair();
  const { implementation, state } = makeClock();
  const [far, near] = await Promise.all([
    accept(theirs, { onConnection: (connection) => connection.export('/clock', [implementation]) }),
    connect(ours),
  ]);
  return { near, far, state };
}

/** Properties as they are sent. */
function dict(zone: string): Map<string, Variant> {
  return new Map([['Zone', new Variant('s', zone)]]);
}

describe('two peers', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  });
  const opened = async (): Promise<Awaited<ReturnType<typeof pair>>> => {
    const made = await pair();
    open.push(made.near, made.far);
    return made;
  };

  it('know each other', async () => {
    const { near, far } = await opened();
    expect(near.guid).toBe(far.guid);
    expect(near.identity).toBeUndefined();
    expect(far.identity).toBe(String(process.getuid?.()));
  });

  it('call each other through proxies, typed by a definition', async () => {
    const { near, state } = await opened();
    const clock = near.proxy(undefined, '/clock', Clock);
    const now = await clock.call.Now('UTC');
    expectTypeOf(now).toEqualTypeOf<bigint>();
    expect(now).toBe(7n);
    const split = await clock.call.Split(57n, { timeoutMs: 1000 });
    expectTypeOf(split).toEqualTypeOf<[number, number]>();
    expect(split).toEqual([5, 7]);
    expect(await clock.call.Reset()).toBeUndefined();
    // oxlint-disable-next-line promise/valid-params
    expect(await clock.call.then()).toBe('a member like any other');
    expect(await Promise.resolve(clock)).toBe(clock);
    expect(state.calls[0]?.message).toMatchObject({ member: 'Now', path: '/clock' });
    expect(Object.keys(clock.call)).not.toContain('constructor');
    expect('constructor' in clock.call).toBe(false);
    // @ts-expect-error the argument must be text
    await expect(clock.call.Now(5)).rejects.toMatchObject({ code: 'invalid-value', path: 'body[0]' });
    // @ts-expect-error there is no such method
    expect(clock.call.Later).toBeUndefined();
    await expect(clock.call.Never({ timeoutMs: 10 })).rejects.toMatchObject({ code: 'deadline' });
  });

  it('read and write properties', async () => {
    const { near, state } = await opened();
    const clock = near.proxy(undefined, '/clock', Clock);
    const zone = await clock.get('Zone');
    expectTypeOf(zone).toEqualTypeOf<string>();
    expect(zone).toBe('UTC');
    await clock.set('Zone', 'CET');
    expect(state.zone).toBe('CET');
    // @ts-expect-error it cannot be written
    await expect(clock.set('Version', 4)).rejects.toMatchObject({
      name: 'org.freedesktop.DBus.Error.PropertyReadOnly',
    });
    expect({ ...(await clock.getAll()) }).toEqual({ Zone: 'CET', Count: 1, Version: 3 });
    // @ts-expect-error there is no such property
    await expect(clock.get('constructor')).rejects.toMatchObject({ code: 'unknown-member' });
  });

  it('send each other signals', async () => {
    const { near, far } = await opened();
    const clock = near.proxy(undefined, '/clock', Clock);
    const ticks = clock.signals('Ticked');
    const send = (signature: string, body: unknown[]): Promise<number> =>
      far.send({
        type: 4,
        flags: 0,
        path: '/clock',
        interface: Clock.name,
        member: 'Ticked',
        signature,
        body,
      });
    await send('s', ['of another signature']);
    await send('xs', [1n, 'tick']);
    const { value } = await ticks.next();
    expectTypeOf(value).toEqualTypeOf<
      | { readonly values: [bigint, string]; readonly message: import('../../src/wire/index.js').Message }
      | undefined
    >();
    expect(value?.values).toEqual([1n, 'tick']);
    expect(() => clock.signals('Tocked' as 'Ticked')).toThrow(
      expect.objectContaining({ code: 'unknown-member' }),
    );
    const seen: unknown[] = [];
    const errors: unknown[] = [];
    clock.signals(
      'Ticked',
      ({ values }) => {
        seen.push(values[0]);
        throw new Error('of the callback');
      },
      { onError: (error) => errors.push(error) },
    );
    await send('xs', [2n, 'tick']);
    await send('xs', [3n, 'tick']);
    await expect.poll(() => seen).toEqual([2n, 3n]);
    expect(errors).toHaveLength(2);
  });

  it('keep properties up to date, in the order in which they were sent', async () => {
    const { near, far } = await opened();
    const object = far.export('/cached', [makeClock().implementation]);
    const clock = near.proxy(undefined, '/cached', Clock);
    const cache = await watchProperties(clock);
    expect(cache.get('Zone')).toBe('UTC');
    expect(cache.get('Count')).toBe(1);
    await clock.set('Zone', 'CET');
    object.changed(Clock.name, ['Zone', 'Count']);
    const { value } = await cache.changes.next();
    expect(value).toEqual({ changed: ['Zone'], invalidated: ['Count'] });
    expect(cache.get('Zone')).toBe('CET');
    expect(cache.has('Count')).toBe(false);
    await cache.refresh();
    expect(cache.get('Count')).toBe(2);
    await cache.close();
  });

  it('get what is sent at once, when they listen before', async () => {
    const [ours, theirs] = createMemoryPair();
    const seen: unknown[] = [];
    const tick = { type: 4, flags: 0, path: '/', interface: Clock.name, member: 'Ticked', signature: 'u' };
    const [far, near] = await Promise.all([
      accept(theirs, { onConnection: (peer) => void peer.send({ ...tick, body: [1] }) }),
      connect(ours, {
        onConnection: (peer) => void peer.signals({ member: 'Ticked' }, ({ body }) => seen.push(body[0])),
      }),
    ]);
    open.push(near, far);
    await expect.poll(() => seen).toEqual([1]);
  });

  it('follow the objects below a path', async () => {
    const { near, far } = await opened();
    far.export('/root', [objectManager]);
    const first = far.export('/root/one', [makeClock().implementation]);
    // What is told of both by signals is told by then.
    await delay(5);
    const objects = await watchObjects(near, undefined, '/root');
    expect([...objects.objects.keys()]).toEqual(['/root/one']);
    expect(objects.objects.get('/root/one')?.get(Clock.name)?.get('Zone')).toEqual(new Variant('s', 'UTC'));
    const second = far.export('/root/two', [makeClock().implementation]);
    expect((await objects.changes.next()).value).toMatchObject({ type: 'added', path: '/root/two' });
    expect(objects.objects.size).toBe(2);
    await near.proxy(undefined, '/root/two', Clock).set('Zone', 'CET');
    second.changed(Clock.name, ['Zone']);
    expect((await objects.changes.next()).value).toEqual({
      type: 'changed',
      path: '/root/two',
      interfaces: [Clock.name],
    });
    expect(objects.objects.get('/root/two')?.get(Clock.name)?.get('Zone')).toEqual(new Variant('s', 'CET'));
    first.close();
    const { value } = await objects.changes.next();
    expect(value).toMatchObject({ type: 'removed', path: '/root/one' });
    await expect.poll(() => [...objects.objects.keys()]).toEqual(['/root/two']);
    await objects.close();
  });

  it('never let the reply to GetAll replace a newer value that came behind it', async () => {
    const [ours, theirs] = createMemoryPair();
    const [far, near] = await Promise.all([accept(theirs), connect(ours)]);
    open.push(near, far);
    const clock = near.proxy(undefined, '/raw', Clock);
    const opening = watchProperties(clock);
    // The call to GetAll has serial 1: the first of this connection.
    const common = { flags: 0, path: '/raw', interface: 'org.freedesktop.DBus.Properties' };
    void far.send({ type: 2, flags: 1, replySerial: 1, signature: 'a{sv}', body: [dict('old')] });
    void far.send({
      ...common,
      type: 4,
      member: 'PropertiesChanged',
      signature: 'sa{sv}as',
      body: [Clock.name, dict('new'), []],
    });
    const cache = await opening;
    expect(cache.get('Zone')).toBe('new');
  });

  it('learn why the other has gone', async () => {
    const { near, far, state } = await opened();
    const clock = near.proxy(undefined, '/clock', Clock);
    const waiting = clock.call.Never();
    await delay(5);
    await far.close();
    await expect(waiting).rejects.toMatchObject({ code: 'closed', cause: { code: 'disconnected' } });
    expect(await near.closed).toMatchObject({ code: 'disconnected' });
    expect(state.calls).toHaveLength(0);
    expect(() => near.export('/late', [makeClock().implementation])).toThrow(
      expect.objectContaining({ code: 'closed' }),
    );
  });

  it('are refused when they are not who they should be', async () => {
    const [ours, theirs] = createMemoryPair();
    const [server, client] = await Promise.allSettled([
      accept(theirs, { mechanisms: [{ name: 'EXTERNAL', authorize: () => undefined }] }),
      connect(ours),
    ]);
    expect(client).toMatchObject({ status: 'rejected', reason: { code: 'rejected' } });
    expect(server).toMatchObject({ status: 'rejected' });
  });

  it('have no longer than their deadline to authenticate', async () => {
    const [ours, theirs] = createMemoryPair();
    const ended = new Promise<void>((resolve) => ours.start({ receive: () => {}, ended: () => resolve() }));
    await expect(accept(theirs, { authenticationTimeoutMs: 10 })).rejects.toMatchObject({ code: 'deadline' });
    await ended;
  });
});

describe('a server', () => {
  let server: Server | undefined;
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });

  it('serves many peers over a socket, and ends them all', async () => {
    const { implementation } = makeClock();
    server = await listen('unix:tmpdir=/tmp', {
      onConnection: (peer) => void peer.export('/clock', [implementation]),
    });
    expect(server.address).toMatch(/^unix:(?:path|abstract)=.*,guid=[0-9a-f]{32}$/);
    const peers = await Promise.all(Array.from({ length: 10 }, () => connect(server?.address ?? '')));
    const times = await Promise.all(
      peers.map((peer) => peer.proxy(undefined, '/clock', Clock).call.Now('UTC')),
    );
    expect(times).toEqual(Array.from({ length: 10 }, () => 7n));
    expect(server.connections.size).toBe(10);
    await peers[0]?.close();
    await expect.poll(() => server?.connections.size).toBe(9);
    await server.close();
    for (const peer of peers.slice(1)) expect(await peer.closed).toMatchObject({ code: 'disconnected' });
    await expect(connect(server.address)).rejects.toMatchObject({ code: 'connect-failed' });
  });

  it('takes no more peers than it may', async () => {
    server = await listen('unix:tmpdir=/tmp', { onConnection: () => {}, maxConnections: 2 });
    const { address } = server;
    const [one, two] = await Promise.all([connect(address), connect(address)]);
    await expect(connect(address)).rejects.toMatchObject({ code: 'closed' });
    await one.close();
    await expect.poll(async () => (await connect(address).catch(() => undefined))?.guid).toBe(two.guid);
    await two.close();
  });

  it('is not the one that an address names when its guid differs', async () => {
    server = await listen('unix:tmpdir=/tmp', { onConnection: () => {} });
    const wrong = server.address.replace(/guid=.*/, `guid=${'f'.repeat(32)}`);
    await expect(connect(wrong)).rejects.toMatchObject({ code: 'wrong-guid' });
  });

  it('asks for mechanisms where anybody can come', async () => {
    await expect(listen('tcp:host=127.0.0.1', { onConnection: () => {} })).rejects.toMatchObject({
      code: 'invalid-option',
    });
  });

  it('reports what its owner threw, and hangs up', async () => {
    const errors: unknown[] = [];
    server = await listen('unix:tmpdir=/tmp', {
      onConnection: () => {
        throw new Error('of the owner');
      },
      onError: (error) => errors.push(error),
    });
    const peer = await connect(server.address).catch((error: unknown) => error);
    if (peer instanceof Connection) expect(await peer.closed).toMatchObject({ code: 'disconnected' });
    await expect.poll(() => errors.length).toBeGreaterThan(0);
    expect(errors[0]).toMatchObject({ message: 'of the owner' });
  });
});
