/** Nothing waits for ever: every operation ends at its deadline and at its signal, wherever it hangs. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type Collection, type Item, type OperationOptions, SecretService } from '../../src/secret/index.js';
import { LOGIN, MockService } from './support/mock-service.js';
import { openScriptedBus } from './support/scripted-bus.js';

interface Objects {
  readonly client: SecretService;
  readonly collection: Collection;
  readonly item: Item;
}

type Run = (objects: Objects, options: OperationOptions) => Promise<unknown>;

const attributes = { a: 'b' };

/** Each operation, and every method at which it can hang. */
const operations: [string, string[], Run][] = [
  ['defaultCollection', ['ReadAlias'], ({ client }, options) => client.defaultCollection(options)],
  ['collection', ['ReadAlias'], ({ client }, options) => client.collection('default', options)],
  ['collection by path', ['Get:Label'], ({ client }, options) => client.collection(LOGIN, options)],
  ['collections', ['Get:Collections'], ({ client }, options) => client.collections(options)],
  ['search', ['SearchItems'], ({ client }, options) => client.search(attributes, options)],
  ['getSecrets', ['GetSecret'], ({ client, item }, options) => client.getSecrets([item], options)],
  ['lookup', ['SearchItems', 'GetSecret'], ({ client }, options) => client.lookup(attributes, options)],
  [
    'set',
    ['SearchItems', 'Get:Attributes', 'SetSecret', 'Get:Label', 'Set:Label'],
    ({ client }, options) => client.set(attributes, 'x', { label: 'new', ...options }),
  ],
  [
    'set of a new item',
    ['SearchItems', 'ReadAlias', 'CreateItem'],
    ({ client }, options) => client.set({ new: 'one' }, 'x', options),
  ],
  [
    'clear',
    ['SearchItems', 'Get:Attributes', 'Delete'],
    ({ client }, options) => client.clear(attributes, options),
  ],
  [
    'listValues',
    ['SearchItems', 'Get:Attributes'],
    ({ client }, options) => client.listValues(attributes, 'c', options),
  ],
  [
    'createItem',
    ['CreateItem'],
    ({ collection }, options) => collection.createItem({ label: 'x', attributes, secret: 'x' }, options),
  ],
  ['collection.search', ['SearchItems'], ({ collection }, options) => collection.search(attributes, options)],
  ['collection.items', ['Get:Items'], ({ collection }, options) => collection.items(options)],
  ['collection.label', ['Get:Label'], ({ collection }, options) => collection.label(options)],
  ['collection.setLabel', ['Set:Label'], ({ collection }, options) => collection.setLabel('x', options)],
  ['collection.locked', ['Get:Locked'], ({ collection }, options) => collection.locked(options)],
  ['item.getSecret', ['GetSecret'], ({ item }, options) => item.getSecret(options)],
  ['item.setSecret', ['SetSecret'], ({ item }, options) => item.setSecret('x', options)],
  ['item.delete', ['Delete'], ({ item }, options) => item.delete(options)],
  ['item.label', ['Get:Label'], ({ item }, options) => item.label(options)],
  ['item.setLabel', ['GetAll', 'Set:Label'], ({ item }, options) => item.setLabel('', options)],
  ['item.attributes', ['Get:Attributes'], ({ item }, options) => item.attributes(options)],
  ['item.setAttributes', ['Set:Attributes'], ({ item }, options) => item.setAttributes({ a: 'b' }, options)],
  ['item.locked', ['Get:Locked'], ({ item }, options) => item.locked(options)],
];

const cases = operations.flatMap(([name, members, run]) =>
  members.map((member): [string, string, Run] => [name, member, run]),
);

async function prepared(): Promise<{ service: MockService; objects: Objects }> {
  const service = new MockService();
  service.add(attributes, 'x');
  const client = await service.connect({ session: 'plain' });
  const [item] = (await client.search(attributes)).unlocked;
  if (item === undefined) throw new Error('the mock lost its item');
  return { service, objects: { client, collection: await client.defaultCollection(), item } };
}

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe.each(cases)('%s, hanging at %s', (_name, member, run) => {
  test('ends at its deadline', async () => {
    const { service, objects } = await prepared();
    service.override(member, undefined);
    const start = performance.now();
    await expect(run(objects, { timeoutMs: 20 })).rejects.toMatchObject({
      name: 'DeadlineError',
      code: 'deadline',
      deadline: 'call',
      timeoutMs: 20,
    });
    const elapsed = performance.now() - start;
    expect(elapsed).toBeGreaterThan(15);
    expect(elapsed).toBeLessThan(1_000);
    await objects.client.close();
  });

  test('ends at its signal, and leaves no timer and no listener', async () => {
    const { service, objects } = await prepared();
    const before = timers();
    service.override(member, undefined);
    const controller = new AbortController();
    const { signal } = controller;
    const running = run(objects, { signal });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(service.members.at(-1)).toBe(member);
    expect(getEventListeners(signal, 'abort').length).toBeGreaterThan(0);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(running).rejects.toMatchObject({ name: 'CancelledError', code: 'cancelled', cause: reason });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(timers()).toBeLessThanOrEqual(before);
    // Nothing is sent once the signal has fired.
    const sent = service.calls.length;
    await expect(run(objects, { signal })).rejects.toMatchObject({ name: 'CancelledError', cause: reason });
    expect(service.calls.length).toBe(sent);
    await objects.client.close();
  });
});

test('one deadline bounds all calls of an operation', async () => {
  const { service, objects } = await prepared();
  for (let index = 0; index < 200; index++) service.add(attributes, 'x');
  service.override('Get:Attributes', (_call, proper) => {
    const end = performance.now() + 2;
    while (performance.now() < end);
    return proper();
  });
  for (const run of [
    () => objects.client.clear(attributes, { timeoutMs: 100 }),
    () => objects.client.listValues(attributes, 'c', { timeoutMs: 100 }),
  ]) {
    const start = performance.now();
    await expect(run()).rejects.toMatchObject({ name: 'DeadlineError', timeoutMs: 100 });
    expect(performance.now() - start).toBeLessThan(350);
  }
  expect(service.items.size).toBe(201);
  await objects.client.close();
});

test('the deadline given when connecting holds for operations that name none', async () => {
  const service = new MockService();
  const client = await service.connect({ session: 'plain', timeoutMs: 25 });
  service.override('SearchItems', undefined);
  const rejection = { name: 'DeadlineError', deadline: 'call' };
  await expect(client.lookup(attributes)).rejects.toMatchObject(rejection);
  const start = performance.now();
  await expect(client.lookup(attributes, { timeoutMs: 60 })).rejects.toMatchObject(rejection);
  expect(performance.now() - start).toBeGreaterThan(50);
  await client.close();
});

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, '5', null])(
  'a timeoutMs of %s is the caller’s fault',
  async (timeoutMs) => {
    const { service, objects } = await prepared();
    const sent = service.calls.length;
    const options = { timeoutMs } as OperationOptions;
    const rejection = { name: 'SecretServiceError', code: 'bad-argument' };
    if (timeoutMs !== null) {
      await expect(objects.client.search({}, options)).rejects.toMatchObject(rejection);
      await expect(service.connect(options)).rejects.toMatchObject(rejection);
      expect(service.calls.length).toBe(sent);
    }
    await objects.client.close();
  },
);

test('a timeoutMs longer than a timer can hold does not fire at once', async () => {
  const { objects } = await prepared();
  expect((await objects.client.search(attributes, { timeoutMs: 1e15 })).unlocked).toHaveLength(1);
  await objects.client.close();
});

describe('connecting', () => {
  test.each(['GetNameOwner', 'OpenSession'])(
    'ends at its deadline and its signal, hanging at %s',
    async (member) => {
      const service = new MockService();
      service.override(member, undefined);
      await expect(service.connect({ timeoutMs: 20 })).rejects.toMatchObject({ name: 'DeadlineError' });
      const controller = new AbortController();
      const connecting = service.connect({ signal: controller.signal });
      setTimeout(() => controller.abort('enough'), 20);
      await expect(connecting).rejects.toMatchObject({ name: 'CancelledError', cause: 'enough' });
      expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    },
  );

  test('does not begin when the signal has fired', async () => {
    const { bus } = await openScriptedBus(() => undefined);
    const signal = AbortSignal.abort('too late');
    const rejection = { name: 'CancelledError', cause: 'too late' };
    await expect(SecretService.connect({ bus, signal })).rejects.toMatchObject(rejection);
    const address = 'unix:path=/nonexistent/bus';
    await expect(SecretService.connect({ address, signal })).rejects.toMatchObject(rejection);
    await bus.close();
  });
});
