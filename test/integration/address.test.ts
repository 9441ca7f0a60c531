import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type Address,
  escapeAddressValue,
  formatAddress,
  parseAddress,
} from '../../src/wire/handshake/address.js';
import { describeWith, runs } from '../support/external.js';
import { propertyRuns } from '../support/property-runs.js';

const ORACLE = new URL('./address-oracle.py', import.meta.url).pathname;
const present = runs('python3', ['-c', 'import ctypes; ctypes.CDLL("libdbus-1.so.3")']);

type Entry = readonly [transport: string, values: readonly (string | null)[]];

interface Answer {
  readonly parsed: readonly (readonly Entry[] | null)[];
  readonly escaped: readonly (readonly [escaped: string, back: string])[];
}

const hex = (text: string): string => Buffer.from(text).toString('hex');

function ask(addresses: readonly (readonly [string, string[][]])[], values: readonly string[]): Answer {
  const { stdout, stderr, status } = spawnSync('python3', [ORACLE], {
    input: `${JSON.stringify({ addresses, values })}\n`,
    maxBuffer: 2 ** 28,
  });
  expect(status, stderr.toString()).toBe(0);
  return JSON.parse(stdout.toString()) as Answer;
}

const keysOf = (addresses: readonly Address[]): string[][] =>
  addresses.map(({ parameters }) => Array.from(parameters.keys()));

/** What we read of `text`, or why we refuse it. */
function read(text: string): Address[] | string {
  try {
    return parseAddress(text);
  } catch (error) {
    return (error as Error).message;
  }
}

/** What we refuse and libdbus takes: it says the same as no name, as only one of the two, or cannot be shown as text. */
const STRICTER = /no transport|a key that comes twice|not UTF-8/;

// No NUL: libdbus reads a C string, which ends there.
const character = fc.oneof(
  fc.constantFrom(
    ':',
    ';',
    ',',
    '=',
    '%',
    '\\',
    '*',
    '/',
    '-',
    '_',
    '.',
    '~',
    '+',
    ' ',
    '\n',
    'é',
    '€',
    '😀',
    '%2f',
    '%2F',
    '%c3%a9',
    '%ff',
    '%00',
    '%zz',
    '%',
  ),
  fc.integer({ min: 1, max: 127 }).map((code) => String.fromCharCode(code)),
  fc.constantFrom('unix', 'tcp', 'path', 'abstract', 'guid', '/run/bus', '0123'),
);
const generated = fc.array(character, { maxLength: 16 }).map((parts) => parts.join(''));
const parts = fc.array(fc.tuple(fc.constantFrom('path', 'guid', 'a', 'k'), generated), { maxLength: 3 });
/** Mostly right: keys and values where they belong. */
const likely = fc
  .array(
    fc
      .tuple(fc.constantFrom('unix', 'tcp', 'x', ''), parts)
      .map(([name, pairs]) => `${name}:${pairs.map(([k, v]) => `${k}=${escapeAddressValue(v)}`).join(',')}`),
    { maxLength: 3 },
  )
  .map((entries) => entries.join(';'));
const mutated = fc
  .tuple(likely, fc.array(fc.tuple(fc.nat(), character, fc.boolean()), { maxLength: 3 }))
  .map(([text, edits]) =>
    edits
      .reduce((before, [at, put, replace]) => {
        const index = at % (before.length + 1);
        return before.slice(0, index) + put + before.slice(index + (replace ? 1 : 0));
      }, text)
      .toWellFormed(),
  );

describeWith('libdbus', present)('addresses beside libdbus', () => {
  it('are taken and refused alike, with the same values, but for what only it takes', () => {
    const texts = fc.sample(fc.oneof(generated, likely, mutated), Math.min(20 * propertyRuns(), 40_000));
    const ours = texts.map(read);
    const answers = ask(
      texts.map((text, index) => {
        const result = ours[index] as Address[] | string;
        return [text, typeof result === 'string' ? [] : keysOf(result)];
      }),
      [],
    ).parsed;
    const counts = { both: 0, neither: 0, stricter: 0 };
    for (const [index, result] of ours.entries()) {
      const theirs = answers[index] ?? null;
      if (typeof result !== 'string') {
        counts.both++;
        // libdbus hands out C strings: a value ends at its first NUL.
        const expected = result.map(({ transport, parameters }) => [
          hex(transport),
          Array.from(parameters.values(), (value) => hex(value.split('\0')[0] as string)),
        ]);
        expect(theirs, texts[index]).toEqual(expected);
      } else if (theirs === null) {
        counts.neither++;
      } else {
        counts.stricter++;
        expect(result, texts[index]).toMatch(STRICTER);
      }
    }
    // Each kind was seen, and often.
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(texts.length / 100);
  });

  it('are escaped to the same bytes, and read back', () => {
    const texts = fc
      .sample(fc.string({ unit: 'binary' }), propertyRuns())
      .map((text) => text.replaceAll('\0', ''));
    texts.push(Array.from({ length: 0x7ff }, (_, code) => String.fromCharCode(code + 1)).join(''));
    const { escaped } = ask([], texts);
    for (const [index, text] of texts.entries()) {
      expect(escaped[index]).toEqual([hex(escapeAddressValue(text)), hex(text)]);
    }
  });

  it('that we format are read by it', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 });
    const text = (unusable: RegExp) => name.filter((value) => !unusable.test(value));
    const addresses = fc.array(
      fc.record({
        transport: text(/[:;\0]/),
        parameters: fc
          .array(fc.tuple(text(/[=,;\0]/), text(/\0/)), { maxLength: 3 })
          .map((pairs): ReadonlyMap<string, string> => new Map(pairs)),
      }),
      { minLength: 1, maxLength: 3 },
    );
    const lists = fc.sample(addresses, propertyRuns());
    const { parsed } = ask(
      lists.map((list) => [formatAddress(list), keysOf(list)]),
      [],
    );
    for (const [index, list] of lists.entries()) {
      expect(parsed[index]).toEqual(
        list.map(({ transport, parameters }) => [hex(transport), Array.from(parameters.values(), hex)]),
      );
    }
  });
});
