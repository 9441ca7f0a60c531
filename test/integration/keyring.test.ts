import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { type Keyring, openKeyring } from '../../src/keyring/index.js';
import { describeWith, runs } from '../support/external.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) =>
  runs('which', [program]),
);

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

  it('lists a hundred accounts', async () => {
    const accounts = Array.from({ length: 100 }, (_, index) => `account-${String(index).padStart(3, '0')}`);
    for (const account of accounts) await keyring.set('many', account, account);
    expect(await keyring.list('many')).toEqual(accounts);
  });
});
