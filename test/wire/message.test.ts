import { describe, expect, it } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  MessageParser,
  marshal,
  unmarshal,
  Variant,
} from '../../src/wire/index.js';

const CALL: Message = { type: 1, flags: 0, serial: 1, path: '/', member: 'Get', signature: '', body: [] };
const SIGNAL: Message = { ...CALL, type: 4, interface: 'a.b' };
const REPLY: Message = { type: 2, flags: 0, serial: 1, replySerial: 2, signature: '', body: [] };
const ERROR: Message = { ...REPLY, type: 3, errorName: 'a.b.C' };

const coded = (code: string): unknown => expect.objectContaining({ code });

/** Header fields as bytes, each `[code, signature, value]`. */
function withFields(type: number, fields: readonly [number, string, unknown][]): Uint8Array {
  const array = fields.reduce<Buffer>((bytes, [code, signature, value]) => {
    const start = Math.ceil(bytes.length / 8) * 8;
    const head = Buffer.from([code, signature.length, ...Buffer.from(signature), 0]);
    const rest = marshal(signature, [value], { offset: head.length });
    return Buffer.concat([bytes, Buffer.alloc(start - bytes.length), head, rest]);
  }, Buffer.alloc(0));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(array.length);
  const fixed = [0x6c, type, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, ...length];
  return Buffer.concat([Buffer.from(fixed), array, Buffer.alloc((8 - (array.length % 8)) % 8)]);
}

/** A fixed header with these lengths. */
function header(bodyByteLength: number, fieldsByteLength: number): Buffer {
  const bytes = Buffer.from('6c010001000000000100000000000000', 'hex');
  bytes.writeUInt32LE(bodyByteLength, 4);
  bytes.writeUInt32LE(fieldsByteLength, 12);
  return bytes;
}

describe('encodeMessage', () => {
  it.each([
    ['type', { ...CALL, type: 0 }],
    ['type', { ...CALL, type: 256 }],
    ['flags', { ...CALL, flags: -1 }],
    ['serial', { ...CALL, serial: 0 }],
    ['serial', { ...CALL, serial: 2 ** 32 }],
    ['path', { ...CALL, path: undefined }],
    ['path', { ...CALL, path: 'a' }],
    ['path', { ...CALL, path: '/org/freedesktop/DBus/Local' }],
    ['member', { ...CALL, member: undefined }],
    ['member', { ...CALL, member: 'a.b' }],
    ['interface', { ...CALL, interface: 'org.freedesktop.DBus.Local' }],
    ['interface', { ...SIGNAL, interface: undefined }],
    ['destination', { ...CALL, destination: 'a' }],
    ['sender', { ...CALL, sender: 5 }],
    ['replySerial', { ...REPLY, replySerial: undefined }],
    ['replySerial', { ...REPLY, replySerial: 0 }],
    ['errorName', { ...ERROR, errorName: undefined }],
    ['errorName', { ...ERROR, errorName: 'a' }],
  ])('refuses a wrong or missing %s, case %#', (path, message) => {
    expect(() => encodeMessage(message as Message)).toThrow(
      expect.objectContaining({ name: 'MarshalError', code: 'invalid-message', path }),
    );
  });

  it('does not send on an index of a file descriptor that it could read', () => {
    const bytes = encodeMessage({ ...CALL, signature: 'u', body: [7] });
    const signatureAt = Buffer.from(bytes).indexOf(Buffer.from('\x08\x01g\0\x01u\0')) + 5;
    bytes[signatureAt] = 'h'.charCodeAt(0);
    const message = decodeMessage(bytes);
    expect(message).toMatchObject({ signature: 'h', body: [7] });
    expect(() => encodeMessage(message)).toThrow(coded('unix-fds'));
  });

  it('sends no index of a file descriptor', () => {
    expect(() => encodeMessage({ ...CALL, signature: 'ah', body: [[0]] })).toThrow(coded('unix-fds'));
    expect(encodeMessage({ ...CALL, signature: 'ah', body: [[]] })).toBeInstanceOf(Uint8Array);
  });

  it('refuses an endian that is none', () => {
    expect(() => encodeMessage(CALL, { endian: 'BIG' as 'big' })).toThrow(coded('invalid-endian'));
    expect(() => unmarshal('y', Uint8Array.of(1), { endian: 'BIG' as 'big' })).toThrow(
      coded('invalid-endian'),
    );
  });

  it('refuses a message of more than 2^27 bytes', () => {
    const body = [new Uint8Array(2 ** 26), new Uint8Array(2 ** 26)];
    expect(() => encodeMessage({ ...CALL, signature: 'ayay', body })).toThrow(coded('message-too-long'));
  });
});

describe('decodeMessage', () => {
  const PATH: [number, string, unknown] = [1, 'o', '/'];
  const MEMBER: [number, string, unknown] = [3, 's', 'Get'];

  it('reads header fields in any order, and ignores those it does not know', () => {
    const fields: [number, string, unknown][] = [
      MEMBER,
      [77, 'a{ss}', { a: 'b' }],
      [77, 'y', 1],
      PATH,
      [10, 'o', '/c'],
      [9, 'u', 0],
    ];
    expect(decodeMessage(withFields(1, fields))).toEqual(CALL);
  });

  it.each([
    ['header-field-invalid', [PATH, MEMBER, [0, 'y', 1]]],
    ['header-field-twice', [PATH, MEMBER, MEMBER]],
    ['header-field-twice', [PATH, MEMBER, [9, 'u', 0], [9, 'u', 0]]],
    ['header-field-twice', [PATH, MEMBER, [10, 'o', '/'], [10, 'o', '/']]],
    ['header-field-type', [PATH, [3, 'g', 's']]],
    ['header-field-type', [PATH, MEMBER, [9, 'i', 0]]],
    ['header-field-type', [PATH, MEMBER, [10, 's', '/']]],
    ['header-field-missing', [PATH]],
    ['header-field-missing', [MEMBER]],
    ['bad-name', [PATH, [3, 's', 'a.b']]],
    ['bad-name', [PATH, MEMBER, [2, 's', 'org.freedesktop.DBus.Local']]],
    ['bad-name', [[1, 'o', '/org/freedesktop/DBus/Local'], MEMBER]],
    ['bad-name', [PATH, MEMBER, [7, 's', 'a']]],
    ['bad-serial', [PATH, MEMBER, [5, 'u', 0]]],
    ['unix-fds', [PATH, MEMBER, [9, 'u', 1]]],
    ['truncated', [PATH, MEMBER, [8, 'g', 'y']]],
  ] as [string, [number, string, unknown][]][])('refuses with %s, case %#', (code, fields) => {
    expect(() => decodeMessage(withFields(1, fields))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code }),
    );
  });

  it.each([
    [2 ** 27 - 16, 0, 'truncated'],
    [2 ** 27 - 15, 0, 'message-too-long'],
    [0, 2 ** 26, 'truncated'],
    [0, 2 ** 26 + 1, 'array-too-long'],
    [2 ** 26 - 16, 2 ** 26, 'truncated'],
    [2 ** 26 - 15, 2 ** 26, 'message-too-long'],
    [0, 2 ** 32 - 1, 'array-too-long'],
    [2 ** 32 - 1, 0, 'message-too-long'],
    [2 ** 32 - 16, 0, 'message-too-long'],
  ])('judges a body of %i and header fields of %i bytes before they come: %s', (body, fields, code) => {
    expect(() => decodeMessage(header(body, fields))).toThrow(coded(code));
    const parser = new MessageParser();
    if (code === 'truncated') expect(parser.push(header(body, fields))).toEqual([]);
    else expect(() => parser.push(header(body, fields))).toThrow(coded(code));
  });

  it('refuses what are no bytes', () => {
    for (const value of [undefined, null, [1], new ArrayBuffer(16), Uint16Array.of(1)] as unknown[]) {
      expect(() => decodeMessage(value as Uint8Array)).toThrow(coded('invalid-bytes'));
      expect(() => unmarshal('y', value as Uint8Array)).toThrow(coded('invalid-bytes'));
      expect(() => new MessageParser().push(value as Uint8Array)).toThrow(coded('invalid-bytes'));
    }
  });

  it('does not turn few bytes into much memory', () => {
    const zeros = new Uint8Array(2 ** 24 + 4);
    new DataView(zeros.buffer).setUint32(0, 2 ** 24, true);
    for (const signature of ['aay', 'aas', 'aau']) {
      expect(() => unmarshal(signature, zeros)).toThrow(coded('too-many-containers'));
    }
    expect(unmarshal('aas', marshal('aas', [Array.from({ length: 1000 }, () => ['a'])]))[0]).toHaveLength(
      1000,
    );
  });

  it('does not compile ever new signatures without end', () => {
    const letters = 'ynqiuxtdsog'.split('');
    const variants = Array.from({ length: 20_000 }, (_, index) => {
      const digits = index.toString(11).split('');
      return new Variant(`a(${digits.map((digit) => letters[Number.parseInt(digit, 11)]).join('')})`, []);
    });
    expect(() => unmarshal('av', marshal('av', [variants]))).toThrow(coded('too-many-containers'));
    expect(unmarshal('av', marshal('av', [variants.slice(0, 1000)]))).toEqual([variants.slice(0, 1000)]);
  });
});

describe('MessageParser', () => {
  it('gives the same error for ever once the stream is broken', () => {
    const parser = new MessageParser();
    expect(() => parser.push(Buffer.alloc(16, 'x'))).toThrow(coded('bad-endian'));
    expect(() => parser.push(encodeMessage(CALL))).toThrow(coded('bad-endian'));
    expect(parser.bufferedByteLength).toBe(0);
  });

  it('is broken by what its caller throws', () => {
    const parser = new MessageParser();
    const mine = new Error('mine');
    expect(() =>
      parser.pushEach(encodeMessage(CALL), () => {
        throw mine;
      }),
    ).toThrow(mine);
    expect(() => parser.push(encodeMessage(CALL))).toThrow(mine);
  });

  it('keeps what has come and not what was promised', () => {
    const parser = new MessageParser();
    const promise = encodeMessage({ ...CALL, signature: 'ay', body: [new Uint8Array(2 ** 26)] }).subarray(
      0,
      5000,
    );
    const before = process.memoryUsage().arrayBuffers;
    for (const byte of promise) parser.push(Uint8Array.of(byte));
    expect(parser.bufferedByteLength).toBe(5000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 27);
  });

  it('hands over the bytes of each message, however they come', () => {
    const messages = [
      CALL,
      SIGNAL,
      { ...CALL, signature: 'ay', body: [new Uint8Array(5000).fill(7)] },
      ERROR,
    ];
    const frames = messages.map((message) => Buffer.from(encodeMessage(message)));
    const stream = Buffer.concat(frames);
    for (const size of [1, 7, 16, 17, 100, 4096, 5001, stream.length]) {
      const parser = new MessageParser();
      const taken: [Message, Buffer][] = [];
      for (let at = 0; at < stream.length; at += size) {
        parser.pushEach(stream.subarray(at, at + size), (message, frame) => {
          expect(frame.constructor).toBe(Uint8Array);
          taken.push([message, Buffer.from(frame)]);
        });
      }
      expect(taken).toEqual(messages.map((message, index) => [message, frames[index]]));
    }
  });

  it('takes a large message byte by byte in time that grows with it alone', () => {
    const large = encodeMessage({ ...CALL, signature: 'ay', body: [new Uint8Array(2 ** 21)] });
    const parser = new MessageParser();
    const start = performance.now();
    let count = 0;
    for (let at = 0; at < large.length; at++) count += parser.push(large.subarray(at, at + 1)).length;
    expect(count).toBe(1);
    // Copying what is kept for each byte would take hours.
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
