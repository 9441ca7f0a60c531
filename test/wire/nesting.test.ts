import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, marshal, unmarshal, Variant } from '../../src/wire/index.js';
import { deepBody, type End, type Level } from '../support/deep-body.js';

/** How many containers a level adds, the variant of its own included. */
const LEVELS: readonly [Level, number][] = [
  ['v', 1],
  ['av', 2],
  ['aav', 3],
  ['(v)', 2],
  ['(yv)', 2],
  ['a(v)', 3],
  ['a{yv}', 3],
  ['a{s(v)}', 4],
];

/** How many containers the innermost variant adds, itself included. Arrays count when their elements may hold more. */
const ENDS: readonly [End, number][] = [
  ['y', 1],
  ['ay', 1],
  ['aay', 2],
  ['(y)', 2],
  ['a(y)', 3],
  ['a{yy}', 3],
  ['as', 2],
  ['as, empty', 1],
];

const MAX = 64;
const tooDeep = expect.objectContaining({ code: 'nesting-too-deep' });

/** `depth` containers around and in a body, with one kind of level as the rest is made up of variants. */
function bodyOf(level: Level, levelDepth: number, end: End, endDepth: number, depth: number): Uint8Array {
  const levels = Array.from({ length: Math.floor((depth - endDepth) / levelDepth) }, () => level);
  const rest = Array.from({ length: (depth - endDepth) % levelDepth }, (): Level => 'v');
  return deepBody([...rest, ...levels], end);
}

describe.each(LEVELS)('nesting by %s', (level, levelDepth) => {
  it.each(ENDS)('down to %s is read to 64 containers, and written again; not to 65', (end, endDepth) => {
    const deepest = bodyOf(level, levelDepth, end, endDepth, MAX);
    const values = unmarshal('v', deepest);
    expect(marshal('v', values)).toEqual(Uint8Array.from(deepest));
    const deeper = bodyOf(level, levelDepth, end, endDepth, MAX + 1);
    expect(() => unmarshal('v', deeper)).toThrow(tooDeep);
    expect(() => marshal('v', [new Variant('v', values[0])])).toThrow(tooDeep);
  });
});

/** A message with an empty body and a field 77, whose value is a variant in an array of structs. */
function withField(value: Uint8Array): Buffer {
  const bare = encodeMessage({ type: 77, flags: 0, serial: 1, signature: '', body: [] });
  const field = Buffer.concat([Buffer.of(77), value]);
  const bytes = Buffer.concat([bare, field, Buffer.alloc((8 - (field.length % 8)) % 8)]);
  bytes.writeUInt32LE(field.length, 12);
  return bytes;
}

function variants(count: number): Uint8Array {
  return deepBody(
    Array.from({ length: count }, (): Level => 'v'),
    'y',
  );
}

it('a header field nobody knows may hold 61 more variants, since three containers lie around them', () => {
  expect(decodeMessage(withField(variants(61)))).toMatchObject({ type: 77, body: [] });
  expect(() => decodeMessage(withField(variants(62)))).toThrow(tooDeep);
});
