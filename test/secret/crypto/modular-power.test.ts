import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { integerFromBytes } from '../../../src/secret/crypto/integer-bytes.js';
import { modularPower, modularPowerOfTwo } from '../../../src/secret/crypto/modular-power.js';

/** Square and multiply, right to left: the method of the textbook. */
function squareAndMultiply(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n % modulus;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

describe('modularPower', () => {
  test('is what square-and-multiply gives', () => {
    const moduli = fc.bigInt({ min: 2n, max: 2n ** 300n });
    const bases = fc.bigInt({ min: 0n, max: 2n ** 300n });
    fc.assert(
      fc.property(moduli, bases, fc.uint8Array({ maxLength: 12 }), (modulus, base, exponent) => {
        const reduced = base % modulus;
        const expected = squareAndMultiply(reduced, integerFromBytes(exponent), modulus);
        expect(modularPower(reduced, exponent, modulus)).toBe(expected);
      }),
    );
  });

  test('every digit of the window is its own power', () => {
    for (let exponent = 0; exponent < 256; exponent++) {
      const expected = 3n ** BigInt(exponent) % 1_000_003n;
      expect(modularPower(3n, Uint8Array.of(exponent), 1_000_003n)).toBe(expected);
      expect(modularPower(3n, Uint8Array.of(0, exponent), 1_000_003n)).toBe(expected);
    }
  });
});

describe('modularPowerOfTwo', () => {
  test('is what square-and-multiply gives', () => {
    const moduli = fc.bigInt({ min: 2n ** 256n, max: 2n ** 1024n });
    fc.assert(
      fc.property(moduli, fc.uint8Array({ maxLength: 12 }), (modulus, exponent) => {
        const expected = squareAndMultiply(2n, integerFromBytes(exponent), modulus);
        expect(modularPowerOfTwo(exponent, modulus)).toBe(expected);
      }),
    );
  });

  test('reduces from the first byte on, whatever it is', () => {
    const modulus = 2n ** 256n;
    for (let first = 0; first < 256; first++) {
      expect(modularPowerOfTwo(Uint8Array.of(first), modulus)).toBe(1n << BigInt(first));
      expect(modularPowerOfTwo(Uint8Array.of(first, 3), modulus)).toBe(first === 0 ? 8n : 0n);
    }
  });
});
