/** The loop: takes an input that is known, changes it, runs it, and keeps it when it showed something new. */
import type { Target } from '../target.js';
import type { Coverage, NewBlock } from './coverage.js';
import { Mutator } from './mutate.js';
import { Random } from './random.js';

/** A run that takes more time of the processor than this, each time it is tried, is a failure. */
export const SLOW_MS = 1000;

export interface Failure {
  readonly kind: 'exception' | 'slow' | 'crash' | 'hang' | 'heap-growth';
  readonly message: string;
  readonly stack?: string | undefined;
  readonly input: Uint8Array;
}

export interface FuzzerOptions {
  readonly seed: number;
  readonly seeds: readonly Uint8Array[];
  /** Without it only what the target says of an input tells whether it is new. */
  readonly coverage?: Coverage | undefined;
  /** Called with each input before it is run. */
  readonly beforeRun?: ((input: Uint8Array) => void) | undefined;
}

/** What is the same of two failures with one cause: numbers and quotations vary with the input. */
export function causeOf({ kind, message }: Pick<Failure, 'kind' | 'message'>): string {
  return `${kind} ${message.replaceAll(/\d+|'[^']*'|"[^"]*"/g, '#').slice(0, 80)}`;
}

export class Fuzzer {
  executions = 0;
  /** Inputs that each showed something new, oldest first. */
  readonly corpus: Uint8Array[] = [];
  /** Those of `corpus` that were found, not given. */
  readonly found: Uint8Array[] = [];
  readonly #target: Target;
  readonly #options: FuzzerOptions;
  readonly #random: Random;
  readonly #mutator: Mutator;
  readonly #labels = new Set<string>();
  #batchLength = 64;

  constructor(target: Target, options: FuzzerOptions) {
    this.#target = target;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#mutator = new Mutator(this.#random, target.dictionary ?? [], target.maxByteLength ?? 4096);
  }

  /** How many different outcomes the target has told of. */
  get outcomes(): number {
    return this.#labels.size;
  }

  /** Runs one input. */
  async check(input: Uint8Array): Promise<Failure | undefined> {
    this.#options.beforeRun?.(input);
    this.executions++;
    // A target may not change what it is given, and one that does must not spoil the corpus.
    const copy = new Uint8Array(input);
    const start = performance.now();
    try {
      const label = await this.#target.run(copy);
      if (!this.#labels.has(label)) {
        this.#labels.add(label);
        this.#keep(input);
      }
    } catch (error) {
      const { name = '', message = String(error), stack } = error instanceof Error ? error : {};
      return { kind: 'exception', message: `${name}: ${message}`, stack, input };
    }
    const elapsedMs = performance.now() - start;
    return elapsedMs > SLOW_MS ? await this.#checkSlow(input) : undefined;
  }

  /** Runs every seed once. */
  async runSeeds(): Promise<Failure | undefined> {
    for (const seed of this.#options.seeds) {
      const failure = await this.check(seed);
      if (failure !== undefined) return failure;
      this.corpus.push(seed);
    }
    this.found.length = 0;
    this.#options.coverage?.take();
    return undefined;
  }

  /** Runs a batch of new inputs. */
  async runBatch(length = this.#batchLength): Promise<Failure | undefined> {
    const { coverage } = this.#options;
    const inputs: Uint8Array[] = [];
    const start = performance.now();
    for (let count = 0; count < length; count++) {
      const input = this.#next();
      inputs.push(input);
      const failure = await this.check(input);
      if (failure !== undefined) return failure;
    }
    if (coverage === undefined) return undefined;
    const ran = performance.now();
    const blocks = coverage.take();
    // Looking at the coverage takes a while that hardly depends on what ran: it may have a fifth of the time.
    const share = (performance.now() - ran) / (ran - start);
    this.#batchLength = Math.min(
      4096,
      Math.max(16, share > 0.2 ? length * 2 : share < 0.05 ? length / 2 : length) | 0,
    );
    if (blocks.length > 0) await this.#attribute(inputs, blocks);
    return undefined;
  }

  #next(): Uint8Array {
    const random = this.#random;
    const { generate, maxByteLength = 4096 } = this.#target;
    const fresh = generate !== undefined && (this.corpus.length === 0 || random.oneIn(6));
    // A copy: what is kept must not keep a larger buffer with it.
    const base = fresh ? new Uint8Array(generate(random).subarray(0, maxByteLength)) : this.#pick();
    return fresh && random.oneIn(4) ? base : this.#mutator.mutate(base, this.#pick());
  }

  /** An input of the corpus; half of the time one of the latest. */
  #pick(): Uint8Array {
    const { corpus } = this;
    if (corpus.length === 0) return new Uint8Array(0);
    const latest = Math.ceil(corpus.length / 8);
    return this.#random.oneIn(2)
      ? this.#random.pick(corpus)
      : (corpus.at(-1 - this.#random.below(latest)) as Uint8Array);
  }

  /** Finds the inputs that ran the new blocks, by halves. What cannot be repeated, since it was remembered, is let go. */
  async #attribute(inputs: readonly Uint8Array[], blocks: readonly NewBlock[]): Promise<void> {
    const { coverage } = this.#options;
    if (coverage === undefined || blocks.length === 0) return;
    if (inputs.length === 1) {
      this.#keep(inputs[0] as Uint8Array);
      return;
    }
    const middle = inputs.length >> 1;
    const left = inputs.slice(0, middle);
    coverage.takeAmong([]);
    for (const input of left) await this.check(input);
    const hit = coverage.takeAmong(blocks);
    await this.#attribute(left, [...hit]);
    await this.#attribute(
      inputs.slice(middle),
      blocks.filter((block) => !hit.has(block)),
    );
  }

  #keep(input: Uint8Array): void {
    this.corpus.push(input);
    this.found.push(input);
  }

  /** A machine that is busy makes anything slow; what counts is the time of the processor, at the least of several times. */
  async #checkSlow(input: Uint8Array): Promise<Failure | undefined> {
    let leastMs = Number.POSITIVE_INFINITY;
    for (let count = 0; count < 2; count++) {
      const before = process.cpuUsage();
      try {
        await this.#target.run(new Uint8Array(input));
      } catch {
        // Its time is what counts here.
      }
      const { user, system } = process.cpuUsage(before);
      leastMs = Math.min(leastMs, (user + system) / 1000);
    }
    if (leastMs <= SLOW_MS) return undefined;
    return { kind: 'slow', message: `took ${Math.round(leastMs)} ms`, input };
  }
}
