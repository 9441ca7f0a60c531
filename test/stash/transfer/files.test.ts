/** Single files in and out of a stash on a real disk. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SecureStash } from '../../../src/stash/index.js';
import { readFile } from '../../../src/stash/transfer/out-of-stash.js';
import { useOracle } from '../oracle.js';
import { codeOf, emptyStash, failure, hex, temporaryFolder, utf8 } from '../support.js';
import { hookedFiles } from './transfer-support.js';

const naclOracle = useOracle('nacl');

describe('writeFile and readFile', () => {
  test.each([0, 1, 100_000, 1_200_000])('%i bytes go in and come out', async (byteLength) => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    const bytes = Buffer.alloc(byteLength, 'any bytes\xff', 'latin1');
    await fs.writeFile(folder.file, bytes);
    expect(await stash.writeFile(['a', 'b'], folder.file)).toEqual({ files: 1, byteLength });
    expect(bytes.equals(await stash.read(['a', 'b']))).toBe(true);
    const out = join(folder.path, 'out');
    expect(await stash.readFile(['a', 'b'], out)).toEqual({ files: 1, byteLength });
    expect(bytes.equals(await fs.readFile(out))).toBe(true);
    if (process.platform !== 'win32') expect((await fs.stat(out)).mode & 0o7777).toBe(0o600);
    expect((await fs.readdir(folder.path)).toSorted()).toEqual(['out', 'store.sstash']);
  });

  test('what is there is not replaced, unless asked, and then only a regular file', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['a'], utf8('new'));
    const at = (name: string): string => join(folder.path, name);
    await fs.writeFile(at('file'), 'old');
    await fs.mkdir(at('folder'));
    await fs.symlink('file', at('link'));
    await fs.symlink('none', at('dangling'));
    expect(await failure(() => stash.readFile(['a'], at('file')))).toMatchObject({
      code: 'already-exists',
      path: at('file'),
    });
    for (const overwrite of [false, true]) {
      expect(await codeOf(() => stash.readFile(['a'], at('folder'), { overwrite }))).toBe('not-a-file');
      expect(await codeOf(() => stash.readFile(['a'], at('link'), { overwrite }))).toBe('symbolic-link');
      expect(await codeOf(() => stash.readFile(['a'], at('dangling'), { overwrite }))).toBe('symbolic-link');
      expect(await codeOf(() => stash.readFile(['a'], '/', { overwrite }))).toBe('not-a-file');
      expect(await codeOf(() => stash.readFile(['a'], at('none/x'), { overwrite }))).toBe('not-found');
    }
    expect(await fs.readFile(at('file'), 'utf8')).toBe('old');
    await stash.readFile(['a'], at('file'), { overwrite: true });
    expect(await fs.readFile(at('file'), 'utf8')).toBe('new');
    expect((await fs.readdir(folder.path)).toSorted()).toEqual(['dangling', 'file', 'folder', 'link']);
  });

  test('a missing key touches no disk, a file that appears meanwhile stays', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    await stash.write(['a', 'b'], utf8('mine'));
    expect(await codeOf(() => stash.readFile(['x'], folder.file))).toBe('key-not-found');
    expect(await codeOf(() => stash.readFile(['a'], folder.file))).toBe('no-value');
    expect(await codeOf(() => stash.readFile([], folder.file))).toBe('empty-key');
    for (const appears of [
      () => fs.writeFile(folder.file, 'theirs'),
      () => fs.symlink('none', folder.file),
    ]) {
      const files = hookedFiles(async (call) => void (call === 'claim' && (await appears())));
      expect(await codeOf(() => readFile(files, stash, ['a', 'b'], folder.file, {}))).toBe('already-exists');
      expect(await fs.readdir(folder.path)).toEqual(['store.sstash']);
      await fs.rm(folder.file);
    }
  });

  test('only regular files are stored; a link to one is followed', async () => {
    await using folder = await temporaryFolder();
    const { stash } = await emptyStash();
    const at = (name: string): string => join(folder.path, name);
    await fs.writeFile(at('file'), 'x');
    await fs.symlink('file', at('link'));
    await stash.writeFile(['by link'], at('link'));
    expect(await stash.read(['by link'])).toEqual(utf8('x'));
    expect(await codeOf(() => stash.writeFile(['a'], folder.path))).toBe('not-a-file');
    expect(await codeOf(() => stash.writeFile(['a'], at('none')))).toBe('not-found');
    expect(await codeOf(() => stash.writeFile(['a'], at('file'), { maxByteLength: 0 }))).toBe('bad-option');
    await fs.writeFile(at('file'), 'xy');
    expect(await codeOf(() => stash.writeFile(['a'], at('file'), { maxByteLength: 1 }))).toBe(
      'store-too-large',
    );
    expect(await codeOf(() => stash.writeFile([], at('file')))).toBe('empty-key');
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [at('fifo')]);
      expect(await codeOf(() => stash.writeFile(['a'], at('fifo')))).toBe('not-a-file');
    }
    const cancelled = { signal: AbortSignal.abort() };
    expect(await codeOf(() => stash.writeFile(['a'], at('file'), cancelled))).toBe('cancelled');
    expect(await stash.children([])).toEqual(['by link']);
  });

  test('Python reads what was stored', async (context) => {
    const oracle = naclOracle(context);
    await using folder = await temporaryFolder();
    const raw = Buffer.concat([Buffer.from(`${folder.path}/in/`), Buffer.of(0xe9)]);
    await fs.mkdir(join(folder.path, 'in', 'empty'), { recursive: true });
    if (process.platform === 'linux') await fs.writeFile(raw, 'x');
    const stash = await SecureStash.open(folder.file, { password: 'p', create: true, iterations: 1 });
    await stash.writeDirectory(['t'], join(folder.path, 'in'));
    const asked = { op: 'decrypt', file: hex(await fs.readFile(folder.file)), password: hex(utf8('p')) };
    const { contents } = await oracle.ask(asked);
    const text = Buffer.from(contents as string, 'hex').toString();
    const file = process.platform === 'linux' ? String.raw`, "\udce9": {"children": {}, "value": "78"}` : '';
    expect(text).toBe(`{"t": {"children": {"empty": {"children": {}}${file}}}}`);
    await stash.close();
  });
});
