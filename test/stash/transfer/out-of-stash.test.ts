/** Trees of a stash out to folders: names that are none, and what is in the way. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { StashIOError, StashKeyError } from '../../../src/stash/index.js';
import { readDirectory } from '../../../src/stash/transfer/out-of-stash.js';
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
  temporaryFolder,
  utf8,
} from '../support.js';
import { hookedFiles, listFolder, makeFolder } from './transfer-support.js';

describe('out of a stash', () => {
  const hostile: [string, string[][]][] = [
    ['a parent', [['..', 'x']]],
    ['a path to a parent', [['../x']]],
    ['an absolute path', [['/tmp/secretbus-evil']]],
    ['a path', [['a/b']]],
    ['the folder itself', [['.', 'x']]],
    ['no name', [['', 'x']]],
    ['a NUL', [['a\0b']]],
    ['a lone surrogate', [['\ud800']]],
    ['bytes that are another name', [['\udcc3\udca9']]],
    ['a file that has others below it', [['a'], ['a', 'b']]],
    ['one deep down', [['ok'], ['d', 'e', 'f', '..', 'g']]],
  ];

  test.each(hostile)('%s is refused before anything is written', async (_, keys) => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['t', '0'], utf8('first'));
    for (const key of keys) await stash.write(['t', ...key], utf8('p4ssw0rd'));
    await fs.mkdir(join(folder.path, 'there'));
    for (const target of ['new', 'there']) {
      const error = await failure(() => stash.readDirectory(['t'], join(folder.path, target)));
      expect(error).toBeInstanceOf(StashIOError);
      expect(error).toMatchObject({ code: 'unsafe-name' });
      expect(error.message).not.toContain('p4ssw0rd');
    }
    expect(await listFolder(folder.path)).toEqual([['there', []]]);
  });

  test('names that Windows gives a meaning are refused there', async () => {
    await using folder = await temporaryFolder();
    for (const name of ['a\\..\\..\\b', 'C:x', 'nul', 'a.']) {
      const { stash } = await emptyStash();
      await stash.write([name], utf8('x'));
      const files = hookedFiles(() => undefined, true);
      expect(await codeOf(() => readDirectory(files, stash, [], join(folder.path, 'new'), {}))).toBe(
        'unsafe-name',
      );
    }
    expect(await fs.readdir(folder.path)).toEqual([]);
  });

  test('a key with a value, a missing key and a damaged value are errors, and nothing is written', async () => {
    await using folder = await temporaryFolder();
    const memory = new MemoryFileSystem();
    await plant(memory, `{"a": ${nodeText('01')}, "bad": ${nodeText('zz')}, "none": {"children": {}}}`);
    const stash = await openOn(memory, memoryPath, memoryOptions);
    const target = join(folder.path, 'new');
    expect(await codeOf(() => stash.readDirectory(['a'], target))).toBe('unsafe-name');
    expect(await failure(() => stash.readDirectory(['x'], target))).toBeInstanceOf(StashKeyError);
    expect(await codeOf(() => stash.readDirectory([], target))).toBe('damaged-value');
    expect(await fs.readdir(folder.path)).toEqual([]);
    expect(await stash.readDirectory(['none'], target)).toEqual({ files: 0, byteLength: 0 });
    expect(await listFolder(folder.path)).toEqual([['new', []]]);
  });

  test('files that are there stay, and nothing is written beside them', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['0'], utf8('n'));
    await stash.write(['d', 'f'], utf8('n'));
    await makeFolder(folder.path, [['d', [['f', '6f']]]]);
    const error = await failure(() => stash.readDirectory([], folder.path));
    expect(error).toMatchObject({ code: 'already-exists', path: join(folder.path, 'd', 'f') });
    expect(await listFolder(folder.path)).toEqual([['d', [['f', '6f']]]]);
    await stash.readDirectory([], folder.path, { overwrite: true });
    expect(await listFolder(folder.path)).toEqual([
      ['0', '6e'],
      ['d', [['f', '6e']]],
    ]);
  });

  test('replaced files are new ones: other names and open handles keep the old contents', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['f'], utf8('new'));
    const file = join(folder.path, 'f');
    await fs.writeFile(file, 'old', { mode: 0o644 });
    await fs.link(file, `${folder.path}-other`);
    await stash.readDirectory([], folder.path, { overwrite: true });
    expect(await fs.readFile(`${folder.path}-other`, 'utf8')).toBe('old');
    expect(await fs.readFile(file, 'utf8')).toBe('new');
    await fs.rm(`${folder.path}-other`);
  });

  test.each([false, true])('what else is in the way is refused with overwrite %s', async (overwrite) => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['0'], utf8('x'));
    await stash.write(['d', 'f'], utf8('x'));
    const outside = `${folder.path}-outside`;
    await fs.mkdir(outside);
    await fs.writeFile(join(outside, 'f'), 'o');
    const d = join(folder.path, 'd');
    const cases: [string, () => Promise<unknown>][] = [
      ['symbolic-link', () => fs.symlink(outside, d)],
      ['symbolic-link', () => fs.symlink('nowhere', d)],
      ['not-a-folder', () => fs.writeFile(d, 'x')],
      ['not-a-file', () => fs.mkdir(join(d, 'f'), { recursive: true })],
      ['symbolic-link', () => fs.mkdir(d).then(() => fs.symlink(join(outside, 'f'), join(d, 'f')))],
      ['not-a-file', () => fs.mkdir(d).then(() => execFileSync('mkfifo', [join(d, 'f')]) as unknown)],
    ];
    try {
      for (const [code, prepare] of cases) {
        await prepare();
        const before = await listFolder(folder.path);
        expect(await codeOf(() => stash.readDirectory([], folder.path, { overwrite }))).toBe(code);
        expect(await listFolder(folder.path)).toEqual(before);
        await fs.rm(d, { recursive: true });
      }
      expect(await listFolder(outside)).toEqual([['f', '6f']]);
    } finally {
      await fs.rm(outside, { recursive: true });
    }
  });

  test('the target itself: a link to a folder is followed, a dangling one, a file and a missing folder are not', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['f'], utf8('x'));
    const at = (name: string): string => join(folder.path, name);
    await fs.mkdir(at('real'));
    await fs.symlink('real', at('link'));
    await stash.readDirectory([], at('link'));
    expect(await listFolder(at('real'))).toEqual([['f', '78']]);
    await fs.symlink('nowhere', at('dangling'));
    expect(await codeOf(() => stash.readDirectory([], at('dangling')))).toBe('symbolic-link');
    expect(await codeOf(() => stash.readDirectory([], at('real/f')))).toBe('not-a-folder');
    expect(await codeOf(() => stash.readDirectory([], at('none/new')))).toBe('not-found');
    expect((await fs.readdir(folder.path)).toSorted()).toEqual(['dangling', 'link', 'real']);
  });
});
