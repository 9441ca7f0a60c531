import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { decodeMessage, encodeMessage, type Message, MessageParser, Variant } from '../../src/wire/index.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of the heap and outside of it, once all that nothing holds is gone. */
function used(): number {
  for (let count = 0; count < 3; count++) collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Names, paths and signatures that are ever new, far more of them than any cache keeps. */
function messageOf(index: number): Message {
  const types = index.toString(4).replaceAll(/\d/g, (digit) => 'yuds'[Number(digit)] as string);
  const values = Array.from(types, (type) => (type === 's' ? `text ${index}` : 1));
  return {
    type: 4,
    flags: 1,
    serial: index + 1,
    path: `/object/${index}`,
    interface: `org.example.Interface${index}`,
    member: `Member${index}`,
    sender: `:1.${index}`,
    signature: 'a{sv}ayo',
    body: [
      new Map([[`Property${index}`, new Variant(`(${types})`, values)]]),
      new Uint8Array((index % 40) * 4),
      `/a/path/of/some/length/${index}`,
    ],
  };
}

const DISTINCT = 4000;

it('decoding and dropping a million messages leaves the heap where it was', { timeout: 60_000 }, () => {
  const messages = Array.from({ length: DISTINCT }, (_, index) => encodeMessage(messageOf(index)));
  const parser = new MessageParser();
  const decodeAll = (rounds: number): void => {
    for (let round = 0; round < rounds; round++) {
      for (const [index, bytes] of messages.entries()) {
        if (index % 2 === 0) decodeMessage(bytes);
        else {
          parser.push(bytes.subarray(0, index % bytes.length));
          parser.push(bytes.subarray(index % bytes.length));
        }
      }
    }
  };
  // Caches fill and code is compiled.
  decodeAll(5);
  const before = used();
  decodeAll(1_000_000 / DISTINCT);
  expect(used() - before).toBeLessThan(2 ** 20);
});

/** In a function of its own, whose values are gone once it returns. */
function giantMessage(): Uint8Array {
  return encodeMessage({ ...messageOf(1), signature: 'ay', body: [new Uint8Array(2 ** 24)] });
}

it('the buffer of a parser goes with the giant message it held', () => {
  const parser = new MessageParser();
  const giant = giantMessage();
  const before = used();
  for (let at = 0; at < giant.length - 1; at += 65_536) {
    parser.push(giant.subarray(at, Math.min(at + 65_536, giant.length - 1)));
  }
  expect(parser.bufferedByteLength).toBe(giant.length - 1);
  expect(used() - before).toBeGreaterThan(2 ** 24);
  expect(parser.push(giant.subarray(-1))).toHaveLength(1);
  expect(parser.bufferedByteLength).toBe(0);
  expect(used() - before).toBeLessThan(2 ** 20);
  expect(parser.push(encodeMessage(messageOf(2)))).toHaveLength(1);
});
