/**
 * Diffie-Hellman key agreement on the second Oakley group, as sessions of the Secret Service use it.
 *
 * RFC 2409 §6.2 (the same group as in RFC 2412, appendix E.2), generator 2; Secret Service
 * specification 0.2, "dh-ietf1024-sha256-aes128-cbc-pkcs7". No D-Bus, no `node:`, no session in here.
 *
 * The group is the specification's choice and small by today's measure (about 80 bits of strength), and
 * nothing in the exchange is authenticated: it keeps secrets from those who read the bus, such as a
 * monitor, a log or a core dump of the daemon, and is no wall against an attacker in the middle.
 */

import { SecretServiceError } from '../errors.js';
import { integerFromBytes, integerToBytes } from './integer-bytes.js';
import { modularPower, modularPowerOfTwo } from './modular-power.js';

/** Byte length of the group's prime, of the public keys sent and of a padded shared secret. */
export const GROUP_BYTE_LENGTH = 128;

/** 2^1024 − 2^960 − 1 + 2^64·([2^894·π] + 129093), RFC 2409 §6.2. */
export const GROUP_PRIME: bigint = BigInt(
  '0xffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74' +
    '020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437' +
    '4fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed' +
    'ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff',
);

/**
 * Byte length of the random part of a private exponent.
 *
 * 256 bits: finding an exponent of n bits takes 2^(n/2) steps (Pollard's lambda), and 2^128 is far
 * above the strength of the group itself; the prime is a safe one ((p − 1)/2 is prime), so that no
 * small subgroup gives a short exponent away piece by piece. 1024 bits would cost four times the time
 * and add nothing.
 */
const RANDOM_BYTE_LENGTH = 32;

/** The shift that leaves the first of the 128 bytes. */
const FIRST_BYTE_SHIFT = 1016n;

/** A private exponent with its public key, for one exchange. */
export interface KeyPair {
  /** Big endian; its owner wipes it. */
  readonly privateExponent: Uint8Array<ArrayBuffer>;
  /** Exactly 128 bytes, big endian; the first is 0x01 to 0x7f. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

/**
 * Draws a key pair from the system's random numbers.
 * @returns A new pair, owned by the caller, who wipes `privateExponent`.
 */
export function generateKeyPair(): KeyPair {
  // A zero byte in front takes the carry when nextKeyPair counts up.
  const privateExponent = new Uint8Array(1 + RANDOM_BYTE_LENGTH);
  globalThis.crypto.getRandomValues(privateExponent.subarray(1));
  return nextKeyPair(privateExponent);
}

/**
 * Finds the first exponent from `privateExponent` on whose public key every service reads rightly.
 *
 * Some services want exactly 128 bytes, some drop leading zero bytes, some read a high bit as a sign: a
 * first byte of 0x01 to 0x7f means the same to all of them. Half of all keys have one. Counting the
 * exponent up by one doubles the public key, which is a thousand times cheaper than a new exponent,
 * and costs the exponent a few bits of its 256 at most.
 * @param privateExponent - Big endian, with room for the carry; counted up in place, and kept by the
 * pair (no copy).
 */
export function nextKeyPair(privateExponent: Uint8Array<ArrayBuffer>): KeyPair {
  let publicKey = modularPowerOfTwo(privateExponent, GROUP_PRIME);
  while (!hasPlainFirstByte(publicKey)) {
    increment(privateExponent);
    publicKey <<= 1n;
    if (publicKey >= GROUP_PRIME) publicKey -= GROUP_PRIME;
  }
  return { privateExponent, publicKey: integerToBytes(publicKey, GROUP_BYTE_LENGTH) };
}

function hasPlainFirstByte(publicKey: bigint): boolean {
  const firstByte = Number(publicKey >> FIRST_BYTE_SHIFT);
  return firstByte >= 0x01 && firstByte <= 0x7f;
}

function increment(bytes: Uint8Array): void {
  for (let index = bytes.byteLength - 1; index >= 0; index--) {
    const byte = ((bytes[index] ?? 0) + 1) & 0xff;
    bytes[index] = byte;
    if (byte !== 0) return;
  }
}

/**
 * Computes the secret shared with the peer, left-padded to exactly 128 bytes.
 *
 * Where it begins with a zero byte, some services hash it without padding and come to another key: see
 * {@link isUnambiguous}. The BigInt behind it stays in memory until it is collected; it cannot be wiped.
 * @param privateExponent - Ours, big endian; only read.
 * @param peerPublicKey - As it came: 1 to 129 bytes, big endian. 129 come from services that put a
 * zero byte before a high bit; fewer from those that drop zero bytes.
 * @returns A new array, owned by the caller, who wipes it.
 * @throws {SecretServiceError} `session` if the key is of another byte length, 0, 1, p − 1, or not
 * less than p: with those the secret would be known to everyone, or the key is not of this group.
 */
export function computeSharedSecret(
  privateExponent: Uint8Array,
  peerPublicKey: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { byteLength } = peerPublicKey;
  if (byteLength < 1 || byteLength > GROUP_BYTE_LENGTH + 1) {
    throw new SecretServiceError('session', `the service's public key has ${byteLength} bytes, not 1 to 129`);
  }
  const publicKey = integerFromBytes(peerPublicKey);
  if (publicKey <= 1n || publicKey >= GROUP_PRIME - 1n) {
    throw new SecretServiceError('session', "the service's public key is outside 2 to p - 2");
  }
  return integerToBytes(modularPower(publicKey, privateExponent, GROUP_PRIME), GROUP_BYTE_LENGTH);
}

/**
 * Tells whether a shared secret means the same with and without padding. If not (1 in 256), the caller
 * opens another session instead of guessing what the service does.
 * @param sharedSecret - 128 bytes.
 */
export function isUnambiguous(sharedSecret: Uint8Array): boolean {
  return sharedSecret[0] !== 0;
}
