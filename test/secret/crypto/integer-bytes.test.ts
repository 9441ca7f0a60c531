import fc from 'fast-check';
import { expect, test } from 'vitest';
import { integerFromBytes, integerToBytes } from '../../../src/secret/crypto/integer-bytes.js';

test('bytes of any length read as the big-endian integer that their hexadecimal digits write', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 140 }), (bytes) => {
      expect(integerFromBytes(bytes)).toBe(BigInt(`0x0${Buffer.from(bytes).toString('hex')}`));
    }),
  );
});

test('an integer comes back from its bytes, padded or not', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 1024n - 1n }), (integer) => {
      const bytes = integerToBytes(integer, 128);
      expect(bytes.byteLength).toBe(128);
      expect(Buffer.from(bytes).toString('hex')).toBe(integer.toString(16).padStart(256, '0'));
      expect(integerFromBytes(bytes)).toBe(integer);
    }),
  );
});

test('a view into a larger buffer is read from its own offset', () => {
  const buffer = Uint8Array.of(9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9);
  expect(integerFromBytes(buffer.subarray(2, 11))).toBe(0x01020304050607080an);
});
