/**
 * Opening a store without a key derivation, its size, and what it takes in memory.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatBytes, formatMilliseconds, formatSpread, median } from '../statistics.mjs';
import { FLOOR, OURS, OURS_UNPADDED, SQLITE } from './stores.mjs';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('opening-child.mjs', import.meta.url));
const SIZES = [
  { count: 1000, mostMs: 5, processes: 9 },
  { count: 100_000, mostMs: 250, processes: 7 },
  { count: 1_000_000, mostMs: 3000, processes: 5 },
];
/** The size whose bytes an entry are asked for, and how many. */
const WEIGHED = 100_000;
const MOST_BYTES_AN_ENTRY = 90;

/** Of each process; see `opening-child.mjs`. @typedef {{ first: number[], second: number[], held: number[], rss: number[] }} Series */
/** @typedef {{ count: number, mostMs: number, byteLengths: Map<string, number>, series: Map<string, Series> }} Opening */

/** @param {string} folder @param {boolean} hasSqlite @param {typeof SIZES[number]} size @returns {Promise<Opening>} */
async function measureSize(folder, hasSqlite, { count, mostMs, processes }) {
  const own = join(folder, `${count}`);
  mkdirSync(own);
  // In this order: the floor has as many bytes as the stash.
  const files = [
    { name: OURS, path: join(own, 'stash') },
    ...(hasSqlite ? [{ name: SQLITE, path: join(own, 'sqlite') }] : []),
    { name: FLOOR, path: join(own, 'floor') },
    ...(count === WEIGHED ? [{ name: OURS_UNPADDED, path: join(own, 'unpadded') }] : []),
  ];
  /** @type {Opening} */
  const opening = { count, mostMs, byteLengths: new Map(), series: new Map() };
  for (const { name, path } of files) {
    await run(process.execPath, [CHILD, 'build', name, path, `${count}`]);
    opening.byteLengths.set(name, statSync(path).size);
  }
  const opened = files.filter(({ name }) => name !== OURS_UNPADDED);
  for (let round = 0; round < processes; round += 1) {
    for (let index = 0; index < opened.length; index += 1) {
      const { name, path } = /** @type {typeof files[number]} */ (opened[(index + round) % opened.length]);
      const { stdout } = await run(process.execPath, ['--expose-gc', CHILD, 'open', name, path, `${count}`]);
      const series = opening.series.get(name) ?? { first: [], second: [], held: [], rss: [] };
      opening.series.set(name, series);
      const sample = JSON.parse(stdout);
      for (const [what, values] of Object.entries(series)) values.push(sample[what]);
    }
  }
  return opening;
}

/** @param {Opening} opening @returns {import('../report.mjs').Table} */
function timesTable({ count, byteLengths, series }) {
  const floor = /** @type {Series} */ (series.get(FLOOR));
  return {
    title: `${count.toLocaleString('en')} entries`,
    columns: ['', 'file', 'first in a process', 'to Node alone', 'second'],
    rows: Array.from(series, ([name, { first, second }]) => [
      name,
      formatBytes(byteLengths.get(name) ?? Number.NaN),
      formatMilliseconds(first),
      name === FLOOR
        ? ''
        : formatSpread(first.map((time, round) => time / /** @type {number} */ (floor.first[round]))),
      formatMilliseconds(second),
    ]),
  };
}

/** @param {number} byteLength @param {number} count */
function each(byteLength, count) {
  return `${(byteLength / count).toFixed(1)} B`;
}

/** @param {readonly Opening[]} all @returns {import('../report.mjs').Table} */
function memoryTable(all) {
  return {
    title: 'Memory while it is open, more than before',
    columns: ['', 'entries', 'of the process', 'heap and buffers', 'an entry'],
    rows: all.flatMap(({ count, series }) =>
      Array.from(series)
        .filter(([name]) => name !== FLOOR)
        .map(([name, { held, rss }]) => [
          name,
          count.toLocaleString('en'),
          formatBytes(median(rss)),
          formatBytes(median(held)),
          each(median(held), count),
        ]),
    ),
  };
}

/** @param {readonly Opening[]} all @returns {import('../report.mjs').Table} */
function bytesTable(all) {
  return {
    title: 'Bytes of the file an entry, compacted',
    columns: ['', 'entries', 'file', 'an entry'],
    rows: all.flatMap(({ count, byteLengths }) =>
      Array.from(byteLengths)
        .filter(([name]) => name !== FLOOR)
        .map(([name, byteLength]) => [
          name,
          count.toLocaleString('en'),
          formatBytes(byteLength),
          each(byteLength, count),
        ]),
    ),
  };
}

/** @param {readonly Opening[]} all @returns {import('../report.mjs').Asked[]} */
function judge(all) {
  const asked = all.map(({ count, mostMs, series }) => {
    const { first } = /** @type {Series} */ (series.get(OURS));
    return {
      what: `opening ${count.toLocaleString('en')} entries`,
      asked: `≤ ${mostMs} ms`,
      measured: formatMilliseconds(first),
      reached: median(first) <= mostMs * 1e6,
    };
  });
  const weighed = all.find(({ count }) => count === WEIGHED)?.byteLengths.get(OURS_UNPADDED) ?? Number.NaN;
  return [
    ...asked,
    {
      what: `bytes an entry at ${WEIGHED.toLocaleString('en')} entries, padding off`,
      asked: `≤ ${MOST_BYTES_AN_ENTRY} B`,
      measured: each(weighed, WEIGHED),
      reached: weighed / WEIGHED <= MOST_BYTES_AN_ENTRY,
    },
  ];
}

/** @param {string} folder for the files @param {boolean} hasSqlite @returns {Promise<import('../report.mjs').Group>} */
export async function measureOpening(folder, hasSqlite) {
  const all = [];
  for (const size of SIZES) all.push(await measureSize(folder, hasSqlite, size));
  return {
    title: 'Opening a stash',
    how: `Stash.open by a key, so that no key is derived, of a file that has been compacted; each in processes of its own, the order turning by one, with the file in the system's cache and the code loaded. Medians of ${SIZES.map(({ processes }) => processes).join(', ')} processes with the middle half in brackets; the second time is in the same process. Node alone reads as many bytes and decrypts them by its own ChaCha20-Poly1305, in pages of 64 KiB: what any program of Node's has to do, before it knows what is in them. SQLite, which is not encrypted and need not be read whole, is read into a Map for scale. Each entry is a value of 32 bytes under two names, such as service-1234.example.com and user-4936@example.com, four accounts a service; its names and value alone have about 60 bytes. Memory is after collections of garbage, more than before anything was loaded.`,
    tables: [...all.map(timesTable), bytesTable(all), memoryTable(all)],
    asked: judge(all),
    data: all.map(({ count, byteLengths, series }) => ({
      count,
      byteLengths: Object.fromEntries(byteLengths),
      nanosecondsAndBytes: Object.fromEntries(series),
    })),
  };
}
