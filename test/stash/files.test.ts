/** Real files: modes, links, folders, FIFOs, rights; processes killed while they write; Python beside us. */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { SecureStash } from '../../src/stash/index.js';
import { nodeFileSystem } from '../../src/stash/node-file-system.js';
import { Model } from './model.js';
import { useOracle } from './oracle.js';
import { codeOf, failure, hex, listEntries, nameArbitrary, temporaryFolder, unhex, utf8 } from './support.js';

const naclOracle = useOracle('nacl');

const options = { password: 'p', create: true, iterations: 1 };
const isWindows = process.platform === 'win32';

async function modeOf(path: string): Promise<string> {
  return ((await fs.stat(path)).mode & 0o7777).toString(8);
}

/** Runs `action` as a user without special rights, where the tests run as root. */
async function withoutRights<Result>(action: () => Promise<Result>): Promise<Result> {
  if (process.getuid?.() !== 0) return await action();
  process.seteuid?.(65_534);
  try {
    return await action();
  } finally {
    process.seteuid?.(0);
  }
}

describe('files', () => {
  test.skipIf(isWindows)('have mode 0600, whatever the umask and whatever they had', async () => {
    await using folder = await temporaryFolder();
    const before = process.umask(0o777);
    try {
      const stash = await SecureStash.open(folder.file, options);
      expect(await modeOf(folder.file)).toBe('600');
      await stash.write(['a'], utf8('x'));
      expect(await modeOf(folder.file)).toBe('600');
      process.umask(0);
      await fs.chmod(folder.file, 0o644);
      await stash.write(['a'], utf8('y'));
      expect(await modeOf(folder.file)).toBe('600');
    } finally {
      process.umask(before);
    }
    expect(await fs.readdir(folder.path)).toEqual(['store.sstash']);
  });

  test('every fixture opens, and takes a change and its reversal', async () => {
    await using folder = await temporaryFolder();
    const vectors = fileURLToPath(new URL('../vectors/sstash/', import.meta.url));
    const fixtures = JSON.parse(readFileSync(join(vectors, 'index.json'), 'utf8')) as Record<
      string,
      string
    >[];
    for (const { file = '', password = '' } of fixtures) {
      const path = join(folder.path, file);
      copyFileSync(join(vectors, file), path);
      await using stash = await SecureStash.open(path, { password });
      const before = await listEntries(stash);
      await stash.write(['new'], utf8('x'));
      await using reader = await SecureStash.open(path, { password });
      expect(await listEntries(reader)).toEqual([...before, [['new'], '78']]);
      await reader.remove(['new']);
      expect(await listEntries(stash)).toEqual(before);
      const [old, now] = [readFileSync(join(vectors, file), 'utf8'), readFileSync(path, 'utf8')];
      expect(now.replace(/[^"]*"\}$/, '')).toBe(old.replace(/[^"]*"\}$/, ''));
      expect(now.length).toBe(old.length);
    }
  });

  test('a relative path is that of the time of opening', async () => {
    await using folder = await temporaryFolder();
    const before = process.cwd();
    try {
      process.chdir(folder.path);
      const stash = await SecureStash.open('relative', options);
      process.chdir(before);
      await stash.write(['a'], utf8('x'));
    } finally {
      process.chdir(before);
    }
    expect(await fs.readdir(folder.path)).toEqual(['relative']);
  });

  test('creating has one winner, and what is there is never replaced', async () => {
    await using folder = await temporaryFolder();
    const openings = Array.from({ length: 8 }, () => SecureStash.open(folder.file, options));
    const stashes = await Promise.all(openings);
    await Promise.all(stashes.map((stash, index) => stash.write([`${index}`], utf8('x'))));
    for (const stash of stashes) expect(await stash.children([])).toHaveLength(8);
    const other = { ...options, password: 'another' };
    expect(await codeOf(() => SecureStash.open(folder.file, other))).toBe('wrong-password-or-damaged');
    await fs.writeFile(join(folder.path, 'notes'), 'not a stash');
    expect(await codeOf(() => SecureStash.open(join(folder.path, 'notes'), options))).toBe('bad-json');
    expect(await fs.readFile(join(folder.path, 'notes'), 'utf8')).toBe('not a stash');
    expect((await fs.readdir(folder.path)).toSorted()).toEqual(['notes', 'store.sstash']);
  });

  test.skipIf(isWindows)('a symbolic link stays, and its target is replaced', async () => {
    await using folder = await temporaryFolder();
    const [target, link] = [join(folder.path, 'elsewhere', 'target'), join(folder.path, 'link')];
    await fs.mkdir(join(folder.path, 'elsewhere'));
    await fs.symlink(target, link);
    expect(await failure(() => SecureStash.open(link, options))).toMatchObject({
      code: 'not-a-file',
      path: link,
    });
    await SecureStash.open(target, options);
    const stash = await SecureStash.open(link, options);
    await stash.write(['a'], utf8('x'));
    expect((await fs.lstat(link)).isSymbolicLink()).toBe(true);
    expect((await fs.lstat(target)).isFile()).toBe(true);
    expect(await fs.readdir(folder.path)).toEqual(['elsewhere', 'link']);
    expect(await fs.readdir(join(folder.path, 'elsewhere'))).toEqual(['target']);
    // A link that is turned elsewhere is a changed file.
    await SecureStash.open(join(folder.path, 'other'), options);
    await fs.unlink(link);
    await fs.symlink('other', link);
    expect(await stash.children([])).toEqual([]);
  });

  test('what is no file, or is not there, is named, and nothing hangs', async () => {
    await using folder = await temporaryFolder();
    const missing = join(folder.path, 'missing');
    expect(await failure(() => SecureStash.open(missing, { password: '' }))).toMatchObject({
      code: 'not-found',
      path: missing,
      operation: 'open',
    });
    expect(await codeOf(() => SecureStash.open(join(missing, 'x'), options))).toBe('not-found');
    for (const create of [false, true]) {
      expect(await codeOf(() => SecureStash.open(folder.path, { ...options, create }))).toBe('not-a-file');
      if (isWindows) continue;
      const fifo = join(folder.path, `fifo ${create}`);
      execFileSync('mkfifo', [fifo]);
      expect(await codeOf(() => SecureStash.open(fifo, { ...options, create }))).toBe('not-a-file');
      expect(await codeOf(() => SecureStash.open('/dev/null', { ...options, create }))).toBe('not-a-file');
    }
    const stash = await SecureStash.open(folder.file, options);
    await fs.unlink(folder.file);
    expect(await codeOf(() => stash.write(['a'], utf8('x')))).toBe('not-found');
    if (!isWindows) execFileSync('mkfifo', [folder.file]);
    else await fs.mkdir(folder.file);
    expect(await codeOf(() => stash.read(['a']))).toBe('not-a-file');
    expect(await codeOf(() => stash.write(['a'], utf8('x')))).toBe('not-a-file');
  });

  test.skipIf(isWindows)('rights are kept to: no reading, no writing, no folder to write in', async () => {
    await using folder = await temporaryFolder();
    await fs.chmod(folder.path, 0o777);
    await withoutRights(async () => {
      const stash = await SecureStash.open(folder.file, options);
      await stash.write(['a'], utf8('x'));
      await fs.chmod(folder.file, 0o400);
      expect(await codeOf(() => stash.write(['a'], utf8('y')))).toBe('permission-denied');
      expect(await stash.read(['a'])).toEqual(utf8('x'));
      await fs.chmod(folder.file, 0o000);
      expect(await failure(() => SecureStash.open(folder.file, options))).toMatchObject({
        code: 'permission-denied',
        systemCode: 'EACCES',
      });
      await fs.chmod(folder.file, 0o600);
    });
    await fs.chmod(folder.path, 0o555);
    await withoutRights(async () => {
      const stash = await SecureStash.open(folder.file, options);
      expect(await codeOf(() => stash.write(['a'], utf8('z')))).toBe('permission-denied');
      expect(await stash.read(['a'])).toEqual(utf8('x'));
      expect(await codeOf(() => SecureStash.open(`${folder.file}2`, options))).toBe('permission-denied');
    });
    await fs.chmod(folder.path, 0o755);
    expect(await fs.readdir(folder.path)).toEqual(['store.sstash']);
  });

  test.skipIf(process.getuid?.() !== 0)('a file of another user stays that user’s', async () => {
    await using folder = await temporaryFolder();
    const stash = await SecureStash.open(folder.file, options);
    await fs.chown(folder.file, 65_534, 65_534);
    await stash.write(['a'], utf8('x'));
    expect(await fs.stat(folder.file)).toMatchObject({ uid: 65_534, gid: 65_534 });
    expect(await modeOf(folder.file)).toBe('600');
    // Who cannot give it back must not take it.
    await fs.chmod(folder.path, 0o777);
    await fs.chown(folder.file, 12_345, 65_534);
    await fs.chmod(folder.file, 0o666);
    await withoutRights(async () => {
      const other = await SecureStash.open(folder.file, options);
      expect(await codeOf(() => other.write(['a'], utf8('y')))).toBe('permission-denied');
    });
    expect(await fs.stat(folder.file)).toMatchObject({ uid: 12_345 });
    expect(await fs.readdir(folder.path)).toEqual(['store.sstash']);
  });
});

describe('the file system of the machine', () => {
  test('a rename happens only over the file in the state expected', async () => {
    await using folder = await temporaryFolder();
    const [from, to] = [join(folder.path, 'from'), join(folder.path, 'to')];
    await fs.writeFile(from, 'new');
    await fs.writeFile(to, 'old');
    const expected = await nodeFileSystem.status(to);
    for (const [text, time] of [
      ['longer', 1],
      ['old', 2],
    ] as const) {
      await fs.writeFile(to, text);
      await fs.utimes(to, time, time);
      expect(await nodeFileSystem.renameIfUnchanged(from, to, expected)).toBe(false);
      expect(await fs.readFile(to, 'utf8')).toBe(text);
    }
    expect(await nodeFileSystem.renameIfUnchanged(from, to, await nodeFileSystem.status(to))).toBe(true);
    expect(await fs.readFile(to, 'utf8')).toBe('new');
    expect(await fs.readdir(folder.path)).toEqual(['to']);
  });

  test.skipIf(isWindows)(
    'each change syncs the file before the rename, and the folder after it',
    async () => {
      await using folder = await temporaryFolder();
      const stash = await SecureStash.open(folder.file, options);
      const handle = await fs.open(folder.file);
      const prototype = Object.getPrototypeOf(handle) as fs.FileHandle;
      await handle.close();
      const synced: string[] = [];
      const before = (await fs.stat(folder.file)).size;
      const sync = vi.spyOn(prototype, 'sync').mockImplementation(async function (this: fs.FileHandle) {
        const status = await this.stat();
        const renamed = (await fs.stat(folder.file)).size !== before;
        synced.push(`${status.isDirectory() ? 'folder' : 'file'} ${renamed ? 'after' : 'before'}`);
      });
      try {
        await stash.write(['a'], utf8('x'));
      } finally {
        sync.mockRestore();
      }
      expect(synced).toEqual(['file before', 'folder after']);
    },
  );
});

/** Bundles the writer into a folder, so that plain node runs it. */
async function buildWriter(folder: string): Promise<string> {
  const outfile = join(folder, 'writer.mjs');
  const entry = fileURLToPath(new URL('writer.ts', import.meta.url));
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'silent',
  });
  return outfile;
}

describe('processes', () => {
  test('killed while writing, nothing acknowledged is lost', async () => {
    await using folder = await temporaryFolder();
    const writer = await buildWriter(folder.path);
    let acknowledgedInAll = 0;
    for (let round = 0; round < 25; round++) {
      const child = spawn(process.execPath, [writer, folder.file, `round ${round}`, '100000'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      const started = new Promise<void>((resolve) => {
        child.stdout.on('data', (data: Buffer) => {
          output += data.toString();
          if (output.length > 4) resolve();
        });
      });
      const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
      await Promise.race([started, ended]);
      await new Promise((resolve) => setTimeout(resolve, (round * 7) % 40));
      child.kill('SIGKILL');
      await ended;
      const acknowledged = Number(output.trim().split('\n').at(-1));
      expect(acknowledged).toBeGreaterThan(0);
      acknowledgedInAll += acknowledged;
      await using stash = await SecureStash.open(folder.file, { password: 'p' });
      const last = Number(Buffer.from(await stash.read([`round ${round}`, 'last'])).toString());
      // The one that was under way may have been made or not.
      expect([acknowledged, acknowledged + 1]).toContain(last);
      for (let value = Math.max(1, last - 19); value <= last; value++) {
        const bytes = await stash.read([`round ${round}`, `value ${value % 20}`]);
        expect(Buffer.from(bytes).toString()).toBe(String(value).repeat(1 + (value % 50)));
      }
      expect(await stash.children([])).toHaveLength(round + 1);
    }
    expect(acknowledgedInAll).toBeGreaterThan(100);
  });

  test('two writers and a reader: the file is whole at every moment, and no write is lost', async () => {
    await using folder = await temporaryFolder();
    const writer = await buildWriter(folder.path);
    const stash = await SecureStash.open(folder.file, options);
    const exits = ['one', 'two'].map((name) => {
      const child = spawn(process.execPath, [writer, folder.file, name, '100'], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      return new Promise<number | null>((resolve) => child.on('close', resolve));
    });
    const all = Promise.all(exits);
    const done = all.then(() => true);
    let reads = 0;
    for (let ended = false; !ended; reads++) {
      await stash.children([]);
      await (await SecureStash.open(folder.file, options)).close();
      ended = await Promise.race([done, Promise.resolve(false)]);
    }
    expect(await all).toEqual([0, 0]);
    expect(reads).toBeGreaterThan(1);
    for (const name of ['one', 'two']) {
      expect(Buffer.from(await stash.read([name, 'last'])).toString()).toBe('100');
      expect(await stash.children([name])).toHaveLength(21);
    }
    expect((await fs.readdir(folder.path)).toSorted()).toEqual(['store.sstash', 'writer.mjs']);
  });
});

describe('Python beside us', () => {
  test('each changes the file in turn, and both see the same tree', async (context) => {
    const oracle = naclOracle(context);
    await using folder = await temporaryFolder();
    const path = folder.file;
    const password = { password: hex(utf8(options.password)) };
    await using stash = await SecureStash.open(path, options);
    const empty = readFileSync(path);
    const key = fc.array(fc.oneof(fc.constantFrom('a', 'b'), nameArbitrary), { minLength: 1, maxLength: 3 });
    const value = fc.uint8Array({ maxLength: 4 }).map(hex);
    const step = fc.record({ python: fc.boolean(), removing: fc.boolean(), key, value });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 3 }), async (steps) => {
        const model = new Model();
        // In place, as Python does; the handle has to notice.
        writeFileSync(path, empty);
        for (const { python, removing, key: at, value: written } of steps) {
          const remove = removing && model.has(at);
          if (remove) model.remove(at);
          else model.write(at, written);
          if (python) {
            const change = remove ? { key: at } : { key: at, value: written };
            const answer = await oracle.ask({ op: 'change', path, steps: [change], ...password });
            expect(answer).not.toHaveProperty('error');
          } else if (remove) await stash.remove(at);
          else await stash.write(at, unhex(written));
        }
        expect(await listEntries(stash)).toEqual(model.entries());
        const answer = await oracle.ask({ op: 'decrypt', file: hex(readFileSync(path)), ...password });
        const text = Buffer.from(answer['contents'] ?? '', 'hex').toString();
        expect(text.match(/"value": "/g)?.length ?? 0).toBe(model.entries().length);
      }),
    );
  });
});
