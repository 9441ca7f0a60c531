import { describe, expect, test } from 'vitest';
import { type ConnectOptions, isAvailable, SecretService } from '../../src/secret/index.js';
import { MockService } from './support/mock-service.js';
import { openScriptedBus, returned } from './support/scripted-bus.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

async function connected(options: ConnectOptions = {}): Promise<{
  service: MockService;
  client: SecretService;
}> {
  const service = new MockService();
  const client = await service.connect({ session: 'plain', ...options });
  return { service, client };
}

describe('closing', () => {
  test('ends the session, keeps a bus of the caller’s open, and refuses what comes later', async () => {
    const service = new MockService();
    const { bus } = await service.openBus();
    const client = await SecretService.connect({ bus });
    const item = await client.set({ a: 'b' }, 'x');
    const collection = await client.defaultCollection();
    const closing = client.close();
    expect(client.close()).toBe(closing);
    await closing;
    await client[Symbol.asyncDispose]();
    expect(service.members.filter((member) => member === 'Close')).toHaveLength(1);
    expect(service.sessions.size).toBe(0);
    const sent = service.calls.length;
    for (const run of [
      () => client.lookup({ a: 'b' }),
      () => client.set({ a: 'b' }, 'x'),
      () => client.search({}),
      () => client.getSecrets([item]),
      () => client.collections(),
      () => item.getSecret(),
      () => item.label(),
      () => collection.items(),
    ]) {
      await expect(run()).rejects.toEqual(error('closed'));
    }
    expect(service.calls.length).toBe(sent);
    const again = await SecretService.connect({ bus });
    expect((await again.lookup({ a: 'b' }))?.text()).toBe('x');
    await again.close();
    await bus.close();
  });

  test('does not wait for ever for a service that says nothing', async () => {
    const { service, client } = await connected();
    service.override('Close', undefined);
    const start = performance.now();
    await client.close();
    expect(performance.now() - start).toBeLessThan(4_000);
  });

  test('gives no secret to an operation that is under way', async () => {
    const { service, client } = await connected({ session: 'encrypted' });
    service.add({ a: 'b' }, 'x');
    const lookup = client.lookup({ a: 'b' });
    const closing = client.close();
    await expect(lookup).rejects.toEqual(error('closed'));
    await closing;
  });

  test('by the other side rejects everything with the reason', async () => {
    const service = new MockService();
    const scripted = await service.openBus();
    const client = await SecretService.connect({ bus: scripted.bus });
    service.override('SearchItems', undefined);
    const pending = client.search({ a: 'b' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    scripted.hangUp();
    await expect(pending).rejects.toMatchObject({
      name: 'SecretServiceError',
      code: 'closed',
      cause: { name: 'ClosedError' },
    });
    await expect(client.lookup({ a: 'b' })).rejects.toEqual(error('closed'));
    const start = performance.now();
    await client.close();
    expect(performance.now() - start).toBeLessThan(500);
  });
});

describe('availability', () => {
  test.each([
    ['a running service', true, [], true],
    ['a service that can be started', false, ['org.freedesktop.secrets'], true],
    ['no service', false, ['org.freedesktop.DBus'], false],
  ])('with %s', async (_name, isRunning, activatable, expected) => {
    const service = new MockService();
    service.isRunning = isRunning;
    service.override('ListActivatableNames', returned('as', activatable));
    const { bus } = await service.openBus();
    expect(await isAvailable({ bus })).toBe(expected);
    expect(service.members).not.toContain('StartServiceByName');
    expect(service.members).not.toContain('OpenSession');
    await bus.close();
  });

  test('without a bus', async () => {
    const noBus = { address: 'unix:path=/nonexistent/bus' };
    expect(await isAvailable(noBus)).toBe(false);
    await expect(SecretService.connect(noBus)).rejects.toMatchObject({
      code: 'not-available',
      isAbsent: false,
    });
    expect(await isAvailable({ env: {} })).toBe(false);
    await expect(SecretService.connect({ env: {} })).rejects.toMatchObject({
      code: 'not-available',
      isAbsent: true,
    });
    await expect(SecretService.connect({ address: 'nonsense' })).rejects.toEqual(error('bad-argument'));
  });

  test('with a bus that answers wrongly', async () => {
    for (const [member, reply] of [
      ['GetNameOwner', returned('u', 1)],
      ['ListActivatableNames', returned('s', 'org.freedesktop.secrets')],
    ] as const) {
      const service = new MockService();
      service.isRunning = false;
      service.override(member, reply);
      const { bus } = await service.openBus();
      await expect(isAvailable({ bus })).rejects.toEqual(error('bad-reply'));
      await bus.close();
    }
    const { bus } = await openScriptedBus(() => undefined);
    await expect(isAvailable({ bus, timeoutMs: 30 })).rejects.toMatchObject({ name: 'DeadlineError' });
    await bus.close();
  });
});
