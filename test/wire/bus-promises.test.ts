/** What connections promise, each seen from outside: deadlines, room, what is whose, what is recorded, what is left behind. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  accept,
  type Bus,
  createMemoryPair,
  type Message,
  openBus,
  reconnecting,
  type Transport,
} from '../../src/wire/index.js';
import {
  busReply,
  CLIENT_SASL,
  frame,
  type HostileServer,
  hostileSocket,
  type RawSide,
  serveBus,
  serveSasl,
  UNIQUE_NAME,
} from '../support/hostile-peer.js';
import { closeAfterEach, scriptedBusIn } from '../support/opened.js';
import { type Answer, ScriptedPeer } from '../support/scripted-peer.js';

const CALL = { destination: ':1.9', path: '/', interface: 'a.b', member: 'Get' };
const BUS = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', member: 'GetId' };
const SIGNAL = { type: 4, flags: 1, path: '/', interface: 'a.b', member: 'M', sender: ':1.9' };
const silent = (): Answer => undefined;
const empty = (): Answer => ({ signature: '', body: [] });

const open = closeAfterEach();
const scripted = scriptedBusIn(open);
async function served(serve: (side: RawSide) => void): Promise<HostileServer> {
  const server = await hostileSocket(serve);
  open.push(server);
  return server;
}
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

describe('deadlines', () => {
  it('are kept by each of many calls', async () => {
    const { bus } = await scripted(silent);
    const began = performance.now();
    const errors = await Promise.all(
      [60, 10, 30].map((timeoutMs) => bus.call({ ...CALL, timeoutMs }).catch((error: unknown) => error)),
    );
    expect(errors).toMatchObject([{ timeoutMs: 60 }, { timeoutMs: 10 }, { timeoutMs: 30 }]);
    expect(performance.now() - began).toBeLessThan(1000);
  });

  it('leave no timer that keeps the process alive once all calls are answered', async () => {
    const before = timers();
    const { bus } = await scripted(empty);
    await Promise.all([bus.call(CALL), bus.call({ ...CALL, timeoutMs: 60_000 })]);
    expect(timers()).toBe(before);
  });

  it('of calls made while the bus is lost count from the call', async () => {
    let refuses = false;
    const server = await served((side) => (refuses ? side.destroy() : serveBus(side)));
    const bus = await openBus(server.target(), {
      reconnect: reconnecting({ initialDelayMs: 5, maxDelayMs: 5 }),
    });
    open.unshift(bus);
    refuses = true;
    server.sides[0]?.destroy();
    await delay(10);
    const began = performance.now();
    const waiting = bus.call({ ...CALL, timeoutMs: 300 }).catch((error: unknown) => error);
    await delay(200);
    refuses = false;
    expect(await waiting).toMatchObject({ code: 'deadline' });
    expect(performance.now() - began).toBeLessThan(450);
  });
});

describe('too much', () => {
  it('that waits for replies is refused, and what waits already goes on', async () => {
    const { bus, peer } = await scripted(silent);
    const calls = Array.from({ length: 65_536 }, () => bus.call(CALL));
    const outcomes = Promise.allSettled(calls);
    await expect(bus.call(CALL)).rejects.toMatchObject({ code: 'too-many-calls' });
    await expect.poll(() => peer.calls.length, { timeout: 5000 }).toBe(65_536);
    peer.reply(peer.calls[0] as Message, { signature: 's', body: ['first'] });
    expect(await calls[0]).toEqual(['first']);
    await bus.close();
    await outcomes;
  });

  it('to be sent is refused, and the connection goes on', async () => {
    const [ours, theirs] = createMemoryPair();
    let queuedByteLength = 0;
    const full: Transport = {
      get queuedByteLength() {
        return queuedByteLength;
      },
      start: (handlers) => ours.start(handlers),
      write: (bytes) => ours.write(bytes),
      close: () => ours.close(),
      destroy: () => ours.destroy(),
    };
    void new ScriptedPeer(theirs, empty);
    const bus = await openBus(full);
    open.push(bus);
    queuedByteLength = 2 ** 28;
    await expect(bus.call(CALL)).rejects.toMatchObject({ code: 'queue-full' });
    await expect(bus.send({ ...SIGNAL, signature: '', body: [] })).rejects.toMatchObject({
      code: 'queue-full',
    });
    queuedByteLength = 0;
    expect(await bus.call(CALL)).toEqual([]);
  });

  it('before the connection is taken ends it', async () => {
    const [ours, theirs] = createMemoryPair();
    const accepting = accept(ours);
    const ended = new Promise<void>((resolve) => theirs.start({ receive: () => {}, ended: () => resolve() }));
    const call = frame({ type: 1, path: '/', member: 'M' });
    theirs.write(Buffer.concat([Buffer.from(CLIENT_SASL), ...Array.from({ length: 5000 }, () => call)]));
    await ended;
    expect(await (await accepting).closed).toMatchObject({ code: 'queue-full' });
  });

  it('at one time makes the sender wait until there is room, or the connection has ended', async () => {
    const server = await served((side) => serveBus(side));
    for (const how of ['resume', 'destroy'] as const) {
      const bus = await openBus(server.target());
      open.unshift(bus);
      const side = server.sides.at(-1) as RawSide;
      side.socket?.pause();
      let isDone = false;
      const sent = bus
        .send({ ...SIGNAL, signature: 'ay', body: [new Uint8Array(2 ** 24)] })
        .catch(() => {})
        .then(() => (isDone = true));
      await delay(30);
      expect(isDone).toBe(false);
      if (how === 'resume') side.socket?.resume();
      else side.destroy();
      await sent;
    }
  });
});

describe('what is not ours', () => {
  it('a reply of a peer to a call of the bus itself is not taken', async () => {
    const { bus, peer } = await scripted(silent);
    const waiting = bus.call(BUS);
    await delay(5);
    const [call] = peer.calls as [Message];
    peer.reply(call, { signature: 's', body: ['forged'], sender: ':1.666' });
    peer.reply(call, { errorName: 'a.b.Forged', sender: ':1.666' });
    peer.reply(call, { signature: 's', body: ['true'] });
    expect(await waiting).toEqual(['true']);
  });

  it('a call to somebody else is not answered', async () => {
    const { bus, peer } = await scripted(empty);
    const call = { type: 1, flags: 0, path: '/', member: 'M', sender: ':1.5', signature: '', body: [] };
    peer.send({ ...call, destination: ':1.99' });
    peer.send({ ...call, destination: UNIQUE_NAME });
    await bus.call(CALL);
    expect(peer.others).toHaveLength(1);
  });

  it('a signal to somebody else reaches who eavesdrops alone', async () => {
    const { bus, peer } = await scripted(empty);
    const own = bus.signals({ interface: 'a.b' });
    const all = bus.signals({ interface: 'a.b', eavesdrop: true });
    peer.send({ ...SIGNAL, destination: ':1.99', signature: 'u', body: [1] });
    peer.send({ ...SIGNAL, destination: UNIQUE_NAME, signature: 'u', body: [2] });
    expect((await all.next()).value?.body).toEqual([1]);
    expect((await own.next()).value?.body).toEqual([2]);
  });

  it('a monitor answers nothing, and is not given what is for itself', async () => {
    const { bus, peer } = await scripted(empty);
    const monitor = bus.monitor();
    await monitor.ready;
    const call = { type: 1, flags: 0, path: '/', member: 'M', sender: ':1.5', signature: 'u' };
    peer.send({ ...SIGNAL, destination: UNIQUE_NAME, signature: 'u', body: [1] });
    peer.send({ ...call, destination: 'org.example.Service', body: [2] });
    expect((await monitor.next()).value?.body).toEqual([2]);
    await delay(5);
    expect(peer.others).toEqual([]);
  });
});

describe('what is sensitive', () => {
  it('is told to the recorder of calls, their replies, and what is sent', async () => {
    const seen: [number, boolean][] = [];
    const record = (_frame: Uint8Array, message: Message, sensitive: boolean): void =>
      void seen.push([message.type, sensitive]);
    const { bus } = await scripted(empty, { recorder: { record } });
    seen.length = 0;
    await bus.call({ ...CALL, sensitive: true });
    await bus.call(CALL);
    await bus.send({ ...SIGNAL, signature: '', body: [] }, { sensitive: true });
    await bus.send({ ...SIGNAL, signature: '', body: [] });
    expect(seen).toEqual([
      [1, true],
      [2, true],
      [1, false],
      [2, false],
      [4, true],
      [4, false],
    ]);
  });
});

describe('the end', () => {
  it('has the error of the transport as its reason, and is the end of a wait for room', async () => {
    const [ours, theirs] = createMemoryPair();
    let end: ((error: Error) => void) | undefined;
    let queuedByteLength = 0;
    const failing: Transport = {
      get queuedByteLength() {
        return queuedByteLength;
      },
      start: (handlers) => {
        end = (error) => handlers.ended(error);
        // It never says that it has drained.
        ours.start({
          receive: (bytes, fds) => handlers.receive(bytes, fds),
          ended: (error) => handlers.ended(error),
        });
      },
      write: (bytes) => ours.write(bytes),
      close: () => ours.close(),
      destroy: () => ours.destroy(),
    };
    void new ScriptedPeer(theirs, empty);
    const bus = await openBus(failing);
    open.push(bus);
    const reason = new Error('the cable');
    queuedByteLength = 2 ** 21;
    const sent = bus.send({ ...SIGNAL, signature: '', body: [] }).catch(() => {});
    end?.(reason);
    expect(await bus.closed).toBe(reason);
    // There was no room, and there will be none.
    await sent;
  });

  it.each([
    ['that never authenticates', (): void => {}, '', 'deadline'],
    ['with another guid', (side: RawSide): void => serveBus(side), `,guid=${'f'.repeat(32)}`, 'wrong-guid'],
    ['that gives no unique name', (side: RawSide): void => serveNoName(side), '', 'connect-failed'],
  ])('comes at once to a bus %s', async (_what, serve, guid, code) => {
    const server = await served(serve);
    await expect(
      openBus(`${server.target() as string}${guid}`, { connectTimeoutMs: 100 }),
    ).rejects.toMatchObject({
      code,
    });
    await server.sides[0]?.closed;
  });

  it('while the bus is lost leaves no timer', async () => {
    let refuses = false;
    const server = await served((side) => (refuses ? side.destroy() : serveBus(side)));
    const before = timers();
    const bus = await openBus(server.target(), {
      reconnect: reconnecting({ initialDelayMs: 60_000, maxDelayMs: 60_000 }),
    });
    refuses = true;
    server.sides[0]?.destroy();
    await delay(10);
    await bus.close();
    await delay(1);
    expect(timers()).toBe(before);
  });
});

function serveNoName(side: RawSide): void {
  serveSasl(side, (call) => side.write(busReply(call, 's', ['a.77'])));
}

describe('match rules', () => {
  it('stay while one subscription needs them, however often another is closed', async () => {
    const { bus, peer } = await scripted(empty);
    const one = bus.signals({ interface: 'a.b' });
    const two = bus.signals({ interface: 'a.b' });
    await Promise.all([one.ready, two.ready]);
    await Promise.all([one.close(), one.close(), one.return()]);
    expect(peer.calls.map(({ member }) => member)).toEqual(['AddMatch']);
    peer.send({ ...SIGNAL, signature: '', body: [] });
    expect((await two.next()).done).toBe(false);
  });

  it('never ask for the namespace of the root, which not every bus takes for everything', async () => {
    const { bus, peer } = await scripted(empty);
    const all = bus.signals({ pathNamespace: '/' });
    await all.ready;
    expect(peer.calls[0]?.body).toEqual([`type='signal'`]);
    peer.send({ ...SIGNAL, signature: '', body: [] });
    expect((await all.next()).done).toBe(false);
  });
});

describe('a proxy', () => {
  it('is refused for what is no path or no name', async () => {
    const { bus } = await scripted(empty);
    const definition = { name: 'a.b' };
    for (const [destination, path] of [
      ['a.b', 'x'],
      ['a.b', '/x/'],
      ['nobody', '/'],
      ['', '/'],
    ] as const) {
      expect(() => bus.proxy(destination, path, definition)).toThrow(
        expect.objectContaining({ code: 'invalid-option' }),
      );
    }
  });
});

describe('names', () => {
  it('given back are not asked for again on the next connection', async () => {
    const asked: string[][] = [];
    const server = await served((side) => {
      const mine: string[] = [];
      asked.push(mine);
      serveBus(side, (call) => {
        if (call.member === 'RequestName') mine.push(call.body[0] as string);
        side.write(busReply(call, 'u', [1]));
      });
    });
    let back = 0;
    const bus: Bus = await openBus(server.target(), {
      reconnect: reconnecting({ initialDelayMs: 5, onReconnect: () => back++ }),
    });
    open.unshift(bus);
    await bus.requestName('a.kept');
    await bus.requestName('a.released');
    await bus.releaseName('a.released');
    server.sides[0]?.destroy();
    await expect.poll(() => back).toBe(1);
    await expect.poll(() => asked[1]).toEqual(['a.kept']);
  });
});
