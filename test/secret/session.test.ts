import { createDiffieHellman, getDiffieHellman } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { SessionPolicy } from '../../src/secret/index.js';
import { Variant } from '../../src/wire/index.js';
import { ENCRYPTED, LOGIN, MockService, OWNER, padded } from './support/mock-service.js';
import { failed, type Reply, returned } from './support/scripted-bus.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const prime = getDiffieHellman('modp2').getPrime();

/** Answers OpenSession with a public key for which the shared secret does, or does not, begin with a zero byte. */
function openWithFirstByte(service: MockService, publicKey: Uint8Array, isZero: boolean): Reply {
  const exchange = createDiffieHellman(prime, 2);
  for (let exponent = 1000; ; exponent++) {
    exchange.setPrivateKey(Uint8Array.of(exponent >> 8, exponent & 0xff));
    const ours = exchange.generateKeys();
    const shared = padded(exchange.computeSecret(publicKey));
    if ((shared[0] === 0) !== isZero) continue;
    return returned('vo', new Variant('ay', ours), service.addSession(shared));
  }
}

/** Waits until what the client sent without waiting for it has arrived. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('the algorithm', () => {
  test('is the encrypted one unless the caller allows another', async () => {
    const service = new MockService();
    const client = await service.connect();
    expect(client.session.algorithm).toBe(ENCRYPTED);
    expect(client.session.encrypted).toBe(true);
    expect([...service.sessions.keys()]).toEqual([client.session.path]);
    expect(service.members).toEqual(['GetNameOwner', 'OpenSession']);
    const input = service.calls[1]?.body[1] as Variant<Uint8Array>;
    expect(input.signature).toBe('ay');
    expect(input.value.byteLength).toBe(128);
    await client.close();
  });

  test.each<[SessionPolicy, string[], string | undefined]>([
    ['encrypted', [ENCRYPTED, 'plain'], ENCRYPTED],
    ['encrypted', ['plain'], undefined],
    ['encrypted', [], undefined],
    ['prefer-encrypted', [ENCRYPTED, 'plain'], ENCRYPTED],
    ['prefer-encrypted', [ENCRYPTED], ENCRYPTED],
    ['prefer-encrypted', ['plain'], 'plain'],
    ['prefer-encrypted', [], undefined],
    ['plain', [ENCRYPTED, 'plain'], 'plain'],
    ['plain', [ENCRYPTED], undefined],
  ])('policy %s with a service that has %j gives %s', async (session, algorithms, expected) => {
    const service = new MockService();
    service.algorithms.clear();
    for (const algorithm of algorithms) service.algorithms.add(algorithm);
    const connecting = service.connect({ session });
    if (expected === undefined) {
      await expect(connecting).rejects.toEqual(error('session'));
      expect(service.sessions.size).toBe(0);
      return;
    }
    const client = await connecting;
    expect(client.session.algorithm).toBe(expected);
    expect(client.session.encrypted).toBe(expected === ENCRYPTED);
    // Whatever was negotiated, secrets come through.
    const item = await client.set({ a: 'b' }, 'wörd');
    expect(service.item(item.path).value.toString()).toBe('wörd');
    expect((await item.getSecret()).text()).toBe('wörd');
    const created = service.calls.find((call) => call.member === 'CreateItem');
    const wasReadable = JSON.stringify(created?.body.map(String)).includes(Buffer.from('wörd').join());
    expect(wasReadable).toBe(expected === 'plain');
    await client.close();
  });

  test('KWallet without the library for the encryption has plain ones', async () => {
    const service = new MockService();
    service.override('OpenSession', (call, proper) =>
      call.body[0] === 'plain' ? proper() : failed('org.freedesktop.DBus.Error.InvalidArgs'),
    );
    const client = await service.connect({ session: 'prefer-encrypted' });
    expect(client.session.algorithm).toBe('plain');
    await client.close();
    await expect(service.connect()).rejects.toEqual(error('session'));
  });

  test('other failures than those of a service without encryption never lead to a plain session', async () => {
    for (const name of [
      'org.freedesktop.DBus.Error.Failed',
      'org.freedesktop.DBus.Error.LimitsExceeded',
      'org.freedesktop.DBus.Error.AccessDenied',
    ]) {
      const service = new MockService();
      service.override('OpenSession', failed(name));
      await expect(service.connect({ session: 'prefer-encrypted' })).rejects.toThrow(name);
      expect(service.members).toEqual(['GetNameOwner', 'OpenSession']);
    }
  });

  test('a bad public key never leads to a plain session', async () => {
    const service = new MockService();
    service.override('OpenSession', () =>
      returned('vo', new Variant('ay', Uint8Array.of(1)), service.addSession(undefined)),
    );
    await expect(service.connect({ session: 'prefer-encrypted' })).rejects.toEqual(error('session'));
    expect(service.members.filter((member) => member === 'OpenSession')).toHaveLength(1);
  });

  test('an unknown policy is the caller’s fault', async () => {
    const session = 'none' as SessionPolicy;
    await expect(new MockService().connect({ session })).rejects.toEqual(error('bad-argument'));
  });
});

describe('plain sessions', () => {
  test.each([
    ['s ""', new Variant('s', '')],
    ['ay []', new Variant('ay', new Uint8Array(0))],
  ])('take the output %s', async (_name, output) => {
    const service = new MockService();
    service.override('OpenSession', () => returned('vo', output, service.addSession(undefined)));
    const client = await service.connect({ session: 'plain' });
    expect(client.session).toMatchObject({ algorithm: 'plain', encrypted: false });
    await client.close();
  });

  test.each([new Variant('u', 0), new Variant('as', []), new Variant('v', new Variant('s', ''))])(
    'refuse the output %j',
    async (output) => {
      const service = new MockService();
      service.override('OpenSession', () => returned('vo', output, '/s'));
      await expect(service.connect({ session: 'plain' })).rejects.toEqual(error('bad-reply'));
    },
  );

  test('refuse a secret with parameters', async () => {
    const service = new MockService();
    const path = service.add({ a: 'b' }, 'x');
    const client = await service.connect({ session: 'plain' });
    const struct = [client.session.path, new Uint8Array(16), Buffer.from('x'), 'text/plain'];
    service.override('GetSecret', returned('(oayays)', struct));
    await expect(client.lookup({ a: 'b' })).rejects.toEqual(error('bad-secret'));
    expect(service.items.has(path)).toBe(true);
    await client.close();
  });
});

describe('key agreement', () => {
  test('opens another session when the shared secret begins with a zero byte, and closes the first', async () => {
    const service = new MockService();
    let attempts = 0;
    service.override('OpenSession', ({ body }) =>
      openWithFirstByte(service, (body[1] as Variant<Uint8Array>).value, ++attempts < 3),
    );
    const client = await service.connect();
    await settled();
    expect(attempts).toBe(3);
    expect([...service.sessions.keys()]).toEqual([client.session.path]);
    expect(service.members.filter((member) => member === 'Close')).toHaveLength(2);
    const inputs = service.calls
      .filter((call) => call.member === 'OpenSession')
      .map((call) => Buffer.from((call.body[1] as Variant<Uint8Array>).value).toString('hex'));
    expect(new Set(inputs).size).toBe(3);
    service.add({ a: 'b' }, 'still right');
    expect((await client.lookup({ a: 'b' }))?.text()).toBe('still right');
    await client.close();
  });

  test('gives up when that never ends, and leaves no session', async () => {
    const service = new MockService();
    service.override('OpenSession', ({ body }) =>
      openWithFirstByte(service, (body[1] as Variant<Uint8Array>).value, true),
    );
    await expect(service.connect()).rejects.toEqual(error('session'));
    await settled();
    expect(service.members.filter((member) => member === 'OpenSession')).toHaveLength(8);
    expect(service.sessions.size).toBe(0);
  });

  test.each([
    ['no bytes', new Uint8Array(0)],
    ['130 bytes', new Uint8Array(130).fill(2)],
    ['130 bytes that say 2', Uint8Array.of(...new Uint8Array(129), 2)],
    ['a kilobyte', new Uint8Array(1024).fill(2)],
    ['0', Uint8Array.of(0)],
    ['0 in 128 bytes', new Uint8Array(128)],
    ['1', Uint8Array.of(1)],
    ['p', prime],
    ['p in 129 bytes', Buffer.concat([Uint8Array.of(0), prime])],
    ['p − 1', Buffer.concat([prime.subarray(0, 127), Uint8Array.of(0xfe)])],
    ['2^1032 − 1', new Uint8Array(129).fill(0xff)],
  ])('refuses the public key %s, and closes the session', async (_name, publicKey) => {
    const service = new MockService();
    service.override('OpenSession', () =>
      returned('vo', new Variant('ay', publicKey), service.addSession(undefined)),
    );
    await expect(service.connect()).rejects.toEqual(error('session'));
    await settled();
    expect(service.sessions.size).toBe(0);
  });

  test.each([
    ['129 bytes', (key: Buffer) => Buffer.concat([Uint8Array.of(0), key])],
    ['its zero bytes dropped', (key: Buffer) => key.subarray(key.findIndex((byte) => byte !== 0))],
  ])('takes a public key of %s', async (_name, change) => {
    const service = new MockService();
    service.override('OpenSession', (_call, proper) => {
      const reply = proper() as { body: [Variant<Buffer>, string] };
      return returned('vo', new Variant('ay', change(reply.body[0].value)), reply.body[1]);
    });
    const client = await service.connect();
    service.add({ a: 'b' }, 'x');
    expect((await client.lookup({ a: 'b' }))?.text()).toBe('x');
    await client.close();
  });

  test.each([
    ['1 byte', 1],
    ['127 bytes', 127],
    ['128 bytes', 128],
  ])('has the right key with a public key of %s', async (_name, byteLength) => {
    const service = new MockService();
    service.override('OpenSession', ({ body }) => {
      const exchange = createDiffieHellman(prime, 2);
      // One byte: 2 to the power of 1. Else the first exponent whose key begins with as many zero bytes.
      for (let exponent = byteLength === 1 ? 1 : 2000; ; exponent++) {
        exchange.setPrivateKey(Uint8Array.of(exponent >> 8, exponent & 0xff));
        const key = exchange.generateKeys();
        const significant = key.subarray(key.findIndex((byte) => byte !== 0));
        if (significant.byteLength !== byteLength) continue;
        const shared = padded(exchange.computeSecret((body[1] as Variant<Uint8Array>).value));
        return returned('vo', new Variant('ay', significant), service.addSession(shared));
      }
    });
    const client = await service.connect();
    service.add({ a: 'b' }, 'x');
    expect((await client.lookup({ a: 'b' }))?.text()).toBe('x');
    await client.set({ a: 'b' }, 'y');
    expect([...service.items.values()][0]?.value.toString()).toBe('y');
    await client.close();
  });

  test.each([
    ['the key as text', 'vo', [new Variant('s', 'key'), '/s']],
    ['the key as integers', 'vo', [new Variant('au', [2]), '/s']],
    ['the session "/"', 'vo', [new Variant('ay', Uint8Array.of(2)), '/']],
    ['the session as text', 'vs', [new Variant('ay', Uint8Array.of(2)), '/s']],
    ['no session', 'v', [new Variant('ay', Uint8Array.of(2))]],
    ['nothing', '', []],
  ])('refuses %s', async (_name, signature, body) => {
    const service = new MockService();
    service.override('OpenSession', returned(signature, ...body));
    await expect(service.connect()).rejects.toEqual(error('bad-reply'));
  });
});

describe('the owner of the name', () => {
  test('is pinned: every later call goes to its unique name', async () => {
    const service = new MockService();
    const client = await service.connect();
    await client.set({ a: 'b' }, 'x');
    await client.lookup({ a: 'b' });
    await client.close();
    const [first, ...rest] = service.calls;
    expect(first?.destination).toBe('org.freedesktop.DBus');
    expect(new Set(rest.map((call) => call.destination))).toEqual(new Set([OWNER]));
    expect(rest.some((call) => call.path?.startsWith(LOGIN) === true)).toBe(true);
  });

  test('is started when there is none', async () => {
    const service = new MockService();
    service.isRunning = false;
    const client = await service.connect();
    expect(service.members).toEqual(['GetNameOwner', 'StartServiceByName', 'GetNameOwner', 'OpenSession']);
    await client.close();
  });

  test.each([
    ['org.freedesktop.DBus.Error.ServiceUnknown', true],
    ['org.freedesktop.DBus.Error.Spawn.ServiceNotFound', true],
    ['org.freedesktop.DBus.Error.Spawn.ExecFailed', false],
    ['org.freedesktop.DBus.Error.Spawn.ChildExited', false],
    ['org.freedesktop.DBus.Error.TimedOut', false],
    ['org.freedesktop.DBus.Error.NoReply', false],
  ])('that cannot be started with %s is not available, and absent: %s', async (name, isAbsent) => {
    const service = new MockService();
    service.isRunning = false;
    service.override('StartServiceByName', failed(name));
    await expect(service.connect()).rejects.toMatchObject({
      name: 'SecretServiceError',
      code: 'not-available',
      isAbsent,
      message: `StartServiceByName: the service answered ${name}`,
      cause: { name },
    });
  });

  test('that does not answer is not available, but not absent', async () => {
    const service = new MockService();
    const name = 'org.freedesktop.DBus.Error.ServiceUnknown';
    for (const member of ['OpenSession', 'GetNameOwner']) {
      service.overrides.clear();
      service.override(member, failed(name));
      const rejection = { code: 'not-available', isAbsent: false };
      await expect(service.connect(), member).rejects.toMatchObject(rejection);
    }
    expect(service.members).not.toContain('StartServiceByName');
  });

  test('that ends at once is not available', async () => {
    const service = new MockService();
    service.override('GetNameOwner', failed('org.freedesktop.DBus.Error.NameHasNoOwner'));
    await expect(service.connect()).rejects.toMatchObject({ code: 'not-available', isAbsent: false });
  });

  test.each([
    ['s', ['org.freedesktop.secrets']],
    ['s', ['']],
    ['u', [1]],
    ['', []],
    ['ss', [':1.7', '']],
  ])('that the bus names by %s %j is a bad reply', async (signature, body) => {
    const service = new MockService();
    service.override('GetNameOwner', returned(signature, ...body));
    await expect(service.connect()).rejects.toEqual(error('bad-reply'));
  });

  test('that does not start in time runs into the deadline for starting', async () => {
    const service = new MockService();
    service.isRunning = false;
    service.override('StartServiceByName', undefined);
    const start = performance.now();
    const connecting = service.connect({ activationTimeoutMs: 60, timeoutMs: 20_000 });
    await expect(connecting).rejects.toMatchObject({ name: 'DeadlineError', timeoutMs: 60 });
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});
