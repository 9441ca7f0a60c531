import assert from 'node:assert/strict';
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import {
  DBusError,
  decodeMessage,
  encodeMessage,
  isSignature,
  MarshalError,
  type Message,
  MessageParser,
  marshal,
  ProtocolError,
  parseSignature,
  unmarshal,
} from '../../src/wire/index.js';
import { message, plainSignatureAndValues, signature, signatureAndValues } from '../support/arbitraries.js';

const ENDIANS = ['little', 'big'] as const;

/** Whatever a decoder is given, it gives a value or a ProtocolError; a value encodes to the bytes it came from. */
function acceptsOnlyCanonical(bytes: Uint8Array, decode: () => Uint8Array): void {
  let again: Uint8Array;
  try {
    again = decode();
  } catch (error) {
    assert(error instanceof ProtocolError, `not a ProtocolError: ${String(error)}`);
    assert(error.offset >= 0 && error.offset <= bytes.length);
    return;
  }
  assert.deepEqual(Buffer.from(again), Buffer.from(bytes));
}

/** Bytes to write at places, taken modulo the length. */
const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
  minLength: 1,
  maxLength: 4,
});

function applyChanges(bytes: Uint8Array, edits: readonly (readonly [number, number])[]): void {
  if (bytes.length > 0) for (const [at, byte] of edits) bytes[at % bytes.length] = byte;
}

describe('marshal and unmarshal', () => {
  it('give back every value at every offset in both byte orders', () => {
    fc.assert(
      fc.property(signatureAndValues, ([types, values]) => {
        for (const endian of ENDIANS) {
          for (let offset = 0; offset < 8; offset++) {
            const bytes = marshal(types, values, { endian, offset });
            const back = unmarshal(types, bytes, { endian, offset });
            assert(isDeepStrictEqual(back, values));
            assert(Buffer.from(marshal(types, back, { endian, offset })).equals(bytes));
          }
        }
      }),
    );
  });

  it('agree on where a value stands: after one byte it is written as at offset 1', () => {
    fc.assert(
      fc.property(signatureAndValues, fc.constantFrom(...ENDIANS), ([types, values], endian) => {
        fc.pre(types.length < 255);
        const after = marshal(`y${types}`, [5, ...values], { endian });
        assert.equal(after[0], 5);
        assert(Buffer.from(after.subarray(1)).equals(marshal(types, values, { endian, offset: 1 })));
      }),
    );
  });

  it('refuse every truncation', () => {
    fc.assert(
      fc.property(signatureAndValues, fc.nat(), ([types, values], cut) => {
        const bytes = marshal(types, values);
        fc.pre(bytes.length > 0);
        assert.throws(() => unmarshal(types, bytes.subarray(0, cut % bytes.length)), ProtocolError);
      }),
    );
  });

  it('accept of damaged bytes only what they would write themselves', () => {
    fc.assert(
      fc.property(
        plainSignatureAndValues,
        changes,
        fc.constantFrom(...ENDIANS),
        ([types, values], edits, endian) => {
          const bytes = marshal(types, values, { endian });
          applyChanges(bytes, edits);
          acceptsOnlyCanonical(bytes, () => {
            const back = unmarshal(types, bytes, { endian });
            // To JavaScript all NaNs are one: which of them came cannot be seen, nor be written again.
            return inspect(back, { depth: null, maxArrayLength: null }).includes('NaN')
              ? bytes
              : marshal(types, back, { endian });
          });
        },
      ),
    );
  });

  it('accept of random bytes only what they would write themselves', () => {
    // Mostly small numbers, so that lengths and padding come out right in one case of a few.
    const byte = fc.oneof(
      { weight: 12, arbitrary: fc.constant(0) },
      { weight: 4, arbitrary: fc.integer({ min: 1, max: 5 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
    );
    const short = fc.array(byte, { maxLength: 12 }).map((bytes) => Uint8Array.from(bytes));
    const types = fc.constantFrom('au', 'ay', 'as', '(yu)', 'aay', 'sg', 'ab', 'bq', 'ayy', 'nu');
    fc.assert(
      fc.property(short, types, (bytes, type) => {
        acceptsOnlyCanonical(bytes, () => marshal(type, unmarshal(type, bytes)));
      }),
    );
  });

  it('take or refuse any value with an error of their own', () => {
    const anything = fc.anything({
      withBigInt: true,
      withMap: true,
      withTypedArray: true,
      withNullPrototype: true,
    });
    fc.assert(
      fc.property(signatureAndValues, fc.nat(), anything, ([types, values], place, odd) => {
        const changed = values.length === 0 ? [odd] : values.with(place % values.length, odd);
        try {
          const bytes = marshal(types, changed);
          marshal(types, unmarshal(types, bytes));
        } catch (error) {
          assert(error instanceof DBusError, `not a DBusError: ${String(error)}`);
        }
      }),
    );
  });
});

describe('signatures', () => {
  it('print as they were parsed', () => {
    fc.assert(
      fc.property(signature, (types) => {
        assert.equal(
          parseSignature(types)
            .map((type) => type.signature)
            .join(''),
          types,
        );
      }),
    );
  });

  it('of random type codes are valid or refused with a typed error', () => {
    const codes = fc.string({ unit: fc.constantFrom(...'ybnqiuxtdsoghva(){}'.split('')), maxLength: 20 });
    fc.assert(
      fc.property(codes, (types) => {
        if (isSignature(types)) {
          assert.equal(
            parseSignature(types)
              .map((type) => type.signature)
              .join(''),
            types,
          );
        } else {
          assert.throws(() => parseSignature(types), { code: 'invalid-signature' });
        }
      }),
    );
  });
});

describe('messages', () => {
  it('decode to what was encoded, in one piece and in three', () => {
    fc.assert(
      fc.property(
        message,
        fc.constantFrom(...ENDIANS),
        fc.nat(),
        fc.nat(),
        (original, endian, one, other) => {
          const bytes = encodeMessage(original, { endian });
          assert(isDeepStrictEqual(decodeMessage(bytes), original));
          const [first, second] = [one % (bytes.length + 1), other % (bytes.length + 1)].toSorted(
            (a, b) => a - b,
          ) as [number, number];
          const parser = new MessageParser();
          const messages = [
            bytes.subarray(0, first),
            bytes.subarray(first, second),
            bytes.subarray(second),
          ].flatMap((chunk) => parser.push(chunk));
          assert(isDeepStrictEqual(messages, [original]));
        },
      ),
    );
  });

  it('with bytes changed are refused with a ProtocolError or are messages again', () => {
    fc.assert(
      fc.property(message, changes, (original, edits) => {
        const bytes = encodeMessage(original);
        applyChanges(bytes, edits);
        let decoded: Message;
        try {
          decoded = decodeMessage(bytes);
        } catch (error) {
          assert(error instanceof ProtocolError, `not a ProtocolError: ${String(error)}`);
          return;
        }
        try {
          assert(isDeepStrictEqual(decodeMessage(encodeMessage(decoded)), decoded));
        } catch (error) {
          // A byte became the type code of an index of a file descriptor: read, but never sent. The body is one all the same.
          assert(error instanceof MarshalError && error.code === 'unix-fds', String(error));
          assert(/h/.test(inspect(decoded, { depth: null })));
          const body = marshal(decoded.signature, decoded.body);
          assert(isDeepStrictEqual(unmarshal(decoded.signature, body), decoded.body));
        }
      }),
    );
  });
});
