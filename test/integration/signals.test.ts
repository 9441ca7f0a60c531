import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PrivateBus, startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { type Bus, type Message, MessageType, openBus, type Subscription } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const NAME = 'org.example.Clock';
const signalOf = (member: string, value: number, path = '/org/example'): Omit<Message, 'serial'> => ({
  type: MessageType.signal,
  flags: 0,
  path,
  interface: NAME,
  member,
  signature: 'u',
  body: [value],
});

/** What a subscription holds once `marker` of the same sender has come through. */
async function valuesUntil(subscription: Subscription, last: unknown): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const { body } of subscription) {
    if (body[0] === last) return values;
    values.push(body[0]);
  }
  throw new Error('the subscription ended');
}

/** Rules that the bus has from `bus`, by its own count. */
async function ruleCount(bus: Bus): Promise<number> {
  const stats = await bus.stats(bus.uniqueName);
  return (stats.get('MatchRules') as { value: number }).value;
}

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('signals on a real bus', () => {
  let daemon: PrivateBus;
  let reader: Bus;
  let writer: Bus;
  let other: Bus;

  beforeAll(async () => {
    daemon = await startPrivateBus();
    [reader, writer, other] = await Promise.all([
      openBus(daemon.address),
      openBus(daemon.address),
      openBus(daemon.address),
    ]);
  });
  afterAll(async () => {
    await Promise.all([reader.close(), writer.close(), other.close()]);
    await daemon.close();
  });

  it('arrive as an async iterable, in order, those that match alone', async () => {
    const ticks = reader.signals({ interface: NAME, member: 'Ticked' });
    await ticks.ready;
    for (let value = 0; value < 100; value++) {
      await writer.send(signalOf(value % 2 === 0 ? 'Ticked' : 'Tocked', value));
    }
    await writer.send(signalOf('Ticked', 1000));
    expect(await valuesUntil(ticks, 1000)).toEqual(Array.from({ length: 50 }, (_, index) => 2 * index));
    expect(ticks.dropped).toBe(0);
    await ticks.close();
  });

  it('arrive at a callback, one after the other, which may take its time', async () => {
    const seen: unknown[] = [];
    let running = 0;
    const subscription = reader.signals({ interface: NAME }, async ({ body }) => {
      expect(++running).toBe(1);
      await delay(1);
      running--;
      seen.push(body[0]);
    });
    await subscription.ready;
    for (let value = 0; value < 10; value++) await writer.send(signalOf('Ticked', value));
    await expect.poll(() => seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await subscription.close();
  });

  it('of a well-known name come from its present owner alone', async () => {
    expect(await writer.requestName(NAME, { allowReplacement: true })).toBe('owner');
    const ticks = reader.signals({ sender: NAME, member: 'Ticked' });
    const all = reader.signals({ interface: NAME, member: 'Ticked' });
    await Promise.all([ticks.ready, all.ready]);
    await writer.send(signalOf('Ticked', 1));
    await writer.call({ destination: 'org.freedesktop.DBus', path: '/', member: 'GetId' });
    await other.send(signalOf('Ticked', 2));
    await other.call({ destination: 'org.freedesktop.DBus', path: '/', member: 'GetId' });
    expect(await other.requestName(NAME, { replace: true })).toBe('owner');
    await writer.send(signalOf('Ticked', 3));
    await writer.call({ destination: 'org.freedesktop.DBus', path: '/', member: 'GetId' });
    await other.send(signalOf('Ticked', 4));
    await other.send(signalOf('Ticked', 1000));
    expect(await valuesUntil(all, 1000)).toEqual([1, 2, 3, 4]);
    expect(await valuesUntil(ticks, 1000)).toEqual([1, 4]);
    await Promise.all([ticks.close(), all.close()]);
    expect(await other.releaseName(NAME)).toBe('released');
    expect(await writer.releaseName(NAME)).not.toBe('released');
  });

  it('of a name that nobody owns yet come once it is owned', async () => {
    const ticks = reader.signals({ sender: 'org.example.Later' });
    await ticks.ready;
    await writer.send(signalOf('Ticked', 1));
    await writer.requestName('org.example.Later');
    await writer.send(signalOf('Ticked', 2));
    await writer.send(signalOf('Ticked', 1000));
    expect(await valuesUntil(ticks, 1000)).toEqual([2]);
    await ticks.close();
    await writer.releaseName('org.example.Later');
  });

  it('of one rule have one match rule on the bus, until the last has left', async () => {
    const before = await ruleCount(reader);
    const rule = { interface: 'org.example.Counted' };
    const one = reader.signals(rule);
    const two = reader.signals(`interface='org.example.Counted'`);
    await Promise.all([one.ready, two.ready]);
    expect(await ruleCount(reader)).toBe(before + 1);
    await one.close();
    expect(await ruleCount(reader)).toBe(before + 1);
    await two.close();
    expect(await ruleCount(reader)).toBe(before);
  });

  it('leave no rule behind when the loop over them ends, or their signal fires', async () => {
    const before = await ruleCount(reader);
    const loop = (async () => {
      for await (const { body } of reader.signals({ interface: NAME, sender: 'org.example.Some' })) {
        if (body[0] === 7) break;
      }
    })();
    const controller = new AbortController();
    const aborted = reader.signals({ interface: 'org.example.Aborted' }, { signal: controller.signal });
    await aborted.ready;
    const next = aborted.next();
    controller.abort('enough');
    await expect(next).rejects.toMatchObject({ code: 'cancelled', cause: 'enough' });
    expect(await aborted.next()).toEqual({ done: true, value: undefined });
    await writer.requestName('org.example.Some');
    await writer.send(signalOf('Ticked', 7));
    await loop;
    expect(await ruleCount(reader)).toBe(before);
    await writer.releaseName('org.example.Some');
  });

  it('drop the oldest when nobody reads them, and count what was lost; replies come all the same', async () => {
    const slow = reader.signals({ interface: NAME }, { maxQueued: 10 });
    const newest = reader.signals({ interface: NAME }, { maxQueued: 10, overflow: 'drop-newest' });
    const strict = reader.signals({ interface: NAME }, { maxQueued: 10, overflow: 'fail' });
    await Promise.all([slow.ready, newest.ready, strict.ready]);
    for (let value = 0; value < 5000; value++) await writer.send(signalOf('Ticked', value));
    await writer.call({ destination: 'org.freedesktop.DBus', path: '/', member: 'GetId' });
    await reader.call({ destination: 'org.freedesktop.DBus', path: '/', member: 'GetId' });
    await expect.poll(() => slow.dropped).toBe(4990);
    expect(newest.dropped).toBe(4990);
    expect((await slow.next()).value?.body).toEqual([4990]);
    expect((await newest.next()).value?.body).toEqual([0]);
    const rest: unknown[] = [];
    await expect(
      (async () => {
        for await (const { body } of strict) rest.push(body[0]);
      })(),
    ).rejects.toMatchObject({ code: 'queue-full' });
    expect(rest).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await Promise.all([slow.close(), newest.close()]);
  });

  it('below the root path come from every object', async () => {
    const all = reader.signals({ interface: NAME, pathNamespace: '/' });
    await all.ready;
    await writer.send(signalOf('Ticked', 1, '/'));
    await writer.send(signalOf('Ticked', 2, '/org/other'));
    await writer.send(signalOf('Ticked', 1000));
    expect(await valuesUntil(all, 1000)).toEqual([1, 2]);
    await all.close();
  });

  it('with a rule that the bus refuses reject', async () => {
    expect(() => reader.signals(`type='nonsense'`)).toThrow(
      expect.objectContaining({ code: 'invalid-match-rule' }),
    );
  });

  it('end with the connection, in order or with the reason', async () => {
    const brief = await openBus(daemon.address);
    const first = brief.signals({ interface: NAME });
    const waiting = first.next();
    await brief.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(() => brief.signals({ interface: NAME })).toThrow(expect.objectContaining({ code: 'closed' }));
  });
});

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('names on a real bus', () => {
  let daemon: PrivateBus;
  let one: Bus;
  let two: Bus;
  beforeAll(async () => {
    daemon = await startPrivateBus();
    [one, two] = await Promise.all([openBus(daemon.address), openBus(daemon.address)]);
  });
  afterAll(async () => {
    await Promise.all([one.close(), two.close()]);
    await daemon.close();
  });

  it('are owned, queued for, taken over and given back', async () => {
    const changes = one.watchName(NAME);
    await changes.ready;
    expect(await one.nameOwner(NAME)).toBeUndefined();
    expect(await one.requestName(NAME, { allowReplacement: true })).toBe('owner');
    expect(await one.requestName(NAME, { allowReplacement: true })).toBe('already-owner');
    expect(await two.requestName(NAME)).toBe('exists');
    expect(await two.requestName(NAME, { queue: true })).toBe('in-queue');
    expect(await two.queuedOwners(NAME)).toEqual([one.uniqueName, two.uniqueName]);
    expect(await two.requestName(NAME, { replace: true })).toBe('owner');
    expect(await one.nameOwner(NAME)).toBe(two.uniqueName);
    expect(await two.listNames()).toContain(NAME);
    expect(await two.listActivatableNames()).toContain('org.freedesktop.DBus');
    expect(await two.releaseName(NAME)).toBe('released');
    expect(await two.releaseName(NAME)).toBe('non-existent');
    const seen = [];
    for await (const change of changes) if (seen.push(change) === 3) break;
    expect(seen).toEqual([
      { name: NAME, newOwner: one.uniqueName },
      { name: NAME, oldOwner: one.uniqueName, newOwner: two.uniqueName },
      { name: NAME, oldOwner: two.uniqueName },
    ]);
  });

  it('tell who is behind them', async () => {
    const credentials = await one.credentials(two.uniqueName);
    expect(credentials).toMatchObject({ userId: process.getuid?.(), processId: process.pid });
    await expect(one.credentials('org.example.Nobody')).rejects.toMatchObject({ code: 'error-reply' });
    await expect(one.startService('org.example.Nobody')).rejects.toMatchObject({
      name: 'org.freedesktop.DBus.Error.ServiceUnknown',
    });
    expect((await one.stats()).size).toBeGreaterThan(0);
  });
});
