/**
 * Which parts of the sources ran, by V8's own block coverage: no instrumentation, no native code. The script under watch is
 * whatever lies below a folder.
 */
import { type Profiler, Session } from 'node:inspector';

/** A part of a script that ran for the first time. */
export interface NewBlock {
  readonly url: string;
  readonly start: number;
  readonly end: number;
}

export class Coverage {
  /** Blocks seen to run. */
  blocks = 0;
  readonly #session = new Session();
  readonly #isWatched: (url: string) => boolean;
  /** By script: one byte for each character of it, 1 where it ran. */
  readonly #covered = new Map<string, Uint8Array>();

  constructor(isWatched: (url: string) => boolean) {
    this.#isWatched = isWatched;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What ran since it was last asked, and never before. */
  take(): NewBlock[] {
    const found: NewBlock[] = [];
    this.#each((url, start, end) => {
      const covered = this.#charactersOf(url, end);
      if (!covered.subarray(start, end).includes(0)) return;
      covered.fill(1, start, end);
      found.push({ url, start, end });
    });
    this.blocks += found.length;
    return found;
  }

  /** Those of `blocks` that ran, in part at least, since it was last asked. */
  takeAmong(blocks: readonly NewBlock[]): Set<NewBlock> {
    const hit = new Set<NewBlock>();
    this.#each((url, start, end) => {
      for (const block of blocks) {
        if (block.url === url && block.start < end && start < block.end) hit.add(block);
      }
    });
    return hit;
  }

  stop(): void {
    this.#session.disconnect();
  }

  #charactersOf(url: string, end: number): Uint8Array {
    const covered = this.#covered.get(url) ?? new Uint8Array(0);
    if (covered.length >= end) return covered;
    const grown = new Uint8Array(Math.max(end, covered.length * 2));
    grown.set(covered);
    this.#covered.set(url, grown);
    return grown;
  }

  /** Calls back for each stretch that ran: a block without the blocks in it, which come for themselves. */
  #each(visit: (url: string, start: number, end: number) => void): void {
    // The callback is called before `post` returns: the session is of this very thread.
    this.#session.post('Profiler.takePreciseCoverage', (error, coverage) => {
      if (error !== null) throw error;
      for (const script of coverage.result) {
        if (!this.#isWatched(script.url)) continue;
        for (const { ranges } of script.functions) visitRanges(script.url, ranges, visit);
      }
    });
  }
}

/** Ranges come outermost first, each before those in it. */
function visitRanges(
  url: string,
  ranges: readonly Profiler.CoverageRange[],
  visit: (url: string, start: number, end: number) => void,
): void {
  const open: { count: number; end: number; at: number }[] = [];
  const closeUntil = (offset: number): void => {
    for (let last = open.at(-1); last !== undefined && last.end <= offset; last = open.at(-1)) {
      if (last.count > 0 && last.at < last.end) visit(url, last.at, last.end);
      open.pop();
      const outer = open.at(-1);
      if (outer !== undefined) outer.at = last.end;
    }
  };
  for (const { startOffset, endOffset, count } of ranges) {
    closeUntil(startOffset);
    const outer = open.at(-1);
    if (outer !== undefined && outer.count > 0 && outer.at < startOffset) visit(url, outer.at, startOffset);
    open.push({ count, end: endOffset, at: startOffset });
  }
  closeUntil(Number.POSITIVE_INFINITY);
}
