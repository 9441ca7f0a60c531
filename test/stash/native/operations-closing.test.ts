/** Closing a handle: what was called before ends, nothing works afterwards, nothing is left open. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { codeOf, utf8 } from '../support.js';
import { bytesOf, digest, hookedEnvironment, listNodes, Place, sleep } from './support.js';

const one = utf8('1');
const hasDescriptors = process.platform === 'linux';

/** How many descriptors of this process are of files in a folder. */
function openIn(folder: string): number {
  return readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(folder);
    } catch {
      return false;
    }
  }).length;
}

describe('closing', () => {
  test('waits for what was called before, and ends what is called after', async () => {
    await using place = new Place();
    const stash = await place.open();
    const iterator = stash.entries();
    await stash.write(['a'], one);
    await iterator.next();
    const done: string[] = [];
    const calls = [
      stash.write(['b'], one).then(() => done.push('write')),
      stash.write(['large'], bytesOf(3_000_000)).then(() => done.push('large')),
      stash.compact().then(() => done.push('compact')),
      stash.read(['b']).then(() => done.push('read')),
      stash.write(['c'], one).then(() => done.push('last')),
    ];
    const closing = stash.close().then(() => done.push('close'));
    const later = [
      () => stash.read(['a']),
      () => stash.has(['a']),
      () => stash.children([]),
      () => stash.write(['d'], one),
      () => stash.remove(['a']),
      () => stash.batch([]),
      () => stash.nodes([]).next(),
      () => iterator.next(),
      () => stash.slots(),
      () => stash.addSlot({ password: 'p' }),
      () => stash.changePassword('p'),
      () => stash.removeSlot('00'),
      () => stash.rekey(),
      () => stash.compact(),
      () => stash.verify(),
      () => stash.salvage(`${place.path} saved`),
      () => stash.anchor(),
      () => stash.sync(),
      () => stash.watch().next(),
    ];
    for (const call of later) expect(await codeOf(async () => await call())).toBe('closed');
    await Promise.all([...calls, closing]);
    expect(done).toEqual(['write', 'large', 'compact', 'read', 'last', 'close']);
    for (const call of later) expect(await codeOf(async () => await call())).toBe('closed');
    await stash.close();
    await stash[Symbol.asyncDispose]();
    expect([stash.path, stash.readOnly]).toEqual([place.path, false]);
    expect(await (await place.open()).children([])).toEqual(['a', 'b', 'large', 'c']);
    expect(place.names()).toEqual(['a.stash']);
  });

  test('at the end of a block', async () => {
    await using place = new Place();
    let kept;
    {
      await using stash = await place.open();
      kept = stash;
      void stash.write(['a'], one);
    }
    const { children } = { children: () => kept.children([]) };
    expect(await codeOf(children)).toBe('closed');
    expect(await (await place.open()).children([])).toEqual(['a']);
  });

  test('makes what was written known to the header, once', async () => {
    await using place = new Place();
    const writes: string[] = [];
    const stash = await place.openOn(hookedEnvironment((call) => void writes.push(call)));
    await stash.write(['a'], one);
    await stash.write(['b'], one);
    writes.length = 0;
    await stash.close();
    expect(writes.filter((call) => call === 'write')).toHaveLength(2);
    const untouched = readFileSync(place.path);
    const reader = await place.open();
    await reader.read(['a']);
    await codeOf(() => reader.remove(['none']));
    await reader.close();
    expect(readFileSync(place.path).equals(untouched)).toBe(true);
    // A file cut behind the header's floor is no older state, but damaged.
    const { truncateSync } = await import('node:fs');
    truncateSync(place.path, untouched.length - 400);
    expect(await codeOf(() => place.open())).toBe('lost-frames');
  });

  test('does not wait for the lock', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const release = await place.holdLock();
    const begun = performance.now();
    await stash.close();
    expect(performance.now() - begun).toBeLessThan(1000);
    release();
    expect(await (await place.open()).children([])).toEqual(['a']);
  });

  test('after the file is gone, or a sync has failed, is no error', async () => {
    await using place = new Place();
    let fails = false;
    const environment = hookedEnvironment((call) => {
      if (fails && call === 'dataSync') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await place.openOn(environment);
    const other = await place.open();
    await other.write(['a'], one);
    await stash.write(['b'], one);
    fails = true;
    expect(await codeOf(() => stash.write(['c'], one))).toBe('not-durable');
    expect(await codeOf(() => stash.write(['d'], one))).toBe('poisoned');
    expect(await codeOf(() => stash.read(['a']))).toBe('poisoned');
    await stash.close();
    const { rmSync } = await import('node:fs');
    rmSync(place.path);
    await other.close();
  });

  test('without durability tells of changes that did not reach the disk', async () => {
    await using place = new Place();
    let fails = false;
    const environment = hookedEnvironment((call) => {
      if (fails && call === 'dataSync') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await place.openOn(environment, { durability: 'none' });
    await stash.write(['a'], one);
    fails = true;
    expect(await codeOf(() => stash.close())).toBe('not-durable');
    expect(await codeOf(() => stash.close())).toBe('not-durable');
    expect(await codeOf(() => stash.read(['a']))).toBe('closed');
    if (hasDescriptors) expect(openIn(place.folder)).toBe(0);
  });
});

describe('nothing is left', () => {
  test.runIf(hasDescriptors)('no descriptor, after every operation and every error', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    expect(openIn(place.folder)).toBe(2);
    await stash.batch([
      { type: 'write', key: ['a'], value: one },
      { type: 'write', key: ['big'], value: bytesOf(200_000) },
    ]);
    await stash.compact();
    await other.rekey();
    await stash.verify();
    await stash.addSlot({ password: 'p' });
    await stash.changePassword('q');
    await stash.salvage(`${place.path} saved`);
    expect(await codeOf(() => stash.salvage(`${place.path} saved`))).toBe('already-exists');
    expect(digest(await other.read(['big']))).toBe(digest(bytesOf(200_000)));
    const signal = AbortSignal.timeout(5);
    expect(
      await codeOf(() => stash.changePassword('r', { derivation: { name: 'scrypt', N: 2 ** 16 }, signal })),
    ).toBe('cancelled');
    const wrong: [object, string][] = [
      [{ key: new Uint8Array(32) }, 'wrong-key'],
      [{ password: 'wrong' }, 'wrong-password'],
      [{ atLeast: { storeId: '00'.repeat(16), epoch: 1, sequence: 1, tip: '00'.repeat(16) } }, 'rolled-back'],
      [{ signal: AbortSignal.abort() }, 'cancelled'],
    ];
    for (const [options, code] of wrong) expect(await codeOf(() => place.open(options))).toBe(code);
    expect(await listNodes(other)).toHaveLength(2);
    expect(openIn(place.folder)).toBe(2);
    await stash.close();
    await other.close();
    expect(openIn(place.folder)).toBe(0);
  });

  test('the process ends, at once, with no timer, watcher or lock left', async () => {
    await using place = new Place();
    const peer = await place.peer();
    const bytes = bytesOf(100_000);
    await peer.call('write', ['a'], bytes);
    await peer.call('compact');
    await peer.call('watch');
    expect(await peer.call('resources')).toContain('Timeout');
    await peer.call('close');
    expect(await peer.call('resources')).not.toContain('FSEventWrap');
    // The lock is let go of a moment later; nobody waits for that.
    await sleep(50);
    expect(await peer.call('resources')).toEqual([]);
    const begun = performance.now();
    expect(await peer.end()).toBe(0);
    expect(performance.now() - begun).toBeLessThan(1000);
    const stash = await place.open({ lockTimeoutMs: 1000 });
    await stash.write(['b'], one);
  });

  test('a process that does not close its handle ends all the same', async () => {
    await using place = new Place();
    const peer = await place.peer();
    await peer.call('write', ['a'], one);
    const begun = performance.now();
    expect(await peer.end()).toBe(0);
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});
