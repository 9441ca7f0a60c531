/** Padded copies of plaintexts are wiped: the arrays are caught at the cipher, and read afterwards. */
import { createCipheriv } from 'node:crypto';
import { beforeEach, expect, test, vi } from 'vitest';
import { decryptValue, encryptValue } from '../../../src/secret/crypto/secret-cipher.js';

const caught = vi.hoisted(() => {
  const padded: { array: Uint8Array; before: Uint8Array }[] = [];
  const keep = (array: Uint8Array): Uint8Array => {
    padded.push({ array, before: array.slice() });
    return array;
  };
  return { padded, keep };
});

vi.mock('@noble/ciphers/aes.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('@noble/ciphers/aes.js')>();
  const cbc = (...parameters: Parameters<typeof original.cbc>) => {
    const cipher = original.cbc(...parameters);
    return {
      encrypt: (plaintext: Uint8Array) => cipher.encrypt(caught.keep(plaintext)),
      decrypt: (ciphertext: Uint8Array) => caught.keep(cipher.decrypt(ciphertext)),
    };
  };
  return { ...original, cbc };
});

beforeEach(() => {
  caught.padded.length = 0;
});

const key = new Uint8Array(16).fill(1);
const parameters = new Uint8Array(16).fill(2);
const plaintext = new Uint8Array(20).fill(0x61);

function onlyCaught(): { array: Uint8Array; before: Uint8Array } {
  const [only, ...others] = caught.padded;
  expect(others).toEqual([]);
  if (only === undefined) throw new Error('nothing went through the cipher');
  return only;
}

test('after encrypting', () => {
  encryptValue(key, plaintext);
  const { array, before } = onlyCaught();
  expect(before).toEqual(Uint8Array.from([...plaintext, ...Array(12).fill(12)]));
  expect(array).toEqual(new Uint8Array(32));
  expect(plaintext).toEqual(new Uint8Array(20).fill(0x61));
});

test('after decrypting', () => {
  const cipher = createCipheriv('aes-128-cbc', key, parameters);
  const value = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  expect(decryptValue(key, parameters, value)).toEqual(plaintext);
  const { array, before } = onlyCaught();
  expect(before).toEqual(Uint8Array.from([...plaintext, ...Array(12).fill(12)]));
  expect(array).toEqual(new Uint8Array(32));
});

test('after decrypting what has no padding', () => {
  const cipher = createCipheriv('aes-128-cbc', key, parameters).setAutoPadding(false);
  const value = Buffer.concat([cipher.update(new Uint8Array(32).fill(0x62)), cipher.final()]);
  expect(() => decryptValue(key, parameters, value)).toThrow('cannot be decrypted');
  const { array, before } = onlyCaught();
  expect(before).toEqual(new Uint8Array(32).fill(0x62));
  expect(array).toEqual(new Uint8Array(32));
});
