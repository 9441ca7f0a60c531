/** Runs a target in a child process, and notices when that hangs, dies or uses up its memory. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Report, Task } from './child.js';
import { readCurrentInput } from './current-input.js';
import type { Failure } from './fuzzer.js';
import { minimise } from './minimise.js';

const CHILD = fileURLToPath(new URL('child.js', import.meta.url));
/** A run that does not end within this time is a hang, however busy the machine. */
const HANG_MS = 30_000;
/** Time that making an input smaller may take where each try is a process of its own. */
const MINIMISE_MS = 20_000;
const MAX_HEAP_MEGABYTES = 256;

export type Result = Omit<Report, 'failure' | 'found'> & {
  found: readonly Uint8Array[];
  failure?: Failure | undefined;
};

export interface SuperviseOptions {
  readonly module: string;
  readonly target: string;
  readonly seed: number;
  readonly timeMs: number;
  readonly only?: Uint8Array | undefined;
  readonly hangMs?: number | undefined;
  readonly minimiseMs?: number | undefined;
  /** Part of the URLs of the scripts whose coverage counts; `/src/` if not given. */
  readonly watched?: string | undefined;
  /** Most that the heap may grow, in bytes; 32 MiB if not given. */
  readonly maxHeapGrowth?: number | undefined;
}

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/** Waits for the child to report or to die; kills one that has been at the same input for too long. */
async function watch(
  child: ChildProcess,
  currentInput: string,
  hangMs: number,
): Promise<Report | 'died' | 'hung'> {
  let report: Report | undefined;
  let hung = false;
  let last = { count: -1, since: performance.now() };
  child.once('message', (message: Report) => {
    report = message;
  });
  const timer = setInterval(
    () => {
      const { count } = readCurrentInput(currentInput);
      if (count !== last.count) last = { count, since: performance.now() };
      // Before the first run it loads its modules, and that is no concern of ours.
      else if (count > 0 && report === undefined && performance.now() - last.since > hangMs) {
        hung = true;
        child.kill('SIGKILL');
      }
    },
    Math.min(250, hangMs),
  );
  try {
    // What it said last may come after its end.
    await Promise.all([once(child, 'exit'), child.connected ? once(child, 'disconnect') : undefined]);
  } finally {
    clearInterval(timer);
  }
  if (report !== undefined) return report;
  return hung ? 'hung' : 'died';
}

/** One run of a child; what it failed with has been made smaller only if the child itself could do that. */
async function runOnce(options: SuperviseOptions): Promise<Result> {
  const {
    module,
    target,
    seed,
    timeMs,
    only,
    hangMs = HANG_MS,
    maxHeapGrowth = 2 ** 25,
    watched = '/src/',
  } = options;
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-fuzz-'));
  const currentInput = join(folder, 'input');
  writeFileSync(currentInput, '');
  const child = fork(CHILD, [], {
    execArgv: ['--expose-gc', `--max-old-space-size=${MAX_HEAP_MEGABYTES}`],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4000);
  });
  // It may die before it takes its task; its exit tells.
  child.on('error', () => {});
  const stop = (): void => void child.kill('SIGKILL');
  process.once('exit', stop);
  try {
    const task: Task = {
      module,
      target,
      seed,
      timeMs,
      currentInput,
      watched,
      maxHeapGrowth,
      only: only === undefined ? undefined : Buffer.from(only).toString('hex'),
    };
    child.send(task);
    const outcome = await watch(child, currentInput, hangMs);
    if (typeof outcome === 'object') {
      const { failure } = outcome;
      return {
        ...outcome,
        found: outcome.found.map(bytesOf),
        failure: failure === undefined ? undefined : { ...failure, input: bytesOf(failure.input) },
      };
    }
    const { count, input } = readCurrentInput(currentInput);
    if (count === 0) throw new Error(`the process for ${target} does not start: ${complaint.trim()}`);
    const how = child.signalCode ?? `exit status ${child.exitCode}`;
    const failure: Failure =
      outcome === 'hung'
        ? { kind: 'hang', message: `did not end within ${hangMs} ms`, input }
        : { kind: 'crash', message: `the process died: ${how}`, stack: complaint.trim(), input };
    return { executions: count, corpusLength: 0, blocks: 0, outcomes: 0, found: [], failure };
  } finally {
    process.removeListener('exit', stop);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Fuzzes a target for a time, or runs one input. A failure that the process did not outlive is made smaller in more of them. */
export async function supervise(options: SuperviseOptions): Promise<Result> {
  const result = await runOnce(options);
  const { failure } = result;
  if (failure === undefined || options.only !== undefined) return result;
  if (failure.kind !== 'crash' && failure.kind !== 'hang') return result;
  const hangMs = Math.min(options.hangMs ?? HANG_MS, 2000);
  const end = performance.now() + (options.minimiseMs ?? MINIMISE_MS);
  const input = await minimise(failure.input, async (candidate) => {
    if (performance.now() > end) return false;
    return (await runOnce({ ...options, hangMs, only: candidate })).failure?.kind === failure.kind;
  });
  return { ...result, failure: { ...failure, input } };
}
