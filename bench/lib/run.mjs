/**
 * Runs groups of benchmarks and gives each beside its reference, measured in the same run: on a noisy machine only the
 * ratio tells anything.
 */
import { measure } from 'mitata';

/**
 * @typedef {object} BenchTask
 * @property {string} name
 * @property {() => unknown} run what is timed; may return a promise.
 * @property {string} [reference] name of the task of the same group that this one is compared to.
 * @property {number} [count] how many operations one run makes; default 1.
 */

/**
 * @typedef {object} BenchGroup
 * @property {string} name
 * @property {BenchTask[]} tasks
 * @property {() => Promise<void>} [close]
 */

/**
 * @typedef {object} BenchResult
 * @property {string} group
 * @property {string} name
 * @property {number} nanoseconds an operation, by the median
 * @property {string | undefined} reference
 * @property {number | undefined} ratio speed relative to the reference: 2 is twice as fast
 */

/**
 * @param {BenchGroup} group
 * @param {number} timeMs for each task
 * @returns {Promise<BenchResult[]>}
 */
export async function runGroup(group, timeMs) {
  /** @type {Map<string, number>} */
  const medians = new Map();
  for (const { name, run, count = 1 } of group.tasks) {
    const { p50 } = await measure(run, { min_cpu_time: timeMs * 1e6, min_samples: 8 });
    medians.set(name, p50 / count);
  }
  return group.tasks.map(({ name, reference }) => {
    const nanoseconds = /** @type {number} */ (medians.get(name));
    const base = reference === undefined ? undefined : medians.get(reference);
    if (reference !== undefined && base === undefined) throw new Error(`no task is named ${reference}`);
    return {
      group: group.name,
      name,
      nanoseconds,
      reference,
      ratio: base === undefined ? undefined : base / nanoseconds,
    };
  });
}

/** @param {number} nanoseconds */
function formatDuration(nanoseconds) {
  if (nanoseconds < 1e3) return `${nanoseconds.toFixed(0)} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(1)} µs`;
  return `${(nanoseconds / 1e6).toFixed(2)} ms`;
}

/**
 * One line a result.
 * @param {readonly BenchResult[]} results
 */
export function formatResults(results) {
  const width = Math.max(...results.map(({ name }) => name.length));
  return results
    .map(({ name, nanoseconds, reference, ratio }) => {
      const perSecond = Math.round(1e9 / nanoseconds).toLocaleString('en');
      const line = `  ${name.padEnd(width)}  ${formatDuration(nanoseconds).padStart(9)}  ${perSecond.padStart(11)}/s`;
      return ratio === undefined ? line : `${line}  ${ratio.toFixed(2).padStart(7)} × ${reference}`;
    })
    .join('\n');
}
