/** Bytes that callers give stay theirs, whatever kind of bytes: a Buffer's `slice` is a view, and a view would be wiped. */
import { describe, expect, test } from 'vitest';
import { Stash } from '../../../src/stash/index.js';
import { temporaryFolder } from '../support.js';

const kinds: Record<string, (bytes: readonly number[]) => Uint8Array> = {
  Uint8Array: (bytes) => Uint8Array.from(bytes),
  Buffer: (bytes) => Buffer.from(bytes),
  'a view of a larger buffer': (bytes) => Buffer.from([9, ...bytes, 9]).subarray(1, -1),
};

describe.each(Object.entries(kinds))('%s', (_name, make) => {
  test.each([3, 40_000])('of %i bytes is copied at the call, and never changed', async (length) => {
    await using folder = await temporaryFolder();
    const key = make(Array.from({ length: 32 }, (_, index) => index));
    const bytes = Array.from({ length }, (_, index) => index % 200);
    const value = make(bytes);
    const options = { key, create: true };
    const stash = await Stash.open(folder.file, options);
    const writing = stash.write(['a'], value);
    value[0] = 255;
    await writing;
    expect(Array.from(await stash.read(['a']))).toEqual(bytes);
    await stash.write(['a'], value);
    await stash.remove(['a']);
    await stash.close();
    expect(Array.from(value)).toEqual([255, ...bytes.slice(1)]);
    expect(Array.from(key)).toEqual(Array.from({ length: 32 }, (_, index) => index));
    await (await Stash.open(folder.file, options)).close();
  });
});
