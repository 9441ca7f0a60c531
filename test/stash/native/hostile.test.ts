/**
 * Every damage of a small store: a typed error, exactly what was there, or, where only the very tail is touched, what
 * was there before the last change. Never anything else, and never nothing.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { Stash } from '../../../src/stash/index.js';
import { framesOffset } from '../../../src/stash/native/header-page.js';
import { temporaryFolder, utf8 } from '../support.js';
import { key, load, makeSample, nameOf, outcomeOf, type Sample, Tally } from './hostile-sample.js';

let sample: Sample;
let current: string;
let before: string;

beforeAll(async () => {
  sample = await makeSample();
  current = sample.states.at(-1) as string;
  before = sample.states.at(-2) as string;
});

describe('the sample', () => {
  test('is what the tests below take it for', async () => {
    const { bytes, offsets, floor, states } = sample;
    // A chunk, a page, three batches.
    expect([offsets.length - 1, floor, states.length]).toEqual([5, 2, 6]);
    expect(Array.from(offsets.slice(0, -1), (at) => bytes[at + 4])).toEqual([3, 2, 1, 1, 1]);
    expect(new Set(states.slice(floor)).size).toBe(4);
    expect(await outcomeOf(bytes)).toBe(current);
    expect(current).toContain('=');
  });
});

/** Flips every `step`th bit from one offset to another. */
async function flip(start: number, end: number, step = 1): Promise<Record<string, number>> {
  const tally = new Tally();
  const changed = sample.bytes.slice();
  for (let bit = start * 8; bit < end * 8; bit += step) {
    const at = bit >> 3;
    changed[at] = (sample.bytes[at] as number) ^ (1 << (bit & 7));
    tally.add(nameOf(sample, await outcomeOf(changed)));
    changed[at] = sample.bytes[at] as number;
  }
  return tally.counts;
}

describe('one bit', () => {
  test.each([0, 4096])(
    'of the header page at %d changes nothing: the other page says the same',
    async (start) => {
      expect(await flip(start, start + 4096)).toEqual({ current: 4096 * 8 });
    },
  );

  test('of both header pages is damage', async () => {
    const tally = new Tally();
    for (let at = 0; at < 4096; at += 5) {
      const changed = sample.bytes.slice();
      for (const place of [at, at + 4096]) changed[place] = (changed[place] as number) ^ 0x10;
      tally.add(nameOf(sample, await outcomeOf(changed)));
    }
    // Two of the bytes tried are of the magic.
    expect(tally.counts).toEqual({ 'not-a-stash': 2, 'damaged-header': 818 });
  });

  test('of a frame below another is damage; of a chunk, of its value', async () => {
    const { offsets } = sample;
    const [chunk = 0, page = 0, , , last = 0] = offsets;
    expect(await flip(chunk, chunk + 72)).toEqual({ 'damaged-frame': 72 * 8 });
    expect(await flip(chunk + 72, page - 16, 97)).toEqual({
      'damaged-frame': Math.ceil(((page - chunk - 88) * 8) / 97),
    });
    expect(await flip(page - 16, last)).toEqual({ 'damaged-frame': (last - page + 16) * 8 });
  });

  test('of the last frame, which no floor covers, looks as if it had been torn', async () => {
    const [last = 0, end = 0] = sample.offsets.slice(-2);
    expect(await flip(last, end)).toEqual({ 'state 2': (end - last) * 8 });
    expect(nameOf(sample, before)).toBe('state 2');
  });

  test('of the last frame, when the floor covers it, is damage', async () => {
    await using folder = await temporaryFolder();
    const stash = await Stash.open(folder.file, { key, create: true, padding: false });
    await stash.write(['a'], utf8('x'));
    await stash.close();
    const bytes = new Uint8Array(readFileSync(folder.file));
    for (let bit = framesOffset * 8; bit < bytes.length * 8; bit++) {
      const changed = bytes.slice();
      changed[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(await outcomeOf(changed)).toBe('lost-frames');
    }
  });

  test('of a chunk leaves the other values', async () => {
    const changed = sample.bytes.slice();
    const at = (sample.offsets[0] as number) + 5000;
    changed[at] = (changed[at] as number) ^ 1;
    const log = await load(changed);
    expect(await log.readValue(log.tree.find(['a', 'x']), {})).toEqual(utf8('another value'));
    await expect(log.readValue(log.tree.find(['large']), {})).rejects.toMatchObject({
      code: 'damaged-frame',
      offset: sample.offsets[0],
    });
    log.release();
  });
});

describe('a cut', () => {
  test('anywhere is an error, but above the floor, where it leaves what was whole', async () => {
    const { bytes, offsets, floor } = sample;
    const tally = new Tally();
    const floorEnd = offsets[floor] as number;
    for (
      let length = 0;
      length <= bytes.length;
      length += length > 9000 && length < floorEnd - 2000 ? 13 : 1
    ) {
      const name = nameOf(sample, await outcomeOf(bytes.subarray(0, length)));
      const expected =
        length < 8
          ? 'not-a-stash'
          : length < framesOffset
            ? 'damaged-header'
            : length < floorEnd
              ? 'lost-frames'
              : length === bytes.length
                ? 'current'
                : `state ${offsets.filter((offset) => offset <= length).length - 1 - floor}`;
      if (name !== expected) throw new Error(`cut at ${length}: ${name} and not ${expected}`);
      tally.add(name);
    }
    expect(tally.counts).toMatchObject({ 'not-a-stash': 8, 'damaged-header': framesOffset - 8, current: 1 });
    for (const name of ['state 0', 'state 1', 'state 2']) expect(tally.counts[name]).toBeGreaterThan(80);
    expect(tally.counts['lost-frames']).toBeGreaterThan(3000);
  });
});

/** The bytes with something else from one offset to another. */
function spliced(bytes: Uint8Array, start: number, end: number, ...insert: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat([bytes.subarray(0, start), ...insert, bytes.subarray(end)]));
}

/** All that can come of damage at an offset; never a state below the floor. */
function requireSound(what: string, at: number, name: string): void {
  const { offsets, floor } = sample;
  const last = offsets.at(-2) as number;
  const isTail = at >= last;
  const allowed = isTail
    ? ['current', 'state 2']
    : at < framesOffset
      ? ['damaged-header', 'not-a-stash', 'lost-frames', 'damaged-frame']
      : ['damaged-frame', 'lost-frames'];
  if (!allowed.includes(name)) throw new Error(`${what} at ${at}, floor ${floor}: ${name}`);
}

/** Where to put something in, or take something out. */
function* places(): Generator<number> {
  const { bytes, offsets } = sample;
  for (let at = 0; at <= bytes.length; at++) {
    // Inside of the chunk one place is like another, and so it is in the pages.
    const isDull = at > (offsets[0] as number) + 200 && at < (offsets[1] as number) - 200;
    if (at % (isDull ? 211 : at < framesOffset ? 5 : 1) === 0) yield at;
  }
}

describe('bytes put in, taken out and moved', () => {
  test('one byte more', async () => {
    const tally = new Tally();
    for (const at of places()) {
      for (const byte of [0, (sample.bytes[at] ?? 7) ^ 0xff]) {
        const name = nameOf(sample, await outcomeOf(spliced(sample.bytes, at, at, Uint8Array.of(byte))));
        requireSound(`a byte more (${byte})`, at, name);
        tally.add(name);
      }
    }
    // Behind the last frame it is a torn tail.
    expect(tally.counts['current']).toBeGreaterThan(0);
    expect(tally.counts['state 2']).toBeGreaterThan(150);
    expect(tally.counts['damaged-frame']).toBeGreaterThan(1000);
    expect(tally.counts['damaged-header']).toBeGreaterThan(1500);
  });

  test('some bytes less', async () => {
    for (const count of [1, 2, 16, 72, 512]) {
      const tally = new Tally();
      for (const at of places()) {
        if (at + count > sample.bytes.length) continue;
        const last = sample.offsets.at(-2) as number;
        const name = nameOf(sample, await outcomeOf(spliced(sample.bytes, at, at + count)));
        // What is taken from the end of one frame to the end of the last leaves frames that end early.
        if (at < last && at + count > last && name.startsWith('state ')) tally.add('tail');
        else requireSound(`${count} bytes less`, at, name);
        tally.add(name);
      }
      expect(tally.counts['damaged-frame']).toBeGreaterThan(300);
      expect(tally.counts['damaged-header']).toBeGreaterThan(800);
    }
  });

  test('blocks of the disk that were swapped, or lost', async () => {
    const { bytes } = sample;
    const tally = new Tally();
    for (const size of [512, 4096]) {
      const blocks = Math.floor(bytes.length / size);
      for (let first = 0; first < blocks; first++) {
        const zeroed = bytes.slice();
        zeroed.fill(0, first * size, (first + 1) * size);
        const outcomes: [number, string][] = [[first, nameOf(sample, await outcomeOf(zeroed))]];
        for (let second = first + 1; second < blocks; second += size === 512 ? 7 : 1) {
          const swapped = bytes.slice();
          swapped.copyWithin(first * size, second * size, (second + 1) * size);
          swapped.set(bytes.subarray(first * size, (first + 1) * size), second * size);
          outcomes.push([first, nameOf(sample, await outcomeOf(swapped))]);
        }
        for (const [block, name] of outcomes) {
          const isTail = (block + 1) * size > (sample.offsets.at(-4) as number);
          const allowed = /^(current|damaged-frame|damaged-header|lost-frames|not-a-stash)$/;
          if (!allowed.test(name) && !(isTail && /^state [012]$/.test(name)))
            throw new Error(`block ${block}: ${name}`);
          // Only one page of the header may go without anybody missing it, and a page among its zeros.
          if (name === 'current' && block * size >= framesOffset)
            throw new Error(`block ${block} is missed by nobody`);
          tally.add(name);
        }
      }
    }
    expect(tally.counts['damaged-frame']).toBeGreaterThan(100);
    expect(tally.counts['current']).toBeGreaterThan(5);
  });
});
