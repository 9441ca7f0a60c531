/** Folders and files swapped for links between the look and the use. */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeDirectory } from '../../../src/stash/transfer/into-stash.js';
import { readDirectory } from '../../../src/stash/transfer/out-of-stash.js';
import { codeOf, emptyStash, failure, listEntries, temporaryFolder, utf8 } from '../support.js';
import { hookedFiles, type Listed, listFolder, makeFolder } from './transfer-support.js';

const isLinux = process.platform === 'linux';

/** Swaps the folder `d` for a link to the outside right before a call; tells what was written outside. */
async function race(
  call: string,
  pathEnd: string,
  prepare: boolean,
): Promise<{ outside: Listed; code: unknown }> {
  await using folder = await temporaryFolder();
  const target = join(folder.path, 'target');
  const outside = join(folder.path, 'outside');
  await fs.mkdir(outside);
  await fs.mkdir(target);
  if (prepare) await fs.mkdir(join(target, 'd'));
  const { stash } = await emptyStash();
  await stash.write(['d', 'f'], utf8('secret'));
  let swapped = false;
  const files = hookedFiles(async (name, path) => {
    if (swapped || name !== call || !path.endsWith(pathEnd)) return;
    await fs.rename(join(target, 'd'), join(folder.path, 'moved')).catch(() => undefined);
    await fs.symlink(outside, join(target, 'd'));
    swapped = true;
  });
  const code = await codeOf(() => readDirectory(files, stash, [], target, {}));
  expect(swapped).toBe(true);
  expect((await fs.readdir(target)).filter((name) => name !== 'd')).toEqual([]);
  return { outside: await listFolder(outside), code };
}

describe('races', () => {
  test.runIf(isLinux).each([
    ['kind', 'target/d', true],
    ['kind', 'target/d/f', true],
    ['makeFolder', 'target/d', false],
    ['claim', 'target/d/f', true],
    ['rename', 'target/d/f', true],
    ['sync', 'target/d', true],
  ])('a folder swapped for a link before %s of %s leads nowhere', async (call, end, prepare) => {
    const { outside } = await race(call, end, prepare);
    expect(outside).toEqual([]);
  });

  test('a file that appears between the check and the move is not replaced', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    for (const name of ['a', 'b', 'c']) await stash.write([name], utf8('mine'));
    const files = hookedFiles(async (call, path) => {
      if (call === 'claim' && path.endsWith('/b')) await fs.writeFile(path, 'theirs');
    });
    const error = await failure(() => readDirectory(files, stash, [], folder.path, {}));
    expect(error).toMatchObject({ code: 'already-exists', path: join(folder.path, 'b') });
    expect(error.message).toMatch(/1 of 3 files had been written$/);
    expect(await fs.readFile(join(folder.path, 'b'), 'utf8')).toBe('theirs');
    expect((await fs.readdir(folder.path)).toSorted()).toEqual(['a', 'b']);
  });

  test.each(['file', 'link', 'full folder'])(
    'a %s that takes the place of a new target stays',
    async (what) => {
      await using folder = await temporaryFolder();
      const { stash } = await emptyStash();
      await stash.write(['a'], utf8('mine'));
      const target = join(folder.path, 'new');
      const files = hookedFiles(async (call) => {
        if (call !== 'rename') return;
        if (what === 'file') await fs.writeFile(target, 'theirs');
        else if (what === 'link') await fs.symlink('/', target);
        else await fs.mkdir(join(target, 'x'), { recursive: true });
      });
      const code = await codeOf(() => readDirectory(files, stash, [], target, {}));
      expect(code).toBe(what === 'full folder' ? 'already-exists' : 'not-a-folder');
      expect(await fs.readdir(folder.path)).toEqual(['new']);
    },
  );

  test.runIf(isLinux)('a folder or file being stored and swapped for a link is not followed', async () => {
    await using folder = await temporaryFolder();
    const outside = join(folder.path, 'outside');
    const input = join(folder.path, 'in');
    await makeFolder(folder.path, [
      ['outside', [['f', '73']]],
      ['in', []],
    ]);
    for (const [call, name, isFolder] of [
      ['open', 'd', true],
      ['names', 'd', true],
      ['kind', 'd/f', true],
      ['read', 'd', false],
      ['read', 'd/f', true],
    ] as const) {
      const { stash } = await emptyStash();
      await fs.rm(input, { recursive: true });
      await makeFolder(folder.path, [['in', [['d', isFolder ? [['f', '01']] : '01']]]]);
      const files = hookedFiles(async (at, path) => {
        if (at !== call || path !== join(input, name)) return;
        await fs.rename(join(input, 'd'), join(folder.path, 'moved'));
        await fs.symlink(isFolder ? outside : join(outside, 'f'), join(input, 'd'));
      });
      const code = await codeOf(() => writeDirectory(files, stash, [], input, {}));
      expect(code === 'symbolic-link' || typeof code === 'object').toBe(true);
      expect((await listEntries(stash)).map(([, value]) => value)).not.toContain('73');
      await fs.rm(join(folder.path, 'moved'), { recursive: true });
    }
  });
});
