/**
 * What a key derivation costs: for the documents, nothing is asked of it.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatMilliseconds } from '../statistics.mjs';

const CHILD = fileURLToPath(new URL('derivation-child.mjs', import.meta.url));
const TIMES = 3;

/** @returns {Promise<import('../report.mjs').Group>} */
export async function measureDerivations() {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, `${TIMES}`]);
  /** @type {Record<string, number[]>} */
  const samples = JSON.parse(stdout);
  return {
    title: 'Key derivations',
    how: `From a password to a key, with the costs that a new slot has unless told otherwise: scrypt with N = 2^17, r = 8, p = 1; Argon2id with 64 MiB, 3 passes and 4 lanes; PBKDF2-HMAC-SHA-512 with 2^19 iterations. By node:crypto, off the main thread, where this Node has it, and by noble, which is used where it has not; ${TIMES} times each in one process.`,
    tables: [
      {
        title: 'A key from a password',
        columns: ['', 'time'],
        rows: Object.entries(samples).map(([name, values]) => [name, formatMilliseconds(values)]),
      },
    ],
    asked: [],
    data: samples,
  };
}
