/**
 * Many large secrets on a real GNOME Keyring, whose daemon ends when a reply of it would be over 2^26
 * bytes. They are in the collection `session`, which has no file to be written anew for each of them.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { type Item, SecretService } from '../../src/secret/index.js';
import { openBus } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));
const MIB = 2 ** 20;

async function store(service: SecretService, values: readonly Uint8Array[]): Promise<Item[]> {
  const collection = await service.collection('session');
  const items: Item[] = [];
  for (const [index, secret] of values.entries()) {
    items.push(
      await collection.createItem({
        label: 'large',
        attributes: { large: '1', index: `${index}` },
        secret,
      }),
    );
  }
  return items;
}

describeWith('gnome-keyring-daemon', present)('many secrets on a real keyring', () => {
  let daemon: PrivateKeyring;

  beforeEach(async () => {
    daemon = await startPrivateKeyring();
  });

  afterEach(async () => {
    await daemon.close();
  });

  /** The unique name that owns the service: another one if the daemon ended meanwhile, or none. */
  async function owner(): Promise<unknown> {
    await using bus = await openBus(daemon.address);
    const [name] = await bus.call({
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus',
      member: 'GetNameOwner',
      signature: 's',
      body: ['org.freedesktop.secrets'],
      replySignature: 's',
    });
    return name;
  }

  it.each(['plain', 'encrypted'] as const)(
    'reads 140 of 1 MiB over a session that is %s, and the daemon lives on',
    async (session) => {
      await using service = await SecretService.connect({
        address: daemon.address,
        session,
        timeoutMs: 60_000,
      });
      const values = Array.from({ length: 140 }, () => randomBytes(MIB));
      const items = await store(service, values);
      const before = await owner();
      const secrets = await service.getSecrets(items);
      expect(secrets.size).toBe(140);
      const isSame = items.map((item, index) =>
        values[index]?.equals(secrets.get(item)?.value ?? values[0]!),
      );
      expect(isSame).toEqual(Array(140).fill(true));
      expect(await owner()).toBe(before);
    },
    120_000,
  );

  it('reads small ones and a few that are very large, in any order', async () => {
    await using service = await SecretService.connect({ address: daemon.address, timeoutMs: 60_000 });
    const values = Array.from({ length: 300 }, (_, index) =>
      index % 64 === 0 ? randomBytes(20 * MIB) : randomBytes(index),
    );
    const items = await store(service, values);
    const before = await owner();
    const secrets = await service.getSecrets(items);
    expect(items.map((item) => secrets.get(item)?.value.byteLength)).toEqual(
      values.map((value) => value.byteLength),
    );
    expect(await owner()).toBe(before);
  }, 120_000);
});
