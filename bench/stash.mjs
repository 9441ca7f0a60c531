/**
 * A stash of the sstash format, whose every write replaces the file: beside a plain file of the same size that is
 * replaced as durably (temporary file, fsync, rename, fsync of the folder).
 */
import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecureStash } from 'secretbus/stash';
import { randomBytes, randomText, seededRandom } from './lib/random.mjs';

const SIZES = [100, 10_000];

/** @param {string} path @param {Uint8Array} bytes */
async function replaceFile(path, bytes) {
  const file = await open(`${path}.new`, 'w', 0o600);
  await file.writeFile(bytes);
  await file.sync();
  await file.close();
  await rename(`${path}.new`, path);
  const directory = await open(join(path, '..'), 'r');
  await directory.sync();
  await directory.close();
}

/** @param {string} directory @param {number} length @returns {Promise<import('./lib/run.mjs').BenchGroup>} */
async function groupOf(directory, length) {
  const random = seededRandom(length);
  const path = join(directory, `${length}.sstash`);
  const plain = join(directory, `${length}.plain`);
  const options = { password: 'benchmark', create: true, iterations: 1000 };
  const entries = Array.from({ length }, (_, index) => ({
    key: ['service', `${randomText(random, 12)}-${index}`],
    value: randomBytes(random, 32),
  }));
  const writer = await SecureStash.open(path, options);
  await writer.batch(entries.map(({ key, value }) => ({ type: 'write', key, value })));
  await writer.close();
  // A file that was changed a moment ago is compared byte by byte at each look; that is not the usual case.
  await utimes(path, 1_700_000_000, 1_700_000_000);
  const stash = await SecureStash.open(path, options);
  const middle = /** @type {{ key: string[], value: Uint8Array }} */ (entries[length >> 1]);
  assert.deepEqual(await stash.read(middle.key), middle.value);
  const { size } = await stat(path);
  const bytes = await readFile(path);
  return {
    name: `stash of ${length.toLocaleString('en')} entries, ${size.toLocaleString('en')} bytes`,
    tasks: [
      { name: 'read', run: () => stash.read(middle.key), reference: 'stat' },
      { name: 'stat', run: () => stat(path) },
      { name: 'write', run: () => stash.write(middle.key, middle.value), reference: 'replace a plain file' },
      { name: 'replace a plain file', run: () => replaceFile(plain, bytes) },
    ],
    close: () => stash.close(),
  };
}

/** @returns {Promise<import('./lib/run.mjs').BenchGroup[]>} */
export async function groups() {
  const directory = await mkdtemp(join(tmpdir(), 'secretbus-bench-'));
  const all = await Promise.all(SIZES.map((length) => groupOf(directory, length)));
  const last = /** @type {import('./lib/run.mjs').BenchGroup} */ (all.at(-1));
  const closeLast = last.close;
  last.close = async () => {
    await closeLast?.();
    await rm(directory, { recursive: true });
  };
  return all;
}
