/** Secrets that are read and not given to the caller are wiped. */
import { afterEach, expect, test, vi } from 'vitest';
import {
  createCollectionWithPassword,
  type Secret,
  type SecretService,
  unlockWithPassword,
} from '../../src/secret/index.js';
import { SecretToStore } from '../../src/secret/secret.js';
import { decodedSecrets } from './support/decoded-secrets.js';
import { MockService } from './support/mock-service.js';
import { failed, returned } from './support/scripted-bus.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

async function connected(): Promise<{ service: MockService; client: SecretService; decoded: Secret[] }> {
  const service = new MockService();
  const client = await service.connect({ session: 'plain' });
  return { service, client, decoded: decodedSecrets(client) };
}

afterEach(() => void vi.restoreAllMocks());

/** Whether each secret that was decoded is wiped, in order. */
const areWiped = (decoded: readonly Secret[]): boolean[] =>
  decoded.map((secret) => {
    try {
      return secret.value === undefined;
    } catch (reason) {
      return reason instanceof Error && 'code' in reason && reason.code === 'disposed';
    }
  });

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

test('lookup of exactly these attributes wipes the secret of another item', async () => {
  const { service, client, decoded } = await connected();
  service.add({ a: '1', more: 'than asked for' }, 'x');
  for (let round = 0; round < 2; round++) {
    expect(await client.lookup({ a: '1' }, { exact: true })).toBeUndefined();
    await settle();
  }
  expect(decoded.length).toBeGreaterThan(0);
  expect(new Set(areWiped(decoded))).toEqual(new Set([true]));
  await client.close();
});

test('lookup wipes the secret when it cannot tell whose it is', async () => {
  for (const [reply, code] of [
    [failed('org.freedesktop.DBus.Error.Failed'), 'failed'],
    [failed('org.freedesktop.Secret.Error.IsLocked'), 'locked'],
    [returned('s', ''), 'bad-reply'],
  ] as const) {
    const { service, client, decoded } = await connected();
    service.add({ a: '1' }, 'x');
    service.override('Get:Attributes', reply);
    await expect(client.lookup({ a: '1' }, { exact: true })).rejects.toEqual(error(code));
    await settle();
    expect(areWiped(decoded)).toEqual([true]);
    await client.close();
  }
});

test('lookup wipes what it has read by a guess that is wrong', async () => {
  const { service, client, decoded } = await connected();
  const first = service.add({ a: '1' }, 'first');
  const given = await client.lookup({ a: '1' });
  expect(given?.text()).toBe('first');
  // Found by the same attributes are now two, and then another one.
  service.add({ a: '1', more: 'x' }, 'second');
  const again = await client.lookup({ a: '1' });
  expect(again?.text()).toBe('first');
  service.items.delete(first);
  const other = await client.lookup({ a: '1' });
  expect(other?.text()).toBe('second');
  service.items.clear();
  expect(await client.lookup({ a: '1' })).toBeUndefined();
  await settle();
  const kept = decoded.filter((_secret, index) => areWiped(decoded)[index] === false);
  expect(kept).toEqual([given, again, other]);
  await client.close();
});

test('findAll wipes all secrets when it fails', async () => {
  const { service, client, decoded } = await connected();
  const paths = [1, 2, 3, 4, 5].map((index) => service.add({ all: 'yes', index: String(index) }, 'x'));
  for (const member of ['GetAll', 'Get:Attributes']) {
    service.override(member, (call, proper) =>
      call.path === paths[4] ? failed('org.freedesktop.DBus.Error.LimitsExceeded') : proper(),
    );
  }
  await expect(client.findAll({ all: 'yes' })).rejects.toEqual(error('failed'));
  // Those of which nobody knows at once, too.
  service.override('GetSecrets', async (_call, proper) => {
    await settle();
    return proper();
  });
  await expect(client.findAll({ all: 'yes' })).rejects.toEqual(error('failed'));
  await settle();
  expect(areWiped(decoded)).toEqual(Array(10).fill(true));
  await client.close();
});

test('findAll wipes the secrets of items that are not wanted', async () => {
  const { service, client, decoded } = await connected();
  service.add({ a: '1', more: 'x' }, 'not wanted');
  service.add({ a: '1' }, 'wanted');
  const found = await client.findAll({ a: '1' }, { exact: true });
  expect(found.map(({ secret }) => secret.text())).toEqual(['wanted']);
  expect(areWiped(decoded)).toEqual([true, false]);
  await client.close();
});

test('findAll wipes the secrets of those that are locked, and of the others with them', async () => {
  const { service, client, decoded } = await connected();
  service.add({ a: '1' }, 'open');
  const path = service.add({ a: '1' }, 'locked');
  for (const member of ['GetAll', 'Get:Attributes']) {
    service.override(member, (call, proper) =>
      call.path === path ? failed('org.freedesktop.Secret.Error.IsLocked') : proper(),
    );
  }
  service.override('GetSecrets', (_call, proper) => {
    const reply = proper();
    service.item(path).isLocked = true;
    return reply;
  });
  await expect(client.findAll({ a: '1' })).rejects.toMatchObject({ code: 'locked', lockedPaths: [path] });
  expect(areWiped(decoded)).toEqual([true, true]);
  await client.close();
});

test('every copy of what is to be stored is wiped, whether it was stored or not', async () => {
  const wiped: SecretToStore[] = [];
  vi.spyOn(SecretToStore.prototype, 'wipe').mockImplementation(function (this: SecretToStore) {
    wiped.push(this);
  });
  for (const isStored of [true, false]) {
    const { service, client } = await connected();
    service.add({ a: '1' }, 'x');
    const collection = await client.defaultCollection();
    const [item] = await collection.items();
    service.setPassword(collection.path, 'secret');
    if (!isStored) service.interceptor = () => failed('org.freedesktop.DBus.Error.LimitsExceeded');
    const secret = 'secret';
    for (const run of [
      () => item?.setSecret(secret),
      () => client.set({ a: '1' }, secret),
      () => client.set({ a: '2' }, secret),
      () => collection.createItem({ label: 'x', attributes: {}, secret }),
      () => createCollectionWithPassword(client, 'x', secret),
      () => unlockWithPassword(collection, secret),
    ]) {
      wiped.length = 0;
      const running = run();
      if (isStored) await running;
      else await expect(running).rejects.toEqual(error('failed'));
      expect(wiped.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual([secret]);
    }
    service.interceptor = undefined;
    await client.close();
  }
});
