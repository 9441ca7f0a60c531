/** A probe tells each state, does nothing, and ends in time. */
import { describe, expect, test } from 'vitest';
import { isAvailable, type Probe, probe } from '../../src/secret/index.js';
import { listen, transportOf } from '../keyring/support/socket-server.js';
import { hostileSocket, watchEachTest } from '../support/hostile-peer.js';
import { LOGIN, MockService, OWNER } from './support/mock-service.js';
import { failed, type Reply, returned } from './support/scripted-bus.js';

watchEachTest();

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

/** What a probe may call. */
const HARMLESS = new Set(['GetNameOwner', 'ListActivatableNames', 'ReadAlias', 'Get:Locked']);

const states: [string, (service: MockService) => void, Probe][] = [
  ['ready', () => {}, { state: 'ready', owner: OWNER, defaultCollection: LOGIN }],
  [
    'locked',
    (service) => service.setLocked(LOGIN, true),
    { state: 'locked', owner: OWNER, defaultCollection: LOGIN },
  ],
  [
    'without a default collection',
    (service) => service.aliases.clear(),
    { state: 'no-default-collection', owner: OWNER },
  ],
  [
    'with an alias of a collection that is gone',
    (service) => service.remove(LOGIN),
    { state: 'no-default-collection', owner: OWNER },
  ],
  ['not running', (service) => service.stop(), { state: 'activatable' }],
  [
    'not there',
    (service) => {
      service.stop();
      service.override('ListActivatableNames', returned('as', ['org.freedesktop.DBus']));
    },
    { state: 'no-service' },
  ],
  [
    'gone while it is asked',
    (service) =>
      service.override('ReadAlias', () => {
        service.stop('org.freedesktop.DBus.Error.NoReply');
        return undefined;
      }),
    { state: 'activatable' },
  ],
];

describe.each(states)('a service that is %s', (_name, prepare, expected) => {
  test('is told to be so, by the function and by a client, and nothing else is done', async () => {
    const service = new MockService();
    prepare(service);
    const { bus } = await service.openBus();
    expect(await probe({ bus })).toEqual(expected);
    expect(service.members.filter((member) => !HARMLESS.has(member))).toEqual([]);
    expect(service.calls.every(({ destination }) => destination !== 'org.freedesktop.secrets')).toBe(true);
    expect(service.sessions.size).toBe(0);
    expect(service.bus.matchRules).toEqual([]);
    await bus.close();

    const other = new MockService();
    const client = await other.connect({ session: 'plain' });
    prepare(other);
    other.calls.length = 0;
    expect(await client.probe()).toEqual(expected);
    expect(other.members.filter((member) => !HARMLESS.has(member))).toEqual([]);
    await client.close();
    await client.context.bus.close();
  });

  test('is available unless it is not there', async () => {
    const service = new MockService();
    prepare(service);
    const { bus } = await service.openBus();
    expect(await isAvailable({ bus })).toBe(expected.state !== 'no-service');
    expect(service.members.filter((member) => !HARMLESS.has(member))).toEqual([]);
    await bus.close();
  });
});

test('it closes the bus that it has opened, however it ends', async () => {
  const service = new MockService();
  const sockets: { readonly destroyed: boolean }[] = [];
  const server = await listen((socket) => {
    sockets.push(socket);
    service.serve(transportOf(socket));
  });
  const { address, env } = server;
  expect((await probe({ address })).state).toBe('ready');
  expect((await probe({ env })).state).toBe('ready');
  expect(await isAvailable({ address })).toBe(true);
  service.override('GetNameOwner', undefined);
  await expect(probe({ address, timeoutMs: 30 })).rejects.toMatchObject({ name: 'DeadlineError' });
  await expect(isAvailable({ address, timeoutMs: 30 })).rejects.toMatchObject({ name: 'DeadlineError' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual(Array(5).fill(true));
  await server[Symbol.asyncDispose]();
});

test('no bus is a state, with the reason', async () => {
  for (const options of [{ env: {} }, { address: 'unix:path=/nonexistent/bus' }]) {
    expect(await probe(options)).toEqual({ state: 'no-bus', cause: error('not-available') });
  }
  await expect(probe({ address: 'nonsense' })).rejects.toEqual(error('bad-argument'));
  await expect(probe(null as never)).rejects.toEqual(error('bad-argument'));
  await expect(probe({ timeoutMs: 0 })).rejects.toEqual(error('bad-argument'));
});

describe('a service that answers wrongly', () => {
  test.each<[string, Reply, string]>([
    ['GetNameOwner', returned('s', 'org.freedesktop.secrets'), 'bad-reply'],
    ['GetNameOwner', failed('org.freedesktop.DBus.Error.AccessDenied'), 'access-denied'],
    ['ReadAlias', returned('s', LOGIN), 'bad-reply'],
    ['ReadAlias', failed('org.freedesktop.DBus.Error.AccessDenied'), 'access-denied'],
    ['Get:Locked', returned('b', true), 'bad-reply'],
    ['Get:Locked', failed('org.freedesktop.DBus.Error.Failed'), 'failed'],
  ])('by %s %j gives an error', async (member, reply, code) => {
    const service = new MockService();
    service.override(member, reply);
    const { bus } = await service.openBus();
    await expect(probe({ bus })).rejects.toEqual(error(code));
    await bus.close();
  });
});

test.each(['GetNameOwner', 'ReadAlias', 'Get:Locked', 'ListActivatableNames'])(
  'it ends at its deadline and its signal, hanging at %s',
  async (member) => {
    const service = new MockService();
    if (member === 'ListActivatableNames') service.stop();
    service.override(member, undefined);
    const { bus } = await service.openBus();
    const start = performance.now();
    await expect(probe({ bus, timeoutMs: 30 })).rejects.toMatchObject({
      name: 'DeadlineError',
      timeoutMs: 30,
    });
    const controller = new AbortController();
    setTimeout(() => controller.abort('enough'), 10);
    await expect(probe({ bus, signal: controller.signal })).rejects.toMatchObject({ cause: 'enough' });
    expect(performance.now() - start).toBeLessThan(500);
    await bus.close();
  },
);

test.each([
  ['says nothing', ''],
  ['authenticates and then says nothing', 'OK 0123456789abcdef0123456789abcdef\r\n'],
])('a bus that %s ends it at its deadline', async (_name, first) => {
  const server = await hostileSocket((side) => {
    let answer = first;
    side.onData = () => {
      if (answer !== '') side.write(answer);
      answer = '';
    };
  });
  const address = server.target() as string;
  const start = performance.now();
  await expect(probe({ address, timeoutMs: 50 })).rejects.toMatchObject({ name: 'DeadlineError' });
  await expect(isAvailable({ address, timeoutMs: 50 })).rejects.toMatchObject({ name: 'DeadlineError' });
  expect(performance.now() - start).toBeLessThan(1_000);
  await server.close();
});
