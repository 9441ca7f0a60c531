/**
 * Ways to keep values of 32 bytes, behind one interface: a stash, SQLite, a file for each value, and the floors, which are
 * what any program has to do at least.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Stash } from '../../../dist/stash/index.js';
import { KEY, keyOf, operationsFor, valueOf } from './fixtures.mjs';

/** Of a package whose types are not there. @type {(name: string) => any} */
const load = createRequire(import.meta.url);

export const LARGE_COUNT = 100_000;
const SMALL_COUNT = 100;
/** Written at a time by `writeMany`. */
export const MANY = 64;
/** What a stash appends for a value of 32 bytes: header, body padded to 256 bytes, tag. */
const FRAME_BYTE_LENGTH = 72 + 256 + 16;
const APPEND = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND;

export const OURS = 'secretbus';
export const OURS_LARGE = `secretbus, ${LARGE_COUNT.toLocaleString('en')} entries`;
export const OURS_BATCH = 'secretbus, one batch';
export const SYNC_FLOOR = 'append and fdatasync, synchronous';
export const ASYNC_FLOOR = 'append and fdatasync, asynchronous';
export const BARE_APPEND = 'append alone';
export const BARE_STAT = 'statSync alone';
export const SQLITE = 'better-sqlite3';
export const REPLACED = 'a file replaced for each';

/** Whether a write waits for the disk. @typedef {'durable' | 'unsynced'} Durability */

/**
 * Numbers are counted on from 0 in all calls of `write` and `writeMany`; `check` gets the last one.
 * @typedef {object} Way
 * @property {(number: number) => unknown} [write] one value; a promise where it is not done at once
 * @property {(number: number) => unknown} [writeMany] as many as `MANY`, the first of that number
 * @property {(number: number) => unknown} [read] one value, and checks it
 * @property {(number: number) => Promise<void> | void} [check] after each measuring: throws unless what was written is there
 */

/** @param {Uint8Array | undefined} found @param {number} number */
function checkValue(found, number) {
  if (found === undefined || Buffer.compare(found, valueOf(number)) !== 0)
    throw new Error(`value ${number} is not what was written`);
}

/** Throws if one of them is not what was stored. @param {number} count */
function readChecker(count) {
  const wanted = Array.from({ length: count }, (_, index) => Buffer.from(valueOf(index)));
  /** @param {Uint8Array} found @param {number} index */
  return (found, index) => {
    if (!(/** @type {Buffer} */ (wanted[index]).equals(found)))
      throw new Error(`value ${index} was read wrong`);
  };
}

/**
 * Each write is of another key than the one before: every key once, in an order that jumps. @param {number} count
 * @returns {(number: number) => number}
 */
function indexer(count) {
  // A prime that is no divisor of the counts that are used.
  return (number) => (number * 7919) % count;
}

/** @param {string} folder @param {number} count @param {Durability} durability @param {boolean} inOneBatch @returns {Promise<Way>} */
async function openStash(folder, count, durability, inOneBatch) {
  const path = join(folder, 'stash');
  const stash = await Stash.open(path, {
    key: KEY,
    create: true,
    durability: durability === 'durable' ? 'full' : 'none',
  });
  for (let from = 0; from < count; from += 10_000) {
    await stash.batch(operationsFor(from, Math.min(from + 10_000, count)));
  }
  const { size } = statSync(path);
  await stash.write(keyOf(0), valueOf(0));
  const grown = statSync(path).size - size;
  if (grown !== FRAME_BYTE_LENGTH)
    throw new Error(`a write appends ${grown} bytes, not ${FRAME_BYTE_LENGTH}`);
  const keys = Array.from({ length: count }, (_, index) => keyOf(index));
  const keyFor = indexer(count);
  const checkRead = readChecker(count);
  /** @param {number} number */
  const write = (number) => stash.write(/** @type {string[]} */ (keys[keyFor(number)]), valueOf(number));
  return {
    write,
    writeMany(number) {
      const numbers = Array.from({ length: MANY }, (_, index) => number + index);
      if (!inOneBatch) return Promise.all(numbers.map(write));
      return stash.batch(
        numbers.map((each) => ({ type: 'write', key: keys[keyFor(each)] ?? [], value: valueOf(each) })),
      );
    },
    async read(number) {
      const index = keyFor(number);
      checkRead(await stash.read(/** @type {string[]} */ (keys[index])), index);
    },
    async check(number) {
      const reader = await Stash.open(path, { key: KEY, readOnly: true });
      checkValue(await reader.read(/** @type {string[]} */ (keys[keyFor(number)])), number);
      await reader.close();
    },
  };
}

/** @param {string} folder @param {Durability} durability @returns {Way} */
function openSqlite(folder, durability) {
  const Database = load('better-sqlite3');
  const database = new Database(join(folder, 'sqlite'));
  database.pragma('journal_mode = WAL');
  database.pragma(`synchronous = ${durability === 'durable' ? 'FULL' : 'OFF'}`);
  database.exec('CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID');
  const insert = database.prepare('INSERT OR REPLACE INTO entries (key, value) VALUES (?, ?)');
  const get = database.prepare('SELECT value FROM entries WHERE key = ?').pluck();
  const keys = Array.from({ length: SMALL_COUNT }, (_, index) => keyOf(index).join('/'));
  const keyFor = indexer(SMALL_COUNT);
  const checkRead = readChecker(SMALL_COUNT);
  database.transaction(() => {
    for (let index = 0; index < SMALL_COUNT; index += 1) insert.run(keys[index], valueOf(index));
  })();
  /** @param {number} number */
  const write = (number) => void insert.run(keys[keyFor(number)], valueOf(number));
  return {
    // A statement by itself is a transaction.
    write,
    writeMany: database.transaction((/** @type {number} */ number) => {
      for (let index = 0; index < MANY; index += 1) write(number + index);
    }),
    read(number) {
      const index = keyFor(number);
      checkRead(get.get(keys[index]), index);
    },
    check: (number) => checkValue(get.get(keys[keyFor(number)]), number),
  };
}

/**
 * Appends as many bytes as a stash does.
 * @param {string} folder @param {(descriptor: number) => Promise<void> | void} [sync]
 * @returns {Way}
 */
function openAppend(folder, sync = () => {}) {
  const descriptor = openSync(join(folder, 'appended'), APPEND, 0o600);
  const frame = new Uint8Array(FRAME_BYTE_LENGTH).fill(1);
  const frames = new Uint8Array(FRAME_BYTE_LENGTH * MANY).fill(1);
  let written = 0;
  return {
    write() {
      written += writeSync(descriptor, frame);
      return sync(descriptor);
    },
    writeMany() {
      written += writeSync(descriptor, frames);
      return sync(descriptor);
    },
    check() {
      if (fstatSync(descriptor).size !== written) throw new Error('not all has been appended');
      // What the system has not written yet, it need not write while others are measured.
      ftruncateSync(descriptor);
      fdatasyncSync(descriptor);
      written = 0;
    },
  };
}

/** As a program does that wants no half of a file, in files of their own. @param {string} folder @returns {Way} */
function openReplaced(folder) {
  const values = join(folder, 'values');
  mkdirSync(values);
  const folderDescriptor = openSync(values, constants.O_RDONLY);
  const paths = Array.from({ length: SMALL_COUNT }, (_, index) => join(values, `${index}`));
  const pathFor = indexer(SMALL_COUNT);
  /** @param {number} number */
  const write = (number) => {
    const path = /** @type {string} */ (paths[pathFor(number)]);
    const descriptor = openSync(`${path}.new`, 'w', 0o600);
    writeSync(descriptor, valueOf(number));
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(`${path}.new`, path);
    fsyncSync(folderDescriptor);
  };
  return {
    write,
    check: (number) => checkValue(readFileSync(/** @type {string} */ (paths[pathFor(number)])), number),
  };
}

/** @param {number} descriptor @returns {Promise<void>} */
function syncByCallback(descriptor) {
  return new Promise((resolve, reject) => {
    fdatasync(descriptor, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** Opens each in a new folder. @type {Record<string, (folder: string, durability: Durability) => Promise<Way> | Way>} */
export const WAYS = {
  [OURS]: (folder, durability) => openStash(folder, SMALL_COUNT, durability, false),
  [OURS_BATCH]: (folder, durability) => openStash(folder, SMALL_COUNT, durability, true),
  [OURS_LARGE]: (folder, durability) => openStash(folder, LARGE_COUNT, durability, false),
  [SQLITE]: openSqlite,
  [REPLACED]: openReplaced,
  [SYNC_FLOOR]: (folder) => openAppend(folder, fdatasyncSync),
  [ASYNC_FLOOR]: (folder) => openAppend(folder, syncByCallback),
  [BARE_APPEND]: (folder) => openAppend(folder),
  [BARE_STAT](folder) {
    const path = join(folder, 'file');
    writeFileSync(path, 'x');
    return {
      read() {
        if (statSync(path).size !== 1) throw new Error('the file has another length');
      },
    };
  },
};
