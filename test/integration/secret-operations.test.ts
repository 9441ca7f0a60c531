/**
 * Every operation on a real GNOME Keyring, unlocked and locked. There is no display, so that the daemon dismisses each of
 * its prompts at once; how prompts are answered is in the test of prompts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import {
  type Collection,
  createCollectionWithPassword,
  type Item,
  SecretService,
  unlockWithPassword,
} from '../../src/secret/index.js';
import { openBus } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';
import { SecretTool } from './foreign-clients.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) =>
  runs('which', [program]),
);
const describeKeyring = describeWith('gnome-keyring-daemon with secret-tool', present);

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const ALIASES = '/org/freedesktop/secrets/collection';

/** The sockets of this process that are open. */
const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;

const paths = (objects: readonly { path: string }[]): string[] => objects.map(({ path }) => path);

describeKeyring('operations on a real keyring', () => {
  let daemon: PrivateKeyring;
  let service: SecretService;

  beforeEach(async () => {
    daemon = await startPrivateKeyring();
    service = await SecretService.connect({ address: daemon.address, timeoutMs: 10_000 });
  });

  afterEach(async () => {
    await service?.close();
    await daemon?.close();
  });

  describe('collections', () => {
    it('are not created where nobody can be asked', async () => {
      const before = paths(await service.collections());
      await expect(service.createCollection('x')).rejects.toMatchObject({
        code: 'prompt-dismissed',
        promptPath: expect.stringContaining('/prompt/'),
      });
      await expect(service.createCollection('x', { prompt: 'never' })).rejects.toMatchObject({
        code: 'prompt-required',
        promptPath: expect.stringContaining('/prompt/'),
      });
      await expect(Promise.all([1, 2, 3].map(() => service.createCollection('x')))).rejects.toEqual(
        error('prompt-dismissed'),
      );
      expect(paths(await service.collections()).toSorted()).toEqual(before.toSorted());
    });

    it('that have an alias already are given back', async () => {
      const login = await service.defaultCollection();
      expect((await service.createCollection('another', { alias: 'default' })).path).toBe(login.path);
      expect((await service.defaultCollection({ create: true })).path).toBe(login.path);
      expect((await service.anyCollection()).path).toBe(login.path);
    });

    it('are created, labelled, listed and deleted with a password', async () => {
      const started = Date.now();
      const collection = await createCollectionWithPassword(service, 'Schlüssel ✓', 'pässword');
      const { created, ...properties } = await collection.properties();
      // GNOME Keyring does not tell when a collection was changed.
      expect(properties).toEqual({ label: 'Schlüssel ✓', locked: false, modified: undefined, itemPaths: [] });
      expect(await collection.created()).toEqual(created);
      expect(await collection.modified()).toBeUndefined();
      expect(Math.abs((created?.getTime() ?? 0) - started)).toBeLessThan(10_000);
      expect(paths(await service.collections())).toContain(collection.path);
      await collection.setLabel('anders');
      expect(await collection.label()).toBe('anders');

      const second = await createCollectionWithPassword(service, 'Schlüssel ✓', 'p');
      expect(second.path).not.toBe(collection.path);
      await second.delete();
      expect(paths(await service.collections())).not.toContain(second.path);

      const item = await service.set({ a: 'b' }, 'x', { collection });
      expect(paths(await collection.items())).toEqual([item.path]);
      expect(paths(await collection.search({ a: 'b' }))).toEqual([item.path]);
      expect((await collection.properties()).itemPaths).toEqual([item.path]);
      await collection.delete({ prompt: 'never' });
      await expect(item.getSecret()).rejects.toEqual(error('not-found'));
      expect(await service.lookup({ a: 'b' })).toBeUndefined();
    });

    it('that are gone are not found, whatever is asked of them', async () => {
      const collection = await createCollectionWithPassword(service, 'gone', 'p');
      const item = await service.set({ a: 'b' }, 'x', { collection });
      await collection.delete();
      const newItem = { label: 'x', attributes: {}, secret: 'x' };
      const operations: (() => Promise<unknown>)[] = [
        () => collection.properties(),
        () => collection.label(),
        () => collection.setLabel('x'),
        () => collection.locked(),
        () => collection.assertUnlocked(),
        () => collection.created(),
        () => collection.modified(),
        () => collection.items(),
        () => collection.search({ a: 'b' }),
        () => collection.createItem(newItem),
        () => collection.delete(),
        () => unlockWithPassword(collection, 'p'),
        () => service.setAlias('default', collection),
        () => service.set({ a: 'b' }, 'x', { collection }),
        () => service.collection(collection.path),
        () => item.properties(),
        () => item.label(),
        () => item.setLabel('x'),
        () => item.attributes(),
        () => item.setAttributes({ c: 'd' }),
        () => item.getSecret(),
        () => item.setSecret('x'),
        () => item.locked(),
        () => item.created(),
        () => item.modified(),
        () => item.delete(),
      ];
      for (const run of operations) {
        await expect.soft(run(), run.toString()).rejects.toEqual(error('not-found'));
      }
      const login = await service.defaultCollection();
      expect(paths(await service.lock([collection, item, login]))).toEqual([login.path]);
      expect(await service.getSecrets([item])).toEqual(new Map());
      expect(await service.getProperties([item])).toEqual(new Map());
    });

    it.each<[string, (object: Collection | Item) => Promise<unknown>]>([
      ['lock', (object) => object.lock()],
      ['unlock', (object) => object.unlock()],
      ['lock as the only one of many', (object) => service.lock([object])],
      ['unlock as the only one of many', (object) => service.unlock([object])],
    ])('that are gone are not found to %s', async (_name, run) => {
      const collection = await createCollectionWithPassword(service, 'gone', 'p');
      const item = await service.set({ a: 'b' }, 'x', { collection });
      await collection.delete();
      await expect(run(collection)).rejects.toEqual(error('not-found'));
      await expect(run(item)).rejects.toEqual(error('not-found'));
    });

    it('take the alias `default`, and no other', async () => {
      const tool = new SecretTool(daemon.env);
      const login = await service.defaultCollection();
      const collection = await createCollectionWithPassword(service, 'second', 'p', { alias: 'default' });
      expect((await service.defaultCollection()).path).toBe(collection.path);
      expect((await service.set({ ours: '1' }, 'x')).path).toContain(collection.path);
      await tool.store([
        { label: 'x', attributes: { theirs: '1' }, secret: Buffer.from('y'), contentType: 'text/plain' },
      ]);
      expect(await collection.search({ theirs: '1' })).toHaveLength(1);
      await service.setAlias('default', login);
      expect((await service.collection('default')).path).toBe(login.path);

      const before = paths(await service.collections()).toSorted();
      for (const alias of ['mine', 'login', 'session']) {
        await expect(service.setAlias(alias, collection)).rejects.toEqual(error('not-supported'));
        const made = createCollectionWithPassword(service, 'third', 'p', { alias });
        await expect(made).rejects.toEqual(error('not-supported'));
      }
      // What was made before the alias was refused is not left behind.
      expect(paths(await service.collections()).toSorted()).toEqual(before);

      await service.setAlias('default', undefined);
      await expect(service.defaultCollection()).rejects.toEqual(error('no-default-collection'));
      await expect(service.collection('default')).rejects.toEqual(error('not-found'));
      expect((await service.anyCollection()).path).toBe(`${ALIASES}/session`);
      expect(await service.probe()).toMatchObject({ state: 'no-default-collection' });
      await expect(service.set({ a: 'b' }, 'x')).rejects.toEqual(error('prompt-dismissed'));
      await expect(service.set({ a: 'b' }, 'x', { prompt: 'never' })).rejects.toEqual(
        error('no-default-collection'),
      );
      await expect(service.defaultCollection({ create: true })).rejects.toEqual(error('prompt-dismissed'));
      await expect(service.defaultCollection({ create: 'x', prompt: 'never' })).rejects.toEqual(
        error('prompt-required'),
      );
    });

    it.each<[string, string | Uint8Array, string | Uint8Array]>([
      ['text', 'pässwörd ✓', 'passwörd ✓'],
      ['bytes', Buffer.from('pässwörd ✓'), Uint8Array.of(1, 2, 3)],
      ['a long text', 'x'.repeat(10_000), 'x'.repeat(9_999)],
    ])('are unlocked with the right password and no other: %s', async (_name, right, wrong) => {
      const collection = await createCollectionWithPassword(service, 'mine', right);
      const item = await service.set({ a: 'b' }, 'secret', { collection });
      await collection.lock();
      for (const password of [wrong, '', `${String(right)} `]) {
        await expect(unlockWithPassword(collection, password)).rejects.toEqual(error('access-denied'));
        expect(await collection.locked()).toBe(true);
      }
      await unlockWithPassword(collection, right);
      expect((await item.getSecret()).text()).toBe('secret');
      await unlockWithPassword(collection, right);
    });

    it('without a password are unlocked without a prompt', async () => {
      const collection = await createCollectionWithPassword(service, 'open', '');
      const item = await service.set({ a: 'b' }, 'x', { collection });
      await collection.lock();
      expect(await item.locked()).toBe(true);
      await item.unlock({ prompt: 'never' });
      await collection.lock();
      expect((await service.lookup({ a: 'b' }))?.text()).toBe('x');
    });
  });

  describe('items', () => {
    it('tell when they were made and changed', async () => {
      const started = Date.now();
      const item = await service.set({ a: 'b' }, 'x', { label: 'läbel' });
      const { created, modified, attributes, ...properties } = await item.properties();
      expect(properties).toEqual({ label: 'läbel', locked: false });
      expect(attributes.get('a')).toBe('b');
      expect(Math.abs((created?.getTime() ?? 0) - started)).toBeLessThan(10_000);
      expect(await item.created()).toEqual(created);
      let count = 0;
      await vi.waitFor(async () => {
        // The same secret once more is no change.
        await item.setSecret(`y${count++}`);
        expect((await item.modified())?.getTime()).toBeGreaterThan(modified?.getTime() ?? 0);
      }, 5000);
      expect(await item.created()).toEqual(created);
    });

    it('are read many at a time, without those that are locked or gone', async () => {
      const collection = await createCollectionWithPassword(service, 'locked', 'p');
      const open = await Promise.all(
        [1, 2, 3].map((index) => service.set({ index: `${index}` }, `${index}`)),
      );
      const closed = await service.set({ index: '4' }, '4', { collection });
      const gone = await service.set({ index: '5' }, '5');
      await collection.lock();
      await gone.delete();
      const all = [gone, ...open, closed];
      const secrets = await service.getSecrets(all);
      expect([...secrets.keys()]).toEqual(open);
      expect([...secrets.values()].map((secret) => secret.text())).toEqual(['1', '2', '3']);
      const properties = await service.getProperties(all);
      expect([...properties.keys()]).toEqual([...open, closed]);
      expect([...properties.values()].map(({ locked }) => locked)).toEqual([false, false, false, true]);
      const found = await service.search({ index: '4' });
      expect(found).toMatchObject({ unlocked: [], locked: [{ path: closed.path }] });
    });
  });

  it('outlasts clients that come and go, many at once and cut off while they connect', async () => {
    const { address } = daemon;
    const owner = (await service.probe()).owner;
    const uses = Array.from({ length: 30 }, async (_, index) => {
      await using client = await SecretService.connect({ address });
      await client.set({ client: `${index}` }, `secret ${index}`);
      return (await client.lookup({ client: `${index}` }))?.text();
    });
    expect(await Promise.all(uses)).toEqual(uses.map((_, index) => `secret ${index}`));
    for (let count = 0; count < 60; count++) {
      const controller = new AbortController();
      const connecting = SecretService.connect({ address, signal: controller.signal });
      const ended = connecting.then((client) => client.close()).catch((reason: unknown) => reason);
      await sleep(Math.random() * 5);
      controller.abort();
      expect([undefined, 'CancelledError']).toContain(((await ended) as Error | undefined)?.name);
    }
    expect((await service.probe()).owner).toBe(owner);
    const { bus } = service.context;
    // The daemon, and ours.
    await vi.waitFor(async () => {
      expect((await bus.listNames()).filter((name) => name.startsWith(':'))).toHaveLength(2);
    });
  });

  it('gives every match rule back, and closes its session and its socket', async () => {
    const before = sockets();
    const bus = await openBus(daemon.address);
    const rules = async (): Promise<unknown> => (await bus.stats(bus.uniqueName)).get('MatchRules')?.value;
    const rulesBefore = await rules();
    const own = await SecretService.connect({ bus });
    await own.set({ a: 'b' }, 'x');
    await own.createCollection('x').catch(() => {});
    await own.watch().close();
    const watch = own.watch();
    await watch.ready;
    expect(await rules()).toBeGreaterThan(Number(rulesBefore));
    await own.close();
    await vi.waitFor(async () => expect(await rules()).toBe(rulesBefore));
    await expect(own.lookup({ a: 'b' })).rejects.toEqual(error('closed'));
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('x');
    await bus.close();
    expect(sockets()).toBe(before);
  });
});
