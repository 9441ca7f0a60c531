/** The client against a real KeePassXC that asks, with and without a person who answers. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type PrivateDisplay, startPrivateDisplay } from '../../scripts/lib/private-display.mjs';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { type Collection, probe, SecretService } from '../../src/secret/index.js';
import { openBus } from '../../src/wire/index.js';
import { openSockets, promptDeadline, secretError } from './support/expectations.js';
import { describeProviders, type PrivateProvider, startKeePassXC } from './support/providers.js';
import { testUnanswered } from './support/unanswered.js';
import { watchPrompts } from './support/witness.js';

const describeKeePassXC = describeProviders();
const never = { prompt: 'never' } as const;

describeKeePassXC('KeePassXC, open, that may not ask', () => {
  let provider: PrivateProvider;
  let service: SecretService;
  let collection: Collection;

  beforeAll(async () => {
    provider = await startKeePassXC();
    service = await SecretService.connect({ address: provider.address, ...never });
    collection = await service.defaultCollection();
  });

  afterAll(async () => {
    await service?.close();
    await provider?.close();
  });

  it('refuses what it asks for, and dismisses the prompt', async () => {
    const item = await service.set({ a: 'b' }, 'kept', { prompt: 'allow' });
    await using witness = await watchPrompts(provider.address);
    for (const run of [
      () => service.set({ c: 'd' }, 'x'),
      () => collection.createItem({ label: 'x', attributes: { c: 'd' }, secret: 'x' }),
      () => item.delete(),
      () => service.clear({ a: 'b' }),
      () => collection.lock(),
      () => item.lock(),
      () => service.lock([collection]),
      () => service.createCollection('another'),
      () => collection.delete(),
    ]) {
      const error: unknown = await run().catch((caught: unknown) => caught);
      expect(error, run.toString()).toEqual(secretError('prompt-required'));
      await witness.dismissed(String(Reflect.get(error as object, 'promptPath')));
    }
    expect(witness.shown()).toEqual([]);
    expect(await collection.locked()).toBe(false);
    expect(await service.lookup({ c: 'd' })).toBeUndefined();
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('kept');
  });

  it('does all that needs no question', async () => {
    const item = await service.set({ e: 'f' }, 'old', { prompt: 'allow' });
    expect((await service.set({ e: 'f' }, 'new', { label: 'a label' })).path).toBe(item.path);
    await item.setLabel('another');
    await item.setAttributes({ e: 'g' });
    expect((await service.lookup({ e: 'g' }))?.text()).toBe('new');
    await item.unlock();
    await collection.unlock();
    expect(await service.unlock([collection, item])).toEqual([collection, item]);
    // A database is open: KeePassXC takes it for the collection with that alias.
    const found = await service.createCollection('another', { alias: 'default' });
    expect(found.path).toBe(collection.path);
  });
});

describeKeePassXC('KeePassXC with its database locked, and nobody there', () => {
  let provider: PrivateProvider;
  let service: SecretService;
  let collection: Collection;

  beforeEach(async () => {
    // Each test has a KeePassXC of its own: while a dialog is open it neither locks nor unlocks.
    provider = await startKeePassXC();
    service = await SecretService.connect({ address: provider.address });
    collection = await service.defaultCollection();
    await service.set({ a: 'b' }, 'kept');
    return async () => {
      await service.close();
      await provider.close();
    };
  });

  it('says that it is locked, though KeePassXC says that there is nothing', async () => {
    const item = await service.set({ a: 'b' }, 'kept');
    await provider.lock();
    expect(await probe({ address: provider.address })).toMatchObject({
      state: 'locked',
      defaultCollection: collection.path,
    });
    expect(await collection.locked()).toBe(true);
    expect(await collection.properties()).toMatchObject({ locked: true, created: undefined });
    for (const run of [
      () => service.lookup({ a: 'b' }, never),
      () => service.set({ a: 'b' }, 'x', never),
      () => service.clear({ a: 'b' }, never),
      () => service.listValues({ a: 'b' }, 'c', never),
      () => service.findAll({ a: 'b' }, never),
      () => collection.setLabel('x', never),
      () => collection.assertUnlocked(never),
    ]) {
      await expect(run(), run.toString()).rejects.toEqual(secretError('locked'));
    }
    await expect(collection.unlock(never)).rejects.toEqual(secretError('prompt-required'));
    await provider.unlock();
    expect((await item.getSecret()).text()).toBe('kept');
    expect((await service.lookup({ a: 'b' }, never))?.text()).toBe('kept');
  });

  testUnanswered(() => ({ provider, service, collection }));

  it('shows one prompt at a time', async () => {
    await provider.lock();
    await using witness = await watchPrompts(provider.address);
    const controller = new AbortController();
    const first = expect(collection.unlock({ signal: controller.signal })).rejects.toMatchObject({
      name: 'CancelledError',
    });
    const shown = await witness.nextShown();
    const second = expect(service.createCollection('x', { promptTimeoutMs: 300 })).rejects.toEqual(
      promptDeadline,
    );
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(witness.shown()).toEqual([shown]);
    controller.abort();
    await first;
    await second;
    expect(witness.shown()).toHaveLength(2);
  });

  it('leaves nothing open when it is closed while a dialog is', async () => {
    await provider.lock();
    const before = openSockets();
    const other = await SecretService.connect({ address: provider.address });
    await using witness = await watchPrompts(provider.address);
    const rejection = expect((await other.defaultCollection()).unlock()).rejects.toEqual(
      secretError('closed'),
    );
    await witness.nextShown();
    await other.close();
    await rejection;
    await witness[Symbol.asyncDispose]();
    expect(openSockets()).toBe(before);
  });
});

describeKeePassXC('KeePassXC with a person at its display', () => {
  let display: PrivateDisplay;
  let provider: PrivateProvider;
  let owner: SecretService;
  let service: SecretService;

  beforeAll(async () => {
    display = await startPrivateDisplay();
    provider = await startKeePassXC({ display, confirmAccess: true });
    // KeePassXC lets in whoever has made an item: one client makes them, and the other has to ask.
    owner = await SecretService.connect({ address: provider.address });
    service = await SecretService.connect({ address: provider.address });
  });

  afterAll(async () => {
    await service?.close();
    await owner?.close();
    await provider?.close();
    await display?.close();
  });

  it('shows items that are locked for this client alone', async () => {
    const theirs = await owner.set({ its: 'own' }, 'secret');
    const [item] = (await service.search({ its: 'own' })).locked;
    expect(item?.path).toBe(theirs.path);
    expect(await item?.locked()).toBe(true);
    expect(await theirs.locked()).toBe(false);
    expect((await item?.attributes())?.get('its')).toBe('own');
    for (const run of [
      () => item?.getSecret(never),
      () => item?.setSecret('x', never),
      () => service.lookup({ its: 'own' }, never),
      () => service.set({ its: 'own' }, 'x', never),
      () => service.findAll({ its: 'own' }, never),
    ]) {
      await expect(run(), run.toString()).rejects.toEqual(secretError('locked'));
    }
    await expect(item?.unlock(never)).rejects.toEqual(secretError('prompt-required'));
    expect((await service.getSecrets(item === undefined ? [] : [item])).size).toBe(0);
    expect((await theirs.getSecret()).text()).toBe('secret');
  });

  it('reads the unlocked of many, where KeePassXC refuses them all', async () => {
    await owner.set({ many: '1', of: 'them' }, 'theirs');
    const ours = await service.set({ many: '1', of: 'us' }, 'ours');
    const found = await service.search({ many: '1' });
    expect(found).toMatchObject({ unlocked: [{ path: ours.path }], locked: [{}] });
    const secrets = await service.getSecrets([...found.locked, ...found.unlocked]);
    expect([...secrets].map(([item, secret]) => [item.path, secret.text()])).toEqual([[ours.path, 'ours']]);
    await expect(service.findAll({ many: '1' }, never)).rejects.toEqual(secretError('locked'));
  });

  it('is let in to an item', async () => {
    await owner.set({ let: 'in' }, 'secret');
    const looking = service.lookup({ let: 'in' });
    await display.press(await display.waitForWindow('Access Request'), 'Return');
    expect((await looking)?.text()).toBe('secret');
    expect((await service.lookup({ let: 'in' }, never))?.text()).toBe('secret');
    await service.set({ let: 'in' }, 'changed', never);
    expect((await owner.lookup({ let: 'in' }))?.text()).toBe('changed');
  });

  it('is not let in', async () => {
    await owner.set({ left: 'out' }, 'secret');
    const looking = expect(service.lookup({ left: 'out' })).rejects.toEqual(secretError('prompt-dismissed'));
    await display.press(await display.waitForWindow('Access Request'), 'Escape');
    await looking;
    const [item] = (await service.search({ left: 'out' })).locked;
    await expect(item?.getSecret(never)).rejects.toEqual(secretError('locked'));
  });

  it('has the database unlocked with its password', async () => {
    const collection = await service.defaultCollection();
    const item = await service.set({ un: 'locked' }, 'secret');
    await collection.lock();
    expect(await collection.locked()).toBe(true);
    const unlocking = collection.unlock();
    const dialog = await display.waitForWindow('Unlock Database');
    await display.type(dialog, provider.password);
    await display.press(dialog, 'Return');
    await unlocking;
    expect(await collection.locked()).toBe(false);
    expect((await item.attributes()).get('un')).toBe('locked');
  });

  it('looks up what a locked database holds, by unlocking it', async () => {
    await owner.set({ behind: 'lock' }, 'secret');
    await provider.lock();
    const looking = owner.lookup({ behind: 'lock' });
    const dialog = await display.waitForWindow('Unlock Database');
    await display.type(dialog, provider.password);
    await display.press(dialog, 'Return');
    expect((await looking)?.text()).toBe('secret');
  });
});

describeKeePassXC('KeePassXC that has its database unlocked before it searches', () => {
  it('is waited for no longer than told, where nobody answers', async () => {
    await using provider = await startKeePassXC({ unlockBeforeSearch: true });
    await using service = await SecretService.connect({ address: provider.address });
    await service.set({ a: 'b' }, 'kept');
    await provider.lock();
    const limits = { timeoutMs: 500, promptTimeoutMs: 500 };
    for (const run of [
      () => service.search({ a: 'b' }, limits),
      () => service.lookup({ a: 'b' }, limits),
      () => service.lookup({ a: 'b' }, { ...limits, ...never }),
      () => service.set({ a: 'b' }, 'x', { ...limits, ...never }),
    ]) {
      const start = performance.now();
      const error: unknown = await run().catch((caught: unknown) => caught);
      expect([error], run.toString()).toEqual([
        Reflect.get(error as object, 'name') === 'DeadlineError' ? expect.anything() : secretError('locked'),
      ]);
      expect(performance.now() - start).toBeLessThan(3_000);
    }
    expect(await service.probe()).toMatchObject({ state: 'locked' });
  });

  it.each([
    ['in time', 0],
    // The time is the person's, and not the service's.
    ['later than any call may take', 3_500],
  ])('finds what it holds once a person has unlocked it, %s', async (_name, thinkMs) => {
    await using display = await startPrivateDisplay();
    await using provider = await startKeePassXC({ display, unlockBeforeSearch: true });
    await using service = await SecretService.connect({ address: provider.address });
    await service.set({ a: 'b' }, 'kept');
    await provider.lock();
    const looking = service.lookup({ a: 'b' }, { timeoutMs: 3_000 });
    looking.catch(() => {});
    const dialog = await display.waitForWindow('Unlock Database');
    await new Promise((resolve) => setTimeout(resolve, thinkMs));
    await display.type(dialog, provider.password);
    await display.press(dialog, 'Return');
    expect((await looking)?.text()).toBe('kept');
  });
});

describeKeePassXC('KeePassXC that restarts, or offers nothing', () => {
  it('has no default collection until a database is opened', async () => {
    await using provider = await startKeePassXC({ isOpen: false });
    expect(await probe({ address: provider.address })).toMatchObject({ state: 'no-default-collection' });
    await using service = await SecretService.connect({ address: provider.address });
    expect(await service.collections()).toEqual([]);
    await expect(service.defaultCollection()).rejects.toEqual(secretError('no-default-collection'));
    await expect(service.anyCollection()).rejects.toEqual(secretError('no-default-collection'));
    await expect(service.set({ a: 'b' }, 'x', never)).rejects.toEqual(secretError('no-default-collection'));
    expect(await service.lookup({ a: 'b' })).toBeUndefined();
    await expect(service.defaultCollection({ create: true, ...never })).rejects.toEqual(
      secretError('prompt-required'),
    );
    await provider.unlock();
    expect(await service.probe()).toMatchObject({ state: 'ready' });
    await service.set({ a: 'b' }, 'x');
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('x');
  });

  it('is used again with what it has kept', async () => {
    await using provider = await startKeePassXC();
    await using service = await SecretService.connect({ address: provider.address });
    const item = await service.set({ a: 'b' }, 'kept');
    const binary = await service.set({ c: 'd' }, Uint8Array.of(0, 0xff));
    const before = service.session.path;
    await provider.restart();
    expect((await item.getSecret()).text()).toBe('kept');
    expect(service.session.path).not.toBe(before);
    expect(Buffer.from((await binary.getSecret()).value)).toEqual(Buffer.of(0, 0xff));
    expect((await service.set({ a: 'b' }, 'changed')).path).toBe(item.path);
    await provider.restart();
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('changed');
  });

  it('is used again when it has nothing any more', async () => {
    await using bus = await startPrivateBus();
    const first = await startKeePassXC({ bus });
    await using service = await SecretService.connect({ address: bus.address });
    const item = await service.set({ a: 'b' }, 'first');
    const before = service.session.path;
    await first.close();
    await expect(service.lookup({ a: 'b' })).rejects.toEqual(secretError('not-available'));
    expect(await service.probe()).toEqual({ state: 'no-service' });
    await using second = await startKeePassXC({ bus });
    expect(await service.lookup({ a: 'b' })).toBeUndefined();
    await expect(item.getSecret()).rejects.toEqual(secretError('not-found'));
    await service.set({ a: 'b' }, 'second');
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('second');
    expect(second.address).toBe(bus.address);
    expect(service.session.path).not.toBe(before);
    expect(service.session.encrypted).toBe(true);
  });

  it('ends a prompt that is open when it ends', async () => {
    const provider = await startKeePassXC();
    await using bus = await openBus(provider.address);
    await using service = await SecretService.connect({ bus });
    const collection = await service.defaultCollection();
    await provider.lock();
    await using witness = await watchPrompts(provider.address);
    const rejection = expect(collection.unlock()).rejects.toEqual(secretError('not-available'));
    await witness.nextShown();
    process.kill(provider.processId, 'SIGKILL');
    await rejection;
    await provider.close();
  });
});
