/**
 * One GNOME Keyring and four clients: ours, secret-tool, SecretStorage and libsecret. What each writes, all read; what one
 * deletes is gone for all.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { defineSchema, SecretService } from '../../src/secret/index.js';
import { describeWith, runs } from '../support/external.js';
import {
  type Attributes,
  libsecret,
  OurClient,
  type PythonClient,
  pythonWith,
  type SecretClient,
  SecretTool,
  type StoredItem,
  secretStorage,
} from './foreign-clients.js';

const present =
  ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) => runs('which', [program])) &&
  pythonWith('SecretStorage') !== undefined &&
  pythonWith('libsecret') !== undefined;

const NAMES = ['secretbus', 'secret-tool', 'SecretStorage', 'libsecret'] as const;
type Name = (typeof NAMES)[number];

/** What secret-tool reads of its standard input; it drops the rest without a word. */
const MAX_TOOL_BYTE_LENGTH = 8192;

const values: [string, Uint8Array][] = [
  ['text', Buffer.from('plain text')],
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(0x61)],
  ['NUL bytes', Uint8Array.of(0, 0x61, 0, 0)],
  ['all bytes', Uint8Array.from({ length: 256 }, (_, byte) => byte)],
  ['invalid UTF-8', Uint8Array.of(0xff, 0xfe, 0xc0, 0x80)],
  ['unicode', Buffer.from('pässwörd ✓ 🔑 \u0000 ключ')],
  ['1 MiB', randomBytes(2 ** 20)],
];

const attributeSets: [string, Attributes][] = [
  ['one', { one: '1' }],
  ['unicode', { ключ: 'значение', '🔑': 'ünï', 'a b': 'c d' }],
  ['an empty value', { empty: '', full: 'x' }],
  ['many', Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`name${index}`, `value ${index}`]))],
];

const cases = (writers: readonly Name[] = NAMES) =>
  writers.flatMap((writer) => values.map(([name, value]) => [writer, name, value] as const));

function withoutSchema({ 'xdg:schema': schema, ...attributes }: Attributes): Attributes {
  return schema === undefined || schema === 'org.freedesktop.Secret.Generic'
    ? attributes
    : { ...attributes, 'xdg:schema': schema };
}

const byPath = (left: { path: string }, right: { path: string }): number => (left.path < right.path ? -1 : 1);

/** 1,000 items. */
const itemsOf = (writer: Name): StoredItem[] =>
  Array.from({ length: 1000 }, (_, index) => ({
    label: `item ${index}`,
    attributes: { writer, index: `${index}` },
    secret: Buffer.from(`secret ${index} of ${writer}`),
    contentType: 'text/plain',
  }));

/** All there is of items, in an order. */
const wholeOf = (items: readonly StoredItem[]): string[] =>
  items
    .map(({ label, attributes, secret }) =>
      JSON.stringify([label, attributes['writer'], attributes['index'], Buffer.from(secret).toString()]),
    )
    .toSorted();

describeWith('gnome-keyring-daemon with secret-tool, SecretStorage and libsecret', present)(
  'clients of a real keyring',
  () => {
    let daemon: PrivateKeyring;
    let service: SecretService;
    let storage: PythonClient;
    let library: PythonClient;
    const clients = new Map<Name, SecretClient>();
    const client = (name: Name): SecretClient => clients.get(name) as SecretClient;
    const others = (name: Name): SecretClient[] => NAMES.filter((one) => one !== name).map(client);

    beforeAll(async () => {
      daemon = await startPrivateKeyring();
      service = await SecretService.connect({ address: daemon.address });
      storage = secretStorage(daemon.env);
      library = libsecret(daemon.env);
      for (const one of [new OurClient(service), new SecretTool(daemon.env), storage, library]) {
        clients.set(one.name as Name, one);
      }
    });

    afterAll(async () => {
      for (const one of clients.values()) await one[Symbol.asyncDispose]();
      await daemon?.close();
    });

    /** All see exactly this one item. GNOME Keyring gives a schema to items without, and keeps no content type. */
    async function expectSeen({ label, attributes, secret }: StoredItem): Promise<void> {
      const seen = await Promise.all(NAMES.map((name) => client(name).find(attributes)));
      const simple = seen.map((items) =>
        items.map((item) => ({
          label: item.label,
          attributes: withoutSchema(item.attributes),
          isSame: Buffer.from(item.secret).equals(secret),
          contentType: item.contentType,
        })),
      );
      const one = { label, attributes, isSame: true, contentType: 'text/plain' };
      const expected = NAMES.map((name) => [name === 'secret-tool' ? { ...one, contentType: '' } : one]);
      expect(simple).toEqual(expected);
    }

    async function expectGone(attributes: Attributes): Promise<void> {
      expect(await Promise.all(NAMES.map((name) => client(name).find(attributes)))).toEqual([[], [], [], []]);
    }

    it.each(cases())('%s writes %s, all read it, and another deletes it', async (writer, what, value) => {
      const isTooLong = writer === 'secret-tool' && value.byteLength > MAX_TOOL_BYTE_LENGTH;
      const secret = isTooLong ? value.subarray(0, MAX_TOOL_BYTE_LENGTH) : value;
      const contentType = what.endsWith('text') ? 'text/plain' : 'application/octet-stream';
      const item = { label: `${what} of ${writer}`, attributes: { writer, what }, secret, contentType };
      await client(writer).store([item]);
      await expectSeen(item);
      const deleter = others(writer)[values.findIndex(([name]) => name === what) % 3] as SecretClient;
      expect(await deleter.clear(item.attributes)).toBe(1);
      await expectGone(item.attributes);
    });

    it.each(
      NAMES.flatMap((writer) =>
        attributeSets.map(([what, attributes]) => [writer, what, attributes] as const),
      ),
    )('%s writes attributes and a label that all read: %s', async (writer, what, attributes) => {
      const secret = Buffer.from(`${writer} ${what}`);
      const item = { label: `läbel ✓ = '${what}'`, attributes, secret, contentType: 'text/plain' };
      await client(writer).store([item]);
      await expectSeen(item);
      expect(await client(writer).clear(attributes)).toBe(1);
      await expectGone(attributes);
    });

    it.each(NAMES.flatMap((first) => NAMES.map((second) => [first, second] as const)))(
      'what %s wrote, %s overwrites',
      async (first, second) => {
        const item = {
          label: 'one',
          attributes: { first, second },
          secret: Buffer.from('old'),
          contentType: 'text/plain',
        };
        await client(first).store([item]);
        const changed = { ...item, label: 'two', secret: Buffer.from('new') };
        await client(second).store([changed]);
        await expectSeen(changed);
        expect(await service.clear(item.attributes)).toBe(1);
      },
    );

    it('tells the same of an item and of the collections as SecretStorage', async () => {
      const attributes = { told: 'by all' };
      const item = await service.set(attributes, 'x', { label: 'ours' });
      const { created, modified, locked } = await item.properties();
      expect(await storage.ask('properties', { path: item.path })).toEqual({
        created: (created?.getTime() ?? 0) / 1000,
        modified: (modified?.getTime() ?? 0) / 1000,
        locked,
      });
      expect(created).toEqual(await item.created());
      expect(modified).toEqual(await item.modified());
      await storage.ask('relabel', { path: item.path, label: 'thëirs' });
      expect(await item.label()).toBe('thëirs');
      await item.setLabel('öurs');
      expect((await storage.find(attributes))[0]?.label).toBe('öurs');
      await item.setAttributes({ told: 'by some' });
      expect(await library.find(attributes)).toEqual([]);
      expect(await library.find({ told: 'by some' })).toMatchObject([{ path: item.path }]);
      const ours = await Promise.all(
        (await service.collections()).map(async (collection) => {
          const { label, locked: isLocked } = await collection.properties();
          return { path: collection.path, label, locked: isLocked };
        }),
      );
      const theirs = (await storage.ask('collections')) as typeof ours;
      expect(ours.toSorted(byPath)).toEqual(theirs.toSorted(byPath));
      await item.delete();
    });

    describe('schemas', () => {
      const fields = { user: 'string', port: 'integer', secure: 'boolean' } as const;
      const schema = defineSchema('org.example.Server', fields);
      const theirs = { name: schema.name, fields };
      const samples = [
        { user: 'änn ✓', port: 8080, secure: true },
        { user: '', port: 0, secure: false },
        { user: 'true', port: -2_147_483_648, secure: true },
        { user: '7', port: 2_147_483_647, secure: false },
      ] as const;

      it.each(samples)('writes the attributes that libsecret makes of %j', async (sample) => {
        const { 'xdg:schema': name, ...attributes } = Object.fromEntries(schema.attributes(sample));
        expect(name).toBe('org.example.Server');
        expect(attributes).toEqual(await library.ask('format', { schema: theirs, values: sample }));
      });

      it.each(samples)('finds what libsecret stores with the schema and %j', async (sample) => {
        const attributes = (await library.ask('format', { schema: theirs, values: sample })) as Attributes;
        const item = { label: 'theirs', attributes, secret: Buffer.from('x'), contentType: 'text/plain' };
        await library.store([item], undefined, { schema: theirs });
        const found = await service.findAll(schema.attributes(sample));
        expect(found.map((one) => schema.parse(one.attributes))).toEqual([sample]);
        expect(await service.findAll(schema.attributes({ port: sample.port }), { exact: true })).toEqual([]);
        expect(await service.findAll(schema.attributes({ port: sample.port }))).toHaveLength(1);
        const other = defineSchema('org.example.Other', fields);
        expect(await service.findAll(other.attributes(sample))).toEqual([]);
        await service.set(schema.attributes(sample), 'ours now');
        expect(await library.find(attributes, { schema: theirs })).toMatchObject([
          { label: 'theirs', secret: Buffer.from('ours now') },
        ]);
        expect(await service.clear(schema.attributes())).toBe(1);
      });

      it.each(samples)('stores with the schema what libsecret finds by %j', async (sample) => {
        await service.set(schema.attributes(sample), 'y', { label: 'ours' });
        const attributes = (await library.ask('format', { schema: theirs, values: sample })) as Attributes;
        const [found, ...more] = await library.find(attributes, { schema: theirs });
        expect(more).toEqual([]);
        expect(found).toMatchObject({ label: 'ours', secret: Buffer.from('y') });
        expect(found?.attributes).toEqual({ ...attributes, 'xdg:schema': schema.name });
        expect(await library.find(attributes, { schema: { ...theirs, name: 'org.example.Other' } })).toEqual(
          [],
        );
        expect(await library.ask('clear', { attributes, schema: theirs })).toBe(1);
        expect(await service.lookup(schema.attributes(sample))).toBeUndefined();
      });

      it.each([
        ['port', 'many'],
        ['port', '8o8o'],
        ['secure', 'yes'],
        ['secure', 'TRUE'],
        ['secure', '1'],
      ])('refuses as %s the text %j, as libsecret does', async (field, text) => {
        const item = {
          label: 'x',
          attributes: { [field]: text },
          secret: Buffer.from('x'),
          contentType: 'text/plain',
        };
        await expect(library.store([item], undefined, { schema: theirs })).rejects.toThrow('not valid');
        const attributes = { 'xdg:schema': schema.name, [field]: text };
        expect(() => schema.parse(attributes)).toThrow(expect.objectContaining({ code: 'schema' }));
      });
    });

    describe('1,000 items', () => {
      it('of ours SecretStorage and libsecret read', async () => {
        const writer = 'secretbus';
        const items = itemsOf(writer);
        await client(writer).store(items, 'session');
        expect(wholeOf(await library.find({ writer }))).toEqual(wholeOf(items));
        expect(wholeOf(await storage.find({ writer }))).toEqual(wholeOf(items));
        expect(await service.clear({ writer })).toBe(1000);
      });

      it.each(['SecretStorage', 'libsecret'] as const)('of %s we read', async (writer) => {
        const items = itemsOf(writer);
        await client(writer).store(items, 'session');
        expect(wholeOf(await client('secretbus').find({ writer }))).toEqual(wholeOf(items));
        const { unlocked } = await service.search({ writer });
        const secrets = await service.getSecrets(unlocked);
        const texts = items.map(({ secret }) => Buffer.from(secret).toString());
        expect([...secrets.values()].map((secret) => secret.text()).toSorted()).toEqual(texts.toSorted());
        const properties = await service.getProperties(unlocked);
        expect(unlocked.map((item) => properties.get(item)?.attributes.get('writer'))).toEqual(
          Array(1000).fill(writer),
        );
      });
    });
  },
);
