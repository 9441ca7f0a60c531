import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decryptValue,
  deriveKey,
  encryptValue,
  pad,
  unpaddedByteLength,
} from '../../../src/secret/crypto/secret-cipher.js';

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const block = fc.uint8Array({ minLength: 16, maxLength: 16 });
const badSecret = expect.objectContaining({
  name: 'SecretServiceError',
  code: 'bad-secret',
  message: 'the secret cannot be decrypted with the key of this session',
});

function encryptByOpenSsl(key: Uint8Array, parameters: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-cbc', key, parameters);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

/** Undefined where OpenSSL refuses it. */
function decryptByOpenSsl(key: Uint8Array, parameters: Uint8Array, value: Uint8Array): Buffer | undefined {
  const decipher = createDecipheriv('aes-128-cbc', key, parameters);
  try {
    return Buffer.concat([decipher.update(value), decipher.final()]);
  } catch {
    return undefined;
  }
}

function decryptOrUndefined(key: Uint8Array, parameters: Uint8Array, value: Uint8Array): Buffer | undefined {
  try {
    return Buffer.from(decryptValue(key, parameters, value));
  } catch (error) {
    expect(error).toEqual(badSecret);
    expect((error as Error).cause).toBeUndefined();
    return undefined;
  }
}

describe('HKDF-SHA256', () => {
  // RFC 5869, appendix A.1 to A.3: the three test cases with SHA-256.
  const longInput = Array.from({ length: 80 }, (_, index) => index);
  test.each([
    {
      input: '0b'.repeat(22),
      salt: '000102030405060708090a0b0c',
      info: 'f0f1f2f3f4f5f6f7f8f9',
      output: '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    },
    {
      input: Buffer.from(longInput).toString('hex'),
      salt: Buffer.from(longInput.map((byte) => byte + 0x60)).toString('hex'),
      info: Buffer.from(longInput.map((byte) => byte + 0xb0)).toString('hex'),
      output:
        'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09' +
        'da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87',
    },
    {
      input: '0b'.repeat(22),
      salt: '',
      info: '',
      output: '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    },
  ])('the library gives the output of RFC 5869', ({ input, salt, info, output }) => {
    const made = hkdf(sha256, bytesOf(input), bytesOf(salt), bytesOf(info), output.length / 2);
    expect(Buffer.from(made).toString('hex')).toBe(output);
  });

  test('the key is the first 16 bytes with null salt and empty info (RFC 5869, A.3)', () => {
    const key = deriveKey(bytesOf('0b'.repeat(22)));
    expect(Buffer.from(key).toString('hex')).toBe('8da4e775a563c18f715f802a063c5a31');
  });

  test("the key is OpenSSL's for any shared secret", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 128, maxLength: 128 }), (shared) => {
        const expected = Buffer.from(hkdfSync('sha256', shared, '', '', 16));
        expect(Buffer.from(deriveKey(shared)).equals(expected)).toBe(true);
      }),
    );
  });
});

describe('AES-128-CBC', () => {
  const nistKey = bytesOf('2b7e151628aed2a6abf7158809cf4f3c');
  const nistParameters = bytesOf('000102030405060708090a0b0c0d0e0f');
  // NIST SP 800-38A, F.2.1 and F.2.2.
  const nistPlaintext = bytesOf(
    '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51' +
      '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
  );
  const ciphertext =
    '7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2' +
    '73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7';

  test('reads the ciphertext of NIST SP 800-38A with its padding', () => {
    const value = encryptByOpenSsl(nistKey, nistParameters, nistPlaintext);
    expect(Buffer.from(value.subarray(0, 64)).toString('hex')).toBe(ciphertext);
    expect(decryptValue(nistKey, nistParameters, value)).toEqual(nistPlaintext);
  });

  test('what we encrypt, OpenSSL decrypts, and the other way round', () => {
    fc.assert(
      fc.property(block, block, fc.uint8Array({ maxLength: 200 }), (key, parameters, plaintext) => {
        const encrypted = encryptValue(key, plaintext);
        expect(encrypted.parameters.byteLength).toBe(16);
        expect(encrypted.value.byteLength).toBe(plaintext.byteLength + 16 - (plaintext.byteLength % 16));
        expect(decryptByOpenSsl(key, encrypted.parameters, encrypted.value)).toEqual(Buffer.from(plaintext));
        const theirs = encryptByOpenSsl(key, parameters, plaintext);
        expect(decryptValue(key, parameters, theirs)).toEqual(Uint8Array.from(plaintext));
      }),
    );
  });

  test('views at every offset of a buffer come through, both ways', () => {
    for (let offset = 0; offset < 8; offset++) {
      const shifted = (bytes: Uint8Array): Uint8Array => {
        const view = new Uint8Array(bytes.byteLength + 8).subarray(offset, offset + bytes.byteLength);
        view.set(bytes);
        return view;
      };
      const { parameters, value } = encryptValue(shifted(nistKey), shifted(nistPlaintext));
      expect(decryptValue(shifted(nistKey), shifted(parameters), shifted(value))).toEqual(nistPlaintext);
    }
  });

  test('leaves what it is given as it is, and keeps nothing of it', () => {
    const given = { key: nistKey.slice(), plaintext: nistPlaintext.slice() };
    const encrypted = encryptValue(given.key, given.plaintext);
    const copy = { parameters: encrypted.parameters.slice(), value: encrypted.value.slice() };
    const decrypted = decryptValue(given.key, encrypted.parameters, encrypted.value);
    expect(given).toEqual({ key: nistKey, plaintext: nistPlaintext });
    expect(encrypted).toEqual(copy);
    expect(decrypted.buffer.byteLength).toBe(nistPlaintext.byteLength);
  });

  test('never uses an initialization vector twice', () => {
    const seen = new Set<string>();
    for (let count = 0; count < 1000; count++) {
      seen.add(Buffer.from(encryptValue(nistKey, nistPlaintext).parameters).toString('hex'));
    }
    expect(seen.size).toBe(1000);
  });

  test('accepts and refuses what OpenSSL does, for every bit flipped in value and parameters', () => {
    for (const byteLength of [0, 1, 15, 16, 17, 31, 32]) {
      const { parameters, value } = encryptValue(nistKey, nistPlaintext.subarray(0, byteLength));
      for (const target of [parameters, value]) {
        for (let bit = 0; bit < target.byteLength * 8; bit++) {
          const mask = 1 << (bit % 8);
          target[bit >> 3] = (target[bit >> 3] ?? 0) ^ mask;
          expect(decryptOrUndefined(nistKey, parameters, value)).toEqual(
            decryptByOpenSsl(nistKey, parameters, value),
          );
          target[bit >> 3] = (target[bit >> 3] ?? 0) ^ mask;
        }
      }
    }
  });

  test('accepts and refuses what OpenSSL does, for any bytes', () => {
    const blocks = fc
      .integer({ min: 1, max: 4 })
      .chain((count) => fc.uint8Array({ minLength: count * 16, maxLength: count * 16 }));
    fc.assert(
      fc.property(block, blocks, (parameters, value) => {
        expect(decryptOrUndefined(nistKey, parameters, value)).toEqual(
          decryptByOpenSsl(nistKey, parameters, value),
        );
      }),
    );
  });

  test('refuses every wrong byte length with the same error', () => {
    const { parameters, value } = encryptValue(nistKey, nistPlaintext);
    for (let byteLength = 0; byteLength <= value.byteLength; byteLength++) {
      const cut = value.subarray(0, byteLength);
      if (byteLength % 16 !== 0 || byteLength === 0) {
        expect(() => decryptValue(nistKey, parameters, cut)).toThrow(badSecret);
      }
    }
    for (const byteLength of [0, 1, 15, 17, 32]) {
      expect(() => decryptValue(nistKey, new Uint8Array(byteLength), value)).toThrow(badSecret);
    }
  });

  test('refuses another key with the same error, or gives other bytes', () => {
    const { parameters, value } = encryptValue(nistKey, nistPlaintext);
    fc.assert(
      fc.property(block, (other) => {
        fc.pre(!Buffer.from(other).equals(nistKey));
        expect(decryptOrUndefined(other, parameters, value)).not.toEqual(Buffer.from(nistPlaintext));
      }),
    );
  });
});

/** PKCS#7 said in another way: the last byte counts the bytes at the end that equal it. */
function expectedByteLength(padded: Uint8Array): number | undefined {
  const count = padded.at(-1);
  if (count === undefined || padded.byteLength % 16 !== 0 || count === 0 || count > 16) return undefined;
  return padded.subarray(-count).every((byte) => byte === count) ? padded.byteLength - count : undefined;
}

describe('padding', () => {
  test('goes away again for every byte length, and is never missing', () => {
    for (let byteLength = 0; byteLength <= 64; byteLength++) {
      const plaintext = new Uint8Array(byteLength).fill(0xa5);
      const padded = pad(plaintext);
      expect(padded.byteLength % 16).toBe(0);
      expect(padded.byteLength).toBeGreaterThan(byteLength);
      expect(padded.byteLength).toBeLessThanOrEqual(byteLength + 16);
      expect(unpaddedByteLength(padded)).toBe(byteLength);
    }
  });

  test('is judged rightly for every value of every byte of the last block', () => {
    for (let byteLength = 0; byteLength <= 32; byteLength++) {
      const padded = pad(new Uint8Array(byteLength).fill(byteLength % 2 === 0 ? 1 : 16));
      for (let index = 0; index < padded.byteLength; index++) {
        const kept = padded[index] ?? 0;
        for (let byte = 0; byte < 256; byte++) {
          padded[index] = byte;
          const found = unpaddedByteLength(padded);
          if (found !== expectedByteLength(padded)) expect(found).toBe(expectedByteLength(padded));
        }
        padded[index] = kept;
      }
    }
  });

  test('is judged rightly where every byte of one to three blocks is the same', () => {
    for (const byteLength of [16, 32, 48]) {
      for (let byte = 0; byte < 256; byte++) {
        const expected = byte >= 1 && byte <= 16 ? byteLength - byte : undefined;
        expect(unpaddedByteLength(new Uint8Array(byteLength).fill(byte)), `${byte}`).toBe(expected);
      }
    }
  });

  test('is refused in no bytes and in parts of a block', () => {
    for (let byteLength = 0; byteLength <= 33; byteLength++) {
      if (byteLength % 16 === 0 && byteLength > 0) continue;
      expect(unpaddedByteLength(new Uint8Array(byteLength).fill(1))).toBeUndefined();
    }
  });
});
