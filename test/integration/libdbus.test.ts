import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeMessage, encodeMessage, ProtocolError, Variant } from '../../src/wire/index.js';
import { message } from '../support/arbitraries.js';
import { deepBody, ENDINGS, LEVELS } from '../support/deep-body.js';
import { describeWith, runs } from '../support/external.js';
import { propertyRuns } from '../support/property-runs.js';
import { vectors } from '../support/wire-vectors.js';

const ORACLE = new URL('./libdbus-oracle.py', import.meta.url).pathname;
const present = runs('python3', ['-c', 'import ctypes; ctypes.CDLL("libdbus-1.so.3")']);

/** The verdict of libdbus on each message. */
function judge(messages: readonly Uint8Array[]): boolean[] {
  const frames = messages.flatMap((bytes) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  const { stdout, stderr, status } = spawnSync('python3', [ORACLE], {
    input: Buffer.concat(frames),
    maxBuffer: 2 ** 28,
  });
  expect(status, stderr.toString()).toBe(0);
  return Array.from(stdout.toString('latin1'), (verdict) => verdict === '1');
}

function accepts(bytes: Uint8Array): boolean {
  try {
    decodeMessage(bytes);
    return true;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

/** Whether the header promises just these bytes: libdbus reads a stream, and goes on with what is left over. */
function isOneFrame(bytes: Buffer): boolean {
  if (bytes.length < 16) return false;
  const read = (at: number): number => (bytes[0] === 0x42 ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at));
  return Math.ceil((16 + read(12)) / 8) * 8 + read(4) === bytes.length;
}

/** Bytes that decide something more often than others do. */
const telling = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(
    0,
    1,
    2,
    3,
    4,
    8,
    0x20,
    0x21,
    0x40,
    0x7f,
    0x80,
    0xc0,
    0xed,
    0xff,
    ...Buffer.from('abdgosuvxy({})/.:-'),
  ),
);

const edit = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('set', 'set', 'set', 'insert', 'delete'),
  byte: telling,
});

/** A message with a few bytes changed, inserted or deleted; its length stays. */
const mutated: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(...vectors.valid.map((vector) => Buffer.from(vector.hex, 'hex'))),
      fc
        .tuple(message, fc.constantFrom('little' as const, 'big' as const))
        .map(([one, endian]) => encodeMessage(one, { endian })),
    ),
    fc.array(edit, { maxLength: 3 }),
  )
  .map(([bytes, edits]) => {
    const changed = Array.from(bytes);
    for (const { at, kind, byte } of edits) {
      const index = at % changed.length;
      // What one takes away at a place the other makes up for at the end, so that the lengths still agree.
      changed.splice(index, kind === 'insert' ? 0 : 1, ...(kind === 'delete' ? [] : [byte]));
      if (kind === 'insert') changed.pop();
      if (kind === 'delete') changed.push(0);
    }
    return Buffer.from(changed);
  });

/** A message whose body nests about as deep as is allowed, a little less or a little more. */
const deep: fc.Arbitrary<Buffer> = fc
  .tuple(fc.array(fc.constantFrom(...LEVELS), { minLength: 18, maxLength: 66 }), fc.constantFrom(...ENDINGS))
  .map(([levels, end]) => asMessage(deepBody(levels, end)));

/** `body`, of signature `v`, in a message. */
function asMessage(body: Uint8Array): Buffer {
  const bare = { type: 4, flags: 0, serial: 1, path: '/', interface: 'a.b', member: 'C', signature: 'v' };
  const shortest = encodeMessage({ ...bare, body: [new Variant('y', 0)] });
  // The body of the shortest is a signature of three bytes and one more.
  const bytes = Buffer.concat([shortest.subarray(0, -4), body]);
  bytes.writeUInt32LE(body.length, 4);
  return bytes;
}

describeWith('python3 with libdbus', present)('libdbus', () => {
  it('judges nesting as we do', () => {
    const messages = fc.sample(deep, propertyRuns());
    const verdicts = judge(messages);
    const different = messages.filter((bytes, index) => accepts(bytes) !== verdicts[index]);
    expect(different.map((bytes) => bytes.toString('hex')).slice(0, 5)).toEqual([]);
    const accepted = verdicts.filter(Boolean).length;
    console.info(`libdbus judged ${messages.length} deep messages, ${accepted} of them valid; so did we`);
    expect(accepted).toBeGreaterThan(messages.length / 10);
    expect(accepted).toBeLessThan(messages.length * 0.9);
  });

  it('judges mutated and generated messages as we do', () => {
    const messages = fc.sample(mutated, propertyRuns() * 10).filter(isOneFrame);
    const verdicts = judge(messages);
    expect(verdicts).toHaveLength(messages.length);
    const different = messages.filter((bytes, index) => accepts(bytes) !== verdicts[index]);
    expect(different.map((bytes) => bytes.toString('hex')).slice(0, 5)).toEqual([]);
    const accepted = verdicts.filter(Boolean).length;
    console.info(`libdbus judged ${messages.length} messages, ${accepted} of them valid; so did we`);
    expect(accepted).toBeGreaterThan(messages.length / 20);
    expect(accepted).toBeLessThan(messages.length * 0.95);
  });
});
