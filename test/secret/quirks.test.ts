/** Every row of the table of services, played: the same program has the right answer on each of them. */
import { describe, expect, test } from 'vitest';
import { SecretService } from '../../src/secret/index.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { LOGIN, MockService, OTHER } from './support/mock-service.js';
import { PROVIDERS, type PromptCase, type Quirks } from './support/quirks.js';

watchEachTest();

const error = (...codes: string[]): unknown =>
  expect.objectContaining({
    name: 'SecretServiceError',
    code: expect.stringMatching(new RegExp(`^(${codes.join('|')})$`)),
  });
const allow = { prompt: 'allow' } as const;
const never = { prompt: 'never' } as const;
const settle = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function opened(quirks: Quirks, prepare: (service: MockService) => void = () => {}) {
  const service = new MockService(quirks);
  prepare(service);
  const { bus } = await service.openBus();
  const options = { bus, session: 'plain', timeoutMs: 2_000, promptTimeoutMs: 2_000 } as const;
  const client = await SecretService.connect(options);
  const close = async (): Promise<void> => {
    await client.close();
    await settle();
    expect(service.bus.matchRules).toEqual([]);
    expect(service.sessions.size).toBe(0);
    await bus.close();
  };
  return { service, client, close };
}

describe.each(Object.entries(PROVIDERS))('%s', (_name, quirks) => {
  const asks = (...cases: PromptCase[]): boolean => cases.some((one) => quirks.prompts.has(one));

  test('plain output: a plain session is opened', async () => {
    const { client, close } = await opened(quirks);
    expect(client.session).toMatchObject({ algorithm: 'plain', encrypted: false });
    await close();
  });

  test('missing object: it is not found, in every operation', async () => {
    const { service, client, close } = await opened(quirks);
    const path = service.add({ a: 'b' }, 'x');
    const [item] = (await client.search({ a: 'b' })).unlocked;
    const gone = await client.collection(OTHER);
    service.remove(path);
    service.remove(OTHER);
    for (const object of [item, gone]) {
      for (const run of [
        () => object?.label(),
        () => object?.locked(),
        () => object?.properties(),
        () => object?.setLabel('x'),
        () => object?.lock(),
        () => object?.unlock(),
        () => object?.delete(),
      ]) {
        await expect(run()).rejects.toEqual(error('not-found'));
      }
    }
    await expect(item?.getSecret()).rejects.toEqual(error('not-found'));
    await expect(item?.setSecret('x')).rejects.toEqual(error('not-found'));
    await expect(client.collection(OTHER)).rejects.toEqual(error('not-found'));
    const still = await client.defaultCollection();
    expect(await client.unlock([gone, still])).toEqual([still]);
    if (item !== undefined) {
      expect((await client.getSecrets([item])).size).toBe(0);
      expect((await client.getProperties([item])).size).toBe(0);
    }
    await close();
  });

  test('aliases: the default one is set and taken away, another one or says why not', async () => {
    const { service, client, close } = await opened(quirks);
    const other = await client.collection(OTHER);
    await client.setAlias('default', other);
    expect((await client.defaultCollection()).path).toBe(OTHER);
    const setting = client.setAlias('mine', other);
    if (quirks.aliases === undefined) {
      await setting;
      expect((await client.collection('mine')).path).toBe(OTHER);
    } else {
      await expect(setting).rejects.toEqual(error('not-supported'));
    }
    await client.setAlias('default', undefined);
    await expect(client.defaultCollection()).rejects.toEqual(error('no-default-collection'));
    expect(service.aliases.has('default')).toBe(false);
    // Without one, some collection is found.
    expect([LOGIN, OTHER]).toContain((await client.anyCollection()).path);
    await close();
  });

  test('CreateCollection: made, after a prompt if need be; or dismissed where none can be shown', async () => {
    const { service, client, close } = await opened(quirks);
    const before = service.collections.size;
    const creating = client.createCollection('mine', { alias: 'default' });
    const present = await creating;
    // An alias that is taken leads to who has it.
    expect(present.path).toBe(LOGIN);
    const making = client.createCollection('mine');
    if (quirks.unshowable === 'CreateCollection') {
      await expect(making).rejects.toEqual(error('prompt-dismissed'));
      expect(service.collections.size).toBe(before);
    } else {
      expect(await (await making).label()).toBe('mine');
      expect(service.collections.size).toBe(before + 1);
    }
    expect(service.prompts.shown).toHaveLength(asks('CreateCollection') ? 1 : 0);
    const unasked = client.createCollection('mine', never);
    if (asks('CreateCollection')) await expect(unasked).rejects.toEqual(error('prompt-required'));
    else await unasked;
    await close();
  });

  test('CreateItem: an item is made, and found again', async () => {
    const { service, client, close } = await opened(quirks);
    const item = await client.set({ service: 's', user: 'ann' }, 'wörd');
    expect(service.item(item.path).label).not.toBe('');
    expect((await client.lookup({ service: 's', user: 'ann' }))?.text()).toBe('wörd');
    expect(service.prompts.shown).toHaveLength(asks('CreateItem') ? 1 : 0);
    await close();
  });

  test('CreateItem in a locked collection: it is unlocked and the item is made, or it is locked', async () => {
    const { service, client, close } = await opened(quirks, (mock) => {
      mock.add({ other: '1' }, 'x');
      mock.setLocked(LOGIN, true);
    });
    const collection = await client.defaultCollection();
    const unasked = client.set({ a: 'b' }, 'x', { collection, ...never });
    if (quirks.lockedFound === 'never locked') await unasked;
    else await expect(unasked).rejects.toEqual(error('locked', 'prompt-required'));
    expect(service.items.size).toBe(quirks.lockedFound === 'never locked' ? 2 : 1);
    if (asks('Unlock', 'CreateItem, locked')) {
      const item = await client.set({ a: 'b' }, 'x', { collection });
      expect((await item.getSecret()).text()).toBe('x');
      expect(service.items.size).toBe(2);
    }
    await close();
  });

  test('Delete and Lock: done, after a prompt if need be, or said not to be', async () => {
    const { service, client, close } = await opened(quirks);
    const paths = [service.add({ a: '1' }, 'x'), service.add({ a: '2' }, 'x')];
    const [first, second] = (await client.search({})).unlocked;
    if (first === undefined || second === undefined) throw new Error('the mock lost its items');
    const deleting = first.delete(never);
    if (asks('Delete')) await expect(deleting).rejects.toEqual(error('prompt-required'));
    else await deleting;
    if (asks('Delete')) await first.delete(allow);
    expect([...service.items.keys()]).toEqual([paths[1]]);
    const locking = second.lock(never);
    if (asks('Lock')) await expect(locking).rejects.toEqual(error('prompt-required'));
    else if (quirks.lockedFound === 'never locked') await expect(locking).resolves.toBeUndefined();
    else await locking;
    if (quirks.lockedFound !== 'never locked') {
      await second.lock(allow);
      expect(await second.locked()).toBe(true);
      await expect(second.assertUnlocked()).rejects.toEqual(error('locked'));
      await second.unlock(allow);
      expect(await second.locked()).toBe(false);
    }
    await (await client.collection(OTHER)).delete(allow);
    expect(service.collections.has(OTHER)).toBe(false);
    service.prompts.person = 'dismisses';
    if (asks('Delete')) {
      await expect(client.clear({ a: '2' })).rejects.toEqual(error('prompt-dismissed'));
      expect(service.items.size).toBe(1);
    } else {
      expect(await client.clear({ a: '2' })).toBe(1);
    }
    await close();
  });

  test('replace: an item with more attributes stays as it is', async () => {
    const { service, client, close } = await opened(quirks);
    const more = service.add({ service: 's', user: 'ann', profile: 'work' }, 'theirs');
    const item = await client.set({ service: 's', user: 'ann' }, 'ours');
    expect(item.path).not.toBe(more);
    expect(service.item(more).value.toString()).toBe('theirs');
    expect((await client.set({ service: 's', user: 'ann' }, 'again')).path).toBe(item.path);
    expect(service.items.size).toBe(2);
    expect((await client.lookup({ service: 's', user: 'ann' }))?.text()).toBe('again');
    await close();
  });

  test('content type: text is text, and bytes come back as they were', async () => {
    const { service, client, close } = await opened(quirks);
    const bytes = Uint8Array.of(0xff, 0, 0x80, 0xfe);
    await client.set({ kind: 'text' }, 'wörd');
    await client.set({ kind: 'bytes' }, bytes);
    const text = await client.lookup({ kind: 'text' });
    const binary = await client.lookup({ kind: 'bytes' });
    expect(text?.text()).toBe('wörd');
    expect(text?.contentType).toBe('text/plain');
    expect(Buffer.from(binary?.value ?? [])).toEqual(Buffer.from(bytes));
    const sent = service.calls.filter(({ member }) => member === 'CreateItem').map(({ body }) => body[1]);
    expect(sent.map((struct) => (struct as unknown[])[3])).toEqual([
      'text/plain',
      'application/octet-stream',
    ]);
    await close();
  });

  test('attributes: what the service adds makes no other item of it', async () => {
    const { service, client, close } = await opened(quirks);
    const first = await client.set({ service: 's', user: 'ann' }, 'one');
    const second = await client.set({ user: 'ann', service: 's' }, 'two');
    expect(second.path).toBe(first.path);
    expect(service.items.size).toBe(1);
    const attributes = await first.attributes();
    expect(attributes.get('service')).toBe('s');
    expect(await client.listValues({ service: 's' }, 'user', { exact: true })).toEqual(['ann']);
    expect((await client.lookup({ service: 's', user: 'ann' }, { exact: true }))?.text()).toBe('two');
    expect(await client.clear({ service: 's', user: 'ann' }, { exact: true })).toBe(1);
    await close();
  });

  test('an empty label: one is made that every service takes', async () => {
    const { service, client, close } = await opened(quirks);
    const item = await client.set({ user: 'ann' }, 'x', { label: '' });
    expect(service.item(item.path).label).toBe('ann');
    await item.setLabel('');
    expect(service.item(item.path).label).not.toBe('');
    await close();
  });

  test('locked item: read after it is unlocked, or said to be locked, and never taken for missing', async () => {
    const { service, client, close } = await opened(quirks);
    const path = service.add({ user: 'ann' }, 'secret');
    const open = service.add({ user: 'bob' }, 'open');
    const [item] = (await client.search({ user: 'ann' })).unlocked;
    const [other] = (await client.search({ user: 'bob' })).unlocked;
    if (item === undefined || other === undefined) throw new Error('the mock lost its items');
    service.setLocked(path, true);
    expect(await item.locked()).toBe(quirks.lockedFound !== 'never locked');
    // One that is locked keeps nobody from those that are not.
    const secrets = await client.getSecrets([item, other], never);
    if (quirks.lockedFound === 'never locked') {
      expect(secrets.size).toBe(2);
      await close();
      return;
    }
    expect([...secrets.keys()].map((one) => one.path)).toEqual([open]);
    const properties = await client.getProperties([item, other], never);
    expect(properties.get(other)?.attributes.get('user')).toBe('bob');
    expect(properties.has(item)).toBe(quirks.lockedProperties === undefined);
    await expect(item.getSecret(never)).rejects.toEqual(error('locked'));
    if (asks('Unlock')) {
      await item.unlock(allow);
      expect((await item.getSecret()).text()).toBe('secret');
    }
    await close();
  });

  test('SearchItems of what is locked: found and unlocked once, or said to be locked', async () => {
    const { service, client, close } = await opened(quirks);
    const path = service.add({ user: 'ann' }, 'secret', { isLocked: true });
    const lookup = client.lookup({ user: 'ann' }, never);
    if (quirks.lockedFound === 'left out') expect(await lookup).toBeUndefined();
    else if (quirks.lockedFound === 'never locked') expect((await lookup)?.text()).toBe('secret');
    else await expect(lookup).rejects.toEqual(error('locked'));
    if (quirks.lockedFound === 'apart') {
      await expect(client.findAll({ user: 'ann' }, never)).rejects.toEqual(error('locked'));
      expect((await client.lookup({ user: 'ann' }))?.text()).toBe('secret');
      expect(service.prompts.shown).toHaveLength(asks('Unlock') ? 1 : 0);
      service.item(path).isLocked = true;
      const [found] = await client.findAll({ user: 'ann' });
      expect(found?.secret.text()).toBe('secret');
      // Locked again at once: not asked for a second time.
      service.item(path).isLocked = true;
      service.override('SearchItems', (_call, proper) => {
        service.item(path).isLocked = true;
        return proper();
      });
      const shown = service.prompts.shown.length;
      await expect(client.lookup({ user: 'ann' })).rejects.toEqual(error('locked'));
      expect(service.prompts.shown).toHaveLength(shown + 1);
    }
    await close();
  });

  test('a whole collection that is locked: nothing in it is taken for missing', async () => {
    const { service, client, close } = await opened(quirks);
    service.add({ user: 'ann' }, 'secret');
    service.setLocked(LOGIN, true);
    // What is found apart, or seems to be empty, may be it.
    const isSeen = quirks.lockedFound === 'apart' || quirks.lockedItems === 'hidden';
    if (isSeen) {
      await expect(client.lookup({ user: 'ann' }, never)).rejects.toEqual(error('locked'));
      await expect(client.set({ user: 'ann' }, 'x', never)).rejects.toEqual(error('locked'));
      expect(service.items.size).toBe(1);
    }
    if (asks('Unlock') && isSeen) {
      await client.set({ user: 'ann' }, 'changed');
      expect(service.items.size).toBe(1);
      expect((await client.lookup({ user: 'ann' }))?.text()).toBe('changed');
    }
    await close();
  });

  test('Completed and its result when dismissed: a typed outcome', async () => {
    const { service, client, close } = await opened(quirks, (mock) =>
      mock.add({ a: 'b' }, 'x', { isLocked: true }),
    );
    service.prompts.person = 'dismisses';
    const [path] = service.items.keys();
    const item = (await (await client.defaultCollection()).items()).find((one) => one.path === path);
    if (asks('Unlock')) {
      await expect(item?.unlock()).rejects.toEqual(error('prompt-dismissed'));
      expect(service.prompts.dismissed).toEqual([]);
    }
    if (asks('CreateItem')) {
      await expect(client.set({ c: 'd' }, 'x')).rejects.toEqual(error('prompt-dismissed'));
      expect(service.items.size).toBe(1);
    }
    await close();
  });

  test('Dismiss: whatever comes of it, nobody waits', async () => {
    const { service, client, close } = await opened(quirks, (mock) =>
      mock.add({ a: 'b' }, 'x', { isLocked: true }),
    );
    service.prompts.person = 'does nothing';
    const [path] = service.items.keys();
    const item = (await (await client.defaultCollection()).items()).find((one) => one.path === path);
    if (asks('Unlock')) {
      const start = performance.now();
      await expect(item?.unlock({ promptTimeoutMs: 20 })).rejects.toMatchObject({ deadline: 'prompt' });
      expect(performance.now() - start).toBeLessThan(500);
      await settle();
      expect(service.prompts.dismissed).toHaveLength(1);
    }
    await close();
  });

  test('Modified: a time, or that nobody knows', async () => {
    const { service, client, close } = await opened(quirks);
    const path = service.add({ a: 'b' }, 'x');
    const collection = await client.defaultCollection();
    const [item] = await collection.items();
    const { created = 0n } = service.times.get(path) ?? {};
    expect(await item?.created()).toEqual(new Date(Number(created) * 1000));
    const isKnown = quirks.modified !== 'zero';
    expect(await item?.modified()).toEqual(isKnown ? expect.any(Date) : undefined);
    expect((await item?.properties())?.modified).toEqual(isKnown ? expect.any(Date) : undefined);
    const expected = quirks.modified === 'seconds' ? expect.any(Date) : undefined;
    expect(await collection.modified()).toEqual(expected);
    expect((await collection.properties()).modified).toEqual(expected);
    await close();
  });

  test('activatable: a service that does not run is started, or certainly not there', async () => {
    const service = new MockService(quirks);
    service.stop();
    const { bus } = await service.openBus();
    const connecting = SecretService.connect({ bus, session: 'plain' });
    if (quirks.isActivatable) {
      const client = await connecting;
      await client.close();
    } else {
      await expect(connecting).rejects.toMatchObject({ code: 'not-available', isAbsent: true });
    }
    await bus.close();
  });

  test('encrypted sessions are as good as plain ones', async () => {
    const service = new MockService(quirks);
    const client = await service.connect({ prompt: 'allow' });
    expect(client.session.encrypted).toBe(true);
    await client.set({ a: 'b' }, 'secret');
    const found = await client.findAll({ a: 'b' });
    expect(found.map(({ secret }) => secret.text())).toEqual(['secret']);
    await client.close();
  });
});
