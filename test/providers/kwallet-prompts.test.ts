/** The client against a real KWallet that is locked, with and without a person who answers. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type PrivateDisplay, startPrivateDisplay } from '../../scripts/lib/private-display.mjs';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { type Collection, probe, SecretService } from '../../src/secret/index.js';
import { promptDeadline, secretError } from './support/expectations.js';
import { describeProviders, type PrivateProvider, startKWallet } from './support/providers.js';
import { testUnanswered } from './support/unanswered.js';
import { watchPrompts } from './support/witness.js';

const describeKWallet = describeProviders();
const never = { prompt: 'never' } as const;
/** KWallet gives all of its windows the same name. */
const DIALOG = 'KDE Wallet Service';

describeKWallet('KWallet, locked, with nobody there', () => {
  let provider: PrivateProvider;
  let service: SecretService;
  let collection: Collection;

  beforeEach(async () => {
    // Each test has a daemon of its own: a dialog that nobody has answered holds up those that follow.
    provider = await startKWallet();
    service = await SecretService.connect({ address: provider.address });
    collection = await service.defaultCollection();
    return async () => {
      await service.close();
      await provider.close();
    };
  });

  it('takes no secret for empty, and loses none', async () => {
    const item = await service.set({ a: 'b' }, 'kept', { label: 'a label' });
    const binary = await service.set({ c: 'd' }, Uint8Array.of(0xff));
    const empty = await service.set({ empty: '1' }, '');
    await provider.lock();
    expect(await probe({ address: provider.address })).toMatchObject({ state: 'locked' });
    expect(await item.locked()).toBe(true);
    expect(await item.label()).toBe('a label');
    expect((await item.attributes()).get('a')).toBe('b');
    expect(await service.search({ a: 'b' })).toMatchObject({ unlocked: [], locked: [{ path: item.path }] });
    for (const run of [
      () => item.getSecret(never),
      () => binary.getSecret(never),
      () => empty.getSecret(never),
      () => item.setSecret('lost', never),
      () => item.setLabel('lost', never),
      () => item.setAttributes({ a: 'lost' }, never),
      () => item.delete(never),
      () => collection.setLabel('lost', never),
      () => collection.createItem({ label: 'x', attributes: { e: 'f' }, secret: 'x' }, never),
      () => service.lookup({ a: 'b' }, never),
      () => service.set({ a: 'b' }, 'lost', never),
      () => service.set({ e: 'f' }, 'lost', never),
      () => service.clear({ a: 'b' }, never),
      () => service.findAll({ a: 'b' }, never),
      () => collection.assertUnlocked(never),
    ]) {
      await expect(run(), run.toString()).rejects.toEqual(secretError('locked'));
    }
    expect((await service.getSecrets([item, binary, empty], never)).size).toBe(0);
    await provider.unlock();
    expect((await item.getSecret()).text()).toBe('kept');
    expect(await item.label()).toBe('a label');
    expect((await service.lookup({ a: 'b' }, { exact: true }))?.text()).toBe('kept');
    expect(Buffer.from((await binary.getSecret()).value)).toEqual(Buffer.of(0xff));
    expect((await empty.getSecret()).text()).toBe('');
    expect(await service.lookup({ e: 'f' })).toBeUndefined();
  });

  it('refuses what has to be asked, and dismisses the prompt', async () => {
    await provider.lock();
    await using witness = await watchPrompts(provider.address);
    for (const run of [
      () => collection.unlock(never),
      () => service.unlock([collection], never),
      () => service.createCollection('another', never),
    ]) {
      const error: unknown = await run().catch((caught: unknown) => caught);
      expect(error, run.toString()).toEqual(secretError('prompt-required'));
      await witness.dismissed(String(Reflect.get(error as object, 'promptPath')));
    }
    expect(witness.shown()).toEqual([]);
    expect(await collection.locked()).toBe(true);
  });

  testUnanswered(() => ({ provider, service, collection }));

  it('locks again what is locked, and one item locks all', async () => {
    const item = await service.set({ a: 'b' }, 'kept');
    await collection.lock(never);
    await collection.lock(never);
    await item.lock(never);
    expect(await service.lock([collection, item], never)).toEqual([collection, item]);
    await provider.unlock();
    await item.lock(never);
    expect(await collection.locked()).toBe(true);
    await provider.unlock();
    expect((await item.getSecret()).text()).toBe('kept');
  });

  it('sets any alias', async () => {
    await service.setAlias('another', collection);
    expect((await service.collection('another')).path).toBe(collection.path);
  });

  it('deletes a collection without a question', async () => {
    await service.set({ a: 'b' }, 'x');
    await collection.delete(never);
    expect(await service.collections()).toEqual([]);
    await expect(service.defaultCollection()).rejects.toEqual(secretError('no-default-collection'));
    expect(await service.probe()).toMatchObject({ state: 'no-default-collection' });
    await expect(collection.label()).rejects.toEqual(secretError('not-found'));
  });
});

describeKWallet('KWallet, locked, that needs no password', () => {
  let provider: PrivateProvider;
  let service: SecretService;

  beforeAll(async () => {
    provider = await startKWallet({ password: '' });
    service = await SecretService.connect({ address: provider.address });
  });

  afterAll(async () => {
    await service?.close();
    await provider?.close();
  });

  it('is unlocked by a prompt that opens no dialog', async () => {
    const item = await service.set({ a: 'b' }, 'kept');
    const collection = await service.defaultCollection();
    await collection.lock();
    await collection.unlock();
    expect(await collection.locked()).toBe(false);
    await collection.lock();
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('kept');
    await collection.lock();
    expect((await service.set({ a: 'b' }, 'changed')).path).toBe(item.path);
    await collection.lock();
    expect(await service.unlock([collection, item])).toEqual([collection, item]);
    expect((await item.getSecret()).text()).toBe('changed');
    await collection.lock();
    expect(await service.clear({ a: 'b' })).toBe(1);
    expect(await collection.items()).toEqual([]);
  });

  it('unlocks for many at once, with one prompt after another', async () => {
    for (let index = 0; index < 8; index++) await service.set({ many: `${index}` }, `${index}`);
    await (await service.defaultCollection()).lock();
    const read = await Promise.all(
      Array.from({ length: 8 }, (_, index) => service.lookup({ many: `${index}` })),
    );
    expect(read.map((secret) => secret?.text())).toEqual(Array.from({ length: 8 }, (_, index) => `${index}`));
  });
});

describeKWallet('KWallet with a person at its display', () => {
  let display: PrivateDisplay;
  let provider: PrivateProvider;
  let service: SecretService;
  let collection: Collection;

  beforeAll(async () => {
    display = await startPrivateDisplay();
    provider = await startKWallet({ display });
    service = await SecretService.connect({ address: provider.address });
    collection = await service.defaultCollection();
    await service.set({ a: 'b' }, 'kept');
  });

  afterAll(async () => {
    await service?.close();
    await provider?.close();
    await display?.close();
  });

  it('has the wallet unlocked with its password, after a wrong one', async () => {
    await collection.lock();
    const looking = service.lookup({ a: 'b' });
    const dialog = await display.waitForWindow(DIALOG);
    await display.type(dialog, 'wrong');
    await display.press(dialog, 'Return');
    // The password is derived anew before the dialog takes another one.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await collection.locked()).toBe(true);
    await display.type(dialog, provider.password);
    await display.press(dialog, 'Return');
    expect((await looking)?.text()).toBe('kept');
    expect(await collection.locked()).toBe(false);
  });

  it('is refused', async () => {
    await collection.lock();
    const unlocking = expect(collection.unlock()).rejects.toEqual(secretError('prompt-dismissed'));
    const dialog = await display.waitForWindow(DIALOG);
    await display.press(dialog, 'Escape');
    await unlocking;
    await display.waitForClose(dialog);
    expect(await collection.locked()).toBe(true);
    await provider.unlock();
  });

  it('has a collection made', async () => {
    const making = service.createCollection('new one/🔑', { alias: 'made' });
    const wizard = await display.waitForWindow(DIALOG);
    // The upper of two choices, wherever the fonts put it: KWallet proposes the other one, which needs a key of GnuPG.
    for (let y = 240; y > 60; y -= 8) await display.click(wizard, 200, y);
    await display.press(wizard, 'alt+f');
    await display.waitForClose(wizard);
    const password = randomBytes(18).toString('hex');
    const dialog = await display.waitForWindow(DIALOG);
    await display.type(dialog, password);
    await display.press(dialog, 'Tab');
    await display.type(dialog, password);
    await display.press(dialog, 'Return');
    const made = await making;
    expect(await made.label()).toBe('new one/🔑');
    expect(await made.locked()).toBe(false);
    expect((await service.collections()).map(({ path }) => path).toSorted()).toEqual(
      [collection.path, made.path].toSorted(),
    );
    expect((await service.collection('made')).path).toBe(made.path);
    // What is in one collection stays there.
    const item = await service.set({ in: 'the new one' }, 'x', { collection: made });
    expect(item.path.startsWith(`${made.path}/`)).toBe(true);
    expect((await service.set({ in: 'the new one' }, 'y')).path).toBe(item.path);
    expect(await collection.search({ in: 'the new one' })).toEqual([]);
    await made.delete();
    expect(await service.collections()).toHaveLength(1);
    expect(await service.lookup({ in: 'the new one' })).toBeUndefined();
  });

  it('tells of the second prompt that it was dismissed, not of the first', async () => {
    await collection.lock();
    const first = expect(collection.unlock({ promptTimeoutMs: 500 })).rejects.toEqual(promptDeadline);
    const dialog = await display.waitForWindow(DIALOG);
    await first;
    // KWallet leaves the dialog of a dismissed prompt open, and answers both prompts when it is closed.
    const second = collection.unlock();
    await display.type(dialog, provider.password);
    await display.press(dialog, 'Return');
    await second;
    expect(await collection.locked()).toBe(false);
  });
});

describeKWallet('KWallet that restarts', () => {
  it('is used again with what it has kept', async () => {
    await using provider = await startKWallet();
    await using service = await SecretService.connect({ address: provider.address });
    await using watch = service.watch();
    await watch.ready;
    const item = await service.set({ a: 'b' }, 'kept');
    const collection = await service.defaultCollection();
    await provider.restart();
    // The new session has the path of the old one, and another key.
    expect((await item.getSecret()).text()).toBe('kept');
    expect(await collection.items()).toMatchObject([{ path: item.path }]);
    expect((await service.set({ a: 'b' }, 'changed')).path).toBe(item.path);
    await provider.restart();
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('changed');
    await provider.restart();
    await item.delete();
    for await (const { type } of watch) if (type === 'resynchronized') break;
  });

  it('is used again when it has nothing any more', async () => {
    await using bus = await startPrivateBus();
    const first = await startKWallet({ bus });
    await using service = await SecretService.connect({ address: bus.address });
    await service.set({ a: 'b' }, 'first');
    await first.close();
    await expect(service.lookup({ a: 'b' })).rejects.toEqual(secretError('not-available'));
    expect(await service.probe()).toEqual({ state: 'no-service' });
    await using second = await startKWallet({ bus });
    expect(await service.lookup({ a: 'b' })).toBeUndefined();
    await service.set({ a: 'b' }, 'second');
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('second');
    expect(service.session.encrypted).toBe(true);
    expect(second.address).toBe(bus.address);
  });
});
