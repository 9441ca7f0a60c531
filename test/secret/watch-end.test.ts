/** How a watch ends: with everything it waits for and everything it holds, and with the reason. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { SecretService } from '../../src/secret/index.js';
import { Variant } from '../../src/wire/index.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { MockService } from './support/mock-service.js';
import { failed, returned } from './support/scripted-bus.js';
import { end, error, next, settle, watching } from './support/watching.js';

watchEachTest();

describe('the end', () => {
  test('comes with close, leaving the loop, the client and the connection, for who waits too', async () => {
    for (const how of ['close', 'dispose', 'client', 'bus']) {
      const all = await watching();
      const { client, watch, service } = all;
      const waiting = watch.next();
      if (how === 'close') await watch.close();
      if (how === 'dispose') await watch[Symbol.asyncDispose]();
      if (how === 'client') await client.close();
      if (how === 'bus') await client.context.bus.close();
      expect(await waiting, how).toEqual({ done: true, value: undefined });
      expect(await watch.next()).toEqual({ done: true, value: undefined });
      await client.close();
      await settle();
      expect(how === 'bus' ? [] : service.bus.matchRules).toEqual([]);
    }
    const all = await watching();
    setTimeout(() => all.service.add({ a: 'b' }, 'x'), 1);
    for await (const change of all.watch) {
      expect(change.type).toBe('item-created');
      break;
    }
    await settle();
    expect(all.service.bus.matchRules).toEqual([]);
    await all.client.close();
  });

  test('is an error where the connection is lost', async () => {
    const service = new MockService();
    const { bus, hangUp } = await service.openBus();
    const client = await SecretService.connect({ bus, session: 'plain' });
    const watch = client.watch();
    await watch.ready;
    const waiting = watch.next();
    hangUp();
    await expect(waiting).rejects.toMatchObject({ code: 'closed', cause: { name: 'ClosedError' } });
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    await client.close();
  });

  test('is a CancelledError at the signal, which no longer is listened to', async () => {
    const service = new MockService();
    const client = await service.connect({ session: 'plain' });
    for (const when of ['before', 'listing', 'waiting']) {
      const controller = new AbortController();
      const { signal } = controller;
      if (when === 'before') controller.abort('enough');
      if (when === 'listing') service.override('GetAll', undefined);
      const watch = client.watch({ signal });
      if (when === 'waiting') await watch.ready;
      const waiting = watch.next();
      const outcome = expect(waiting, when).rejects.toMatchObject({
        name: 'CancelledError',
        cause: 'enough',
      });
      await settle();
      controller.abort('enough');
      await outcome;
      if (when !== 'waiting') await expect(watch.ready).rejects.toMatchObject({ name: 'CancelledError' });
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      await settle();
      expect(service.bus.matchRules).toEqual([]);
      service.overrides.clear();
    }
    await client.close();
  });

  test.each(['Get:Collections', 'GetAll', 'AddMatch', 'GetNameOwner'])(
    'comes at once for who closes while %s hangs, and nothing is left waiting',
    async (member) => {
      const service = new MockService();
      const client = await service.connect({ session: 'plain', timeoutMs: 5_000 });
      service.override(member, undefined);
      const watch = client.watch();
      const waiting = watch.next();
      const ready = expect(watch.ready).rejects.toEqual(error('closed'));
      await settle();
      const start = performance.now();
      if (member === 'AddMatch') void watch.close();
      else await watch.close();
      expect(await waiting).toEqual({ done: true, value: undefined });
      await ready;
      expect(performance.now() - start).toBeLessThan(200);
      await client.close();
      await client.context.bus.close();
    },
  );

  test('comes at once for who closes while it is compared what there is', async () => {
    const all = await watching();
    const { service, watch } = all;
    service.override('GetAll', undefined);
    service.restart();
    const waiting = watch.next();
    await settle();
    const start = performance.now();
    await watch.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(performance.now() - start).toBeLessThan(200);
    await end(all);
  });

  test('is final: what was still to be told is not told after it', async () => {
    const all = await watching();
    const { service, watch } = all;
    service.stop();
    for (let index = 0; index < 5; index++) service.add({ a: String(index) }, 'x');
    service.start();
    expect(await next(watch)).toContain('item-created');
    await watch.close();
    expect(await next(watch)).toBeUndefined();
    await end(all);
    const again = await watching();
    for (let index = 0; index < 5; index++) again.service.add({ a: String(index) }, 'x');
    expect(await next(again.watch)).toContain('item-created');
    await again.watch.return();
    expect(await next(again.watch)).toBeUndefined();
    await end(again);
  });

  test('is an error at the deadline of the listing, and for a service that answers wrongly', async () => {
    for (const [member, reply, expected] of [
      ['Get:Collections', undefined, { name: 'DeadlineError', timeoutMs: 30 }],
      ['GetAll', undefined, { name: 'DeadlineError', timeoutMs: 30 }],
      ['AddMatch', undefined, { name: 'DeadlineError', timeoutMs: 30 }],
      ['AddMatch', failed('org.freedesktop.DBus.Error.LimitsExceeded'), { code: 'failed' }],
      ['Get:Collections', returned('s', ''), { code: 'bad-reply' }],
      ['GetAll', returned('a{sv}', new Map([['Label', new Variant('u', 1)]])), { code: 'bad-reply' }],
    ] as const) {
      const service = new MockService();
      const client = await service.connect({ session: 'plain' });
      service.override(member, reply);
      const watch = client.watch({ timeoutMs: 30 });
      const waiting = watch.next();
      const outcome = expect(waiting, member).rejects.toMatchObject(expected);
      await expect(watch.ready).rejects.toMatchObject(expected);
      await outcome;
      service.overrides.clear();
      await client.close();
      await client.context.bus.close();
    }
  });

  test('of many watches leaves nothing, and warns of nothing', async () => {
    const warnings: unknown[] = [];
    const warn = (warning: unknown): void => void warnings.push(warning);
    process.on('warning', warn);
    const service = new MockService();
    const client = await service.connect({ session: 'plain' });
    const { signal } = new AbortController();
    const watches = Array.from({ length: 30 }, () => client.watch({ signal }));
    await Promise.all(watches.map(({ ready }) => ready));
    expect(service.bus.matchRules.length).toBeLessThanOrEqual(4);
    await Promise.all(watches.map((watch) => watch.close()));
    await settle();
    expect(service.bus.matchRules).toEqual([]);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    process.off('warning', warn);
    expect(warnings).toEqual([]);
    await client.close();
  });

  test('is where the client is closed already', async () => {
    const service = new MockService();
    const client = await service.connect({ session: 'plain' });
    await client.close();
    expect(() => client.watch()).toThrow(error('closed'));
    const other = await service.connect({ session: 'plain' });
    expect(() => other.watch({ signal: {} as AbortSignal })).toThrow(error('bad-argument'));
    expect(() => other.watch({ timeoutMs: 0 })).toThrow(error('bad-argument'));
    expect(service.bus.matchRules).toEqual([]);
    await other.close();
  });
});
