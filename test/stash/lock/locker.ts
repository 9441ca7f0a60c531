/** A program of its own for the tests: does one job with a lock, given as JSON, and says how it went. */
import { spawn } from 'node:child_process';
import cluster from 'node:cluster';
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { StashError } from '../../../src/stash/errors.js';
import { openLock } from '../../../src/stash/lock/store-lock.js';

/** What the program is told. */
export interface Job {
  readonly path: string;
  readonly name: string;
  readonly mode: 'auto' | 'socket' | 'flock';
  readonly timeoutMs: number;
  /**
   * - `hold`: takes the lock and never lets go.
   * - `parent`: the same, with a child process that was started meanwhile; says its id too.
   * - `take`: takes the lock once; says what keeps the process alive then, and has nothing more to do.
   * - `count`: increments the counter in a file, `count` times.
   * - `busy`: takes the lock again and again, three times at once, for `count` milliseconds; says how often.
   * - `cluster`, `threads`: four workers of this kind, which count.
   */
  readonly action: 'hold' | 'parent' | 'take' | 'count' | 'busy' | 'cluster' | 'threads';
  readonly count: number;
  readonly counter: string;
}

const argument = process.argv[2] ?? '';
const job = JSON.parse(argument) as Job;
const { timeoutMs, count, counter } = job;

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

async function increment(): Promise<void> {
  const value = Number(readFileSync(counter, 'utf8'));
  // Others get their chance to read the same.
  if (value % 3 === 0) await sleep(0);
  writeFileSync(counter, String(value + 1));
}

/** Ends with the process only. */
async function forever(): Promise<never> {
  for (;;) await sleep(1_000_000);
}

async function work(): Promise<void> {
  const lock = openLock(job);
  const run = (task: () => Promise<unknown>): Promise<unknown> => lock.run(task, { timeoutMs });
  if (job.action === 'hold' || job.action === 'parent') {
    await run(async () => {
      const child = job.action === 'parent' ? spawn('sleep', ['60'], { stdio: 'inherit' }) : undefined;
      say(`in ${child?.pid ?? ''}`);
      await forever();
    });
  } else if (job.action === 'take') {
    await run(async () => say('in'));
    // Not `PipeWrap`: the standard streams are that, too.
    const alive = process.getActiveResourcesInfo().filter((name) => /Timeout|PipeServer|Process/.test(name));
    say(`out ${alive.join(' ')}`);
  } else if (job.action === 'busy') {
    const end = performance.now() + count;
    let times = 0;
    const loop = async (): Promise<void> => {
      for (; performance.now() < end; times++) await run(() => sleep(0));
    };
    // With others of the same process always waiting.
    await Promise.all([loop(), loop(), loop()]);
    say(String(times));
  } else if (job.action === 'count') {
    for (let done = 0; done < count; done++) await run(increment);
  } else {
    const worker = JSON.stringify({ ...job, action: 'count' });
    cluster.setupPrimary({ args: [worker] });
    const startWorker = (): unknown =>
      job.action === 'cluster'
        ? cluster.fork()
        : new Worker(fileURLToPath(import.meta.url), { argv: [worker] });
    for (let started = 0; started < 4; started++) startWorker();
  }
}

try {
  await work();
} catch (error) {
  say(error instanceof StashError ? error.code : String(error));
}
if (cluster.isWorker) cluster.worker?.disconnect();
