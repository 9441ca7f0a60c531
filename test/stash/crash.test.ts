/**
 * What is left when something fails: an error at each call to the system, a power cut at each, and damage to
 * each byte. The file holds the old state or the new one, whole; what was acknowledged stays.
 */
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { FileSystem } from '../../src/stash/file-system.js';
import { type SecureStash, StashError, StashIOError } from '../../src/stash/index.js';
import { nodeFileSystem } from '../../src/stash/node-file-system.js';
import { hooked, MemoryFileSystem } from './memory-file-system.js';
import {
  codeOf,
  emptyStash,
  listEntries,
  memoryOptions,
  memoryPath,
  openOn,
  temporaryFolder,
  utf8,
} from './support.js';

const changes: Record<string, (stash: SecureStash) => Promise<unknown>> = {
  write: (stash) => stash.write(['a'], utf8('new')),
  remove: (stash) => stash.remove(['b']),
  batch: (stash) =>
    stash.batch([
      { type: 'remove', key: ['a'] },
      { type: 'write', key: ['c', 'd'], value: utf8('new') },
    ]),
};

/** The calls whose failure nobody needs to hear of: the work was done, or could be done otherwise. */
const tolerable: ReadonlySet<string> = new Set(['remove', 'link']);

function ioError(call: string): Error {
  return Object.assign(new Error(`EIO: ${call}`), { code: 'EIO' });
}

async function filled(fileSystem: FileSystem, path: string): Promise<void> {
  const stash = await openOn(fileSystem, path, memoryOptions);
  await stash.write(['a'], utf8('old'));
  await stash.write(['b'], utf8('old'));
  await stash.close();
}

async function entriesOn(disk: FileSystem): Promise<[string[], string][]> {
  return await listEntries(await openOn(disk, memoryPath, { password: memoryOptions.password }));
}

interface Place extends AsyncDisposable {
  readonly fileSystem: FileSystem;
  readonly path: string;
  list(): Promise<string[]>;
}

async function inMemory(): Promise<Place> {
  const fileSystem = new MemoryFileSystem();
  const list = async (): Promise<string[]> => fileSystem.list();
  return { fileSystem, path: memoryPath, list, [Symbol.asyncDispose]: async () => undefined };
}

async function onDisk(): Promise<Place> {
  const folder = await temporaryFolder();
  return { ...folder, fileSystem: nodeFileSystem, path: folder.file, list: () => readdir(folder.path) };
}

describe.each<[string, () => Promise<Place>]>([
  ['in memory', inMemory],
  ['on the disk', onDisk],
])('an error at each call, %s', (_where, makePlace) => {
  test.each(Object.keys(changes))('%s: the old state or the new one, here and in the file', async (name) => {
    const change = changes[name];
    if (change === undefined) throw new Error('unknown change');
    const codes = new Set<unknown>();
    let failAt = 0;
    for (let reached = true; reached; failAt++) {
      await using place = await makePlace();
      const { fileSystem, path } = place;
      await filled(fileSystem, path);
      let count = -1;
      let failed = '';
      const stash = await openOn(
        // Short writes, so that some fail in the middle.
        hooked(
          fileSystem,
          (call) => {
            if (count < 0 || count++ !== failAt) return;
            failed = call;
            throw ioError(call);
          },
          200,
        ),
        path,
        memoryOptions,
      );
      const before = await listEntries(stash);
      count = 0;
      const code = await codeOf(() => change(stash));
      count = -1;
      reached = failed !== '';
      const here = await listEntries(stash);
      const reader = await openOn(fileSystem, path, { password: memoryOptions.password });
      expect(await listEntries(reader)).toEqual(here);
      const isNew = JSON.stringify(here) !== JSON.stringify(before);
      if (typeof code !== 'string') expect(isNew).toBe(true);
      else
        expect([failed, code, isNew]).toEqual([
          failed,
          failed === 'syncFolder' ? 'not-durable' : 'io-failed',
          failed === 'syncFolder',
        ]);
      if (reached && !tolerable.has(failed)) expect(typeof code).toBe('string');
      expect(await place.list()).toHaveLength(1);
      codes.add(failed);
      // The handle still works.
      await stash.write(['after'], utf8('x'));
      expect(await reader.read(['after'])).toEqual(utf8('x'));
    }
    for (const call of [
      'stat',
      'realpath',
      'access',
      'create',
      'chmod',
      'write',
      'sync',
      'close',
      'rename',
      'syncFolder',
    ]) {
      expect([...codes]).toContain(call);
    }
  });

  test('creating: nothing, or an empty stash', async () => {
    for (const links of [true, false]) {
      const calls = new Set<string>();
      let failAt = 0;
      for (let reached = true; reached; failAt++) {
        await using place = await makePlace();
        let count = 0;
        let failed = '';
        const fileSystem = hooked(place.fileSystem, (call) => {
          if (count++ === failAt) {
            failed = call;
            throw ioError(call);
          }
          if (call === 'link' && !links) throw Object.assign(new Error('EPERM'), { code: 'EPERM' });
        });
        const code = await codeOf(async () => {
          await openOn(fileSystem, place.path, memoryOptions);
          return undefined;
        });
        reached = failed !== '';
        calls.add(failed);
        const names = await place.list();
        if (failed === 'remove') expect(code).toBeUndefined();
        else if (reached) expect(code).toBe(failed === 'syncFolder' ? 'not-durable' : 'io-failed');
        if (failed !== 'remove')
          expect(names).toHaveLength(code === undefined || failed === 'syncFolder' ? 1 : 0);
        if (names.length === 0) continue;
        const stash = await openOn(place.fileSystem, place.path, { password: memoryOptions.password });
        expect(await stash.children([])).toEqual([]);
      }
      for (const call of ['stat', 'create', 'write', 'sync', 'link', 'syncFolder'])
        expect([...calls]).toContain(call);
      if (!links) expect([...calls]).toContain('rename');
    }
  });
});

describe('errors of the system', () => {
  test.each([
    ['ENOSPC', 'io-failed'],
    ['EDQUOT', 'io-failed'],
    ['EROFS', 'permission-denied'],
    ['EACCES', 'permission-denied'],
    ['EPERM', 'permission-denied'],
  ])('%s is %s, with the cause, the path and the operation', async (systemCode, code) => {
    const memory = new MemoryFileSystem();
    let armed = false;
    const cause = Object.assign(new Error(systemCode), { code: systemCode });
    const fileSystem = hooked(memory, (call) => {
      if (armed && call === 'sync') throw cause;
    });
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    armed = true;
    const error = await stash.write(['a'], utf8('x')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StashIOError);
    expect(error).toMatchObject({ code, systemCode, cause, path: memoryPath, operation: 'sync' });
  });

  test('a folder that cannot be synced says that the change was made', async () => {
    const memory = new MemoryFileSystem();
    let armed = false;
    const fileSystem = hooked(memory, (call) => {
      if (armed && call === 'syncFolder') throw ioError(call);
    });
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    armed = true;
    expect(await codeOf(() => stash.write(['a'], utf8('x')))).toBe('not-durable');
    expect(await stash.read(['a'])).toEqual(utf8('x'));
  });

  test('a write that takes nothing ends in an error', async () => {
    const memory = new MemoryFileSystem();
    const stash = await openOn(memory, memoryPath, memoryOptions);
    const stuck = await openOn(
      hooked(memory, () => undefined, 0),
      memoryPath,
      memoryOptions,
    );
    expect(await codeOf(() => stuck.write(['a'], utf8('x')))).toBe('io-failed');
    expect(await stash.children([])).toEqual([]);
    expect(memory.list()).toEqual([memoryPath]);
  });
});

describe('a power cut at each call', () => {
  test.each(Object.keys(changes))(
    '%s: the old state or the new one; once acknowledged, the new one',
    async (name) => {
      const change = changes[name];
      if (change === undefined) throw new Error('unknown change');
      let cuts = 0;
      const memory = new MemoryFileSystem();
      await filled(memory, memoryPath);
      const old = await listEntries(await openOn(memory, memoryPath, memoryOptions));
      const survivors: MemoryFileSystem[] = [];
      const fileSystem = hooked(
        memory,
        () => void survivors.push(memory.afterPowerCut(true), memory.afterPowerCut(false)),
        50,
      );
      const stash = await openOn(fileSystem, memoryPath, memoryOptions);
      await change(stash);
      const acknowledged = [memory.afterPowerCut(true), memory.afterPowerCut(false)];
      const changed = await listEntries(stash);
      for (const disk of survivors) {
        cuts++;
        expect([old, changed]).toContainEqual(await entriesOn(disk));
      }
      for (const disk of acknowledged) expect(await entriesOn(disk)).toEqual(changed);
      expect(cuts).toBeGreaterThan(30);
    },
  );

  test('creating: nothing or an empty stash; once acknowledged, a stash', async () => {
    const memory = new MemoryFileSystem();
    const survivors: MemoryFileSystem[] = [];
    const fileSystem = hooked(
      memory,
      () => void survivors.push(memory.afterPowerCut(true), memory.afterPowerCut(false)),
    );
    await openOn(fileSystem, memoryPath, memoryOptions);
    const acknowledged = [memory.afterPowerCut(true), memory.afterPowerCut(false)];
    for (const disk of survivors)
      expect(['not-found', []]).toContainEqual(await codeOf(() => entriesOn(disk)));
    for (const disk of acknowledged) expect(await entriesOn(disk)).toEqual([]);
  });
});

describe('damage', () => {
  const sound = new Uint8Array(readFileSync(new URL('../vectors/sstash/sha256.sstash', import.meta.url)));
  const { password } = (
    JSON.parse(readFileSync(new URL('../vectors/sstash/index.json', import.meta.url), 'utf8')) as {
      file: string;
      password: string;
    }[]
  ).find(({ file }) => file === 'sha256.sstash') ?? { password: '' };

  async function outcome(bytes: Uint8Array): Promise<unknown> {
    const fileSystem = new MemoryFileSystem();
    fileSystem.writeNow(memoryPath, bytes);
    try {
      return await listEntries(await openOn(fileSystem, memoryPath, { password, create: true }));
    } catch (error) {
      // Unreadable is never empty, and never written to.
      expect(error).toBeInstanceOf(StashError);
      expect(fileSystem.readNow(memoryPath)).toEqual(bytes);
      return (error as StashError).code;
    }
  }

  test('each bit of a small file changed: the right entries or a typed error', async () => {
    const right = await outcome(sound);
    expect(right).toEqual([[['k'], '76']]);
    const outcomes = new Map<string, number>();
    for (let bit = 0; bit < sound.length * 8; bit++) {
      const bytes = sound.slice();
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const got = await outcome(bytes);
      if (typeof got !== 'string') expect(got).toEqual(right);
      const code = typeof got === 'string' ? got : 'right';
      outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
    }
    for (const code of [
      'right',
      'bad-json',
      'bad-hex',
      'bad-members',
      'wrong-password-or-damaged',
      'unsupported-hash',
    ]) {
      expect(outcomes.get(code)).toBeGreaterThan(0);
    }
  });

  test('each truncation is bad JSON', async () => {
    for (let length = 0; length < sound.length; length++) {
      expect(await outcome(sound.subarray(0, length))).toBe('bad-json');
    }
  });

  test('each byte removed, and each doubled', async () => {
    const right = await outcome(sound);
    for (let at = 0; at < sound.length; at++) {
      const removed = new Uint8Array([...sound.subarray(0, at), ...sound.subarray(at + 1)]);
      const doubled = new Uint8Array([...sound.subarray(0, at + 1), ...sound.subarray(at)]);
      for (const bytes of [removed, doubled]) {
        const got = await outcome(bytes);
        if (typeof got !== 'string') expect(got).toEqual(right);
      }
    }
  });

  test('an open handle never shows a damaged file as empty', async () => {
    const { fileSystem, stash } = await emptyStash();
    await stash.write(['a'], utf8('x'));
    const good = fileSystem.readNow(memoryPath);
    for (let length = 0; length < good.length; length++) {
      fileSystem.writeNow(memoryPath, good.subarray(0, length));
      expect(await codeOf(() => stash.children([]))).toBe('bad-json');
    }
  });
});
