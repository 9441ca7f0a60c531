/**
 * The names of hash functions in sstash files: those that Python's `hashlib.pbkdf2_hmac` takes, which
 * asks OpenSSL, with the names of `node:crypto` for the same.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { StashCryptoError } from '../errors.js';
import { escapeJsonString } from '../text.js';

/** Per function: the name in `node:crypto`, and every spelling, in lower case. */
const table: readonly (readonly [string, ...string[]])[] = [
  ['md5', 'md5', 'ssl3-md5', '1.2.840.113549.2.5'],
  ['sha1', 'sha1', 'sha-1', 'ssl3-sha1', '1.3.14.3.2.26'],
  ['sha224', 'sha224', 'sha-224', 'sha2-224', '2.16.840.1.101.3.4.2.4'],
  ['sha256', 'sha256', 'sha-256', 'sha2-256', '2.16.840.1.101.3.4.2.1'],
  ['sha384', 'sha384', 'sha-384', 'sha2-384', '2.16.840.1.101.3.4.2.2'],
  ['sha512', 'sha512', 'sha-512', 'sha2-512', '2.16.840.1.101.3.4.2.3'],
  ['sha512-224', 'sha512_224', 'sha512-224', 'sha-512/224', 'sha2-512/224', '2.16.840.1.101.3.4.2.5'],
  ['sha512-256', 'sha512_256', 'sha512-256', 'sha-512/256', 'sha2-512/256', '2.16.840.1.101.3.4.2.6'],
  ['sha3-224', 'sha3_224', 'sha3-224', '2.16.840.1.101.3.4.2.7'],
  ['sha3-256', 'sha3_256', 'sha3-256', '2.16.840.1.101.3.4.2.8'],
  ['sha3-384', 'sha3_384', 'sha3-384', '2.16.840.1.101.3.4.2.9'],
  ['sha3-512', 'sha3_512', 'sha3-512', '2.16.840.1.101.3.4.2.10'],
  ['blake2b512', 'blake2b', 'blake2b512', 'blake2b-512', '1.3.6.1.4.1.1722.12.2.1.16'],
  ['blake2s256', 'blake2s', 'blake2s256', 'blake2s-256', '1.3.6.1.4.1.1722.12.2.2.8'],
  ['ripemd160', 'ripemd160', 'ripemd-160', 'ripemd', 'rmd160', '1.3.36.3.2.1'],
  ['sm3', 'sm3', '1.2.156.10197.1.401'],
  ['md5-sha1', 'md5-sha1'],
];

const byName: ReadonlyMap<string, string> = new Map(
  table.flatMap(([nativeName, ...names]) => names.map((name) => [name, nativeName])),
);

/** Longer names, in UTF-16 code units, are none: the longest has 26. */
export const maxHashNameLength = 64;

/**
 * Returns the name in `node:crypto` of the hash function that a file names, in any case of ASCII.
 * @throws {StashCryptoError} `unsupported-hash`; so too for SHAKE, which `hashlib` has but PBKDF2 cannot use.
 */
export function parseHashName(name: string): string {
  const lower =
    name.length > maxHashNameLength ? '' : name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const found = byName.get(lower);
  if (found !== undefined) return found;
  const shown = escapeJsonString(name.slice(0, 40));
  throw new StashCryptoError(
    'unsupported-hash',
    `the file names the hash function "${shown}", which PBKDF2 has not`,
  );
}
