/** A runtime whose `node:crypto` lacks a hash function, in either way that runtimes say so. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeEach, expect, test, vi } from 'vitest';
import { SecureStash } from '../../src/stash/index.js';
import { deriveKey } from '../../src/stash/sstash/pbkdf2.js';
import { failure, hex, listEntries, utf8 } from './support.js';

const refusal: { now: 'throws' | 'calls back' } = { now: 'throws' };
let calls = 0;

vi.mock('node:crypto', async (original) => ({
  ...(await original<typeof import('node:crypto')>()),
  pbkdf2: (...args: unknown[]): void => {
    calls++;
    const error = new TypeError('Invalid digest');
    if (refusal.now === 'throws') throw error;
    (args.at(-1) as (error: Error) => void)(error);
  },
}));

beforeEach(() => {
  calls = 0;
});

test.each(['throws', 'calls back'] as const)(
  'the key is derived by noble when the system %s',
  async (way) => {
    refusal.now = way;
    const parameters = { hash: 'sha256', salt: utf8('salt'), iterations: 1 };
    const expected = '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc';
    expect(hex(await deriveKey(utf8('passwd'), parameters))).toBe(expected);
    expect(calls).toBe(1);
    const folder = new URL('../vectors/sstash/', import.meta.url);
    const fixtures = JSON.parse(readFileSync(new URL('index.json', folder), 'utf8')) as Record<
      string,
      string
    >[];
    const { password = '' } = fixtures.find(({ file }) => file === 'sha256.sstash') ?? {};
    await using stash = await SecureStash.open(fileURLToPath(new URL('sha256.sstash', folder)), { password });
    expect(await listEntries(stash)).toEqual([[['k'], '76']]);
    const error = await failure(() => deriveKey(utf8('p'), { ...parameters, hash: 'sm3' }));
    expect(error).toMatchObject({ code: 'derivation-failed', cause: { message: 'Invalid digest' } });
  },
);
