import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyringError, openKeyring } from '../../src/keyring/index.js';
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
    await expect(keyring.delete('service', 'ann')).rejects.toMatchObject({ code: 'has-children' });
    expect(await stash.read(['service', 'ann', 'below'])).toEqual(Uint8Array.of(1));
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
      if (name !== undefined) await expect(keyring.delete('service', name)).rejects.toMatchObject(refused);
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
