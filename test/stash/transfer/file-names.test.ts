/** Names of files and of keys: Python's surrogateescape, and what is no name. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesFromName, nameFromBytes, unsafeNameReason } from '../../../src/stash/transfer/file-names.js';
import { propertyRuns } from '../../support/property-runs.js';
import { hex, unhex } from '../support.js';
import { python } from './transfer-support.js';

/** Bytes that are nearly UTF-8, and any others. */
const rawName = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc
    .array(
      fc.constantFrom(
        '61',
        'c3',
        'a9',
        'e2',
        '82',
        'ac',
        'f0',
        '9f',
        '94',
        '91',
        'ed',
        'a0',
        '80',
        'ff',
        'efbbbf',
      ),
      { maxLength: 8 },
    )
    .map((parts) => unhex(parts.join(''))),
);

describe('names of files', () => {
  test('every run of bytes has a name of its own and comes back', () => {
    fc.assert(
      fc.property(rawName, (bytes) => {
        expect(hex(bytesFromName(nameFromBytes(bytes)))).toBe(hex(bytes));
      }),
      { numRuns: propertyRuns() },
    );
  });

  test('are those of Python, both ways', (context) => {
    const raw = fc.sample(rawName, 2000).map(hex);
    const names = python(
      context,
      'print(json.dumps([os.fsdecode(bytes.fromhex(raw)) for raw in json.load(sys.stdin)]))',
      raw,
    ) as string[];
    expect(raw.map((bytes) => nameFromBytes(unhex(bytes)))).toEqual(names);
    const back = python(
      context,
      'print(json.dumps([os.fsencode(n).hex() for n in json.load(sys.stdin)]))',
      names,
    );
    expect(back).toEqual(raw);
    expect(names.map((name) => hex(bytesFromName(name)))).toEqual(raw);
  });

  test('a name is safe exactly if it is one of a file', () => {
    const name = fc.oneof(
      rawName.map(nameFromBytes),
      fc
        .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 5 })
        .map((units) => String.fromCharCode(...units)),
      fc
        .array(fc.constantFrom('.', '/', '\0', 'a', '\udcc3', '\udca9', '\ud83d', '\udd11'), { maxLength: 4 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(name, (text) => {
        const bytes = bytesFromName(text);
        const isFileName =
          bytes.length > 0 &&
          !bytes.includes(0) &&
          !bytes.includes(0x2f) &&
          hex(bytes) !== '2e' &&
          hex(bytes) !== '2e2e' &&
          nameFromBytes(bytes) === text;
        expect(unsafeNameReason(text, false) === undefined).toBe(isFileName);
      }),
      { numRuns: propertyRuns() },
    );
  });

  test.each(['', '.', '..', 'a/b', '/', '../x', '/x', 'a\0', '\ud800', '\udfff', '\udc7f', '\udcc3\udca9'])(
    '%j is not one',
    (name) => {
      expect(unsafeNameReason(name, false)).toBeTypeOf('string');
      expect(unsafeNameReason(name, true)).toBeTypeOf('string');
    },
  );

  test.each([
    '...',
    '..a',
    'é',
    'e\u0301',
    '🔑',
    '\udc80',
    '\udcff.txt',
    'a b',
    '\n',
    '__proto__',
    '\u007f',
    '-',
  ])('%j is one', (name) => {
    expect(unsafeNameReason(name, false)).toBeUndefined();
  });

  test.each([
    'a\\b',
    'C:',
    'a:stream',
    'a?',
    '*',
    '<',
    '|',
    '"',
    '\u0001',
    'a.',
    'a ',
    '\udc80',
    'CON',
    'con.txt',
    'Nul',
    'aux .txt',
    'COM1',
    'com¹.x',
    'LPT9.tar.gz',
    'CONIN$',
    'prn  ',
  ])('%j is not one on Windows', (name) => {
    expect(unsafeNameReason(name, false)).toBeUndefined();
    expect(unsafeNameReason(name, true)).toBeTypeOf('string');
  });

  test.each(['console', 'com', 'com10', 'a.con', 'lpt', 'nul1', '.con', 'é', '🔑'])(
    '%j is one on Windows',
    (name) => {
      expect(unsafeNameReason(name, true)).toBeUndefined();
    },
  );
});
