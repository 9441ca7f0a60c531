/** Targets with bugs in them: what the fuzzer must find, or else it is worth nothing. Only tests use them. */

import { MatchRule } from '../../src/wire/match/match-rule.js';
import { decodeMessage } from '../../src/wire/message/decode.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import type { Random } from './engine/random.js';
import { promise, refusal, type Target, textOf } from './target.js';
import { messageOf } from './values.js';

/** Fails only after a way of branches, each of which shows in the coverage alone. */
function atTheEndOfAWay(input: Uint8Array): string {
  if (input[0] === 0x73) {
    if (input[1] === 0x65) {
      if (input[2] === 0x63) {
        if (input[3] === 0x72) throw new TypeError('the end of the way');
      }
    }
  }
  return '';
}

function signalOf(random: Random): Uint8Array {
  return encodeMessage(messageOf(random), { endian: 'big' });
}

/** Decodes a message, with a fault that depends on what was decoded. */
function decoding(fault: (message: Message) => void): Target['run'] {
  return (input) => {
    try {
      const message = decodeMessage(input);
      fault(message);
      return 'accepted';
    } catch (error) {
      return refusal(error, { ProtocolError: /./ });
    }
  };
}

const kept: Uint8Array[] = [];

const targets: readonly Target[] = [
  { name: 'way', run: atTheEndOfAWay },
  {
    name: 'type-error',
    generate: signalOf,
    run: decoding((message) => {
      if (message.type === 3) throw new TypeError('replies are not strings');
    }),
  },
  {
    name: 'not-one-to-one',
    generate: signalOf,
    run: decoding(({ body }) => promise(!body.includes('Label'), 'what was written is not what was read')),
  },
  {
    name: 'wrong-error',
    dictionary: ['path=', '/'],
    run: (input) => {
      const text = textOf(input);
      if (/path='?\/\//.test(text)) throw new RangeError('too many slashes');
      try {
        MatchRule.parse(text);
      } catch {
        return 'refused';
      }
      return 'accepted';
    },
  },
  {
    name: 'slow',
    run: (input) => {
      const start = process.cpuUsage();
      const spentMs = (): number => {
        const { user, system } = process.cpuUsage(start);
        return (user + system) / 1000;
      };
      while (input.includes(0x7f) && spentMs() < 1200);
      return '';
    },
  },
  {
    name: 'hang',
    run: (input) => {
      while (input.includes(0x7f));
      return '';
    },
  },
  {
    name: 'out-of-memory',
    run: (input) => {
      const hoard: number[][] = [];
      while (input.includes(0x7f)) hoard.push(Array.from({ length: 100_000 }, (_, index) => index + 0.5));
      return String(hoard.length);
    },
  },
  {
    name: 'crash',
    run: (input) => {
      if (input.includes(0x7f)) process.abort();
      return '';
    },
  },
  {
    name: 'leak',
    run: () => {
      kept.push(new Uint8Array(10_000));
      return '';
    },
  },
];

export default targets;
