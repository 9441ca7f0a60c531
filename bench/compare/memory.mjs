/**
 * Memory: what decoded messages leave behind, and what an idle connection and a waiting call hold.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { formatBytes, median } from './statistics.mjs';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('memory-child.mjs', import.meta.url));
const LIBRARIES = ['secretbus', 'dbus-native', 'dbus-next', '@homebridge/dbus-native'];
const TIMES = 3;
/** Below this, what is left of a million messages is the noise of the collector and of compiled code. */
const MAX_LEFT_BYTE_LENGTH = 200_000;

/** Bytes in all: of the heap and of buffers beside it, and of the process. @typedef {{ count: number, held: number, rss: number }} Held */

/** The median of several processes. @param {string[]} args @returns {Promise<Held>} */
async function measure(...args) {
  /** @type {Held[]} */
  const all = [];
  for (let times = 0; times < TIMES; times += 1) {
    const { stdout } = await run(process.execPath, ['--expose-gc', CHILD, ...args]);
    all.push(JSON.parse(stdout));
  }
  const [{ count }] = /** @type {[Held]} */ (all);
  return { count, held: median(all.map(({ held }) => held)), rss: median(all.map(({ rss }) => rss)) };
}

/** @param {number} byteLength @param {Held} held */
function each(byteLength, { count }) {
  return formatBytes(byteLength / count);
}

/** @param {string} name @param {Held} connection @param {Held} pending */
function rowOf(name, connection, pending) {
  return [
    name,
    each(connection.held, connection),
    each(connection.rss, connection),
    each(pending.held, pending),
    each(pending.rss, pending),
  ];
}

/** @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureMemory() {
  const decoded = await measure('decoded');
  const rows = [];
  /** @type {Record<string, { connection: Held, pending: Held }>} */
  const data = {};
  const bus = await startPrivateBus();
  try {
    for (const library of LIBRARIES) {
      const connection = await measure('connections', library, bus.address);
      const pending = await measure('pending', library, bus.address);
      rows.push(rowOf(library, connection, pending));
      data[library] = { connection, pending };
    }
  } finally {
    await bus.close();
  }
  return [
    {
      title: 'Memory',
      how: `Medians of ${TIMES} processes. In use is the heap and the buffers beside it after collections of garbage; of the process is its resident set, which the allocator rounds. Connections are idle ones after one call, 200 of them; calls are 10,000 that wait for a peer which reads and never answers, each with the deadline that the library gives by itself.`,
      tables: [
        {
          title: 'What each holds',
          columns: ['', 'idle connection', 'of the process', 'waiting call', 'of the process'],
          rows,
        },
      ],
      asked: [
        {
          what: `heap and buffers after ${decoded.count.toLocaleString('en')} decoded and dropped messages, to before`,
          asked: `where it was (± ${formatBytes(MAX_LEFT_BYTE_LENGTH)})`,
          measured: `${decoded.held < 0 ? '−' : '+'}${formatBytes(Math.abs(decoded.held))}`,
          reached: decoded.held <= MAX_LEFT_BYTE_LENGTH,
        },
      ],
      data: { decoded, ...data },
    },
  ];
}
