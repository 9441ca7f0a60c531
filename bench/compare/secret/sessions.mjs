/**
 * What it costs to open a session, with and without a key agreement.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatMilliseconds, median } from '../statistics.mjs';

const CHILD = fileURLToPath(new URL('session-child.mjs', import.meta.url));
const PROCESSES = 8;
const SESSIONS = 30;
const MOST_CPU_MS = 3;

/** @param {string} address @param {'encrypted' | 'plain'} policy */
async function openSessions(address, policy) {
  const run = promisify(execFile);
  /** @type {import('../peers.mjs').Sample[][]} */
  const processes = [];
  for (let times = 0; times < PROCESSES; times += 1) {
    const { stdout } = await run(process.execPath, [CHILD, address, policy, String(SESSIONS)]);
    processes.push(JSON.parse(stdout));
  }
  return {
    policy,
    first: processes.flatMap((samples) => samples.slice(0, 1)),
    // The first ones run before the code is optimized.
    later: processes.flatMap((samples) => samples.slice(SESSIONS / 2)),
  };
}

/** @param {readonly import('../peers.mjs').Sample[]} samples @param {'wall' | 'cpu'} cost */
function formatSamples(samples, cost) {
  return formatMilliseconds(samples.map((sample) => sample[cost]));
}

/** @param {string} what @param {readonly import('../peers.mjs').Sample[]} samples @returns {import('../report.mjs').Asked} */
function judged(what, samples) {
  return {
    what,
    asked: `≤ ${MOST_CPU_MS} ms`,
    measured: formatSamples(samples, 'cpu'),
    reached: median(samples.map(({ cpu }) => cpu)) <= MOST_CPU_MS * 1e6,
  };
}

/** @param {string} address @returns {Promise<import('../report.mjs').Group>} */
export async function measureSessions(address) {
  const measured = [await openSessions(address, 'encrypted'), await openSessions(address, 'plain')];
  const [encrypted] = /** @type {[typeof measured[0]]} */ (measured);
  return {
    title: 'Opening a session',
    how: `SecretService.connect on a bus that is open, with everything loaded: who owns the name, and the session. ${PROCESSES} processes with ${SESSIONS} sessions each, one after the other; later ones are those of the second half. CPU time is that of our process, of all its threads; the time holds what the service computes too. A plain session shows what remains without a key agreement.`,
    tables: [
      {
        title: 'Sessions',
        columns: ['', 'first, CPU time', 'first, time', 'later, CPU time', 'later, time'],
        rows: measured.map(({ policy, first, later }) => [
          policy,
          formatSamples(first, 'cpu'),
          formatSamples(first, 'wall'),
          formatSamples(later, 'cpu'),
          formatSamples(later, 'wall'),
        ]),
      },
    ],
    asked: [
      judged('CPU time of a further encrypted session', encrypted.later),
      judged('CPU time of the first encrypted session of a process', encrypted.first),
    ],
    data: measured,
  };
}
