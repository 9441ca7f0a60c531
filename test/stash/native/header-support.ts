/** Shared by the tests of headers, slots and key derivation: the vector made by Python, generators, cheap costs. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import type { TestContext } from 'vitest';
import type { Header } from '../../../src/stash/native/header-page.js';
import {
  type Derivation,
  type DerivationLimits,
  parseDerivationLimits,
} from '../../../src/stash/native/kdf.js';
import type { Slot, SlotKind } from '../../../src/stash/native/slots.js';
import { unhex } from '../support.js';

/** Two header pages made by `header.py`, and all that opens them. The second is the newer one. */
export interface HeaderVector {
  storeId: Uint8Array;
  dataKey: Uint8Array;
  headerKey: Uint8Array;
  password: string;
  recoveryKey: string;
  recoveryBytes: Uint8Array;
  key: Uint8Array;
  pages: [Uint8Array, Uint8Array];
}

/** Reads the vector. */
export function readVector(): HeaderVector {
  const file = new URL('../../vectors/stash/header.json', import.meta.url);
  const raw = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string> & { pages: [string, string] };
  const bytes = (name: string): Uint8Array => unhex(raw[name] ?? '');
  return {
    storeId: bytes('storeId'),
    dataKey: bytes('dataKey'),
    headerKey: bytes('headerKey'),
    password: raw['password'] ?? '',
    recoveryKey: raw['recoveryKey'] ?? '',
    recoveryBytes: bytes('recoveryBytes'),
    key: bytes('key'),
    pages: [unhex(raw.pages[0]), unhex(raw.pages[1])],
  };
}

/** The limits nobody changed. */
export const defaultLimits: DerivationLimits = parseDerivationLimits(undefined);

/** Puts byte strings one after another. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Whether nothing but zeros is left. */
export function isWiped(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.every((byte) => byte === 0);
}

const uint32 = fc.integer({ min: 1, max: 2 ** 32 - 1 });

function bytesOf(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

/** Key derivations that a slot can hold, however costly. */
export const passwordDerivationArbitrary: fc.Arbitrary<Derivation> = fc.oneof(
  fc.record({
    name: fc.constant('scrypt' as const),
    N: fc.integer({ min: 1, max: 31 }).map((log) => 2 ** log),
    r: fc.integer({ min: 2, max: 2 ** 32 - 1 }),
    p: uint32,
  }),
  fc.tuple(fc.nat(2 ** 20), uint32, fc.integer({ min: 1, max: 2 ** 24 })).map(([more, passes, lanes]) => ({
    name: 'argon2id' as const,
    memoryKiB: 8 * lanes + more,
    passes,
    lanes,
  })),
  fc.record({ name: fc.constant('pbkdf2' as const), iterations: uint32 }),
);

const slotParts = {
  id: bytesOf(16),
  salt: bytesOf(32),
  commitment: bytesOf(32),
  nonce: bytesOf(24),
  wrapped: bytesOf(48),
  label: fc
    .string({ unit: 'grapheme', maxLength: 24 })
    .filter((label) => !label.includes('\0') && Buffer.byteLength(label) <= 24),
};

/** Slots as a file may have them, though nothing opens them. */
export const slotArbitrary: fc.Arbitrary<Slot> = fc.oneof(
  fc.record({
    ...slotParts,
    kind: fc.constant<SlotKind>('password'),
    derivation: passwordDerivationArbitrary,
  }),
  fc.record({
    ...slotParts,
    kind: fc.constantFrom<SlotKind>('recovery', 'key'),
    derivation: fc.constant<Derivation>({ name: 'none' }),
  }),
);

const safe = fc.oneof(fc.nat(3), fc.maxSafeNat());

/** Headers with up to 20 slots, and with no floor or one above the base. */
export const headerArbitrary: fc.Arbitrary<Header> = fc
  .record({
    storeId: bytesOf(16),
    generation: safe,
    epoch: safe,
    tag: bytesOf(16),
    one: safe,
    other: safe,
    slots: fc.array(slotArbitrary, { maxLength: 20 }),
  })
  .map(({ storeId, generation, epoch, tag, one, other, slots }) => {
    const sequence = one === other ? 0 : Math.max(one, other);
    const floor = { sequence, tag: sequence === 0 ? new Uint8Array(16) : tag };
    return { storeId, generation, epoch: Math.max(epoch, 1), floor, base: Math.min(one, other), slots };
  });

const program = `
import hashlib, json, sys
try:
    from nacl.bindings import crypto_pwhash_alg as pwhash, crypto_pwhash_ALG_ARGON2ID13 as argon2id
except ImportError:
    pwhash = None
def key(case):
    secret, salt, d = bytes.fromhex(case["secret"]), bytes.fromhex(case["salt"]), case["derivation"]
    if d["name"] == "scrypt":
        return hashlib.scrypt(secret, salt=salt, n=d["N"], r=d["r"], p=d["p"], maxmem=2**28, dklen=32).hex()
    if d["name"] == "pbkdf2":
        return hashlib.pbkdf2_hmac("sha512", secret, salt, d["iterations"], 32).hex()
    return pwhash(32, secret, salt, d["passes"], d["memoryKiB"] * 1024, argon2id).hex() if pwhash else ""
print(json.dumps([key(case) for case in json.load(sys.stdin)]))
`;

/**
 * Has Python derive keys, in hexadecimal: by OpenSSL, and by libsodium for Argon2id, which needs salts of 16 bytes and
 * one lane. Without Python or PyNaCl the test is skipped with a loud message, and fails when `CI` is `true`.
 */
export function deriveInPython(
  context: TestContext,
  cases: readonly { secret: string; salt: string; derivation: Derivation }[],
): string[] {
  for (const command of ['python3', '/usr/bin/python3', 'python']) {
    try {
      const output = execFileSync(command, ['-c', program], {
        input: JSON.stringify(cases),
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const keys = JSON.parse(output) as string[];
      if (!keys.includes('')) return keys;
    } catch {
      // The next one may do.
    }
  }
  const message = 'NOT TESTED against Python: python3 with PyNaCl (Debian: python3-nacl) is missing';
  console.error(`\n*** ${message} ***\n`);
  if (process.env['CI'] === 'true') throw new Error(message);
  return context.skip(message);
}
