/**
 * A real GNOME Keyring with files from before, as it is after a login that did not unlock it. Until it is unlocked, it shows
 * hashes for the attributes of its items and no labels, and finds nothing by a schema; a client that takes that for what
 * there is finds nothing, asks nobody, and stores everything a second time.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { SecretService } from '../../src/secret/index.js';
import { describeWith, runs } from '../support/external.js';
import { Prompter } from './gnome-prompter.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));

describeWith('gnome-keyring-daemon', present)('a real keyring that was not unlocked since it started', () => {
  const password = 'of the login';
  const attributes = { application: 'x', user: 'ann' };
  const ofBob = { application: 'x', user: 'bob', 'xdg:schema': 'org.example.Bob' };
  let dataDirectory: string;
  let daemon: PrivateKeyring;
  let prompter: Prompter;
  let service: SecretService;

  beforeEach(async () => {
    dataDirectory = mkdtempSync(join(tmpdir(), 'sb-'));
    const first = await startPrivateKeyring({ dataDirectory, password });
    const client = await SecretService.connect({ address: first.address });
    await client.set(attributes, 'stored', { label: 'läbel' });
    await client.set(ofBob, 'of bob');
    await client.close();
    await first.close();
    daemon = await startPrivateKeyring({ dataDirectory, login: false });
    prompter = await Prompter.start(daemon.address);
    service = await SecretService.connect({ address: daemon.address });
    prompter.answer([{ password }]);
  });

  afterEach(async () => {
    await service?.close();
    await prompter?.[Symbol.asyncDispose]();
    await daemon?.close();
    rmSync(dataDirectory, { recursive: true, force: true });
  });

  /** Whether each item that is found then is the one that was set, which is the only one; and its secret. */
  async function setAndCount(wanted: Record<string, string>): Promise<[boolean[], string | undefined]> {
    const { path } = await service.set(wanted, 'new');
    const { unlocked } = await service.search(wanted);
    return [unlocked.map((item) => item.path === path), (await service.lookup(wanted))?.text()];
  }

  it('says that it is locked, where nobody may be asked', async () => {
    const prompt = 'never';
    expect(await service.probe()).toMatchObject({ state: 'locked' });
    const found = await service.search(attributes);
    expect([found.unlocked.length, found.locked.length]).toEqual([0, 1]);
    for (const run of [
      () => service.lookup(attributes, { prompt }),
      () => service.lookup(attributes, { prompt, exact: true }),
      () => service.findAll(attributes, { prompt }),
      () => service.set(attributes, 'new', { prompt }),
      () => service.clear(attributes, { prompt }),
      () => service.listValues({ application: 'x' }, 'user', { prompt }),
      // With a schema the service itself finds nothing: gnome-keyring's issue 89.
      () => service.lookup(ofBob, { prompt }),
      () => service.set(ofBob, 'new', { prompt }),
      () => service.findAll({ 'xdg:schema': 'org.example.Bob', application: 'x' }, { prompt }),
      () => service.clear(ofBob, { prompt }),
    ]) {
      await expect.soft(run(), run.toString()).rejects.toMatchObject({ code: 'locked' });
    }
    // What it does not find is not there.
    expect(await service.lookup({ application: 'y' }, { prompt })).toBeUndefined();
    expect(prompter.questions).toEqual([]);
  });

  it.each<[string, () => Promise<unknown>, unknown]>([
    ['lookup', async () => (await service.lookup(attributes))?.text(), 'stored'],
    ['lookup, exact', async () => (await service.lookup(attributes, { exact: true }))?.text(), 'stored'],
    [
      'findAll',
      async () => (await service.findAll({ application: 'x' })).map(({ secret }) => secret.text()).toSorted(),
      ['of bob', 'stored'],
    ],
    [
      'listValues',
      async () => (await service.listValues({ application: 'x' }, 'user')).toSorted(),
      ['ann', 'bob'],
    ],
    ['clear', () => service.clear(attributes), 1],
    ['set', () => setAndCount(attributes), [[true], 'new']],
    ['lookup with a schema', async () => (await service.lookup(ofBob))?.text(), 'of bob'],
    [
      'findAll with a schema',
      async () => (await service.findAll(ofBob)).map(({ secret }) => secret.text()),
      ['of bob'],
    ],
    ['clear with a schema', () => service.clear(ofBob), 1],
    ['set with a schema', () => setAndCount(ofBob), [[true], 'new']],
  ])('is unlocked for %s, which then does what it is for', async (_name, run, expected) => {
    expect(await run()).toEqual(expected);
    expect(prompter.questions).toHaveLength(1);
  });
});
