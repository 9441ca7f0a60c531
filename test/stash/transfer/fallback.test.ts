/** The same folders where there is no `/proc`: by paths without links. */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { codeOf, emptyStash, temporaryFolder, utf8 } from '../support.js';
import { type Listed, listFolder, makeFolder } from './transfer-support.js';

const asked = vi.hoisted(() => ({ count: 0 }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const stat = async (path: string | Buffer, options?: object): Promise<unknown> => {
    if (!path.toString().startsWith('/proc/')) return await real.stat(path, options);
    asked.count++;
    throw Object.assign(new Error('no /proc'), { code: 'ENOENT' });
  };
  return { ...real, stat };
});

test.skipIf(process.platform === 'win32')('a round trip, links refused, nothing left behind', async () => {
  await using folder = await temporaryFolder();
  const input = join(folder.path, 'in');
  const isLinux = process.platform === 'linux';
  const list: Listed = [
    ['a', '01'],
    [
      'd',
      [
        ['e', []],
        ['f', '02'],
      ],
    ],
    ...(isLinux ? ([['\xff', [['\xe9', '03']]]] as Listed) : []),
  ];
  await fs.mkdir(input);
  await makeFolder(input, list);
  const { stash } = await emptyStash();
  await stash.writeDirectory([], input);
  for (const name of ['new', 'in']) {
    await stash.readDirectory([], join(folder.path, name), { overwrite: true });
    expect(await listFolder(join(folder.path, name))).toEqual(list);
  }
  expect(await codeOf(() => stash.readDirectory([], input))).toBe('already-exists');
  await fs.rename(join(input, 'd'), join(folder.path, 'd'));
  await fs.symlink(join(folder.path, 'd'), join(input, 'd'));
  await stash.write(['d', 'new'], utf8('x'));
  expect(await codeOf(() => stash.readDirectory([], input, { overwrite: true }))).toBe('symbolic-link');
  expect(await codeOf(() => stash.writeDirectory([], input))).toBe('symbolic-link');
  expect((await fs.readdir(folder.path)).toSorted()).toEqual(['d', 'in', 'new']);
  expect(await listFolder(join(folder.path, 'd'))).toEqual([
    ['e', []],
    ['f', '02'],
  ]);
  if (isLinux) expect(asked.count).toBeGreaterThan(0);
});
