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
    [{ 'xdg:content-type': 'text/plain' }],
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

/** What a keyring makes of `{ service, account }`, and the items of others that a search finds with it. */
const SCHEMA = 'org.freedesktop.Secret.Generic';
const wanted = { 'xdg:schema': SCHEMA, service: 's', account: 'ann' };
const additions = { 'xdg:content-type': 'text/plain', Uuid: '1', Path: '/t', Title: 't' };
const exact = true;

describe('with `exact`, lookup and clear', () => {
  test('leave items alone that have more attributes', async () => {
    const { service, client } = await connected();
    const more = service.add({ ...wanted, profile: 'work' }, 'more');
    expect(await client.lookup(wanted, { exact })).toBeUndefined();
    expect(await client.clear(wanted, { exact })).toBe(0);
    expect(text(await client.lookup(wanted, { exact: false }))).toBe('more');
    const ours = service.add({ ...wanted, ...additions }, 'ours');
    expect(text(await client.lookup(wanted, { exact }))).toBe('ours');
    expect(await client.clear(wanted, { exact })).toBe(1);
    expect(service.items.has(ours)).toBe(false);
    expect(service.items.has(more)).toBe(true);
    expect(await client.clear(wanted, { exact: false })).toBe(1);
    await client.close();
  });

  test('do not mind locked items of others, and do mind what may be theirs', async () => {
    const { service, client } = await connected();
    service.add({ ...wanted, profile: 'work' }, 'more', { isLocked: true });
    expect(await client.lookup(wanted, { exact })).toBeUndefined();
    expect(await client.clear(wanted, { exact })).toBe(0);
    const path = service.add(wanted, 'ours', { isLocked: true });
    await expect(client.lookup(wanted, { exact })).rejects.toEqual(error('locked'));
    await expect(client.clear(wanted, { exact })).rejects.toEqual(error('locked'));
    service.items.delete(path);
    // Its attributes are locked with it: it may be the one.
    service.override('Get:Attributes', failed('org.freedesktop.Secret.Error.IsLocked'));
    await expect(client.lookup(wanted, { exact })).rejects.toEqual(error('locked'));
    await expect(client.clear(wanted, { exact })).rejects.toEqual(error('locked'));
    expect(service.items.size).toBe(1);
    await client.close();
  });

  test('do not mind items that vanish meanwhile', async () => {
    const { service, client } = await connected();
    const gone = service.add(wanted, 'gone');
    service.override('Get:Attributes', (call, proper) => {
      if (call.path === gone) service.items.delete(gone);
      return proper();
    });
    expect(await client.lookup(wanted, { exact })).toBeUndefined();
    service.add(wanted, 'there');
    service.override('SearchItems', { signature: 'aoao', body: [[gone, ...service.items.keys()], []] });
    expect(text(await client.lookup(wanted, { exact }))).toBe('there');
    expect(await client.clear(wanted, { exact })).toBe(1);
    await client.close();
  });

  test('take nothing but a boolean for it', async () => {
    const { service, client } = await connected();
    service.add(wanted, 'x');
    for (const bad of [null, 'yes', 1, {}]) {
      const options = { exact: bad as unknown as boolean };
      await expect(client.lookup(wanted, options)).rejects.toEqual(error('bad-argument'));
      await expect(client.clear(wanted, options)).rejects.toEqual(error('bad-argument'));
      await expect(client.listValues({ a: '1' }, 'b', options)).rejects.toEqual(error('bad-argument'));
    }
    expect(service.items.size).toBe(1);
    await client.close();
  });
});

describe('listValues', () => {
  const { account: _, ...ofService } = wanted;

  test('gives the values of an attribute, each once, of items with more attributes as well', async () => {
    const { service, client } = await connected();
    for (const account of ['bob', 'ann', 'bob', '']) service.add({ ...ofService, account }, 'x');
    service.add({ ...ofService, account: 'cleo', profile: 'work' }, 'x');
    service.add({ ...ofService, account: 'dan' }, 'x', { isLocked: true });
    service.add({ ...ofService, profile: 'work' }, 'x');
    service.add({ ...wanted, service: 'other', account: 'eve' }, 'x');
    expect(await client.listValues(ofService, 'account')).toEqual(['bob', 'ann', '', 'cleo', 'dan']);
    expect(await client.listValues({ service: 'none' }, 'account')).toEqual([]);
    await client.close();
  });

  test('with `exact` gives those of items with these attributes and that one', async () => {
    const { service, client } = await connected();
    service.add({ ...ofService, ...additions, account: 'ann' }, 'x');
    service.add({ ...ofService, account: 'dan' }, 'x', { isLocked: true });
    service.add({ ...ofService, account: 'cleo', profile: 'work' }, 'x');
    service.add(ofService, 'x');
    expect(await client.listValues(ofService, 'account', { exact })).toEqual(['ann', 'dan']);
    await client.close();
  });

  test('leaves out what vanishes, and what does not have the attributes whatever the search says', async () => {
    const { service, client } = await connected();
    const gone = service.add({ ...ofService, account: 'gone' }, 'x');
    service.add({ ...ofService, account: 'ann' }, 'x');
    service.add({ ...ofService, service: 'other', account: 'bob' }, 'x');
    service.override('SearchItems', { signature: 'aoao', body: [[...service.items.keys()], []] });
    service.items.delete(gone);
    expect(await client.listValues(ofService, 'account')).toEqual(['ann']);
    expect(await client.listValues(ofService, 'account', { exact })).toEqual(['ann']);
    await client.close();
  });

  test('says that an item is locked if its attributes are, for it may be one of them', async () => {
    const { service, client } = await connected();
    service.add({ ...ofService, account: 'ann' }, 'x');
    const locked = service.add({ ...ofService, account: 'bob' }, 'x', { isLocked: true });
    service.override('Get:Attributes', (call, proper) =>
      call.path === locked ? failed('org.freedesktop.Secret.Error.IsLocked') : proper(),
    );
    await expect(client.listValues(ofService, 'account')).rejects.toEqual(error('locked'));
    await client.close();
  });

  test('reports any other failure', async () => {
    const { service, client } = await connected();
    service.add({ ...ofService, account: 'ann' }, 'x');
    service.override('Get:Attributes', failed('org.freedesktop.DBus.Error.NoReply'));
    await expect(client.listValues(ofService, 'account')).rejects.toEqual(error('not-available'));
    await client.close();
  });

  test('refuses what is no name, and one that is wanted already', async () => {
    const { service, client } = await connected();
    const sent = service.calls.length;
    for (const name of [undefined, null, 1, 'service'] as unknown as string[]) {
      await expect(client.listValues(ofService, name)).rejects.toEqual(error('bad-argument'));
    }
    await expect(client.listValues({}, 'account')).rejects.toEqual(error('bad-argument'));
    expect(service.calls.length).toBe(sent);
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
