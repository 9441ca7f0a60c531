/** Folders into a stash and back on a real disk: all that is in them, names as Python has them, modes, order. */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { propertyRuns } from '../../support/property-runs.js';
import { hooked, MemoryFileSystem } from '../memory-file-system.js';
import {
  emptyStash,
  hex,
  listEntries,
  memoryOptions,
  memoryPath,
  openOn,
  temporaryFolder,
  utf8,
} from '../support.js';
import { countFiles, type Listed, listFolder, listNodes, makeFolder, python } from './transfer-support.js';

const isLinux = process.platform === 'linux';

/** File names as Latin-1 of their bytes: on Linux any but those with a slash or NUL. */
const rawName = fc
  .oneof(
    fc.constantFrom(
      'a',
      'b',
      'A',
      '...',
      '-rf',
      '__proto__',
      'é',
      '\xff\xfe',
      '\xc3\xa9',
      '\xe2\x82',
      ' ',
      '\n',
    ),
    fc.uint8Array({ minLength: 1, maxLength: 5 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  )
  .filter((name) => !/[/\0]/.test(name) && name !== '.' && name !== '..');

const listArbitrary: fc.Arbitrary<Listed> = fc.letrec<{ list: Listed; none: Listed }>((tie) => ({
  none: fc.constant([]),
  list: fc.uniqueArray(
    fc.tuple(
      rawName,
      fc.oneof(
        { depthSize: 'small' },
        fc.uint8Array({ maxLength: 6 }).map((bytes): string | Listed => hex(bytes)),
        tie('list') as fc.Arbitrary<string | Listed>,
      ),
    ),
    { maxLength: 4, selector: ([name]) => name },
  ),
})).list;

function sorted(list: Listed): Listed {
  return list
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, content]) => [name, typeof content === 'string' ? content : sorted(content)]);
}

async function mode(path: string): Promise<string> {
  return ((await fs.stat(path)).mode & 0o7777).toString(8);
}

describe('round trips', () => {
  test.runIf(isLinux)('any folder comes back as it was, by every way out', async () => {
    await using folder = await temporaryFolder();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(listArbitrary, async (list) => {
        const base = join(folder.path, String(run++));
        await fs.mkdir(base);
        await fs.mkdir(join(base, 'in'));
        await makeFolder(join(base, 'in'), list);
        const { stash } = await emptyStash();
        const stored = await stash.writeDirectory(['at', 'x'], join(base, 'in'));
        expect(stored.files).toBe(countFiles(list));
        expect(await stash.readDirectory(['at', 'x'], join(base, 'whole'))).toEqual(stored);
        expect(await listFolder(join(base, 'whole'))).toEqual(sorted(list));
        await fs.mkdir(join(base, 'into'));
        expect(await stash.readDirectory(['at', 'x'], join(base, 'into'))).toEqual(stored);
        expect(await listFolder(join(base, 'into'))).toEqual(sorted(list));
        await stash.readDirectory(['at', 'x'], join(base, 'into'), { overwrite: true });
        expect(await listFolder(join(base, 'into'))).toEqual(sorted(list));
        const again = await emptyStash();
        await again.stash.writeDirectory(['at', 'x'], join(base, 'whole'));
        expect(await listNodes(again.stash)).toEqual(await listNodes(stash));
        await fs.rm(base, { recursive: true });
      }),
      { numRuns: Math.ceil(propertyRuns() / 30) },
    );
  });

  test.runIf(isLinux)(
    'names are those Python gives the same files, and Python finds ours',
    async (context) => {
      await using folder = await temporaryFolder();
      const input = join(folder.path, 'in');
      await fs.mkdir(input);
      const names = [
        'plain',
        'caf\xc3\xa9',
        'caf\xe9',
        '\xff\x80',
        '\xed\xa0\x80',
        '\xf0\x9f\x94\x91',
        '\xf0\x9f',
      ];
      await makeFolder(
        input,
        names.map((name) => [name, hex(Buffer.from(name, 'latin1'))]),
      );
      const { stash } = await emptyStash();
      await stash.writeDirectory([], input);
      const program = `
folder = json.load(sys.stdin)
read = lambda name: open(os.path.join(folder, name), "rb").read().hex()
print(json.dumps([[name, read(name)] for name in sorted(os.listdir(folder), key=os.fsencode)]))`;
      const asPython = (await listEntries(stash)).map(([[name], value]) => [name, value]);
      expect(python(context, program, input)).toEqual(asPython);
      await stash.readDirectory([], join(folder.path, 'out'));
      expect(python(context, program, join(folder.path, 'out'))).toEqual(asPython);
    },
  );

  test('modes are 0600 and 0700, whatever the umask lets through; the summary counts', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['d', 'f'], utf8('12345'));
    await stash.write(['e'], new Uint8Array());
    const target = join(folder.path, 'new');
    const before = process.umask(0);
    try {
      expect(await stash.readDirectory([], target)).toEqual({ files: 2, byteLength: 5 });
    } finally {
      process.umask(before);
    }
    if (process.platform !== 'win32') {
      expect([await mode(target), await mode(join(target, 'd')), await mode(join(target, 'd', 'f'))]).toEqual(
        ['700', '700', '600'],
      );
    }
    expect(await fs.readdir(folder.path)).toEqual(['new']);
  });

  test('storing is one change: sorted by bytes, empty folders are keys, what is there stays', async () => {
    await using folder = await temporaryFolder();
    await makeFolder(folder.path, [
      ['b', '01'],
      ['B', '02'],
      ['\xc3\xa9', '03'],
      ['empty', []],
      ['a', [['x', '']]],
    ]);
    const renames: string[] = [];
    const memory = hooked(new MemoryFileSystem(), (call) => void (call === 'rename' && renames.push(call)));
    const stash = await openOn(memory, memoryPath, memoryOptions);
    await stash.write(['t', 'old'], utf8('o'));
    await stash.write(['t', 'b'], utf8('o'));
    renames.length = 0;
    await stash.writeDirectory(['t'], folder.path);
    expect(renames).toHaveLength(1);
    expect(await listNodes(stash, ['t'])).toEqual([
      [['t'], null],
      [['t', 'old'], '6f'],
      [['t', 'b'], '01'],
      [['t', 'B'], '02'],
      [['t', 'a'], null],
      [['t', 'a', 'x'], ''],
      [['t', 'empty'], null],
      [['t', 'é'], '03'],
    ]);
  });

  test('progress rises to 1 in each phase', async () => {
    await using folder = await temporaryFolder();
    await makeFolder(folder.path, [
      [
        'a',
        [
          ['x', '01'],
          ['y', '02'],
        ],
      ],
      ['b', '03'],
    ]);
    const { stash } = await emptyStash();
    const seen: string[] = [];
    const last = { read: 0, write: 0 };
    const onProgress = ({ phase, done }: { phase: 'read' | 'write'; done: number }): void => {
      expect(done).toBeGreaterThanOrEqual(last[phase]);
      expect(done).toBeLessThanOrEqual(1);
      last[phase] = done;
      seen.push(phase);
    };
    await stash.writeDirectory([], folder.path, { onProgress });
    expect(last).toEqual({ read: 1, write: 1 });
    for (const name of ['new', 'new']) {
      Object.assign(last, { read: 0, write: 0 });
      await stash.readDirectory([], `${folder.path}/${name}`, { onProgress, overwrite: true });
      expect(last).toEqual({ read: 1, write: 1 });
    }
    expect(seen.length).toBeGreaterThan(12);
  });
});
