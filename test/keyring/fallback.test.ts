/** The stash comes in only where there is positively no Secret Service: secrets must not scatter over two places. */
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Keyring, type KeyringOptions, openKeyring } from '../../src/keyring/index.js';
import { MockService } from '../secret/support/mock-service.js';
import { failed, type Reply, returned } from '../secret/support/scripted-bus.js';
import { listen, type SocketServer, transportOf } from './support/socket-server.js';

const NAME_HAS_NO_OWNER = 'org.freedesktop.DBus.Error.NameHasNoOwner';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
  path = join(directory, 'secrets.sstash');
});

afterEach(() => rmSync(directory, { recursive: true }));

const openWithStash = (options: KeyringOptions): Promise<Keyring> =>
  openKeyring({ stash: { path, password: 'p' }, timeoutMs: 5_000, ...options });

/** The front door has to reject, and must not have made the stash. */
async function expectRefusal(options: KeyringOptions, code: string): Promise<void> {
  const error = expect.objectContaining({ name: 'KeyringError', code });
  const opening = openWithStash(options);
  // What should not have opened is still closed.
  const closing = opening.then((keyring) => keyring.close()).catch(() => {});
  await expect(opening).rejects.toEqual(error);
  await closing;
  expect(existsSync(path)).toBe(false);
}

async function expectStash(options: KeyringOptions): Promise<void> {
  await using keyring = await openWithStash(options);
  expect(keyring.backend).toBe('stash');
  await keyring.set('service', 'ann', 'x');
  expect(existsSync(path)).toBe(true);
}

const serving = (service: MockService): Promise<SocketServer> =>
  listen((socket) => service.serve(transportOf(socket)));

/** A bus on which the service does not run, and answers to being started as given. */
function stoppedService(start: Reply): MockService {
  const service = new MockService();
  service.isRunning = false;
  service.override('StartServiceByName', start);
  return service;
}

describe('without any Secret Service', () => {
  it('takes the stash where the environment names no bus', async () => {
    await expectStash({ env: {} });
    await expectStash({ env: { XDG_RUNTIME_DIR: directory } });
  });

  it.each([
    'unix:path=/nonexistent/bus',
    'unix:path=/nonexistent/bus;unix:path=/nonexistent/other',
    // Node 20 cannot reach abstract sockets.
    ...(Number.parseInt(process.versions.node, 10) < 22
      ? []
      : ['unix:abstract=secretbus-nobody-listens-here']),
  ])('takes the stash where nothing listens at the address in the environment: %s', async (address) => {
    await expectStash({ env: { DBUS_SESSION_BUS_ADDRESS: address } });
  });

  it('takes the stash where a bus has ended and left its socket', async () => {
    const stale = join(directory, 'stale');
    // The server unlinks the name it has listened at, which is gone by then.
    await using server = await listen(() => {});
    renameSync(server.path, stale);
    await server.close();
    expect(statSync(stale).isSocket()).toBe(true);
    const refused = { DBUS_SESSION_BUS_ADDRESS: `unix:path=${stale}` };
    await expectStash({ env: refused });
  });

  it.each(['ServiceUnknown', 'Spawn.ServiceNotFound'])(
    'takes the stash where the bus has no owner of the name and answers %s to starting one',
    async (name) => {
      await using server = await serving(stoppedService(failed(`org.freedesktop.DBus.Error.${name}`)));
      await expectStash({ env: server.env });
      await expectStash({ address: server.address });
    },
  );

  it('says so where no stash is configured, or where the stash is not wanted', async () => {
    const service = stoppedService(failed('org.freedesktop.DBus.Error.ServiceUnknown'));
    await using server = await serving(service);
    const error = { name: 'KeyringError', code: 'not-available' };
    await expect(openKeyring({ env: server.env })).rejects.toMatchObject(error);
    await expectRefusal({ env: server.env, backend: 'secret-service' }, 'not-available');
    await expectRefusal({ env: {}, backend: 'secret-service' }, 'not-available');
  });
});

describe('with a service that may be there', () => {
  it.each(['NoReply', 'TimedOut', 'ServiceUnknown', 'NameHasNoOwner', 'Disconnected'])(
    'reports %s to OpenSession',
    async (name) => {
      const service = new MockService();
      service.override('OpenSession', failed(`org.freedesktop.DBus.Error.${name}`));
      await using server = await serving(service);
      await expectRefusal({ env: server.env }, 'not-available');
    },
  );

  it.each(['NoReply', 'TimedOut', 'ServiceUnknown', 'Spawn.ServiceNotFound'])(
    'reports %s to the question for the owner, and starts nothing',
    async (name) => {
      const service = new MockService();
      service.override('GetNameOwner', failed(`org.freedesktop.DBus.Error.${name}`));
      await using server = await serving(service);
      await expectRefusal({ env: server.env }, 'not-available');
      expect(service.members).toEqual(['GetNameOwner']);
    },
  );

  it.each([
    ['Spawn.ChildExited', 'not-available'],
    ['Spawn.ChildSignaled', 'not-available'],
    ['Spawn.ExecFailed', 'not-available'],
    ['Spawn.Failed', 'not-available'],
    ['Spawn.FileInvalid', 'not-available'],
    ['TimedOut', 'not-available'],
    ['NoReply', 'not-available'],
    ['AccessDenied', 'access-denied'],
    ['LimitsExceeded', 'failed'],
  ])('reports %s to starting it', async (name, code) => {
    await using server = await serving(stoppedService(failed(`org.freedesktop.DBus.Error.${name}`)));
    await expectRefusal({ env: server.env }, code);
  });

  it('reports one that ends at once', async () => {
    const service = new MockService();
    service.override('GetNameOwner', failed(NAME_HAS_NO_OWNER));
    await using server = await serving(service);
    await expectRefusal({ env: server.env }, 'not-available');
  });

  it('reports one that does not answer in time, or whose start is cancelled', async () => {
    const service = new MockService();
    service.override('OpenSession', undefined);
    await using server = await serving(service);
    await expectRefusal({ env: server.env, timeoutMs: 50 }, 'deadline');
    await using other = await serving(stoppedService(undefined));
    await expectRefusal({ env: other.env, signal: AbortSignal.timeout(50) }, 'cancelled');
  });

  it('reports one without encrypted sessions', async () => {
    const service = new MockService();
    service.algorithms.delete('dh-ietf1024-sha256-aes128-cbc-pkcs7');
    await using server = await serving(service);
    await expectRefusal({ env: server.env }, 'session');
  });

  it('reports one that answers nonsense', async () => {
    const service = new MockService();
    service.override('GetNameOwner', returned('u', 1));
    await using server = await serving(service);
    await expectRefusal({ env: server.env }, 'bad-reply');
  });
});

describe('with a bus that does not let us in', () => {
  const servers: [string, (socket: Socket) => void][] = [
    ['hangs up', (socket) => socket.destroy()],
    ['hangs up once it is spoken to', (socket) => socket.once('data', () => socket.end())],
    ['refuses every authentication', (socket) => socket.on('data', () => socket.write('REJECTED\r\n'))],
    ['sends garbage', (socket) => socket.write(Buffer.alloc(100_000, 0xff))],
    ['sends garbage for its guid', (socket) => socket.write('OK garbage\r\n')],
    [
      'hangs up after the authentication',
      (socket) => {
        socket.write('OK 0123456789abcdef0123456789abcdef\r\n');
        socket.on('data', (bytes) => bytes.includes('BEGIN') && socket.end());
      },
    ],
  ];
  it.each(servers)('reports one that %s', async (_name, serve) => {
    await using server = await listen(serve);
    await expectRefusal({ env: server.env }, 'not-available');
  });

  it('reports one that is another than the address names', async () => {
    await using server = await serving(new MockService());
    const address = `${server.address},guid=${'f'.repeat(32)}`;
    await expectRefusal({ env: { DBUS_SESSION_BUS_ADDRESS: address } }, 'not-available');
  });

  it('reports one of several addresses that is there and refuses', async () => {
    await using server = await listen((socket) => socket.destroy());
    const address = `unix:path=/nonexistent/bus;${server.address}`;
    await expectRefusal({ env: { DBUS_SESSION_BUS_ADDRESS: address } }, 'not-available');
  });

  it('reports an address of the environment that cannot be used', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    for (const address of [
      'launchd:env=SOME_SOCKET',
      `unix:path=${file}/bus`,
      'unix:pth=/nonexistent/bus',
      'nonsense',
    ]) {
      await expectRefusal({ env: { DBUS_SESSION_BUS_ADDRESS: address } }, 'not-available');
    }
  });

  it('reports whatever is wrong with an address that the caller gave: it may be misspelt', async () => {
    for (const [address, code] of [
      ['unix:path=/nonexistent/bus', 'not-available'],
      ['unix:path=/nonexistent/bus;unix:path=/nonexistent/other', 'not-available'],
      ['unix:abstract=secretbus-nobody-listens-here', 'not-available'],
      ['tcp:host=127.0.0.1,port=1', 'not-available'],
      ['nonsense', 'bad-argument'],
      ['', 'bad-argument'],
    ] as const) {
      await expectRefusal({ address }, code);
    }
  });
});
