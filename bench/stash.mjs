/**
 * Stashes of both formats.
 *
 * Every write to one of the sstash format replaces the file: it stands beside a plain file of the same size that is
 * replaced as durably (temporary file, fsync, rename, fsync of the folder). A write to a native one appends: it stands
 * beside as many bytes appended to a plain file.
 */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac, randomFillSync } from 'node:crypto';
import { closeSync, fdatasync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecureStash, Stash } from 'secretbus/stash';
import { FrameCipher, frameType } from '../dist/stash/native/frame.js';
import { randomBytes, randomText, seededRandom } from './lib/random.mjs';

const SSTASH_SIZES = [100, 10_000];
const NATIVE_SIZES = [1000, 10_000];
const BATCH = 100;
/** What a native stash appends for a small value: header, padded body, tag. */
const FRAME_BYTE_LENGTH = 72 + 256 + 16;

/** @param {number} length */
function entriesOf(length) {
  const random = seededRandom(length);
  return Array.from({ length }, (_, index) => ({
    type: /** @type {const} */ ('write'),
    key: ['service', `${randomText(random, 12)}-${index}`],
    value: randomBytes(random, 32),
  }));
}

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
async function sstashGroup(directory, length) {
  const path = join(directory, `${length}.sstash`);
  const plain = join(directory, `${length}.plain`);
  const options = { password: 'benchmark', create: true, iterations: 1000 };
  const entries = entriesOf(length);
  const writer = await SecureStash.open(path, options);
  await writer.batch(entries);
  await writer.close();
  // A file that was changed a moment ago is compared byte by byte at each look; that is not the usual case.
  await utimes(path, 1_700_000_000, 1_700_000_000);
  const stash = await SecureStash.open(path, options);
  const middle = /** @type {(typeof entries)[number]} */ (entries[length >> 1]);
  assert.deepEqual(await stash.read(middle.key), middle.value);
  const { size } = await stat(path);
  const bytes = await readFile(path);
  return {
    name: `sstash file of ${length.toLocaleString('en')} entries, ${size.toLocaleString('en')} bytes`,
    tasks: [
      { name: 'read', run: () => stash.read(middle.key), reference: 'stat' },
      { name: 'stat', run: () => stat(path) },
      { name: 'write', run: () => stash.write(middle.key, middle.value), reference: 'replace a plain file' },
      { name: 'replace a plain file', run: () => replaceFile(plain, bytes) },
    ],
    close: () => stash.close(),
  };
}

/** @param {number} descriptor @returns {Promise<void>} */
function sync(descriptor) {
  return new Promise((resolve, reject) => {
    fdatasync(descriptor, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** @param {string} directory @param {number} length @returns {Promise<import('./lib/run.mjs').BenchGroup>} */
async function nativeGroup(directory, length) {
  const entries = entriesOf(length);
  const key = randomBytes(seededRandom(1), 32);
  const paths = {
    durable: join(directory, `${length}.stash`),
    unsynced: join(directory, `${length}.unsynced`),
  };
  for (const path of Object.values(paths)) {
    const writer = await Stash.open(path, { key, create: true });
    await writer.batch(entries);
    await writer.compact();
    await writer.close();
  }
  const stash = await Stash.open(paths.durable, { key });
  const unsynced = await Stash.open(paths.unsynced, { key, durability: 'none' });
  const middle = /** @type {(typeof entries)[number]} */ (entries[length >> 1]);
  assert.deepEqual(await stash.read(middle.key), middle.value);
  const { size } = statSync(paths.durable);
  await stash.write(middle.key, middle.value);
  assert.equal(statSync(paths.durable).size - size, FRAME_BYTE_LENGTH);
  const plain = openSync(join(directory, `${length}.appended`), 'a', 0o600);
  const frame = new Uint8Array(FRAME_BYTE_LENGTH);
  const some = entries.slice(0, BATCH);
  const opened = join(directory, `${length}.opened`);
  const compacted = await Stash.open(opened, { key, create: true });
  await compacted.batch(entries);
  await compacted.compact();
  await compacted.close();
  return {
    name: `native stash of ${length.toLocaleString('en')} entries, ${size.toLocaleString('en')} bytes`,
    tasks: [
      { name: 'read', run: () => stash.read(middle.key), reference: 'statSync' },
      { name: 'statSync', run: () => statSync(paths.durable) },
      {
        name: 'write',
        run: () => stash.write(middle.key, middle.value),
        reference: 'append and fdatasync',
      },
      {
        name: `write in a batch of ${BATCH}`,
        count: BATCH,
        run: () => stash.batch(some),
        reference: 'append and fdatasync',
      },
      {
        name: 'append and fdatasync',
        run: async () => {
          writeSync(plain, frame);
          await sync(plain);
        },
      },
      {
        name: 'write without waiting for the disk',
        run: () => unsynced.write(middle.key, middle.value),
        reference: 'append',
      },
      { name: 'append', run: () => writeSync(plain, frame) },
      {
        name: 'open and close',
        run: async () => {
          const brief = await Stash.open(opened, { key });
          await brief.close();
        },
        reference: 'read the file',
      },
      { name: 'read the file', run: () => readFileSync(opened) },
    ],
    close: async () => {
      // What the system has not written yet, it need not write while others are measured.
      ftruncateSync(plain);
      closeSync(plain);
      await unsynced.close();
      await stash.close();
    },
  };
}

/** @returns {import('./lib/run.mjs').BenchGroup} */
function frameGroup() {
  const random = seededRandom(3);
  const [key, storeId, body] = [randomBytes(random, 32), randomBytes(random, 16), randomBytes(random, 256)];
  const cipher = new FrameCipher(key, storeId, 1);
  const header = { type: frameType.batch, unsynced: 0, sequence: 1, previous: randomBytes(random, 16) };
  const frame = cipher.seal(header, body);
  assert.deepEqual(cipher.open(frame), body);
  assert.equal(cipher.parseHeader(frame)?.sequence, 1);
  const about = randomBytes(random, 80);
  const nonce = new Uint8Array(12);
  const native = () => {
    createHmac('sha256', key).update(about).digest();
    const chacha = createCipheriv('chacha20-poly1305', key, randomFillSync(nonce), { authTagLength: 16 });
    return [chacha.update(body), chacha.final(), chacha.getAuthTag()];
  };
  return {
    name: 'a frame of 256 bytes',
    tasks: [
      {
        name: 'seal',
        run: () => cipher.seal(header, body),
        reference: 'node:crypto, HMAC and ChaCha20-Poly1305',
      },
      {
        name: 'check and open',
        run: () => cipher.parseHeader(frame) && cipher.open(frame),
        reference: 'node:crypto, HMAC and ChaCha20-Poly1305',
      },
      { name: 'node:crypto, HMAC and ChaCha20-Poly1305', run: native },
    ],
    close: async () => cipher.wipe(),
  };
}

/** @returns {Promise<import('./lib/run.mjs').BenchGroup[]>} */
export async function groups() {
  const directory = await mkdtemp(join(tmpdir(), 'secretbus-bench-'));
  const all = [
    frameGroup(),
    ...(await Promise.all(NATIVE_SIZES.map((length) => nativeGroup(directory, length)))),
    ...(await Promise.all(SSTASH_SIZES.map((length) => sstashGroup(directory, length)))),
  ];
  const last = /** @type {import('./lib/run.mjs').BenchGroup} */ (all.at(-1));
  const closeLast = last.close;
  last.close = async () => {
    await closeLast?.();
    await rm(directory, { recursive: true });
  };
  return all;
}
