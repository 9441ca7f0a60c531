/** The lock within one process: turns, giving up, keeping for a moment, options. */
import { describe, expect, test } from 'vitest';
import { parseLockOptions } from '../../../src/stash/lock/lock-options.js';
import type { StoreLock } from '../../../src/stash/lock/store-lock.js';
import { codeOf, failure } from '../support.js';
import { holding, modes, options, Place, sleep } from './support.js';

describe.each(modes)('%s', (mode) => {
  test('tasks of all handles run one at a time, in the order they were asked for', async () => {
    using place = new Place(mode);
    const handles = [place.open(), place.open(), place.open()];
    const order: number[] = [];
    let inside = 0;
    // So that the first ones find the lock held.
    await handles[0]?.run(async () => undefined, options);
    const results = await Promise.allSettled(
      Array.from({ length: 300 }, (_, index) =>
        (handles[index % 3] as StoreLock).run(async () => {
          expect(++inside).toBe(1);
          order.push(index);
          if (index % 7 === 0) await sleep(0);
          inside--;
          if (index % 50 === 0) throw new Error('fails');
          return index;
        }, options),
      ),
    );
    expect(order).toEqual(Array.from({ length: 300 }, (_, index) => index));
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(6);
    expect(results[1]).toEqual({ status: 'fulfilled', value: 1 });
  });

  test('who waits is refused when the time is up or the signal fires, and the others get in', async () => {
    using place = new Place(mode);
    const [lock, other] = [place.open(), place.open()];
    const end = await holding(lock);
    const controller = new AbortController();
    const outcomes = [
      failure(() => other.run(async () => 1, { timeoutMs: 30 })),
      codeOf(() => other.run(async () => 2, { ...options, signal: controller.signal })),
      codeOf(() => lock.run(async () => 3, options)),
      codeOf(() => other.run(async () => 4, { ...options, signal: AbortSignal.abort() })),
    ];
    expect(await outcomes[0]).toMatchObject({ code: 'locked', path: place.path, operation: 'lock' });
    controller.abort();
    expect(await outcomes[1]).toBe('cancelled');
    expect(await outcomes[3]).toBe('cancelled');
    expect(await other.tryRun(async () => 5)).toBeUndefined();
    await end();
    expect(await outcomes[2]).toBe(3);
    expect(await other.tryRun(async () => 6)).toEqual({ result: 6 });
  });

  test('a signal that fires within the task is the task’s affair, and its error goes to the caller', async () => {
    using place = new Place(mode);
    const lock = place.open();
    const controller = new AbortController();
    const { signal } = controller;
    expect(await lock.run(async () => controller.abort(), { ...options, signal })).toBeUndefined();
    const cause = new Error('mine');
    const fails = (): Promise<never> => Promise.reject(cause);
    await expect(lock.run(fails, options)).rejects.toBe(cause);
    await expect(lock.tryRun(fails)).rejects.toBe(cause);
    expect(await lock.tryRun(async () => 'in')).toEqual({ result: 'in' });
  });

  test('an attempt that meets another holder lets those behind it wait on', async () => {
    using place = new Place(mode);
    const elsewhere = place.openApart();
    const lock = place.open();
    const end = await holding(elsewhere);
    const attempt = lock.tryRun(async () => 'attempt');
    const waiting = lock.run(async () => 'waiting', options);
    expect(await attempt).toBeUndefined();
    await end();
    expect(await waiting).toBe('waiting');
  });

  test('a lock kept unused is given up: when another waits, when unused for long, when closed', async () => {
    using place = new Place(mode);
    const elsewhere = place.openApart();
    const lock = place.open();
    const idleMs = mode === 'socket' ? 10 : 50;
    await lock.run(async () => undefined, options);
    const start = performance.now();
    await elsewhere.run(async () => undefined, options);
    expect(performance.now() - start).toBeLessThan(1000);
    await lock.run(async () => undefined, options);
    await sleep(idleMs * 10);
    expect(await elsewhere.tryRun(async () => 1)).toEqual({ result: 1 });
    await sleep(idleMs * 10);
    const closing = place.open();
    await closing.run(async () => undefined, options);
    closing.close();
    lock.close();
    closing.close();
    await expect.poll(() => elsewhere.tryRun(async () => 2)).toEqual({ result: 2 });
  });

  test('a handle that is closed while tasks wait lets them run', async () => {
    using place = new Place(mode);
    const elsewhere = place.openApart();
    const lock = place.open();
    const end = await holding(lock);
    const waiting = lock.run(async () => 'in', options);
    lock.close();
    await end();
    expect(await waiting).toBe('in');
    expect(await elsewhere.run(async () => 'in', options)).toBe('in');
  });
});

describe('options', () => {
  test('have defaults, and are checked', async () => {
    expect(parseLockOptions({})).toEqual({ lock: 'auto', lockTimeoutMs: 30_000 });
    expect(parseLockOptions({ lock: 'flock', lockTimeoutMs: 1 })).toEqual({
      lock: 'flock',
      lockTimeoutMs: 1,
    });
    const bad: unknown[] = [
      ...['', 'none', null, 1].map((lock) => ({ lock })),
      ...[0, -1, 1.5, Number.NaN, 2 ** 31, '1', null, 1n].map((lockTimeoutMs) => ({ lockTimeoutMs })),
    ];
    for (const each of bad) expect(await codeOf(() => parseLockOptions(each as object))).toBe('bad-option');
  });
});
