/**
 * The encrypted store: writes and reads beside SQLite, plain files and the floors, opening, memory, the sstash format beside
 * Python, and key derivations.
 */
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ensureBetterSqlite3 } from './addons.mjs';
import { judgeRatios, measureRounds, Running, ratiosTo, tableOf, toJson } from './peers.mjs';
import { measureDerivations } from './stash/derivations.mjs';
import { makeFolder } from './stash/fixtures.mjs';
import { measureOpening } from './stash/opening.mjs';
import { measureSstash } from './stash/sstash.mjs';
import {
  ASYNC_FLOOR,
  BARE_APPEND,
  BARE_STAT,
  LARGE_COUNT,
  MANY,
  OURS,
  OURS_BATCH,
  OURS_LARGE,
  REPLACED,
  SQLITE,
  SYNC_FLOOR,
} from './stash/ways.mjs';
import { median, quantile } from './statistics.mjs';

const GENERATIONS = 2;
const ROUNDS = 5;
/** A write to the disk takes so long that code is optimized late. */
const WARM_UP_MS = 1200;
const CHILD = fileURLToPath(new URL('stash/way-child.mjs', import.meta.url));

const WRITE = { command: 'write', title: 'Durable writes of 32 bytes, one at a time' };
const WRITE_MANY = { command: 'many', title: `Durable writes of 32 bytes, ${MANY} at a time` };
const UNSYNCED = { command: 'unsynced', title: 'Writes of 32 bytes that do not wait for the disk' };
const READ = { command: 'read', title: 'Reads of 32 bytes' };

/** @typedef {import('./peers.mjs').Measured} Measured */

/** What each is measured at. @type {Record<string, readonly { command: string }[]>} */
const COMMANDS = {
  [OURS]: [WRITE, WRITE_MANY, UNSYNCED, READ],
  [OURS_BATCH]: [WRITE_MANY],
  [OURS_LARGE]: [WRITE, UNSYNCED, READ],
  [SQLITE]: [WRITE, WRITE_MANY, UNSYNCED, READ],
  [REPLACED]: [WRITE],
  [SYNC_FLOOR]: [WRITE, WRITE_MANY],
  [ASYNC_FLOOR]: [WRITE, WRITE_MANY],
  [BARE_APPEND]: [UNSYNCED],
  [BARE_STAT]: [READ],
};

/** @param {string} folder @param {boolean} hasSqlite @param {number} timeMs @returns {Promise<Measured[]>} */
async function measureWays(folder, hasSqlite, timeMs) {
  const all = [WRITE, WRITE_MANY, UNSYNCED, READ].map(({ command, title }) => ({
    command,
    title,
    series: new Map(),
  }));
  const peers = Object.entries(COMMANDS)
    .filter(([name]) => name !== SQLITE || hasSqlite)
    .map(([name, commands]) => ({
      name,
      argv: [process.execPath, CHILD, name, folder],
      only: commands.map(({ command }) => command),
    }));
  for (let generation = 0; generation < GENERATIONS; generation += 1) {
    const running = peers.map((peer) => new Running(peer));
    try {
      await measureRounds(running, all, { timeMs, warmUpMs: WARM_UP_MS, rounds: ROUNDS });
    } finally {
      await Promise.all(running.map((one) => one.close()));
    }
  }
  return all;
}

/** @param {number} nanoseconds */
function perSecond(nanoseconds) {
  return Math.round(1e9 / nanoseconds).toLocaleString('en');
}

/** With how many there are in a second. @param {Measured} measured @returns {import('./report.mjs').Table} */
function ratesTable(measured) {
  const { title, columns, rows } = tableOf(measured);
  return {
    title,
    columns: ['', 'a second', ...columns.slice(1)],
    rows: rows.map(([name = '', ...rest]) =>
      [name, perSecond(median(measured.series.get(name)?.wall ?? []))].concat(rest),
    ),
  };
}

/** @param {Measured} measured @param {number} atLeast a second @param {string} [name] @returns {import('./report.mjs').Asked} */
function judgeRate({ title, series }, atLeast, name = OURS) {
  const times = series.get(name)?.wall ?? [];
  const [low, middle, high] = [0.75, 0.5, 0.25].map((part) => perSecond(quantile(times, part)));
  return {
    what: `${title}: ${name}`,
    asked: `≥ ${atLeast.toLocaleString('en')} a second`,
    measured: `${middle} (${low} to ${high})`,
    reached: 1e9 / median(times) >= atLeast,
  };
}

/** @param {readonly Measured[]} all @returns {import('./report.mjs').Asked[]} */
function judge(all) {
  const [write, , unsynced, read] = /** @type {[Measured, Measured, Measured, Measured]} */ (all);
  const entries = LARGE_COUNT.toLocaleString('en');
  return [
    ...[ASYNC_FLOOR, SYNC_FLOOR].map((floor) =>
      judgeRatios(`${write.title}: time of ${floor} to ours`, ratiosTo(write, 'wall', floor), 0.7),
    ),
    judgeRatios(
      `${write.title}: time at 100 entries to that at ${entries}`,
      ratiosTo(write, 'wall', OURS, OURS_LARGE),
      0.9,
    ),
    judgeRate(unsynced, 20_000),
    judgeRate(unsynced, 20_000, OURS_LARGE),
    judgeRate(read, 150_000),
    judgeRate(read, 150_000, OURS_LARGE),
  ];
}

/** @param {string} type of the file system */
function explain(type) {
  return `Each is a process of its own with files of its own on ${type}; ${GENERATIONS} generations of processes, ${ROUNDS} rounds each after ${WARM_UP_MS / 1000} seconds that are not counted, the order turning by one each round. A ratio is the median over the rounds of what the other took to what secretbus took in the same round, with the middle half of the rounds in brackets: 2 × takes twice as long. CPU time is that of the process, of all its threads. secretbus is a Stash opened by a key, with all options as they are by default: encrypted, padded, locked, and compacted when it has grown enough, in the time that is measured. It holds 100 entries unless it says otherwise, and so do SQLite and the files; they are overwritten in turn. The floors append as many bytes as secretbus, unencrypted, to a file without a lock; asynchronous is by the callback of fs.fdatasync, which lets a program do other things meanwhile, and is what secretbus does. ${MANY} at a time: by secretbus in ${MANY} calls that are made together, or in one batch; by SQLite in one transaction; by the floors in one append. SQLite is better-sqlite3, not encrypted, in WAL mode, synchronous FULL, or OFF where nothing waits for the disk; each write is a transaction. A file replaced is written beside, synced, renamed, and its folder is synced. A read looks whether the file has changed: statSync alone is the floor for that; SQLite looks by itself. All that is read is compared, and what was written last is read anew after each round.`;
}

/** @param {number} timeMs of one peer in one round @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureStash(timeMs) {
  const hasSqlite = await ensureBetterSqlite3();
  const { folder, type } = makeFolder();
  try {
    const all = await measureWays(folder, hasSqlite, timeMs);
    return [
      {
        title: 'Writing to a stash and reading from it',
        how: explain(type),
        tables: all.map(ratesTable),
        asked: judge(all),
        data: toJson(all),
      },
      await measureOpening(folder, hasSqlite),
      await measureSstash(folder, timeMs),
      await measureDerivations(),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
