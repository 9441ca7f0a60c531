/**
 * Locks of a real GNOME Keyring, and what can be done with what is locked. There is no display, so that the daemon
 * dismisses each of its prompts at once.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import {
  type Collection,
  createCollectionWithPassword,
  type Item,
  type OperationOptions,
  SecretService,
  unlockWithPassword,
} from '../../src/secret/index.js';
import { describeWith, runs } from '../support/external.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const paths = (objects: readonly { path: string }[]): string[] => objects.map(({ path }) => path);

describeWith('gnome-keyring-daemon', present)('locks of a real keyring', () => {
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

  it('are put on and taken off many at once, and items go with their collection', async () => {
    const open = await createCollectionWithPassword(service, 'open', '');
    const second = await createCollectionWithPassword(service, 'second', '');
    const closed = await createCollectionWithPassword(service, 'closed', 'p');
    const item = await service.set({ a: 'b' }, 'x', { collection: open });
    const all = [open, item, second, closed];
    const locked = (): Promise<boolean[]> => Promise.all(all.map((object) => object.locked()));
    expect(await service.lock(all)).toEqual(all);
    expect(await locked()).toEqual([true, true, true, true]);
    expect(await service.lock(all)).toEqual(all);
    for (const object of all) await expect(object.assertUnlocked()).rejects.toEqual(error('locked'));

    // What needs no password is open, though the rest was refused.
    await expect(service.unlock(all)).rejects.toEqual(error('prompt-dismissed'));
    await expect(service.unlock(all, { prompt: 'never' })).rejects.toEqual(error('prompt-required'));
    expect(await locked()).toEqual([false, false, false, true]);
    expect(await service.unlock([item, second])).toEqual([item, second]);
    await item.lock();
    expect(await locked()).toEqual([true, true, false, true]);
    await Promise.all([item.unlock(), open.unlock(), second.unlock(), service.unlock([item, open])]);
    expect(await locked()).toEqual([false, false, false, true]);
    await item.assertUnlocked();
    expect(await service.lock([])).toEqual([]);
    expect(await service.unlock([])).toEqual([]);
  });

  const LOCKED = 'locked';
  const newItem = { label: 'x', attributes: { c: 'd' }, secret: 'x' };
  type Run = (options: OperationOptions, item: Item, collection: Collection) => Promise<unknown>;
  /** The operation, its code where no prompt may be shown, and where one is and nobody can answer. */
  const refused: [string, Run, string, string][] = [
    ['lookup', (options) => service.lookup({ a: 'b' }, options), LOCKED, 'prompt-dismissed'],
    [
      'set, of an item there is',
      (options) => service.set({ a: 'b' }, 'n', options),
      LOCKED,
      'prompt-dismissed',
    ],
    [
      'set, of a new item',
      (options, _item, collection) => service.set({ c: 'd' }, 'n', { ...options, collection }),
      LOCKED,
      'prompt-dismissed',
    ],
    ['clear', (options) => service.clear({ a: 'b' }, options), LOCKED, 'prompt-dismissed'],
    ['findAll', (options) => service.findAll({ a: 'b' }, options), LOCKED, 'prompt-dismissed'],
    [
      'service.unlock',
      (options, item) => service.unlock([item], options),
      'prompt-required',
      'prompt-dismissed',
    ],
    ['item.unlock', (options, item) => item.unlock(options), 'prompt-required', 'prompt-dismissed'],
    [
      'collection.unlock',
      (options, _item, collection) => collection.unlock(options),
      'prompt-required',
      'prompt-dismissed',
    ],
    ['item.getSecret', (options, item) => item.getSecret(options), LOCKED, LOCKED],
    ['item.setSecret', (options, item) => item.setSecret('n', options), LOCKED, LOCKED],
    ['item.setLabel', (options, item) => item.setLabel('n', options), LOCKED, LOCKED],
    ['item.setAttributes', (options, item) => item.setAttributes({ c: 'd' }, options), LOCKED, LOCKED],
    ['item.delete', (options, item) => item.delete(options), LOCKED, LOCKED],
    ['item.assertUnlocked', (options, item) => item.assertUnlocked(options), LOCKED, LOCKED],
    [
      'collection.createItem',
      (options, _item, collection) => collection.createItem(newItem, options),
      LOCKED,
      LOCKED,
    ],
    [
      'collection.setLabel',
      (options, _item, collection) => collection.setLabel('n', options),
      LOCKED,
      LOCKED,
    ],
    [
      'collection.assertUnlocked',
      (options, _item, collection) => collection.assertUnlocked(options),
      LOCKED,
      LOCKED,
    ],
  ];

  it('refuse what needs them off, and change nothing', async () => {
    const collection = await createCollectionWithPassword(service, 'locked', 'p');
    const item = await service.set({ a: 'b' }, 'secret', { collection, label: 'läbel' });
    const before = await item.properties();
    await collection.lock();
    for (const [name, run, never, allow] of refused) {
      await expect(run({ prompt: 'never' }, item, collection), name).rejects.toEqual(error(never));
      await expect(run({ prompt: 'allow' }, item, collection), name).rejects.toEqual(error(allow));
    }
    expect(await collection.locked()).toBe(true);
    expect(paths(await collection.items())).toEqual([item.path]);
    expect(await item.properties()).toEqual({ ...before, locked: true });
    await unlockWithPassword(collection, 'p');
    // Read from its file, an item without a schema has a general one.
    const attributes = new Map([...before.attributes, ['xdg:schema', 'org.freedesktop.Secret.Generic']]);
    expect(await item.properties()).toEqual({ ...before, attributes });
    expect((await item.getSecret()).text()).toBe('secret');
    expect(await collection.label()).toBe('locked');
  });

  it('leave the rest to be read, and a collection to be deleted', async () => {
    const collection = await createCollectionWithPassword(service, 'locked', 'p');
    const item = await service.set({ a: 'b', n: '1' }, 'secret', { collection, label: 'läbel' });
    await collection.lock();
    const prompt = 'never';
    expect(await service.search({ a: 'b' }, { prompt })).toMatchObject({ locked: [{ path: item.path }] });
    expect(await service.listValues({ a: 'b' }, 'n', { prompt })).toEqual(['1']);
    expect(await item.properties({ prompt })).toMatchObject({ label: 'läbel', locked: true });
    expect((await item.attributes({ prompt })).get('a')).toBe('b');
    expect(await collection.properties({ prompt })).toMatchObject({ label: 'locked', locked: true });
    expect(await service.lookup({ a: 'c' }, { prompt })).toBeUndefined();
    expect(await service.clear({ a: 'c' }, { prompt })).toBe(0);
    expect(await service.findAll({ a: 'c' }, { prompt })).toEqual([]);
    // What is in no locked collection is at hand.
    await service.set({ open: '1' }, 'open', { prompt });
    expect((await service.lookup({ open: '1' }, { prompt }))?.text()).toBe('open');
    await collection.delete({ prompt });
    expect(paths(await service.collections())).not.toContain(collection.path);
  });

  it('does not let a locked collection get in the way of what is elsewhere', async () => {
    const empty = await createCollectionWithPassword(service, 'empty', 'p');
    const other = await createCollectionWithPassword(service, 'other', 'p');
    await service.set({ of: 'another program' }, 'x', { collection: other });
    for (const collection of [other, empty]) {
      await collection.lock();
      expect(await service.lookup({ a: 'b' }), collection.path).toBeUndefined();
      expect(await service.findAll({ a: 'b' })).toEqual([]);
      expect(await service.listValues({ a: 'b' }, 'c')).toEqual([]);
      expect(await service.clear({ a: 'b' })).toBe(0);
      await service.set({ a: 'b' }, 'new');
      expect((await service.lookup({ a: 'b' }))?.text()).toBe('new');
      expect(await service.clear({ a: 'b' })).toBe(1);
    }
  });
});
