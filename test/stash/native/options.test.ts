/** Options: which are refused, before anything is touched, and what each does. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Stash, type StashOptions } from '../../../src/stash/index.js';
import { describeWith, runs } from '../../support/external.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, hookedEnvironment, listNodes, Place } from './support.js';

const one = utf8('1');
const isRoot = process.getuid?.() === 0;

describe('bad options', () => {
  test('of open are refused before the file is touched', async () => {
    await using place = new Place();
    const calls: string[] = [];
    const environment = hookedEnvironment((call) => void calls.push(call));
    const bad: [object, string?][] = [
      [{ password: 'p' }],
      [{ key: undefined, recoveryKey: undefined, password: undefined }],
      [{ key: 'text' }, 'bad-password'],
      [{ key: new Uint8Array(31) }, 'bad-password'],
      [{ key: new Uint8Array(2 ** 20 + 1) }, 'bad-password'],
      [{ key: new Uint16Array(32) }, 'bad-password'],
      [{ key: undefined, password: 5 }, 'bad-password'],
      [{ key: undefined, password: null }, 'bad-password'],
      [{ key: undefined, password: 'a\udc00' }, 'bad-password'],
      [{ key: undefined, recoveryKey: 'too short' }, 'bad-password'],
      [{ create: 1 }],
      [{ create: null }],
      [{ readOnly: 'yes' }],
      [{ durability: 'some' }],
      [{ durability: null }],
      [{ padding: 0 }],
      [{ upgrade: 'no' }],
      [{ autoCompact: {} }],
      [{ lock: 'fcntl' }],
      [{ lockTimeoutMs: 0 }],
      [{ lockTimeoutMs: 0.5 }],
      [{ lockTimeoutMs: Number.POSITIVE_INFINITY }],
      [{ lockTimeoutMs: '5' }],
      [{ signal: {} }],
      [{ signal: 'now' }],
      [{ onProgress: true }],
      [{ atLeast: {} }],
      [{ derivation: 'scrypt' }],
      [{ derivation: {} }],
      [{ derivation: { name: 'md5' } }],
      [{ derivation: { name: 'scrypt', N: 1000 } }],
      [{ derivation: { name: 'scrypt', N: 2 ** 25 } }],
      [{ derivation: { name: 'argon2id', memoryKiB: 8, lanes: 4 } }],
      [{ derivation: { name: 'pbkdf2', iterations: 0 } }],
      [{ derivationLimits: 5 }],
      [{ derivationLimits: { maxPasses: 0 } }],
      [{ derivation: { name: 'pbkdf2', iterations: 100 }, derivationLimits: { maxIterations: 99 } }],
    ];
    for (const [options, code = 'bad-option'] of bad) {
      // The first: with a key besides.
      const given = 'password' in options && !('key' in options) ? { key: place.key, ...options } : options;
      const shown = JSON.stringify(Object.keys(options));
      expect([shown, await codeOf(() => place.openOn(environment, given as StashOptions))]).toEqual([
        shown,
        code,
      ]);
    }
    for (const options of [undefined, null, 5, 'text']) {
      expect(await codeOf(() => Stash.open(place.path, options as unknown as StashOptions))).toBe(
        'bad-option',
      );
      expect(await codeOf(() => Stash.salvage(place.path, 'x', options as unknown as StashOptions))).toBe(
        'bad-option',
      );
    }
    for (const path of ['', 'a\0b', 5, undefined, new URL('file:///tmp/x')]) {
      expect(await codeOf(() => Stash.open(path as string, place.options()))).toBe('bad-option');
    }
    expect(calls).toEqual([]);
    expect(place.names()).toEqual([]);
  });

  test('of operations are refused, and change nothing', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const before = readFileSync(place.path);
    const target = join(place.folder, 'target');
    type Given = Parameters<Stash['compact']>[0];
    const calls: [string, (options: Given) => Promise<unknown>][] = [
      ['compact', (options) => stash.compact(options)],
      ['verify', (options) => stash.verify(options)],
      ['rekey', (options) => stash.rekey(options)],
      ['salvage', (options) => stash.salvage(target, options)],
      ['addSlot', (options) => stash.addSlot({ password: 'p' }, options)],
      ['changePassword', (options) => stash.changePassword('p', options)],
    ];
    const bad: unknown[] = [null, 5, 'text', { signal: {} }, { signal: 'now' }, { onProgress: 5 }];
    for (const [name, call] of calls) {
      for (const options of bad) {
        expect([name, options, await codeOf(() => call(options as Given))]).toEqual([
          name,
          options,
          'bad-option',
        ]);
      }
    }
    const signal = {} as AbortSignal;
    for (const call of [
      () => stash.read(['a'], { signal }),
      () => stash.has(['a'], { signal }),
      () => stash.children([], { signal }),
      () => stash.nodes([], { signal }).next(),
      () => stash.write(['a'], one, { signal }),
      () => stash.remove(['a'], { signal }),
      () => stash.batch([], { signal }),
      () => stash.removeSlot('00', { signal }),
      () => stash.watch({ signal }).next(),
    ]) {
      expect(await codeOf(async () => await call())).toBe('bad-option');
    }
    expect(readFileSync(place.path).equals(before)).toBe(true);
    expect(place.names()).toEqual(['a.stash']);
  });
});

describe('create', () => {
  test('is needed where there is no file, and makes one of mode 0600 only there', async () => {
    await using place = new Place();
    const error = await failure(() => place.open({ create: false }));
    expect(error).toMatchObject({
      name: 'StashIOError',
      code: 'not-found',
      path: place.path,
      operation: 'open',
    });
    expect(await codeOf(() => place.open({ create: true, readOnly: true }))).toBe('not-found');
    expect(place.names()).toEqual([]);
    const stash = await place.open();
    expect(statSync(place.path).mode & 0o777).toBe(0o600);
    expect(statSync(place.path).size).toBe(8192);
    await stash.write(['a'], one);
    expect(await (await place.open()).children([])).toEqual(['a']);
    expect(await codeOf(() => place.open({}, join(place.folder, 'none', 'x')))).toBe('not-found');
  });

  test('never takes anything else for an empty stash', async () => {
    await using place = new Place();
    mkdirSync(join(place.folder, 'folder'));
    writeFileSync(join(place.folder, 'empty'), '');
    writeFileSync(join(place.folder, 'text'), 'text');
    symlinkSync(join(place.folder, 'nothing'), join(place.folder, 'dangling'));
    for (const [name, code] of [
      ['folder', 'not-a-file'],
      ['empty', 'not-a-stash'],
      ['text', 'not-a-stash'],
      ['dangling', 'not-a-file'],
    ] as const) {
      expect([name, await codeOf(() => place.open({}, join(place.folder, name)))]).toEqual([name, code]);
    }
    expect(readFileSync(join(place.folder, 'text'), 'utf8')).toBe('text');
    expect(place.names()).toEqual(['dangling', 'empty', 'folder', 'text']);
  });

  test('a path is made absolute at once', async () => {
    await using place = new Place();
    const before = process.cwd();
    process.chdir(place.folder);
    try {
      const opening = place.open({}, 'relative');
      process.chdir(before);
      const stash = await opening;
      await stash.write(['a'], one);
      expect(stash.path).toBe(join(process.platform === 'darwin' ? process.cwd() : place.folder, 'relative'));
    } finally {
      process.chdir(before);
    }
    expect(place.names()).toEqual(['relative']);
  });
});

describe('readOnly', () => {
  test('writes nothing, ever, and takes no lock', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.batch([
      { type: 'write', key: ['a'], value: one },
      { type: 'write', key: ['big'], value: bytesOf(100_000) },
    ]);
    const release = await place.holdLock();
    utimesSync(place.path, 1000, 1000);
    const before = readFileSync(place.path);
    const calls: string[] = [];
    const reader = await place.openOn(
      hookedEnvironment((call) => void calls.push(call)),
      { readOnly: true },
    );
    expect(reader.readOnly).toBe(true);
    for (const call of [
      () => reader.write(['a'], one),
      () => reader.remove(['a']),
      () => reader.batch([{ type: 'make', key: ['a'] }]),
      () => reader.compact(),
      () => reader.rekey(),
    ]) {
      expect(await codeOf(call)).toBe('read-only');
    }
    expect(await listNodes(reader)).toHaveLength(2);
    await reader.verify();
    await reader.slots();
    await reader.anchor();
    await reader.close();
    expect(calls.filter((call) => /append|write|truncate|create|rename/.test(call))).toEqual([]);
    expect(readFileSync(place.path).equals(before)).toBe(true);
    expect(statSync(place.path).mtimeMs).toBe(1_000_000);
    expect(place.names()).toEqual(['a.stash']);
    release();
  });

  test('leaves a torn tail where it is', async () => {
    await using place = new Place();
    await (await place.open()).write(['a'], one);
    const { length } = readFileSync(place.path);
    writeFileSync(place.path, bytesOf(100), { flag: 'a' });
    const reader = await place.open({ readOnly: true });
    expect(reader.recovered).toEqual({ offset: length, byteLength: 100 });
    expect(await reader.children([])).toEqual(['a']);
    await reader.close();
    expect(statSync(place.path).size).toBe(length + 100);
  });

  // Root may write to all files; for it there is the test below.
  test.skipIf(isRoot)('reads what may only be read, which is an error for others', async () => {
    await using place = new Place();
    await (await place.open()).write(['a'], one);
    chmodSync(place.path, 0o444);
    expect(await codeOf(() => place.open())).toBe('permission-denied');
    expect(await (await place.open({ readOnly: true })).children([])).toEqual(['a']);
  });
});

const canMount =
  isRoot && process.platform === 'linux' && runs('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']);

describeWith('mounting (unshare -m, as root)', canMount)('a file system for reading only', () => {
  test('is read; opening for writing is denied', async () => {
    await using place = new Place();
    await (await place.open()).write(['a'], one);
    const mount = `mount --bind ${place.folder} ${place.folder} && mount -o remount,bind,ro ${place.folder}`;
    execFileSync('sh', ['-c', mount]);
    try {
      const reader = await place.open({ readOnly: true });
      expect(await listNodes(reader)).toHaveLength(1);
      await reader.verify();
      expect(await codeOf(() => place.open())).toBe('permission-denied');
      await reader.close();
    } finally {
      execFileSync('umount', ['-l', place.folder]);
    }
    await (await place.open()).write(['b'], one);
  });
});

const growth = async (stash: Stash, path: string, byteLength: number): Promise<number> => {
  const { size } = statSync(path);
  await stash.write(['k'], bytesOf(byteLength));
  return statSync(path).size - size;
};

describe('padding', () => {
  test('on, which is the default: lengths tell little', async () => {
    for (const options of [{}, { padding: true }, { padding: undefined }]) {
      await using place = new Place();
      const stash = await place.open(options);
      for (const [byteLength, bodies] of [
        [0, 256],
        [1, 256],
        [200, 256],
        [300, 512],
        [4000, 4096],
        [5000, 5120],
        [32_000, 32_768],
      ] as const) {
        expect([byteLength, await growth(stash, place.path, byteLength)]).toEqual([byteLength, 88 + bodies]);
      }
      // Three chunks and the batch.
      expect(await growth(stash, place.path, 131_073)).toBe(3 * 88 + 2 * 65_536 + 256 + 88 + 256);
      await stash.compact();
      expect(await growth(stash, place.path, 1)).toBe(88 + 256);
      await stash.write(['k'], one);
      await stash.compact();
      expect(statSync(place.path).size).toBe(8192 + 88 + 256);
    }
  });

  test('off: no byte more than it takes', async () => {
    await using place = new Place();
    const stash = await place.open({ padding: false });
    // An operation, no shared name, one name of one byte, a length.
    for (const [byteLength, head] of [
      [0, 6],
      [127, 6],
      [128, 7],
      [5000, 7],
    ] as const) {
      expect(await growth(stash, place.path, byteLength)).toBe(88 + head + byteLength);
    }
    expect(await growth(stash, place.path, 131_073)).toBeLessThan(131_073 + 4 * 88 + 20);
    await stash.write(['k'], one);
    await stash.compact();
    expect(statSync(place.path).size).toBe(8192 + 88 + 7);
    expect(await (await place.open()).read(['k'])).toEqual(one);
  });
});

describe('lock', () => {
  test.each(['socket', 'flock'] as const)(
    '%s keeps writers of other processes out, and out of time is locked',
    async (lock) => {
      if (lock === 'flock' && process.platform === 'win32') return;
      await using place = new Place();
      const stash = await place.open({ lock, lockTimeoutMs: 60 });
      await stash.write(['a'], one);
      const peer = await place.peer({ lock });
      await peer.call('hold', 400);
      const begun = performance.now();
      expect(await failure(() => stash.write(['b'], one))).toMatchObject({
        code: 'locked',
        operation: 'lock',
      });
      const elapsed = performance.now() - begun;
      expect(elapsed).toBeGreaterThan(50);
      expect(elapsed).toBeLessThan(350);
      expect(await stash.children([])).toEqual(['a']);
      const patient = await place.open({ lock });
      await patient.write(['c'], one);
      await peer.call('write', ['d'], one);
      expect(await stash.children([])).toEqual(['a', 'c', 'd']);
      await stash.compact();
      await peer.call('write', ['e'], one);
      await patient.rekey();
      await peer.call('compact');
      expect(await stash.children([])).toEqual(['a', 'c', 'd', 'e']);
    },
  );
});

describe('onProgress', () => {
  test('of a key derivation, from 0 to 1; what it throws is an error', async () => {
    await using place = new Place();
    const told: { phase: string; done: number }[] = [];
    const derivation = { name: 'scrypt', N: 1024 } as const;
    await place.open({ password: 'p', derivation, onProgress: (progress) => told.push(progress) });
    const derived = told.filter(({ phase }) => phase === 'derive').map(({ done }) => done);
    expect([derived[0], derived.at(-1)]).toEqual([0, 1]);
    const cause = new Error('enough');
    const onProgress = (): never => {
      throw cause;
    };
    expect(await failure(() => place.open({ password: 'p', onProgress }))).toMatchObject({
      code: 'derivation-failed',
      cause,
    });
  });
});
