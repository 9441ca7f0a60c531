import { describe, expect, test } from 'vitest';
import type { Secret, SecretService } from '../../src/secret/index.js';
import { LOGIN, MockService, OTHER } from './support/mock-service.js';
import { failed } from './support/scripted-bus.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

async function connected(): Promise<{ service: MockService; client: SecretService }> {
  const service = new MockService();
  return { service, client: await service.connect({ session: 'plain' }) };
}

const text = (secret: Secret | undefined): string | undefined => secret?.text();

describe('set', () => {
  test('changes the item with exactly these attributes, and no other', async () => {
    const { service, client } = await connected();
    const more = service.add({ a: '1', b: '2', c: '3' }, 'more');
    const exact = service.add({ a: '1', b: '2' }, 'exact');
    const less = service.add({ a: '1' }, 'less');
    expect((await client.set({ b: '2', a: '1' }, 'new')).path).toBe(exact);
    expect(service.item(more).value.toString()).toBe('more');
    expect(service.item(less).value.toString()).toBe('less');
    expect(service.item(exact).value.toString()).toBe('new');
    expect(service.items.size).toBe(3);
    await client.close();
  });

  test.each([
    [{ 'xdg:schema': 'org.freedesktop.Secret.Generic' }],
    [{ 'xdg:schema': 'org.gnome.keyring.Note' }],
    [{ 'xdg:content-type': 'text/plain', 'xdg:anything': '' }],
    [{ Title: 't', UserName: '', URL: '', Notes: '', Uuid: '12', Path: '/t', TOTP: '' }],
  ])('knows its item again when the service has added %j', async (added) => {
    const { service, client } = await connected();
    const exact = service.add({ a: '1', ...added }, 'old');
    expect((await client.set({ a: '1' }, 'new')).path).toBe(exact);
    expect(service.items.size).toBe(1);
    await client.close();
  });

  test('takes an item with a schema of an application for another one, unless the schema is asked for', async () => {
    const { service, client } = await connected();
    const schema = { 'xdg:schema': 'com.example.Other' };
    const other = service.add({ a: '1', ...schema }, 'other');
    expect((await client.set({ a: '1' }, 'new')).path).not.toBe(other);
    expect(service.item(other).value.toString()).toBe('other');
    expect((await client.set({ a: '1', ...schema }, 'changed')).path).toBe(other);
    expect(service.items.size).toBe(2);
    await client.close();
  });

  test('never asks the service to replace', async () => {
    const { service, client } = await connected();
    await client.set({ a: '1' }, 'x');
    expect(service.calls.at(-1)).toMatchObject({ member: 'CreateItem', path: LOGIN });
    expect(service.calls.at(-1)?.body[2]).toBe(false);
    await client.close();
  });

  test('changes every item made with these attributes, in any collection', async () => {
    const { service, client } = await connected();
    const both = [service.add({ a: '1' }, 'x'), service.add({ a: '1' }, 'y', { collection: OTHER })];
    await client.set({ a: '1' }, 'new', { label: 'new label' });
    for (const path of both) {
      expect(service.item(path)).toMatchObject({ value: Buffer.from('new'), label: 'new label' });
    }
    await client.close();
  });

  test('stays in the collection that is given', async () => {
    const { service, client } = await connected();
    const login = service.add({ a: '1' }, 'login');
    const collection = await client.collection(OTHER);
    const created = await client.set({ a: '1' }, 'other', { collection });
    expect(created.path.startsWith(`${OTHER}/`)).toBe(true);
    expect((await client.set({ a: '1' }, 'again', { collection })).path).toBe(created.path);
    expect(service.item(login).value.toString()).toBe('login');
    await client.close();
  });

  test('gives a new item a label and keeps that of an old one, unless a label is given', async () => {
    const { service, client } = await connected();
    const item = await client.set({ host: 'https://x/y', empty: '', 'xdg:schema': 's' }, 'x');
    expect(service.item(item.path).label).toBe('https:__x_y');
    service.item(item.path).label = 'mine';
    await client.set({ host: 'https://x/y', empty: '', 'xdg:schema': 's' }, 'x', { label: '' });
    expect(service.item(item.path).label).toBe('mine');
    await client.set({ host: 'https://x/y', empty: '', 'xdg:schema': 's' }, 'x', { label: 'yours' });
    expect(service.item(item.path).label).toBe('yours');
    const long = await client.set({ a: '🔑'.repeat(200) }, 'x');
    expect(service.item(long.path).label).toBe('🔑'.repeat(100));
    await client.close();
  });

  test('rejects where the item is locked or may be, and makes no second one', async () => {
    const { service, client } = await connected();
    const path = service.add({ a: '1' }, 'old', { isLocked: true });
    await expect(client.set({ a: '1' }, 'new')).rejects.toEqual(error('locked'));
    service.override('Get:Attributes', failed('org.freedesktop.Secret.Error.IsLocked'));
    await expect(client.set({ a: '1' }, 'new')).rejects.toEqual(error('locked'));
    service.item(path).isLocked = false;
    await expect(client.set({ a: '1' }, 'new')).rejects.toEqual(error('locked'));
    service.overrides.clear();
    service.override('SetSecret', failed('org.freedesktop.Secret.Error.IsLocked'));
    await expect(client.set({ a: '1' }, 'new')).rejects.toEqual(error('locked'));
    expect(service.items.size).toBe(1);
    await client.close();
  });

  test('makes a new item where the old one goes away meanwhile', async () => {
    for (const member of ['Get:Attributes', 'SetSecret']) {
      const { service, client } = await connected();
      const old = service.add({ a: '1' }, 'old');
      service.override(member, () => {
        service.items.delete(old);
        return failed('org.freedesktop.DBus.Error.UnknownObject');
      });
      const item = await client.set({ a: '1' }, 'new');
      expect([...service.items.keys()]).toEqual([item.path]);
      await client.close();
    }
  });

  test('makes one item of many sets at once, and the last one wins', async () => {
    const { service, client } = await connected();
    const values = Array.from({ length: 50 }, (_, index) => `value ${index}`);
    const items = await Promise.all(values.map((value) => client.set({ a: '1', b: '2' }, value)));
    expect(service.items.size).toBe(1);
    expect(new Set(items.map((item) => item.path)).size).toBe(1);
    expect(text(await client.lookup({ a: '1' }))).toBe('value 49');
    await client.close();
  });

  test('goes on after a set that fails, and gives up waiting at its own deadline', async () => {
    const { service, client } = await connected();
    let created = 0;
    service.override('CreateItem', (_call, proper) => (++created === 1 ? undefined : proper()));
    const controller = new AbortController();
    const first = client.set({ a: '1' }, 'first', { timeoutMs: 300 });
    const second = client.set({ a: '1' }, 'second', { timeoutMs: 30 });
    const third = client.set({ a: '1' }, 'third', { signal: controller.signal });
    const fourth = client.set({ a: '1' }, 'fourth');
    const firstEnds = expect(first).rejects.toMatchObject({ name: 'DeadlineError', timeoutMs: 300 });
    const thirdEnds = expect(third).rejects.toMatchObject({ name: 'CancelledError', cause: 'enough' });
    await expect(second).rejects.toMatchObject({ name: 'DeadlineError', timeoutMs: 30 });
    controller.abort('enough');
    await thirdEnds;
    // The second and third have given up, the first has not: the fourth still waits for it.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(created).toBe(1);
    await firstEnds;
    const item = await fourth;
    expect(created).toBe(2);
    expect([...service.items.keys()]).toEqual([item.path]);
    expect(text(await client.lookup({ a: '1' }))).toBe('fourth');
    await client.close();
  });

  test('takes bytes as they are when it is called', async () => {
    const { service, client } = await connected();
    const bytes = new TextEncoder().encode('secret');
    const setting = client.set({ a: '1' }, bytes);
    bytes.fill(0);
    expect(service.item((await setting).path).value.toString()).toBe('secret');
    await client.close();
  });
});

describe('lookup', () => {
  test('finds nothing', async () => {
    const { service, client } = await connected();
    service.add({ a: '1' }, 'x');
    expect(await client.lookup({ a: '2' })).toBeUndefined();
    await client.close();
  });

  test('takes the item made with exactly these attributes before one that has more', async () => {
    const { service, client } = await connected();
    service.add({ a: '1', b: '2' }, 'more');
    expect(text(await client.lookup({ a: '1' }))).toBe('more');
    service.add({ a: '1' }, 'exact');
    expect(text(await client.lookup({ a: '1' }))).toBe('exact');
    await client.close();
  });

  test('says that the item is locked, and gives no other in its place', async () => {
    const { service, client } = await connected();
    const exact = service.add({ a: '1' }, 'exact', { isLocked: true });
    await expect(client.lookup({ a: '1' })).rejects.toEqual(error('locked'));
    service.add({ a: '1', b: '2' }, 'more');
    await expect(client.lookup({ a: '1' })).rejects.toEqual(error('locked'));
    service.item(exact).attributes.set('c', '3');
    expect(text(await client.lookup({ a: '1' }))).toBe('more');
    await client.close();
  });

  test('does not take what does not have the attributes, whatever the search says', async () => {
    const { service, client } = await connected();
    service.add({ a: '1', b: '1' }, 'wrong');
    const right = service.add({ a: '2' }, 'right');
    service.override('SearchItems', (call, proper) => {
      if (call.path !== '/org/freedesktop/secrets') return proper();
      return { signature: 'aoao', body: [[...service.items.keys()], []] };
    });
    expect(text(await client.lookup({ a: '2' }))).toBe('right');
    expect(await client.clear({ a: '2' })).toBe(1);
    expect(service.items.has(right)).toBe(false);
    expect(service.items.size).toBe(1);
    await client.close();
  });

  test('goes on to the next where an item goes away or turns out to be locked', async () => {
    const { service, client } = await connected();
    const [gone, locked] = [service.add({ a: '1' }, 'gone'), service.add({ a: '1' }, 'locked')];
    service.add({ a: '1' }, 'there');
    service.override('GetSecret', (call, proper) => {
      if (call.path === gone) return failed('org.freedesktop.DBus.Error.UnknownMethod');
      return call.path === locked ? failed('org.freedesktop.Secret.Error.IsLocked') : proper();
    });
    expect(text(await client.lookup({ a: '1' }))).toBe('there');
    service.override('GetSecret', failed('org.freedesktop.DBus.Error.UnknownMethod'));
    expect(await client.lookup({ a: '1' })).toBeUndefined();
    await client.close();
  });
});

describe('clear', () => {
  test('deletes every item that has the attributes, and says how many', async () => {
    const { service, client } = await connected();
    for (let index = 0; index < 100; index++) service.add({ a: '1', index: String(index) }, 'x');
    const kept = service.add({ a: '2' }, 'x');
    expect(await client.clear({ a: '1' })).toBe(100);
    expect([...service.items.keys()]).toEqual([kept]);
    expect(await client.clear({ a: '1' })).toBe(0);
    await client.close();
  });

  test('deletes what it can and says that something is locked', async () => {
    const { service, client } = await connected();
    const locked = service.add({ a: '1' }, 'x', { isLocked: true });
    service.add({ a: '1' }, 'x');
    await expect(client.clear({ a: '1' })).rejects.toEqual(error('locked'));
    expect([...service.items.keys()]).toEqual([locked]);
    await client.close();
  });
});

test('the verbs refuse to mean every item', async () => {
  const { service, client } = await connected();
  service.add({ a: '1' }, 'x');
  const sent = service.calls.length;
  for (const none of [{}, new Map<string, string>()]) {
    await expect(client.clear(none)).rejects.toEqual(error('bad-argument'));
    await expect(client.lookup(none)).rejects.toEqual(error('bad-argument'));
    await expect(client.set(none, 'x')).rejects.toEqual(error('bad-argument'));
  }
  expect(service.calls.length).toBe(sent);
  await client.close();
});
