/** Watching: what other handles and processes change is told, and how it ends. */
import { copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Stash, StashChange } from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, Place, sleep } from './support.js';

const one = utf8('1');
const two = utf8('2');

/** The keys of the next change. */
async function keysOf(changes: AsyncIterator<StashChange>): Promise<string[] | undefined> {
  const { value, done } = await changes.next();
  if (done === true) return ['the end'];
  return value.keys?.map((key) => key.join('/'));
}

/** Collects changes until a key shows. */
async function until(changes: AsyncIterator<StashChange>, last: string): Promise<string[]> {
  const seen: string[] = [];
  while (!seen.includes(last)) seen.push(...((await keysOf(changes)) ?? ['too many']));
  return seen;
}

describe('what is told', () => {
  test('changes of other handles, with the keys of batches and what was removed', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    const changes = stash.watch();
    await other.write(['a'], one);
    expect(await keysOf(changes)).toEqual(['a']);
    await other.batch([
      { type: 'write', key: ['b', 'c'], value: one },
      { type: 'make', key: ['d'] },
      { type: 'write', key: ['big'], value: bytesOf(50_000) },
      { type: 'remove', key: ['a'] },
    ]);
    expect(await keysOf(changes)).toEqual(['b/c', 'd', 'big', 'a']);
    await other.remove(['b']);
    expect(await keysOf(changes)).toEqual(['b']);
    await other.remove([]);
    expect(await keysOf(changes)).toEqual(['']);
    // Several at once, and each handle that watches gets them.
    const more = [stash.watch(), stash.watch()];
    await Promise.all(['x', 'y', 'z'].map((name) => other.write([name], one)));
    for (const each of [changes, ...more]) expect(await until(each, 'z')).toEqual(['x', 'y', 'z']);
  });

  test('changes of another process, soon', async () => {
    await using place = new Place();
    const stash = await place.open();
    const peer = await place.peer();
    const changes = stash.watch();
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      const begun = performance.now();
      await peer.call('write', [`${round}`], one);
      expect(await keysOf(changes)).toEqual([`${round}`]);
      times.push(performance.now() - begun);
    }
    // Not only when it looks by itself, each second.
    expect(Math.min(...times)).toBeLessThan(500);
    await peer.call('watch');
    const told = peer.call('watched');
    await stash.write(['mine'], one);
    expect(await told).toEqual({ keys: [['mine']] });
  });

  test('not what the handle itself changes', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    const changes = stash.watch();
    await stash.write(['own'], one);
    await stash.write(['own large'], bytesOf(50_000));
    await stash.remove(['own']);
    await stash.addSlot({ password: 'p' });
    await stash.compact();
    await stash.rekey({ keep: [{ password: 'p' }] });
    await other.write(['theirs'], one);
    expect(await keysOf(changes)).toEqual(['theirs']);
  });

  test('not compaction and rekeying, by whomever; what was changed besides is told', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    await stash.batch([
      { type: 'write', key: ['small'], value: one },
      { type: 'write', key: ['small', 'below'], value: one },
      { type: 'write', key: ['big'], value: bytesOf(200_000) },
      { type: 'write', key: ['bigger'], value: bytesOf(300_000) },
      { type: 'write', key: ['to be large'], value: one },
      { type: 'write', key: ['to be small'], value: bytesOf(40_000) },
      { type: 'write', key: ['gone', 'x'], value: one },
      { type: 'make', key: ['empty'] },
      { type: 'make', key: ['filled'] },
    ]);
    const changes = stash.watch();
    await other.children([]);
    await other.compact();
    await stash.children([]);
    await other.rekey();
    await stash.children([]);
    await other.write(['told'], one);
    expect(await keysOf(changes)).toEqual(['told']);
    // Seen only after it was compacted.
    const { hold } = { hold: await place.peer() };
    await hold.call('batch', [
      { type: 'write', key: ['small', 'below'], value: two },
      { type: 'write', key: ['bigger'], value: bytesOf(300_000, 2) },
      { type: 'write', key: ['to be large'], value: bytesOf(40_000) },
      { type: 'write', key: ['to be small'], value: one },
      { type: 'write', key: ['filled'], value: one },
      { type: 'remove', key: ['gone'] },
      { type: 'write', key: ['new', 'y'], value: one },
      { type: 'make', key: ['new', 'z'] },
    ]);
    const seen = new Set(await until(changes, 'new/z'));
    expect(seen).toEqual(
      new Set(['small/below', 'bigger', 'to be large', 'to be small', 'filled', 'gone', 'new/y', 'new/z']),
    );
  });

  test('what was changed and compacted before anybody looked', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.batch([
      { type: 'write', key: ['same'], value: one },
      { type: 'write', key: ['big'], value: bytesOf(200_000) },
      { type: 'write', key: ['bigger'], value: bytesOf(300_000) },
      { type: 'write', key: ['small'], value: one },
      { type: 'write', key: ['gone', 'x', 'y'], value: one },
      { type: 'make', key: ['made'] },
    ]);
    // A copy that goes on, and comes back.
    const copy = `${place.path} copy`;
    copyFileSync(place.path, copy);
    const other = await place.open({}, copy);
    await other.batch([
      { type: 'write', key: ['small'], value: two },
      { type: 'write', key: ['bigger'], value: bytesOf(300_000, 2) },
      { type: 'remove', key: ['gone'] },
      { type: 'write', key: ['made', 'below'], value: one },
      { type: 'write', key: ['new'], value: bytesOf(40_000) },
    ]);
    await other.compact();
    await other.close();
    const changes = stash.watch();
    renameSync(copy, place.path);
    const seen = await keysOf(changes);
    expect(new Set(seen)).toEqual(new Set(['small', 'bigger', 'gone', 'made/below', 'new']));
    expect(seen).toHaveLength(5);
  });

  test('what happened while nobody asked comes together, and more than 10,000 keys as none', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    const changes = stash.watch();
    for (const name of ['a', 'b', 'c']) {
      await other.write([name], one);
      await stash.children([]);
    }
    expect(await keysOf(changes)).toEqual(['a', 'b', 'c']);
    const many = (count: number): Promise<unknown> =>
      other.batch(
        Array.from({ length: count }, (_none, index) => ({ type: 'make' as const, key: [`${index}`] })),
      );
    await many(10_000);
    await stash.children([]);
    expect(await keysOf(changes)).toHaveLength(10_000);
    await many(9_999);
    await stash.children([]);
    await other.write(['one more'], one);
    await stash.children([]);
    await other.write(['and another'], one);
    await stash.children([]);
    expect((await changes.next()).value).toEqual({ keys: undefined });
    await other.write(['after'], one);
    expect(await keysOf(changes)).toEqual(['after']);
    const waiting = changes.next();
    await many(10_001);
    expect(await waiting).toEqual({ done: false, value: { keys: undefined } });
  });

  test('through a symbolic link, as soon', async () => {
    await using place = new Place();
    mkdirSync(join(place.folder, 'elsewhere'));
    const link = join(place.folder, 'elsewhere', 'link');
    const stash = await place.open();
    symlinkSync(place.path, link);
    const linked = await place.open({}, link);
    const changes = linked.watch();
    await sleep(20);
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      const begun = performance.now();
      await stash.write([`${round}`], one);
      expect(await keysOf(changes)).toEqual([`${round}`]);
      times.push(performance.now() - begun);
    }
    expect(times.filter((each) => each < 500).length).toBeGreaterThan(1);
  });
});

/** How many watchers and timers this process has. */
async function resources(): Promise<number> {
  // Watchers are closed in the next turn of the event loop.
  await sleep(10);
  return process.getActiveResourcesInfo().filter((name) => /FSEvent|Timeout/.test(name)).length;
}

describe('how it ends', () => {
  test('by return, by a loop that is left, by close', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    const returned = stash.watch();
    const waiting = returned.next();
    expect(await returned.return?.()).toEqual({ done: true, value: undefined });
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await returned.next()).toEqual({ done: true, value: undefined });
    void other.write(['a'], one);
    for await (const change of stash.watch()) {
      expect(change).toEqual({ keys: [['a']] });
      break;
    }
    const closed = [stash.watch(), stash.watch()];
    const ends = closed.map((each) => each.next());
    await stash.close();
    for (const end of ends) expect(await end).toEqual({ done: true, value: undefined });
    for (const each of closed) expect(await each.next()).toEqual({ done: true, value: undefined });
    expect(await codeOf(async () => await stash.watch().next())).toBe('closed');
  });

  test('by close while the file changes: it ends, and never fails for that', async () => {
    for (let round = 0; round < 10; round++) {
      await using place = new Place();
      const stash = await place.open();
      const other = await place.open();
      const changes = stash.watch();
      const seen = (async () => {
        for await (const change of changes) expect(change.keys).toBeDefined();
      })();
      const writing = (async () => {
        for (let value = 0; value < 20; value++) await other.write(['a'], one);
      })();
      await sleep(round);
      const large = stash.write(['large'], bytesOf(2_000_000));
      await stash.close();
      await seen;
      await Promise.all([writing, large]);
    }
  });

  test('by a signal, before and later', async () => {
    await using place = new Place();
    const stash = await place.open();
    const reason = new Error('enough');
    const early = await failure(async () => await stash.watch({ signal: AbortSignal.abort(reason) }).next());
    expect(early).toMatchObject({ code: 'cancelled', cause: reason });
    const controller = new AbortController();
    const changes = stash.watch({ signal: controller.signal });
    const both = [changes.next(), changes.next()];
    controller.abort(reason);
    const [first, second] = await Promise.allSettled(both);
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'cancelled', cause: reason } });
    expect(second).toEqual({ status: 'fulfilled', value: { done: true, value: undefined } });
    expect(await changes.next()).toEqual({ done: true, value: undefined });
    await stash.write(['a'], one);
    expect(await codeOf(async () => await stash.watch({ signal: 5 as unknown as AbortSignal }).next())).toBe(
      'bad-option',
    );
  });

  test('by an error of the file, once what was seen before has been told', async () => {
    const errors: [string, (place: Place) => void][] = [
      ['not-found', ({ path }) => rmSync(path)],
      ['not-a-stash', ({ path, folder }) => renameSync(join(folder, 'garbage'), path)],
      ['rolled-back', ({ path, folder }) => renameSync(join(folder, 'old'), path)],
      ['not-found', ({ folder }) => rmSync(folder, { recursive: true })],
    ];
    for (const [code, harm] of errors) {
      await using place = new Place();
      const stash = await place.open();
      const other = await place.open();
      await stash.write(['a'], one);
      copyFileSync(place.path, join(place.folder, 'old'));
      writeFileSync(join(place.folder, 'garbage'), 'garbage');
      const changes = stash.watch();
      const waiting = stash.watch();
      await other.write(['b'], one);
      await stash.children([]);
      expect(await keysOf(waiting)).toEqual(['b']);
      const error = failure(async () => await waiting.next());
      harm(place);
      expect((await error).code).toBe(code);
      await sleep(30);
      expect(await keysOf(changes)).toEqual(['b']);
      expect((await failure(async () => await changes.next())).code).toBe(code);
      for (const each of [changes, waiting])
        expect(await each.next()).toEqual({ done: true, value: undefined });
    }
  });

  test('and leaves nothing behind', async () => {
    await using place = new Place();
    const stash = await place.open();
    const before = await resources();
    const changes = Array.from({ length: 5 }, () => stash.watch());
    const controller = new AbortController();
    changes.push(stash.watch({ signal: controller.signal }));
    const cancelled = codeOf(async () => await changes[5]?.next());
    expect(await resources()).toBe(before + 12);
    for (const each of changes.slice(0, 5)) await each.return?.();
    controller.abort();
    expect(await cancelled).toBe('cancelled');
    expect(await resources()).toBe(before);
    const aborted: AsyncIterator<StashChange> = stash.watch({ signal: AbortSignal.abort() });
    expect(await codeOf(() => aborted.next())).toBe('cancelled');
    expect(await resources()).toBe(before);
  });

  test('a handle that nobody watches any more goes on', async () => {
    await using place = new Place();
    const stash: Stash = await place.open();
    const other = await place.open();
    await stash.watch().return?.();
    await other.write(['a'], one);
    await other.compact();
    expect(await stash.children([])).toEqual(['a']);
  });
});
