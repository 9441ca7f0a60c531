/** Framing, decoding and encoding of messages. */
import { isDeepStrictEqual } from 'node:util';
import { Variant } from '../../../src/wire/codec/variant.js';
import { decodeMessage, readFixedHeader } from '../../../src/wire/message/decode.js';
import { encodeMessage } from '../../../src/wire/message/encode.js';
import type { Message } from '../../../src/wire/message/message.js';
import { MessageParser } from '../../../src/wire/message/parser.js';
import { deepBody, type Level } from '../../support/deep-body.js';
import { vectors } from '../../support/wire-vectors.js';
import { chunksOf, promise, refusal, type Target } from '../target.js';
import { messageOf } from '../values.js';

/** Every code of a message that is not one. */
const REFUSALS = { ProtocolError: /^[a-z0-9-]+$/ };

/** What a parser gives of chunks, up to its first error. */
function parse(chunks: readonly Uint8Array[]): { messages: Message[]; code: string; left: number } {
  const parser = new MessageParser();
  const messages: Message[] = [];
  try {
    for (const chunk of chunks) {
      parser.pushEach(chunk, (message) => messages.push(message));
      // Its buffer belongs to the caller again.
      chunk.fill(0xee);
    }
  } catch (error) {
    return { messages, code: refusal(error, REFUSALS), left: 0 };
  }
  return { messages, code: '', left: parser.bufferedByteLength };
}

/** What was accepted is a message, which can be written again in both byte orders. */
function checkAccepted(message: Message): string {
  for (const endian of ['little', 'big'] as const) {
    let bytes: Uint8Array;
    try {
      bytes = encodeMessage(message, { endian });
    } catch (error) {
      // An index of a file descriptor may be read where none came, but never sent.
      return refusal(error, { MarshalError: ['unix-fds'] });
    }
    const again = decodeMessage(bytes);
    promise(isDeepStrictEqual(again, message), 'what was written is not what was read');
    promise(Buffer.compare(encodeMessage(again, { endian }), bytes) === 0, 'written twice it differs');
  }
  return 'accepted';
}

/** Decodes the messages of a stream one by one: the same as the parser does, by another way. */
function checkOneByOne(input: Uint8Array, messages: readonly Message[], code: string): void {
  let at = 0;
  for (const message of messages) {
    const { byteLength } = readFixedHeader(input.subarray(at));
    promise(
      isDeepStrictEqual(decodeMessage(input.slice(at, at + byteLength)), message),
      'parser and decoder differ',
    );
    at += byteLength;
  }
  if (code === '') return;
  try {
    const { byteLength } = readFixedHeader(input.subarray(at));
    decodeMessage(input.slice(at, at + byteLength));
  } catch (error) {
    promise(refusal(error, REFUSALS) === code, 'parser and decoder refuse for different reasons');
    return;
  }
  promise(false, 'the parser refuses what the decoder takes');
}

/** A signal whose body is nested `depth` deep, which our encoder would refuse to make of more than 64. */
function nested(depth: number): Uint8Array {
  const names = { path: '/', interface: 'a.b', member: 'C' };
  const carrier: Message = {
    type: 4,
    flags: 0,
    serial: 1,
    ...names,
    signature: 'v',
    body: [new Variant('y', 7)],
  };
  const bytes = Buffer.from(encodeMessage(carrier));
  const body = deepBody(
    Array.from({ length: depth - 1 }, (): Level => (depth % 2 === 0 ? 'v' : 'a(v)')),
    'y',
  );
  const header = bytes.subarray(0, bytes.length - bytes.readUInt32LE(4));
  header.writeUInt32LE(body.length, 4);
  return Buffer.concat([header, body]);
}

const message: Target = {
  name: 'message',
  dictionary: [
    'l\u{1}\0\u{1}',
    'B\u{4}\u{1}\u{1}',
    '\u{1}\u{1}o\0',
    '\u{8}\u{1}g\0',
    '\u{9}\u{1}u\0',
    '\u{1}v\0',
    '\u{3}(v)\0',
    '\u{5}a{sv}\0',
    '\u{2}ay\0',
    '\u{1}h\0',
  ],
  seeds: () => {
    const every = [...vectors.valid, ...vectors.mutated].map(
      ({ hex }) => new Uint8Array(Buffer.from(hex, 'hex')),
    );
    return [...every.filter(({ length }) => length <= 4096), ...[22, 23, 64, 65, 66, 500].map(nested)];
  },
  generate: (random) => {
    const endian = random.oneIn(3) ? 'big' : 'little';
    const count = random.oneIn(4) ? 2 : 1;
    return Buffer.concat(Array.from({ length: count }, () => encodeMessage(messageOf(random), { endian })));
  },
  run: (input) => {
    const whole = parse([input.slice()]);
    promise(isDeepStrictEqual(parse(chunksOf(input)), whole), 'chunks change what is read');
    if (input.length <= 256) {
      const bytes = parse(Array.from(input, (byte) => Uint8Array.of(byte)));
      promise(isDeepStrictEqual(bytes, whole), 'single bytes change what is read');
    }
    promise(whole.left <= input.length, 'more is kept than came');
    checkOneByOne(input, whole.messages, whole.code);
    const verdicts = whole.messages.map(checkAccepted);
    return `${whole.code} ${Math.min(verdicts.length, 3)} ${verdicts.at(-1) ?? ''} ${Math.min(whole.messages.at(-1)?.type ?? 0, 5)}`;
  },
};

export default message;
