import { describe, expect, test } from 'vitest';
import type { ConnectOptions, Item, SecretService } from '../../src/secret/index.js';
import { decodedSecrets } from './support/decoded-secrets.js';
import { LOGIN, MockService } from './support/mock-service.js';
import { failed, returned } from './support/scripted-bus.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const paths = (objects: readonly { path: string }[]): string[] => objects.map((object) => object.path);

async function connected(options: ConnectOptions = {}): Promise<{
  service: MockService;
  client: SecretService;
}> {
  const service = new MockService();
  const client = await service.connect({ session: 'plain', ...options });
  return { service, client };
}

describe('reading many secrets', () => {
  test('takes a call for sixteen items, and keeps their order', async () => {
    const { service, client } = await connected({ session: 'encrypted' });
    for (let index = 0; index < 593; index++) service.add({ a: 'b' }, `secret ${index}`);
    const { unlocked } = await client.search({ a: 'b' });
    unlocked.reverse();
    const before = service.calls.length;
    const secrets = await client.getSecrets(unlocked);
    expect(service.members.slice(before)).toEqual([...Array(37).fill('GetSecrets'), 'GetSecret']);
    expect([...secrets.keys()]).toEqual(unlocked);
    expect([...secrets.values()].map((secret) => secret.text())).toEqual(
      Array.from({ length: 593 }, (_, index) => `secret ${592 - index}`),
    );
    await client.close();
  });

  test('reads 200 secrets with calls that all are under way at once', async () => {
    const { service, client } = await connected();
    for (let index = 0; index < 200; index++) service.add({ a: 'b' }, `secret ${index}`);
    const { unlocked } = await client.search({ a: 'b' });
    const before = service.calls.length;
    // None is answered: those that were sent did not wait for the answer to another.
    service.override('GetSecrets', undefined);
    await expect(client.getSecrets(unlocked, { timeoutMs: 200 })).rejects.toThrow();
    expect(service.members.slice(before)).toEqual(Array(13).fill('GetSecrets'));
    await client.close();
  });

  test('of no items calls nothing', async () => {
    const { service, client } = await connected();
    const before = service.calls.length;
    expect((await client.getSecrets([])).size).toBe(0);
    expect(service.calls.length).toBe(before);
    await client.close();
  });

  test.each([
    [
      'leaves items out',
      (all: Map<string, unknown>) => returned('a{o(oayays)}', new Map([...all].slice(0, 1))),
    ],
    ['gives nothing', () => returned('a{o(oayays)}', new Map())],
    ['fails whole, locked', () => failed('org.freedesktop.Secret.Error.IsLocked')],
    ['fails whole, not found', () => failed('org.freedesktop.DBus.Error.UnknownObject')],
    ['fails whole', () => failed('org.freedesktop.DBus.Error.Failed')],
  ])('goes one by one where the batch %s', async (_name, answer) => {
    const { service, client } = await connected();
    const locked = service.add({ a: 'b' }, 'locked');
    const gone = service.add({ a: 'b' }, 'gone');
    for (let index = 0; index < 100; index++) service.add({ a: 'b' }, `secret ${index}`);
    const { unlocked } = await client.search({ a: 'b' });
    service.item(locked).isLocked = true;
    service.items.delete(gone);
    service.override('GetSecrets', (_call, proper) => {
      const { body } = proper() as { body: [Map<string, unknown>] };
      return answer(body[0]);
    });
    const secrets = await client.getSecrets(unlocked);
    expect(paths([...secrets.keys()])).toEqual([...service.items.keys()].slice(1));
    expect([...secrets.values()].map((secret) => secret.text())).toEqual(
      Array.from({ length: 100 }, (_, index) => `secret ${index}`),
    );
    await client.close();
  });

  test('does not go one by one where that cannot help, and drops what was not asked for', async () => {
    const { service, client } = await connected();
    service.add({ a: 'b' }, '1');
    service.add({ a: 'b' }, '2');
    const { unlocked } = await client.search({ a: 'b' });
    for (const name of [
      'org.freedesktop.Secret.Error.NoSession',
      'org.freedesktop.DBus.Error.ServiceUnknown',
    ]) {
      service.override('GetSecrets', failed(name));
      await expect(client.getSecrets(unlocked)).rejects.toThrow(name);
    }
    expect(service.members).not.toContain('GetSecret');
    service.override('GetSecrets', (_call, proper) => {
      const { body } = proper() as { body: [Map<string, unknown>] };
      return returned('a{o(oayays)}', new Map([...body[0], [`${LOGIN}/99`, body[0].get(`${LOGIN}/1`)]]));
    });
    // Those errors mean that the session has gone; this opens the next one.
    await client.collections();
    const decoded = decodedSecrets(client);
    expect((await client.getSecrets(unlocked)).size).toBe(2);
    expect(decoded).toHaveLength(2);
    await client.close();
  });

  test('gives each Item object of one path a secret of its own', async () => {
    const { service, client } = await connected();
    service.add({ a: 'b' }, 'x');
    const [one] = (await client.search({ a: 'b' })).unlocked as [Item];
    const [two] = (await client.search({ a: 'b' })).unlocked as [Item];
    const secrets = await client.getSecrets([one, two, one]);
    expect(secrets.size).toBe(2);
    secrets.get(one)?.[Symbol.dispose]();
    expect(secrets.get(two)?.text()).toBe('x');
    await client.close();
  });

  test('wipes what it has read when it fails', async () => {
    const { service, client } = await connected();
    for (let index = 0; index < 300; index++) service.add({ a: 'b' }, `secret ${index}`);
    const { unlocked } = await client.search({ a: 'b' });
    const decoded = decodedSecrets(client);
    let batches = 0;
    service.override('GetSecrets', (_call, proper) =>
      ++batches <= 10 ? proper() : failed('org.freedesktop.Secret.Error.NoSession'),
    );
    await expect(client.getSecrets(unlocked)).rejects.toEqual(error('session'));
    expect(decoded).toHaveLength(160);
    for (const secret of decoded) expect(() => secret.value).toThrow(error('disposed'));
    await client.close();
  });
});

/** What each GetSecrets came to, in bytes of secrets. */
function replyByteLengths(service: MockService): number[] {
  const byteLengths: number[] = [];
  service.override('GetSecrets', (call, proper) => {
    const [asked] = call.body as [string[]];
    byteLengths.push(asked.reduce((sum, path) => sum + service.item(path).value.byteLength, 0));
    return proper();
  });
  return byteLengths;
}

describe('large secrets', () => {
  const MIB = 2 ** 20;

  test('never come in one reply that ends the daemon', async () => {
    const { service, client } = await connected();
    const value = new Uint8Array(MIB).fill(0x61);
    for (let index = 0; index < 140; index++) service.add({ a: 'b' }, value);
    const byteLengths = replyByteLengths(service);
    const { unlocked } = await client.search({ a: 'b' });
    const secrets = await client.getSecrets(unlocked);
    expect(secrets.size).toBe(140);
    // Before the first answer nothing is known of their size.
    expect(Math.max(...byteLengths)).toBeLessThanOrEqual(17 * MIB);
    await client.close();
  });

  test.each([
    { byteLength: MIB / 2, batchLength: 16 },
    { byteLength: MIB, batchLength: 8 },
    { byteLength: MIB + 1, batchLength: 7 },
    { byteLength: 2 * MIB, batchLength: 4 },
    { byteLength: 4 * MIB, batchLength: 2 },
    { byteLength: 4 * MIB + 1, batchLength: 1 },
    { byteLength: 9 * MIB, batchLength: 1 },
  ])('of $byteLength bytes make the batches after them $batchLength long', async (row) => {
    const { service, client } = await connected();
    service.add({ a: 'b' }, new Uint8Array(row.byteLength));
    // As many as are under way before the first answer, and two more batches.
    for (let index = 1; index < 32 * 16 + 2 * row.batchLength; index++) service.add({ a: 'b' }, 'x');
    const { unlocked } = await client.search({ a: 'b' });
    const asked: number[] = [];
    service.override('GetSecrets', (call, proper) => {
      asked.push((call.body as [string[]])[0].length);
      return proper();
    });
    const before = service.calls.length;
    expect((await client.getSecrets(unlocked)).size).toBe(unlocked.length);
    const later = row.batchLength > 1 ? [row.batchLength, row.batchLength] : [];
    expect(asked).toEqual([...Array(32).fill(16), ...later]);
    expect(service.members.slice(before).filter((member) => member === 'GetSecret')).toHaveLength(
      2 - later.length,
    );
    await client.close();
  });
});
