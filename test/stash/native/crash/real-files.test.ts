/** Real disks that are full or read-only, and things at the path that are no file: typed errors, and what was there stays. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Stash } from '../../../../src/stash/native/stash.js';
import { describeWith, runs } from '../../../support/external.js';
import { codeOf, failure } from '../../support.js';
import { bytes, newKey } from './harness.js';
import { listing } from './track.js';

const isRoot = process.getuid?.() === 0;
const isWindows = process.platform === 'win32';
const credential = newKey();
const create = { ...credential, create: true, autoCompact: false };

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

function temporaryFolder(): string {
  const folder = fs.mkdtempSync(join(tmpdir(), 'secretbus-native-'));
  cleanups.push(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function canMount(): boolean {
  if (!isRoot || process.platform !== 'linux') return false;
  const folder = fs.mkdtempSync(join(tmpdir(), 'secretbus-mount-'));
  const mounted = runs('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
  if (mounted) runs('umount', [folder]);
  fs.rmdirSync(folder);
  return mounted;
}

/** A disk of its own of so many KiB. */
function smallDisk(kib: number): string {
  const folder = temporaryFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', folder]);
  cleanups.push(() => execFileSync('umount', ['-l', folder]));
  return folder;
}

async function reopened(path: string): Promise<string> {
  await using stash = await Stash.open(path, { ...credential, readOnly: true });
  await stash.verify();
  return await listing(stash);
}

describeWith('a disk of its own (mount -t tmpfs, as root)', canMount())('a disk that is full', () => {
  test.each([
    ['small values', 100],
    ['values of some pages', 10_000],
    ['large values', 90_000],
  ])(
    '%s: what was acknowledged stays, what did not fit is not there, and there is a way back',
    async (_name, byteLength) => {
      const folder = smallDisk(512);
      const path = join(folder, 'store');
      fs.writeFileSync(join(folder, 'ballast'), new Uint8Array(140_000));
      const stash = await Stash.open(path, create);
      let count = 0;
      let full: unknown;
      for (; full === undefined; count++) {
        const before = await listing(stash);
        const error = await stash.write([`${count}`], bytes(byteLength)).catch((thrown: unknown) => thrown);
        if (error === undefined) continue;
        expect(error).toMatchObject({ code: 'io-failed', path });
        expect(await listing(stash)).toBe(before);
        expect(await reopened(path)).toBe(before);
        full = error;
      }
      expect(count).toBeGreaterThan(2);
      const before = await listing(stash);
      // Batches of which a part would fit.
      const batch = [1, byteLength, byteLength].map(
        (length, index) => ({ type: 'write', key: [`batch ${index}`], value: bytes(length) }) as const,
      );
      expect(await codeOf(() => stash.batch(batch))).toBe('io-failed');
      expect(await codeOf(() => stash.compact())).toBe('io-failed');
      expect(await codeOf(() => stash.rekey())).toBe('io-failed');
      expect(await listing(stash)).toBe(before);
      expect(await reopened(path)).toBe(before);
      expect(fs.readdirSync(folder).toSorted()).toEqual(['ballast', 'store']);
      // Pages of the header are there already.
      await stash.addSlot(newKey());
      fs.rmSync(join(folder, 'ballast'));
      await stash.write(['after'], bytes(20));
      await stash.remove(['0']);
      const after = await listing(stash);
      await stash.close();
      expect(await reopened(path)).toBe(after);
    },
  );

  test('no room for a new store: an error and nothing left, and later it can be made', async () => {
    const folder = smallDisk(64);
    const path = join(folder, 'store');
    fs.writeFileSync(join(folder, 'ballast'), new Uint8Array(60 * 1024));
    expect(await failure(() => Stash.open(path, create))).toMatchObject({ code: 'io-failed' });
    expect(fs.readdirSync(folder)).toEqual(['ballast']);
    fs.truncateSync(join(folder, 'ballast'), 0);
    await using stash = await Stash.open(path, create);
    await stash.write(['a'], bytes(20));
  });

  test('a disk that is read-only can be read from, and changes nothing', async () => {
    const folder = smallDisk(256);
    const path = join(folder, 'store');
    await using stash = await Stash.open(path, create);
    await stash.write(['a'], bytes(20));
    const before = await listing(stash);
    await stash.close();
    execFileSync('mount', ['-o', 'remount,ro', folder]);
    expect(await failure(() => Stash.open(path, create))).toMatchObject({
      code: 'permission-denied',
      systemCode: 'EROFS',
    });
    expect(await failure(() => Stash.open(join(folder, 'other'), create))).toMatchObject({
      code: 'permission-denied',
    });
    expect(await reopened(path)).toBe(before);
    expect(fs.readdirSync(folder)).toEqual(['store']);
  });
});

function canFreeze(): boolean {
  if (!isRoot || process.platform !== 'linux') return false;
  const folder = fs.mkdtempSync(join(tmpdir(), 'secretbus-freeze-'));
  const frozen = runs('chattr', ['+i', folder]);
  if (frozen) runs('chattr', ['-i', folder]);
  fs.rmdirSync(folder);
  return frozen;
}

// No describeWith: many file systems do not know it, those of containers among them.
describe.skipIf(!canFreeze())('a file that cannot be changed (chattr +i)', () => {
  test('writing, compacting and slots fail, all stays, and it goes on afterwards', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'store');
    await using stash = await Stash.open(path, create);
    await stash.write(['a'], bytes(20));
    const before = await listing(stash);
    for (const frozen of [path, folder]) {
      execFileSync('chattr', ['+i', frozen]);
      try {
        if (frozen === path) {
          expect(await codeOf(() => stash.write(['b'], bytes(20)))).toBe('permission-denied');
          expect(await codeOf(() => stash.write(['b'], bytes(50_000)))).toBe('permission-denied');
          expect(await codeOf(() => stash.addSlot(newKey()))).toBe('permission-denied');
          expect(await codeOf(() => Stash.open(path, credential))).toBe('permission-denied');
        }
        expect(await codeOf(() => stash.compact())).toBe('permission-denied');
        expect(await codeOf(() => stash.rekey())).toBe('permission-denied');
        expect(await listing(stash)).toBe(before);
        expect(await reopened(path)).toBe(before);
      } finally {
        execFileSync('chattr', ['-i', frozen]);
      }
    }
    await stash.write(['b'], bytes(20));
    await stash.compact();
    expect(fs.readdirSync(folder)).toEqual(['store']);
    expect(await reopened(path)).toBe(await listing(stash));
  });
});

/** Runs `action` as a user without special rights, where the tests run as root. */
async function withoutRights(action: () => Promise<void>): Promise<void> {
  if (!isRoot) return await action();
  process.seteuid?.(65_534);
  try {
    await action();
  } finally {
    process.seteuid?.(0);
  }
}

describe.skipIf(isWindows)('rights', () => {
  test('a file or folder that may not be written to stays as it is', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'store');
    fs.chmodSync(folder, 0o777);
    await withoutRights(async () => {
      await using stash = await Stash.open(path, create);
      await stash.write(['a'], bytes(20));
      const before = await listing(stash);
      fs.chmodSync(path, 0o400);
      expect(await codeOf(() => Stash.open(path, credential))).toBe('permission-denied');
      expect(await codeOf(() => stash.compact())).toBe('permission-denied');
      expect(await reopened(path)).toBe(before);
      fs.chmodSync(path, 0o000);
      expect(await codeOf(() => Stash.open(path, { ...credential, readOnly: true }))).toBe(
        'permission-denied',
      );
      fs.chmodSync(path, 0o600);
      await stash.write(['b'], bytes(20));
    });
    // No new names here, and no looking at them either.
    for (const mode of [0o555, 0o711]) {
      fs.chmodSync(folder, mode);
      await withoutRights(async () => {
        await using stash = await Stash.open(path, { ...credential, autoCompact: false });
        await stash.write([`${mode}`], bytes(20));
        expect(await codeOf(() => stash.compact())).toBe('permission-denied');
        expect(await codeOf(() => Stash.open(`${path} 2`, create))).toBe('permission-denied');
        expect(await reopened(path)).toBe(await listing(stash));
      });
    }
    fs.chmodSync(folder, 0o755);
    expect(fs.readdirSync(folder)).toEqual(['store']);
  });
});

/** What may be at a path instead of a file, and the codes of opening it, without and with `create`. */
const things: Record<string, [make: (path: string) => unknown, codes: readonly [string, string]]> = {
  nothing: [() => undefined, ['not-found', '']],
  'a folder': [(path) => fs.mkdirSync(path), ['not-a-file', 'not-a-file']],
  'a FIFO': [(path) => execFileSync('mkfifo', [path]), ['not-a-file', 'not-a-file']],
  'a socket': [
    (path) => {
      const server = createServer().listen(path);
      cleanups.push(() => server.close());
      return new Promise((resolve) => server.once('listening', resolve));
    },
    ['not-a-file', 'not-a-file'],
  ],
  'a device': [(path) => fs.symlinkSync('/dev/null', path), ['not-a-file', 'not-a-file']],
  'a link to nowhere': [(path) => fs.symlinkSync(`${path} away`, path), ['not-found', 'not-a-file']],
  'a link to itself': [(path) => fs.symlinkSync(path, path), ['io-failed', 'io-failed']],
  'an empty file': [(path) => fs.writeFileSync(path, ''), ['not-a-stash', 'not-a-stash']],
  'a file of zeros': [
    (path) => fs.writeFileSync(path, new Uint8Array(10_000)),
    ['not-a-stash', 'not-a-stash'],
  ],
};

describe.skipIf(isWindows).each(Object.entries(things))('%s at the path', (name, [make, codes]) => {
  test('opening and creating', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'store');
    await make(path);
    const names = fs.readdirSync(folder);
    for (const [index, expected] of codes.entries()) {
      if (expected === '') continue;
      expect(await codeOf(() => Stash.open(path, { ...credential, create: index === 1 }))).toBe(expected);
      expect(await codeOf(() => Stash.open(path, { ...credential, readOnly: true }))).toBe(codes[0]);
      expect(fs.readdirSync(folder)).toEqual(names);
    }
  });

  test('in the place of a store that is open: nothing is written to it, and the store goes on when it is back', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'store');
    await using stash = await Stash.open(path, create);
    await stash.write(['a'], bytes(20));
    fs.renameSync(path, `${path} kept`);
    await make(path);
    const names = fs.readdirSync(folder);
    const actions = [
      () => stash.write(['b'], bytes(20)),
      () => stash.write(['b'], bytes(50_000)),
      () => stash.compact(),
      () => stash.rekey(),
      () => stash.addSlot(newKey()),
      () => stash.verify(),
      () => stash.read(['a']),
    ];
    const opening = name === 'nothing' ? 'not-found' : codes[0];
    for (const action of actions) expect(await codeOf(action)).toBe(opening);
    expect(fs.readdirSync(folder)).toEqual(names);
    fs.rmSync(path, { recursive: true, force: true });
    fs.renameSync(`${path} kept`, path);
    await stash.write(['c'], bytes(20));
    expect(await stash.children([])).toEqual(['a', 'c']);
    expect(await reopened(path)).toBe(await listing(stash));
  });
});

test('a path through a file, and one that is too long', async () => {
  const folder = temporaryFolder();
  fs.writeFileSync(join(folder, 'file'), 'x');
  expect(await codeOf(() => Stash.open(join(folder, 'file', 'store'), create))).toBe('not-found');
  expect(await codeOf(() => Stash.open(join(folder, 'x'.repeat(300)), create))).toBe('io-failed');
  expect(await codeOf(() => Stash.open(join(folder, 'missing', 'store'), create))).toBe('not-found');
  expect(fs.readdirSync(folder)).toEqual(['file']);
});
