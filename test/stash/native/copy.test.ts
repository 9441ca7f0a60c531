/** Copying between the two formats, both ways, and between native stashes. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyStash, SecureStash, type StashTree } from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, digest, Place } from './support.js';

const deep = Array.from({ length: 64 }, (_none, level) => `${level}`);

const nodes: [string[], Uint8Array | undefined][] = [
  [['z'], utf8('first')],
  [['z', 'below'], utf8('second')],
  [['a'], undefined],
  [['a', '\ud800'], utf8('lone')],
  [['a', '__proto__'], utf8('p')],
  [['a', ''], new Uint8Array()],
  [['empty'], undefined],
  [['large'], bytesOf(150_000)],
  ...deep.map((_name, level): [string[], Uint8Array | undefined] => [
    deep.slice(0, level + 1),
    level === 63 ? utf8('deep') : undefined,
  ]),
];

async function listed(stash: StashTree): Promise<[string[], string | null][]> {
  const list: [string[], string | null][] = [];
  for await (const { key, value } of stash.nodes([])) {
    list.push([key, value === undefined ? null : digest(value)]);
  }
  return list;
}

const expected = nodes.map(([key, value]) => [key, value === undefined ? null : digest(value)]);

async function fill(stash: StashTree): Promise<void> {
  await stash.batch(
    nodes.map(([key, value]) =>
      value === undefined ? { type: 'make' as const, key } : { type: 'write' as const, key, value },
    ),
  );
}

test('from each format to each, in order, with all names, keys without value, and depths', async () => {
  await using place = new Place();
  const secure = (name: string): Promise<SecureStash> =>
    SecureStash.open(join(place.folder, name), { password: 'p', create: true, iterations: 1 });
  const native = (name: string): Promise<StashTree> => place.open({}, join(place.folder, name));
  const summary = { values: 7, byteLength: nodes.reduce((sum, [, value]) => sum + (value?.length ?? 0), 0) };
  for (const [name, from] of [
    ['native', await native('from native')],
    ['sstash', await secure('from sstash')],
  ] as const) {
    await fill(from);
    expect(await listed(from)).toEqual(expected);
    for (const to of [await native(`${name} to native`), await secure(`${name} to sstash`)]) {
      expect(await copyStash(from, to)).toEqual(summary);
      expect(await listed(to)).toEqual(expected);
      expect(await codeOf(() => copyStash(from, to))).toBe('has-children');
      expect(await copyStash(from, to, { merge: true })).toEqual(summary);
      expect(await listed(to)).toEqual(expected);
    }
    const again = await place.open({}, join(place.folder, `${name} to native`));
    expect(await listed(again)).toEqual(expected);
    await again.compact();
    expect(await listed(again)).toEqual(expected);
  }
});

test('to a key, once: what is there stays, and a failure leaves nothing', async () => {
  await using place = new Place();
  const from = await place.open();
  const to = await place.open({}, `${place.path} to`);
  await from.write(['a', 'b'], utf8('1'));
  await to.write(['kept'], utf8('2'));
  await copyStash(from, to, { key: ['at', 'here'] });
  expect((await listed(to)).map(([key]) => key.join('/'))).toEqual([
    'kept',
    'at',
    'at/here',
    'at/here/a',
    'at/here/a/b',
  ]);
  const error = await failure(() => copyStash(from, to, { key: ['at'] }));
  expect(error).toMatchObject({ code: 'has-children', key: ['at'], hasValue: false });
  expect(await codeOf(() => copyStash(from, to, { key: deep.slice(1) }))).toBe('key-too-deep');
  expect(await to.has(deep.slice(1))).toBe(false);
  expect(await to.children([])).toEqual(['kept', 'at']);
  const reader = await place.open({ readOnly: true });
  expect(await codeOf(() => copyStash(to, reader, { merge: true }))).toBe('read-only');
});
