/** Files and folders in and out of a native stash: that it is wired to what `test/stash/transfer` tests. */
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf, failure, hex, utf8 } from '../support.js';
import { type Listed, listFolder, makeFolder } from '../transfer/transfer-support.js';
import { bytesOf, digest, listNodes, Place } from './support.js';

const isLinux = process.platform === 'linux';

/** What a folder is to hold: an empty folder, one in another, a large file, an empty one, a name that is not UTF-8. */
const tree: Listed = [
  ['a', hex(utf8('contents'))],
  ['b', [['c', [['d', hex(utf8('deep'))]]]]],
  ['empty', []],
  ['large', hex(bytesOf(100_000))],
  ['none', ''],
  ...(isLinux ? ([['z\xff', hex(utf8('bytes'))]] satisfies Listed) : []),
];

describe('files', () => {
  test('in and out', async () => {
    await using place = new Place();
    const stash = await place.open();
    const [from, to] = [join(place.folder, 'from'), join(place.folder, 'to')];
    for (const byteLength of [0, 10, 100_000]) {
      writeFileSync(from, bytesOf(byteLength));
      const key = ['files', `${byteLength}`];
      expect(await stash.writeFile(key, from)).toEqual({ files: 1, byteLength });
      expect(await stash.readFile(key, `${to}${byteLength}`)).toEqual({ files: 1, byteLength });
      const file = (await listFolder(place.folder)).find(([name]) => name === `to${byteLength}`);
      expect(file?.[1]).toBe(hex(bytesOf(byteLength)));
      expect(statSync(`${to}${byteLength}`).mode & 0o777).toBe(0o600);
    }
    expect(await codeOf(() => stash.readFile(['files', '10'], `${to}0`))).toBe('already-exists');
    expect(await codeOf(() => stash.readFile(['files', '10'], `${to}0`, { overwrite: true }))).toEqual({
      files: 1,
      byteLength: 10,
    });
    expect(await codeOf(() => stash.readFile(['files'], `${to}x`))).toBe('no-value');
    expect(await codeOf(() => stash.readFile(['none'], `${to}x`))).toBe('key-not-found');
    expect(await codeOf(() => stash.writeFile(['x'], `${from} none`))).toBe('not-found');
    expect(await codeOf(() => stash.writeFile([], from))).toBe('empty-key');
    const reader = await place.open({ readOnly: true });
    expect(await codeOf(() => reader.writeFile(['x'], from))).toBe('read-only');
    expect(await reader.readFile(['files', '10'], `${to}read`)).toEqual({ files: 1, byteLength: 10 });
    await stash.close();
    expect(await codeOf(() => stash.writeFile(['x'], from))).toBe('closed');
    expect(await codeOf(() => stash.readFile(['files', '10'], `${to}x`))).toBe('closed');
  });
});

describe('folders', () => {
  test('in and out, the same in every byte and every name', async () => {
    await using place = new Place();
    const stash = await place.open();
    const [from, to] = [join(place.folder, 'from'), join(place.folder, 'to')];
    mkdirSync(from);
    await makeFolder(from, tree);
    for (const key of [[], ['at', 'a', 'key']]) {
      const summary = await stash.writeDirectory(key, from);
      expect(summary.files).toBe(isLinux ? 5 : 4);
      const names = (await listNodes(stash, key)).map(([name]) => name.slice(key.length).join('/'));
      const expected = ['a', 'b', 'b/c', 'b/c/d', 'empty', 'large', 'none', ...(isLinux ? ['z\udcff'] : [])];
      expect(names.filter((name) => name !== '')).toEqual(expected);
      const target = `${to} ${key.length}`;
      expect(await stash.readDirectory(key, target)).toEqual(summary);
      expect(await listFolder(target)).toEqual(await listFolder(from));
      await stash.compact();
      const reader = await place.open({ readOnly: true });
      await reader.readDirectory(key, `${target} again`);
      expect(await listFolder(`${target} again`)).toEqual(tree);
      await stash.remove([]);
    }
  });

  test('a name that leads elsewhere is refused, and nothing is written', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['good'], utf8('1'));
    await stash.write(['..', 'evil'], utf8('1'));
    const to = join(place.folder, 'to');
    expect(await codeOf(() => stash.readDirectory([], to))).toBe('unsafe-name');
    expect(place.names()).toEqual(['a.stash']);
  });

  test('one change: a key that is too deep leaves nothing', async () => {
    await using place = new Place();
    const stash = await place.open();
    const from = join(place.folder, 'from');
    mkdirSync(from);
    await makeFolder(from, [
      ['a', ''],
      ['b', [['c', '']]],
    ]);
    const key = Array.from({ length: 63 }, () => 'd');
    expect(await failure(() => stash.writeDirectory(key, from))).toMatchObject({ code: 'key-too-deep' });
    expect(await stash.children([])).toEqual([]);
    await stash.writeDirectory(key.slice(1), from);
    expect(digest(await stash.read([...key.slice(1), 'b', 'c']))).toBe(digest(new Uint8Array()));
  });
});
