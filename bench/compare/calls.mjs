/**
 * Calls on a real bus, by secretbus, the other JavaScript libraries, and libdbus and GDBus where their headers are.
 *
 * Each client is a process of its own on one dbus-daemon. In each round each of them runs for the same time, in an order
 * that turns by one each round; what is compared are the figures of one round, and what is given is the median of these
 * ratios. Several generations of processes are started, since a compiler that optimizes while it runs does not always come
 * to the same code.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { buildProgram } from './c/build.mjs';
import { formatDuration, formatSpread, median } from './statistics.mjs';

const GENERATIONS = 3;
const ROUNDS = 5;
const WARM_UP_MS = 700;
const CHILD = fileURLToPath(new URL('calls-child.mjs', import.meta.url));
const OURS = 'secretbus';
const JAVASCRIPT = ['dbus-native', 'dbus-native, await', 'dbus-next', '@homebridge/dbus-native'];
const FLOOR = 'raw socket';

/** @typedef {{ count: number, wall: number, cpu: number }} Sample `wall` and `cpu` in nanoseconds */
/** @typedef {{ name: string, argv: string[], only?: string }} Peer `only`: the one command it can */
/** Of each round, nanoseconds an operation. @typedef {{ wall: number[], cpu: number[] }} Series */
/** @typedef {{ command: string, title: string, series: Map<string, Series> }} Measured */

const COMMANDS = [
  { command: 'calls 1', title: 'GetId, one at a time' },
  { command: 'calls 64', title: 'GetId, 64 in flight' },
  { command: 'connect', title: 'connect, Hello, one call' },
];

/** @returns {Peer[]} */
function findPeers() {
  /** @type {Peer[]} */
  const peers = [OURS, ...JAVASCRIPT].map((name) => ({ name, argv: [process.execPath, CHILD, name] }));
  peers.push({ name: FLOOR, argv: [process.execPath, CHILD, FLOOR], only: 'calls 1' });
  const libdbus = buildProgram('calls_libdbus', ['dbus-1']);
  if (libdbus !== undefined) peers.push({ name: 'libdbus', argv: [libdbus] });
  const gdbus = buildProgram('calls_gdbus', ['gio-2.0']);
  if (gdbus !== undefined) peers.push({ name: 'GDBus', argv: [gdbus] });
  return peers;
}

/** A peer that runs, connected to the bus. */
class Running {
  /** @param {Peer} peer @param {string} address @param {readonly string[]} prefix of the command line */
  constructor(peer, address, prefix) {
    this.peer = peer;
    const argv = [...prefix, ...peer.argv, address];
    this.child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    // That it has ended is found when its answer does not come.
    this.child.stdin.on('error', () => {});
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** @param {string} line @returns {Promise<Sample>} */
  async ask(line) {
    this.child.stdin.write(`${line}\n`);
    const { done, value } = await this.lines.next();
    if (done) throw new Error(`${this.peer.name} ended without an answer to ${line}`);
    return JSON.parse(value);
  }

  async close() {
    this.child.stdin.end();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await new Promise((resolve) => this.child.once('exit', resolve));
    }
  }
}

/** Keeps the process `id` on one core, and gives what to put before a command line to do the same; undefined where it cannot. @param {number} id */
function pinned(id) {
  const asked = spawnSync('taskset', ['-c', '-p', String(id)], { encoding: 'utf8' });
  const core = /(\d+)\s*$/.exec(asked.stdout ?? '')?.[1];
  if (core === undefined || spawnSync('taskset', ['-c', '-p', core, String(id)]).status !== 0)
    return undefined;
  return ['taskset', '-c', core];
}

/** @param {readonly Peer[]} peers @param {string} address @param {readonly string[]} prefix @param {number} timeMs @param {readonly Measured[]} into */
async function measureGeneration(peers, address, prefix, timeMs, into) {
  const running = peers.map((peer) => new Running(peer, address, prefix));
  try {
    for (const { command, series } of into) {
      const able = running.filter(({ peer }) => peer.only === undefined || peer.only === command);
      for (const one of able) await one.ask(`${command} ${WARM_UP_MS}`);
      for (let round = 0; round < ROUNDS; round += 1) {
        for (let index = 0; index < able.length; index += 1) {
          const one = /** @type {Running} */ (able[(index + round) % able.length]);
          const { count, wall, cpu } = await one.ask(`${command} ${timeMs}`);
          const own = series.get(one.peer.name) ?? { wall: [], cpu: [] };
          series.set(one.peer.name, own);
          own.wall.push(wall / count);
          own.cpu.push(cpu / count);
        }
      }
    }
  } finally {
    await Promise.all(running.map((one) => one.close()));
  }
}

/** How often `theirs` is `ours`, round by round. @param {readonly number[]} theirs @param {readonly number[]} ours */
function ratios(theirs, ours) {
  return theirs.map((value, round) => value / /** @type {number} */ (ours[round]));
}

/** @param {Measured} measured @param {'wall' | 'cpu'} what @param {string} name */
function ratiosTo({ series }, what, name) {
  const [theirs, ours] = [series.get(name), series.get(OURS)];
  return theirs === undefined || ours === undefined ? undefined : ratios(theirs[what], ours[what]);
}

/** The JavaScript library that takes least. @param {Measured} measured @param {'wall' | 'cpu'} what */
function fastest({ series }, what) {
  const cost = (/** @type {string} */ name) => median(series.get(name)?.[what] ?? [Number.POSITIVE_INFINITY]);
  return /** @type {string} */ (JAVASCRIPT.toSorted((one, other) => cost(one) - cost(other))[0]);
}

/**
 * @param {Measured} measured @param {'wall' | 'cpu'} what @param {string} peer @param {number} atLeast @param {string} [exactly]
 * @returns {import('./report.mjs').Asked}
 */
function judged(measured, what, peer, atLeast, exactly) {
  const found = ratiosTo(measured, what, peer);
  const cost = what === 'cpu' ? 'CPU time of the process' : 'time';
  return {
    what: `${measured.title}: ${cost} of ${peer} to ours`,
    asked: exactly ?? `≥ ${atLeast} ×`,
    measured: found === undefined ? 'not measured' : formatSpread(found),
    reached:
      found === undefined
        ? undefined
        : exactly === undefined
          ? median(found) >= atLeast
          : median(found) > atLeast,
  };
}

/** @param {readonly Measured[]} all @param {string} where @returns {import('./report.mjs').Asked[]} */
function judge(all, where) {
  const [one, many, connect] = /** @type {[Measured, Measured, Measured]} */ (all);
  const asked = [
    judged(one, 'wall', fastest(one, 'wall'), 1.3),
    judged(one, 'wall', 'GDBus', 1),
    judged(many, 'wall', fastest(many, 'wall'), 1.2),
    judged(one, 'cpu', fastest(one, 'cpu'), 1, '> 1 ×'),
    judged(many, 'cpu', fastest(many, 'cpu'), 1, '> 1 ×'),
    judged(connect, 'wall', 'dbus-next', 2),
  ];
  for (const each of asked) each.what = `${where}, ${each.what}`;
  return asked;
}

/** @param {Measured} measured @returns {import('./report.mjs').Table} */
function tableOf(measured) {
  const rows = Array.from(measured.series, ([name, { wall, cpu }]) => [
    name,
    formatDuration(median(wall)),
    name === OURS ? '' : formatSpread(/** @type {number[]} */ (ratiosTo(measured, 'wall', name))),
    formatDuration(median(cpu)),
    name === OURS ? '' : formatSpread(/** @type {number[]} */ (ratiosTo(measured, 'cpu', name))),
  ]);
  return { title: measured.title, columns: ['', 'time', 'to ours', 'CPU time', 'to ours'], rows };
}

/** @param {readonly Measured[]} all */
function toJson(all) {
  return all.map(({ title, series }) => ({ title, nanoseconds: Object.fromEntries(series) }));
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
      await measureGeneration(peers, bus.address, prefix, timeMs, all);
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
      tables: together.map(tableOf),
      asked: judge(together, 'one core'),
      data: toJson(together),
    });
  }
  const apart = /** @type {Measured[]} */ (await measureAll(false, peers, timeMs));
  groups.push({
    title: 'Calls, bus and client wherever the system puts them',
    how: 'The same, with the time that the system takes to wake a process on another core in each call, once for the bus and once for the client. On a machine with idle cores that can be more than all the rest, and the same for all.',
    tables: apart.map(tableOf),
    asked: judge(apart, 'any core'),
    data: toJson(apart),
  });
  return groups;
}
