/** A service that goes and comes back, a name that changes hands, and a bus that is lost and found again. */
import { expect, test } from 'vitest';
import { SecretService } from '../../src/secret/index.js';
import { openBus, reconnecting } from '../../src/wire/index.js';
import { listen, transportOf } from '../keyring/support/socket-server.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { MockService, OWNER } from './support/mock-service.js';
import { attributes, prepared, release } from './support/operations.js';
import { failed, returned } from './support/scripted-bus.js';

watchEachTest();

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const settle = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function connected(session: 'encrypted' | 'plain' = 'encrypted') {
  const service = new MockService();
  const path = service.add(attributes, 'secret');
  const client = await service.connect({ session });
  return { service, path, client };
}

test('the next operation opens a session with the new owner', async () => {
  const { service, client } = await connected();
  const first = client.session;
  const [item] = (await client.search(attributes)).unlocked;
  service.restart();
  expect((await item?.getSecret())?.text()).toBe('secret');
  expect(client.session.path).not.toBe(first.path);
  expect([...service.sessions.keys()]).toEqual([client.session.path]);
  expect((await client.lookup(attributes))?.text()).toBe('secret');
  expect(service.members.filter((member) => member === 'OpenSession')).toHaveLength(2);
  await client.close();
  expect(service.sessions.size).toBe(0);
});

test('operations at a time share one session, and all of them end well', async () => {
  const { service, client } = await connected();
  for (let index = 0; index < 5; index++) {
    service.restart();
    const secrets = await Promise.all(Array.from({ length: 50 }, () => client.lookup(attributes)));
    expect(secrets.map((secret) => secret?.text())).toEqual(Array(50).fill('secret'));
    expect(service.members.filter((member) => member === 'OpenSession')).toHaveLength(index + 2);
    expect(service.sessions.size).toBe(1);
  }
  await client.close();
});

test('a session that the service has forgotten is opened anew, whatever the operation', async () => {
  const { service, client } = await connected();
  const [item] = (await client.search(attributes)).unlocked;
  service.sessions.clear();
  expect((await item?.getSecret())?.text()).toBe('secret');
  service.sessions.clear();
  await item?.setSecret('changed');
  service.sessions.clear();
  await client.set({ new: 'one' }, 'x');
  service.sessions.clear();
  expect(await client.findAll(attributes)).toHaveLength(1);
  expect(service.items.size).toBe(2);
  await client.close();
});

test('an error that comes late from the old session does not end the new one', async () => {
  const { service, client } = await connected();
  const [item] = (await client.search(attributes)).unlocked;
  service.sessions.clear();
  service.override('GetSecret', async (_call, proper) => {
    service.overrides.clear();
    const reply = proper();
    await settle(20);
    return reply;
  });
  const late = item?.getSecret();
  await settle();
  expect((await item?.getSecret())?.text()).toBe('secret');
  const { path } = client.session;
  expect((await late)?.text()).toBe('secret');
  expect(client.session.path).toBe(path);
  expect(service.members.filter((member) => member === 'OpenSession')).toHaveLength(2);
  await client.close();
});

test('a service that forgets every session is no endless loop', async () => {
  const { service, client } = await connected();
  service.override('GetSecret', failed('org.freedesktop.Secret.Error.NoSession'));
  await expect(client.lookup(attributes)).rejects.toEqual(error('session'));
  expect(service.members.filter((member) => member === 'GetSecret')).toHaveLength(2);
  await client.close();
});

test('secrets that come when the session is gone are read again, and are those of the new one', async () => {
  const { service, client } = await connected();
  const [item] = (await client.search(attributes)).unlocked;
  // The reply to one call is on its way while another finds that the service has restarted.
  let answer: (() => void) | undefined;
  service.override('GetSecret', async (_call, proper) => {
    service.overrides.delete('GetSecret');
    const reply = proper();
    await new Promise<void>((resolve) => (answer = resolve));
    return reply;
  });
  const reading = item?.getSecret();
  await settle();
  service.override('Get:Label', () => {
    service.overrides.delete('Get:Label');
    service.sessions.clear();
    setTimeout(() => answer?.(), 0);
    return failed('org.freedesktop.Secret.Error.NoSession');
  });
  await item?.label();
  expect((await reading)?.text()).toBe('secret');
  await client.close();
});

test('an item that is to be made while another operation loses the session is made once', async () => {
  for (let delay = 0; delay < 12; delay++) {
    const { service, client } = await connected('plain');
    const [item] = (await client.search(attributes)).unlocked;
    const collection = await client.defaultCollection();
    service.override('Get:Label', () => {
      service.overrides.clear();
      return failed('org.freedesktop.Secret.Error.NoSession');
    });
    const reading = item?.label();
    // Somewhere between the loss and the new session.
    const creating = (async () => {
      for (let tick = 0; tick < delay; tick++) await Promise.resolve();
      return await collection.createItem({ label: 'x', attributes: { x: 'y' }, secret: 'x' });
    })();
    await reading;
    await creating;
    expect(service.items.size).toBe(2);
    await client.close();
  }
});

test('a second loss in a row is an error of the service, and not of a client that is closed', async () => {
  const { service, client } = await connected();
  service.override('GetSecret', () => {
    service.restart();
    return failed('org.freedesktop.DBus.Error.NoReply');
  });
  await expect(client.lookup(attributes)).rejects.toEqual(error('not-available'));
  expect(service.members.filter((member) => member === 'GetSecret')).toHaveLength(2);
  service.overrides.clear();
  expect((await client.lookup(attributes))?.text()).toBe('secret');
  await client.close();
});

test('a session lost twice while a secret is on its way is no client that is closed', async () => {
  const { service, client } = await connected();
  const [item] = (await client.search(attributes)).unlocked;
  service.override('GetSecret', async (_call, proper) => {
    const reply = proper();
    await settle(15);
    return reply;
  });
  service.override('Get:Label', failed('org.freedesktop.Secret.Error.NoSession'));
  const outcome = expect(item?.getSecret()).rejects.toMatchObject({
    code: 'not-available',
    cause: { code: 'closed' },
  });
  for (let round = 0; round < 12; round++) {
    await expect(item?.label()).rejects.toEqual(error('session'));
    await settle(4);
  }
  await outcome;
  await client.close();
});

test('a service that does not come back is not available, and every operation tries anew', async () => {
  const { service, client } = await connected();
  service.stop();
  service.override('StartServiceByName', failed('org.freedesktop.DBus.Error.ServiceUnknown'));
  for (let round = 0; round < 3; round++) {
    await expect(client.lookup(attributes)).rejects.toMatchObject({ code: 'not-available', isAbsent: true });
  }
  expect(service.members.filter((member) => member === 'StartServiceByName')).toHaveLength(3);
  service.overrides.clear();
  expect((await client.lookup(attributes))?.text()).toBe('secret');
  await client.close();
});

test('waiting for the new session ends at the deadline and the signal of each operation', async () => {
  const { service, client } = await connected();
  service.restart();
  service.override('OpenSession', undefined);
  const controller = new AbortController();
  const outcomes = Promise.allSettled([
    client.lookup(attributes, { timeoutMs: 30 }),
    client.lookup(attributes, { signal: controller.signal }),
    client.lookup(attributes, { timeoutMs: 1_000 }),
  ]);
  await settle(60);
  controller.abort('enough');
  service.overrides.clear();
  const [late, cancelled, patient] = await outcomes;
  expect(late).toMatchObject({ reason: { name: 'DeadlineError', deadline: 'call', timeoutMs: 30 } });
  expect(cancelled).toMatchObject({ reason: { name: 'CancelledError', cause: 'enough' } });
  expect(patient).toMatchObject({ reason: { name: 'DeadlineError', timeoutMs: 1_000 } });
  await client.close();
});

test('closing ends an attempt to find the service anew', async () => {
  for (const member of ['GetNameOwner', 'OpenSession']) {
    const { service, client } = await connected();
    service.restart();
    service.override(member, undefined);
    const reading = client.lookup(attributes);
    const outcome = expect(reading).rejects.toEqual(error('closed'));
    await settle();
    await client.close();
    await outcome;
  }
});

test('an owner that lives on without the name, and has no objects any more, is left', async () => {
  const { service, client } = await connected();
  const [item] = (await client.search(attributes)).unlocked;
  // As KeePassXC does when its user turns the service off: the process stays on the bus.
  const former = service.bus.owner;
  service.bus.owner = undefined;
  service.sessions.clear();
  service.start();
  service.formerOwners.add(former ?? '');
  expect((await client.lookup(attributes))?.text()).toBe('secret');
  expect((await item?.getSecret())?.text()).toBe('secret');
  await client.close();
});

test('what is not there does not make the client open another session', async () => {
  const { service, path, client } = await connected();
  const [item] = (await client.search(attributes)).unlocked;
  service.items.delete(path);
  await expect(item?.getSecret()).rejects.toEqual(error('not-found'));
  await expect(item?.label()).rejects.toEqual(error('not-found'));
  expect(service.members.filter((member) => member === 'OpenSession')).toHaveLength(1);
  await client.close();
});

test('nothing is sent to a name that is not that of the service', async () => {
  const { service, client } = await connected();
  service.restart();
  await client.lookup(attributes);
  const { owner = '' } = service.bus;
  const sent = service.calls.filter(({ destination }) => destination !== 'org.freedesktop.DBus');
  expect([...new Set(sent.map(({ destination }) => destination))]).toEqual([OWNER, owner]);
  // No secret and no session of the first.
  const toSecond = sent.filter(({ destination }) => destination === owner).map(({ member }) => member);
  expect(toSecond[0]).toBe('OpenSession');
  await client.close();
});

test('an operation that only one of two clients of a bus closes goes on in the other', async () => {
  const objects = await prepared();
  const other = await SecretService.connect({ bus: objects.bus, session: 'plain' });
  await objects.client.close();
  expect((await other.lookup(attributes))?.text()).toBe('one');
  await other.close();
  await release(objects);
});

/** A bus over a socket, which is connected to again when it is lost. */
async function overSocket() {
  const service = new MockService();
  service.add(attributes, 'secret');
  let count = 0;
  const peers: { hangUp(): void }[] = [];
  const server = await listen((socket) => {
    peers.push(service.serve(transportOf(socket), { uniqueName: `:1.${100 + ++count}` }));
  });
  const reconnected: (() => void)[] = [];
  const bus = await openBus(server.address, {
    reconnect: reconnecting({ initialDelayMs: 5, onReconnect: () => reconnected.shift()?.() }),
  });
  const client = await SecretService.connect({ bus, prompt: 'never', timeoutMs: 2_000 });
  const lose = (): Promise<void> => {
    const again = new Promise<void>((resolve) => reconnected.push(resolve));
    // What the service gave to a connection goes with it.
    service.sessions.clear();
    peers.at(-1)?.hangUp();
    return again;
  };
  const close = async (): Promise<void> => {
    await client.close();
    await bus.close();
    await server[Symbol.asyncDispose]();
  };
  return { service, bus, client, lose, close };
}

test('a bus that is connected to again has a session of its own', async () => {
  const { service, client, lose, close } = await overSocket();
  for (let round = 0; round < 3; round++) {
    await lose();
    service.calls.length = 0;
    expect((await client.lookup(attributes))?.text()).toBe('secret');
    // Before anything is sent to a name that may be another's.
    expect(service.members.slice(0, 2)).toEqual(['GetNameOwner', 'OpenSession']);
    expect([...service.sessions.keys()]).toEqual([client.session.path]);
  }
  await close();
});

test('a call under way when the connection is lost is made again where that is safe', async () => {
  const { service, client, lose, close } = await overSocket();
  service.override('SearchItems', undefined);
  const reading = client.lookup(attributes);
  await settle(20);
  service.overrides.clear();
  await lose();
  expect((await reading)?.text()).toBe('secret');
  // And not where it is not.
  const collection = await client.defaultCollection();
  service.override('CreateItem', undefined);
  const creating = collection.createItem({ label: 'x', attributes: { x: 'y' }, secret: 'x' });
  const outcome = expect(creating).rejects.toEqual(error('closed'));
  await settle(20);
  service.overrides.clear();
  await lose();
  await outcome;
  expect(service.items.size).toBe(1);
  await close();
});

test.each([
  ['that it has no such object', failed('org.freedesktop.DBus.Error.UnknownObject')],
  ['that this is not allowed', failed('org.freedesktop.DBus.Error.AccessDenied')],
  ['something else', returned('s', 'hello')],
])(
  'what is asked for while there is no connection is answered by the service of the next one, though a stranger says %s',
  async (_name, answer) => {
    const { service, client, lose, close } = await overSocket();
    const again = lose();
    await settle(2);
    // On the next bus, the name that the service had is that of another program.
    service.bus.owner = ':1.500';
    service.interceptor = (call, proper) => (call.destination === OWNER ? answer : proper());
    const before = service.calls.length;
    const item = client.set({ new: 'one' }, 'x');
    const secrets = await Promise.all([client.lookup(attributes), client.lookup(attributes)]);
    expect(secrets.map((secret) => secret?.text())).toEqual(['secret', 'secret']);
    await item;
    await again;
    expect(service.items.size).toBe(2);
    // It was asked nothing, and so given no secret.
    expect(service.calls.slice(before).filter(({ destination }) => destination === OWNER)).toEqual([]);
    await close();
  },
);

test('a prompt does not outlive the connection it was shown over', async () => {
  const { service, client, lose, close } = await overSocket();
  service.prompts.person = 'does nothing';
  const prompt = service.prompts.add('CreateItem', ':1.101', () => {
    throw new Error('nobody accepts it');
  });
  service.override('CreateItem', { signature: 'oo', body: ['/', prompt] });
  const collection = await client.defaultCollection();
  const start = performance.now();
  const item = { label: 'x', attributes: { x: 'y' }, secret: 'x' };
  const creating = collection.createItem(item, { prompt: 'allow', promptTimeoutMs: 5_000 });
  const outcome = expect(creating).rejects.toEqual(error('not-available'));
  await settle(30);
  expect(service.prompts.shown).toHaveLength(1);
  await lose();
  await outcome;
  expect(performance.now() - start).toBeLessThan(1_000);
  await close();
});
