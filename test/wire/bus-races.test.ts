/** Aborting, closing and losing a connection at every moment of its beginning: all or nothing, and nothing is left. */
import { getEventListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import {
  accept,
  connect,
  createMemoryPair,
  type Message,
  openBus,
  reconnecting,
} from '../../src/wire/index.js';
import { busReply, hostileSocket, serveBus, watchEachTest } from '../support/hostile-peer.js';
import { type Answer, ScriptedPeer } from '../support/scripted-peer.js';

const CALL = { destination: 'a.b', path: '/', member: 'Get' };

function agree({ member = '' }: Message): Exclude<Answer, undefined | { errorName: string }> {
  if (member === 'GetNameOwner') return { signature: 's', body: [':1.5'] };
  return member === 'RequestName' ? { signature: 'u', body: [1] } : { signature: '', body: [] };
}
const codeOf = (error: { code: string }): string => error.code;

/** Lets `count` turns of the microtask queue pass. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
}

watchEachTest();

it('openBus is aborted at every turn: it gives a bus, or has ended the transport', async () => {
  const outcomes = new Set<string>();
  for (let count = 0; count < 60; count++) {
    const [ours, theirs] = createMemoryPair();
    const peer = new ScriptedPeer(theirs, agree);
    const controller = new AbortController();
    const opening = openBus(ours, { signal: controller.signal }).catch(codeOf);
    await turns(count);
    controller.abort();
    const bus = await opening;
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    outcomes.add(typeof bus === 'string' ? bus : 'open');
    if (typeof bus !== 'string') {
      expect(await bus.call(CALL)).toEqual([]);
      await bus.close();
    }
    await expect.poll(() => peer.ended, { interval: 1 }).toBe(true);
  }
  expect(outcomes).toEqual(new Set(['cancelled', 'open']));
});

it('accept is aborted at every turn: it gives a connection, or has ended it', async () => {
  const outcomes = new Set<string>();
  for (let count = 0; count < 40; count++) {
    const [ours, theirs] = createMemoryPair();
    const controller = new AbortController();
    const accepting = accept(ours, { signal: controller.signal }).catch(codeOf);
    const connecting = connect(theirs).catch(codeOf);
    await turns(count);
    controller.abort();
    const [far, near] = await Promise.all([accepting, connecting]);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    outcomes.add(typeof far === 'string' ? far : 'open');
    if (typeof far !== 'string') await far.close();
    if (typeof near !== 'string') expect(await near.closed).toMatchObject({ code: 'disconnected' });
  }
  expect(outcomes).toEqual(new Set(['cancelled', 'open']));
});

it('the peer goes at every turn of openBus: it rejects, or the bus it gives has ended', async () => {
  const outcomes = new Set<string>();
  for (let count = 0; count < 40; count++) {
    const [ours, theirs] = createMemoryPair();
    const peer = new ScriptedPeer(theirs, agree);
    const opening = openBus(ours).catch(codeOf);
    await turns(count);
    peer.destroy();
    const bus = await opening;
    outcomes.add(typeof bus === 'string' ? bus : 'open');
    if (typeof bus !== 'string') expect(await bus.closed).toMatchObject({ code: 'disconnected' });
  }
  expect(outcomes).toEqual(new Set(['closed', 'open']));
});

it('a subscription ends at every turn of its beginning: the bus has no rule of it', async () => {
  for (let count = 0; count < 40; count++) {
    const [ours, theirs] = createMemoryPair();
    const peer = new ScriptedPeer(theirs, agree);
    const bus = await openBus(ours);
    const controller = new AbortController();
    const subscription = bus.signals({ sender: 'a.b' }, { signal: controller.signal });
    const next = subscription.next().catch(codeOf);
    await turns(count);
    if (count % 2 === 0) await subscription.close();
    else controller.abort();
    expect(await next).toEqual(count % 2 === 0 ? { done: true, value: undefined } : 'cancelled');
    await subscription.ready.catch(() => {});
    await delay(1);
    const members = peer.calls.map(({ member }) => member);
    expect(members.filter((member) => member === 'AddMatch')).toHaveLength(2);
    expect(members.filter((member) => member === 'RemoveMatch')).toHaveLength(2);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await bus.close();
  }
});

it('a bus is closed at every moment of a reconnection: everything that waits ends', async () => {
  const server = await hostileSocket((side) =>
    serveBus(side, (call) => {
      const { signature, body } = agree(call);
      side.write(busReply(call, signature, body));
    }),
  );
  for (let step = 0; step < 50; step++) {
    const reconnect = reconnecting({ initialDelayMs: 0, maxDelayMs: 0 });
    const bus = await openBus(server.target(), { reconnect });
    const subscription = bus.signals({ sender: 'a.b' });
    await Promise.all([subscription.ready, bus.requestName('c.d')]);
    server.sides.at(-1)?.destroy();
    for (const end = performance.now() + step * 0.12; performance.now() < end; ) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const next = subscription.next();
    const call = bus.call(CALL).catch(codeOf);
    await bus.close();
    expect(await bus.closed).toBeUndefined();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await call).toBe('closed');
  }
  await server.close();
});
