import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Address, escapeAddressValue, parseAddress } from '../../src/wire/handshake/address.js';
import { connectTransport } from '../../src/wire/transport/connect.js';
import { type Listener, listenTransport } from '../../src/wire/transport/listen.js';
import type { Transport } from '../../src/wire/transport/transport.js';
import { TransportProbe, until } from '../support/transport-probe.js';

let directory: string;
let listeners: Listener[];
let accepted: Transport[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
  listeners = [];
  accepted = [];
});

afterEach(async () => {
  for (const transport of accepted) transport.destroy();
  await Promise.all(listeners.map((listener) => listener.close()));
  rmSync(directory, { recursive: true });
});

const first = (address: string): Address => parseAddress(address)[0] as Address;

async function listen(address: string, signal?: AbortSignal): Promise<Listener> {
  const listener = await listenTransport(first(address), (transport) => accepted.push(transport), { signal });
  listeners.push(listener);
  return listener;
}

const connect = (address: string): Promise<Transport> =>
  connectTransport(first(address), new AbortController().signal);

/** Says something over a new connection to `listener`, and sees it come. */
async function works(listener: Listener): Promise<void> {
  const known = accepted.length;
  const client = await connect(listener.address);
  client.write(Buffer.from('hello'));
  const probes: TransportProbe[] = [];
  const heard = (): TransportProbe | undefined => {
    // Others may come and go: one who looks whether anybody listens says nothing.
    while (known + probes.length < accepted.length) {
      probes.push(new TransportProbe(accepted[known + probes.length] as Transport).start());
    }
    return probes.find(({ text }) => text === 'hello');
  };
  await until(() => heard() !== undefined);
  client.destroy();
  await heard()?.ended;
}

/** A socket file whose listener was killed. */
async function stale(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.stdout.write('ready'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(lstatSync(path).isSocket()).toBe(true);
}

/** Handles that may keep the process alive. */
const resources = (): string[] =>
  process
    .getActiveResourcesInfo()
    .filter((name) => /Pipe|TCP/.test(name))
    .toSorted();

describe('listenTransport on unix', () => {
  it('makes a socket that is its owner’s alone, whatever the umask, and removes it', async () => {
    const listener = await listen(`unix:path=${directory}/a%20b`);
    expect(listener.address).toBe(`unix:path=${escapeAddressValue(directory)}/a%20b`);
    const stats = lstatSync(`${directory}/a b`);
    expect([stats.isSocket(), stats.mode & 0o777]).toEqual([true, 0o600]);
    expect(readdirSync(directory)).toEqual(['a b']);
    await works(listener);
    await listener.close();
    await listener.close();
    expect(readdirSync(directory)).toEqual([]);
    await expect(connect(listener.address)).rejects.toMatchObject({ cause: { code: 'ENOENT' } });
  });

  it.each(['dir', 'tmpdir'])('makes a name of its own in a folder: %s', async (key) => {
    const [one, other] = [await listen(`unix:${key}=${directory}`), await listen(`unix:${key}=${directory}`)];
    expect(one.address).not.toBe(other.address);
    expect(one.address).toMatch(/^unix:path=.*\/dbus-[0-9a-f]{16}$/);
    await works(one);
    await works(other);
    await one.close();
    await works(other);
  });

  it('listens in XDG_RUNTIME_DIR', async () => {
    const before = process.env['XDG_RUNTIME_DIR'];
    try {
      process.env['XDG_RUNTIME_DIR'] = directory;
      const listener = await listen('unix:runtime=yes');
      expect(listener.address).toBe(`unix:path=${escapeAddressValue(`${directory}/bus`)}`);
      await works(listener);
      for (const value of [undefined, '', 'relative']) {
        if (value === undefined) delete process.env['XDG_RUNTIME_DIR'];
        else process.env['XDG_RUNTIME_DIR'] = value;
        await expect(listen('unix:runtime=yes')).rejects.toMatchObject({ code: 'listen-failed' });
      }
    } finally {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
      else process.env['XDG_RUNTIME_DIR'] = before;
    }
  });

  it.runIf(process.platform === 'linux')('listens on an abstract name, where Node can', async () => {
    const name = `secretbus-${process.pid}-${Math.random()}`;
    if (Number.parseInt(process.versions.node, 10) < 22) {
      await expect(listen(`unix:abstract=${name}`)).rejects.toMatchObject({ code: 'unsupported-transport' });
      await expect(connect(`unix:abstract=${name}`)).rejects.toMatchObject({ code: 'unsupported-transport' });
      return;
    }
    const listener = await listen(`unix:abstract=${name}`);
    expect(listener.address).toBe(`unix:abstract=${name}`);
    await works(listener);
    await expect(listen(`unix:abstract=${name}`)).rejects.toMatchObject({
      code: 'listen-failed',
      cause: { code: 'EADDRINUSE' },
    });
    await listener.close();
    await works(await listen(`unix:abstract=${name}`));
  });

  it('takes the place of a socket that a dead process left', async () => {
    await stale(`${directory}/bus`);
    const listener = await listen(`unix:path=${directory}/bus`);
    await works(listener);
    expect(readdirSync(directory)).toEqual(['bus']);
  });

  it('lets one of many at the same stale socket win, who then has it', async () => {
    for (let round = 0; round < 5; round++) {
      const path = `${directory}/bus${round}`;
      await stale(path);
      const results = await Promise.allSettled(Array.from({ length: 12 }, () => listen(`unix:path=${path}`)));
      const winners = results.filter((result) => result.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      await works((winners[0] as PromiseFulfilledResult<Listener>).value);
      for (const result of results) {
        if (result.status === 'rejected') {
          expect(result.reason).toMatchObject({ code: 'listen-failed', cause: { code: expect.any(String) } });
        }
      }
    }
    expect(readdirSync(directory).toSorted()).toEqual(['bus0', 'bus1', 'bus2', 'bus3', 'bus4']);
  });

  it('forgets the claim of one that was killed before it took the place', async () => {
    const path = `${directory}/bus`;
    await stale(path);
    const { dev, ino, mtimeNs } = lstatSync(path, { bigint: true });
    linkSync(path, `${directory}/.stale-${dev}-${ino}-${mtimeNs}`);
    await works(await listen(`unix:path=${path}`));
    expect(readdirSync(directory)).toEqual(['bus']);
  });

  it('never takes the place of a live one, of a file, or of a link', async () => {
    const listener = await listen(`unix:path=${directory}/bus`);
    writeFileSync(`${directory}/file`, 'precious');
    symlinkSync(`${directory}/nowhere`, `${directory}/link`);
    for (const name of ['bus', 'file', 'link']) {
      await expect(listen(`unix:path=${directory}/${name}`)).rejects.toMatchObject({
        name: 'ConnectError',
        code: 'listen-failed',
        cause: { code: 'EADDRINUSE' },
      });
    }
    // The probe was a connection too.
    await until(() => accepted.length > 0);
    await works(listener);
    expect(readFileSync(`${directory}/file`, 'utf8')).toBe('precious');
    expect(readdirSync(directory).toSorted()).toEqual(['bus', 'file', 'link']);
  });

  it('does not remove what another has put in its place', async () => {
    const listener = await listen(`unix:path=${directory}/bus`);
    rmSync(`${directory}/bus`);
    const other = await listen(`unix:path=${directory}/bus`);
    await listener.close();
    await works(other);
  });

  it('goes on with what is open when it is closed', async () => {
    const listener = await listen(`unix:path=${directory}/bus`);
    const client = new TransportProbe(await connect(listener.address)).start();
    await until(() => accepted.length === 1);
    const server = new TransportProbe(accepted[0] as Transport).start();
    await listener.close();
    client.transport.write(Buffer.from('still'));
    server.transport.write(Buffer.from('here'));
    await until(() => client.text === 'here' && server.text === 'still');
    client.transport.close();
    await server.ended;
  });

  it('says why it cannot', async () => {
    mkdirSync(`${directory}/d`);
    const long = `${directory}/${'x'.repeat(107 - directory.length - 1)}`;
    // The folder in which the socket is made takes eleven bytes.
    const deep = `${directory}/${'x'.repeat(97 - directory.length - 1)}`;
    mkdirSync(deep);
    mkdirSync(deep.slice(0, -1));
    for (const [address, error] of [
      [`unix:path=${directory}/none/bus`, { code: 'listen-failed', cause: { code: 'ENOENT' } }],
      [`unix:dir=${directory}/none`, { code: 'listen-failed', cause: { code: 'ENOENT' } }],
      [`unix:path=${long}x`, { code: 'invalid-address' }],
      [`unix:path=${deep}/s`, { code: 'invalid-address' }],
      [`unix:path=${directory}/a%00b`, { code: 'invalid-address' }],
    ] as const) {
      await expect(listen(address), address).rejects.toMatchObject(error);
    }
    await works(await listen(`unix:path=${long}`));
    await works(await listen(`unix:path=${deep.slice(0, -1)}/s`));
  });

  it.each([
    'unix:',
    'unix:path=/a,abstract=b',
    'unix:path=/a,dir=/b',
    'unix:runtime=no',
    'unix:abstract=a%00b',
    'tcp:port=65536',
    'tcp:port=x',
    'tcp:family=ipv5',
    'tcp:bind=a%00b',
    'tcp:host=a%00b',
  ])('refuses %s', async (address) => {
    await expect(listen(address)).rejects.toMatchObject({
      name: 'InvalidTextError',
      code: 'invalid-address',
    });
  });

  it.each(['unixexec:path=cat', 'autolaunch:', 'launchd:env=X', 'systemd:'])(
    'does not support %s',
    async (address) => {
      await expect(listen(address)).rejects.toMatchObject({
        name: 'ConnectError',
        code: 'unsupported-transport',
      });
    },
  );

  it.each(['unix:path=DIR/bus', 'tcp:host=127.0.0.1', 'nonce-tcp:host=127.0.0.1,noncefile=DIR/nonce'])(
    'is cancelled, and leaves nothing behind: %s',
    async (text) => {
      const address = text.replaceAll('DIR', directory);
      await expect(listen(address, AbortSignal.abort())).rejects.toMatchObject({ name: 'CancelledError' });
      const controller = new AbortController();
      const listening = listen(address, controller.signal);
      controller.abort();
      await expect(listening).rejects.toMatchObject({ name: 'CancelledError', code: 'cancelled' });
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  it('leaves nothing that keeps the process alive', async () => {
    const before = resources();
    for (const address of [`unix:path=${directory}/bus`, 'tcp:host=127.0.0.1', 'nonce-tcp:host=127.0.0.1']) {
      const listener = await listen(address);
      expect(resources()).not.toEqual(before);
      await listener.close();
      // Handles close in the background.
      await until(() => resources().length <= before.length);
    }
  });
});

describe('listenTransport on tcp', () => {
  it('chooses a port, and takes a given one', async () => {
    const listener = await listen('tcp:host=127.0.0.1,port=0');
    const { port } = /^tcp:host=127\.0\.0\.1,port=(?<port>\d+)$/.exec(listener.address)?.groups ?? {};
    expect(Number(port)).toBeGreaterThan(0);
    await works(listener);
    await expect(listen(listener.address)).rejects.toMatchObject({ cause: { code: 'EADDRINUSE' } });
    await listener.close();
    const again = await listen(listener.address);
    expect(again.address).toBe(listener.address);
    await works(again);
  });

  it('is on this machine only, unless it is told otherwise', async () => {
    const listener = await listen('tcp:');
    expect(listener.address).toMatch(/^tcp:host=localhost,port=\d+$/);
    await works(listener);
  });

  it.each([
    ['tcp:bind=%2a,family=ipv4', /^tcp:host=localhost,port=\d+,family=ipv4$/],
    ['tcp:host=localhost,bind=*', /^tcp:host=localhost,port=\d+$/],
    ['tcp:host=localhost,bind=127.0.0.1', /^tcp:host=localhost,port=\d+$/],
    ['tcp:host=localhost,family=ipv4', /^tcp:host=localhost,port=\d+,family=ipv4$/],
  ])('binds as it is told: %s', async (address, expected) => {
    const listener = await listen(address);
    expect(listener.address).toMatch(expected);
    await works(listener);
  });

  it('keeps to its family', async () => {
    const six = await listen('tcp:host=%3a%3a1,family=ipv6').catch((error: Error) => error.cause);
    if (six instanceof Error) expect(six).toMatchObject({ code: expect.stringMatching(/^E/) });
    else await works(six as Listener);
    for (const wrong of [
      'host=127.0.0.1,family=ipv6',
      'host=%3a%3a1,family=ipv4',
      'bind=127.0.0.1,family=ipv6',
    ]) {
      await expect(listen(`tcp:${wrong}`)).rejects.toMatchObject({ code: 'invalid-address' });
    }
    await expect(listen('tcp:host=nowhere.invalid')).rejects.toMatchObject({ code: 'listen-failed' });
  });
});

describe('listenTransport on nonce-tcp', () => {
  it('makes a nonce that only its owner can read, and removes it', async () => {
    const listener = await listen('nonce-tcp:host=127.0.0.1');
    const file = first(listener.address).parameters.get('noncefile') as string;
    expect([statSync(file).mode & 0o777, statSync(file).size]).toEqual([0o600, 16]);
    expect(statSync(join(file, '..')).mode & 0o777).toBe(0o700);
    await works(listener);
    await listener.close();
    expect(existsSync(join(file, '..'))).toBe(false);
  });

  it('makes it where it is told, if there is nothing', async () => {
    const listener = await listen(`nonce-tcp:host=127.0.0.1,noncefile=${directory}/nonce`);
    await works(listener);
    await expect(listen(`nonce-tcp:host=127.0.0.1,noncefile=${directory}/nonce`)).rejects.toMatchObject({
      code: 'listen-failed',
      cause: { code: 'EEXIST' },
    });
    await listener.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('delivers nothing of one that does not know it, and what comes behind it of one that does', async () => {
    const listener = await listen('nonce-tcp:host=127.0.0.1');
    const { port, noncefile } = Object.fromEntries(first(listener.address).parameters);
    const nonce = readFileSync(noncefile as string);
    const plain = `tcp:host=127.0.0.1,port=${port}`;

    async function talk(chunks: readonly Uint8Array[], end: boolean): Promise<TransportProbe> {
      const known = accepted.length;
      const client = await connect(plain);
      await until(() => accepted.length > known);
      const server = new TransportProbe(accepted.at(-1) as Transport).start();
      for (const chunk of chunks) {
        client.write(chunk);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (end) client.close();
      await until(() => server.ends.length > 0 || server.text.length > 0);
      client.destroy();
      await server.ended;
      return server;
    }

    for (let at = 0; at < 16; at++) {
      const wrong = Buffer.from(nonce);
      wrong[at] = (wrong[at] as number) ^ 0x80;
      const refused = await talk([Buffer.concat([wrong, Buffer.from('hello')])], false);
      expect([refused.text, refused.ends]).toEqual([
        '',
        [expect.objectContaining({ name: 'AuthError', code: 'rejected' })],
      ]);
      const short = await talk([nonce.subarray(0, at)], true);
      expect([short.text, short.ends]).toEqual(['', [undefined]]);
      const split = [nonce.subarray(0, at), Buffer.concat([nonce.subarray(at), Buffer.from('hello')])];
      expect((await talk(split, false)).text).toBe('hello');
    }
    expect(
      (
        await talk(
          [...nonce, ...Buffer.from('x')].map((byte) => Uint8Array.of(byte)),
          false,
        )
      ).text,
    ).toBe('x');
  });
});
