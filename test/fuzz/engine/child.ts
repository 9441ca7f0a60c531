/** Fuzzes one target in a process of its own, which may hang or die; started by `supervise.ts`. */
import type { Target } from '../target.js';
import { seedsOf } from './corpus.js';
import { Coverage } from './coverage.js';
import { CurrentInput } from './current-input.js';
import { causeOf, type Failure, Fuzzer } from './fuzzer.js';
import { minimise } from './minimise.js';

/** What a child is told to do. */
export interface Task {
  /** Module whose default export is the list of targets: a URL. */
  readonly module: string;
  readonly target: string;
  readonly seed: number;
  /** Time to go on, in milliseconds, after all seeds were run. */
  readonly timeMs: number;
  /** File for the input being run. */
  readonly currentInput: string;
  /** Hexadecimal: run this input and no other. */
  readonly only?: string | undefined;
  /** Part of the URLs of the scripts whose coverage counts. */
  readonly watched: string;
  /** Most that the heap may have grown at the end, in bytes. */
  readonly maxHeapGrowth: number;
}

/** What a child tells before it ends. */
export interface Report {
  readonly executions: number;
  readonly corpusLength: number;
  readonly blocks: number;
  readonly outcomes: number;
  /** Inputs that showed something new, in hexadecimal. */
  readonly found: readonly string[];
  readonly failure?: (Omit<Failure, 'input'> & { input: string }) | undefined;
}

const hexOf = (input: Uint8Array): string => Buffer.from(input).toString('hex');

function heapUsed(): number {
  global.gc?.();
  const { heapUsed: used, external, arrayBuffers } = process.memoryUsage();
  return used + external + arrayBuffers;
}

/** Seeds, then batches until the time is over or something fails. */
async function run(fuzzer: Fuzzer, task: Task): Promise<Failure | undefined> {
  if (task.only !== undefined) return await fuzzer.check(new Uint8Array(Buffer.from(task.only, 'hex')));
  const failed = await fuzzer.runSeeds();
  if (failed !== undefined) return failed;
  // Every cache has been filled once: from here on it must not grow.
  for (let batch = 0; batch < 8; batch++) {
    const failure = await fuzzer.runBatch();
    if (failure !== undefined) return failure;
  }
  const before = heapUsed();
  const end = performance.now() + task.timeMs;
  while (performance.now() < end) {
    const failure = await fuzzer.runBatch();
    if (failure !== undefined) return failure;
  }
  const own = fuzzer.corpus.reduce((sum, input) => sum + input.length + 500, 0);
  const growth = heapUsed() - before - own;
  if (growth <= task.maxHeapGrowth) return undefined;
  const message = `the heap grew by ${growth} bytes in ${fuzzer.executions} runs`;
  return { kind: 'heap-growth', message, input: new Uint8Array(0) };
}

/** The smallest input found that fails for the same cause. */
async function smallest(
  target: Target,
  failure: Failure,
  beforeRun: (input: Uint8Array) => void,
): Promise<Failure> {
  if (failure.kind !== 'exception') return failure;
  let best = failure;
  const fuzzer = new Fuzzer(target, { seed: 0, seeds: [], beforeRun });
  await minimise(failure.input, async (candidate) => {
    const other = await fuzzer.check(candidate);
    if (other === undefined || causeOf(other) !== causeOf(failure)) return false;
    best = other;
    return true;
  });
  return best;
}

async function main(task: Task): Promise<Report> {
  const { default: targets } = (await import(task.module)) as { default: readonly Target[] };
  const target = targets.find(({ name }) => name === task.target);
  if (target === undefined) throw new Error(`no target is named ${task.target}`);
  const seeds = seedsOf(target);
  const longest = Math.max(target.maxByteLength ?? 4096, ...seeds.map(({ length }) => length));
  const current = new CurrentInput(task.currentInput, Math.max(longest, (task.only?.length ?? 0) / 2));
  const coverage = new Coverage((url) => url.includes(task.watched));
  const beforeRun = (input: Uint8Array): void => current.set(input);
  const fuzzer = new Fuzzer(target, { seed: task.seed, seeds, coverage, beforeRun });
  const failed = await run(fuzzer, task);
  const failure = failed === undefined ? undefined : await smallest(target, failed, beforeRun);
  coverage.stop();
  current.close();
  return {
    executions: fuzzer.executions,
    corpusLength: fuzzer.corpus.length,
    blocks: coverage.blocks,
    outcomes: fuzzer.outcomes,
    found: fuzzer.found.map(hexOf),
    failure:
      failure === undefined
        ? undefined
        : { kind: failure.kind, message: failure.message, stack: failure.stack, input: hexOf(failure.input) },
  };
}

process.once('message', (task: Task) => {
  // What it throws is the end of the process, and with that told.
  void main(task).then((report) => process.send?.(report, () => process.disconnect()));
});
