/** Locks between processes: real ones, that are killed, stopped, started by the dozen, and in other namespaces. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { describeWith } from '../../support/external.js';
import { codeOf } from '../support.js';
import { bundle, hasNamespaces, modes, type Peer, Place, sleep, start } from './support.js';

let locker = '';
beforeAll(async () => {
  locker = await bundle('locker');
});

function elapsed(since: number): number {
  return performance.now() - since;
}

describe.each(modes)('%s', (mode) => {
  test('ten processes, each with 200 critical sections: none overlaps another', async () => {
    using place = new Place(mode);
    const peers = Array.from({ length: 10 }, () => start(locker, place.job({ action: 'count', count: 200 })));
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(peers.map(() => 0));
    expect(peers.flatMap((peer) => peer.lines)).toEqual([]);
    expect(readFileSync(place.counter, 'utf8')).toBe('2000');
  });

  test.each(['cluster', 'threads'] as const)('workers of %s keep each other out', async (action) => {
    using place = new Place(mode);
    using peer = start(locker, place.job({ action, count: 100 }));
    expect(await peer.ended).toBe(0);
    expect(readFileSync(place.counter, 'utf8')).toBe('400');
  });

  test('the holder is killed while five wait: all get the lock, soon', async () => {
    using place = new Place(mode);
    using holder = start(locker, place.job({ action: 'hold' }));
    await holder.said(1);
    const waiting = Array.from({ length: 5 }, () => start(locker, place.job({ action: 'take' })));
    await sleep(700);
    expect(waiting.flatMap((peer) => peer.lines)).toEqual([]);
    const begun = performance.now();
    holder.child.kill('SIGKILL');
    for (const peer of waiting) expect(await peer.said(1)).toBe('in');
    expect(elapsed(begun)).toBeLessThan(1000);
    // Nothing that is kept for the next task keeps a process alive.
    for (const peer of waiting) expect(await peer.said(2)).toBe('out ');
    expect(await Promise.all(waiting.map((peer) => peer.ended))).toEqual([0, 0, 0, 0, 0]);
    expect(elapsed(begun)).toBeLessThan(2000);
  });

  test('a child of a holder that was killed does not hold the lock', async () => {
    using place = new Place(mode);
    using holder = start(locker, place.job({ action: 'parent' }));
    const pid = Number((await holder.said(1)).slice(3));
    try {
      holder.child.kill('SIGKILL');
      await place.open().run(async () => undefined, { timeoutMs: 2000 });
      // It still lives.
      expect(process.kill(pid, 0)).toBe(true);
    } finally {
      process.kill(pid, 'SIGKILL');
    }
  });

  test('a stopped holder: the wait ends when its time is up, and goes on well when the holder does', async () => {
    using place = new Place(mode);
    using holder = start(locker, place.job({ action: 'hold' }));
    await holder.said(1);
    holder.child.kill('SIGSTOP');
    const begun = performance.now();
    const lock = place.open();
    expect(await codeOf(() => lock.run(async () => 'in', { timeoutMs: 300 }))).toBe('locked');
    expect(elapsed(begun)).toBeGreaterThan(290);
    expect(elapsed(begun)).toBeLessThan(1000);
    expect(await lock.tryRun(async () => 'in')).toBeUndefined();
    using waiting = start(locker, place.job({ action: 'take', timeoutMs: 200 }));
    expect(await waiting.said(1)).toBe('locked');
    expect(await waiting.ended).toBe(0);
    const next = lock.run(async () => 'in', { timeoutMs: 5000 });
    holder.child.kill('SIGKILL');
    expect(await next).toBe('in');
  });

  test('a wait can be given up, and leaves nothing behind', async () => {
    using place = new Place(mode);
    using holder = start(locker, place.job({ action: 'hold' }));
    await holder.said(1);
    const lock = place.open();
    const reason = new Error('enough');
    for (const ms of [0, 1, 5, 20, 100]) {
      const controller = new AbortController();
      const waiting = lock.run(async () => 'in', { signal: controller.signal, timeoutMs: 5000 });
      const outcome = waiting.catch((error: unknown) => error);
      await sleep(ms);
      controller.abort(reason);
      expect(await outcome).toMatchObject({ code: 'cancelled', cause: reason });
    }
    holder.child.kill('SIGKILL');
    await lock.run(async () => undefined, { timeoutMs: 2000 });
    lock.close();
    using other = start(locker, place.job({ action: 'take', timeoutMs: 2000 }));
    expect(await other.said(1)).toBe('in');
  });

  test('busy processes all make progress', async () => {
    using place = new Place(mode);
    const peers = Array.from({ length: 3 }, () => start(locker, place.job({ action: 'busy', count: 3000 })));
    const times = await Promise.all(peers.map(async (peer) => Number(await peer.said(1))));
    const fairShare = times.reduce((sum, each) => sum + each, 0) / times.length;
    for (const each of times) expect(each).toBeGreaterThan(fairShare / 4);
  });
});

/** Whether processes of two network namespaces can both hold the lock. */
async function bothHold(mode: 'socket' | 'flock'): Promise<boolean> {
  using place = new Place(mode);
  using holder: Peer = start(locker, place.job({ action: 'hold' }), ['unshare', '-n']);
  await holder.said(1);
  const job = place.job({ action: 'take', timeoutMs: 500 });
  using same = start(locker, job);
  using other = start(locker, job, ['unshare', '-n']);
  const answers = [await same.said(1), await other.said(1)];
  expect(new Set(answers).size).toBe(1);
  return answers[0] === 'in';
}

describeWith('a network namespace (unshare -n, as root)', hasNamespaces)('containers', () => {
  test('sockets do not keep those of other network namespaces out', async () => {
    expect(await bothHold('socket')).toBe(true);
  });

  test('a lock on the file does', async () => {
    expect(await bothHold('flock')).toBe(false);
  });
});
