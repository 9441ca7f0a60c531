/** Several handles and processes on one store: nothing is lost, and each sees what the others have done. */
import {
  appendFileSync,
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Stash } from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, digest, hookedEnvironment, listNodes, type Peer, Place, sleep } from './support.js';

const one = utf8('1');
const two = utf8('2');

describe('handles of one process', () => {
  test('see what the others write with their next operation, and lose nothing', async () => {
    await using place = new Place();
    const handles: Stash[] = [];
    while (handles.length < 20) handles.push(await place.open());
    const [first, ...others] = handles as [Stash, ...Stash[]];
    await first.write(['a'], one);
    for (const other of others) expect(await other.read(['a'])).toEqual(one);
    for (const [index, handle] of handles.entries()) {
      await handle.write(['turn'], utf8(`${index}`));
      expect(await (handles[(index + 7) % 20] as Stash).read(['turn'])).toEqual(utf8(`${index}`));
    }
    await Promise.all(
      handles.flatMap((handle, owner) =>
        Array.from({ length: 20 }, (_none, index) => handle.write([`${owner}`, `${index}`], one)),
      ),
    );
    const nodes = await listNodes(first);
    expect(nodes).toHaveLength(2 + 20 * 21);
    for (const other of others) expect(await listNodes(other)).toEqual(nodes);
  });

  test('a decision that a batch makes holds, whoever else changes the same', async () => {
    await using place = new Place();
    const handles = [await place.open(), await place.open(), await place.open()];
    await (handles[0] as Stash).write(['pot'], one);
    // Whoever removes it first has it.
    for (let round = 0; round < 20; round++) {
      const taken = await Promise.all(handles.map((handle) => codeOf(() => handle.remove(['pot']))));
      expect(taken.filter((each) => each instanceof Uint8Array)).toHaveLength(1);
      expect(taken.filter((each) => each === 'key-not-found')).toHaveLength(2);
      const made = await Promise.all(
        handles.map((handle) =>
          codeOf(() =>
            handle.batch([
              { type: 'make', key: [`${round}`], empty: true },
              { type: 'write', key: [`${round}`, 'x'], value: one },
            ]),
          ),
        ),
      );
      expect(made.filter((each) => each === 'has-children')).toHaveLength(2);
      await (handles[round % 3] as Stash).write(['pot'], one);
    }
  });

  test('through a symbolic link, and by another path', async () => {
    await using place = new Place();
    const stash = await place.open();
    const link = `${place.path} link`;
    symlinkSync(place.path, link);
    const linked = await place.open({}, link);
    await Promise.all([stash.write(['a'], one), linked.write(['b'], two)]);
    await linked.compact();
    await stash.rekey();
    await linked.write(['c'], one);
    expect(new Set(await stash.children([]))).toEqual(new Set(['a', 'b', 'c']));
    const { lstatSync } = await import('node:fs');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
  });

  test('opened and made by many at once: one store, one winner', async () => {
    await using place = new Place();
    const handles = await Promise.all(Array.from({ length: 10 }, () => place.open()));
    await Promise.all(handles.map((handle, index) => handle.write([`${index}`], one)));
    const ids = await Promise.all(handles.map(async (handle) => (await handle.anchor()).storeId));
    expect(new Set(ids).size).toBe(1);
    for (const handle of handles) expect(await handle.children([])).toHaveLength(10);
    expect(place.names()).toEqual(['a.stash']);
  });
});

describe('processes', () => {
  test.each([2, 10])('%i, each with 200 writes: all are there', async (count) => {
    await using place = new Place();
    const reader = await place.open({ readOnly: false });
    const peers = await Promise.all(
      Array.from({ length: count }, () => place.peer({ lockTimeoutMs: 100_000 })),
    );
    await Promise.all(peers.map((peer, index) => peer.call('count', `${index}`, 200)));
    for (let index = 0; index < count; index++) {
      for (let value = 151; value <= 200; value++) {
        expect(await reader.read([`${index}`, `${value % 50}`])).toEqual(utf8(`${value}`));
      }
    }
    const { sequence } = await reader.anchor();
    expect(sequence).toBe(200 * count);
    expect(await listNodes(await place.open())).toEqual(await listNodes(reader));
    await reader.verify();
  });

  test('one compacts, one rekeys, one changes the password, while others write and read', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.addSlot({ password: 'p' });
    await stash.write(['w0', '1'], one);
    const writers = await Promise.all([0, 1].map(() => place.peer({ lockTimeoutMs: 100_000 })));
    const reader = await place.peer();
    const compactor = await place.peer({ lockTimeoutMs: 100_000 });
    const work = { isDone: false };
    const keeping = (async () => {
      for (let round = 0; !work.isDone; round++) {
        await compactor.call(
          round % 3 === 2 ? 'rekey' : 'compact',
          round % 3 === 2 ? { keep: [{ password: 'p' }] } : {},
        );
        await sleep(10);
      }
    })();
    // A later value of a key is never followed by an earlier one.
    const keys = Array.from({ length: 50 }, (_none, index) => ['w0', `${index}`]);
    const following = reader.call('follow', keys, 40);
    await Promise.all(writers.map((writer, index) => writer.call('count', `w${index}`, 200)));
    work.isDone = true;
    await keeping;
    const followed = await following;
    expect(followed).toHaveLength(50);
    for (const name of ['w0', 'w1']) {
      for (let value = 151; value <= 200; value++) {
        expect(await stash.read([name, `${value % 50}`])).toEqual(utf8(`${value}`));
      }
    }
    expect(await (await place.open({ password: 'p' })).children([])).toEqual(await stash.children([]));
    expect(place.names()).toEqual(['a.stash']);
  });

  test('a reader sees each write of another process with its next read', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const readers = [await place.peer({ readOnly: true }), await place.peer()];
    for (let value = 0; value < 100; value++) {
      if (value % 25 === 24) await stash.compact();
      const bytes = value % 10 === 9 ? bytesOf(40_000, value) : utf8(`${value}`);
      await stash.write(['a'], bytes);
      for (const reader of readers) {
        expect(await reader.call('read', ['a'])).toEqual({ hex: Buffer.from(bytes).toString('hex') });
      }
    }
  });

  test('a writer that is killed holds nobody up', async () => {
    await using place = new Place();
    const stash = await place.open();
    const peer: Peer = await place.peer();
    await peer.call('hold', 100_000);
    const waiting = stash.write(['a'], one);
    await sleep(50);
    peer.child.kill('SIGKILL');
    await waiting;
    expect(await stash.children([])).toEqual(['a']);
  });

  test('another that holds the lock for too long is an error, and one that reads is not held up', async () => {
    await using place = new Place();
    const stash = await place.open({ lockTimeoutMs: 100 });
    await stash.write(['a'], one);
    const peer = await place.peer();
    await peer.call('hold', 600);
    const begun = performance.now();
    const calls = [
      () => stash.write(['b'], one),
      () => stash.compact(),
      () => stash.rekey(),
      () => stash.addSlot({ password: 'p' }),
    ];
    for (const call of calls) {
      expect(await failure(call)).toMatchObject({ name: 'StashIOError', code: 'locked', path: place.path });
      expect(await stash.read(['a'])).toEqual(one);
    }
    expect(performance.now() - begun).toBeGreaterThan(390);
    expect(await (await place.open({ readOnly: true })).read(['a'])).toEqual(one);
    expect(await (await place.open()).read(['a'])).toEqual(one);
    await sleep(300);
    await stash.write(['c'], one);
    expect(await stash.children([])).toEqual(['a', 'c']);
  });
});

async function written(place: Place): Promise<Stash> {
  const stash = await place.open();
  await stash.write(['a'], one);
  await stash.write(['big'], bytesOf(100_000));
  return stash;
}

/** What the kinds of operations come to. */
async function codes(stash: Stash): Promise<unknown[]> {
  return await Promise.all(
    [
      () => stash.read(['a']),
      () => stash.has(['a']),
      () => stash.children([]),
      () => stash.nodes([]).next(),
      () => stash.write(['x'], one),
      () => stash.remove(['a']),
      () => stash.slots(),
      () => stash.anchor(),
      () => stash.verify(),
      () => stash.compact(),
    ].map((call) => codeOf(async () => await call())),
  );
}

describe('a file that is', () => {
  test('gone: not found, not made anew; and right again when it is back', async () => {
    await using place = new Place();
    const stash = await written(place);
    const away = `${place.path} away`;
    renameSync(place.path, away);
    expect(new Set(await codes(stash))).toEqual(new Set(['not-found']));
    expect(place.names()).toEqual(['a.stash away']);
    renameSync(away, place.path);
    expect(await stash.read(['a'])).toEqual(one);
    await stash.write(['b'], one);
    expect(await stash.children([])).toEqual(['a', 'big', 'b']);
  });

  test('replaced by something else: typed, left alone; and right again when it is back', async () => {
    await using place = new Place();
    const stash = await written(place);
    const away = `${place.path} away`;
    const elsewhere = join(place.folder, 'other');
    const other = await place.open({}, elsewhere);
    await other.write(['a'], two);
    await other.close();
    // One that says that it begins behind all that this one has.
    const later = join(place.folder, 'later');
    const longer = await place.open({}, later);
    for (let round = 0; round < 10; round++) await longer.write(['a'], two);
    await longer.compact();
    await longer.close();
    const good = readFileSync(place.path);
    const cases: [string, Uint8Array][] = [
      ['not-a-stash', new Uint8Array()],
      ['not-a-stash', utf8('garbage')],
      ['not-a-stash', new Uint8Array(20_000)],
      ['damaged-header', good.subarray(0, 100)],
      ['rolled-back', good.subarray(0, 8192)],
      ['rolled-back', readFileSync(elsewhere)],
      ['rolled-back', readFileSync(later)],
    ];
    for (const [code, bytes] of cases) {
      renameSync(place.path, away);
      writeFileSync(place.path, bytes);
      const seen = new Set(await codes(stash));
      expect([bytes.length, [...seen]]).toEqual([
        bytes.length,
        [code === 'rolled-back' && bytes.length === 8192 ? 'lost-frames' : code],
      ]);
      expect(readFileSync(place.path).equals(bytes)).toBe(true);
      renameSync(away, place.path);
      expect(await stash.read(['a'])).toEqual(one);
    }
    await stash.write(['b'], one);
    expect(place.names()).toEqual(['a.stash', 'later', 'other']);
  });

  test('replaced by an older copy: rolled back; by an equal copy: as before', async () => {
    await using place = new Place();
    const stash = await written(place);
    const old = `${place.path} old`;
    copyFileSync(place.path, old);
    await stash.write(['b'], one);
    const now = `${place.path} now`;
    copyFileSync(place.path, now);
    renameSync(old, place.path);
    expect(new Set(await codes(stash))).toEqual(new Set(['rolled-back']));
    copyFileSync(now, old);
    renameSync(now, place.path);
    expect(await stash.read(['b'])).toEqual(one);
    await stash.write(['c'], one);
    // As long as this one, but another.
    const fork = await place.open({}, old);
    await fork.write(['d'], one);
    await fork.close();
    renameSync(old, place.path);
    expect(new Set(await codes(stash))).toEqual(new Set(['rolled-back']));
  });

  test('moved away from under a write, without the lock: the write is made in the file that is there', async () => {
    await using place = new Place();
    let moves = 0;
    const environment = hookedEnvironment((call) => {
      if (call !== 'append' || moves++ > 2) return;
      copyFileSync(place.path, `${place.path} copy`);
      renameSync(`${place.path} copy`, place.path);
    });
    const stash = await place.openOn(environment);
    const removed = await Promise.all([
      stash.write(['a'], one),
      stash.batch([
        { type: 'write', key: ['b'], value: bytesOf(40_000) },
        { type: 'remove', key: ['a'] },
      ]),
      stash.write(['c'], two),
    ]);
    expect(moves).toBeGreaterThan(3);
    expect(removed[1]).toEqual([undefined, one]);
    for (const handle of [stash, await place.open()]) {
      expect(await listNodes(handle)).toEqual([
        [['b'], digest(bytesOf(40_000))],
        [['c'], digest(two)],
      ]);
      await handle.verify();
    }
  });

  test('written over in its place by an older or a shorter copy: typed, and right again when it is back', async () => {
    await using place = new Place();
    const stash = await written(place);
    const old = readFileSync(place.path);
    await stash.write(['b'], one);
    const now = readFileSync(place.path);
    const expected = await listNodes(stash);
    writeFileSync(place.path, old);
    for (const code of await codes(stash)) expect(['lost-frames', 'rolled-back']).toContain(code);
    writeFileSync(place.path, now);
    expect(await listNodes(stash)).toEqual(expected);
    truncateSync(place.path, now.length - 1);
    for (const code of await codes(stash)) expect(['lost-frames', 'rolled-back']).toContain(code);
    writeFileSync(place.path, now);
    expect(await listNodes(stash)).toEqual(expected);
  });

  test('longer by bytes that are no frame: they count for nothing, and the next write takes them away', async () => {
    await using place = new Place();
    const stash = await written(place);
    const reader = await place.open({ readOnly: true });
    const before = readFileSync(place.path);
    const tail = bytesOf(500, 9);
    appendFileSync(place.path, tail);
    for (const handle of [stash, reader]) expect(await handle.children([])).toEqual(['a', 'big']);
    expect(await stash.verify()).toMatchObject({ recovered: { offset: before.length, byteLength: 500 } });
    const late = await place.open({ readOnly: true });
    expect(late.recovered).toEqual({ offset: before.length, byteLength: 500 });
    expect(readFileSync(place.path)).toHaveLength(before.length + 500);
    await stash.write(['b'], one);
    for (const handle of [stash, reader, late]) expect(await handle.children([])).toEqual(['a', 'big', 'b']);
    expect(readFileSync(place.path).includes(Buffer.from(tail))).toBe(false);
    appendFileSync(place.path, tail);
    const opened = await place.open();
    expect(opened.recovered).toMatchObject({ byteLength: 500 });
    expect(readFileSync(place.path).includes(Buffer.from(tail))).toBe(false);
    expect((await place.open()).recovered).toBeUndefined();
  });

  test('removed and made anew by others: another store', async () => {
    await using place = new Place();
    const stash = await written(place);
    rmSync(place.path);
    const fresh = await place.open();
    expect(new Set(await codes(stash))).toEqual(new Set(['rolled-back']));
    await fresh.write(['z'], one);
    expect(await fresh.children([])).toEqual(['z']);
  });
});

describe('readers', () => {
  test('read a large value on to its end, across compactions', async () => {
    await using place = new Place();
    const stash = await place.open();
    const value = bytesOf(20_000_000);
    await stash.write(['big'], value);
    await stash.write(['waste'], bytesOf(1_000_000));
    const reader = await place.open({ readOnly: true });
    const slow = reader.read(['big']);
    const compacting = stash.compact();
    const again = reader.read(['big']);
    const overwritten = compacting.then(() => stash.write(['big'], one));
    expect(digest(await slow)).toBe(digest(value));
    expect(digest(await again)).toBe(digest(value));
    await overwritten;
    await stash.compact();
    expect(await reader.read(['big'])).toEqual(one);
  });

  test('go through entries while others compact, rekey and write: each is whole', async () => {
    await using place = new Place();
    const stash = await place.open();
    const expected = new Map<string, string>();
    for (let index = 0; index < 30; index++) {
      const value = bytesOf(index % 3 === 0 ? 50_000 : 20, index);
      expected.set(`${index}`, digest(value));
      await stash.write([`${index}`], value);
    }
    const reader = await place.open({ readOnly: true });
    const found = new Map<string, string>();
    let round = 0;
    for await (const { key, value } of reader.entries()) {
      found.set(key.join(), digest(value));
      if (++round % 7 === 0) await stash.compact();
      if (round % 11 === 0) await stash.rekey();
      if (round === 5) await stash.remove(['27']);
      if (round === 6) await stash.write(['28'], utf8('later'));
    }
    // Small values are those of the beginning, large ones those of their turn.
    expected.delete('27');
    expect(found).toEqual(expected);
  });
});
