/**
 * One way to keep values, in a process of its own: `node way-child.mjs WAY FOLDER`. Reads lines from its input and answers
 * each with one line of JSON, `{count, wall, cpu}`: operations, and nanoseconds of time and of the process's own CPU time.
 *
 *   write MS        writes one value after the other, each durable before the next, for about MS milliseconds
 *   many MS         writes as many as `MANY` at a time
 *   unsynced MS     writes one after the other without waiting for the disk
 *   read MS         reads one after the other, and compares each
 *
 * What was written last is read back after each measuring. The process ends with its input.
 */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { answerLines, measured } from '../child.mjs';
import { MANY, WAYS } from './ways.mjs';

/** @typedef {import('./ways.mjs').Way} Way */

const [name = '', folder = ''] = process.argv.slice(2);
const found = WAYS[name];
if (found === undefined || folder === '') throw new Error('usage: way-child.mjs WAY FOLDER');
const open = found;

/** Runs `work` again and again. @param {(number: number) => unknown} work @param {number} from @param {number} each counted for one run @param {number} timeMs */
async function repeat(work, from, each, timeMs) {
  const end = performance.now() + timeMs;
  let number = from;
  do {
    for (let times = 0; times < 8; times += 1) {
      const pending = work(number);
      // Synchronous work is not made to wait a turn.
      if (pending instanceof Promise) await pending;
      number += each;
    }
  } while (performance.now() < end);
  return { count: number - from };
}

/** What each command is measured on: reads on values nobody has changed. @type {Map<string, { way: Way, next: number }>} */
const opened = new Map();

/** @param {string} command */
async function wayFor(command) {
  let one = opened.get(command);
  if (one === undefined) {
    const own = mkdtempSync(join(folder, 'way-'));
    one = { way: await open(own, command === 'unsynced' ? 'unsynced' : 'durable'), next: 0 };
    opened.set(command, one);
  }
  return one;
}

await answerLines(async (line) => {
  const [command = '', timeMs] = line.split(' ');
  const one = await wayFor(command);
  const { way, next } = one;
  const work = { write: way.write, many: way.writeMany, unsynced: way.write, read: way.read }[command];
  if (work === undefined) throw new Error(`${name} cannot do ${line}`);
  const sample = await measured(() => repeat(work, next, command === 'many' ? MANY : 1, Number(timeMs)));
  one.next += sample.count;
  if (command !== 'read') await way.check?.(one.next - 1);
  return sample;
});
process.exit(0);
