/**
 * How long it takes to derive a key from a password with the costs that new slots have, by the system and by noble, in turn:
 * `node derivation-child.mjs TIMES`. Prints one line of JSON: nanoseconds of each time, by name.
 */
import { parseDerivation, parseDerivationLimits } from '../../../dist/stash/native/derivation.js';
import { deriveNatively } from '../../../dist/stash/native/kdf-native.js';
import { derivePortably } from '../../../dist/stash/native/kdf-portable.js';

const SALT = new Uint8Array(32).fill(1);
const SECRET = new TextEncoder().encode('a password for the benchmark');
const times = Number(process.argv[2]);
const limits = parseDerivationLimits(undefined);

/** @type {Record<string, number[]>} */
const samples = {};
for (const name of /** @type {const} */ (['scrypt', 'argon2id', 'pbkdf2'])) {
  const derivation = parseDerivation({ name }, limits);
  const salt = name === 'argon2id' ? SALT.subarray(0, 16) : SALT;
  /** @type {Map<string, Uint8Array>} */
  const keys = new Map();
  for (let round = 0; round < times; round += 1) {
    for (const [by, derive] of Object.entries({
      'node:crypto': () => deriveNatively(SECRET, salt, derivation),
      noble: () => derivePortably(SECRET, salt, derivation, () => {}),
    })) {
      const start = process.hrtime.bigint();
      // What this Node lacks is left out.
      const key = await derive().catch(() => undefined);
      if (key === undefined) continue;
      (samples[`${name}, ${by}`] ??= []).push(Number(process.hrtime.bigint() - start));
      keys.set(by, key);
    }
  }
  const [one, other = one] = keys.values();
  if (one === undefined || Buffer.compare(one, other ?? one) !== 0) throw new Error(`${name} gives two keys`);
}
console.log(JSON.stringify(samples));
