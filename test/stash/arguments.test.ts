/** What callers may give: keys, values, options, paths, passwords. */
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { StashKeyError } from '../../src/stash/index.js';
import { MemoryFileSystem } from './memory-file-system.js';
import {
  codeOf,
  emptyStash,
  failure,
  listEntries,
  memoryOptions,
  memoryPath,
  openOn,
  utf8,
} from './support.js';

function refuse(): string {
  throw new Error('asked');
}

describe('arguments', () => {
  test.each([undefined, null, 'a', 5, {}, [5], ['a', undefined], [['a']], Array.from({ length: 1 })])(
    'a key that is no array of strings: %j',
    async (key) => {
      const { stash } = await emptyStash();
      const bad = key as string[];
      const calls = [
        () => stash.read(bad),
        () => stash.has(bad),
        () => stash.children(bad),
        () => stash.remove(bad),
        () => stash.write(bad, utf8('x')),
        () => stash.batch([{ type: 'remove', key: bad }]),
      ];
      for (const call of calls) expect(await codeOf(call)).toBe('bad-key');
    },
  );

  test.each([
    undefined,
    null,
    'text',
    5,
    [1, 2],
    new Uint16Array(2),
    new ArrayBuffer(2),
    new DataView(new ArrayBuffer(2)),
  ])('a value that is no Uint8Array: %o', async (value) => {
    const { stash } = await emptyStash();
    expect(await codeOf(() => stash.write(['a'], value as unknown as Uint8Array))).toBe('bad-value');
    expect(await stash.children([])).toEqual([]);
  });

  test.each([null, 0, 'no', {}])('a `recursive` that is no boolean: %j', async (recursive) => {
    const { stash } = await emptyStash();
    await stash.write(['a'], utf8('x'));
    const options = { recursive: recursive as unknown as boolean };
    expect(await codeOf(() => stash.remove(['a'], options))).toBe('bad-option');
    expect(await codeOf(() => stash.batch([{ type: 'remove', key: ['a'], ...options }]))).toBe('bad-option');
    expect(await stash.children([])).toEqual(['a']);
  });

  test('a Buffer is a value, and so are bytes of another realm', async () => {
    const { stash } = await emptyStash();
    await stash.write(['a'], Buffer.from('x'));
    await stash.write(['b'], runInNewContext('Uint8Array.of(1, 2)') as Uint8Array);
    expect(await listEntries(stash)).toEqual([
      [['a'], '78'],
      [['b'], '0102'],
    ]);
  });

  test('what the caller does to keys, values and results afterwards changes nothing', async () => {
    const { stash } = await emptyStash();
    const [key, value] = [['a'], utf8('x')];
    const written = stash.write(key, value);
    key[0] = 'b';
    value.fill(0);
    await written;
    (await stash.read(['a'])).fill(0);
    expect(await listEntries(stash)).toEqual([[['a'], '78']]);
  });

  test.each<[string, unknown]>([
    ['password', { password: 5 }],
    ['password', {}],
    ['password', { password: 'a\ud800' }],
    ['password', { password: '\udc80a' }],
    ['password', { password: () => 5 }],
    ['password', { password: async () => '\ud800' }],
    ['option', undefined],
    ['option', { password: '', create: 1 }],
    ['option', { password: '', iterations: 0 }],
    ['option', { password: '', iterations: 2 ** 24 + 1 }],
    ['option', { password: '', maxIterations: 2 ** 31 }],
    ['option', { password: '', maxFileByteLength: 1.5 }],
    ['option', { password: '', signal: {} }],
  ])('a bad %s is refused before a file is made: %o', async (what, given) => {
    const fileSystem = new MemoryFileSystem();
    const bad = given === undefined ? undefined : { create: true, iterations: 1, ...(given as object) };
    expect(await codeOf(() => openOn(fileSystem, memoryPath, bad as typeof memoryOptions))).toBe(
      `bad-${what}`,
    );
    expect(fileSystem.list()).toEqual([]);
  });

  test.each(['', 'a\0b', 5, undefined])('a path that is none: %j', async (bad) => {
    expect(await codeOf(() => openOn(new MemoryFileSystem(), bad as string, memoryOptions))).toBe(
      'bad-option',
    );
  });

  test('passwords: text is its UTF-8, bytes are themselves, functions are asked, none is changed', async () => {
    const fileSystem = new MemoryFileSystem();
    const bytes = utf8('pä\u2603');
    await openOn(fileSystem, memoryPath, { ...memoryOptions, password: bytes });
    expect(bytes).toEqual(utf8('pä\u2603'));
    for (const password of ['pä\u2603', () => 'pä\u2603', async () => bytes]) {
      const stash = await openOn(fileSystem, memoryPath, { password });
      await stash.close();
    }
    expect(bytes).toEqual(utf8('pä\u2603'));
    // Not normalized: another spelling is another password.
    expect(await codeOf(() => openOn(fileSystem, memoryPath, { password: 'pa\u0308\u2603' }))).toBe(
      'wrong-password-or-damaged',
    );
  });

  test('a password function that fails is the cause', async () => {
    const cause = new Error('no terminal');
    const { fileSystem } = await emptyStash();
    const password = (): string => {
      throw cause;
    };
    expect(await failure(() => openOn(fileSystem, memoryPath, { password }))).toMatchObject({
      code: 'password-failed',
      cause,
    });
  });

  test('nobody is asked for a password in vain', async () => {
    const fileSystem = new MemoryFileSystem();
    const password = refuse;
    expect(await codeOf(() => openOn(fileSystem, memoryPath, { password }))).toBe('not-found');
    fileSystem.writeNow(memoryPath, new Uint8Array());
    expect(await codeOf(() => openOn(fileSystem, memoryPath, { password, create: true }))).toBe('bad-json');
    const text = `{"hash": "shake_128", "salt": "", "iterations": 1, "enc_blob": "${'00'.repeat(40)}"}`;
    fileSystem.writeNow(memoryPath, utf8(text));
    expect(await codeOf(() => openOn(fileSystem, memoryPath, { password }))).toBe('unsupported-hash');
  });
});

test('an error shows little of a long key, and at little cost', () => {
  const name = '\u00e9'.repeat(50_000_000);
  const { message } = new StashKeyError('key-not-found', 'no such key', { missing: ['a', name] });
  expect(message.length).toBeLessThan(300);
  const deep = new StashKeyError('key-too-deep', 'too deep', {
    key: Array.from({ length: 1_000_000 }, () => 'a'),
  });
  expect(deep.message).toContain('(1000000 levels)');
});
