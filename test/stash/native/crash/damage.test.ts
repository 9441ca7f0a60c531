/** Damage is no torn write: what was on the disk is missed, wherever it was; and writers that no lock kept apart. */
import { expect, test } from 'vitest';
import { StashCorruptError } from '../../../../src/stash/errors.js';
import type { Stash } from '../../../../src/stash/native/stash.js';
import { codeOf } from '../../support.js';
import { Disk } from './disk.js';
import { bytes, newKey, openOn, path } from './harness.js';
import { listing } from './track.js';

const credential = newKey();

/** A store of some writes, with the offset of each frame. */
async function written(count: number): Promise<{ data: Uint8Array; offsets: number[] }> {
  const disk = new Disk();
  const offsets: number[] = [];
  const stash = await openOn(
    disk.process((call, at) => {
      if (call === 'append') offsets.push(disk.find(at).data.length);
      return undefined;
    }),
    { ...credential, create: true },
  );
  for (let index = 0; index < count; index++) await stash.write([`${index}`], bytes(20));
  await stash.close();
  return { data: disk.find(path).durable, offsets };
}

function diskWith(data: Uint8Array): Disk {
  const disk = new Disk();
  disk.put(path, data);
  return disk;
}

test('every byte of every frame that had been on the disk is missed', async () => {
  const { data, offsets } = await written(4);
  const last = offsets.at(-1) as number;
  expect(offsets).toHaveLength(4);
  for (let at = offsets[0] as number; at < last; at++) {
    const damaged = data.slice();
    damaged[at] = (damaged[at] as number) ^ 0x10;
    const opening = openOn(diskWith(damaged).process(), { ...credential, readOnly: true });
    const error = await opening.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StashCorruptError);
    const offset = offsets.findLast((each) => each <= at);
    expect(error).toMatchObject({ code: 'damaged-frame', offset });
  }
});

test('a file that was cut anywhere has lost frames, once it was closed; the handle that writes does not cut it further', async () => {
  const { data, offsets } = await written(3);
  for (const cut of [...offsets, ...offsets.map((each) => each + 1), data.length - 1]) {
    const disk = diskWith(data.slice(0, cut));
    expect([cut, await codeOf(() => openOn(disk.process(), credential))]).toEqual([cut, 'lost-frames']);
    expect(disk.find(path).data).toHaveLength(cut);
    expect(disk.find(path).pending).toEqual([]);
  }
});

test('a file that was cut before its first change is no empty store, though its handle was never closed', async () => {
  const disk = new Disk();
  const stash = await openOn(disk.process(), { ...credential, create: true });
  await stash.write(['a'], bytes(20));
  for (const cut of [8192, 8193, 8500]) {
    const again = diskWith(disk.find(path).durable.slice(0, cut));
    expect(await codeOf(() => openOn(again.process(), { ...credential, create: true }))).toBe('lost-frames');
  }
});

test('a length that was changed is no torn write', async () => {
  const { data, offsets } = await written(3);
  const [, second = 0] = offsets;
  for (const [at, byte] of [
    [second, 0xff],
    [second + 1, 0xff],
    [second + 2, 0x7f],
    [second + 3, 0x03],
  ] as const) {
    const damaged = data.slice();
    damaged[at] = byte;
    expect(await codeOf(() => openOn(diskWith(damaged).process(), credential))).toBe('damaged-frame');
  }
});

test('without a lock between them, no write of two handles is lost, and the file stays whole', async () => {
  for (const seed of [1, 2, 3]) {
    const disk = new Disk();
    const maker = await openOn(disk.process(), { ...credential, create: true });
    await maker.write(['first'], bytes(20));
    let random = seed;
    const stashes = [];
    for (let index = 0; index < 3; index++) {
      const process = disk.process();
      process.lockWorks = false;
      stashes.push(await openOn(process, { ...credential, autoCompact: false }));
    }
    const counts = await Promise.all(
      stashes.map(async (stash, owner) => {
        let acknowledged = 0;
        for (let index = 0; index < 30; index++) {
          random = (random * 48_271) % 0x7fff_ffff;
          for (let wait = random % 4; wait > 0; wait--) await new Promise(setImmediate);
          await stash.write([`${owner} ${index}`], bytes(20));
          acknowledged++;
        }
        return acknowledged;
      }),
    );
    expect(counts).toEqual([30, 30, 30]);
    for (const stash of stashes) expect(await stash.children([])).toHaveLength(91);
    const fresh = await openOn(disk.process(), { ...credential, readOnly: true });
    expect(await fresh.children([])).toHaveLength(91);
    expect(await listing(fresh)).toBe(await listing(maker));
  }
});

/** Writes forty values, one after another. */
async function writeForty(stash: Stash, name: string): Promise<void> {
  for (let index = 0; index < 40; index++) {
    await stash.write([`${name} ${index}`], bytes(20));
    if (index % 3 === 0) await stash.write([name], bytes(40_000));
  }
}

test('handles that write, compact and change keys at the same time keep each other out', async () => {
  const disk = new Disk();
  const open = (): Promise<Stash> =>
    openOn(disk.process(), { ...credential, create: true, autoCompact: false });
  const [one, two, compactor, slots] = [await open(), await open(), await open(), await open()];
  const keys = [newKey(), newKey(), newKey()];
  await Promise.all([
    writeForty(one, 'one'),
    writeForty(two, 'two'),
    (async () => {
      for (let count = 0; count < 15; count++) await compactor.compact();
    })(),
    (async () => {
      for (const key of keys) await slots.addSlot(key);
    })(),
  ]);
  for (const key of [credential, ...keys]) {
    const stash = await openOn(disk.process(), { ...key, readOnly: true });
    expect(await stash.children([])).toHaveLength(82);
    await stash.verify();
  }
});

test('a frame that came between is read, and the change made again behind it', async () => {
  const disk = new Disk();
  const other = await openOn(disk.process(), { ...credential, create: true });
  await other.write(['n'], Uint8Array.of(1));
  let theirs: Uint8Array | undefined;
  // What another process appends at the last moment.
  const recorder = new Disk();
  recorder.put(path, disk.find(path).data);
  const twin = await openOn(recorder.process(), credential);
  await twin.write(['theirs'], bytes(10));
  theirs = recorder.find(path).data.slice(disk.find(path).data.length);
  const process = disk.process((call) => {
    if (call === 'append' && theirs !== undefined) {
      const inode = disk.find(path);
      disk.change(inode, { offset: inode.data.length, bytes: theirs });
      theirs = undefined;
    }
    return undefined;
  });
  const stash = await openOn(process, credential);
  await stash.write(['mine'], bytes(10));
  expect(await stash.children([])).toEqual(['n', 'theirs', 'mine']);
  expect(await other.children([])).toEqual(['n', 'theirs', 'mine']);
  const fresh = await openOn(disk.process(), { ...credential, readOnly: true });
  expect(await fresh.children([])).toEqual(['n', 'theirs', 'mine']);
});
