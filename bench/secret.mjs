/**
 * The cryptography of a session, beside the platform's native one and beside the naive way.
 */
import assert from 'node:assert/strict';
import { createCipheriv, createDiffieHellman, getDiffieHellman } from 'node:crypto';
import { integerFromBytes, integerToBytes } from '../dist/secret/crypto/integer-bytes.js';
import { computeSharedSecret, GROUP_PRIME, generateKeyPair } from '../dist/secret/crypto/key-agreement.js';
import { modularPower } from '../dist/secret/crypto/modular-power.js';
import { decryptValue, encryptValue } from '../dist/secret/crypto/secret-cipher.js';
import { randomBytes, seededRandom } from './lib/random.mjs';

/**
 * Square and multiply, one bit at a time.
 * @param {bigint} base @param {bigint} exponent @param {bigint} modulus
 */
function naivePower(base, exponent, modulus) {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

/**
 * Draws exponents until the public key has 128 bytes and no high bit, and computes the shared secret.
 * @param {bigint} peer
 */
function naiveExchange(peer) {
  for (;;) {
    const exponent = integerFromBytes(globalThis.crypto.getRandomValues(new Uint8Array(32)));
    const topByte = naivePower(2n, exponent, GROUP_PRIME) >> 1016n;
    if (topByte >= 1n && topByte <= 0x7fn) return naivePower(peer, exponent, GROUP_PRIME);
  }
}

/** @returns {Promise<import('./lib/run.mjs').BenchGroup[]>} */
export async function groups() {
  const random = seededRandom(2);
  const exponent = randomBytes(random, 32);
  const longExponent = randomBytes(random, 128);
  const base = integerFromBytes(randomBytes(random, 128)) % GROUP_PRIME;
  const native = createDiffieHellman(getDiffieHellman('modp2').getPrime(), 2);
  native.setPrivateKey(Buffer.from(exponent));
  const peer = integerToBytes(base, 128);
  const power = modularPower(base, exponent, GROUP_PRIME);
  assert.equal(power, naivePower(base, integerFromBytes(exponent), GROUP_PRIME));
  assert.equal(power, integerFromBytes(native.computeSecret(peer)));

  const key = randomBytes(random, 16);
  const value = randomBytes(random, 1024);
  const encrypted = encryptValue(key, value);
  const nativeEncrypt = () => {
    const cipher = createCipheriv('aes-128-cbc', key, encrypted.parameters);
    return Buffer.concat([cipher.update(value), cipher.final()]);
  };
  assert.deepEqual(nativeEncrypt(), Buffer.from(encrypted.value));
  assert.deepEqual(decryptValue(key, encrypted.parameters, encrypted.value), value);

  return [
    {
      name: 'key agreement: a power modulo the 1024-bit prime',
      tasks: [
        {
          name: 'ours, 256-bit exponent',
          run: () => modularPower(base, exponent, GROUP_PRIME),
          reference: 'naive, 256-bit',
        },
        { name: 'naive, 256-bit', run: () => naivePower(base, integerFromBytes(exponent), GROUP_PRIME) },
        {
          name: 'ours, 1024-bit exponent',
          run: () => modularPower(base, longExponent, GROUP_PRIME),
          reference: 'naive, 1024-bit',
        },
        { name: 'naive, 1024-bit', run: () => naivePower(base, integerFromBytes(longExponent), GROUP_PRIME) },
        { name: 'node:crypto, 256-bit', run: () => native.computeSecret(peer), reference: 'naive, 256-bit' },
      ],
    },
    {
      name: 'key agreement: our whole share, a key pair of 128 plain bytes and the shared secret',
      tasks: [
        {
          name: 'ours',
          run: () => computeSharedSecret(generateKeyPair().privateExponent, peer),
          reference: 'naive',
        },
        { name: 'naive', run: () => naiveExchange(base) },
      ],
    },
    {
      name: 'a secret of 1 KiB',
      tasks: [
        { name: 'encrypt', run: () => encryptValue(key, value), reference: 'node:crypto' },
        {
          name: 'decrypt',
          run: () => decryptValue(key, encrypted.parameters, encrypted.value),
          reference: 'node:crypto',
        },
        { name: 'node:crypto', run: nativeEncrypt },
      ],
    },
  ];
}
