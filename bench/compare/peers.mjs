/**
 * Peers: programs that run beside each other, each a process of its own that reads a command a line and answers each with one
 * line of JSON. In each round each of them works for the same time, in an order that turns by one each round; what is
 * compared are the figures of one round, and what is given is the median of these ratios.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { formatDuration, formatSpread, median } from './statistics.mjs';

export const OURS = 'secretbus';

/** `count` operations took `wall` nanoseconds, and `cpu` of the process. @typedef {{ count: number, wall: number, cpu: number }} Sample */
/** @typedef {{ name: string, argv: readonly string[], only?: readonly string[] }} Peer `only`: the commands it can, if not all */
/** Of each round, nanoseconds an operation; `service` is CPU time of the service that was asked. @typedef {{ wall: number[], cpu: number[], service: number[] }} Series */
/** @typedef {keyof Series} Cost */
/** @typedef {{ command: string, title: string, series: Map<string, Series> }} Measured */

/** A peer that runs. */
export class Running {
  /** @param {Peer} peer @param {NodeJS.ProcessEnv} [env] */
  constructor(peer, env = process.env) {
    this.peer = peer;
    const [program = '', ...parameters] = peer.argv;
    this.child = spawn(program, parameters, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    // That it has ended is found when its answer does not come.
    this.child.stdin.on('error', () => {});
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** @param {string} line @returns {Promise<any>} */
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

/**
 * Measures every command of `into` and adds the figures there.
 * @param {readonly Running[]} running
 * @param {readonly Measured[]} into
 * @param {object} options
 * @param {number} options.timeMs of one peer in one round
 * @param {number} options.warmUpMs
 * @param {number} options.rounds
 * @param {() => number} [options.serviceCpu] nanoseconds of CPU time that the service has used so far
 */
export async function measureRounds(
  running,
  into,
  { timeMs, warmUpMs, rounds, serviceCpu = () => Number.NaN },
) {
  for (const { command, series } of into) {
    const able = running.filter(({ peer }) => peer.only?.includes(command) ?? true);
    for (const one of able) await one.ask(`${command} ${warmUpMs}`);
    for (let round = 0; round < rounds; round += 1) {
      for (let index = 0; index < able.length; index += 1) {
        const one = /** @type {Running} */ (able[(index + round) % able.length]);
        const before = serviceCpu();
        /** @type {Sample} */
        const { count, wall, cpu } = await one.ask(`${command} ${timeMs}`);
        const own = series.get(one.peer.name) ?? { wall: [], cpu: [], service: [] };
        series.set(one.peer.name, own);
        own.wall.push(wall / count);
        own.cpu.push(cpu / count);
        own.service.push((serviceCpu() - before) / count);
      }
    }
  }
}

/**
 * How often what `theirs` took is what `ours` took, round by round; undefined where one of them was not measured.
 * @param {Measured} measured @param {Cost} cost @param {string} theirs @param {string} [ours]
 */
export function ratiosTo({ series }, cost, theirs, ours = OURS) {
  const [their, our] = [series.get(theirs)?.[cost], series.get(ours)?.[cost]];
  if (their === undefined || our === undefined) return undefined;
  return their.map((value, round) => value / /** @type {number} */ (our[round]));
}

/** The one of `names` that takes least. @param {Measured} measured @param {Cost} cost @param {readonly string[]} names */
export function fastest({ series }, cost, names) {
  const taken = (/** @type {string} */ name) =>
    median(series.get(name)?.[cost] ?? [Number.POSITIVE_INFINITY]);
  return /** @type {string} */ (names.toSorted((one, other) => taken(one) - taken(other))[0]);
}

/**
 * What ratios have to come to.
 * @param {string} what @param {readonly number[] | undefined} ratios @param {number} atLeast @param {string} [exactly] more than that, in words
 * @returns {import('./report.mjs').Asked}
 */
export function judgeRatios(what, ratios, atLeast, exactly) {
  if (ratios === undefined) {
    return { what, asked: exactly ?? `≥ ${atLeast} ×`, measured: 'not measured', reached: undefined };
  }
  return {
    what,
    asked: exactly ?? `≥ ${atLeast} ×`,
    measured: formatSpread(ratios),
    reached: exactly === undefined ? median(ratios) >= atLeast : median(ratios) > atLeast,
  };
}

/** @type {Record<Cost, string>} */
const COLUMNS = { wall: 'time', cpu: 'CPU time', service: 'CPU time of the service' };

/** @param {Measured} measured @param {readonly Cost[]} costs @returns {import('./report.mjs').Table} */
export function tableOf(measured, costs = ['wall', 'cpu']) {
  const rows = Array.from(measured.series, ([name, taken]) => [
    name,
    ...costs.flatMap((cost) => [
      formatDuration(median(taken[cost])),
      name === OURS ? '' : formatSpread(/** @type {number[]} */ (ratiosTo(measured, cost, name))),
    ]),
  ]);
  return {
    title: measured.title,
    columns: ['', ...costs.flatMap((cost) => [COLUMNS[cost], 'to ours'])],
    rows,
  };
}

/** @param {readonly Measured[]} all @param {readonly Cost[]} costs */
export function toJson(all, costs = ['wall', 'cpu']) {
  return all.map(({ title, series }) => ({
    title,
    nanoseconds: Object.fromEntries(
      Array.from(series, ([name, taken]) => [
        name,
        Object.fromEntries(costs.map((cost) => [cost, taken[cost]])),
      ]),
    ),
  }));
}
