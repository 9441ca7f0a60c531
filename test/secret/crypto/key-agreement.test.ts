import { createDiffieHellman, getDiffieHellman } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { integerFromBytes, integerToBytes } from '../../../src/secret/crypto/integer-bytes.js';
import {
  computeSharedSecret,
  GROUP_PRIME,
  generateKeyPair,
  isUnambiguous,
  nextKeyPair,
} from '../../../src/secret/crypto/key-agreement.js';

const group = getDiffieHellman('modp2');
const prime = group.getPrime();

// Made once: OpenSSL checks the prime each time.
const raiser = createDiffieHellman(prime, 2);

/** What OpenSSL gives for 2 to the power of `exponent`. */
function publicKeyByOpenSsl(exponent: Uint8Array): bigint {
  raiser.setPrivateKey(exponent);
  return integerFromBytes(raiser.generateKeys());
}

function paddedTo(byteLength: number, bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(byteLength);
  padded.set(bytes, byteLength - bytes.byteLength);
  return padded;
}

/** 33 bytes whose first leaves room for the carry, as generateKeyPair makes them; not 0. */
const exponents = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => paddedTo(33, bytes).slice())
  .filter((bytes) => bytes.some((byte) => byte !== 0));

afterEach(() => {
  vi.restoreAllMocks();
});

test('the group is the one of RFC 2409 §6.2 that OpenSSL has', () => {
  expect(integerFromBytes(prime)).toBe(GROUP_PRIME);
  expect(integerFromBytes(group.getGenerator())).toBe(2n);
});

describe('key pairs', () => {
  test('have 128 bytes with a first byte of 0x01 to 0x7f, and 256 random bits', () => {
    const filled: number[] = [];
    const getRandomValues = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
    vi.spyOn(globalThis.crypto, 'getRandomValues').mockImplementation((array) => {
      filled.push(array.byteLength);
      return getRandomValues(array);
    });
    fc.assert(
      fc.property(fc.constant(undefined), () => {
        filled.length = 0;
        const { privateExponent, publicKey } = generateKeyPair();
        expect(filled).toEqual([32]);
        expect(publicKey.byteLength).toBe(128);
        expect(publicKey[0]).toBeGreaterThanOrEqual(0x01);
        expect(publicKey[0]).toBeLessThanOrEqual(0x7f);
        expect(integerFromBytes(privateExponent).toString(2).length).toBeGreaterThan(200);
      }),
    );
  });

  test('belong together, by OpenSSL, and start from the first suitable exponent', () => {
    fc.assert(
      fc.property(exponents, (start) => {
        const { privateExponent, publicKey } = nextKeyPair(start.slice());
        expect(integerFromBytes(publicKey)).toBe(publicKeyByOpenSsl(privateExponent));
        let candidate = publicKeyByOpenSsl(start);
        let count = 0n;
        while (candidate >> 1016n < 1n || candidate >> 1016n > 0x7fn) {
          candidate = (candidate * 2n) % GROUP_PRIME;
          count++;
        }
        expect(integerFromBytes(privateExponent)).toBe(integerFromBytes(start) + count);
      }),
    );
  });

  test('carry over all bytes when the exponent is counted up', () => {
    // The exponents around 2^256 − 1 and 0: the carry goes into the first byte, and 2^0 is far from suitable.
    const highest = paddedTo(33, new Uint8Array(32).fill(0xff)).slice();
    const { privateExponent, publicKey } = nextKeyPair(highest);
    expect(integerFromBytes(privateExponent)).toBeGreaterThanOrEqual(2n ** 256n - 1n);
    expect(integerFromBytes(publicKey)).toBe(publicKeyByOpenSsl(privateExponent));
    const lowest = nextKeyPair(new Uint8Array(33));
    expect(integerFromBytes(lowest.privateExponent)).toBe(1016n);
    expect(integerFromBytes(lowest.publicKey)).toBe(2n ** 1016n);
  });
});

describe('the shared secret', () => {
  test("is OpenSSL's, from both ends, padded to 128 bytes", () => {
    const peer = getDiffieHellman('modp2');
    fc.assert(
      fc.property(exponents, (exponent) => {
        peer.generateKeys();
        const ours = nextKeyPair(exponent.slice());
        const shared = computeSharedSecret(ours.privateExponent, peer.getPublicKey());
        const theirs = peer.computeSecret(ours.publicKey);
        expect(shared.byteLength).toBe(128);
        expect(Buffer.from(shared).equals(paddedTo(128, theirs))).toBe(true);
      }),
    );
  });

  test('is the same for a key with zero bytes before it, or with its zero bytes dropped', () => {
    const { privateExponent } = generateKeyPair();
    const keys = fc.bigInt({ min: 2n, max: GROUP_PRIME - 2n });
    const shifts = fc.constantFrom(0n, 0n, 8n, 100n, 600n, 1000n);
    fc.assert(
      fc.property(keys, shifts, (key, shift) => {
        const value = key >> shift < 2n ? 2n : key >> shift;
        const whole = integerToBytes(value, 128);
        const shared = computeSharedSecret(privateExponent, whole);
        const first = whole.findIndex((byte) => byte !== 0);
        expect(computeSharedSecret(privateExponent, whole.subarray(first))).toEqual(shared);
        expect(computeSharedSecret(privateExponent, paddedTo(129, whole))).toEqual(shared);
      }),
    );
  });

  test('is marked as ambiguous exactly when its first byte is zero', () => {
    for (let first = 0; first < 256; first++) {
      expect(isUnambiguous(Uint8Array.of(first, 1, 2))).toBe(first !== 0);
    }
  });

  const refusal = expect.objectContaining({ name: 'SecretServiceError', code: 'session' });
  const { privateExponent } = generateKeyPair();

  test.each([0, 130, 131, 256, 100_000])('refuses a public key of %i bytes', (byteLength) => {
    const key = new Uint8Array(byteLength);
    key.fill(7);
    expect(() => computeSharedSecret(privateExponent, key)).toThrow(refusal);
    key.fill(0);
    if (byteLength > 0) key[byteLength - 1] = 7;
    expect(() => computeSharedSecret(privateExponent, key)).toThrow(refusal);
  });

  test.each([
    ['0', 0n],
    ['1', 1n],
    ['p − 1', GROUP_PRIME - 1n],
    ['p', GROUP_PRIME],
    ['p + 1', GROUP_PRIME + 1n],
    ['p + 2', GROUP_PRIME + 2n],
    ['2^1024 − 1', 2n ** 1024n - 1n],
    ['2^1024', 2n ** 1024n],
    ['2^1032 − 1', 2n ** 1032n - 1n],
  ])('refuses the public key %s in every byte length', (_name, value) => {
    const whole = integerToBytes(value, 136);
    let refused = 0;
    for (let byteLength = 1; byteLength <= 129; byteLength++) {
      if (value >> BigInt(8 * byteLength) !== 0n) continue;
      expect(() => computeSharedSecret(privateExponent, whole.subarray(136 - byteLength))).toThrow(refusal);
      refused++;
    }
    expect(refused).toBeGreaterThan(0);
  });

  test('accepts the smallest and the largest public key, and every byte length from 1 to 129', () => {
    const exponent = integerFromBytes(privateExponent);
    const two = computeSharedSecret(privateExponent, Uint8Array.of(2));
    expect(integerFromBytes(two)).toBe(publicKeyByOpenSsl(privateExponent));
    const largest = computeSharedSecret(privateExponent, integerToBytes(GROUP_PRIME - 2n, 128));
    const sign = exponent % 2n === 0n ? integerFromBytes(two) : GROUP_PRIME - integerFromBytes(two);
    expect(integerFromBytes(largest)).toBe(sign);
    for (let byteLength = 1; byteLength <= 129; byteLength++) {
      const key = new Uint8Array(byteLength);
      key[byteLength - 1] = 2;
      expect(computeSharedSecret(privateExponent, key)).toEqual(two);
    }
  });
});
