/** GNOME Keyring's own interface, with which no prompt is needed. */
import { expect, test } from 'vitest';
import {
  Collection,
  createCollectionWithPassword,
  type SecretService,
  unlockWithPassword,
} from '../../src/secret/index.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { ENCRYPTED, LOGIN, MockService } from './support/mock-service.js';
import { prepared, release } from './support/operations.js';
import { failed, returned } from './support/scripted-bus.js';

watchEachTest();

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

test('makes a collection and unlocks it, with a password that travels encrypted and without a prompt', async () => {
  const service = new MockService();
  const client = await service.connect();
  expect(client.session.algorithm).toBe(ENCRYPTED);
  const made = await createCollectionWithPassword(client, 'a label', 'pässword', { alias: 'mine' });
  expect(made).toBeInstanceOf(Collection);
  expect(await made.label()).toBe('a label');
  expect(service.aliases.get('mine')).toBe(made.path);
  await made.lock();
  const password = new TextEncoder().encode('pässword');
  const unlocking = unlockWithPassword(made, password);
  // It was copied.
  password.fill(0);
  await unlocking;
  expect(await made.locked()).toBe(false);
  const sent = JSON.stringify(service.calls.map(({ body }) => body.map(String)));
  expect(sent).not.toContain([...Buffer.from('pässword')].join());
  expect(service.members).not.toContain('Prompt');
  await client.close();
});

test('a wrong password is denied', async () => {
  const service = new MockService();
  const client = await service.connect();
  service.setPassword(LOGIN, 'right');
  service.setLocked(LOGIN, true);
  const collection = await client.defaultCollection();
  await expect(unlockWithPassword(collection, 'wrong')).rejects.toEqual(error('access-denied'));
  expect(await collection.locked()).toBe(true);
  await client.close();
});

test('a service without the interface says so', async () => {
  for (const [name, code] of [
    ['org.freedesktop.DBus.Error.UnknownMethod', 'not-found'],
    ['org.freedesktop.DBus.Error.UnknownInterface', 'not-found'],
    ['org.freedesktop.DBus.Error.NotSupported', 'not-supported'],
  ] as const) {
    const service = new MockService();
    const client = await service.connect();
    service.override('CreateWithMasterPassword', failed(name));
    service.override('UnlockWithMasterPassword', failed(name));
    await expect(createCollectionWithPassword(client, 'x', 'x')).rejects.toEqual(error(code));
    await expect(unlockWithPassword(await client.defaultCollection(), 'x')).rejects.toEqual(error(code));
    await client.close();
  }
});

test('a collection that cannot get its alias is taken back', async () => {
  const { service, client, ...rest } = await prepared();
  const count = service.collections.size;
  service.override('SetAlias', failed('org.freedesktop.DBus.Error.NotSupported'));
  const making = createCollectionWithPassword(client, 'x', 'x', { alias: 'mine' });
  await expect(making).rejects.toEqual(error('not-supported'));
  expect(service.collections.size).toBe(count);
  await release({ service, client, ...rest });
});

test('the deadline and the signal hold also while it is taken back', async () => {
  for (const how of ['deadline', 'signal']) {
    const { service, client, ...rest } = await prepared();
    service.override('SetAlias', undefined);
    service.override('Delete', undefined);
    const controller = new AbortController();
    const start = performance.now();
    const making = createCollectionWithPassword(client, 'x', 'x', {
      alias: 'mine',
      ...(how === 'deadline' ? { timeoutMs: 30 } : { signal: controller.signal }),
    });
    setTimeout(() => controller.abort('enough'), 30);
    const rejection = { name: how === 'deadline' ? 'DeadlineError' : 'CancelledError' };
    await expect(making).rejects.toMatchObject(rejection);
    expect(performance.now() - start).toBeLessThan(500);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(service.members.at(-1)).toBe('Delete');
    await release({ service, client, ...rest });
  }
});

test('what is not a client, a collection, a label, a password or an alias is refused', async () => {
  const { service, client, collection, ...rest } = await prepared();
  const bad = error('bad-argument');
  await expect(createCollectionWithPassword({} as SecretService, 'x', 'x')).rejects.toEqual(bad);
  await expect(createCollectionWithPassword(client, 1 as never, 'x')).rejects.toEqual(bad);
  await expect(createCollectionWithPassword(client, 'x', 1 as never)).rejects.toEqual(bad);
  await expect(createCollectionWithPassword(client, 'x', 'x', { alias: 1 as never })).rejects.toEqual(bad);
  await expect(unlockWithPassword({ path: LOGIN } as Collection, 'x')).rejects.toEqual(bad);
  await expect(unlockWithPassword(collection, undefined as never)).rejects.toEqual(bad);
  expect(service.calls).toEqual([]);
  service.override('CreateWithMasterPassword', returned('o', '/'));
  await expect(createCollectionWithPassword(client, 'x', 'x')).rejects.toEqual(error('bad-reply'));
  service.override('UnlockWithMasterPassword', returned('b', true));
  await expect(unlockWithPassword(collection, 'x')).rejects.toEqual(error('bad-reply'));
  await release({ service, client, collection, ...rest });
});

test('a collection is not made twice where nobody knows whether it was', async () => {
  const { service, client, ...rest } = await prepared();
  service.override('CreateWithMasterPassword', (_call, proper) => {
    proper();
    service.restart();
    return undefined;
  });
  await expect(createCollectionWithPassword(client, 'x', 'x')).rejects.toEqual(error('not-available'));
  expect(service.collections.size).toBe(3);
  await release({ service, client, ...rest });
});
