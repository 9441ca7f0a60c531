import { describe, expect, test } from 'vitest';
import type { Collection, ConnectOptions, Item, SecretService } from '../../src/secret/index.js';
import { LOGIN, MockService, OTHER, PROMPT } from './support/mock-service.js';
import { failed, returned } from './support/scripted-bus.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const paths = (objects: readonly { path: string }[]): string[] => objects.map((object) => object.path);

async function connected(options: ConnectOptions = {}): Promise<{
  service: MockService;
  client: SecretService;
}> {
  const service = new MockService();
  const client = await service.connect({ session: 'plain', ...options });
  return { service, client };
}

describe('collections', () => {
  test('are found by alias, by path, and all together', async () => {
    const { client } = await connected();
    expect((await client.defaultCollection()).path).toBe(LOGIN);
    expect((await client.collection('default')).path).toBe(LOGIN);
    expect((await client.collection(OTHER)).path).toBe(OTHER);
    expect(paths(await client.collections())).toEqual([LOGIN, OTHER]);
    await client.close();
  });

  test('that do not exist are not found', async () => {
    const { service, client } = await connected();
    await expect(client.collection('nothing')).rejects.toEqual(error('not-found'));
    await expect(client.collection('')).rejects.toEqual(error('not-found'));
    await expect(client.collection('/org/nothing')).rejects.toEqual(error('not-found'));
    await expect(client.collection('//')).rejects.toEqual(error('bad-argument'));
    await expect(client.collection(1 as unknown as string)).rejects.toEqual(error('bad-argument'));
    service.aliases.clear();
    await expect(client.defaultCollection()).rejects.toEqual(error('no-default-collection'));
    await expect(client.set({ a: 'b' }, 'x')).rejects.toEqual(error('no-default-collection'));
    await client.close();
  });

  test('have a label, a lock and items', async () => {
    const { service, client } = await connected();
    const collection = await client.defaultCollection();
    expect(await collection.label()).toBe(LOGIN);
    await collection.setLabel('new');
    expect(service.calls.at(-1)).toMatchObject({ member: 'Set', path: LOGIN });
    expect(await collection.locked()).toBe(false);
    const inside = [service.add({ a: '1' }, 'x'), service.add({ a: '2' }, 'x')];
    service.add({ a: '1' }, 'x', { collection: OTHER });
    expect(paths(await collection.items())).toEqual(inside);
    expect(paths(await collection.search({ a: '1' }))).toEqual([inside[0]]);
    expect(paths(await collection.search({}))).toEqual(inside);
    await client.close();
  });

  test('make items of everything that is given', async () => {
    const { service, client } = await connected();
    const collection = await client.collection(OTHER);
    const attributes = new Map([
      ['__proto__', 'kept'],
      ['ünicode', '✓'],
    ]);
    const item = await collection.createItem({ label: 'a label', attributes, secret: 'text' });
    expect(item.path.startsWith(`${OTHER}/`)).toBe(true);
    expect(service.item(item.path)).toEqual({
      label: 'a label',
      attributes,
      value: Buffer.from('text'),
      contentType: 'text/plain',
      isLocked: false,
    });
    expect(service.calls.at(-1)?.body[2]).toBe(false);
    const secret = Uint8Array.of(0, 0xff);
    const binary = await collection.createItem({ label: '', attributes: {}, secret, replace: true });
    expect(service.calls.at(-1)?.body[2]).toBe(true);
    expect(service.item(binary.path)).toMatchObject({
      label: 'Secret',
      contentType: 'application/octet-stream',
    });
    const image = await collection.createItem({
      label: 'x',
      attributes: {},
      secret,
      contentType: 'image/png',
    });
    expect(service.item(image.path).contentType).toBe('image/png');
    await client.close();
  });

  test('refuse what cannot be an item, before anything is sent', async () => {
    const { service, client } = await connected();
    const collection = await client.defaultCollection();
    const sent = service.calls.length;
    const good = { label: 'x', attributes: { a: 'b' }, secret: 'x' };
    for (const bad of [
      { label: 1 },
      { attributes: null },
      { attributes: 'text' },
      { attributes: { a: 1 } },
      { attributes: new Map([[1, 'x']]) },
      { attributes: { a: '\u0000' } },
      { attributes: { '\ud800': 'x' } },
      { label: 'a\u0000b' },
      { secret: 1 },
      { secret: null },
      { secret: 'lone \ud800 surrogate' },
      { secret: [1, 2] },
      { secret: { byteLength: 3 } },
      { contentType: '' },
      { contentType: 1 },
      { contentType: '\u0000' },
      { replace: 'yes' },
    ]) {
      const item = { ...good, ...bad } as unknown as Parameters<Collection['createItem']>[0];
      await expect(collection.createItem(item), JSON.stringify(bad)).rejects.toEqual(error('bad-argument'));
    }
    expect(service.calls.length).toBe(sent);
    await client.close();
  });
});

describe('items', () => {
  test('read and write everything they have', async () => {
    const { service, client } = await connected();
    const path = service.add({ a: 'b' }, 'old');
    const { unlocked } = await client.search({ a: 'b' });
    const [item] = unlocked as [Item];
    expect(unlocked).toHaveLength(1);
    expect(item.path).toBe(path);
    expect(await item.label()).toBe('label 1');
    expect(await item.locked()).toBe(false);
    expect(await item.attributes()).toEqual(new Map([['a', 'b']]));
    expect((await item.getSecret()).text()).toBe('old');
    await item.setLabel('new label');
    await item.setSecret(encode('new'), { contentType: 'text/x' });
    await item.setAttributes({ c: 'd', e: '' });
    expect(service.item(path)).toEqual({
      label: 'new label',
      attributes: new Map([
        ['c', 'd'],
        ['e', ''],
      ]),
      value: Buffer.from('new'),
      contentType: 'text/x',
      isLocked: false,
    });
    await item.setLabel('');
    expect(service.item(path).label).toBe('d');
    await item.delete();
    expect(service.items.size).toBe(0);
    await client.close();
  });

  test('that are gone are not found, whatever the service calls it', async () => {
    const { service, client } = await connected();
    const path = service.add({ a: 'b' }, 'x');
    const [item] = (await client.search({ a: 'b' })).unlocked as [Item];
    service.items.delete(path);
    for (const name of [
      'org.freedesktop.DBus.Error.UnknownObject',
      'org.freedesktop.DBus.Error.UnknownMethod',
      'org.freedesktop.DBus.Error.UnknownInterface',
      'org.freedesktop.Secret.Error.NoSuchObject',
    ]) {
      for (const member of ['GetSecret', 'SetSecret', 'Delete', 'Get:Label', 'Set:Label', 'Get:Locked']) {
        service.override(member, failed(name));
      }
      for (const run of [
        () => item.getSecret(),
        () => item.setSecret('x'),
        () => item.delete(),
        () => item.label(),
        () => item.setLabel('x'),
        () => item.locked(),
      ]) {
        await expect(run()).rejects.toEqual(error('not-found'));
      }
    }
    await client.close();
  });

  test('of another connection are refused', async () => {
    const one = await connected();
    const other = await connected();
    one.service.add({ a: 'b' }, 'x');
    const { unlocked } = await one.client.search({ a: 'b' });
    await expect(other.client.getSecrets(unlocked)).rejects.toEqual(error('bad-argument'));
    const collection = await one.client.defaultCollection();
    await expect(other.client.set({ a: 'b' }, 'x', { collection })).rejects.toEqual(error('bad-argument'));
    await one.client.close();
    await other.client.close();
  });
});

describe('errors of the service', () => {
  test.each([
    ['org.freedesktop.Secret.Error.IsLocked', 'locked'],
    ['org.freedesktop.Secret.Error.NoSession', 'session'],
    ['org.freedesktop.Secret.Error.NoSuchObject', 'not-found'],
    ['org.freedesktop.DBus.Error.ServiceUnknown', 'not-available'],
    ['org.freedesktop.DBus.Error.NameHasNoOwner', 'not-available'],
    ['org.freedesktop.DBus.Error.NoReply', 'not-available'],
    ['org.freedesktop.DBus.Error.Spawn.ServiceNotFound', 'not-available'],
    ['org.freedesktop.DBus.Error.NotSupported', 'not-supported'],
    ['org.freedesktop.DBus.Error.AccessDenied', 'access-denied'],
    ['org.freedesktop.DBus.Error.Failed', 'failed'],
    ['org.freedesktop.DBus.Error.InvalidArgs', 'failed'],
    ['com.example.Anything', 'failed'],
  ])('%s becomes %s, with the reply as its cause', async (name, code) => {
    const { service, client } = await connected();
    service.override('SearchItems', failed(name, 'the text'));
    await expect(client.search({ a: 'b' })).rejects.toMatchObject({
      name: 'SecretServiceError',
      code,
      message: `SearchItems: the service answered ${name}`,
      cause: { name, message: 'the text' },
    });
    await client.close();
  });
});

describe('prompts', () => {
  const run: [string, (client: SecretService, collection: Collection, item: Item) => Promise<unknown>][] = [
    [
      'createItem',
      (_client, collection) => collection.createItem({ label: 'x', attributes: {}, secret: 'x' }),
    ],
    ['set', (client) => client.set({ c: 'd' }, 'x')],
    ['delete', (_client, _collection, item) => item.delete()],
    ['clear', (client) => client.clear({ a: 'b' })],
  ];
  test.each(run)('that %s needs are dismissed, and reject without waiting', async (_name, act) => {
    const { service, client } = await connected();
    service.add({ a: 'b' }, 'x');
    const [item] = (await client.search({ a: 'b' })).unlocked as [Item];
    const collection = await client.defaultCollection();
    service.override('CreateItem', returned('oo', '/', PROMPT));
    service.override('Delete', returned('o', PROMPT));
    service.override('Dismiss', undefined);
    const start = performance.now();
    const rejection = expect.objectContaining({ code: 'prompt-required', promptPath: PROMPT });
    await expect(act(client, collection, item)).rejects.toEqual(rejection);
    expect(performance.now() - start).toBeLessThan(1_000);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const dismissed = service.calls.filter((call) => call.member === 'Dismiss');
    expect(dismissed).toHaveLength(1);
    expect(dismissed[0]).toMatchObject({ path: PROMPT, interface: 'org.freedesktop.Secret.Prompt' });
    expect(service.members).not.toContain('Prompt');
    await client.close();
  });
});
