/** Which item is which: `set` must overwrite the item made with exactly these attributes, and no other. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attributesKey, isSameItem } from '../../src/secret/attributes.js';
import { MockService } from './support/mock-service.js';

const mapOf = (record: Record<string, string>): Map<string, string> => new Map(Object.entries(record));
const same = (has: Record<string, string>, wanted: Record<string, string>): boolean =>
  isSameItem(mapOf(has), mapOf(wanted));

/** As KeePassXC 2.7 shows an item that was made with `application`. */
const KEEPASSXC = {
  Title: 'label',
  UserName: '',
  URL: '',
  Notes: '',
  Path: '/label',
  Uuid: '0123456789abcdef0123456789abcdef',
};

describe('isSameItem', () => {
  const wanted = { application: 'x' };

  test.each([
    {},
    { 'xdg:schema': 'org.freedesktop.Secret.Generic' },
    { 'xdg:schema': 'org.gnome.keyring.Note' },
    { 'xdg:content-type': 'text/plain' },
    { 'xdg:content-type': 'anything', 'xdg:schema': 'org.freedesktop.Secret.Generic' },
    KEEPASSXC,
    { Uuid: 'u', Path: 'p' },
    { ...KEEPASSXC, TOTP: '1', FDO_SECRETS_CONTENT_TYPE: 'text/plain', Notes: 'of the user' },
  ])('is true where a service has added %j', (added) => {
    expect(same({ ...wanted, ...added }, wanted)).toBe(true);
  });

  test.each([
    ...Object.keys(KEEPASSXC).map((name) => ({ [name]: '' })),
    { TOTP: '1' },
    { FDO_SECRETS_CONTENT_TYPE: 'text/plain' },
    { URL: 'https://bank', UserName: 'ann' },
    { ...KEEPASSXC, more: '' },
    { ...KEEPASSXC, URL: 'https://bank' },
    { ...KEEPASSXC, UserName: 'ann' },
    { ...KEEPASSXC, 'xdg:creator': 'them' },
    { 'xdg:creator': 'them' },
    { 'xdg:': '' },
    { 'xdg:content-type-2': '' },
    { 'xdg:schema': '' },
    { 'xdg:schema': 'org.example.Mail' },
    { 'xdg:schema': 'org.freedesktop.NetworkManager.Connection' },
    { 'xdg:schema': 'org.freedesktop.Secret.Generic2' },
    { 'xdg:schema': 'org.gnome.OnlineAccounts' },
    { 'xdg:schema': 'org.gnome.keyring.NetworkPassword' },
    { 'xdg:schema': 'org.gnome.keyring.EncryptionKey' },
  ])('is false where a program has added %j', (added) => {
    expect(same({ ...wanted, ...added }, wanted)).toBe(false);
  });

  test.each(['Uuid', 'Path'] as const)('is false where KeePassXC has not added %s', (name) => {
    const { [name]: value, ...rest } = KEEPASSXC;
    expect(same({ ...wanted, ...rest }, wanted)).toBe(false);
    // Asked for, it is the caller's, and says nothing about the others.
    expect(same({ ...wanted, ...KEEPASSXC }, { ...wanted, [name]: value })).toBe(false);
  });

  test('is false where something is missing or has another value', () => {
    expect(same({}, wanted)).toBe(false);
    expect(same({ application: 'y' }, wanted)).toBe(false);
    expect(same({ ...KEEPASSXC, application: '' }, wanted)).toBe(false);
  });

  test('is true of an item for its own attributes, all of them', () => {
    const attributes = fc.dictionary(fc.constantFrom('a', 'URL', 'Uuid', 'Path', 'xdg:schema'), fc.string());
    fc.assert(
      fc.property(attributes, (record) => {
        expect(same(record, record)).toBe(true);
      }),
    );
  });
});

test.each([
  [{ URL: 'https://bank', UserName: 'ann' }],
  [{ Title: 't' }],
  [{ Notes: 'n' }],
  [{ Path: '/x' }],
  [{ 'xdg:creator': 'them' }],
  [{ 'xdg:schema': 'org.example.Mail' }],
])('set, lookup and exact operations take an item that also has %j for another one', async (added) => {
  const service = new MockService();
  const client = await service.connect({ session: 'plain' });
  await client.set({ application: 'x', ...added }, 'BANK');
  await client.set({ application: 'x' }, 'OTHER');
  expect(service.items.size).toBe(2);
  expect((await client.lookup({ application: 'x', ...added }))?.text()).toBe('BANK');
  expect((await client.lookup({ application: 'x' }))?.text()).toBe('OTHER');
  await client.close();
});

describe('attributesKey', () => {
  const attributes = fc.uniqueArray(fc.tuple(fc.string(), fc.string()), {
    selector: ([name]) => name,
    maxLength: 6,
  });

  test('is the same in every order', () => {
    fc.assert(
      fc.property(
        attributes.chain((entries) =>
          fc.tuple(
            fc.constant(entries),
            fc.shuffledSubarray(entries, { minLength: entries.length, maxLength: entries.length }),
          ),
        ),
        ([entries, shuffled]) => {
          expect(attributesKey(new Map(shuffled))).toBe(attributesKey(new Map(entries)));
        },
      ),
    );
  });

  test('differs for other attributes', () => {
    fc.assert(
      fc.property(attributes, attributes, (left, right) => {
        const isEqual =
          left.length === right.length && left.every(([name, value]) => new Map(right).get(name) === value);
        expect(attributesKey(new Map(left)) === attributesKey(new Map(right))).toBe(isEqual);
      }),
    );
  });

  test('makes one item of sets at once that name the attributes in another order', async () => {
    const service = new MockService();
    const client = await service.connect({ session: 'plain' });
    await Promise.all([
      client.set({ a: '1', b: '2' }, 'one'),
      client.set({ b: '2', a: '1' }, 'two'),
      client.set(
        new Map([
          ['b', '2'],
          ['a', '1'],
        ]),
        'three',
      ),
    ]);
    expect(service.items.size).toBe(1);
    expect((await client.lookup({ a: '1' }))?.text()).toBe('three');
    await client.close();
  });
});
