import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, MessageParser, ProtocolError } from '../../src/wire/index.js';
import { bodyFromJson, vectors } from '../support/wire-vectors.js';

const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

describe('messages encoded by GLib and accepted by libdbus', () => {
  it('are all there', () => {
    expect(vectors.valid).toHaveLength(120);
    expect(new Set(vectors.valid.map((vector) => vector.endian))).toEqual(new Set(['little', 'big']));
  });

  it.each(vectors.valid.map((vector, index) => [index, vector] as const))(
    'message %i decodes to its values and encodes to the same bytes',
    (_index, vector) => {
      const bytes = fromHex(vector.hex);
      const message = decodeMessage(bytes);
      const { type, flags, serial, signature } = vector;
      const body = bodyFromJson(signature, vector.body);
      expect(message).toStrictEqual({ type, flags, serial, ...vector.header, signature, body });
      expect(encodeMessage(message, { endian: vector.endian })).toEqual(bytes);
    },
  );

  it('come out of a stream however it is cut in two', () => {
    for (const vector of vectors.valid) {
      const bytes = fromHex(vector.hex);
      const whole = decodeMessage(bytes);
      for (let cut = 0; cut <= bytes.length; cut++) {
        const parser = new MessageParser();
        const messages = [...parser.push(bytes.subarray(0, cut)), ...parser.push(bytes.subarray(cut))];
        expect(messages).toEqual([whole]);
        expect(parser.bufferedByteLength).toBe(0);
      }
    }
  });

  it('come out of one stream byte by byte, and in one chunk', () => {
    const stream = Buffer.concat(vectors.valid.map((vector) => fromHex(vector.hex)));
    const expected = vectors.valid.map((vector) => decodeMessage(fromHex(vector.hex)));
    const parser = new MessageParser();
    const messages = Array.from(stream).flatMap((byte) => parser.push(Uint8Array.of(byte)));
    expect(messages).toEqual(expected);
    expect(new MessageParser().push(stream)).toEqual(expected);
  });
});

/** Whether our decoder accepts the bytes; anything but a ProtocolError is a fault of its own. */
function accepts(bytes: Uint8Array): boolean {
  try {
    decodeMessage(bytes);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return false;
  }
}

describe('mutated messages', () => {
  it('are all there, of both verdicts', () => {
    expect(vectors.mutated).toHaveLength(300);
    expect(vectors.mutated.filter((vector) => vector.libdbus)).toHaveLength(20);
  });

  it.each(vectors.mutated.map((vector, index) => [index, vector] as const))(
    'message %i is judged as libdbus judges it',
    (_index, vector) => {
      const bytes = fromHex(vector.hex);
      expect(accepts(bytes)).toBe(vector.libdbus);
      if (vector.decoded === undefined) return;
      const { signature, body } = vector.decoded;
      expect(decodeMessage(bytes)).toMatchObject({ signature, body: bodyFromJson(signature, body) });
    },
  );
});
