/** One plain test for each fault that the models have found, and for what only they would notice. */
import { expect, test } from 'vitest';
import { StashIOError } from '../../../../src/stash/errors.js';
import { codeOf, failure } from '../../support.js';
import { applied, Disk, type Hook } from './disk.js';
import { bytes, newKey, openOn, path } from './harness.js';
import { listing } from './track.js';

const credential = newKey();
const value = bytes(20);

/** The disk after a power failure that took everything that was not synced. */
function afterPowerFailure(disk: Disk): Disk {
  const after = new Disk();
  for (const [name, inode] of disk.durableNames) after.put(name, inode.durable);
  return after;
}

async function namesOn(disk: Disk): Promise<string[]> {
  const stash = await openOn(disk.process(), { ...credential, readOnly: true });
  return await stash.children([]);
}

async function filled(): Promise<Disk> {
  const disk = new Disk();
  const stash = await openOn(disk.process(), { ...credential, create: true });
  await stash.write(['old'], value);
  await stash.close();
  return disk;
}

/** Kills a process before the call of that name that is the `index`th of its kind, from 0. */
function killer(disk: Disk, name: string, index = 0): ReturnType<Disk['process']> {
  let count = 0;
  const victim = disk.process((call) => {
    if (call === name && count++ === index) victim.kill();
    return undefined;
  });
  return victim;
}

test('a store whose maker was killed before its name was on the disk keeps what others write', async () => {
  const disk = new Disk();
  const victim = killer(disk, 'syncFolder');
  await expect(openOn(victim, { ...credential, create: true })).rejects.toThrow();
  expect(disk.names.has(path)).toBe(true);
  const stash = await openOn(disk.process(), credential);
  await stash.write(['a'], value);
  expect(await namesOn(afterPowerFailure(disk))).toEqual(['a']);
});

test('a compacted file whose maker was killed before its name was on the disk keeps what others write', async () => {
  const disk = await filled();
  const other = await openOn(disk.process(), credential);
  await other.write(['b'], value);
  const victim = killer(disk, 'syncFolder', 1);
  const stash = await openOn(victim, credential);
  await expect(stash.compact()).rejects.toThrow();
  await other.write(['a'], value);
  expect(await namesOn(afterPowerFailure(disk))).toEqual(['old', 'b', 'a']);
});

test('what a killed process left unfinished is gone after the next change', async () => {
  const disk = await filled();
  const stash = await openOn(killer(disk, 'rename'), credential);
  await expect(stash.compact()).rejects.toThrow();
  expect(disk.names.size).toBe(2);
  disk.put('/.secretbus-another.tmp', value);
  const other = await openOn(disk.process(), credential);
  await other.write(['a'], value);
  expect([...disk.names.keys()].toSorted()).toEqual(['/.secretbus-another.tmp', path]);
});

test('a folder that fails to sync poisons, and what cannot be synced for want of rights does not', async () => {
  const disk = await filled();
  for (const [code, expected] of [
    ['EIO', 'not-durable'],
    ['EACCES', undefined],
  ] as const) {
    const stash = await openOn(
      disk.process((call) => (call === 'syncFolder' ? { code } : undefined)),
      credential,
    );
    expect(await codeOf(() => stash.write([code], value))).toBe(expected);
    expect(await codeOf(() => stash.has([code]))).toBe(expected === undefined ? true : 'poisoned');
  }
  expect(await namesOn(disk)).toEqual(['old', 'EACCES']);
});

test('the older header page is not written over before the newer one is on the disk', async () => {
  const disk = await filled();
  const key = newKey();
  // Before the sync of the first page: the one of the frames, which there are none of, came first.
  const victim = killer(disk, 'dataSync', 1);
  const stash = await openOn(victim, credential);
  await expect(stash.addSlot(key)).rejects.toThrow();
  expect(disk.find(path).pending).toHaveLength(1);
  let writes = 0;
  const torn: Disk[] = [];
  const other = await openOn(
    disk.process((call) => {
      // Half of every page that is not on the disk.
      if (call === 'dataSync' && writes++ > 0) {
        const after = new Disk();
        const inode = disk.find(path);
        const data = inode.data.slice();
        for (const change of inode.pending)
          if ('bytes' in change) data.fill(0, change.offset + 2048, change.offset + change.bytes.length);
        after.put(path, data);
        torn.push(after);
      }
      return undefined;
    }),
    credential,
  );
  await other.addSlot(newKey());
  expect(torn).toHaveLength(2);
  for (const each of torn) expect(await namesOn(each)).toEqual(['old']);
});

test('a key that was removed opens neither of the two header pages', async () => {
  const disk = await filled();
  const stash = await openOn(disk.process(), credential);
  const key = newKey();
  const id = await stash.addSlot(key);
  await stash.removeSlot(id);
  await stash.close();
  for (const place of [0, 4096]) {
    const after = new Disk();
    const data = disk.find(path).durable.slice();
    data.fill(0, place + 100, place + 200);
    after.put(path, data);
    expect(await namesOn(after)).toEqual(['old']);
    expect(await codeOf(() => openOn(after.process(), { ...key, readOnly: true }))).toBe('wrong-key');
  }
});

test('a second header page that cannot be written: nobody knows who can open the store', async () => {
  for (const faultAt of [0, 1]) {
    const disk = await filled();
    let writes = 0;
    const process = disk.process((call) =>
      call === 'write' && writes++ === faultAt ? { code: 'EIO' } : undefined,
    );
    const stash = await openOn(process, credential);
    const key = newKey();
    expect(await codeOf(() => stash.addSlot(key))).toBe(faultAt === 0 ? 'io-failed' : 'not-durable');
    expect(await codeOf(() => stash.has(['old']))).toBe(faultAt === 0 ? true : 'poisoned');
    if (faultAt === 0)
      expect(await codeOf(() => openOn(disk.process(), { ...key, readOnly: true }))).toBe('wrong-key');
  }
});

test('what failed to sync is taken back, so that no other handle builds on it', async () => {
  const disk = await filled();
  let fails = false;
  const stash = await openOn(
    disk.process((call) => (call === 'dataSync' && fails ? { code: 'EIO' } : undefined)),
    credential,
  );
  const other = await openOn(disk.process(), credential);
  await stash.write(['a'], value);
  fails = true;
  const { syncs } = disk;
  expect(await codeOf(() => stash.write(['lost'], value))).toBe('not-durable');
  expect(await codeOf(() => stash.write(['b'], value))).toBe('poisoned');
  await stash.close();
  // Tried once, and never again.
  expect(disk.syncs - syncs).toBe(1);
  await other.write(['b'], value);
  await other.close();
  expect(await namesOn(afterPowerFailure(disk))).toEqual(['old', 'a', 'b']);
});

test('errors of closing, and of looking at the file, are typed or nobody’s concern', async () => {
  const disk = await filled();
  for (const name of ['close', 'fstat', 'openLog', 'statNow', 'read']) {
    let fails = false;
    const hook: Hook = (call) => (call === name && fails ? { code: 'EIO' } : undefined);
    const stash = await openOn(disk.process(hook), { ...credential, autoCompact: false });
    fails = true;
    const id = await codeOf(() => stash.addSlot(newKey()));
    expect(id).toMatch(name === 'close' ? /^[0-9a-f]{32}$/ : /^io-failed$/);
    fails = false;
    await stash.close();
    fails = true;
    const opened = codeOf(async () => {
      const again = await openOn(disk.process(hook), { ...credential, readOnly: true });
      return await listing(again);
    });
    expect(await opened).toMatch(name === 'close' || name === 'statNow' ? /old|io-failed/ : /^io-failed$/);
  }
});

test('a damaged file whose closing fails too is still said to be damaged', async () => {
  const disk = new Disk();
  disk.put(path, new Uint8Array(9000));
  const error = await failure(() =>
    openOn(
      disk.process((call) => (call === 'close' ? { code: 'EIO' } : undefined)),
      credential,
    ),
  );
  expect(error).not.toBeInstanceOf(StashIOError);
  expect(error.code).toBe('not-a-stash');
});

test('more changes without a sync than a frame can count: it is waited for in time, and a crash is no damage', async () => {
  const disk = await filled();
  const stash = await openOn(disk.process(), {
    ...credential,
    durability: 'none',
    padding: false,
    autoCompact: false,
  });
  const { syncs } = disk;
  const count = 66_000;
  await Promise.all(
    Array.from({ length: count }, (_, index) => stash.write(['n'], Uint8Array.of(index % 256))),
  );
  expect(disk.syncs - syncs).toBeGreaterThan(0);
  expect(disk.syncs - syncs).toBeLessThan(4);
  const { pending, durable } = disk.find(path);
  const [first, ...rest] = pending;
  expect(rest.length).toBeGreaterThan(0);
  for (const kept of [rest, [first ?? { byteLength: 0 }], []]) {
    const after = new Disk();
    after.put(path, kept.reduce(applied, durable));
    expect(await namesOn(after)).toEqual(['old', 'n']);
  }
});
