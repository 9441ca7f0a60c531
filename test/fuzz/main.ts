/** `npm run fuzz`: what its options mean, and what it says. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { saveInputs } from './engine/corpus.js';
import type { Failure } from './engine/fuzzer.js';
import { type Result, supervise } from './engine/supervise.js';
import targets from './targets/index.js';

const NAMES = targets.map(({ name }) => name);
const HELP = `npm run fuzz -- [options]

  --time SECONDS   time for all targets together (default 60)
  --target NAME    one of ${NAMES.join(', ')};
                   may be given several times (default all)
  --seed NUMBER    where the random choices start (default another each time)
  --jobs NUMBER    targets to run at one time (default one a processor)
  --input FILE     runs one input and no other; needs one --target
  --keep           adds inputs that showed something new to test/fuzz/corpus
  --out FOLDER     where inputs that fail are written (default a new temporary folder)
  --help           this text

Ends with status 1 when an input fails, and then says which and how to run it again.`;

export interface Surroundings {
  /** The project's folder. */
  readonly root: string;
  readonly print: (line: string) => void;
}

class UsageError extends Error {}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e9)) throw new UsageError(`--${name} must be a positive number`);
  return value;
}

function optionsOf(parameters: readonly string[]) {
  const { values } = parseArgs({
    args: [...parameters],
    options: {
      time: { type: 'string', default: '60' },
      target: { type: 'string', multiple: true, default: NAMES },
      seed: { type: 'string' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      input: { type: 'string' },
      keep: { type: 'boolean', default: false },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const names = [...new Set(values.target)];
  const unknown = names.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new UsageError(`no target is named ${unknown}`);
  if (values.input !== undefined && names.length !== 1) throw new UsageError('--input needs one --target');
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new UsageError('--seed must be a whole number');
  const jobs = Math.min(names.length, Math.ceil(positive('jobs', values.jobs)));
  return { ...values, names, seed, jobs, timeMs: positive('time', values.time) * 1000 };
}

type Options = ReturnType<typeof optionsOf>;

function tellResult(name: string, result: Result, elapsedMs: number, print: Surroundings['print']): void {
  const { executions, corpusLength, blocks, outcomes, found } = result;
  const perSecond = Math.round((executions / elapsedMs) * 1000);
  print(
    `${name.padEnd(14)} ${executions.toLocaleString('en')} runs, ${perSecond.toLocaleString('en')}/s, ${blocks} blocks, ` +
      `${outcomes} outcomes, ${corpusLength} inputs, ${found.length} of them new`,
  );
}

function tellFailure(name: string, failure: Failure, options: Options, print: Surroundings['print']): void {
  const folder = options.out ?? mkdtempSync(join(tmpdir(), 'secretbus-fuzz-'));
  const [path = ''] = saveInputs(folder, [failure.input]);
  const hex = Buffer.from(failure.input).toString('hex');
  const lines = [
    `${name} FAILED: ${failure.kind}: ${failure.message}`,
    ...(failure.stack === undefined ? [] : [failure.stack]),
    `  seed:  ${options.seed}`,
    `  input: ${hex === '' ? '(empty)' : hex.length > 4000 ? `${hex.slice(0, 4000)}… (all of it is in the file)` : hex}`,
    `  file:  ${path}`,
    `  again: npm run fuzz -- --target ${name} --input ${path}`,
  ];
  for (const line of lines) print(line);
}

/** Runs the targets, some at one time; gives whether all went well. */
async function fuzz(options: Options, { root, print }: Surroundings): Promise<boolean> {
  const module = new URL('targets/index.js', import.meta.url).href;
  const waiting = [...options.names];
  const only = options.input === undefined ? undefined : new Uint8Array(readFileSync(options.input));
  const timeMs = (options.timeMs * options.jobs) / options.names.length;
  let well = true;
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const start = performance.now();
      const result = await supervise({ module, target: name, seed: options.seed, timeMs, only });
      tellResult(name, result, performance.now() - start, print);
      if (options.keep && only === undefined) saveInputs(join(root, 'test/fuzz/corpus', name), result.found);
      if (result.failure === undefined) continue;
      well = false;
      tellFailure(name, result.failure, options, print);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return well;
}

/** Gives the exit status. */
export async function main(parameters: readonly string[], surroundings: Surroundings): Promise<number> {
  const { print } = surroundings;
  let options: Options;
  try {
    options = optionsOf(parameters);
  } catch (error) {
    const isUsage =
      error instanceof UsageError || String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE');
    if (!isUsage) throw error;
    print(`${(error as Error).message}\n\n${HELP}`);
    return 2;
  }
  if (options.help) {
    print(HELP);
    return 0;
  }
  print(`Fuzzing ${options.names.length} targets with seed ${options.seed}`);
  return (await fuzz(options, surroundings)) ? 0 : 1;
}
