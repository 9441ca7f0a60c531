/** Copying between stashes; keys without a value; the operation that makes them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SecureStash } from '../../../src/stash/index.js';
import { copyStash } from '../../../src/stash/transfer/copy.js';
import { propertyRuns } from '../../support/property-runs.js';
import { MemoryFileSystem } from '../memory-file-system.js';
import {
  codeOf,
  emptyStash,
  failure,
  memoryOptions,
  memoryPath,
  nodeText,
  openOn,
  plant,
  treeArbitrary,
  utf8,
} from '../support.js';
import { flatten, listNodes, operationsOf } from './transfer-support.js';

async function filled(...keys: string[][]): Promise<SecureStash> {
  const { stash } = await emptyStash();
  await stash.batch(keys.map((key) => ({ type: 'write', key, value: utf8(key.join()) })));
  return stash;
}

describe('nodes and make', () => {
  test('every tree can be made, and is gone through as it is', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (tree) => {
        const { stash } = await emptyStash();
        await stash.batch(operationsOf(tree));
        expect(await listNodes(stash)).toEqual(flatten(tree));
        const again = await emptyStash();
        expect((await copyStash(stash, again.stash)).values).toBe(
          flatten(tree).filter(([, value]) => value !== null).length,
        );
        expect(await listNodes(again.stash)).toEqual(flatten(tree));
        const other = await filled(['x', 'y']);
        await copyStash(stash, other, { key: ['x', 'below'] });
        const below = flatten(tree).map(([key, value]) => [['x', 'below', ...key], value]);
        expect(await listNodes(other, ['x', 'below'])).toEqual([[['x', 'below'], null], ...below]);
      }),
      { numRuns: Math.ceil(propertyRuns() / 5) },
    );
  });

  test('making leaves what is there, and can ask for nothing below', async () => {
    const stash = await filled(['a'], ['a', 'b']);
    await stash.batch([
      { type: 'make', key: ['a'] },
      { type: 'make', key: ['a', 'b'], empty: true },
      { type: 'make', key: [] },
    ]);
    expect(await listNodes(stash)).toEqual([
      [['a'], '61'],
      [['a', 'b'], '612c62'],
    ]);
    const error = await failure(() =>
      stash.batch([
        { type: 'make', key: ['new'] },
        { type: 'make', key: ['a'], empty: true },
      ]),
    );
    expect(error).toMatchObject({ code: 'has-children', key: ['a'], hasValue: true, operationIndex: 1 });
    expect(await codeOf(() => stash.batch([{ type: 'make', key: [], empty: true }]))).toBe('has-children');
    expect(await stash.children([])).toEqual(['a']);
    for (const [bad, code] of [
      [{ type: 'make' }, 'bad-key'],
      [{ type: 'make', key: ['x'], empty: 1 }, 'bad-option'],
      [{ type: 'make', key: Array.from({ length: 65 }, () => 'x') }, 'key-too-deep'],
    ] as const) {
      expect(await codeOf(() => stash.batch([bad as never]))).toBe(code);
    }
  });

  test('nodes name their key, fail for a missing one, and go on behind a damaged value', async () => {
    const memory = new MemoryFileSystem();
    await plant(memory, `{"a": {"children": {"x": ${nodeText('zz')}, "y": ${nodeText('01')}}}}`);
    const stash = await openOn(memory, memoryPath, memoryOptions);
    expect(await failure(() => stash.nodes(['a', 'q', 'r']).next())).toMatchObject({ missing: ['a', 'q'] });
    expect(() => stash.nodes('a' as never)).toThrow('array');
    const nodes = stash.nodes(['a']);
    expect(await nodes.next()).toEqual({ done: false, value: { key: ['a'], value: undefined } });
    expect(await codeOf(() => nodes.next())).toBe('damaged-value');
    expect(await nodes.next()).toEqual({ done: false, value: { key: ['a', 'y'], value: Uint8Array.of(1) } });
    expect((await nodes.next()).done).toBe(true);
    expect(await codeOf(() => copyStash(stash, stash, { key: ['copy'] }))).toBe('damaged-value');
  });
});

describe('copyStash', () => {
  test('refuses to add to what is there, unless asked', async () => {
    const from = await filled(['a'], ['b', 'c']);
    const to = await filled(['b', 'c'], ['z']);
    expect(await codeOf(() => copyStash(from, to))).toBe('has-children');
    expect(await codeOf(() => copyStash(from, to, { key: ['b'] }))).toBe('has-children');
    expect(await to.children([])).toEqual(['b', 'z']);
    expect(await copyStash(from, to, { key: ['z'] })).toEqual({ values: 2, byteLength: 4 });
    expect((await listNodes(to, ['z'])).map(([key]) => key.join())).toEqual(['z', 'z,a', 'z,b', 'z,b,c']);
    await copyStash(from, to, { merge: true });
    expect(await to.children([])).toEqual(['b', 'z', 'a']);
  });

  test('what another writer adds meanwhile is not overwritten', async () => {
    const from = await filled(['a']);
    const { stash: to } = await emptyStash();
    const onProgress = ({ phase }: { phase: string }): void => {
      if (phase === 'read') void to.write(['a'], utf8('theirs'));
    };
    expect(await codeOf(() => copyStash(from, to, { onProgress }))).toBe('has-children');
    expect(await to.read(['a'])).toEqual(utf8('theirs'));
  });

  test('into itself, too deep, too large or cancelled: whole or nothing', async () => {
    const from = await filled(['a'], ['b', 'c']);
    await copyStash(from, from, { key: ['copy'] });
    expect(await from.children(['copy'])).toEqual(['a', 'b']);
    const { stash: to } = await emptyStash();
    const key = Array.from({ length: 63 }, () => 'd');
    expect(await codeOf(() => copyStash(from, to, { key }))).toBe('key-too-deep');
    expect(await codeOf(() => copyStash(from, to, { signal: AbortSignal.abort() }))).toBe('cancelled');
    expect(await codeOf(() => copyStash(from, to, { merge: 'yes' } as never))).toBe('bad-option');
    expect(await codeOf(() => copyStash(from, to, { key: 'a' } as never))).toBe('bad-key');
    expect(await to.children([])).toEqual([]);
    await from.close();
    expect(await codeOf(() => copyStash(from, to))).toBe('closed');
    expect(await codeOf(() => copyStash(to, from))).toBe('closed');
  });
});
