/** Connecting: whatever happens at any step, it ends in time with a typed error, and leaves no connection of ours. */
import { getEventListeners } from 'node:events';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type ConnectOptions, SecretService } from '../../src/secret/index.js';
import { Variant } from '../../src/wire/index.js';
import { listen, transportOf } from '../keyring/support/socket-server.js';
import { hostileSocket, watchEachTest } from '../support/hostile-peer.js';
import { MockService } from './support/mock-service.js';
import { failed, returned } from './support/scripted-bus.js';

watchEachTest();

const error = (...codes: string[]): unknown =>
  expect.objectContaining({
    name: 'SecretServiceError',
    code: expect.stringMatching(new RegExp(`^(${codes.join('|')})$`)),
  });

/** The calls of connecting to a service that runs, and to one that does not. */
const STEPS: [boolean, string[]][] = [
  [true, ['GetNameOwner', 'OpenSession']],
  [false, ['GetNameOwner', 'StartServiceByName', 'GetNameOwner', 'OpenSession']],
];
const steps = STEPS.flatMap(([isRunning, members]) =>
  members.map((member, step): [string, boolean, number, string] => [
    `${isRunning ? 'a service that runs' : 'a service to be started'}, step ${step}`,
    isRunning,
    step,
    member,
  ]),
);

async function at(isRunning: boolean, step: number, answer: MockService['interceptor']) {
  const service = new MockService();
  service.isRunning = isRunning;
  let count = 0;
  service.interceptor = (call, proper) => (count++ === step ? answer?.(call, proper) : proper());
  const { bus } = await service.openBus();
  const connect = (options: ConnectOptions = {}): Promise<SecretService> =>
    SecretService.connect({ bus, ...options });
  return { service, bus, connect };
}

describe.each(steps)('%s', (_name, isRunning, step, member) => {
  test('ends at its deadline, and says which', async () => {
    const { bus, connect } = await at(isRunning, step, () => undefined);
    const start = performance.now();
    // Starting has one of its own, which bounds all of it.
    const isStarting = !isRunning && (step === 1 || step === 2);
    const rejection = { name: 'DeadlineError', deadline: isStarting ? 'activation' : 'call', timeoutMs: 30 };
    await expect(connect(isStarting ? { activationTimeoutMs: 30 } : { timeoutMs: 30 })).rejects.toMatchObject(
      rejection,
    );
    expect(performance.now() - start).toBeLessThan(500);
    await bus.close();
  });

  test('ends at its signal', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const { bus, connect } = await at(isRunning, step, () => {
      setImmediate(() => controller.abort('enough'));
      return undefined;
    });
    await expect(connect({ signal })).rejects.toMatchObject({ name: 'CancelledError', cause: 'enough' });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    await bus.close();
  });

  test('ends when the service goes', async () => {
    for (const name of ['NoReply', 'ServiceUnknown', 'NameHasNoOwner']) {
      const { service, bus, connect } = await at(isRunning, step, (call, proper) => {
        service.stop(`org.freedesktop.DBus.Error.${name}`);
        service.override('StartServiceByName', failed('org.freedesktop.DBus.Error.Spawn.ChildExited'));
        return call.destination === 'org.freedesktop.DBus' ? proper() : undefined;
      });
      const outcome = connect();
      // Started after all.
      if (member === 'StartServiceByName') await (await outcome).close();
      else await expect(outcome).rejects.toMatchObject({ code: 'not-available', isAbsent: false });
      await bus.close();
    }
  });

  test('refuses replies of wrong types', async () => {
    for (const [signature, ...body] of [
      ['t', 7n],
      ['', undefined],
      ['v', new Variant('s', '')],
      ['as', [':1.7']],
      ['vo', new Variant('ay', Uint8Array.of(2)), '/'],
      ['vo', new Variant('s', 'key'), '/s'],
      ['ov', '/s', new Variant('ay', Uint8Array.of(2))],
    ] as [string, ...unknown[]][]) {
      const reply = signature === '' ? returned('') : returned(signature, ...body);
      const { service, bus, connect } = await at(isRunning, step, () => reply);
      await expect(connect(), signature).rejects.toEqual(error('bad-reply'));
      expect(service.sessions.size).toBe(0);
      await bus.close();
    }
  });

  test('ends when the bus hangs up, and closes what it had opened itself', async () => {
    const service = new MockService();
    service.isRunning = isRunning;
    let count = 0;
    let hangUp: (() => void) | undefined;
    service.interceptor = (_call, proper) => {
      if (count++ !== step) return proper();
      hangUp?.();
      return undefined;
    };
    const server = await listen((socket) => {
      const peer = service.serve(transportOf(socket));
      hangUp = () => peer.hangUp();
    });
    const rejection = error('closed', 'not-available');
    await expect(SecretService.connect({ address: server.address })).rejects.toEqual(rejection);
    await server[Symbol.asyncDispose]();
  });

  test('closes the bus it has opened when it fails', async () => {
    const service = new MockService();
    service.isRunning = isRunning;
    let count = 0;
    const name = 'org.freedesktop.DBus.Error.AccessDenied';
    service.interceptor = (_call, proper) => (count++ === step ? failed(name) : proper());
    const sockets: { readonly destroyed: boolean }[] = [];
    const server = await listen((socket) => {
      sockets.push(socket);
      service.serve(transportOf(socket));
    });
    await expect(SecretService.connect({ address: server.address })).rejects.toEqual(error('access-denied'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true]);
    await server[Symbol.asyncDispose]();
  });
});

test('a bus that says nothing ends it at the deadline for the bus', async () => {
  const server = await hostileSocket(() => {});
  const start = performance.now();
  const connecting = SecretService.connect({ address: server.target() as string, connectTimeoutMs: 30 });
  await expect(connecting).rejects.toMatchObject({
    name: 'DeadlineError',
    deadline: 'connect',
    timeoutMs: 30,
  });
  expect(performance.now() - start).toBeLessThan(500);
  await server.close();
});

test('no object shows a secret, a key or a password', async () => {
  const service = new MockService();
  service.add({ a: 'b' }, 'hunter2');
  const client = await service.connect({ prompt: 'allow' });
  const collection = await client.defaultCollection();
  const found = await client.findAll({ a: 'b' });
  const [item] = (await client.search({ a: 'b' })).unlocked;
  const secrets = await client.getSecrets(item === undefined ? [] : [item]);
  const watch = client.watch();
  await watch.ready;
  const key = service.sessions.get(client.session.path) ?? Buffer.alloc(0);
  const forms = [
    'hunter2',
    ...['hex', 'base64', 'latin1'].map((form) => Buffer.from('hunter2').toString(form as 'hex')),
  ];
  const keyForms = ['hex', 'base64'].map((form) => key.toString(form as 'hex'));
  const lists = [Buffer.from('hunter2'), key].map((bytes) => [...bytes].join(', '));
  for (const object of [client, collection, item, found, secrets, watch, client.session]) {
    const shown = inspect(object, { depth: 20, showHidden: true, getters: true, maxArrayLength: null });
    const written = JSON.stringify(object) ?? '';
    for (const form of [...forms, ...keyForms, ...lists]) {
      expect(shown).not.toContain(form);
      expect(written).not.toContain(form);
    }
  }
  await watch.close();
  await client.close();
});
