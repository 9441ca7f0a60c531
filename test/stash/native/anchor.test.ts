/** Anchors: what is kept elsewhere, so that a file that is put back shows. */
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { StashAnchor } from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, Place } from './support.js';

const one = utf8('1');

test('an anchor holds over writes, changes of slots, compaction and rekeying', async () => {
  await using place = new Place();
  const stash = await place.open();
  const anchors: StashAnchor[] = [await stash.anchor()];
  const steps = [
    () => stash.write(['a'], one),
    () => stash.write(['big'], bytesOf(100_000)),
    () => stash.addSlot({ password: 'p' }),
    () => stash.compact(),
    () => stash.write(['b'], one),
    () => stash.changePassword('q'),
    () => stash.rekey({ dropOthers: true }),
    () => stash.compact(),
    () => stash.remove([]),
    () => stash.compact(),
    () => stash.compact(),
    () => stash.write(['c'], one),
  ];
  for (const step of steps) {
    await step();
    const anchor = await stash.anchor();
    expect(anchor.storeId).toBe(anchors[0]?.storeId);
    expect(anchor.storeId).toMatch(/^[0-9a-f]{32}$/);
    expect(anchor.tip).toMatch(/^[0-9a-f]{32}$/);
    const last = anchors.at(-1) as StashAnchor;
    expect(anchor.epoch).toBeGreaterThanOrEqual(last.epoch);
    expect(anchor.sequence).toBeGreaterThanOrEqual(last.sequence);
    anchors.push(anchor);
    // As JSON has it, and in upper case.
    for (const each of anchors) {
      const atLeast = JSON.parse(JSON.stringify(each)) as StashAnchor;
      await (await place.open({ atLeast })).close();
      await (await place.open({ atLeast: { ...each, tip: each.tip.toUpperCase() }, readOnly: true })).close();
    }
  }
});

test('every older copy is refused, whatever was done since', async () => {
  await using place = new Place();
  const stash = await place.open();
  const copies: { path: string; anchor: StashAnchor }[] = [];
  const keep = async (): Promise<void> => {
    const path = join(place.folder, `copy ${copies.length}`);
    copyFileSync(place.path, path);
    copies.push({ path, anchor: await stash.anchor() });
  };
  await keep();
  for (const step of [
    () => stash.write(['a'], one),
    () => stash.write(['b'], one),
    () => stash.compact(),
    () => stash.write(['c'], one),
    () => stash.rekey(),
    () => stash.compact(),
    () => stash.remove(['a']),
  ]) {
    await step();
    await keep();
  }
  for (const [index, { path, anchor }] of copies.entries()) {
    for (const [age, other] of copies.entries()) {
      const result = await codeOf(
        async () => await (await place.open({ atLeast: other.anchor }, path)).close(),
      );
      expect([index, age, result]).toEqual([index, age, age <= index ? undefined : 'rolled-back']);
    }
    expect(anchor.storeId).toBe(copies[0]?.anchor.storeId);
  }
});

test('a file that was cut at a border of frames is refused', async () => {
  await using place = new Place();
  const stash = await place.open();
  await stash.write(['a'], one);
  const { length } = readFileSync(place.path);
  await stash.write(['b'], one);
  const atLeast = await stash.anchor();
  truncateSync(place.path, length);
  // Without an anchor it looks like one that was never written further.
  expect(await (await place.open({ readOnly: true })).children([])).toEqual(['a']);
  const error = await failure(() => place.open({ readOnly: true, atLeast }));
  expect(error).toMatchObject({ name: 'StashCorruptError', code: 'rolled-back' });
});

test('copies that went on separately are refused, at the same sequence and beyond, compacted or not', async () => {
  await using place = new Place();
  const stash = await place.open();
  await stash.write(['a'], one);
  const paths = ['x', 'y'].map((name) => join(place.folder, name));
  for (const path of paths) copyFileSync(place.path, path);
  const [x = '', y = ''] = paths;
  const [first, second] = [await place.open({}, x), await place.open({}, y)];
  await first.write(['b'], one);
  await second.write(['b'], one);
  const refused = async (): Promise<void> => {
    for (const [path, atLeast] of [
      [x, await second.anchor()],
      [y, await first.anchor()],
    ] as const) {
      expect(await codeOf(() => place.open({ atLeast }, path))).toBe('rolled-back');
    }
  };
  await refused();
  await second.write(['c'], one);
  await refused();
  // Both compacted: of the same epoch, with another base each.
  await first.compact();
  await second.compact();
  await refused();
  await first.write(['d'], one);
  await refused();
});

test('another store, and one that was made anew at the same path, are refused', async () => {
  await using place = new Place();
  const stash = await place.open();
  const atLeast = await stash.anchor();
  const other = join(place.folder, 'other');
  await (await place.open({}, other)).write(['a'], one);
  let asked = 0;
  const key = (): Uint8Array => {
    asked++;
    return place.key;
  };
  expect(await codeOf(() => place.open({ atLeast, key }, other))).toBe('rolled-back');
  // Also a later file that began before the anchor.
  const copy = join(place.folder, 'copy');
  copyFileSync(place.path, copy);
  const fork = await place.open({}, copy);
  for (let round = 0; round < 3; round++) await stash.write(['a'], one);
  await fork.write(['a'], one);
  await fork.compact();
  const further = await stash.anchor();
  expect(await codeOf(() => place.open({ atLeast: further, key }, copy))).toBe('rolled-back');
  // Before anything is asked or derived.
  expect(asked).toBe(0);
});

test('an anchor that claims too much is refused; one that cannot be is a bad option', async () => {
  await using place = new Place();
  const stash = await place.open();
  await stash.write(['a'], one);
  const anchor = await stash.anchor();
  const tooMuch: StashAnchor[] = [
    { ...anchor, sequence: anchor.sequence + 1 },
    { ...anchor, epoch: anchor.epoch + 1 },
    { ...anchor, tip: 'ab'.repeat(16) },
    { ...anchor, sequence: Number.MAX_SAFE_INTEGER },
  ];
  for (const atLeast of tooMuch) expect(await codeOf(() => place.open({ atLeast }))).toBe('rolled-back');
  const bad: unknown[] = [
    null,
    {},
    'text',
    { ...anchor, storeId: 'ab' },
    { ...anchor, tip: 5 },
    { ...anchor, tip: 'xy'.repeat(16) },
    { ...anchor, epoch: -1 },
    { ...anchor, epoch: '1' },
    { ...anchor, sequence: 0.5 },
    { ...anchor, sequence: 2 ** 53 },
  ];
  for (const atLeast of bad) {
    expect(await codeOf(() => place.open({ atLeast: atLeast as StashAnchor }))).toBe('bad-option');
  }
});

test('an anchor is refused with a file whose frame of that sequence is another, forged without the key', async () => {
  await using place = new Place();
  const stash = await place.open();
  await stash.write(['a'], one);
  await stash.write(['b'], one);
  const atLeast = await stash.anchor();
  const bytes = readFileSync(place.path);
  // The last frame, a copy of the one before.
  const frame = (bytes.length - 8192) / 2;
  writeFileSync(
    place.path,
    Buffer.concat([bytes.subarray(0, 8192 + frame), bytes.subarray(8192, 8192 + frame)]),
  );
  expect(['rolled-back', 'damaged-frame']).toContain(await codeOf(() => place.open({ atLeast })));
});
