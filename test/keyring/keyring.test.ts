import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  KeyringError,
  type KeyringOptions,
  type OperationOptions,
  openKeyring,
} from '../../src/keyring/index.js';
import { SecureStash } from '../../src/stash/index.js';

/** An environment without any bus. */
const NO_BUS = {};

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
  path = join(directory, 'secrets.sstash');
});

afterEach(() => rmSync(directory, { recursive: true }));

describe('openKeyring', () => {
  it('takes the stash only where one is configured', async () => {
    await expect(openKeyring({ env: NO_BUS })).rejects.toMatchObject({
      name: 'KeyringError',
      code: 'not-available',
    });
    await using keyring = await openKeyring({ env: NO_BUS, stash: { path, password: 'p' } });
    expect(keyring.backend).toBe('stash');
  });

  it('takes neither when told otherwise', async () => {
    const stash = { path, password: 'p' };
    await expect(openKeyring({ env: NO_BUS, stash, backend: 'secret-service' })).rejects.toMatchObject({
      code: 'not-available',
    });
    await expect(openKeyring({ env: NO_BUS, backend: 'stash' })).rejects.toMatchObject({
      code: 'bad-argument',
    });
    await expect(openKeyring({ env: NO_BUS, stash, backend: 'file' as 'stash' })).rejects.toMatchObject({
      code: 'bad-argument',
    });
  });

  it('refuses options that are none', async () => {
    const refused = { name: 'KeyringError', code: 'bad-argument' };
    const stash = { path, password: 'p' };
    for (const options of [
      null,
      5,
      'stash',
      ...[null, 5, 'path', () => {}].map((bad) => ({ stash: bad })),
      ...[null, 5, 'path'].map((bad) => ({ stash: bad, backend: 'stash' })),
      ...[null, 5, 'env'].map((env) => ({ stash, env })),
      ...[null, 5, {}].map((address) => ({ stash, address })),
      ...[null, 5, {}, { aborted: false }].map((signal) => ({ stash, env: NO_BUS, signal })),
      ...[0, '5', Number.NaN].map((timeoutMs) => ({
        stash,
        address: 'unix:path=/nonexistent/bus',
        timeoutMs,
      })),
      ...[null, 5, ''].map((bad) => ({ env: NO_BUS, stash: { ...stash, path: bad } })),
      ...[null, 5, undefined, () => 5].map((bad) => ({ env: NO_BUS, stash: { ...stash, password: bad } })),
      ...[null, 'yes'].map((create) => ({ env: NO_BUS, stash: { ...stash, create } })),
      { env: NO_BUS, stash: {} },
    ]) {
      const opening = openKeyring(options as unknown as KeyringOptions);
      await expect(opening, JSON.stringify(options)).rejects.toMatchObject(refused);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('can be cancelled, also where it opens a stash', async () => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    const cancelled = { name: 'KeyringError', code: 'cancelled', cause: { cause: reason } };
    for (const backend of [undefined, 'stash', 'secret-service'] as const) {
      const options = { backend, env: NO_BUS, address: 'unix:path=/nonexistent/bus', signal };
      await expect(openKeyring({ ...options, stash: { path, password: 'p' } })).rejects.toMatchObject(
        cancelled,
      );
    }
    expect(existsSync(path)).toBe(false);
  });

  it('does not make a file when told so, and reports a wrong password', async () => {
    const options = { env: NO_BUS, stash: { path, password: 'p', create: false } };
    await expect(openKeyring(options)).rejects.toMatchObject({ name: 'KeyringError', code: 'not-found' });
    await (await openKeyring({ ...options, stash: { path, password: 'p' } })).close();
    await expect(openKeyring({ ...options, stash: { path, password: 'q' } })).rejects.toMatchObject({
      code: 'wrong-password-or-damaged',
      cause: { name: 'StashCryptoError' },
    });
  });
});

const open = (): ReturnType<typeof openKeyring> =>
  openKeyring({ backend: 'stash', stash: { path, password: () => 'p' } });

describe('a keyring on a stash', () => {
  it('keeps text and bytes, and lists, replaces and deletes them', async () => {
    await using keyring = await open();
    expect(await keyring.get('service', 'ann')).toBeUndefined();
    expect(await keyring.list('service')).toEqual([]);
    await keyring.set('service', 'bob', Uint8Array.of(0, 255));
    await keyring.set('service', 'ann', 'pa\u00df');
    await keyring.set('service', 'ann', 'w\u00f6rd');
    await keyring.set('other', 'cleo', '');
    expect(await keyring.getText('service', 'ann')).toBe('w\u00f6rd');
    expect(await keyring.get('service', 'bob')).toEqual(Uint8Array.of(0, 255));
    expect(await keyring.getText('other', 'cleo')).toBe('');
    expect(await keyring.list('service')).toEqual(['ann', 'bob']);
    await expect(keyring.getText('service', 'bob')).rejects.toMatchObject({ code: 'not-text' });
    expect(await keyring.delete('service', 'bob')).toBe(true);
    expect(await keyring.delete('service', 'bob')).toBe(false);
    expect(await keyring.list('service')).toEqual(['ann']);
  });

  it('is there again when opened again, also for a program that reads the file', async () => {
    await using keyring = await open();
    await keyring.set('service', 'ann', 'x');
    await using again = await open();
    expect(await again.getText('service', 'ann')).toBe('x');
    await using stash = await SecureStash.open(path, { password: 'p' });
    expect(await stash.read(['service', 'ann'])).toEqual(Uint8Array.of(0x78));
  });

  it('does not delete what lies below', async () => {
    await using keyring = await open();
    await using stash = await SecureStash.open(path, { password: 'p' });
    await stash.write(['service', 'ann', 'below'], Uint8Array.of(1));
    expect(await keyring.delete('service', 'ann')).toBe(false);
    expect(await keyring.list('service')).toEqual([]);
    await keyring.set('service', 'ann', 'x');
    await expect(keyring.delete('service', 'ann')).rejects.toMatchObject({
      name: 'KeyringError',
      code: 'has-children',
    });
    expect(await stash.read(['service', 'ann', 'below'])).toEqual(Uint8Array.of(1));
    expect(await keyring.getText('service', 'ann')).toBe('x');
  });

  it('does not delete what another handle writes below at that moment', async () => {
    await using keyring = await open();
    await using stash = await SecureStash.open(path, { password: 'p' });
    const below = ['service', 'ann', 'below'];
    for (let round = 0; round < 20; round++) {
      await keyring.set('service', 'ann', 'x');
      const deleting = keyring.delete('service', 'ann').catch((error: KeyringError) => error.code);
      // Another number of turns each time, for the writing to come between each two steps of the deleting.
      for (let turn = 0; turn < round; turn++) await new Promise(setImmediate);
      await stash.write(below, Uint8Array.of(1));
      const deleted = await deleting;
      expect([true, 'has-children']).toContain(deleted);
      expect(await keyring.get('service', 'ann')).toEqual(deleted === true ? undefined : Uint8Array.of(0x78));
      expect(await stash.read(below)).toEqual(Uint8Array.of(1));
      await stash.remove(['service']);
    }
  });

  it('refuses options that are none, and can be cancelled', async () => {
    await using keyring = await open();
    await keyring.set('service', 'ann', 'x');
    const operations: ((options: OperationOptions) => Promise<unknown>)[] = [
      (options) => keyring.get('service', 'ann', options),
      (options) => keyring.getText('service', 'ann', options),
      (options) => keyring.set('service', 'ann', 'y', options),
      (options) => keyring.delete('service', 'ann', options),
      (options) => keyring.list('service', options),
    ];
    for (const run of operations) {
      for (const bad of [null, 5, 'now', { signal: null }, { signal: {} }, { signal: 5 }]) {
        await expect(run(bad as unknown as OperationOptions)).rejects.toMatchObject({
          name: 'KeyringError',
          code: 'bad-argument',
        });
      }
      const controller = new AbortController();
      controller.abort();
      // A controller has its signal from its prototype.
      for (const options of [{ signal: AbortSignal.abort() }, controller]) {
        await expect(run(options)).rejects.toMatchObject({ name: 'KeyringError', code: 'cancelled' });
      }
    }
    expect(await keyring.getText('service', 'ann')).toBe('x');
  });

  it('copies what it is given before it returns', async () => {
    await using keyring = await open();
    const secret = Uint8Array.of(1, 2, 3);
    const setting = keyring.set('service', 'ann', secret);
    secret.fill(9);
    await setting;
    expect(await keyring.get('service', 'ann')).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('refuses names and secrets that are none', async () => {
    await using keyring = await open();
    for (const name of ['', '\0', '\ud800', 5 as unknown as string, undefined as unknown as string]) {
      const refused = { name: 'KeyringError', code: 'bad-argument' };
      await expect(keyring.get(name, 'ann')).rejects.toMatchObject(refused);
      await expect(keyring.get('service', name)).rejects.toMatchObject(refused);
      await expect(keyring.delete('service', name)).rejects.toMatchObject(refused);
      await expect(keyring.list(name)).rejects.toMatchObject(refused);
    }
    for (const secret of ['\ud800', 5, null, [1]]) {
      await expect(keyring.set('service', 'ann', secret as string)).rejects.toThrow(KeyringError);
    }
  });

  it('is closed once, and then refuses to work', async () => {
    const keyring = await open();
    await keyring.close();
    await keyring.close();
    await expect(keyring.get('service', 'ann')).rejects.toMatchObject({
      name: 'KeyringError',
      code: 'closed',
    });
  });
});
