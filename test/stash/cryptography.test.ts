/** The cryptography of the sstash format: published vectors, `node:crypto` against noble, and Python. */
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StashCryptoError } from '../../src/stash/index.js';
import { formatContainer, openBlob, sealBlob } from '../../src/stash/sstash/container.js';
import { formatContents } from '../../src/stash/sstash/contents.js';
import { parseHashName } from '../../src/stash/sstash/hashes.js';
import { deriveKey, deriveNatively } from '../../src/stash/sstash/pbkdf2.js';
import { derivePortably } from '../../src/stash/sstash/pbkdf2-portable.js';
import { useOracle } from './oracle.js';
import { buildTree, failure, hex, treeArbitrary, unhex, utf8 } from './support.js';

const jsonOracle = useOracle('json');
const naclOracle = useOracle('nacl');

describe('cryptography', () => {
  test('the secretbox of "Cryptography in NaCl" (Bernstein, 2009)', () => {
    const key = unhex('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389');
    const nonce = unhex('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37');
    const contents =
      'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01' +
      '233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd' +
      '4924ca1c60902e52f0a089bc76897040e082f937763848645e0705';
    const box =
      'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c' +
      '98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfea' +
      'bd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5';
    expect(hex(sealBlob(key, nonce, unhex(contents)))).toBe(hex(nonce) + box);
    expect(hex(openBlob(key, unhex(hex(nonce) + box)))).toBe(contents);
  });

  test('a changed bit anywhere, or a missing byte, is a wrong password or damage', async () => {
    const key = new Uint8Array(32).fill(1);
    const blob = sealBlob(key, new Uint8Array(24).fill(2), utf8('{}'));
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const changed = blob.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect((await failure(() => openBlob(key, changed))).code).toBe('wrong-password-or-damaged');
    }
    expect((await failure(() => openBlob(key, blob.subarray(0, -1)))).code).toBe('wrong-password-or-damaged');
  });

  test.each<[string, string, string, number, string]>([
    // RFC 6070: 20 bytes, which are the first block of ours.
    ['sha1', 'password', 'salt', 1, '0c60c80f961f0e71f3a9b524af6012062fe037a6'],
    ['sha1', 'password', 'salt', 4096, '4b007901b765489abead49d926f721d065a429c1'],
    // RFC 7914, section 11: the first half.
    ['sha256', 'passwd', 'salt', 1, '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc'],
    [
      'sha256',
      'Password',
      'NaCl',
      80_000,
      '4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56',
    ],
  ])('PBKDF2 with %s of "%s", "%s" and %i iterations', async (name, password, salt, iterations, expected) => {
    const parameters = { hash: name, salt: utf8(salt), iterations };
    expect(hex(await deriveKey(utf8(password), parameters))).toMatch(new RegExp(`^${expected}`));
    const portable = await derivePortably(parseHashName(name), utf8(password), parameters);
    expect(hex(portable ?? new Uint8Array())).toMatch(new RegExp(`^${expected}`));
  });

  const names = (
    'md5 sha1 sha224 sha256 sha384 sha512 sha512_224 sha512_256 sm3 md5-sha1 ' +
    'sha3_224 sha3_256 sha3_384 sha3_512 blake2b blake2s ripemd160'
  ).split(' ');

  test.each(names)('%s: node:crypto and noble derive the same key', async (name) => {
    const hashName = parseHashName(name);
    for (const [password, salt] of [
      ['', ''],
      ['p', 's'],
      ['p'.repeat(200), 's'.repeat(300)],
    ] as const) {
      const parameters = { hash: name, salt: utf8(salt), iterations: 3 };
      const portable = await derivePortably(hashName, utf8(password), parameters);
      const native = await deriveNatively(hashName, utf8(password), parameters);
      if (portable === undefined) expect(['sm3', 'md5-sha1']).toContain(name);
      else expect(hex(native)).toBe(hex(portable));
    }
  });

  test('every spelling that Python takes means the same here, in any case', async (context) => {
    const oracle = jsonOracle(context);
    const others =
      'SHA1 sha-1 SHA-256 sha2-256 SHA-512 sha2-512 sha512-256 sha-512/256 sha2-512/224 sha3-224 SHA3-512 ' +
      'blake2b512 BLAKE2B-512 blake2s256 blake2s-256 RIPEMD160 rmd160 ripemd ssl3-md5 ssl3-sha1 ' +
      '2.16.840.1.101.3.4.2.3 1.3.6.1.4.1.1722.12.2.1.16 1.3.14.3.2.26';
    const spellings = [...names, ...others.split(' ')];
    let agreed = 0;
    for (const spelling of spellings) {
      for (const name of [spelling, spelling.toUpperCase()]) {
        const parameters = { hash: name, salt: utf8('salt'), iterations: 2 };
        const ours = hex(await deriveKey(utf8('p'), parameters));
        const theirs = await oracle.ask({
          op: 'pbkdf2',
          hash: name,
          password: '70',
          salt: hex(parameters.salt),
          iterations: 2,
        });
        // Which of the rarer names Python takes depends on its version and its OpenSSL.
        if ('error' in theirs) continue;
        expect({ name, key: ours }).toEqual({ name, ...theirs });
        agreed++;
      }
    }
    expect(agreed).toBeGreaterThan(20);
  });

  test.each(['shake_128', 'SHAKE256', 'whirlpool', 'sha', '', 'sha512 ', '\u212aeccak', '__proto__'])(
    'a hash function that PBKDF2 cannot use is named: "%s"',
    async (name) => {
      const error = await failure(() => deriveKey(utf8('p'), { hash: name, salt: utf8('s'), iterations: 1 }));
      expect(error).toBeInstanceOf(StashCryptoError);
      expect(error.code).toBe('unsupported-hash');
    },
  );

  test('Python opens what we seal, and we open what Python seals', async (context) => {
    const oracle = naclOracle(context);
    const hashes = fc.constantFrom('sha512', 'sha256', 'SHA-512', 'sha3_256', 'blake2b', 'sha1');
    const bytes = fc.uint8Array({ maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(treeArbitrary, hashes, bytes, bytes, async (list, hash, password, salt) => {
        const nonce = sha256(password).subarray(0, 24);
        const parameters = { hash, salt, iterations: 2 };
        const key = await deriveKey(password, parameters);
        const contents = formatContents(buildTree(list), Number.POSITIVE_INFINITY) ?? new Uint8Array();
        const sealed = hex(formatContainer(parameters, sealBlob(key, nonce, contents)));
        const request = { hash, iterations: 2, password: hex(password), salt: hex(salt), nonce: hex(nonce) };
        expect(await oracle.ask({ op: 'decrypt', file: sealed, password: hex(password) })).toEqual({
          contents: hex(contents),
        });
        // Both directions at once: the same bytes.
        expect(await oracle.ask({ op: 'encrypt', contents: hex(contents), ...request })).toEqual({
          file: sealed,
        });
      }),
    );
  });
});
