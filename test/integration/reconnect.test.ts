import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PrivateBus, startPrivateBus } from '../../scripts/lib/private-services.mjs';
import {
  type Bus,
  type BusOptions,
  implement,
  listen,
  MessageType,
  openBus,
  reconnecting,
} from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const NAME = 'org.example.Clock';
const GET_ID = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  member: 'GetId',
} as const;
const TICK = { type: MessageType.signal, flags: 0, path: '/', interface: NAME, member: 'Ticked' };

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('a bus that goes away and comes back', () => {
  let directory: string;
  let daemon: PrivateBus | undefined;
  const buses: Bus[] = [];

  const start = async (): Promise<void> => {
    daemon = await startPrivateBus({ socketPath: join(directory, 'bus') });
  };
  const stop = async (): Promise<void> => {
    await daemon?.close();
    daemon = undefined;
  };
  const open = async (options: BusOptions = {}): Promise<Bus> => {
    // Without the guid, which the next daemon does not share.
    const bus = await openBus(`unix:path=${join(directory, 'bus')}`, options);
    buses.push(bus);
    return bus;
  };
  /** Resolves when the bus is lost. */
  const openReconnecting = async (options = {}): Promise<{ bus: Bus; lost: number; back: number }> => {
    const state = { lost: 0, back: 0 };
    const bus = await open({
      reconnect: reconnecting({
        initialDelayMs: 5,
        maxDelayMs: 20,
        onDisconnect: () => state.lost++,
        onReconnect: () => state.back++,
        ...options,
      }),
    });
    return Object.assign(state, { bus });
  };

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sb-reconnect-'));
    await start();
  });
  afterEach(async () => {
    await Promise.all(buses.splice(0).map((bus) => bus.close()));
    await stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('is connected to again: names, match rules and exported objects are back, under a new unique name', async () => {
    const state = await openReconnecting();
    const { bus } = state;
    const guid = bus.guid;
    await bus.requestName(NAME);
    const echo = implement(
      { name: NAME, methods: { Echo: { in: 's', out: 's' } } },
      { methods: { Echo: (text) => text } },
    );
    bus.export('/', [echo]);
    const mine = bus.signals({ interface: NAME, member: 'Ticked' });
    const named = bus.signals({ sender: 'org.example.Other', member: 'Ticked' });
    await Promise.all([mine.ready, named.ready]);
    await stop();
    await expect.poll(() => state.lost).toBe(1);
    await start();
    await expect.poll(() => state.back).toBe(1);
    expect(bus.guid).not.toBe(guid);
    const other = await open();
    expect(await other.nameOwner(NAME)).toBe(bus.uniqueName);
    const call = {
      destination: NAME,
      path: '/',
      interface: NAME,
      member: 'Echo',
      signature: 's',
      body: ['again'],
    } as const;
    expect(await other.call(call)).toEqual(['again']);
    await other.requestName('org.example.Other');
    await other.send({ ...TICK, signature: 'u', body: [7] });
    expect((await mine.next()).value?.body).toEqual([7]);
    expect((await named.next()).value?.body).toEqual([7]);
    const stats = await bus.stats(bus.uniqueName);
    // Two subscriptions, and the owner of the well-known sender: none twice.
    expect(stats.get('MatchRules')).toMatchObject({ value: 3 });
    await Promise.all([mine.close(), named.close()]);
    expect((await bus.stats(bus.uniqueName)).get('MatchRules')).toMatchObject({ value: 0 });
  });

  it('rejects calls that waited, and has calls made meanwhile wait, within their deadlines', async () => {
    const state = await openReconnecting();
    const { bus } = state;
    const silent = await open();
    silent.export('/', [
      implement(
        { name: NAME, methods: { Wait: {} } },
        {
          methods: {
            Wait: ({ signal }) =>
              new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
          },
        },
      ),
    ]);
    const waiting = bus.call({ destination: silent.uniqueName, path: '/', interface: NAME, member: 'Wait' });
    await Promise.all([stop(), expect(waiting).rejects.toMatchObject({ code: 'closed' })]);
    await expect.poll(() => state.lost).toBe(1);
    await expect(bus.call({ ...GET_ID, timeoutMs: 30 })).rejects.toMatchObject({ code: 'deadline' });
    const controller = new AbortController();
    const cancelled = bus.call({ ...GET_ID, signal: controller.signal });
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    const later = bus.call({ ...GET_ID, replySignature: 's' });
    const sent = bus.send({ ...TICK, signature: '', body: [] });
    const subscription = bus.signals({ interface: NAME });
    await start();
    expect(await later).toHaveLength(1);
    expect(await sent).toBeGreaterThan(0);
    await subscription.ready;
    expect((await bus.stats(bus.uniqueName)).get('MatchRules')).toMatchObject({ value: 1 });
  });

  it('is given up after the time set: everything that waits ends, with the reason', async () => {
    const { bus } = await openReconnecting({ giveUpAfterMs: 60 });
    const subscription = bus.signals({ interface: NAME });
    await subscription.ready;
    const next = subscription.next();
    await stop();
    await delay(10);
    const waiting = bus.call(GET_ID);
    const later = bus.signals({ interface: 'org.example.Later' });
    await Promise.all([
      expect(waiting).rejects.toMatchObject({ code: 'closed' }),
      expect(next).rejects.toMatchObject({ code: 'closed' }),
      expect(later.ready).rejects.toMatchObject({ code: 'closed' }),
    ]);
    expect(await bus.closed).toMatchObject({ code: 'connect-failed' });
  });

  it('is not connected to again once it was closed', async () => {
    const state = await openReconnecting();
    await stop();
    await expect.poll(() => state.lost).toBe(1);
    await state.bus.close();
    await start();
    await delay(60);
    expect(state.back).toBe(0);
    expect(await state.bus.closed).toBeUndefined();
    await expect(state.bus.call(GET_ID)).rejects.toMatchObject({ code: 'closed' });
  });

  it('ends for good where nobody asked for more', async () => {
    const bus = await open();
    const subscription = bus.signals({ interface: NAME });
    await subscription.ready;
    await stop();
    expect(await bus.closed).toMatchObject({ code: 'disconnected' });
    await expect(subscription.next()).rejects.toMatchObject({
      code: 'closed',
      cause: { code: 'disconnected' },
    });
  });
});

describe('a bus that lets us in and hangs up at once', () => {
  it('is asked again at an ever slower pace', async () => {
    let connections = 0;
    const driver = { name: 'org.freedesktop.DBus', methods: { Hello: { out: 's' } } };
    await using server = await listen('unix:tmpdir=/tmp', {
      onConnection: (peer) => {
        connections++;
        const hello = (): string => {
          setTimeout(() => void peer.close(), 1);
          return ':1.1';
        };
        peer.export('/org/freedesktop/DBus', [implement(driver, { methods: { Hello: hello } })]);
      },
    });
    await using bus = await openBus(server.address, {
      reconnect: reconnecting({ initialDelayMs: 2, maxDelayMs: 1000 }),
    });
    await delay(500);
    // None while there is no connection.
    expect(['', ':1.1']).toContain(bus.uniqueName);
    // 2 ms, 4 ms, 8 ms … at the most: without that there would be a hundred.
    expect(connections).toBeGreaterThan(3);
    expect(connections).toBeLessThan(20);
  });
});
