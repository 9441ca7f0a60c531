/** What follows something elsewhere, and what it leaves behind: subscriptions, owners, properties, objects, servers. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { getEventListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  accept,
  connect,
  createMemoryPair,
  listen,
  type Message,
  openBus,
  publishDiagnostics,
  reconnecting,
  Variant,
  watchObjects,
  watchProperties,
} from '../../src/wire/index.js';
import {
  BUS_NAME,
  busReply,
  Escapes,
  frame,
  hostileClient,
  hostileSocket,
  serveBus,
} from '../support/hostile-peer.js';
import { closeAfterEach, scriptedBusIn } from '../support/opened.js';
import { type Answer, ScriptedPeer } from '../support/scripted-peer.js';

const REFUSED = { errorName: 'org.freedesktop.DBus.Error.LimitsExceeded' };
const SIGNAL = {
  type: 4,
  flags: 1,
  path: '/',
  interface: 'a.b',
  member: 'M',
  sender: ':1.5',
  signature: '',
  body: [],
};
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const Zoned = {
  name: 'a.b',
  properties: { Zone: { type: 's', access: 'read' }, Count: { type: 'u', access: 'read' } },
  signals: {},
} as const;

function agree({ member = '' }: Message): Exclude<Answer, undefined> {
  return member === 'GetNameOwner' ? { signature: 's', body: [':1.5'] } : { signature: '', body: [] };
}

const open = closeAfterEach();
const scripted = scriptedBusIn(open);
const membersOf = (peer: ScriptedPeer): (string | undefined)[] => peer.calls.map(({ member }) => member);

describe('a subscription', () => {
  it('leaves no listener on its signal, however it ends', async () => {
    let refuses = false;
    const { bus, peer } = await scripted((call) => (refuses ? REFUSED : agree(call)));
    const { signal } = new AbortController();
    const one = bus.signals({ interface: 'a.b' }, { signal });
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await one.close();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    refuses = true;
    const two = bus.signals({ interface: 'a.c' }, { signal });
    await expect(two.next()).rejects.toMatchObject({ code: 'error-reply' });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    refuses = false;
    const three = bus.signals({ interface: 'a.d' }, { signal });
    peer.destroy();
    await expect(three.next()).rejects.toMatchObject({ code: 'closed' });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('whose signal has fired is refused, and nothing is sent', async () => {
    const { bus, peer } = await scripted(agree);
    expect(() => bus.signals({}, { signal: AbortSignal.abort('enough') })).toThrow(
      expect.objectContaining({ code: 'cancelled', cause: 'enough' }),
    );
    await bus.call({ destination: 'a.b', path: '/', member: 'Get' });
    expect(membersOf(peer)).toEqual(['Get']);
  });

  it('with a callback and no onError ends with its connection, and nothing is uncaught', async () => {
    const escapes = new Escapes();
    const { bus, peer } = await scripted(agree);
    await bus.signals({}, () => {}).ready;
    peer.destroy();
    await bus.closed;
    await delay(5);
    await escapes.leaks();
    expect(escapes.errors).toEqual([]);
  });

  it('asks again for a rule that was refused before', async () => {
    let refuses = true;
    const { bus } = await scripted((call) => (refuses ? REFUSED : agree(call)));
    await expect(bus.signals({ interface: 'a.b' }).ready).rejects.toMatchObject({ code: 'error-reply' });
    refuses = false;
    await bus.signals({ interface: 'a.b' }).ready;
  });

  it('may be read by several at once, and closed while they wait', async () => {
    const { bus, peer } = await scripted(agree);
    const one = bus.signals({ interface: 'a.b' });
    const reading = [one.next(), one.next(), one.next()];
    peer.send({ ...SIGNAL, member: 'First' });
    peer.send({ ...SIGNAL, member: 'Second' });
    await delay(5);
    await one.return();
    expect((await Promise.all(reading)).map(({ value }) => value?.member)).toEqual([
      'First',
      'Second',
      undefined,
    ]);
    expect(await one.next()).toEqual({ done: true, value: undefined });
  });
});

describe('the owner of a name', () => {
  it('is followed until the last has left', async () => {
    const { bus, peer } = await scripted(agree);
    const one = bus.signals({ sender: 'a.b', member: 'M' });
    const two = bus.signals({ sender: 'a.b', interface: 'a.b' });
    await Promise.all([one.ready, two.ready]);
    await one.close();
    peer.send(SIGNAL);
    expect((await two.next()).done).toBe(false);
    await two.close();
    expect(membersOf(peer).filter((member) => member === 'RemoveMatch')).toHaveLength(3);
  });

  it('of the connection before is nobody on the next one', async () => {
    let round = -1;
    const server = await hostileSocket((side) => {
      const mine = ++round;
      serveBus(side, (call) => {
        if (call.member === 'GetNameOwner') side.write(busReply(call, 's', [mine === 0 ? ':1.5' : ':1.6']));
        else side.write(busReply(call, '', []));
        if (mine === 0 || call.member !== 'AddMatch' || String(call.body[0]).includes('NameOwner')) return;
        side.write(frame({ ...SIGNAL, body: ['old'], signature: 's' }));
        setTimeout(() => side.write(frame({ ...SIGNAL, sender: ':1.6', body: ['new'], signature: 's' })), 10);
      });
    });
    const bus = await openBus(server.target(), { reconnect: reconnecting({ initialDelayMs: 5 }) });
    open.push(bus, server);
    const one = bus.signals({ sender: 'a.b', interface: 'a.b' });
    await one.ready;
    server.sides[0]?.destroy();
    expect((await one.next()).value?.body).toEqual(['new']);
  });

  it('is asked for again when the connection is lost before the answer', async () => {
    let round = -1;
    const server = await hostileSocket((side) => {
      const mine = ++round;
      serveBus(side, (call) => {
        if (call.member !== 'GetNameOwner') side.write(busReply(call, '', []));
        else if (mine === 0) side.destroy();
        else side.write(busReply(call, 's', [':1.5']));
      });
    });
    const bus = await openBus(server.target(), { reconnect: reconnecting({ initialDelayMs: 5 }) });
    open.push(bus, server);
    const one = bus.signals({ sender: 'a.b', interface: 'a.b' });
    await one.ready;
    await expect.poll(() => round).toBe(1);
    await bus.call({ destination: BUS_NAME, path: '/', member: 'GetId' });
    server.sides[1]?.write(frame(SIGNAL));
    expect((await one.next()).done).toBe(false);
  });
});

describe('attempts to connect again', () => {
  it.each([
    ['come less and less often', { initialDelayMs: 10, maxDelayMs: 1000 }, 300, 9],
    ['come no less often than they may', { initialDelayMs: 10, maxDelayMs: 10 }, 300, 100],
  ])('%s', async (_what, delays, ms, most) => {
    let attempts = 0;
    const server = await hostileSocket((side) => (attempts++ > 0 ? side.destroy() : serveBus(side)));
    const bus = await openBus(server.target(), { reconnect: reconnecting(delays) });
    open.push(bus, server);
    server.sides[0]?.destroy();
    await delay(ms);
    expect(attempts).toBeLessThan(most);
    if (most > 9) expect(attempts).toBeGreaterThan(9);
  });

  it('are given up in time, also while the next is waited for', async () => {
    let isFirst = true;
    const server = await hostileSocket((side) => {
      if (isFirst) serveBus(side);
      else side.destroy();
      isFirst = false;
    });
    const reconnect = reconnecting({ initialDelayMs: 10_000, giveUpAfterMs: 30 });
    const bus = await openBus(server.target(), { reconnect });
    open.push(bus, server);
    const began = performance.now();
    server.sides[0]?.destroy();
    expect(await bus.closed).toBeInstanceOf(Error);
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

describe('openBus', () => {
  it('may be given more time than a timer can hold', async () => {
    const [ours, theirs] = createMemoryPair();
    const opening = openBus(ours, { connectTimeoutMs: Number.POSITIVE_INFINITY });
    await delay(20);
    void new ScriptedPeer(theirs, agree);
    open.push(await opening);
  });
});

describe('a proxy', () => {
  it('refuses a property of another type than defined, and members that every object has', async () => {
    const { bus } = await scripted(() => ({ signature: 'v', body: [new Variant('u', 5)] }));
    const proxy = bus.proxy('a.b', '/', Zoned);
    await expect(proxy.get('Zone')).rejects.toMatchObject({
      code: 'unexpected-signature',
      expected: 's',
      actual: 'u',
    });
    expect(await proxy.get('Count')).toBe(5);
    expect(() => proxy.signals('constructor' as never)).toThrow(
      expect.objectContaining({ code: 'unknown-member' }),
    );
  });
});

describe('properties that are followed', () => {
  it('are those of the defined types, and after a refresh those that are still there', async () => {
    let all: [string, Variant][] = [
      ['Zone', new Variant('s', 'UTC')],
      ['Count', new Variant('s', 'of another type')],
      ['__proto__', new Variant('s', 'not defined')],
    ];
    const { bus, peer } = await scripted((call) =>
      call.member === 'GetAll' ? { signature: 'a{sv}', body: [new Map(all)] } : agree(call),
    );
    const cache = await watchProperties(bus.proxy(':1.5', '/', Zoned));
    expect([cache.get('Zone'), cache.has('Count'), cache.has('__proto__' as never)]).toEqual([
      'UTC',
      false,
      false,
    ]);
    const changed = new Map([['Count', new Variant('x', 5n)]]);
    const body = [Zoned.name, changed, ['Zone', 'Nothing']];
    peer.send({ ...SIGNAL, interface: PROPERTIES, member: 'PropertiesChanged', signature: 'sa{sv}as', body });
    expect((await cache.changes.next()).value).toEqual({ changed: [], invalidated: ['Zone'] });
    all = [['Count', new Variant('u', 7)]];
    await cache.refresh();
    expect([cache.has('Zone'), cache.get('Count')]).toEqual([false, 7]);
    all = [['Zone', new Variant('s', 'CET')]];
    await cache.refresh();
    expect([cache.get('Zone'), cache.has('Count')]).toEqual(['CET', false]);
  });

  it('are not followed any more when they cannot be read', async () => {
    const { bus, peer } = await scripted((call) =>
      call.member === 'AddMatch' || call.member === 'RemoveMatch' ? agree(call) : REFUSED,
    );
    await expect(watchProperties(bus.proxy(':1.5', '/', Zoned))).rejects.toMatchObject({
      code: 'error-reply',
    });
    await expect(watchObjects(bus, ':1.5', '/')).rejects.toMatchObject({ code: 'error-reply' });
    const members = membersOf(peer);
    expect(members.filter((member) => member === 'AddMatch')).toHaveLength(3);
    expect(members.filter((member) => member === 'RemoveMatch')).toHaveLength(3);
  });
});

function interfaces(...names: string[]): Map<string, Map<string, Variant>> {
  return new Map(names.map((name) => [name, new Map([['P', new Variant('u', 1)]])]));
}

describe('objects that are followed', () => {
  it('keep the interfaces that stay, lose those that go, and forget what is invalidated', async () => {
    let all = new Map([['/a', interfaces('a.b')]]);
    const { bus, peer } = await scripted((call) =>
      call.member === 'GetManagedObjects' ? { signature: 'a{oa{sa{sv}}}', body: [all] } : agree(call),
    );
    const watched = await watchObjects(bus, ':1.5', '/');
    const tell = async (message: Partial<Message>): Promise<unknown> => {
      peer.send({ ...SIGNAL, interface: 'org.freedesktop.DBus.ObjectManager', ...message });
      return (await watched.changes.next()).value;
    };
    const namesOf = (path: string): string[] => [...(watched.objects.get(path)?.keys() ?? [])];
    await tell({ member: 'InterfacesAdded', signature: 'oa{sa{sv}}', body: ['/a', interfaces('c.d')] });
    expect(namesOf('/a')).toEqual(['a.b', 'c.d']);
    await tell({ member: 'InterfacesRemoved', signature: 'oas', body: ['/a', ['a.b']] });
    expect(namesOf('/a')).toEqual(['c.d']);
    const invalidated = {
      interface: PROPERTIES,
      member: 'PropertiesChanged',
      signature: 'sa{sv}as',
      path: '/a',
    };
    await tell({ ...invalidated, body: ['c.d', new Map(), ['P']] });
    expect(watched.objects.get('/a')?.get('c.d')?.has('P')).toBe(false);
    await tell({ member: 'InterfacesRemoved', signature: 'oas', body: ['/a', ['c.d']] });
    expect(watched.objects.has('/a')).toBe(false);
    await tell({ member: 'InterfacesAdded', signature: 'oa{sa{sv}}', body: ['/old', interfaces('c.d')] });
    all = new Map([['/new', interfaces('a.b')]]);
    await watched.refresh();
    expect([...watched.objects.keys()]).toEqual(['/new']);
  });
});

describe('a server', () => {
  it('that is closed hangs up on those who have not authenticated', async () => {
    const server = await listen('unix:tmpdir=/tmp', { onConnection: () => {} });
    const side = await hostileClient(server.address);
    side.write('\0');
    await delay(10);
    await server.close();
    await side.closed;
  });

  it('closes the mechanisms made for a peer, whether it gets in or not', async () => {
    let closed = 0;
    const mechanisms = [{ name: 'ANONYMOUS', authorize: () => 'somebody' }] as const;
    const prepare = async (): Promise<{ mechanisms: typeof mechanisms; close(): void }> => ({
      mechanisms,
      close: () => void closed++,
    });
    for (const name of ['ANONYMOUS', 'EXTERNAL'] as const) {
      const [ours, theirs] = createMemoryPair();
      const both = [
        accept(ours, { mechanisms: prepare as never }),
        connect(theirs, { mechanisms: [{ name }] }),
      ];
      for (const end of await Promise.allSettled(both)) if (end.status === 'fulfilled') open.push(end.value);
    }
    expect(closed).toBe(2);
    expect(open).toHaveLength(2);
  });

  it('is hung up on by a client that wants another, and by us when our options are wrong', async () => {
    const server = await listen('unix:tmpdir=/tmp', { onConnection: () => {} });
    open.push(server);
    const wrong = server.address.replace(/guid=.*/, `guid=${'f'.repeat(32)}`);
    await expect(connect(wrong)).rejects.toMatchObject({ code: 'wrong-guid' });
    await expect.poll(() => server.connections.size).toBe(0);
    const [ours, theirs] = createMemoryPair();
    const ended = new Promise<void>((resolve) => theirs.start({ receive: () => {}, ended: () => resolve() }));
    await expect(accept(ours, { authenticationTimeoutMs: -1 })).rejects.toMatchObject({
      code: 'invalid-timeout',
    });
    await ended;
  });
});

describe('diagnostics', () => {
  it('tell of each call once how it ended', async () => {
    publishDiagnostics();
    const events: object[] = [];
    const listener = (event: unknown): void => void events.push(event as object);
    subscribe('secretbus.wire.reply', listener);
    const { bus } = await scripted((call) =>
      call.member === 'Fail' ? REFUSED : call.member === 'Wait' ? undefined : agree(call),
    );
    events.length = 0;
    const call = { destination: ':1.5', path: '/' };
    await bus.call({ ...call, member: 'Get' });
    await expect(bus.call({ ...call, member: 'Fail' })).rejects.toMatchObject({ code: 'error-reply' });
    await expect(bus.call({ ...call, member: 'Get', replySignature: 'u' })).rejects.toMatchObject({
      code: 'unexpected-signature',
    });
    await expect(bus.call({ ...call, member: 'Wait', timeoutMs: 5 })).rejects.toMatchObject({
      code: 'deadline',
    });
    unsubscribe('secretbus.wire.reply', listener);
    expect(events).toMatchObject([
      { outcome: 'return', code: undefined, errorName: undefined },
      { outcome: 'error', code: undefined, errorName: REFUSED.errorName },
      { outcome: 'return', code: undefined },
      { outcome: 'failed', code: 'deadline' },
    ]);
    expect(events).toHaveLength(4);
  });
});
