import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type PrivateKeyring,
  startPrivateBus,
  startPrivateKeyring,
} from '../../scripts/lib/private-services.mjs';
import { type Keyring, openKeyring } from '../../src/keyring/index.js';
import { describeWith, runs } from '../support/external.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) =>
  runs('which', [program]),
);

describeWith('dbus-daemon', present)('openKeyring on a bus without a Secret Service', () => {
  it('takes the stash where one is configured', async () => {
    await using bus = await startPrivateBus();
    const directory = mkdtempSync(join(tmpdir(), 'sb-'));
    const stash = { path: join(directory, 'secrets.sstash'), password: 'p' };
    try {
      for (const where of [{ address: bus.address }, { env: bus.env }]) {
        await expect(openKeyring(where)).rejects.toMatchObject({ code: 'not-available' });
        await using keyring = await openKeyring({ ...where, stash });
        expect(keyring.backend).toBe('stash');
      }
      await bus.close();
      // The bus has ended: the environment leads nowhere, and the address is no longer one.
      await using keyring = await openKeyring({ env: bus.env, stash });
      expect(keyring.backend).toBe('stash');
      await expect(openKeyring({ address: bus.address, stash })).rejects.toMatchObject({
        code: 'not-available',
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describeWith('gnome-keyring-daemon with secret-tool', present)('openKeyring on a real keyring', () => {
  let daemon: PrivateKeyring;
  let keyring: Keyring;

  beforeAll(async () => {
    daemon = await startPrivateKeyring();
    keyring = await openKeyring({ address: daemon.address });
  });

  afterAll(async () => {
    await keyring?.close();
    await daemon?.close();
  });

  const secretTool = (args: string[], input = ''): string =>
    execFileSync('secret-tool', args, { env: daemon.env, input, encoding: 'utf8' });

  it('uses the Secret Service, though a stash is configured', async () => {
    await using preferred = await openKeyring({
      address: daemon.address,
      stash: { path: '/nonexistent/never-made', password: 'p' },
    });
    expect(preferred.backend).toBe('secret-service');
  });

  it('keeps text and bytes, and lists, replaces and deletes them', async () => {
    expect(await keyring.get('service', 'ann')).toBeUndefined();
    await keyring.set('service', 'bob', Uint8Array.of(0, 255));
    await keyring.set('service', 'ann', 'one');
    await keyring.set('service', 'ann', 'w\u00f6rd');
    expect(await keyring.getText('service', 'ann')).toBe('w\u00f6rd');
    expect(await keyring.get('service', 'bob')).toEqual(Uint8Array.of(0, 255));
    expect(await keyring.list('service')).toEqual(['ann', 'bob']);
    expect(await keyring.delete('service', 'bob')).toBe(true);
    expect(await keyring.delete('service', 'bob')).toBe(false);
    expect(await keyring.list('service')).toEqual(['ann']);
  });

  it('stores what secret-tool finds, and finds what it stores under the same schema', async () => {
    await keyring.set('ours', 'ann', 'from us');
    expect(secretTool(['lookup', 'service', 'ours', 'account', 'ann'])).toBe('from us');
    const attributes = [
      'service',
      'theirs',
      'account',
      'ann',
      'xdg:schema',
      'org.freedesktop.Secret.Generic',
    ];
    secretTool(['store', '--label=theirs', ...attributes], 'from them');
    expect(await keyring.getText('theirs', 'ann')).toBe('from them');
    expect(await keyring.list('theirs')).toEqual(['ann']);
  });

  it('leaves items alone that have more attributes: they are of other programs', async () => {
    const ours = ['service', 'shared', 'account', 'ann', 'xdg:schema', 'org.freedesktop.Secret.Generic'];
    const theirs = [...ours, 'profile', 'work'];
    secretTool(['store', '--label=theirs', ...theirs], 'theirs');
    expect(await keyring.get('shared', 'ann')).toBeUndefined();
    expect(await keyring.list('shared')).toEqual([]);
    expect(await keyring.delete('shared', 'ann')).toBe(false);
    await keyring.set('shared', 'ann', 'ours');
    expect(await keyring.getText('shared', 'ann')).toBe('ours');
    expect(await keyring.list('shared')).toEqual(['ann']);
    expect(secretTool(['lookup', ...theirs])).toBe('theirs');
    expect(await keyring.delete('shared', 'ann')).toBe(true);
    expect(await keyring.get('shared', 'ann')).toBeUndefined();
    expect(secretTool(['lookup', ...theirs])).toBe('theirs');
  });

  it('leaves items of other schemas alone', async () => {
    const names = ['service', 'schemas', 'account', 'ann'];
    secretTool(['store', '--label=other', ...names, 'xdg:schema', 'com.example.Other'], 'other');
    expect(await keyring.get('schemas', 'ann')).toBeUndefined();
    expect(await keyring.list('schemas')).toEqual([]);
    expect(await keyring.delete('schemas', 'ann')).toBe(false);
    expect(secretTool(['lookup', ...names])).toBe('other');
  });

  it('lists while items go', async () => {
    const accounts = Array.from({ length: 50 }, (_, index) => `account-${index}`);
    for (const account of accounts) await keyring.set('going', account, 'x');
    const lists = [];
    for (const account of accounts) {
      lists.push(keyring.list('going'));
      await keyring.delete('going', account);
    }
    for (const list of await Promise.all(lists)) expect(accounts).toEqual(expect.arrayContaining(list));
    expect(await keyring.list('going')).toEqual([]);
  });

  it('lists a hundred accounts', async () => {
    const accounts = Array.from({ length: 100 }, (_, index) => `account-${String(index).padStart(3, '0')}`);
    for (const account of accounts) await keyring.set('many', account, account);
    expect(await keyring.list('many')).toEqual(accounts);
  });
});
