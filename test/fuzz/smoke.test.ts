/** Every target over all its seeds and some thousand inputs, and the fuzzer against bugs that are there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seedsOf } from './engine/corpus.js';
import { Fuzzer } from './engine/fuzzer.js';
import { minimise } from './engine/minimise.js';
import { type Result, supervise } from './engine/supervise.js';
import { transpile } from './engine/transpile.mjs';
import faulty from './faulty.js';
import { main } from './main.js';
import type { Target } from './target.js';
import targets from './targets/index.js';

const INPUTS = 4000;

describe.each(targets.map((target): [string, Target] => [target.name, target]))(
  'the target %s',
  (_, target) => {
    it('holds for its seeds and for inputs made of them', async () => {
      const fuzzer = new Fuzzer(target, { seed: 20_251_122, seeds: seedsOf(target) });
      expect(await fuzzer.runSeeds()).toBeUndefined();
      expect(fuzzer.corpus.length).toBeGreaterThan(5);
      const outcomes = fuzzer.outcomes;
      expect(outcomes).toBeGreaterThan(2);
      const start = performance.now();
      // On a machine that is busy fewer will do.
      for (let made = 0; made < INPUTS && performance.now() - start < 20_000; made += 100) {
        expect(await fuzzer.runBatch(100)).toBeUndefined();
      }
      expect(fuzzer.outcomes).toBeGreaterThan(outcomes);
    });
  },
);

function faultyTarget(name: string): Target {
  const target = faulty.find((one) => one.name === name);
  if (target === undefined) throw new Error(name);
  return target;
}

/** How many inputs it took a fuzzer, always of the same seed, to find a fault, and the input that showed it. */
async function firstFailure(): Promise<[number, string]> {
  const fuzzer = new Fuzzer(faultyTarget('wrong-error'), { seed: 5, seeds: [] });
  let failure = await fuzzer.runBatch(100);
  while (failure === undefined) failure = await fuzzer.runBatch(100);
  return [fuzzer.executions, Buffer.from(failure.input).toString('hex')];
}

describe('the fuzzer finds', () => {
  it.each([
    ['type-error', 'TypeError: replies are not strings'],
    ['not-one-to-one', 'BrokenPromise: what was written is not what was read'],
    ['wrong-error', 'RangeError: too many slashes'],
  ])('a bug of kind %s, without a look at the coverage', async (name, message) => {
    const fuzzer = new Fuzzer(faultyTarget(name), { seed: 1, seeds: [] });
    let failure = await fuzzer.runSeeds();
    for (let batch = 0; batch < 200 && failure === undefined; batch++) failure = await fuzzer.runBatch(100);
    expect(failure).toMatchObject({ kind: 'exception', message });
    expect(
      await new Fuzzer(faultyTarget(name), { seed: 2, seeds: [] }).check(failure?.input as Uint8Array),
    ).toMatchObject({
      message,
    });
  });

  it('the same with the same seed', async () => {
    expect(await firstFailure()).toEqual(await firstFailure());
  });
});

describe('a process of its own', () => {
  let built: Awaited<ReturnType<typeof transpile>>;
  let runFaulty: (target: string, timeMs: number, hangMs?: number) => Promise<Result>;

  beforeAll(async () => {
    built = await transpile();
    // Of the built modules, since only those have a child to start.
    const { supervise: start } = (await import(
      /* @vite-ignore */ built.url('test/fuzz/engine/supervise.js')
    )) as {
      supervise: typeof supervise;
    };
    const common = { module: built.url('test/fuzz/faulty.js'), watched: '/faulty.js', seed: 3 };
    runFaulty = (target, timeMs, hangMs) => start({ ...common, target, timeMs, hangMs, minimiseMs: 3000 });
  });

  afterAll(() => built?.remove());

  it('finds a bug at the end of a way of branches, by the coverage', async () => {
    const { failure, blocks } = await runFaulty('way', 60_000);
    expect(failure).toMatchObject({ kind: 'exception', message: 'TypeError: the end of the way' });
    expect(Buffer.from(failure?.input ?? []).toString()).toBe('secr');
    expect(blocks).toBeGreaterThan(2);
  });

  it.each([
    ['slow', 'slow'],
    ['hang', 'hang'],
    ['out-of-memory', 'crash'],
    ['crash', 'crash'],
  ])('survives a target that is: %s', async (name, kind) => {
    const { failure } = await runFaulty(name, 20_000, name === 'hang' ? 2000 : undefined);
    expect(failure?.kind).toBe(kind);
    expect(failure?.input).toContain(0x7f);
  });

  it('makes what crashes smaller', async () => {
    const { failure } = await runFaulty('crash', 20_000);
    expect(failure?.input.length).toBeLessThan(8);
    expect(failure?.input).toContain(0x7f);
  });

  it('notices a target that keeps what it is given', async () => {
    expect((await runFaulty('leak', 1500)).failure).toMatchObject({ kind: 'heap-growth' });
  });
});

describe('an input that fails is made smaller', () => {
  it('down to what matters', async () => {
    const input = Uint8Array.from({ length: 300 }, (_, index) => index);
    const least = await minimise(input, (bytes) => bytes.includes(17) && bytes.includes(200));
    expect(new Set(least)).toEqual(new Set([17, 200]));
    expect(least).toHaveLength(2);
  });

  it('within its budget', async () => {
    let asked = 0;
    const fails = (bytes: Uint8Array): boolean => ++asked > 0 && bytes.length > 50;
    const least = await minimise(new Uint8Array(1000), fails, 7);
    expect(asked).toBe(7);
    expect(least.length).toBeGreaterThan(50);
  });
});

describe('npm run fuzz', () => {
  it.each([
    [['--help'], 0, '--time SECONDS'],
    [['--target', 'nothing'], 2, 'no target is named nothing'],
    [['--time', '0'], 2, '--time must be'],
    [['--time', 'x'], 2, '--time must be'],
    [['--seed=-1'], 2, '--seed must be'],
    [['--jobs', '0'], 2, '--jobs must be'],
    [['--input', 'file'], 2, '--input needs one --target'],
    [['--what'], 2, 'Unknown option'],
    [['stray'], 2, 'Unexpected argument'],
  ])('%j ends with status %d and says %j', async (parameters, status, text) => {
    const lines: string[] = [];
    expect(await main(parameters, { root: '', print: (line) => void lines.push(line) })).toBe(status);
    expect(lines.join('\n')).toContain(text);
  });
});
