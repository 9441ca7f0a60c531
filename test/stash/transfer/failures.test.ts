/** Transfers cancelled or failing at each step: what is left, on the disk and in memory. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { StashIOError } from '../../../src/stash/index.js';
import { writeDirectory } from '../../../src/stash/transfer/into-stash.js';
import { readDirectory } from '../../../src/stash/transfer/out-of-stash.js';
import { codeOf, emptyStash, failure, listEntries, temporaryFolder, utf8 } from '../support.js';
import {
  countFiles,
  hookedFiles,
  type Listed,
  listFolder,
  makeFolder,
  skipLoudly,
} from './transfer-support.js';

describe('failures', () => {
  test('cancelled at any step, a new target is whole or not there, and an old one as it was or whole', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    for (const key of [['a'], ['d', 'f'], ['d', 'g'], ['e', 'x', 'y']]) await stash.write(key, utf8('s'));
    const whole = join(folder.path, 'whole');
    await stash.readDirectory([], whole);
    const complete = await listFolder(whole);
    await fs.rm(whole, { recursive: true });
    const endings = new Set<string>();
    for (const exists of [false, true]) {
      for (let at = 1; ; at++) {
        const target = join(folder.path, 'target');
        if (exists) await fs.mkdir(target);
        const controller = new AbortController();
        let steps = 0;
        const onProgress = (): void => {
          if (++steps === at) controller.abort();
        };
        const code = await codeOf(() =>
          stash.readDirectory([], target, { signal: controller.signal, onProgress }),
        );
        const left = await listFolder(folder.path);
        const done = code !== 'cancelled';
        expect(left).toEqual(done ? [['target', complete]] : exists ? [['target', []]] : []);
        endings.add(`${exists} ${done}`);
        await fs.rm(target, { recursive: true, force: true });
        if (steps < at) break;
      }
    }
    expect(endings.size).toBe(4);
  });

  test('whichever call fails, nothing is left but whole files that were moved', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    for (const key of [['a'], ['d', 'f'], ['e', 'g']]) await stash.write(key, utf8('s'));
    for (const exists of [false, true]) {
      for (let at = 1; ; at++) {
        const target = join(folder.path, 'target');
        if (exists) await fs.mkdir(target);
        let calls = 0;
        const files = hookedFiles((call) => {
          // What cleans up is let through: it cannot help its own failing.
          if (call === 'close' || call.startsWith('remove') || ++calls !== at) return;
          throw new StashIOError('io-failed', 'failed', { path: '', operation: call });
        });
        const code = await codeOf(() => readDirectory(files, stash, [], target, {}));
        const left = await listFolder(folder.path);
        expect(JSON.stringify(left)).not.toContain('""');
        const inTarget = (left[0]?.[1] ?? []) as Listed;
        const leftover = inTarget.find(([name]) => name.startsWith('.secretbus-'));
        if (typeof code === 'string') expect(leftover).toBeUndefined();
        // All was moved, and only then opening what was to be removed failed: folders stay, no files.
        else expect(countFiles((leftover?.[1] ?? []) as Listed)).toBe(0);
        if (!exists && code === 'io-failed') expect(left).toEqual([]);
        await fs.rm(target, { recursive: true, force: true });
        if (calls < at) {
          expect(code).toEqual({ files: 3, byteLength: 3 });
          break;
        }
        expect(['io-failed', 'not-durable', { files: 3, byteLength: 3 }]).toContainEqual(code);
      }
    }
  });

  test('a full disk leaves nothing', async (context) => {
    await using folder = await temporaryFolder();
    const small = join(folder.path, 'small');
    await fs.mkdir(small);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small], { stdio: 'ignore' });
    } catch {
      skipLoudly(context, 'a full disk: mounting a tmpfs is not permitted');
    }
    try {
      const { stash } = await emptyStash();
      await stash.write(['d', 'small'], new Uint8Array(100).fill(1));
      await stash.write(['d', 'large'], new Uint8Array(100_000).fill(1));
      const error = await failure(() => stash.readDirectory([], join(small, 'new')));
      expect(error).toMatchObject({ code: 'io-failed', systemCode: 'ENOSPC' });
      expect(await codeOf(() => stash.readDirectory([], small))).toBe('io-failed');
      expect(await codeOf(() => stash.readFile(['d', 'large'], join(small, 'f')))).toBe('io-failed');
      expect(await fs.readdir(small)).toEqual([]);
      // A mount below the target is another file system: nothing can be moved there in one step.
      await stash.remove(['d', 'large']);
      await stash.write(['small', 'x'], utf8('s'));
      expect(await failure(() => stash.readDirectory([], folder.path))).toMatchObject({
        systemCode: 'EXDEV',
      });
      expect(await fs.readdir(small)).toEqual([]);
    } finally {
      execFileSync('umount', [small]);
    }
  });

  test('names that are one to a file system without case are never overwritten', async () => {
    await using folder = await temporaryFolder();
    const image = join(folder.path, 'image');
    const mounted = join(folder.path, 'mounted');
    await fs.mkdir(mounted);
    try {
      await fs.writeFile(image, new Uint8Array(2 ** 20));
      execFileSync('mkfs.vfat', [image], { stdio: 'ignore' });
      execFileSync('mount', ['-o', 'loop', image, mounted], { stdio: 'ignore' });
    } catch {
      // The same answer as such a file system gives, by a hook.
      console.error('\n*** a file system without case cannot be mounted here: only simulated ***\n');
      const { stash } = await emptyStash();
      for (const name of ['Key', 'key']) await stash.write([name], utf8(name));
      const files = hookedFiles(async (call, path) => {
        if (call === 'create' && path.endsWith('key')) {
          throw new StashIOError('already-exists', 'there', {
            path,
            operation: 'create',
            systemCode: 'EEXIST',
          });
        }
      });
      expect(await codeOf(() => readDirectory(files, stash, [], join(mounted, 'new'), {}))).toBe(
        'already-exists',
      );
      expect(await fs.readdir(mounted)).toEqual([]);
      return;
    }
    try {
      const { stash } = await emptyStash();
      for (const name of ['Key', 'key']) await stash.write([name], utf8(name));
      for (const target of [mounted, join(mounted, 'new')]) {
        expect(await codeOf(() => stash.readDirectory([], target, { overwrite: true }))).toBe(
          'already-exists',
        );
        expect(await fs.readdir(mounted)).toEqual([]);
      }
    } finally {
      execFileSync('umount', [mounted]);
    }
  });

  test('values read from the disk or the stash are wiped, also after a failure', async () => {
    await using folder = await temporaryFolder();
    await makeFolder(folder.path, [
      ['a', '5ec4e7'],
      ['b', '5ec4e7'],
    ]);
    const { stash } = await emptyStash();
    const seen: Uint8Array[] = [];
    const watching = new Proxy(stash, {
      get(target, property): unknown {
        if (property === 'nodes') {
          return async function* nodes(key: string[]): AsyncGenerator {
            for await (const node of target.nodes(key)) {
              if (node.value !== undefined) seen.push(node.value);
              yield node;
            }
          };
        }
        if (property === 'batch') {
          return async (operations: { value?: Uint8Array }[]): Promise<unknown> => {
            for (const { value } of operations) if (value !== undefined) seen.push(value);
            return await target.batch(operations as never);
          };
        }
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const files = hookedFiles(() => undefined);
    await writeDirectory(files, watching, [], folder.path, {});
    await writeDirectory(files, watching, ['', '..'], folder.path, {});
    expect(seen).toHaveLength(4);
    await readDirectory(files, watching, ['', '..'], join(folder.path, 'new'), {});
    expect(seen).toHaveLength(6);
    expect(await codeOf(() => readDirectory(files, watching, [], join(folder.path, 'other'), {}))).toBe(
      'unsafe-name',
    );
    expect(seen.length).toBeGreaterThan(7);
    expect(seen.every((value) => value.every((byte) => byte === 0))).toBe(true);
    expect(await listEntries(stash)).toContainEqual([['a'], '5ec4e7']);
  });

  test('a folder that cannot be read is an error', async (context) => {
    if (process.getuid === undefined) skipLoudly(context, 'rights of files: there are none here');
    await using folder = await temporaryFolder();
    await makeFolder(folder.path, [['d', [['f', '01']]]]);
    await fs.chmod(folder.path, 0o755);
    const { stash } = await emptyStash();
    const isRoot = process.getuid() === 0;
    for (const [name, mode] of [
      ['d/f', 0],
      ['d', 0],
    ] as const) {
      await fs.chmod(join(folder.path, name), mode);
      // libuv's threads change the user with the process.
      if (isRoot) process.seteuid?.(65_534);
      try {
        expect(await codeOf(() => stash.writeDirectory([], folder.path))).toBe('permission-denied');
        expect(await codeOf(() => stash.readDirectory([], join(folder.path, 'new')))).toBe(
          'permission-denied',
        );
      } finally {
        if (isRoot) process.seteuid?.(0);
      }
    }
    await fs.chmod(join(folder.path, 'd'), 0o700);
  });
});
