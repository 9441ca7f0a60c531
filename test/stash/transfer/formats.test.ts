/** From one format to the other and back, and folders in and out of the native one. */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SecureStash, Stash } from '../../../src/stash/index.js';
import { copyStash } from '../../../src/stash/transfer/copy.js';
import type { StashTree } from '../../../src/stash/transfer/stash-tree.js';
import { propertyRuns } from '../../support/property-runs.js';
import { codeOf, emptyStash, hex, temporaryFolder, treeArbitrary, utf8 } from '../support.js';
import { flatten, listFolder, listNodes, operationsOf } from './transfer-support.js';

const nativeOptions = { key: new Uint8Array(32).fill(7), create: true, durability: 'none' } as const;

/** Both are what transfers need: a check of types. */
function asTree(stash: Stash | SecureStash): StashTree {
  return stash;
}

test('every tree goes to the native format and back, in order', async () => {
  await using folder = await temporaryFolder();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(treeArbitrary, async (tree) => {
      const { stash: from } = await emptyStash();
      await from.batch(operationsOf(tree));
      const path = join(folder.path, String(run++));
      await using native = await Stash.open(path, nativeOptions);
      const copied = await copyStash(from, native);
      expect(await listNodes(native)).toEqual(flatten(tree));
      const { stash: back } = await emptyStash();
      expect(await copyStash(asTree(native), asTree(back))).toEqual(copied);
      expect(await listNodes(back)).toEqual(flatten(tree));
      if (tree.length > 0) expect(await codeOf(() => copyStash(from, native))).toBe('has-children');
      const { stash: below } = await emptyStash();
      await copyStash(native, below, { key: ['a', 'b'] });
      expect((await listNodes(below, ['a', 'b'])).length).toBe(flatten(tree).length + 1);
    }),
    { numRuns: Math.ceil(propertyRuns() / 20) },
  );
});

test('large values and many keys are in the file once it is opened anew', async () => {
  await using folder = await temporaryFolder();
  const { stash: from } = await emptyStash();
  const large = new Uint8Array(1_000_000).map((_, index) => index * 7);
  await from.batch([
    { type: 'write', key: ['large'], value: large },
    ...Array.from({ length: 3000 }, (_, index) => ({
      type: 'write' as const,
      key: ['many', `key ${index}`],
      value: utf8(String(index)),
    })),
  ]);
  const path = join(folder.path, 'native');
  const native = await Stash.open(path, nativeOptions);
  expect(await copyStash(from, native)).toMatchObject({ values: 3001 });
  await native.close();
  await using again = await Stash.open(path, nativeOptions);
  expect(await listNodes(again)).toEqual(await listNodes(from));
  await using second = await Stash.open(join(folder.path, 'second'), nativeOptions);
  await copyStash(again, second, { key: ['below'] });
  expect(hex(await second.read(['below', 'large']))).toBe(hex(large));
});

test('folders go into a native stash and out', async () => {
  await using folder = await temporaryFolder();
  await using stash = await Stash.open(join(folder.path, 'native'), nativeOptions);
  const input = join(folder.path, 'in');
  await fs.mkdir(join(input, 'd', 'empty'), { recursive: true });
  await fs.writeFile(join(input, 'd', 'large'), new Uint8Array(200_000).fill(5));
  await fs.writeFile(join(input, 'small'), 'x');
  expect(await stash.writeDirectory(['t'], input)).toEqual({ files: 2, byteLength: 200_001 });
  await stash.readDirectory(['t'], join(folder.path, 'out'));
  expect(await listFolder(join(folder.path, 'out'))).toEqual(await listFolder(input));
  await stash.writeFile(['f'], join(input, 'small'));
  await stash.readFile(['f'], join(folder.path, 'f'));
  expect(await fs.readFile(join(folder.path, 'f'), 'utf8')).toBe('x');
  await stash.write(['t', '..', 'evil'], utf8('x'));
  expect(await codeOf(() => stash.readDirectory(['t'], join(folder.path, 'new')))).toBe('unsafe-name');
});
