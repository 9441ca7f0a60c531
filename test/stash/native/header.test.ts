/** Header pages: those that Python made, every damage of a pair of them, and what is written is what is read. */
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StashError } from '../../../src/stash/errors.js';
import {
  checkHeader,
  formatPage,
  framesOffset,
  type Header,
  maxSlots,
  pageByteLength,
  parseHeader,
  type ReadHeader,
} from '../../../src/stash/native/header-page.js';
import type { Slot } from '../../../src/stash/native/slots.js';
import { propertyRuns } from '../../support/property-runs.js';
import { codeOf, failure, hex } from '../support.js';
import { headerArbitrary, joined, readVector } from './header-support.js';

const vector = readVector();
const [older, newer] = vector.pages;
const pair = joined(older, newer);

/** What a header says, without where it came from. */
function contentOf({ page: _page, offset: _offset, ...header }: ReadHeader): Header {
  return header;
}

/** Writes something into a page and makes its MAC and hash right again. */
function forged(page: Uint8Array, at: number, bytes: readonly number[]): Uint8Array {
  const changed = page.slice();
  changed.set(bytes, at);
  changed.set(hmac(sha256, vector.headerKey, changed.subarray(0, 4032)), 4032);
  changed.set(sha256(changed.subarray(0, 4064)), 4064);
  return changed;
}

/** The pages of a file that has this one alone, where its generation says. */
function inPlace(page: Uint8Array): Uint8Array {
  const none = new Uint8Array(pageByteLength);
  return (page[32] ?? 0) % 2 === 0 ? joined(page, none) : joined(none, page);
}

/** The slot area begins here, and a slot has this many bytes. */
const slotsAt = 96;
const slotLength = 192;

describe('the pages of the vector', () => {
  test('the newer one is read, where it has to be', async () => {
    for (const pages of [pair, joined(newer, newer), inPlace(newer)]) {
      const header = parseHeader(pages);
      expect([header.offset, hex(header.page)]).toEqual([4096, hex(newer)]);
      expect(contentOf(header)).toMatchObject({
        storeId: vector.storeId,
        generation: 2 ** 40 + 7,
        epoch: 3,
        floor: { sequence: 2 ** 52 + 9, tag: Uint8Array.from({ length: 16 }, (_, index) => 0xc0 + index) },
        base: 2 ** 33 + 5,
      });
      checkHeader(header, vector.headerKey);
    }
    // The odd generations stand in the second place, the even ones in the first.
    expect(parseHeader(joined(older, older)).offset).toBe(0);
    for (const pages of [joined(newer, older), newer]) {
      expect(await failure(() => parseHeader(pages))).toMatchObject({ code: 'damaged-header', offset: 0 });
    }
  });

  test('the slots are what Python put there', () => {
    const said = parseHeader(pair).slots.map(({ kind, derivation, label }) => ({ kind, derivation, label }));
    expect(said).toEqual([
      { kind: 'password', derivation: { name: 'scrypt', N: 16, r: 2, p: 3 }, label: 'scrypt' },
      {
        kind: 'password',
        derivation: { name: 'argon2id', memoryKiB: 64, passes: 2, lanes: 3 },
        label: 'argon2id of 24 bytes, ü',
      },
      { kind: 'password', derivation: { name: 'pbkdf2', iterations: 1000 }, label: '' },
      { kind: 'recovery', derivation: { name: 'none' }, label: 'drawer' },
      { kind: 'key', derivation: { name: 'none' }, label: 'key file' },
    ]);
  });

  test('are written byte for byte', () => {
    for (const page of vector.pages) {
      const header = parseHeader(joined(page, page));
      expect(hex(formatPage(header, vector.headerKey))).toBe(hex(page));
    }
  });

  test('the header does not change with the bytes it was read from', () => {
    const pages = pair.slice();
    const header = parseHeader(pages);
    const before = structuredClone(header);
    pages.fill(0xff);
    expect(header).toEqual(before);
    header.page.fill(0xff);
    expect(contentOf(header)).toEqual(contentOf(before));
  });
});

describe('damage', () => {
  test('of any bit leaves the other page', () => {
    const contents = [older, newer].map((page) => contentOf(parseHeader(inPlace(page))));
    const changed = pair.slice();
    const picked = [0, 0];
    for (let bit = 0; bit < framesOffset * 8; bit++) {
      const at = bit >> 3;
      changed[at] = (pair[at] ?? 0) ^ (1 << (bit & 7));
      const { offset, generation } = parseHeader(changed);
      changed[at] = pair[at] ?? 0;
      const other = at < pageByteLength ? 1 : 0;
      // By place and generation: comparing all takes minutes. What a page says hangs on its bytes alone.
      if (offset !== other * pageByteLength || generation !== contents[other]?.generation) {
        throw new Error(`bit ${bit} was not seen`);
      }
      picked[other] = (picked[other] ?? 0) + 1;
    }
    expect(picked).toEqual([pageByteLength * 8, pageByteLength * 8]);
  });

  test('of any bit in both pages is seen', async () => {
    const codes = new Map<unknown, number>();
    for (let bit = 0; bit < pageByteLength * 8; bit++) {
      const changed = newer.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const code = await codeOf(() => parseHeader(joined(changed, changed)));
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    expect([...codes]).toEqual([
      ['not-a-stash', 64],
      ['damaged-header', pageByteLength * 8 - 64],
    ]);
  });

  test('by a cut, anywhere', async () => {
    for (let length = 0; length <= framesOffset; length++) {
      const cut = pair.subarray(0, length);
      const result = await codeOf(() => parseHeader(cut).offset);
      const expected =
        length < 8 ? 'not-a-stash' : length < 4096 ? 'damaged-header' : length < 8192 ? 0 : 4096;
      if (result !== expected) throw new Error(`a cut at ${length} gave ${String(result)}`);
    }
    const spoilt = pair.slice(0, 8191).fill(0, 0, 4096);
    expect(await failure(() => parseHeader(spoilt))).toMatchObject({ code: 'damaged-header', offset: 4096 });
    expect(await failure(() => parseHeader(pair.subarray(0, 4095)))).toMatchObject({
      code: 'damaged-header',
      offset: 0,
    });
  });

  test('of the magic of one page, with the other spoilt elsewhere', async () => {
    const changed = pair.slice();
    changed[0] = 0;
    changed[8191] = (changed[8191] ?? 0) ^ 1;
    expect(await failure(() => parseHeader(changed))).toMatchObject({ code: 'damaged-header', offset: 4096 });
  });

  test('what is no stash is none', async () => {
    const empty = await failure(() => parseHeader(new Uint8Array()));
    expect(empty).toMatchObject({ code: 'not-a-stash', part: 'file', offset: 0 });
    for (const other of [new Uint8Array(8192), Buffer.from('{"hash": "sha512"}'), Buffer.alloc(9000, 'x')]) {
      expect(await codeOf(() => parseHeader(other))).toBe('not-a-stash');
    }
  });

  test('any bytes, with and without the magic and a right hash, give a header or an error of ours', async () => {
    const noise = fc.record({
      start: fc.constantFrom(0, 1, 8, 12, 4096, 4104),
      bytes: fc.uint8Array({ maxLength: 300 }),
      at: fc.nat(4031),
      isHashed: fc.boolean(),
      length: fc.constantFrom(0, 7, 8, 100, 4095, 4096, 5000, 8192, 9000),
    });
    await fc.assert(
      fc.asyncProperty(noise, async ({ start, bytes, at, isHashed, length }) => {
        const pages = new Uint8Array(9000);
        if (isHashed) {
          pages.set(forged(newer, at, [...bytes].slice(0, 4032 - at)));
        } else {
          pages.set(older.subarray(0, start));
          pages.set(bytes, start);
        }
        try {
          const header = parseHeader(pages.subarray(0, length));
          expect(hex(formatPage(header, vector.headerKey))).toHaveLength(2 * pageByteLength);
        } catch (error) {
          if (!(error instanceof StashError)) throw error;
        }
      }),
      { numRuns: propertyRuns() },
    );
  });
});

describe('forgery', () => {
  test('of any byte under the MAC, with a right hash, is seen with the key', async () => {
    for (let at = 16; at < 4064; at += at < 200 ? 1 : 61) {
      const changed = newer.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x80;
      changed.set(sha256(changed.subarray(0, 4064)), 4064);
      const code = await codeOf(() => checkHeader(parseHeader(joined(older, changed)), vector.headerKey));
      expect([at, code]).toEqual([at, expect.stringMatching(/^damaged-(header|slot)$/)]);
    }
  });

  test('with another key', async () => {
    const header = parseHeader(pair);
    expect(await failure(() => checkHeader(header, vector.dataKey))).toMatchObject({
      code: 'damaged-header',
      offset: 4096 + 4032,
    });
  });
});

describe('what a whole page may not say', () => {
  test.each<[string, number, readonly number[], string, number]>([
    ['another magic', 0, [0x88], 'not-a-stash', 0],
    ['version 2', 8, [2], 'unsupported-version', 8],
    ['version 0', 8, [0], 'unsupported-version', 8],
    ['version 257', 9, [1], 'unsupported-version', 8],
    ['a feature', 10, [1], 'unsupported-version', 8],
    ['another feature', 11, [0x80], 'unsupported-version', 8],
    ['something after the features', 15, [1], 'damaged-header', 15],
    ['something after the base', 80, [1], 'damaged-header', 80],
    ['something before the slots', 95, [1], 'damaged-header', 95],
    ['something after the slots', 3936, [1], 'damaged-header', 3936],
    ['something before the MAC', 4031, [1], 'damaged-header', 4031],
    ['a generation of 2^53', 32, [0, 0, 0, 0, 0, 0, 0x20, 0], 'damaged-header', 32],
    ['a generation of 2^64 - 1', 32, Array.from({ length: 8 }, () => 0xff), 'damaged-header', 32],
    ['epoch 0', 40, [0], 'damaged-header', 40],
    ['an epoch of 2^53 + 1', 40, [1, 0, 0, 0, 0, 0, 0x20, 0], 'damaged-header', 40],
    ['a floor of 2^63', 48, [0, 0, 0, 0, 0, 0, 0, 0x80], 'damaged-header', 48],
    ['the tag of no frame', 48, [0, 0, 0, 0, 0, 0, 0, 0], 'damaged-header', 56],
    ['a base of 2^53', 72, [0, 0, 0, 0, 0, 0, 0x20, 0], 'damaged-header', 72],
    ['a floor that is the base', 48, [5, 0, 0, 0, 2, 0, 0, 0], 'damaged-header', 48],
    ['a floor of 1, far below the base', 48, [1, 0, 0, 0, 0, 0, 0, 0], 'damaged-header', 48],
    ['a slot of kind 4', slotsAt, [4], 'damaged-slot', slotsAt],
    ['a free slot that is not empty', slotsAt + slotLength, [0], 'damaged-slot', slotsAt + slotLength],
    ['a last slot that is not one', 3935, [1], 'damaged-slot', 3936 - slotLength],
  ])('%s', async (_name, at, bytes, code, offset) => {
    const page = forged(newer, at, bytes);
    const place = at === 0 || (page[32] ?? 0) % 2 === 0 ? 0 : pageByteLength;
    expect(await failure(() => parseHeader(joined(page, page)))).toMatchObject({
      code,
      offset: place + offset,
    });
    // The newer page counts, even if the older one is good.
    if (at !== 32 && at !== 0) {
      expect(await failure(() => parseHeader(joined(older, page)))).toMatchObject({
        code,
        offset: offset + pageByteLength,
      });
    }
  });

  test('the largest numbers that are safe are none of it', () => {
    const most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0];
    for (const at of [32, 40, 48, 72]) {
      // A base as high has no floor above it.
      const page = at === 72 ? forged(newer, 48, [...new Uint8Array(24), ...most]) : forged(newer, at, most);
      expect(parseHeader(inPlace(page)).page).toEqual(page);
    }
  });
});

describe('writing', () => {
  test('what is written is what is read', () => {
    fc.assert(
      fc.property(headerArbitrary, fc.uint8Array({ minLength: 32, maxLength: 32 }), (header, key) => {
        const page = formatPage(header, key);
        expect(page).toHaveLength(pageByteLength);
        const read = parseHeader(inPlace(page));
        expect(contentOf(read)).toEqual(header);
        checkHeader(read, key);
        expect(hex(formatPage(read, key))).toBe(hex(page));
      }),
      { numRuns: propertyRuns() },
    );
  });

  test('the higher generation is read, in either place', () => {
    const generation = fc.oneof(
      fc.nat(3),
      fc.nat(2 ** 30).map((number) => (2 ** 53 - 2) / 2 - number),
    );
    const header = contentOf(parseHeader(pair));
    fc.assert(
      fc.property(generation, generation, (first, second) => {
        const generations = [2 * first, 2 * second + 1];
        const pages = generations.map((number) =>
          formatPage({ ...header, generation: number }, vector.headerKey),
        );
        expect(parseHeader(joined(...pages)).generation).toBe(Math.max(...generations));
      }),
      { numRuns: Math.min(propertyRuns(), 1000) },
    );
  });

  test('twenty slots and no more', async () => {
    const header = contentOf(parseHeader(pair));
    const [slot] = header.slots as [Slot];
    const full = { ...header, slots: Array.from({ length: maxSlots }, () => slot) };
    const page = formatPage(full, vector.headerKey);
    expect(parseHeader(inPlace(page)).slots).toHaveLength(20);
    const over = { ...header, slots: [...full.slots, slot] };
    expect(await codeOf(() => formatPage(over, vector.headerKey))).toBe('slots-full');
  });

  test('free slots between those in use are passed over', () => {
    const page = forged(
      newer,
      slotsAt + slotLength,
      Array.from({ length: slotLength }, () => 0),
    );
    expect(parseHeader(inPlace(page)).slots.map(({ label }) => label)).toEqual([
      'scrypt',
      '',
      'drawer',
      'key file',
    ]);
  });
});
