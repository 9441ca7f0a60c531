/** What each operation of a handle does: keys, values, order, batches, limits. */
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { StashKeyError, type StashOperation, StashValueError } from '../../src/stash/index.js';
import { hooked, MemoryFileSystem } from './memory-file-system.js';
import {
  codeOf,
  emptyStash,
  failure,
  hex,
  memoryOptions,
  memoryPath,
  nodeText,
  openOn,
  plant,
  utf8,
} from './support.js';

describe('operations', () => {
  test('a node without a value says so, and a missing key names the prefix that is missing', async () => {
    const { stash } = await emptyStash();
    await stash.write(['a', 'b'], utf8('x'));
    expect(await failure(() => stash.read(['a']))).toMatchObject({ code: 'no-value', key: ['a'] });
    const missing = await failure(() => stash.read(['a', 'c', 'd']));
    expect(missing).toBeInstanceOf(StashKeyError);
    expect(missing).toMatchObject({ code: 'key-not-found', key: ['a', 'c', 'd'], missing: ['a', 'c'] });
    expect(missing.message).toBe('no such key: ["a", "c"]');
    expect(await failure(() => stash.children(['x']))).toMatchObject({ missing: ['x'] });
    expect(await failure(() => stash.remove(['a', 'x']))).toMatchObject({ missing: ['a', 'x'] });
  });

  test('overwriting keeps the place, removing and writing again moves to the end, empty parents stay', async () => {
    const { stash } = await emptyStash();
    for (const name of ['b', '10', '2']) await stash.write([name], utf8(name));
    await stash.write(['b'], utf8('new'));
    expect(await stash.children([])).toEqual(['b', '10', '2']);
    await stash.remove(['b']);
    await stash.write(['b', 'deep'], utf8('again'));
    expect(await stash.children([])).toEqual(['10', '2', 'b']);
    await stash.remove(['b', 'deep']);
    expect(await stash.children(['b'])).toEqual([]);
    expect(await stash.has(['b'])).toBe(false);
  });

  test('removing gives back the value and drops all below; removing [] empties', async () => {
    const { stash } = await emptyStash();
    await stash.write(['a'], utf8('x'));
    await stash.write(['a', 'b'], utf8('y'));
    expect(await stash.remove(['a'])).toEqual(utf8('x'));
    await stash.write(['a', 'b'], utf8('y'));
    expect(await stash.remove(['a'])).toBeUndefined();
    await stash.write(['c'], utf8('z'));
    expect(await stash.remove([])).toBeUndefined();
    expect(await stash.children([])).toEqual([]);
  });

  test('removing without what is below refuses where there is something, and changes nothing', async () => {
    const { fileSystem, stash } = await emptyStash();
    await stash.write(['a', 'b'], utf8('y'));
    await stash.write(['c'], utf8('z'));
    const recursive = false;
    for (const hasValue of [false, true]) {
      if (hasValue) await stash.write(['a'], utf8('x'));
      const before = fileSystem.readNow(memoryPath);
      const error = await failure(() => stash.remove(['a'], { recursive }));
      expect(error).toBeInstanceOf(StashKeyError);
      expect(error).toMatchObject({ code: 'has-children', key: ['a'], hasValue });
      expect(await codeOf(() => stash.remove([], { recursive }))).toBe('has-children');
      const operations: StashOperation[] = [
        { type: 'remove', key: ['c'], recursive },
        { type: 'remove', key: ['a'], recursive },
      ];
      expect(await failure(() => stash.batch(operations))).toMatchObject({
        code: 'has-children',
        operationIndex: 1,
      });
      expect(fileSystem.readNow(memoryPath)).toEqual(before);
    }
    expect(await stash.remove(['a', 'b'], { recursive })).toEqual(utf8('y'));
    expect(await stash.remove(['a'], { recursive })).toEqual(utf8('x'));
    expect(await codeOf(() => stash.remove(['a'], { recursive }))).toBe('key-not-found');
    expect(await stash.batch([{ type: 'remove', key: ['c'], recursive }])).toEqual([utf8('z')]);
    expect(await stash.remove([], { recursive })).toBeUndefined();
    await stash.write(['a', 'b'], utf8('y'));
    expect(await stash.remove(['a'], { recursive: true })).toBeUndefined();
    expect(await stash.children([])).toEqual([]);
  });

  test('64 levels can be written, 65 not, and nothing changes by trying', async () => {
    const { fileSystem, stash } = await emptyStash();
    const key = Array.from({ length: 65 }, (_, level) => `level ${level}`);
    await stash.write(key.slice(0, 64), utf8('deep'));
    const before = fileSystem.readNow(memoryPath);
    expect(await failure(() => stash.write(key, utf8('deeper')))).toMatchObject({
      code: 'key-too-deep',
      key,
    });
    expect(fileSystem.readNow(memoryPath)).toEqual(before);
    expect(await stash.read(key.slice(0, 64))).toEqual(utf8('deep'));
  });

  test('a deeper file is read, and kept when something else changes', async () => {
    const fileSystem = new MemoryFileSystem();
    await plant(
      fileSystem,
      `${'{"k": {"children": '.repeat(80)}{"end": {"children": {}, "value": "ab"}}${'}}'.repeat(80)}`,
    );
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    const key = [...Array.from({ length: 80 }, () => 'k'), 'end'];
    await stash.write(['other'], utf8('x'));
    expect(hex(await stash.read(key))).toBe('ab');
    const again = await openOn(fileSystem, memoryPath, memoryOptions);
    expect(hex(await again.read(key))).toBe('ab');
  });

  test('a damaged value fails alone, survives other changes, and can be written over', async () => {
    const fileSystem = new MemoryFileSystem();
    await plant(
      fileSystem,
      `{"a": ${nodeText('01')}, "bad": ${nodeText('5ec4e7!')}, "c": ${nodeText('03')}}`,
    );
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    await stash.write(['d'], Uint8Array.of(4));
    const reader = await openOn(fileSystem, memoryPath, memoryOptions);
    const error = await failure(() => reader.read(['bad']));
    expect(error).toBeInstanceOf(StashValueError);
    expect(error).toMatchObject({ code: 'damaged-value', key: ['bad'] });
    expect(inspect(error)).not.toContain('5ec4');
    expect(await codeOf(() => reader.remove(['bad']))).toBe('damaged-value');
    const seen: unknown[] = [];
    const entries = reader.entries();
    for (let ended = false; !ended; ) {
      try {
        for await (const { key, value } of entries) seen.push([key, hex(value)]);
        ended = true;
      } catch (failed) {
        seen.push((failed as StashValueError).key);
      }
    }
    expect(seen).toEqual([[['a'], '01'], ['bad'], [['c'], '03'], [['d'], '04']]);
    await reader.write(['bad'], Uint8Array.of(2));
    expect(await reader.remove(['bad'])).toEqual(Uint8Array.of(2));
  });

  test('what the file said of hash, salt and iterations stays', async () => {
    const fileSystem = new MemoryFileSystem();
    await plant(fileSystem, '{}');
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    await stash.write(['a'], utf8('x'));
    const text = Buffer.from(fileSystem.readNow(memoryPath)).toString();
    expect(text).toMatch(
      /^\{"hash": "SHA-256", "salt": "73616c74", "iterations": 2, "enc_blob": "[0-9a-f]+"\}$/,
    );
  });

  test('a new file is as Python would make it', async () => {
    const fileSystem = new MemoryFileSystem();
    await openOn(fileSystem, memoryPath, { password: '', create: true });
    const text = Buffer.from(fileSystem.readNow(memoryPath)).toString();
    expect(text).toMatch(
      /^\{"hash": "sha512", "salt": "[0-9a-f]{64}", "iterations": 262144, "enc_blob": "[0-9a-f]{84}"\}$/,
    );
  });

  test('every write has a nonce of its own, and every new file a salt of its own', async () => {
    const { fileSystem, stash } = await emptyStash();
    const nonces = new Set<string>();
    const text = (): string => Buffer.from(fileSystem.readNow(memoryPath)).toString();
    for (let count = 0; count < 100; count++) {
      await stash.write(['a'], utf8('same'));
      nonces.add(/"enc_blob": "(.{48})/.exec(text())?.[1] ?? '');
    }
    expect(nonces.size).toBe(100);
    const other = await emptyStash();
    expect(Buffer.from(other.fileSystem.readNow(memoryPath)).toString().slice(0, 80)).not.toBe(
      text().slice(0, 80),
    );
  });
});

describe('batch', () => {
  test('is one replacement, or none', async () => {
    const memory = new MemoryFileSystem();
    const renames: string[] = [];
    const fileSystem = hooked(memory, (call) => void (call === 'rename' && renames.push(call)));
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    const results = await stash.batch([
      { type: 'write', key: ['a'], value: utf8('1') },
      { type: 'write', key: ['a', 'b'], value: utf8('2') },
      { type: 'remove', key: ['a', 'b'] },
      { type: 'write', key: ['a'], value: utf8('3') },
    ]);
    expect(results).toEqual([undefined, undefined, utf8('2'), undefined]);
    expect(renames).toHaveLength(1);
    const before = memory.readNow(memoryPath);
    const error = await failure(() =>
      stash.batch([
        { type: 'write', key: ['a'], value: utf8('4') },
        { type: 'remove', key: ['missing'] },
      ]),
    );
    expect(error).toMatchObject({ code: 'key-not-found', operationIndex: 1 });
    expect(memory.readNow(memoryPath)).toEqual(before);
    expect(await stash.read(['a'])).toEqual(utf8('3'));
  });

  test('refuses what is no operation, and says which', async () => {
    const { stash } = await emptyStash();
    const good = { type: 'write', key: ['a'], value: utf8('1') } as const;
    for (const bad of [null, 5, {}, { type: 'read', key: ['a'] }]) {
      const error = await failure(() => stash.batch([good, bad as unknown as StashOperation]));
      expect(error).toMatchObject({ code: 'bad-option', operationIndex: 1 });
    }
    const noValue = { type: 'write', key: ['a'], value: 'x' } as unknown as StashOperation;
    expect(await failure(() => stash.batch([noValue]))).toMatchObject({
      code: 'bad-value',
      operationIndex: 0,
    });
    expect(await codeOf(() => stash.batch(undefined as unknown as StashOperation[]))).toBe('bad-option');
    expect(await stash.children([])).toEqual([]);
  });
});

describe('limits', () => {
  test('a larger file is not read, and none is written', async () => {
    const { fileSystem, stash } = await emptyStash();
    await stash.write(['a'], new Uint8Array(1000));
    const { length } = fileSystem.readNow(memoryPath);
    const small = await openOn(fileSystem, memoryPath, { ...memoryOptions, maxFileByteLength: length });
    expect(
      await codeOf(() => openOn(fileSystem, memoryPath, { ...memoryOptions, maxFileByteLength: length - 1 })),
    ).toBe('too-large');
    await small.write(['a'], new Uint8Array(1000).fill(1));
    expect(await codeOf(() => small.write(['a'], new Uint8Array(1001)))).toBe('store-too-large');
    expect(await stash.read(['a'])).toEqual(new Uint8Array(1000).fill(1));
  });

  test('a file that asks for more iterations is refused before the work', async () => {
    const { fileSystem } = await emptyStash();
    await openOn(fileSystem, '/b', { ...memoryOptions, iterations: 50 });
    expect(
      await codeOf(() => openOn(fileSystem, '/b', { password: memoryOptions.password, maxIterations: 49 })),
    ).toBe('too-many-iterations');
  });
});
