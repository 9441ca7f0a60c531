/** What hostile files cost, in a process of its own with a small heap: time in proportion to their length, and no more memory. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support.js';

const run = promisify(execFile);

describe('a file that has', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let script: string;

  beforeAll(async () => {
    folder = await temporaryFolder();
    script = `${folder.path}/hostile-limits.mjs`;
    await build({
      entryPoints: [fileURLToPath(new URL('hostile-limits.ts', import.meta.url))],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: script,
      logLevel: 'silent',
    });
  });

  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  // Milliseconds of a fast machine without other work, times ten; the file itself is in memory before.
  test.each<[name: string, mebibytes: number, heapMiB: number, result: string, ms: number, extraMiB: number]>(
    [
      ['a tail of zeros', 64, 40, 'torn', 20_000, 150],
      ['a tail of random bytes', 64, 40, 'torn', 20_000, 150],
      ['a tail of types', 64, 40, 'torn', 20_000, 150],
      ['a tail of what looks like headers', 64, 40, 'damaged-frame', 2000, 150],
      ['frames that were there before', 16, 40, 'read', 20_000, 100],
      ['a body that makes one key', 64, 40, 'read', 15_000, 200],
      ['a body that sets one value', 64, 40, 'read', 15_000, 200],
      ['a body of one deep key', 64, 40, 'read', 15_000, 200],
      ['a body of padding', 64, 40, 'read', 5000, 200],
      // Keys cost what they do in any store.
      ['a body of keys', 8, 300, 'read', 20_000, 400],
      ['a body of deep keys', 2, 300, 'read', 20_000, 400],
      ['a body of names of one hash', 64, 300, 'read', 10_000, 400],
    ],
  )('%s, of %d MiB', async (name, mebibytes, heapMiB, result, ms, extraMiB) => {
    const args = [`--max-old-space-size=${heapMiB}`, script, name, String(mebibytes)];
    const { stdout } = await run(process.execPath, args);
    const found = JSON.parse(stdout) as { result: string; ms: number; extraBytes: number };
    if (process.env['SHOW_COUNTS'] !== undefined) console.log(name, found);
    expect(found.result).toBe(result);
    expect(found.ms).toBeLessThan(ms);
    expect(found.extraBytes / 2 ** 20).toBeLessThan(extraMiB);
  });
});
