import { spawnSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  MarshalError,
  type Message,
  ProtocolError,
  Variant,
} from '../../src/wire/index.js';
import { message } from '../support/arbitraries.js';
import { deepBody, ENDINGS, LEVELS } from '../support/deep-body.js';
import { describeWith, runs } from '../support/external.js';
import { dumpMessage } from '../support/libdbus-dump.js';
import { propertyRuns } from '../support/property-runs.js';
import { vectors } from '../support/wire-vectors.js';

const ORACLE = new URL('./libdbus-oracle.py', import.meta.url).pathname;
const present = runs('python3', ['-c', 'import ctypes; ctypes.CDLL("libdbus-1.so.3")']);

/** What libdbus reads in each message, as `dumpMessage` writes it; undefined where it refuses the message. */
function readByLibdbus(messages: readonly Uint8Array[]): (string | undefined)[] {
  const frames = messages.flatMap((bytes) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  const { stdout, stderr, status } = spawnSync('python3', [ORACLE], {
    input: Buffer.concat(frames),
    maxBuffer: 2 ** 30,
  });
  expect(status, stderr.toString()).toBe(0);
  const found: (string | undefined)[] = [];
  for (let at = 0; at < stdout.length; ) {
    const end = at + 4 + stdout.readUInt32LE(at);
    found.push(end === at + 4 ? undefined : stdout.toString('utf8', at + 4, end));
    at = end;
  }
  expect(found).toHaveLength(messages.length);
  return found;
}

function readByUs(bytes: Uint8Array): Message | undefined {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** A message encoded again, in the byte order it came in; undefined where it holds an index of a descriptor, which is not sent. */
function encodeAgain(decoded: Message, original: Uint8Array): Uint8Array | undefined {
  try {
    return encodeMessage(decoded, { endian: original[0] === 0x42 ? 'big' : 'little' });
  } catch (error) {
    if (error instanceof MarshalError && error.code === 'unix-fds') return undefined;
    throw error;
  }
}

/** Messages that are judged at one time: what is read in them has to fit into memory. */
const BATCH_LENGTH = 20_000;

/**
 * Holds our verdicts and values against those of libdbus, and what we write again of what was accepted against both.
 * @returns how many messages libdbus judged, those written again included, and how many of the given ones it accepted.
 */
function compare(messages: readonly Uint8Array[]): { judged: number; accepted: number } {
  let judged = 0;
  let accepted = 0;
  for (let start = 0; start < messages.length; start += BATCH_LENGTH) {
    const batch = messages.slice(start, start + BATCH_LENGTH);
    const ours = batch.map(readByUs);
    const dumps = ours.map((one) => one && dumpMessage(one));
    const theirs = readByLibdbus(batch);
    const different = batch.filter((_, index) => dumps[index] !== theirs[index]);
    expect(different.map((bytes) => Buffer.from(bytes).toString('hex')).slice(0, 5)).toEqual([]);
    const again = ours.flatMap((one, index) => {
      if (one === undefined) return [];
      accepted++;
      const bytes = encodeAgain(one, batch[index] as Uint8Array);
      if (bytes === undefined) return [];
      expect(isDeepStrictEqual(decodeMessage(bytes), one)).toBe(true);
      return [{ bytes, dump: dumps[index] }];
    });
    const reread = readByLibdbus(again.map(({ bytes }) => bytes));
    const changed = again.filter(({ dump }, index) => reread[index] !== dump);
    expect(changed.map(({ bytes }) => Buffer.from(bytes).toString('hex')).slice(0, 5)).toEqual([]);
    judged += batch.length + again.length;
  }
  return { judged, accepted };
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
  it('reads messages with indexes of descriptors as we do, which cannot be written', () => {
    // Written with `u` where the signature is to say `h`, and changed afterwards.
    const bodies: [string, unknown[]][] = [
      ['uv', [0, new Variant('n', 1)]],
      ['vau', [new Variant('u', 3), [1, 2]]],
      [
        'a{us}a{su}',
        [
          new Map([
            [1, 'a'],
            [2, 'b'],
          ]),
          new Map([['a', 0]]),
        ],
      ],
    ];
    const messages = bodies.map(([signature, body]) => {
      const bare = { type: 2, flags: 1, serial: 1, replySerial: 2, signature, body };
      const bytes = Buffer.from(encodeMessage(bare));
      const at = bytes.indexOf(signature);
      bytes.write(signature.replaceAll('u', 'h'), at);
      return Buffer.from(bytes.toString('latin1').replaceAll('\u0001u\0', '\u0001h\0'), 'latin1');
    });
    // Each holds a field `reply serial`, of type `u`, which must stay as it is.
    for (const bytes of messages) bytes.write('u', bytes.indexOf('\u0005\u0001') + 2);
    expect(compare(messages)).toEqual({ judged: 3, accepted: 3 });
  });

  it('judges and reads deep messages as we do', () => {
    const messages = fc.sample(deep, propertyRuns());
    const { judged, accepted } = compare(messages);
    console.info(
      `libdbus judged ${judged} deep messages, ${accepted} of ${messages.length} valid; so did we`,
    );
    expect(accepted).toBeGreaterThan(messages.length / 10);
    expect(accepted).toBeLessThan(messages.length * 0.9);
  });

  it('judges and reads mutated and generated messages as we do', () => {
    const messages = fc.sample(mutated, propertyRuns() * 10).filter(isOneFrame);
    const { judged, accepted } = compare(messages);
    console.info(`libdbus judged ${judged} messages, ${accepted} of ${messages.length} valid; so did we`);
    expect(messages.length).toBeGreaterThan(propertyRuns() * 8);
    expect(accepted).toBeGreaterThan(messages.length / 20);
    expect(accepted).toBeLessThan(messages.length * 0.95);
  });
});
