/** Folders into a stash: links, special files, limits, files that change. */
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf, emptyStash, failure, temporaryFolder } from '../support.js';
import { listNodes, makeFolder } from './transfer-support.js';

describe('into a stash', () => {
  test('links are refused or passed over, never followed', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await makeFolder(folder.path, [
      ['a', '01'],
      ['d', []],
    ]);
    await fs.symlink('/etc/passwd', join(folder.path, 'd', 'l'));
    await fs.symlink('..', join(folder.path, 'd', 'up'));
    await fs.symlink('nowhere', join(folder.path, 'z'));
    const error = await failure(() => stash.writeDirectory([], folder.path));
    expect(error).toMatchObject({ code: 'symbolic-link', path: join(folder.path, 'd', 'l') });
    expect(await stash.children([])).toEqual([]);
    expect(await stash.writeDirectory([], folder.path, { symbolicLinks: 'skip' })).toEqual({
      files: 1,
      byteLength: 1,
    });
    expect(await listNodes(stash)).toEqual([
      [['a'], '01'],
      [['d'], null],
    ]);
    const linked = `${folder.path}-link`;
    await fs.symlink(folder.path, linked);
    await stash.writeDirectory(['by link'], linked, { symbolicLinks: 'skip' });
    await fs.rm(linked);
    expect(await stash.has(['by link', 'a'])).toBe(true);
  });

  test.skipIf(process.platform === 'win32')(
    'FIFOs, sockets and devices are refused, and not opened',
    async () => {
      await using folder = await temporaryFolder();
      const { stash } = await emptyStash();
      const path = join(folder.path, 'x');
      execFileSync('mkfifo', [path]);
      // A writer that waits would see that somebody opened it.
      expect(await codeOf(() => stash.writeDirectory([], folder.path))).toBe('not-a-file');
      const noReader = fs.open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      await expect(noReader).rejects.toMatchObject({ code: 'ENXIO' });
      await fs.rm(path);
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(path, resolve));
      expect(await codeOf(() => stash.writeDirectory([], folder.path))).toBe('not-a-file');
      await new Promise((resolve) => server.close(resolve));
      expect(await codeOf(() => stash.writeFile(['x'], '/dev/null'))).toBe('not-a-file');
      expect(await codeOf(() => stash.writeDirectory([], '/dev/null'))).toBe('not-a-folder');
      expect(await stash.children([])).toEqual([]);
    },
  );

  test('is bounded in bytes and in depth, before the stash is touched', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await makeFolder(folder.path, [
      ['a', '0102'],
      ['b', '03'],
    ]);
    expect(await codeOf(() => stash.writeDirectory([], folder.path, { maxByteLength: 2 }))).toBe(
      'store-too-large',
    );
    expect(await stash.children([])).toEqual([]);
    await stash.writeDirectory([], folder.path, { maxByteLength: 3 });
    const deep = join(folder.path, ...Array.from({ length: 64 }, () => 'd'));
    await fs.mkdir(deep, { recursive: true });
    await stash.writeDirectory([], folder.path);
    await fs.writeFile(join(deep, 'f'), '');
    const error = await failure(() => stash.writeDirectory([], folder.path));
    expect(error).toMatchObject({ code: 'key-too-deep' });
    expect(await codeOf(() => stash.writeDirectory(['x'], folder.path))).toBe('key-too-deep');
  });

  test('a file that never holds still is an error', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'log');
    await fs.writeFile(path, 'x');
    const running = { stop: false };
    const writer = (async () => {
      for (let count = 0; !running.stop; count++) await fs.writeFile(path, 'x'.repeat(count % 7));
    })();
    const { stash } = await emptyStash();
    const codes = new Set<unknown>();
    for (let tries = 0; tries < 300; tries++) {
      const outcome = await codeOf(() => stash.writeDirectory([], folder.path));
      codes.add(typeof outcome === 'string' ? outcome : 'stored');
    }
    running.stop = true;
    await writer;
    expect([...codes].every((code) => code === 'stored' || code === 'contended')).toBe(true);
  });

  test('nothing at the path, bad options and a cancelled call say so', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await makeFolder(folder.path, [['a', '01']]);
    expect(await codeOf(() => stash.writeDirectory([], join(folder.path, 'none')))).toBe('not-found');
    for (const bad of [
      { maxByteLength: 0 },
      { maxByteLength: Number.NaN },
      { symbolicLinks: 'follow' },
      { onProgress: 5 },
      { signal: {} },
    ]) {
      expect(await codeOf(() => stash.writeDirectory([], folder.path, bad as never))).toBe('bad-option');
    }
    expect(await codeOf(() => stash.readDirectory([], folder.path, { overwrite: 1 } as never))).toBe(
      'bad-option',
    );
    expect(await codeOf(() => stash.writeDirectory([], `${folder.path}\0`))).toBe('bad-option');
    const cancelled = { signal: AbortSignal.abort() };
    expect(await codeOf(() => stash.writeDirectory([], folder.path, cancelled))).toBe('cancelled');
    expect(await stash.children([])).toEqual([]);
    await stash.writeDirectory([], folder.path);
    expect(await codeOf(() => stash.readDirectory([], join(folder.path, 'new'), cancelled))).toBe(
      'cancelled',
    );
    await stash.close();
    expect(await codeOf(() => stash.readDirectory([], join(folder.path, 'new')))).toBe('closed');
    expect(await fs.readdir(folder.path)).toEqual(['a']);
  });
});
