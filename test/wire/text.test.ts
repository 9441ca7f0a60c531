import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, marshal, ProtocolError, unmarshal } from '../../src/wire/index.js';
import { text } from '../support/arbitraries.js';

/** A string on the wire, whatever its bytes; `after` bytes more follow in the array of bytes behind it. */
function stringOf(bytes: Uint8Array, after: number): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  const string = Buffer.concat([length, bytes, Buffer.alloc(1)]);
  const padding = Buffer.alloc((4 - (string.length % 4)) % 4);
  const tail = Buffer.alloc(4 + after, 0xff);
  tail.writeUInt32LE(after);
  return Buffer.concat([string, padding, tail]);
}

/** Bytes that are UTF-8, nearly UTF-8, or anything. */
const bytesOfText = fc.oneof(
  text.map((one) => Buffer.from(one)),
  fc
    .tuple(text, fc.nat(), fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 })))
    .map(([one, at, byte]) => {
      const bytes = Buffer.from(one);
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      return bytes;
    }),
  fc
    .array(
      fc.constantFrom(
        0,
        0x41,
        0x7f,
        0x80,
        0xbf,
        0xc0,
        0xc1,
        0xc2,
        0xc3,
        0xc4,
        0xdf,
        0xe0,
        0xed,
        0xef,
        0xf0,
        0xf4,
        0xf5,
        0xff,
      ),
      {
        maxLength: 30,
      },
    )
    .map((bytes) => Buffer.from(bytes)),
);

describe('strings', () => {
  it('are read as the platform reads strict UTF-8, wherever in the bytes they stand', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(bytesOfText, fc.nat(40), (bytes, after) => {
        let expected: string | undefined;
        try {
          expected = strict.decode(bytes);
        } catch {}
        let found: unknown;
        try {
          [found] = unmarshal('say', stringOf(bytes, after));
        } catch (error) {
          assert(error instanceof ProtocolError);
          assert.equal(error.code, expected === undefined ? 'bad-utf8' : 'nul-in-string');
          assert(expected === undefined || expected.includes('\0'));
          return;
        }
        assert.equal(found, expected);
        assert(!expected?.includes('\0'));
      }),
    );
  });

  it('are refused for one odd byte, whichever it is and wherever it stands', () => {
    for (const length of [1, 3, 4, 8, 11, 24, 25, 40]) {
      for (let byte = 0; byte < 256; byte++) {
        for (let at = 0; at < length; at++) {
          const bytes = Buffer.alloc(length, 'a');
          bytes[at] = byte;
          const read = (): unknown => unmarshal('say', stringOf(bytes, 40))[0];
          if (byte > 0 && byte < 0x80) assert.equal(read(), bytes.toString('latin1'));
          else assert.throws(read, { code: byte === 0 ? 'nul-in-string' : 'bad-utf8' });
        }
      }
    }
  });

  it('of every length and every unit of the first 512 are written and read', () => {
    for (let length = 0; length < 130; length++) {
      for (const letter of [
        'a',
        '\x7f',
        '\x80',
        '\u00ff',
        '\u0100',
        '\u07ff',
        '\u0800',
        '\uffff',
        '\u{1f511}',
      ]) {
        for (const one of ['a'.repeat(length) + letter, letter + 'a'.repeat(length), letter.repeat(length)]) {
          const bytes = marshal('s', [one]);
          assert.deepEqual(Buffer.from(bytes.subarray(4, -1)), Buffer.from(one));
          assert.deepEqual(unmarshal('s', bytes), [one]);
        }
      }
    }
    for (let unit = 1; unit < 512; unit++) {
      const one = String.fromCharCode(unit);
      expect(unmarshal('s', marshal('s', [one]))).toEqual([one]);
    }
  });

  it('are written where the room of the writer ends, wherever that is', () => {
    for (const one of ['a'.repeat(20), '\u00e9'.repeat(20), '\u20ac'.repeat(20), 'a'.repeat(60)]) {
      for (let before = 4096 - 150; before <= 4096; before++) {
        const bytes = marshal('ays', [new Uint8Array(before), one]);
        assert.equal(unmarshal('ays', bytes)[1], one);
      }
    }
  });
});

describe('texts that come again', () => {
  const CALL = { type: 1, flags: 0, serial: 1, path: '/', signature: '', body: [] };

  it('are valid only for what they were: a key is no path, a path no interface', () => {
    for (const key of ['not a path', 'a.b', 'ss']) {
      for (let count = 0; count < 3; count++) {
        expect(unmarshal('a{ss}', marshal('a{ss}', [{ [key]: '' }]))).toEqual([new Map([[key, '']])]);
      }
      // A path of the same bytes: the layout of `a{ss}` and `a{os}` is one.
      expect(() => unmarshal('a{os}', marshal('a{ss}', [{ [key]: '' }]))).toThrow(
        expect.objectContaining({ code: 'bad-object-path' }),
      );
    }
    const message = { ...CALL, interface: 'a.b', member: 'Get', destination: 'a.b' };
    const bytes = encodeMessage(message);
    expect(decodeMessage(bytes)).toEqual(message);
    const changed = Buffer.from(
      bytes.map((byte, at) => (Buffer.from(bytes).indexOf('Get') === at ? 0x2e : byte)),
    );
    expect(() => decodeMessage(changed)).toThrow(expect.objectContaining({ code: 'bad-name' }));
    // A member that was valid as a destination, and the path of the library's own messages, valid in a body.
    const local = unmarshal('o', marshal('o', ['/org/freedesktop/DBus/Local']));
    expect(local).toEqual(['/org/freedesktop/DBus/Local']);
    const bare = encodeMessage({ ...CALL, path: '/org/freedesktop/DBus/Locax', member: 'Get' });
    bare[Buffer.from(bare).indexOf('Locax') + 4] = 'l'.charCodeAt(0);
    expect(() => decodeMessage(bare)).toThrow(expect.objectContaining({ code: 'bad-name' }));
  });

  it('are told apart when all but one byte is the same, also far more than are kept', () => {
    const stem = `/${'a'.repeat(70)}`;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(68), fc.nat(68)), { maxLength: 30 }), (places) => {
        const paths = places.map(([length, at]) => {
          const path = stem.slice(0, length + 2);
          const place = 1 + (at % (length + 1));
          return `${path.slice(0, place)}b${path.slice(place + 1)}`;
        });
        const body: [string[], Map<string, string>] = [paths, new Map(paths.map((path) => [path, path]))];
        assert.deepEqual(unmarshal('aoa{ss}', marshal('aoa{ss}', body)), body);
      }),
    );
    const many = Array.from({ length: 20_000 }, (_, index) => `/item/${index}`);
    for (let count = 0; count < 2; count++) expect(unmarshal('ao', marshal('ao', [many]))).toEqual([many]);
  });

  it('are written as the paths they are, and never one for another', () => {
    const path = fc.constantFrom(
      '/',
      '/a',
      '/b',
      '/aa',
      '/ab',
      `/${'x'.repeat(39)}`,
      `/${'x'.repeat(47)}`,
      `/${'x'.repeat(46)}y`,
    );
    fc.assert(
      fc.property(fc.array(path, { maxLength: 12 }), fc.array(path, { maxLength: 3 }), (paths, before) => {
        marshal('ao', [before]);
        const bytes = marshal('ao', [paths]);
        // The layout of a path is that of a string.
        assert.deepEqual(bytes, marshal('as', [paths]));
      }),
    );
  });

  it.each([
    '',
    'a',
    '//',
    '/a/',
    '/a//b',
    '/a-b',
    '/\u00e9',
    // Units whose low bytes are letters.
    '/\u0161',
    '/\u0161a',
    '/\ud800',
    '/a\0',
    `/${'a'.repeat(50)}/`,
    `/${'a'.repeat(50)}\u00e9`,
    `/${'a'.repeat(50)}\0`,
    `/${'a'.repeat(50)}\ud800`,
    'a'.repeat(50),
  ])('are refused as paths when they are none: %j', (path) => {
    for (const paths of [[path], ['/', '/', path], [path, path]]) {
      expect(() => marshal('ao', [paths])).toThrow(
        expect.objectContaining({ code: 'invalid-value', path: expect.stringMatching(/^body\[0\]\[\d\]$/) }),
      );
    }
  });
});
