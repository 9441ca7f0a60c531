import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Daemon } from '../../scripts/lib/daemon.mjs';
import {
  type Address,
  escapeAddressValue,
  formatAddress,
  parseAddress,
} from '../../src/wire/handshake/address.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import { MessageParser } from '../../src/wire/message/parser.js';
import { autolaunchAddresses } from '../../src/wire/transport/autolaunch.js';
import { connectTransport } from '../../src/wire/transport/connect.js';
import { listenTransport } from '../../src/wire/transport/listen.js';
import type { Transport } from '../../src/wire/transport/transport.js';
import { describeWith, runs } from '../support/external.js';
import { deferred, TransportProbe, until } from '../support/transport-probe.js';

const first = (address: string): Address => parseAddress(address)[0] as Address;
const connect = (address: string): Promise<Transport> =>
  connectTransport(first(address), new AbortController().signal);

const BUS = {
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  destination: 'org.freedesktop.DBus',
};

/** Authenticates by hand and says Hello; resolves to our unique name. */
async function hello(transport: Transport, auth: string): Promise<unknown> {
  const probe = new TransportProbe(transport).start();
  const say = (text: string): void => transport.write(Buffer.from(text));
  say('\0');
  say(`AUTH ${auth}\r\n`);
  await until(() => probe.text.endsWith('\r\n'));
  expect(probe.text).toMatch(/^OK [0-9a-f]{32}\r\n$/);
  const skipped = probe.byteLength;
  say('BEGIN\r\n');
  transport.write(
    encodeMessage({ type: 1, flags: 0, serial: 1, ...BUS, member: 'Hello', signature: '', body: [] }),
  );
  const reply = (): unknown =>
    new MessageParser().push(probe.bytes.subarray(skipped)).find(({ replySerial }) => replySerial === 1)
      ?.body[0];
  await until(() => reply() !== undefined);
  const name = reply();
  transport.close();
  await probe.ended;
  return name;
}

const EXTERNAL = `EXTERNAL ${Buffer.from(String(process.getuid?.())).toString('hex')}`;

/** Joins its standard input and output to the Unix socket that is its argument. */
const BRIDGE = `
import os, select, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
ways = {0: peer.fileno(), peer.fileno(): 1}
while True:
    for source in select.select(list(ways), [], [])[0]:
        data = os.read(source, 65536)
        if not data:
            sys.exit(0)
        while data:
            data = data[os.write(ways[source], data):]
`;

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('dbus-daemon', () => {
  let directory: string;
  let daemon: Daemon;
  let addresses: Address[];

  const at = (transport: string): string =>
    formatAddress(addresses.filter((address) => address.transport === transport));

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sb-'));
    const socket = escapeAddressValue(`${directory}/bus`);
    writeFileSync(
      `${directory}/bus.conf`,
      `<busconfig>
         <listen>unix:path=${socket}</listen>
         <listen>tcp:host=127.0.0.1,bind=127.0.0.1,port=0</listen>
         <listen>nonce-tcp:host=127.0.0.1,bind=127.0.0.1,port=0</listen>
         <auth>EXTERNAL</auth><auth>ANONYMOUS</auth><allow_anonymous/>
         <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy>
       </busconfig>`,
    );
    daemon = new Daemon(
      'dbus-daemon',
      [`--config-file=${directory}/bus.conf`, '--nofork', '--nopidfile', '--nosyslog', '--print-address'],
      // It leaves its nonce behind there.
      { directory, env: { ...process.env, TMPDIR: directory } },
    );
    const printed = await daemon.waitUntil(() => /^(\S+guid=\S+)\n/m.exec(daemon.output)?.[1], 10_000);
    addresses = parseAddress(printed);
  });

  afterAll(async () => {
    await daemon?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('prints addresses that we read and write alike', () => {
    expect(addresses.map(({ transport }) => transport).toSorted()).toEqual(['nonce-tcp', 'tcp', 'unix']);
    expect(parseAddress(formatAddress(addresses))).toEqual(addresses);
  });

  it.each(['unix', 'tcp', 'nonce-tcp'])('is reached over %s', async (transport) => {
    const auth = transport === 'unix' ? EXTERNAL : 'ANONYMOUS';
    expect(await hello(await connect(at(transport)), auth)).toMatch(/^:1\.\d+$/);
  });

  it('hangs up when the nonce is not its own', async () => {
    writeFileSync(`${directory}/nonce`, Buffer.alloc(16));
    const parameters = new Map(first(at('nonce-tcp')).parameters).set('noncefile', `${directory}/nonce`);
    const probe = new TransportProbe(
      await connect(formatAddress([{ transport: 'nonce-tcp', parameters }])),
    ).start();
    probe.transport.write(Buffer.from('\0AUTH ANONYMOUS\r\n'));
    expect(await probe.ended).toBeUndefined();
    expect(probe.text).toBe('');
  });

  it('is reached over unixexec, through a bridge in Python', async () => {
    writeFileSync(`${directory}/bridge.py`, BRIDGE);
    const bridge = `unixexec:path=python3,argv1=${escapeAddressValue(`${directory}/bridge.py`)},argv2=${escapeAddressValue(`${directory}/bus`)}`;
    expect(await hello(await connect(bridge), EXTERNAL)).toMatch(/^:1\.\d+$/);
  });

  it.runIf(runs('systemd-stdio-bridge', ['--version']))(
    'is reached over unixexec, through the bridge that comes with systemd',
    async () => {
      const bridge = `unixexec:path=systemd-stdio-bridge,argv1=-p,argv2=${escapeAddressValue(at('unix'))}`;
      // The bridge has authenticated for us, and is content with anybody.
      expect(await hello(await connect(bridge), 'ANONYMOUS 70')).toMatch(/^:1\.\d+$/);
    },
  );

  it('is found by autolaunch', async () => {
    const id = '0123456789abcdef0123456789abcdef';
    mkdirSync(`${directory}/.dbus/session-bus`, { recursive: true });
    writeFileSync(`${directory}/machine-id`, id);
    writeFileSync(`${directory}/.dbus/session-bus/${id}-0`, `DBUS_SESSION_BUS_ADDRESS=${at('unix')}\n`);
    const found = autolaunchAddresses({ DISPLAY: ':0', HOME: directory }, [`${directory}/machine-id`]);
    expect(await hello(await connect(formatAddress(found)), EXTERNAL)).toMatch(/^:1\.\d+$/);
  });
});

const present = spawnSync('dbus-send', ['--help'], { stdio: 'ignore' }).error === undefined;

describeWith('dbus-send', present)('a listener of ours', () => {
  const abstract =
    Number.parseInt(process.versions.node, 10) < 22 ? [] : [`unix:abstract=secretbus-${process.pid}`];
  it.each([...abstract, 'unix:path=DIR/bus', 'tcp:host=127.0.0.1', 'tcp:', 'nonce-tcp:'])(
    'is reached by libdbus: %s',
    async (where) => {
      const directory = mkdtempSync(join(tmpdir(), 'sb-'));
      const { promise: accepted, resolve: accept } = deferred<Transport>();
      const listener = await listenTransport(first(where.replace('DIR', directory)), accept);
      const child = spawn('dbus-send', [`--peer=${listener.address}`, '/', 'a.b.C'], { stdio: 'ignore' });
      const exited = once(child, 'exit');
      const probe = new TransportProbe(await accepted).start();
      await until(() => probe.text.includes('\r\n'));
      // The nonce, where there is one, has been checked and taken away.
      expect(probe.text).toMatch(/^\0AUTH EXTERNAL [0-9a-f]+\r\n/);
      probe.transport.destroy();
      await exited;
      await listener.close();
      rmSync(directory, { recursive: true });
    },
  );
});
