/** What happens between two calls of the system: a look and an opening, two halves of a file, two names of a list. */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { codeOf, emptyStash, temporaryFolder, utf8 } from '../support.js';
import { type Listed, makeFolder } from './transfer-support.js';

type Step = () => Promise<unknown>;

/** Called after the looks at a name, and after the reads of a file, each until it says so no more. */
const after = vi.hoisted(
  (): { lstat: ((path: string) => Promise<void>) | undefined; read: Step | undefined } => ({
    lstat: undefined,
    read: undefined,
  }),
);

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    lstat: async (path: string | Buffer, options?: object): Promise<unknown> => {
      const stats = await real.lstat(path, options);
      await after.lstat?.(path.toString());
      return stats;
    },
    open: async (...args: Parameters<typeof real.open>): Promise<unknown> => {
      const handle = await real.open(...args);
      const read = handle.read.bind(handle) as (...all: unknown[]) => Promise<unknown>;
      Object.assign(handle, {
        read: async (...all: unknown[]): Promise<unknown> => {
          const result = await read(...all);
          await after.read?.();
          return result;
        },
      });
      return handle;
    },
    readdir: async (path: string, options: { encoding: 'buffer' }): Promise<unknown> =>
      (await real.readdir(path, options)).toReversed(),
  };
});

afterEach(() => {
  after.lstat = undefined;
  after.read = undefined;
});

/** Swaps `d` in `folder` for a link to the outside after it was looked at `looks` times. */
function swap(folder: string, outside: string, looks: number): void {
  let seen = 0;
  after.lstat = async (path) => {
    if (!path.endsWith('/d') || ++seen < looks) return;
    after.lstat = undefined;
    await fs.rm(join(folder, 'd'), { recursive: true });
    await fs.symlink(outside, join(folder, 'd'));
  };
}

describe.skipIf(process.platform === 'win32')('between the look and the opening', () => {
  const kinds: [string, string | Listed][] = [
    ['file', '01'],
    ['folder', [['f', '01']]],
  ];

  test.each(kinds)('a %s swapped for a link is not read', async (_, content) => {
    for (let looks = 1; ; looks++) {
      await using folder = await temporaryFolder();
      const { stash } = await emptyStash();
      const input = join(folder.path, 'in');
      await makeFolder(folder.path, [
        ['in', [['d', content]]],
        ['outside', content],
      ]);
      swap(input, join(folder.path, 'outside'), looks);
      const code = await codeOf(() => stash.writeDirectory([], input));
      if (after.lstat !== undefined) {
        expect(looks).toBeGreaterThan(2);
        break;
      }
      // Linux says of a link that it is no folder, others that it is a link.
      expect(['symbolic-link', 'not-a-folder']).toContain(code);
      expect(await stash.children([])).toEqual([]);
    }
  });

  test('a folder swapped for a link is not written into', async () => {
    const { stash } = await emptyStash();
    await stash.write(['d', 'f'], utf8('secret'));
    for (let looks = 1; ; looks++) {
      await using folder = await temporaryFolder();
      await makeFolder(folder.path, [
        ['target', [['d', []]]],
        ['outside', []],
      ]);
      swap(join(folder.path, 'target'), join(folder.path, 'outside'), looks);
      const code = await codeOf(() => stash.readDirectory([], join(folder.path, 'target')));
      expect(await fs.readdir(join(folder.path, 'outside'))).toEqual([]);
      expect(await fs.readdir(join(folder.path, 'target'))).toEqual(['d']);
      if (after.lstat !== undefined) {
        expect(looks).toBeGreaterThan(3);
        break;
      }
      // Swapped after the last use of the folder, the file is in the folder that was.
      const moved = { files: 1, byteLength: 6 };
      expect(['symbolic-link', 'not-a-folder', moved]).toContainEqual(code);
    }
  });
});

describe('a file that changes while it is read', () => {
  test('is read again, and an error if it changes each time', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await fs.writeFile(folder.file, 'old!');
    let changes = 1;
    after.read = async () => {
      if (changes-- > 0) await fs.writeFile(folder.file, 'new!');
    };
    await stash.writeFile(['a'], folder.file);
    expect(await stash.read(['a'])).toEqual(utf8('new!'));
    changes = Number.POSITIVE_INFINITY;
    expect(await codeOf(() => stash.writeFile(['a'], folder.file))).toBe('contended');
    // Growing, and being cut, shows in the length too.
    let text = 'x';
    after.read = async () => await fs.writeFile(folder.file, (text += 'x'));
    expect(await codeOf(() => stash.writeDirectory([], folder.path))).toBe('contended');
    expect(await stash.read(['a'])).toEqual(utf8('new!'));
  });
});

test('names are sorted by their bytes, however the system lists them', async () => {
  await using folder = await temporaryFolder();
  const names = ['A', 'B', 'a', 'a b', 'ab', 'b', 'é', '\uff5e', '🔑'];
  for (const name of names) await fs.writeFile(join(folder.path, name), '');
  const { stash } = await emptyStash();
  await stash.writeDirectory([], folder.path);
  expect(await stash.children([])).toEqual(names);
});

test.skipIf(process.platform === 'win32')('a file has mode 0600 whatever the umask takes away', async () => {
  await using folder = await temporaryFolder();
  const { stash } = await emptyStash();
  await stash.write(['a'], utf8('x'));
  const before = process.umask(0o777);
  try {
    await stash.readFile(['a'], folder.file);
  } finally {
    process.umask(before);
  }
  expect((await fs.stat(folder.file)).mode & 0o7777).toBe(0o600);
});
