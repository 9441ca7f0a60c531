/**
 * Calls on a real bus, by secretbus, the other JavaScript libraries, and libdbus and GDBus where their headers are.
 *
 * Each client is a process of its own on one dbus-daemon, measured as `peers.mjs` says. Several generations of processes are
 * started, since a compiler that optimizes while it runs does not always come to the same code.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { buildProgram } from './c/build.mjs';
import { fastest, judgeRatios, measureRounds, OURS, Running, ratiosTo, tableOf, toJson } from './peers.mjs';

const GENERATIONS = 3;
const ROUNDS = 5;
const WARM_UP_MS = 700;
const CHILD = fileURLToPath(new URL('calls-child.mjs', import.meta.url));
const JAVASCRIPT = ['dbus-native', 'dbus-native, await', 'dbus-next', '@homebridge/dbus-native'];
const FLOOR = 'raw socket';

/** @typedef {import('./peers.mjs').Peer} Peer */
/** @typedef {import('./peers.mjs').Measured} Measured */

const COMMANDS = [
  { command: 'calls 1', title: 'GetId, one at a time' },
  { command: 'calls 64', title: 'GetId, 64 in flight' },
  { command: 'connect', title: 'connect, Hello, one call' },
];

/** Each without the bus's address, which comes last. @returns {Peer[]} */
function findPeers() {
  /** @type {Peer[]} */
  const peers = [OURS, ...JAVASCRIPT].map((name) => ({ name, argv: [process.execPath, CHILD, name] }));
  peers.push({ name: FLOOR, argv: [process.execPath, CHILD, FLOOR], only: ['calls 1'] });
  const libdbus = buildProgram('calls_libdbus', ['dbus-1']);
  if (libdbus !== undefined) peers.push({ name: 'libdbus', argv: [libdbus] });
  const gdbus = buildProgram('calls_gdbus', ['gio-2.0']);
  if (gdbus !== undefined) peers.push({ name: 'GDBus', argv: [gdbus] });
  return peers;
}

/** Keeps the process `id` on one core, and gives what to put before a command line to do the same; undefined where it cannot. @param {number} id */
function pinned(id) {
  const asked = spawnSync('taskset', ['-c', '-p', String(id)], { encoding: 'utf8' });
  const core = /(\d+)\s*$/.exec(asked.stdout ?? '')?.[1];
  if (core === undefined || spawnSync('taskset', ['-c', '-p', core, String(id)]).status !== 0)
    return undefined;
  return ['taskset', '-c', core];
}

/**
 * @param {Measured} measured @param {'wall' | 'cpu'} cost @param {number} atLeast @param {string} [exactly]
 * @param {string} [peer] if not given, the JavaScript library that takes least
 */
function judged(measured, cost, atLeast, exactly, peer = fastest(measured, cost, JAVASCRIPT)) {
  const words = cost === 'cpu' ? 'CPU time of the process' : 'time';
  const what = `${measured.title}: ${words} of ${peer} to ours`;
  return judgeRatios(what, ratiosTo(measured, cost, peer), atLeast, exactly);
}

/** @param {readonly Measured[]} all @param {string} where @returns {import('./report.mjs').Asked[]} */
function judge(all, where) {
  const [one, many, connect] = /** @type {[Measured, Measured, Measured]} */ (all);
  const asked = [
    judged(one, 'wall', 1.3),
    judged(one, 'wall', 1, undefined, 'GDBus'),
    judged(many, 'wall', 1.2),
    judged(one, 'cpu', 1, '> 1 ×'),
    judged(many, 'cpu', 1, '> 1 ×'),
    judged(connect, 'wall', 2, undefined, 'dbus-next'),
  ];
  for (const each of asked) each.what = `${where}, ${each.what}`;
  return asked;
}

/** @param {boolean} onOneCore @param {readonly Peer[]} peers @param {number} timeMs @returns {Promise<Measured[] | undefined>} */
async function measureAll(onOneCore, peers, timeMs) {
  const bus = await startPrivateBus();
  try {
    const prefix = onOneCore ? pinned(bus.processId) : [];
    if (prefix === undefined) {
      console.warn('!! taskset is missing: nothing is measured with bus and client on one core');
      return undefined;
    }
    const all = COMMANDS.map(({ command, title }) => ({ command, title, series: new Map() }));
    for (let generation = 0; generation < GENERATIONS; generation += 1) {
      const running = peers.map(
        (peer) => new Running({ ...peer, argv: [...prefix, ...peer.argv, bus.address] }),
      );
      try {
        await measureRounds(running, all, { timeMs, warmUpMs: WARM_UP_MS, rounds: ROUNDS });
      } finally {
        await Promise.all(running.map((one) => one.close()));
      }
    }
    return all;
  } finally {
    await bus.close();
  }
}

const HOW = `Each client is a process of its own on one private dbus-daemon; ${GENERATIONS} generations of processes, ${ROUNDS} rounds each, the order turning by one each round. A ratio is the median over the rounds of what the other took to what secretbus took in the same round, with the middle half of the rounds in brackets: 2 × takes twice as long. CPU time is the client's own, user and system, of all its threads. Each library is called in its fastest way, dbus-native by callback and, for comparison, by the promise of its documents; dbus-next and dbus-native connect by \`node:net\`, their native addons not being built. \`raw socket\` is the floor for a program of Node's: prepared bytes written, and those of the reply counted.`;

/** @param {number} timeMs of one client in one round @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureCalls(timeMs) {
  const peers = findPeers();
  /** @type {import('./report.mjs').Group[]} */
  const groups = [];
  const together = await measureAll(true, peers, timeMs);
  if (together !== undefined) {
    groups.push({
      title: 'Calls, bus and client on one core',
      how: `${HOW} The time of a call is then the work of client, bus and system in a row, which is what a library can change, and what comes out the same again.`,
      tables: together.map((measured) => tableOf(measured)),
      asked: judge(together, 'one core'),
      data: toJson(together),
    });
  }
  const apart = /** @type {Measured[]} */ (await measureAll(false, peers, timeMs));
  groups.push({
    title: 'Calls, bus and client wherever the system puts them',
    how: 'The same, with the time that the system takes to wake a process on another core in each call, once for the bus and once for the client. On a machine with idle cores that can be more than all the rest, and the same for all.',
    tables: apart.map((measured) => tableOf(measured)),
    asked: judge(apart, 'any core'),
    data: toJson(apart),
  });
  return groups;
}
