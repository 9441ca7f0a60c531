/** What the client does on any provider whose default collection is open, with nobody at the screen. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Collection, isAvailable, probe, SecretService } from '../../../src/secret/index.js';
import { openBus } from '../../../src/wire/index.js';
import { ATTRIBUTE_SETS, secretError, VALUES } from './expectations.js';
import type { PrivateProvider } from './providers.js';

/** How the provider differs where the specification leaves it open. */
export interface Traits {
  readonly start: () => Promise<PrivateProvider>;
  /** Whether attributes that are not named any more are gone after they were set. */
  readonly replacesAttributes: boolean;
}

/** What secret-tool writes to standard output. */
function secretTool(provider: PrivateProvider, parameters: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync('secret-tool', parameters, {
    env: provider.env,
    input,
    timeout: 20_000,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

/** Defines the tests; to be called inside `describe`. */
export function testContract({ start, replacesAttributes }: Traits): void {
  let provider: PrivateProvider;
  let service: SecretService;
  let collection: Collection;

  beforeAll(async () => {
    provider = await start();
    service = await SecretService.connect({ address: provider.address });
    collection = await service.defaultCollection();
  });

  beforeEach(async () => {
    for (const item of await collection.items()) await item.delete();
  });

  afterAll(async () => {
    await service?.close();
    await provider?.close();
  });

  it('is there, and ready', async () => {
    expect(await isAvailable({ address: provider.address })).toBe(true);
    const { collectionPath } = provider;
    expect(await probe({ address: provider.address })).toMatchObject({
      state: 'ready',
      defaultCollection: collectionPath,
    });
    expect(collection.path).toBe(collectionPath);
    expect((await service.anyCollection()).path).toBe(collectionPath);
    expect((await service.collections()).map(({ path }) => path)).toEqual([collectionPath]);
    expect((await service.collection('default')).path).toBe(collectionPath);
    expect((await service.collection(collectionPath)).path).toBe(collectionPath);
    await expect(service.collection('nothing')).rejects.toEqual(secretError('not-found'));
    const missing = '/org/freedesktop/secrets/collection/nothing';
    await expect(service.collection(missing)).rejects.toEqual(secretError('not-found'));
  });

  it('has an encrypted session, or a plain one where that is asked for', async () => {
    expect(service.session).toMatchObject({
      algorithm: 'dh-ietf1024-sha256-aes128-cbc-pkcs7',
      encrypted: true,
    });
    const item = await service.set({ a: 'b' }, 'pässwörd');
    await using plain = await SecretService.connect({ address: provider.address, session: 'plain' });
    expect(plain.session).toMatchObject({ algorithm: 'plain', encrypted: false });
    expect((await plain.lookup({ a: 'b' }))?.text()).toBe('pässwörd');
    await plain.set({ a: 'b' }, 'new');
    expect((await item.getSecret()).text()).toBe('new');
  });

  it('agrees on a key in every one of many sessions', async () => {
    await service.set({ a: 'b' }, 'the same');
    await using bus = await openBus(provider.address);
    for (let count = 0; count < 300; count++) {
      await using other = await SecretService.connect({ bus });
      expect((await other.lookup({ a: 'b' }))?.text()).toBe('the same');
    }
  });

  it.each(VALUES)('keeps %s', async (_name, value) => {
    const made = await collection.createItem({ label: 'made', attributes: { made: '1' }, secret: value });
    expect(Buffer.from((await made.getSecret()).value).equals(value)).toBe(true);
    const item = await service.set({ kept: '1' }, value);
    expect(Buffer.from((await item.getSecret()).value).equals(value)).toBe(true);
    // Over text and over bytes, which some store in different places.
    for (const before of ['other', Uint8Array.of(0xff, 0)]) {
      await service.set({ kept: '1' }, before);
      await service.set({ kept: '1' }, value);
      const found = await service.lookup({ kept: '1' });
      expect(found !== undefined && Buffer.from(found.value).equals(value)).toBe(true);
      const batch = await service.getSecrets([item]);
      expect(Buffer.from(batch.get(item)?.value ?? 'missing').equals(value)).toBe(true);
    }
    expect(await collection.items()).toHaveLength(2);
  });

  it.each(ATTRIBUTE_SETS)('finds by attributes: %s', async (_name, attributes) => {
    const item = await service.set(attributes, 'ours', { label: 'a läbel' });
    expect(Object.fromEntries(await item.attributes())).toMatchObject(attributes);
    expect(await item.label()).toBe('a läbel');
    expect((await service.lookup(attributes, { exact: true }))?.text()).toBe('ours');
    expect((await service.set(attributes, 'changed')).path).toBe(item.path);
    expect((await service.search(attributes)).unlocked).toMatchObject([{ path: item.path }]);
    expect(await collection.search(attributes)).toMatchObject([{ path: item.path }]);
    expect((await service.lookup(attributes))?.text()).toBe('changed');
    expect(await service.clear(attributes, { exact: true })).toBe(1);
    expect(await service.lookup(attributes)).toBeUndefined();
  });

  it('changes the item with these attributes and no other', async () => {
    const attributes = { service: 'mail', account: 'ann' };
    const exact = true;
    const more = await service.set({ ...attributes, port: '25' }, 'more');
    const fewer = await service.set({ service: 'mail' }, 'fewer');
    const item = await service.set(attributes, 'new', { label: 'first' });
    await service.set(attributes, 'newer', { label: 'second' });
    await service.set(attributes, Uint8Array.of(0xff, 0xfe));
    expect(await collection.items()).toHaveLength(3);
    expect(Buffer.from((await item.getSecret()).value)).toEqual(Buffer.of(0xff, 0xfe));
    expect(await item.label()).toBe('second');
    expect((await more.getSecret()).text()).toBe('more');
    expect((await fewer.getSecret()).text()).toBe('fewer');
    expect((await service.listValues({ service: 'mail' }, 'account')).toSorted()).toEqual(['ann']);
    expect((await service.lookup({ service: 'mail' }, { exact }))?.text()).toBe('fewer');
    expect(await service.clear(attributes, { exact })).toBe(1);
    expect(await service.clear({ service: 'mail' })).toBe(2);
    expect(await collection.items()).toEqual([]);
  });

  it('does not take an item for another one that has names that providers use too', async () => {
    const wanted = { application: 'x' };
    for (const added of [
      { URL: 'https://bank' },
      { UserName: 'ann' },
      { 'xdg:schema': 'org.example.Bank' },
    ]) {
      await service.set({ ...wanted, ...added }, 'BANK');
      await service.set(wanted, 'OTHER');
      await service.set(wanted, 'CHANGED');
      expect((await service.lookup({ ...wanted, ...added }))?.text()).toBe('BANK');
      expect(await collection.items()).toHaveLength(2);
      expect(await service.clear(wanted)).toBe(2);
    }
  });

  it('keeps labels', async () => {
    for (const label of ['läbel 🔑', 'folder/name', 'a/b/c', '/first', 'last/', 'x'.repeat(1000)]) {
      const item = await collection.createItem({ label, attributes: { label }, secret: 'kept' });
      expect(await item.label()).toBe(label);
      expect((await item.getSecret()).text()).toBe('kept');
    }
    const nameless = await collection.createItem({ label: '', attributes: { a: 'b' }, secret: 'x' });
    expect(await nameless.label()).not.toBe('');
    const item = await service.set({ c: 'd' }, 'x', { label: 'old' });
    await item.setLabel('nëw');
    expect(await item.label()).toBe('nëw');
    expect((await item.getSecret()).text()).toBe('x');
  });

  it.each(['text', Uint8Array.of(0xff, 0, 0xfe)])(
    'keeps the secret %s when the label changes',
    async (value) => {
      const secret = Buffer.from(value);
      const item = await service.set({ c: 'd' }, value, { label: 'old' });
      for (const label of ['new', 'a/b', 'a/c', 'plain', '/d', 'e/', '']) {
        await item.setLabel(label);
        expect(Buffer.from((await item.getSecret()).value).equals(secret), `label '${label}'`).toBe(true);
        await service.set({ c: 'd' }, value, { label: `by set/${label}` });
        expect(Buffer.from((await item.getSecret()).value).equals(secret), `set label '${label}'`).toBe(true);
      }
    },
  );

  it('changes attributes', async () => {
    const item = await service.set({ a: 'b', stays: '1' }, 'x');
    await item.setAttributes({ c: 'd', e: '', stays: '2' });
    const attributes = await item.attributes();
    expect(Object.fromEntries(attributes)).toMatchObject({ c: 'd', e: '', stays: '2' });
    expect(attributes.has('a')).toBe(!replacesAttributes);
    expect((await service.lookup({ c: 'd' }))?.text()).toBe('x');
    // What was read can be written: with it comes what the provider has added.
    attributes.set('c', 'changed');
    await item.setAttributes(attributes);
    expect((await service.lookup({ c: 'changed' }))?.text()).toBe('x');
  });

  it('knows times, and reads properties in one call', async () => {
    const before = Date.now() - 2000;
    const item = await service.set({ a: 'b' }, 'x', { label: 'timed' });
    const { label, attributes, locked, created, modified } = await item.properties();
    expect({ label, locked }).toEqual({ label: 'timed', locked: false });
    expect(attributes.get('a')).toBe('b');
    for (const time of [created, modified, await item.created(), await item.modified()]) {
      expect(time?.getTime()).toBeGreaterThan(before);
      expect(time?.getTime()).toBeLessThan(Date.now() + 2000);
    }
    const ofCollection = await collection.properties();
    expect(ofCollection).toMatchObject({ locked: false, itemPaths: [item.path] });
    expect((await service.getProperties([item])).get(item)).toMatchObject({ label: 'timed', locked: false });
  });

  it('changes the label of the collection', async () => {
    const before = await collection.label();
    await collection.setLabel('Pässwords');
    expect(await collection.label()).toBe('Pässwords');
    await collection.setLabel(before);
    expect((await service.defaultCollection()).path).toBe(collection.path);
  });

  it('notices what another program deletes', async () => {
    const item = await service.set({ a: 'b' }, 'x');
    await using other = await SecretService.connect({ address: provider.address });
    expect(await other.clear({ a: 'b' })).toBe(1);
    expect(await service.lookup({ a: 'b' })).toBeUndefined();
    for (const run of [
      () => item.getSecret(),
      () => item.setSecret('x'),
      () => item.label(),
      () => item.setLabel('x'),
      () => item.attributes(),
      () => item.setAttributes({ a: 'c' }),
      () => item.properties(),
      () => item.locked(),
      () => item.delete(),
    ]) {
      await expect(run(), run.toString()).rejects.toEqual(secretError('not-found'));
    }
    const kept = await service.set({ c: 'd' }, 'kept');
    const secrets = await service.getSecrets([item, kept]);
    expect([...secrets.keys()]).toEqual([kept]);
    expect(secrets.get(kept)?.text()).toBe('kept');
    expect([...(await service.getProperties([item, kept])).keys()]).toEqual([kept]);
    expect((await service.set({ a: 'b' }, 'again')).path).not.toBe(item.path);
  });

  it('reads 200 items, by batch and by one search', async () => {
    const stored = Array.from({ length: 200 }, (_, index) => randomBytes(index));
    for (const [index, secret] of stored.entries()) {
      await collection.createItem({
        label: `${index}`,
        attributes: { many: '1', index: `${index}` },
        secret,
      });
    }
    const items = await collection.search({ many: '1' });
    expect(items).toHaveLength(200);
    const secrets = await service.getSecrets(items);
    const properties = await service.getProperties(items);
    for (const item of items) {
      const index = Number(properties.get(item)?.attributes.get('index'));
      expect(Buffer.from(secrets.get(item)?.value ?? '').equals(stored[index] ?? randomBytes(1))).toBe(true);
    }
    const found = await service.findAll({ many: '1' });
    expect(found).toHaveLength(200);
    for (const { attributes, secret } of found) {
      const wanted = stored[Number(attributes.get('index'))];
      expect(wanted !== undefined && Buffer.from(secret.value).equals(wanted)).toBe(true);
    }
    expect((await service.listValues({ many: '1' }, 'index')).length).toBe(200);
    expect(await service.clear({ many: '1' })).toBe(200);
    expect(await collection.items()).toEqual([]);
  });

  it('makes one item of many sets at once, and many of different ones', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, index) => service.set({ a: 'b' }, `${index}`)));
    expect(await collection.items()).toHaveLength(1);
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('19');
    await Promise.all(Array.from({ length: 20 }, (_, index) => service.set({ c: `${index}` }, `${index}`)));
    const read = await Promise.all(
      Array.from({ length: 20 }, (_, index) => service.lookup({ c: `${index}` })),
    );
    expect(read.map((secret) => secret?.text())).toEqual(
      Array.from({ length: 20 }, (_, index) => `${index}`),
    );
  });

  it('agrees with libsecret in both directions', async () => {
    await service.set({ made: 'here' }, 'pässwörd ✓', { label: 'ours' });
    expect(secretTool(provider, ['lookup', 'made', 'here'])).toBe('pässwörd ✓');
    secretTool(provider, ['store', '--label=theirs', 'made', 'there'], 'auch gëheim');
    const theirs = await service.lookup({ made: 'there' }, { exact: true });
    expect(theirs?.text()).toBe('auch gëheim');
    const item = await service.set({ made: 'there' }, 'ours now');
    expect(await item.label()).toBe('theirs');
    expect(secretTool(provider, ['lookup', 'made', 'there'])).toBe('ours now');
    secretTool(provider, ['clear', 'made', 'here']);
    expect(await service.lookup({ made: 'here' })).toBeUndefined();
    expect(await collection.items()).toHaveLength(1);
  });

  it('tells what changes, without names of aliases', async () => {
    await using other = await SecretService.connect({ address: provider.address });
    await using watch = service.watch();
    await watch.ready;
    const item = await other.set({ a: 'b' }, 'x');
    await item.setLabel('changed');
    await item.delete();
    const seen: string[] = [];
    for await (const change of watch) {
      if (!('item' in change) || change.item === undefined) continue;
      expect(change.collection.path).toBe(collection.path);
      expect(change.item.path).toBe(item.path);
      if (!seen.includes(change.type)) seen.push(change.type);
      if (change.type === 'item-deleted') break;
    }
    expect(seen.toSorted()).toEqual(['item-changed', 'item-created', 'item-deleted']);
  });
}
