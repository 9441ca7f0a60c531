/** The bodies of batches and pages: what may stand in them, byte by byte, and that what is written is what is read. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyBody, BodyFault, maxValueByteLength } from '../../../src/stash/native/body-reader.js';
import {
  BodyWriter,
  chunkBody,
  nameByteLength,
  paddedByteLength,
} from '../../../src/stash/native/body-writer.js';
import { isLarge, maxNameLength, Tree, walk } from '../../../src/stash/native/tree.js';
import { propertyRuns } from '../../support/property-runs.js';
import { hex, nameArbitrary, unhex } from '../support.js';

const chunkOffset = (sequence: number): number | undefined =>
  sequence >= 10 && sequence < 5000 ? sequence * 100 : undefined;

interface How {
  isPage?: boolean;
  lenient?: boolean;
}

function apply(tree: Tree, body: Uint8Array, { isPage = false, lenient = false }: How = {}): Tree {
  applyBody(tree, body, { isPage, lenient, chunkOffset });
  return tree;
}

/** `a=01 a/b a/c=large 40000@1000` and so on. */
function textOf(tree: Tree): string {
  return Array.from(walk(tree.root), ([key, { source, start, end }]) => {
    const value =
      source === undefined
        ? ''
        : isLarge(source)
          ? `=large ${source.byteLength}@${source.offsets.join()}`
          : `=${hex(source.subarray(start, end))}`;
    return key.map((name) => escape(name)).join('/') + value;
  }).join(' ');
}

/** What hexadecimal bodies make of an empty tree, one after another, or the fault. */
function read(bodies: string | readonly string[], how?: How): string {
  try {
    const tree = new Tree();
    for (const body of [bodies].flat()) apply(tree, unhex(body.replaceAll(' ', '')), how);
    return textOf(tree);
  } catch (error) {
    if (error instanceof BodyFault) return `fault: ${error.message}`;
    throw error;
  }
}

/** `set` of a name of these bytes to 01. */
function named(bytes: string): string {
  const length: number[] = [];
  for (let rest = bytes.length / 2; rest >= 0x80 || length.length === 0 || rest > 0; rest >>= 7) {
    length.push((rest & 0x7f) | (rest >= 0x80 ? 0x80 : 0));
  }
  return `04 00 01 ${hex(Uint8Array.from(length))} ${bytes}`;
}

/** A body that sets a value of that length. */
function setting(length: number): Uint8Array {
  const bytes = new Uint8Array(8 + length);
  bytes.set([1, 0, 1, 1, 0x61, (length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14]);
  return bytes;
}

/** Makes a key of so many names. */
function deepKey(count: number): string {
  return `04 00 ${hex(Uint8Array.of(count))} ${'0161'.repeat(count)}`;
}

describe('operations', () => {
  test.each<[string, string | readonly string[], string]>([
    ['set', '01 00 01 01 61 02 c0ff', 'a=c0ff'],
    ['set to nothing', '01 00 01 01 61 00', 'a='],
    ['set below a key', '01 00 02 01 61 01 62 01 05', 'a a/b=05'],
    ['set twice, in its place', '01 00 01 01 61 01 01 04 00 01 01 62 01 00 01 01 61 01 02', 'a=02 b'],
    ['make', '04 00 02 01 61 00', 'a a/'],
    ['make what is there', '01 00 01 01 61 01 07 04 00 01 01 61', 'a=07'],
    ['remove', '01 00 01 01 61 01 01 02 00 01 01 61', ''],
    [
      'remove with all below, but not what is above',
      '01 00 03 01 61 01 62 01 63 01 01 02 00 02 01 61 01 62',
      'a',
    ],
    [
      'remove and set again, at the end',
      '04 00 01 01 61 04 00 01 01 62 02 00 01 01 61 04 00 01 01 61',
      'b a',
    ],
    ['remove everything', '04 00 01 01 61 02 00 00 04 00 01 01 62', 'b'],
    ['remove everything of nothing', '02 00 00', ''],
    ['in another body', ['04 00 02 01 61 01 62', '02 00 02 01 61 01 62 04 00 01 01 63'], 'a c'],
    [
      'names shared with the key before',
      '01 00 02 01 61 01 62 01 01 01 01 01 01 63 01 02 01 02 00 01 03',
      'a a/b=01 a/c=03',
    ],
    ['fewer names shared than could be', '04 00 02 01 61 01 62 04 00 02 01 61 01 63', 'a a/b a/c'],
    ['shared names of a key that was removed', '04 00 02 01 61 01 62 02 01 00 04 01 01 01 63', 'a a/c'],
    ['shared names below what was removed', '04 00 02 01 61 01 62 02 02 00 04 02 01 01 63', 'a a/b a/b/c'],
    ['large', '03 00 01 01 61 81 80 02 0a', 'a=large 32769@1000'],
    ['large in two', '03 00 01 01 61 81 80 04 0a', 'a=large 65537@1000,1100'],
    ['large, overwritten', '03 00 01 01 61 81 80 02 0a 01 00 01 01 61 01 05', 'a=05'],
    ['nothing', '', ''],
    ['padding', '00', ''],
    ['padding behind', '04 00 01 01 61 00 00 00', 'a'],
    // Faults.
    ['an unknown operation', '05 00 01 01 61', 'fault: an unknown operation'],
    ['another', 'ff 00 01 01 61', 'fault: an unknown operation'],
    ['padding that is none', '04 00 01 01 61 00 00 01', 'fault: padding is not zero'],
    ['padding before operations', '00 04 00 01 01 61', 'fault: padding is not zero'],
    ['set of the top', '01 00 00 01 05', 'fault: an operation on the top'],
    ['large of the top', '03 00 00 81 80 02 0a', 'fault: an operation on the top'],
    ['make of the top', '04 00 00', 'fault: an operation on the top'],
    ['remove of what is not there', '02 00 01 01 61', 'fault: a key that is not there is removed'],
    ['remove below what is not there', '02 00 02 01 61 01 62', 'fault: a key that is not there is removed'],
    [
      'remove in another body of what is not there',
      ['04 00 01 01 61', '02 00 02 01 61 01 62'],
      'fault: a key that is not there is removed',
    ],
    [
      'remove twice',
      '04 00 01 01 61 02 00 01 01 61 02 00 01 01 61',
      'fault: a key that is not there is removed',
    ],
    ['more names shared than there are', '04 00 01 01 61 04 02 01 01 62', 'fault: a key too deep'],
    ['names shared by the first', '04 01 01 01 61', 'fault: a key too deep'],
    ['names shared with another body', ['04 00 01 01 61', '04 01 01 01 62'], 'fault: a key too deep'],
    ['a value behind the end', '01 00 01 01 61 02 c0', 'fault: a value too long'],
    ['a name behind the end', '04 00 01 02 61', 'fault: a name too long'],
    ['names behind the end', '04 00 02 01 61', 'fault: the body ends within a number'],
    ['no length', '01 00 01 01 61', 'fault: the body ends within a number'],
    ['half of a number', '01 00 01 01 61 80', 'fault: the body ends within a number'],
    ['no large value', '03 00 01 01 61 80 80 02 0a', 'fault: no large value'],
    ['too large a value', '03 00 01 01 61 81 80 80 80 01 0a', 'fault: no large value'],
    ['a missing chunk', '03 00 01 01 61 81 80 02 09', 'fault: a missing chunk'],
    ['a missing second chunk', '03 00 01 01 61 81 80 04 87 27', 'fault: a missing chunk'],
    [
      'a chunk of the highest sequence',
      '03 00 01 01 61 81 80 04 ff ff ff ff ff ff ff 0f',
      'fault: a missing chunk',
    ],
  ])('%s', (_name, bodies, expected) => {
    expect(read(bodies)).toBe(expected);
  });

  test('the longest value is of 2^28 bytes', () => {
    expect(maxValueByteLength).toBe(2 ** 28);
    const tree = apply(new Tree(), unhex('030001016180808080010a'));
    expect(textOf(tree)).toMatch(/^a=large 268435456@1000,1100,/);
    expect(tree.byteLength).toBe(2 ** 28 + 7);
  });

  test('a value of 32,768 bytes is in the body, and one byte more is not', () => {
    expect(textOf(apply(new Tree(), setting(32_768)))).toHaveLength(2 + 65_536);
    expect(() => apply(new Tree(), setting(32_769))).toThrow(BodyFault);
  });

  test('a page has no remove', () => {
    expect(read('04 00 01 01 61 02 00 01 01 61', { isPage: true })).toBe('fault: an unknown operation');
    expect(read('02 00 00', { isPage: true })).toMatch(/^fault/);
    expect(read('01 00 01 01 61 01 05 04 00 01 01 62', { isPage: true })).toBe('a=05 b');
  });

  test('what cannot be done is passed over after a loss', () => {
    const how = { lenient: true };
    expect(read('02 00 02 01 61 01 62 01 00 01 01 63 01 05', how)).toBe('c=05');
    expect(read('03 00 01 01 61 81 80 02 09 04 00 01 01 62', how)).toBe('b');
    expect(read('05 00 01 01 61', how)).toMatch(/^fault/);
  });

  test('a value that is overwritten or removed is wiped, in the body that has it', () => {
    const bodies = ['010001016104cafecafe', '010001016101ee'].map(unhex) as [Uint8Array, Uint8Array];
    const tree = apply(apply(new Tree(), bodies[0]), bodies[1]);
    expect(hex(bodies[0])).toBe('01000101610400000000');
    expect(hex(bodies[1])).toBe('010001016101ee');
    apply(tree, unhex('0200010161'));
    expect(hex(bodies[1])).toBe('01000101610100');
    const third = unhex('01000201610162 02dead'.replace(' ', ''));
    apply(tree, third);
    apply(tree, unhex('020000'));
    expect(hex(third)).toBe('01000201610162020000');
  });
});

describe('numbers', () => {
  // A name of two bytes in every way to write the number 2, and others that are not.
  test.each<[string, string]>([
    ['02', 'ab'],
    ['8200', 'fault: a number too long'],
    ['828000', 'fault: a number too long'],
    ['8280808080808000', 'fault: a number too long'],
    ['828080808080808000', 'fault: a number too long'],
    ['82808080808080808000', 'fault: a number too long'],
    // 2^53 - 1, 2^53, 2^53 + 2, 2^56 - 1, 2^63.
    ['ffffffffffffff0f', 'fault: a name too long'],
    ['8080808080808010', 'fault: a number too long'],
    ['8280808080808010', 'fault: a number too long'],
    ['ffffffffffffff7f', 'fault: a number too long'],
    ['80808080808080808001', 'fault: a number too long'],
  ])('%s', (number, expected) => {
    expect(read(`04 00 01 ${number} 61 62`)).toBe(expected);
  });

  test('in the place of every other number', () => {
    for (const body of [
      '04 8000 01 01 61',
      '04 00 8100 01 61',
      '01 00 01 01 61 8100 05',
      '03 00 01 01 61 81808200 0a',
      '03 00 01 01 61 818002 8a00',
    ]) {
      expect([body, read(body)]).toEqual([body, 'fault: a number too long']);
    }
    for (const body of ['04 ffffffffffffff0f 01 01 61', '04 00 ffffffffffffff0f 01 61', '04 00 ffffffff0f']) {
      expect([body, read(body)]).toEqual([body, 'fault: a key too deep']);
    }
  });
});

describe('names', () => {
  test.each<[string, string]>([
    ['', ''],
    ['00', '%00'],
    ['7f', '%7F'],
    ['c280', '%80'],
    ['dfbf', '%u07FF'],
    ['e0a080', '%u0800'],
    ['ed9fbf', '%uD7FF'],
    ['eda080', '%uD800'],
    ['edafbf', '%uDBFF'],
    ['edb080', '%uDC00'],
    ['edbfbf', '%uDFFF'],
    ['ee8080', '%uE000'],
    ['efbbbf', '%uFEFF'],
    ['efbfbf', '%uFFFF'],
    ['f0908080', '%uD800%uDC00'],
    ['f48fbfbf', '%uDBFF%uDFFF'],
    // Halves that are no pair: the wrong way round, or with something between, or beside a whole pair.
    ['edb080eda080', '%uDC00%uD800'],
    ['eda08061edb080', '%uD800a%uDC00'],
    ['eda080eda080', '%uD800%uD800'],
    ['f0908080edb080', '%uD800%uDC00%uDC00'],
    ['eda080f0908080', '%uD800%uD800%uDC00'],
  ])('%s is one', (bytes, name) => {
    expect(read(named(bytes))).toBe(name);
  });

  test.each([
    // A pair as two halves.
    ...'eda080edb080 edafbfedbfbf 61eda080edb08061 f0908080eda080edb080'.split(' '),
    // In more bytes than need be.
    ...'c080 c1bf e08080 e09fbf f0808080 f08fbfbf'.split(' '),
    // Beyond U+10FFFF.
    ...'f4908080 f5808080 f7bfbfbf f888808080 fc8480808080 fe ff'.split(' '),
    // Cut, or with something else where a byte should go on, or going on from nothing.
    ...'c2 e0a0 f09080 c261 e0a061 f0908061 c2c2 80 bf 6180 e2c2a0 c3a9a9'.split(' '),
  ])('%s is none', (bytes) => {
    expect(read(named(bytes))).toBe('fault: a name is not WTF-8');
  });

  test('that end are not completed by what comes behind them', () => {
    expect(read('04 00 02 01 c3 01 a9')).toBe('fault: a name is not WTF-8');
    expect(read('01 00 01 01 e2 02 82ac')).toBe('fault: a name is not WTF-8');
  });

  test.each([
    ['61', maxNameLength],
    ['c3a9', maxNameLength],
    ['eda080', maxNameLength],
    ['f0908080', (maxNameLength - 1) / 2],
  ])('of %s have 16,383 units at most', (unit, count) => {
    const tree = apply(new Tree(), unhex(named(unit.repeat(count)).replaceAll(' ', '')));
    const [[name = '']] = Array.from(walk(tree.root), ([key]) => key) as [string[]];
    expect(name.length).toBe(unit.length === 8 ? maxNameLength - 1 : maxNameLength);
    expect(read(named(unit.repeat(count + 1)))).toBe('fault: a name too long');
  });

  test('of a key are 64 at most', () => {
    expect(read(deepKey(64)).split(' ')).toHaveLength(64);
    expect(read(deepKey(65))).toBe('fault: a key too deep');
    expect(read(`${deepKey(40)} 04 28 18 ${'0162'.repeat(24)}`).split(' ')).toHaveLength(64);
    expect(read(`${deepKey(40)} 04 28 19 ${'0162'.repeat(25)}`)).toBe('fault: a key too deep');
  });
});

describe('writing', () => {
  type Operation = {
    code: 'set' | 'make' | 'remove' | 'setLarge';
    key: string[];
    value: Uint8Array;
    first: number;
  };

  const operationArbitrary: fc.Arbitrary<Operation> = fc.record({
    code: fc.constantFrom('set', 'set', 'set', 'make', 'remove', 'setLarge'),
    key: fc.array(fc.oneof({ weight: 4, arbitrary: fc.constantFrom('a', 'b') }, nameArbitrary), {
      minLength: 1,
      maxLength: 4,
    }),
    value: fc.uint8Array({ maxLength: 9 }),
    first: fc.integer({ min: 10, max: 4000 }),
  });

  test('what is written is what is read', () => {
    fc.assert(
      fc.property(
        fc.array(operationArbitrary, { maxLength: 8 }),
        fc.constantFrom(0, 256, 5000),
        (operations, padding) => {
          const writer = new BodyWriter();
          const expected = new Tree();
          for (const { code, key, value, first } of operations) {
            // One body an operation is the other way to say the same.
            const single = new BodyWriter();
            for (const each of [single, writer]) {
              if (code === 'setLarge') each.setLarge(key, 32_769 + value.length, first);
              else if (code === 'set') each.set(key, value);
              else if (code === 'make') each.make(key);
              else each.make(key);
              if (code === 'remove') each.remove(key);
            }
            apply(expected, single.take().slice());
          }
          const { byteLength } = writer;
          const body = writer.take(padding);
          expect(body).toHaveLength(Math.max(byteLength, padding));
          expect(textOf(apply(new Tree(), body.slice()))).toBe(textOf(expected));
          expect(expected.byteLength).toBe(apply(new Tree(), body.slice()).byteLength);
        },
      ),
      { numRuns: propertyRuns() },
    );
  });

  test('names take the bytes that were foretold', () => {
    fc.assert(
      fc.property(nameArbitrary, (name) => {
        const writer = new BodyWriter();
        writer.make([name]);
        const length = nameByteLength(name);
        expect(writer.byteLength).toBe(4 + length);
        // Well-formed text is UTF-8.
        if (name.isWellFormed()) expect(writer.take().slice(4)).toEqual(new TextEncoder().encode(name));
      }),
      { numRuns: propertyRuns() },
    );
  });
});

describe('padding', () => {
  test('is to 256 bytes, and above 4 KiB to at most 12 % more', () => {
    expect([0, 1, 256, 257, 4095, 4096].map(paddedByteLength)).toEqual([256, 256, 256, 512, 4096, 4096]);
    // Padmé: of 4,097 (13 bits, whose number has 4) the last 12 - 4 bits are zeros.
    expect([4097, 5000, 8192, 8193, 65_537, 1_000_000].map(paddedByteLength)).toEqual([
      4352, 5120, 8192, 8704, 67_584, 1_015_808,
    ]);
    for (let length = 1; length < 200_000; length += 37) {
      const padded = paddedByteLength(length);
      expect(padded >= length && paddedByteLength(padded) === padded).toBe(true);
      if (length > 4096) expect((padded - length) / length).toBeLessThan(0.12);
    }
  });

  test('of a chunk goes up to its length and not beyond', () => {
    expect(chunkBody(new Uint8Array(65_536).fill(1), true)).toEqual(new Uint8Array(65_536).fill(1));
    for (const length of [1, 300, 32_769, 65_535]) {
      const body = chunkBody(new Uint8Array(length).fill(1), true);
      expect(body).toHaveLength(Math.min(65_536, paddedByteLength(length)));
      expect(body.indexOf(0)).toBe(body.length > length ? length : -1);
      expect(chunkBody(new Uint8Array(length), false)).toHaveLength(length);
    }
  });
});
