/** Whole frames of a small store left out, doubled, put in another order, and from elsewhere. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { Stash } from '../../../src/stash/index.js';
import { framesOffset } from '../../../src/stash/native/header-page.js';
import { temporaryFolder, utf8 } from '../support.js';
import { key, load, makeSample, nameOf, offsetsOf, outcomeOf, type Sample, Tally } from './hostile-sample.js';

let sample: Sample;

beforeAll(async () => {
  sample = await makeSample();
});

function join(...parts: (Uint8Array | undefined)[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.filter((part) => part !== undefined)));
}

/** Every order of some numbers, the given one first. */
function orders(numbers: readonly number[]): number[][] {
  if (numbers.length === 0) return [[]];
  return numbers.flatMap((one) =>
    orders(numbers.filter((other) => other !== one)).map((rest) => [one].concat(rest)),
  );
}

describe('whole frames', () => {
  let frames: Uint8Array[];
  let head: Uint8Array;

  beforeAll(() => {
    const { bytes, offsets } = sample;
    frames = offsets.slice(0, -1).map((offset, index) => bytes.slice(offset, offsets[index + 1]));
    head = bytes.slice(0, framesOffset);
  });

  async function arranged(order: readonly Uint8Array[]): Promise<string> {
    return nameOf(sample, await outcomeOf(new Uint8Array(Buffer.concat([head, ...order]))));
  }

  test('taken out are missed, but for the last ones above the floor', async () => {
    const outcomes: Record<string, string> = {};
    for (let set = 1; set < 2 ** frames.length; set++) {
      const kept = frames.filter((_, index) => (set & (1 << index)) === 0);
      const text = frames.map((_, index) => ((set & (1 << index)) === 0 ? index : '-')).join('');
      outcomes[text] = await arranged(kept);
    }
    const { '012--': two, '0123-': three, '01---': none, ...others } = outcomes;
    expect([none, two, three]).toEqual(['state 0', 'state 1', 'state 2']);
    expect(Object.keys(others)).toHaveLength(28);
    for (const [text, outcome] of Object.entries(others)) {
      expect([text, outcome]).toEqual([text, expect.stringMatching(/^(damaged-frame|lost-frames)$/)]);
    }
  });

  test('doubled anywhere behind themselves change nothing', async () => {
    for (let from = 0; from < frames.length; from++) {
      for (let to = from; to <= frames.length; to++) {
        const doubled = frames.toSpliced(to, 0, frames[from] as Uint8Array);
        expect([from, to, await arranged(doubled)]).toEqual([from, to, 'current']);
      }
    }
  });

  test('in any other order are damage', async () => {
    const tally = new Tally();
    for (const order of orders([0, 1, 2, 3, 4]).slice(1)) {
      const name = await arranged(order.map((index) => frames[index] as Uint8Array));
      // The frames up to the floor in their places: what follows may be cut there, by anybody.
      if (!/^(damaged-frame|lost-frames)$/.test(name)) throw new Error(`${order.join('')}: ${name}`);
      tally.add(name);
    }
    expect(Object.values(tally.counts).reduce((sum, count) => sum + count)).toBe(119);
  });

  test('of another store, or of the same in another epoch, are none', async () => {
    const other = await makeSample();
    const { offsets } = other;
    const strangers = offsets
      .slice(0, -1)
      .map((offset, index) => other.bytes.slice(offset, offsets[index + 1]));
    await using folder = await temporaryFolder();
    const stash = await Stash.open(folder.file, { key, create: true });
    await stash.write(['a'], utf8('x'));
    await stash.write(['a'], utf8('y'));
    const old = new Uint8Array(readFileSync(folder.file));
    await stash.compact();
    await stash.write(['a'], utf8('z'));
    const late = new Uint8Array(readFileSync(folder.file));
    await stash.close();
    for (const [index, stranger] of strangers.entries()) {
      for (let at = 0; at <= frames.length; at++) {
        const name = await arranged(frames.toSpliced(at, 0, stranger));
        // At the very end it is a torn tail, as any bytes are; and so is what comes before the last frame, with that.
        const expected =
          at === frames.length ? 'current' : at === frames.length - 1 ? 'state 2' : 'damaged-frame';
        expect([index, at, name]).toEqual([index, at, expected]);
        if (at === frames.length) continue;
        const instead = await arranged(frames.with(at, stranger));
        const lastOne = at === frames.length - 1;
        expect([index, at, instead]).toEqual([index, at, lastOne ? 'state 2' : 'damaged-frame']);
      }
    }
    // Frames of the first epoch behind, before and instead of those of the second.
    const oldFrames = offsetsOf(old)
      .slice(0, -1)
      .map((at, index) => old.slice(at, offsetsOf(old)[index + 1]));
    const [lateHead, page, batch] = [
      late.slice(0, framesOffset),
      ...offsetsOf(late)
        .slice(0, -1)
        .map((at, index) => late.slice(at, offsetsOf(late)[index + 1])),
    ];
    const good = await outcomeOf(late);
    const beforeLast = await outcomeOf(join(lateHead, page));
    expect([good, beforeLast]).toEqual(['a=eg==', 'a=eQ==']);
    for (const frame of oldFrames) {
      expect(await outcomeOf(join(lateHead, page, batch, frame))).toBe(good);
      expect(await outcomeOf(join(lateHead, page, frame, batch))).toBe(beforeLast);
      // The floor is missed before anything else is.
      expect(await outcomeOf(join(lateHead, frame, page, batch))).toBe('lost-frames');
      expect(await outcomeOf(join(lateHead, frame))).toBe('lost-frames');
    }
    expect(await outcomeOf(join(lateHead, ...oldFrames))).toBe('lost-frames');
    // The pages of one epoch with the frames of the other.
    expect(await outcomeOf(join(old.slice(0, framesOffset), page, batch))).toBe('lost-frames');
  });

  test('of a large value that were put in the place of others after the log was read are not taken for them', async () => {
    await using folder = await temporaryFolder();
    const stash = await Stash.open(folder.file, { key, create: true, padding: false });
    const values = [1, 2].map((byte) => new Uint8Array(131_072).fill(byte));
    for (const [index, value] of values.entries()) await stash.write([`${index}`], value);
    const bytes = new Uint8Array(readFileSync(folder.file));
    await stash.close();
    const offsets = offsetsOf(bytes);
    const chunks = offsets.filter((at) => bytes[at + 4] === 3);
    expect(chunks).toHaveLength(4);
    const log = await load(bytes);
    try {
      const node = log.tree.find(['0']);
      expect(await log.readValue(node, {})).toEqual(values[0]);
      const length = 72 + 65_536 + 16;
      for (const from of chunks.slice(1)) {
        const before = bytes.slice();
        bytes.copyWithin(chunks[0] as number, from, from + length);
        await expect(log.readValue(node, {})).rejects.toMatchObject({
          code: 'damaged-frame',
          offset: chunks[0],
        });
        bytes.set(before);
      }
      expect(await log.readValue(node, {})).toEqual(values[0]);
    } finally {
      log.release();
    }
  });
});
