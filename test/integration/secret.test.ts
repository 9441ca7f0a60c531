/** The client against a real GNOME Keyring, with libsecret's secret-tool as the judge of both directions. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  type PrivateKeyring,
  startPrivateBus,
  startPrivateKeyring,
} from '../../scripts/lib/private-services.mjs';
import { type Collection, isAvailable, SecretService } from '../../src/secret/index.js';
import { openBus } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) =>
  runs('which', [program]),
);
const describeKeyring = describeWith('gnome-keyring-daemon with secret-tool', present);

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

interface ToolResult {
  readonly status: number | null;
  readonly output: Buffer;
}

function secretTool(daemon: PrivateKeyring, parameters: readonly string[], input?: Uint8Array): ToolResult {
  const { status, stdout } = spawnSync('secret-tool', parameters, {
    env: daemon.env,
    input: input ?? new Uint8Array(0),
    timeout: 20_000,
    maxBuffer: 2 ** 24,
  });
  return { status, output: stdout };
}

/** The sockets of this process that are open. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;
}

const flat = (attributes: Record<string, string>): string[] => Object.entries(attributes).flat();

/** Values that have gone wrong somewhere: nothing, NUL, every byte, line ends, blocks, size. */
const values: [string, Uint8Array][] = [
  ['text', Buffer.from('pässwörd ✓ 🔑')],
  ['one byte', Uint8Array.of(0x61)],
  ['NUL bytes', Uint8Array.of(0, 0x61, 0, 0)],
  ['all bytes', Uint8Array.from({ length: 256 }, (_, byte) => byte)],
  ['invalid UTF-8', Uint8Array.of(0xff, 0xfe, 0xc0, 0x80)],
  ['line ends', Buffer.from('\r\na\n\n')],
  ['a block', Buffer.from('0123456789abcdef')],
  ['bytes that look like padding', new Uint8Array(16).fill(16)],
  ['64 KiB of text', Buffer.from('x'.repeat(65_536))],
  ['64 KiB of random bytes', randomBytes(65_536)],
];

/** What secret-tool reads of its standard input; it drops the rest without a word. */
const MAX_TOOL_BYTE_LENGTH = 8192;

const attributeSets: [string, Record<string, string>][] = [
  ['one', { one: '1' }],
  ['an empty value', { empty: '', full: 'x' }],
  ['unicode', { ключ: 'значение', '🔑': 'ünï', 'a b': 'c d' }],
  ['marks', { '=': '=', "'": '"', '/': '\\', $HOME: '`x`' }],
  ['names of Object', { __proto__x: '1', constructor: '2', toString: '3', hasOwnProperty: '4' }],
  ['a long value', { long: 'x'.repeat(10_000) }],
  ['many', Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`name${index}`, String(index)]))],
];

describeKeyring('the Secret Service client on a real keyring', () => {
  let daemon: PrivateKeyring;
  let service: SecretService;
  let collection: Collection;

  beforeAll(async () => {
    daemon = await startPrivateKeyring();
    service = await SecretService.connect({ env: daemon.env });
    collection = await service.defaultCollection();
  });

  beforeEach(async () => {
    await Promise.all((await collection.items()).map((item) => item.delete()));
  });

  afterAll(async () => {
    await service?.close();
    await daemon?.close();
  });

  it('has an encrypted session, or a plain one where that is asked for', async () => {
    expect(service.session.algorithm).toBe('dh-ietf1024-sha256-aes128-cbc-pkcs7');
    expect(await isAvailable({ address: daemon.address })).toBe(true);
    const item = await service.set({ a: 'b' }, 'pässwörd');
    await using plain = await SecretService.connect({ address: daemon.address, session: 'plain' });
    expect(plain.session).toMatchObject({ algorithm: 'plain', encrypted: false });
    expect((await plain.lookup({ a: 'b' }))?.text()).toBe('pässwörd');
    await plain.set({ a: 'b' }, 'new');
    expect((await item.getSecret()).text()).toBe('new');
  });

  it('agrees on a key with the daemon in every one of many sessions', async () => {
    await service.set({ a: 'b' }, 'the same');
    const bus = await openBus(daemon.address);
    for (let count = 0; count < 300; count++) {
      const other = await SecretService.connect({ bus });
      expect((await other.lookup({ a: 'b' }))?.text()).toBe('the same');
      await other.close();
    }
    await bus.close();
  });

  it.each(values)('writes %s and secret-tool reads it', async (_name, value) => {
    await service.set({ direction: 'out' }, value);
    const { status, output } = secretTool(daemon, ['lookup', 'direction', 'out']);
    expect(status).toBe(0);
    expect(output.equals(value)).toBe(true);
  });

  it.each(values)('reads %s that secret-tool has written', async (_name, whole) => {
    const value = whole.subarray(0, MAX_TOOL_BYTE_LENGTH);
    expect(secretTool(daemon, ['store', '--label=x', 'direction', 'in'], value).status).toBe(0);
    const secret = await service.lookup({ direction: 'in' });
    expect(secret !== undefined && Buffer.from(secret.value).equals(value)).toBe(true);
    // GNOME Keyring keeps no content type.
    expect(secret?.contentType).toBe('text/plain');
  });

  it('keeps an empty secret, from either side', async () => {
    const item = await service.set({ empty: 'ours' }, '');
    expect((await item.getSecret()).value).toEqual(new Uint8Array(0));
    expect(secretTool(daemon, ['lookup', 'empty', 'ours']).output.byteLength).toBe(0);
    expect(secretTool(daemon, ['store', '--label=x', 'empty', 'theirs']).status).toBe(0);
    expect((await service.lookup({ empty: 'theirs' }))?.text()).toBe('');
  });

  it.each(attributeSets)('finds and is found by attributes: %s', async (_name, attributes) => {
    const ours = await service.set(attributes, 'ours', { label: 'a läbel' });
    // GNOME Keyring adds a schema now and then.
    expect(Object.fromEntries(await ours.attributes())).toMatchObject(attributes);
    expect(await ours.label()).toBe('a läbel');
    expect(secretTool(daemon, ['lookup', ...flat(attributes)]).output.toString()).toBe('ours');
    // What secret-tool stores it takes to be the same item, and so do we.
    expect(
      secretTool(daemon, ['store', '--label=y', ...flat(attributes)], Buffer.from('theirs')).status,
    ).toBe(0);
    const { unlocked } = await service.search(attributes);
    expect(unlocked.length).toBeGreaterThan(0);
    for (const item of unlocked) {
      const found = await item.attributes();
      for (const [name, value] of Object.entries(attributes)) expect(found.get(name)).toBe(value);
    }
    expect(await service.clear(attributes)).toBe(unlocked.length);
    expect(secretTool(daemon, ['lookup', ...flat(attributes)]).status).toBe(1);
  });

  it('changes the item that secret-tool has made, and not one that has more attributes', async () => {
    const attributes = { service: 'mail', account: 'ann' };
    secretTool(daemon, ['store', '--label=their label', ...flat(attributes)], Buffer.from('old'));
    const more = await collection.createItem({
      label: 'more',
      attributes: { ...attributes, port: '25' },
      secret: 'more',
    });
    const item = await service.set(attributes, 'new');
    expect(await collection.items()).toHaveLength(2);
    expect(item.path).not.toBe(more.path);
    expect(await item.label()).toBe('their label');
    expect((await more.getSecret()).text()).toBe('more');
    expect((await service.lookup(attributes))?.text()).toBe('new');
    const all = secretTool(daemon, ['search', '--all', ...flat(attributes)]).output.toString();
    expect(all).toContain('secret = new');
    expect(all).toContain('secret = more');
    expect(all).not.toContain('secret = old');
  });

  it('with `exact` takes the item that was made with the attributes, and leaves those with more', async () => {
    const attributes = { service: 'mail', account: 'ann' };
    const exact = true;
    const more = { ...attributes, profile: 'work' };
    secretTool(daemon, ['store', '--label=more', ...flat(more)], Buffer.from('more'));
    expect((await service.lookup(attributes))?.text()).toBe('more');
    expect(await service.lookup(attributes, { exact })).toBeUndefined();
    expect(await service.clear(attributes, { exact })).toBe(0);
    secretTool(
      daemon,
      ['store', '--label=same', ...flat({ ...attributes, account: 'bob' })],
      Buffer.from('b'),
    );
    expect((await service.lookup({ ...attributes, account: 'bob' }, { exact }))?.text()).toBe('b');
    expect((await service.listValues({ service: 'mail' }, 'account')).toSorted()).toEqual(['ann', 'bob']);
    expect(await service.listValues({ service: 'mail' }, 'account', { exact })).toEqual(['bob']);
    expect(await service.clear({ ...attributes, account: 'bob' }, { exact })).toBe(1);
    expect(secretTool(daemon, ['lookup', ...flat(more)]).output.toString()).toBe('more');
    expect(await service.clear(attributes)).toBe(1);
  });

  it.each<[string, Record<string, string>]>([
    ['names that KeePassXC gives too', { URL: 'https://bank', UserName: 'ann' }],
    ['a name of xdg', { 'xdg:creator': 'them' }],
    ['a schema', { 'xdg:schema': 'org.example.Mail' }],
  ])('does not take an item for another one that has %s', async (_name, added) => {
    const wanted = { application: 'x' };
    await service.set({ ...wanted, ...added }, 'BANK');
    await service.set(wanted, 'OTHER');
    await service.set(wanted, 'CHANGED');
    expect((await service.lookup({ ...wanted, ...added }))?.text()).toBe('BANK');
    expect((await service.lookup(wanted))?.text()).toBe('CHANGED');
    expect(secretTool(daemon, ['lookup', ...flat({ ...wanted, ...added })]).output.toString()).toBe('BANK');
    expect(await collection.items()).toHaveLength(2);
  });

  it('notices what secret-tool deletes', async () => {
    const item = await service.set({ a: 'b' }, 'x');
    expect(secretTool(daemon, ['clear', 'a', 'b']).status).toBe(0);
    expect(await service.lookup({ a: 'b' })).toBeUndefined();
    for (const run of [
      () => item.getSecret(),
      () => item.setSecret('x'),
      () => item.label(),
      () => item.attributes(),
      () => item.locked(),
      () => item.delete(),
    ]) {
      await expect(run()).rejects.toEqual(error('not-found'));
    }
    expect((await service.getSecrets([item])).size).toBe(0);
    expect((await service.set({ a: 'b' }, 'again')).path).not.toBe(item.path);
  });

  it('writes labels and attributes', async () => {
    const item = await service.set({ a: 'b' }, 'x');
    await item.setLabel('nëw');
    await item.setAttributes({ c: 'd', e: '' });
    expect(await item.label()).toBe('nëw');
    expect(Object.fromEntries(await item.attributes())).toMatchObject({ c: 'd', e: '' });
    expect(secretTool(daemon, ['lookup', 'c', 'd']).output.toString()).toBe('x');
    expect(secretTool(daemon, ['lookup', 'a', 'b']).status).toBe(1);
    await collection.setLabel('Lögin');
    expect(await collection.label()).toBe('Lögin');
  });

  it('knows the collections', async () => {
    const paths = (await service.collections()).map((found) => found.path);
    expect(paths).toContain(collection.path);
    expect((await service.collection(collection.path)).path).toBe(collection.path);
    expect((await service.collection('login')).path).toBe(collection.path);
    expect(await collection.locked()).toBe(false);
    await expect(service.collection('nothing')).rejects.toEqual(error('not-found'));
    const missing = '/org/freedesktop/secrets/collection/nothing';
    await expect(service.collection(missing)).rejects.toEqual(error('not-found'));
  });

  it('reads values of every byte length around the block borders, all at once', async () => {
    const stored = Array.from({ length: 130 }, (_, byteLength) => randomBytes(byteLength));
    const items = await Promise.all(
      stored.map((secret, index) =>
        collection.createItem({ label: `${index}`, attributes: { many: '1', index: `${index}` }, secret }),
      ),
    );
    const secrets = await service.getSecrets(items);
    expect(secrets.size).toBe(130);
    expect([...secrets.values()].map((secret) => Buffer.from(secret.value))).toEqual(stored);
    expect((await collection.search({ many: '1' })).length).toBe(130);
    expect(await service.clear({ many: '1' })).toBe(130);
  });

  it('makes one item of many sets at once', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, index) => service.set({ a: 'b' }, `${index}`)));
    expect(await collection.items()).toHaveLength(1);
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('19');
  });
});

describeKeyring('a keyring that is locked, or goes away', () => {
  it('says that it is locked, in every operation that needs it open', async () => {
    await using daemon = await startPrivateKeyring();
    await using service = await SecretService.connect({ address: daemon.address, prompt: 'never' });
    const collection = await service.defaultCollection();
    const item = await service.set({ a: 'b' }, 'x', { label: 'a label' });
    await using bus = await openBus(daemon.address);
    await bus.call({
      destination: 'org.freedesktop.secrets',
      path: '/org/freedesktop/secrets',
      interface: 'org.freedesktop.Secret.Service',
      member: 'Lock',
      signature: 'ao',
      body: [[collection.path]],
      replySignature: 'aoo',
    });

    expect(await collection.locked()).toBe(true);
    expect(await item.locked()).toBe(true);
    expect(await item.label()).toBe('a label');
    expect(await service.search({ a: 'b' })).toMatchObject({ unlocked: [], locked: [{ path: item.path }] });
    expect((await service.getSecrets([item])).size).toBe(0);
    const newItem = { label: 'x', attributes: { c: 'd' }, secret: 'x' };
    for (const run of [
      () => service.lookup({ a: 'b' }),
      () => service.set({ a: 'b' }, 'new'),
      () => service.set({ c: 'd' }, 'new'),
      () => service.clear({ a: 'b' }),
      () => item.getSecret(),
      () => item.setSecret('new'),
      () => item.setLabel('new'),
      () => collection.createItem(newItem),
    ]) {
      await expect(run(), run.toString()).rejects.toEqual(error('locked'));
    }
    expect((await collection.items()).map((found) => found.path)).toEqual([item.path]);
  });

  it('is not available once it has ended, and never was on an empty bus', async () => {
    await using bus = await startPrivateBus();
    const before = sockets();
    expect(await isAvailable({ address: bus.address })).toBe(false);
    await expect(SecretService.connect({ address: bus.address })).rejects.toMatchObject({
      code: 'not-available',
      isAbsent: true,
    });
    expect(sockets()).toBe(before);
    const daemon = await startPrivateKeyring({ bus });
    const service = await SecretService.connect({ address: bus.address });
    const item = await service.set({ a: 'b' }, 'x');
    await daemon.close();
    await expect(item.getSecret()).rejects.toEqual(error('not-available'));
    await expect(service.lookup({ a: 'b' })).rejects.toEqual(error('not-available'));
    await service.close();
    expect(sockets()).toBe(before);
  });

  it('ends everything when the bus goes away', async () => {
    const bus = await startPrivateBus();
    const daemon = await startPrivateKeyring({ bus });
    const service = await SecretService.connect({ address: bus.address });
    await daemon.close();
    await bus.close();
    await expect(service.lookup({ a: 'b' })).rejects.toEqual(error('closed'));
    await service.close();
  });
});
