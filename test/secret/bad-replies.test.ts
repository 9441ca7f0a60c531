/** Every reply of the service in every wrong shape gives a typed error, and never anything else. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Item, SecretService } from '../../src/secret/index.js';
import { Variant } from '../../src/wire/index.js';
import { LOGIN, MockService } from './support/mock-service.js';
import { returned } from './support/scripted-bus.js';

type Run = (client: SecretService, item: Item) => Promise<unknown>;

const attributes = { a: 'b' };
const label = 'x';
const secret = 'x';

/** Each operation with the method whose answer is wrong in the test. */
const operations: [string, string, Run][] = [
  ['defaultCollection', 'ReadAlias', (client) => client.defaultCollection()],
  ['collection by alias', 'ReadAlias', (client) => client.collection('default')],
  ['collection by path', 'Get:Label', (client) => client.collection(LOGIN)],
  ['collections', 'Get:Collections', (client) => client.collections()],
  ['search', 'SearchItems', (client) => client.search(attributes)],
  ['lookup, the search', 'SearchItems', (client) => client.lookup(attributes)],
  ['lookup, the secret', 'GetSecret', (client) => client.lookup(attributes)],
  ['set, the search', 'SearchItems', (client) => client.set(attributes, secret)],
  ['set, the attributes', 'Get:Attributes', (client) => client.set(attributes, secret)],
  ['set, the secret', 'SetSecret', (client) => client.set(attributes, secret)],
  ['set, the label', 'Get:Label', (client) => client.set(attributes, secret, { label })],
  ['set, the new label', 'Set:Label', (client) => client.set(attributes, secret, { label })],
  ['set, the alias', 'ReadAlias', (client) => client.set({ other: '1' }, secret)],
  ['set, the new item', 'CreateItem', (client) => client.set({ other: '1' }, secret)],
  ['clear, the search', 'SearchItems', (client) => client.clear(attributes)],
  ['clear, the attributes', 'Get:Attributes', (client) => client.clear(attributes)],
  ['clear, the item', 'Delete', (client) => client.clear(attributes)],
  [
    'createItem',
    'CreateItem',
    async (client) => {
      const collection = await client.defaultCollection();
      await collection.createItem({ label, attributes, secret });
    },
  ],
  ['collection.search', 'SearchItems', async (client) => (await client.defaultCollection()).search({})],
  ['collection.items', 'Get:Items', async (client) => (await client.defaultCollection()).items()],
  ['collection.label', 'Get:Label', async (client) => (await client.defaultCollection()).label()],
  ['collection.setLabel', 'Set:Label', async (client) => (await client.defaultCollection()).setLabel(label)],
  ['collection.locked', 'Get:Locked', async (client) => (await client.defaultCollection()).locked()],
  ['getSecrets', 'GetSecrets', async (client) => client.getSecrets((await client.search({})).unlocked)],
  ['item.getSecret', 'GetSecret', (_client, item) => item.getSecret()],
  ['item.setSecret', 'SetSecret', (_client, item) => item.setSecret(secret)],
  ['item.delete', 'Delete', (_client, item) => item.delete()],
  ['item.label', 'Get:Label', (_client, item) => item.label()],
  ['item.setLabel', 'Set:Label', (_client, item) => item.setLabel(label)],
  ['item.attributes', 'Get:Attributes', (_client, item) => item.attributes()],
  ['item.setAttributes', 'Set:Attributes', (_client, item) => item.setAttributes(attributes)],
  ['item.locked', 'Get:Locked', (_client, item) => item.locked()],
];

async function prepared(): Promise<{ service: MockService; client: SecretService; item: Item }> {
  const service = new MockService();
  service.add(attributes, 'one');
  service.add({ second: 'c' }, 'two');
  const client = await service.connect({ session: 'plain' });
  const [item] = (await client.search(attributes)).unlocked;
  if (item === undefined) throw new Error('the mock lost its item');
  return { service, client, item };
}

/** Values by their signatures: each is wrong for most replies, by its type or by its content. */
const replies: [string, ...unknown[]][] = [
  [''],
  ['s', ''],
  ['s', '/'],
  ['u', 7],
  ['b', true],
  ['t', 7n],
  ['o', '/'],
  ['ao', []],
  ['ao', ['/']],
  ['as', ['/a']],
  ['aoao', ['/'], []],
  ['aoao', [], ['/']],
  ['asas', ['/a'], ['/b']],
  ['oo', '/', '/'],
  ['os', '/a', '/'],
  ['so', '/a', '/'],
  ['ay', new Uint8Array(3)],
  ['v', new Variant('s', 'x')],
  ['v', new Variant('b', true)],
  ['v', new Variant('u', 1)],
  ['v', new Variant('o', '/a')],
  ['v', new Variant('ao', ['/'])],
  ['v', new Variant('as', ['/a'])],
  ['v', new Variant('a{sv}', new Map())],
  ['v', new Variant('a{ss}', new Map())],
  ['v', new Variant('v', new Variant('s', 'x'))],
  ['(oayays)', ['/', new Uint8Array(0), new Uint8Array(0), '']],
  ['(oayays)', ['/other', new Uint8Array(0), new Uint8Array(0), '']],
  ['(oayay)', ['/', new Uint8Array(0), new Uint8Array(0)]],
  ['(sayays)', ['/', new Uint8Array(0), new Uint8Array(0), '']],
  ['oayays', '/', new Uint8Array(0), new Uint8Array(0), ''],
  ['a{o(oayays)}', new Map([['/', ['/', new Uint8Array(0), new Uint8Array(0), '']]])],
  ['a{o(oayays)}', new Map([[`${LOGIN}/1`, ['/', new Uint8Array(0), new Uint8Array(0), '']]])],
  ['a{s(oayays)}', new Map([['x', ['/', new Uint8Array(0), new Uint8Array(0), '']]])],
  ['a{oo}', new Map([['/a', '/b']])],
];

/** Which of the replies above are not wrong at all, by the method. */
const right = new Set([
  'ReadAlias o "/"',
  'Get:Label v s',
  'Get:Locked v b',
  'Get:Attributes v a{ss}',
  'SearchItems ao []',
  'Delete o "/"',
  'SetSecret',
  'Set:Label',
  'Set:Attributes',
]);

function nameOf(member: string, [signature, ...body]: [string, ...unknown[]]): string {
  const [first] = body;
  if (first instanceof Variant) return `${member} ${signature} ${first.signature}`;
  return `${member} ${signature} ${Array.isArray(first) || typeof first === 'string' ? JSON.stringify(first) : ''}`.trimEnd();
}

describe.each(operations)('%s', (_name, member, run) => {
  test('rejects with a typed error for every wrong reply', async () => {
    const { service, client, item } = await prepared();
    for (const reply of replies) {
      const name = nameOf(member, reply);
      if (right.has(name)) continue;
      const [signature, ...body] = reply;
      service.override(member, returned(signature, ...body));
      const code = expect.stringMatching(/^(bad-reply|bad-secret)$/);
      const rejection = expect.objectContaining({ name: 'SecretServiceError', code });
      await expect(run(client, item), name).rejects.toEqual(rejection);
    }
    await client.close();
  });
});

/** Any D-Bus value with its signature, small. */
const values = fc.letrec<{ value: [string, unknown] }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc
      .string({ maxLength: 4 })
      .filter((text) => !/[\0\p{Surrogate}]/u.test(text))
      .map((text): [string, unknown] => ['s', text]),
    fc.constantFrom('/', `${LOGIN}/1`, `${LOGIN}/2`, '/x').map((path): [string, unknown] => ['o', path]),
    fc.boolean().map((flag): [string, unknown] => ['b', flag]),
    fc.uint8Array({ maxLength: 33 }).map((bytes): [string, unknown] => ['ay', bytes]),
    tie('value').map(([signature, value]): [string, unknown] => ['v', new Variant(signature, value)]),
    tie('value').map(([signature, value]): [string, unknown] => [
      `a${signature}`,
      signature === 'y' ? [] : [value],
    ]),
    fc
      .array(tie('value'), { minLength: 1, maxLength: 4 })
      .map((fields): [string, unknown] => [
        `(${fields.map(([signature]) => signature).join('')})`,
        fields.map(([, value]) => value),
      ]),
    tie('value').map(([signature, value]): [string, unknown] => [
      `a{s${signature}}`,
      new Map([['k', value]]),
    ]),
    tie('value').map(([signature, value]): [string, unknown] => [
      `a{o${signature}}`,
      new Map([[`${LOGIN}/1`, value]]),
    ]),
  ),
})).value;

test('any reply to anything gives a result or a typed error', async () => {
  const { service, client, item } = await prepared();
  const members = [...new Set(operations.map(([, member]) => member))];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...operations),
      fc.array(values, { maxLength: 2 }),
      fc.constantFrom(...members),
      fc.array(values, { maxLength: 2 }),
      async ([, member, run], body, secondMember, secondBody) => {
        service.overrides.clear();
        for (const [name, fields] of [
          [secondMember, secondBody],
          [member, body],
        ] as const) {
          const signature = fields.map(([part]) => part).join('');
          service.override(name, returned(signature, ...fields.map(([, value]) => value)));
        }
        try {
          await run(client, item);
        } catch (error) {
          expect(error).toMatchObject({ name: 'SecretServiceError' });
        }
      },
    ),
  );
  service.overrides.clear();
  await client.close();
});
