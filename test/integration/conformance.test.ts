/** The same behaviours of our client on every message bus there is: dbus-daemon and dbus-broker. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Daemon, makeFolder } from '../../scripts/lib/daemon.mjs';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { requireProgram } from '../../scripts/lib/programs.mjs';
import {
  type Bus,
  implement,
  type Message,
  MessageFlag,
  MessageParser,
  openBus,
  Variant,
} from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';
import { authenticatedClient, frame } from '../support/hostile-peer.js';
import { startPrivateBroker } from '../support/private-broker.js';

const NAME = 'org.example.Conformance';
const DEFINITION = {
  name: NAME,
  methods: {
    Echo: { in: 'v', out: 'v' },
    Bytes: { in: 'ay', out: 'ay' },
    Fail: {},
    Never: {},
    Many: { in: 'ybnqiuxtdsog', out: 'ybnqiuxtdsog' },
  },
  signals: { Ticked: { signature: 'u' } },
} as const;
const DRIVER = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const;
const TICK = { type: 4, flags: 0, path: '/o', interface: NAME, member: 'Ticked', signature: 'u' } as const;

const error = (name: string): object => ({ code: 'error-reply', name: `org.freedesktop.DBus.Error.${name}` });

const BUSES: readonly (readonly [
  string,
  boolean,
  () => Promise<{ address: string; close(): Promise<void> }>,
])[] = [
  ['dbus-daemon', runs('dbus-daemon', ['--version']), () => startPrivateBus()],
  [
    'dbus-broker',
    runs('dbus-broker', ['--version']) && runs('/usr/bin/python3', ['--version']),
    startPrivateBroker,
  ],
];

for (const [program, present, start] of BUSES) {
  describeWith(program, present)(`on ${program}`, () => {
    let daemon: { address: string; close(): Promise<void> };
    let service: Bus;
    let client: Bus;
    let other: Bus;

    beforeAll(async () => {
      daemon = await start();
      [service, client, other] = await Promise.all([
        openBus(daemon.address),
        openBus(daemon.address),
        openBus(daemon.address),
      ]);
      await service.requestName(NAME);
      service.export('/o', [
        implement(DEFINITION, {
          methods: {
            Echo: (value) => value,
            Bytes: (bytes) => bytes,
            Fail: () => {
              throw new Error('inside');
            },
            Never: ({ signal }) =>
              new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
            Many: (...values) => values.slice(0, 12) as never,
          },
        }),
      ]);
    });
    afterAll(async () => {
      await Promise.all([service?.close(), client?.close(), other?.close()]);
      await daemon?.close();
    });

    const call = (member: string, signature = '', body: unknown[] = []): Promise<unknown[]> =>
      client.call({ destination: NAME, path: '/o', interface: NAME, member, signature, body });

    it('values of every type come back as they went', async () => {
      const many = [
        255,
        true,
        -32_768,
        65_535,
        -2_147_483_648,
        4_294_967_295,
        -(2n ** 63n),
        2n ** 64n - 1n,
        -0,
        'é\u{10ffff}',
        '/a/b',
        'a{sv}',
      ];
      expect(await call('Many', 'ybnqiuxtdsog', many)).toEqual(many);
      const values = [
        new Variant(
          'a{s(iv)}',
          new Map([
            ['__proto__', [1, new Variant('d', Number.NaN)]],
            ['', [2, new Variant('as', [])]],
          ]),
        ),
        new Variant('aaaay', [[[new Uint8Array([1])], []], []]),
        new Variant('a(a{yv})', [[new Map([[1, new Variant('v', new Variant('g', ''))]])]]),
        new Variant('d', Number.NEGATIVE_INFINITY),
      ];
      for (const value of values) expect(await call('Echo', 'v', [value])).toEqual([value]);
    });

    it('names, with every flag', async () => {
      const name = 'org.example.Flags';
      expect(await service.requestName(name, { allowReplacement: true, queue: true })).toBe('owner');
      expect(await service.requestName(name, { allowReplacement: true, queue: true })).toBe('already-owner');
      expect(await client.requestName(name)).toBe('exists');
      expect(await client.requestName(name, { replace: true, queue: true })).toBe('owner');
      // It was replaced, and had said that it wants to wait.
      expect(await client.queuedOwners(name)).toEqual([client.uniqueName, service.uniqueName]);
      expect(await other.requestName(name, { replace: true })).toBe('exists');
      expect(await other.requestName(name, { queue: true })).toBe('in-queue');
      expect(await client.releaseName(name)).toBe('released');
      expect(await client.nameOwner(name)).toBe(service.uniqueName);
      expect(await client.releaseName(name)).toBe('not-owner');
      expect(await other.releaseName(name)).toBe('released');
      expect(await service.releaseName(name)).toBe('released');
      expect(await service.releaseName(name)).toBe('non-existent');
      expect(await client.nameOwner(name)).toBeUndefined();
    });

    it.each(['org.freedesktop.DBus', ':1.1', 'nodots', '', '.a.b', 'a..b', '1a.b', `a.${'b'.repeat(254)}`])(
      'the name %s cannot be asked for',
      async (name) => {
        await expect(client.requestName(name)).rejects.toMatchObject({
          code: 'error-reply',
          name: 'org.freedesktop.DBus.Error.InvalidArgs',
        });
      },
    );

    it('a name of 255 bytes can be', async () => {
      const name = `a.${'b'.repeat(253)}`;
      expect(await client.requestName(name)).toBe('owner');
      expect(await other.nameOwner(name)).toBe(client.uniqueName);
      expect(await client.releaseName(name)).toBe('released');
    });

    it('errors have the names they should', async () => {
      await expect(call('Fail')).rejects.toMatchObject(error('Failed'));
      await expect(call('None')).rejects.toMatchObject(error('UnknownMethod'));
      await expect(call('Echo', 's', ['x'])).rejects.toMatchObject(error('InvalidArgs'));
      const nobody = client.call({ destination: 'org.example.Nobody', path: '/', member: 'M' });
      await expect(nobody).rejects.toMatchObject(error('ServiceUnknown'));
      const unique = client.call({ destination: ':1.99999', path: '/', member: 'M' });
      await expect(unique).rejects.toMatchObject({
        code: 'error-reply',
        name: expect.stringMatching(/ServiceUnknown|NameHasNoOwner/),
      });
      await expect(client.call({ ...DRIVER, member: 'Hello' })).rejects.toMatchObject({
        code: 'error-reply',
      });
      await expect(client.credentials('org.example.Nobody')).rejects.toMatchObject(error('NameHasNoOwner'));
      await expect(client.startService('org.example.Nobody')).rejects.toMatchObject(error('ServiceUnknown'));
      await expect(
        client.call({ ...DRIVER, member: 'RemoveMatch', signature: 's', body: ["type='signal'"] }),
      ).rejects.toMatchObject(error('MatchRuleNotFound'));
    });

    it('a call to a service that leaves is answered by the bus', async () => {
      const leaving = await openBus(daemon.address);
      leaving.export('/o', [
        implement(
          { name: NAME, methods: { Never: {} } },
          {
            methods: {
              Never: ({ signal }) =>
                new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
            },
          },
        ),
      ]);
      const waiting = client.call({
        destination: leaving.uniqueName,
        path: '/o',
        interface: NAME,
        member: 'Never',
      });
      const seen = expect(waiting).rejects.toMatchObject({ name: 'org.freedesktop.DBus.Error.NoReply' });
      await client.call({
        destination: leaving.uniqueName,
        path: '/o',
        interface: 'org.freedesktop.DBus.Peer',
        member: 'Ping',
      });
      await leaving.close();
      await seen;
    });

    it('a call of its own bus name reaches itself', async () => {
      expect(
        await service.call({
          destination: service.uniqueName,
          path: '/o',
          interface: NAME,
          member: 'Echo',
          signature: 'v',
          body: [new Variant('u', 1)],
        }),
      ).toEqual([new Variant('u', 1)]);
    });

    it.each<[string, Parameters<Bus['signals']>[0], number[]]>([
      ['interface', { interface: NAME }, [0, 1, 2, 3, 4]],
      ['member', { interface: NAME, member: 'Ticked' }, [0, 1, 2, 3, 4]],
      ['path', { interface: NAME, path: '/o/a' }, [1]],
      ['path namespace', { interface: NAME, pathNamespace: '/o' }, [0, 1, 2, 3]],
      ['path namespace of all', { interface: NAME, pathNamespace: '/' }, [0, 1, 2, 3, 4]],
      ['well-known sender', { interface: NAME, sender: NAME }, [0, 1, 2, 3, 4]],
      ['unknown sender', { interface: NAME, sender: 'org.example.Nobody' }, []],
      ['argument', { interface: NAME, args: { 0: "it's, \\ an 'argument'" } }, [2]],
      ['argument path', { interface: NAME, argPaths: { 0: '/aa/' } }, [3]],
      ['argument namespace', { interface: NAME, arg0Namespace: 'com.example' }, [4]],
      ['text', `interface='${NAME}',path='/o/a/b'`, [2]],
    ])('match rules by %s give what they should', async (_name, rule, wanted) => {
      const subscription = client.signals(rule);
      const end = client.signals({ interface: 'org.example.End' });
      await Promise.all([subscription.ready, end.ready]);
      const signals: [string, string, unknown[]][] = [
        ['/o', 'u', [0]],
        ['/o/a', 'su', ['x', 1]],
        ['/o/a/b', 'su', ["it's, \\ an 'argument'", 2]],
        ['/o', 'su', ['/aa/bb', 3]],
        ['/oo', 'su', ['com.example.Name', 4]],
      ];
      for (const [path, signature, body] of signals) await service.send({ ...TICK, path, signature, body });
      await service.send({ ...TICK, interface: 'org.example.End', body: [0] });
      await end.next();
      const seen: unknown[] = [];
      while (subscription.queued > 0) seen.push((await subscription.next()).value?.body.at(-1));
      expect(seen).toEqual(wanted);
      await Promise.all([subscription.close(), end.close()]);
    });

    it('a signal for one receiver reaches no other', async () => {
      const mine = client.signals({ interface: NAME });
      const others = other.signals({ interface: NAME });
      await Promise.all([mine.ready, others.ready]);
      await service.send({ ...TICK, destination: client.uniqueName, body: [1] });
      await service.send({ ...TICK, body: [2] });
      expect([(await mine.next()).value?.body, (await mine.next()).value?.body]).toEqual([[1], [2]]);
      expect((await others.next()).value?.body).toEqual([2]);
      await Promise.all([mine.close(), others.close()]);
    });

    it('owners are followed, from the first to the last', async () => {
      const name = 'org.example.Followed';
      const changes = client.watchName(name);
      const unique = client.watchName(other.uniqueName);
      await Promise.all([changes.ready, unique.ready]);
      const brief = await openBus(daemon.address);
      await brief.requestName(name, { allowReplacement: true });
      await service.requestName(name, { replace: true });
      await service.releaseName(name);
      await brief.requestName(name);
      const { uniqueName } = brief;
      await brief.close();
      const seen = [];
      for await (const change of changes) if (seen.push(change) === 5) break;
      expect(seen).toEqual([
        { name, newOwner: uniqueName },
        { name, oldOwner: uniqueName, newOwner: service.uniqueName },
        { name, oldOwner: service.uniqueName },
        { name, newOwner: uniqueName },
        { name, oldOwner: uniqueName },
      ]);
      expect(unique.queued).toBe(0);
      await unique.close();
    });

    it('credentials, lists and counters', async () => {
      expect(await client.credentials(service.uniqueName)).toMatchObject({
        userId: process.getuid?.(),
        processId: process.pid,
      });
      expect(await client.listNames()).toEqual(
        expect.arrayContaining(['org.freedesktop.DBus', NAME, client.uniqueName]),
      );
      expect(await client.listActivatableNames()).toContain('org.freedesktop.DBus');
      expect((await client.stats()).size).toBeGreaterThan(0);
      expect(await client.call({ ...DRIVER, member: 'GetId', replySignature: 's' })).toEqual([
        expect.stringMatching(/^[0-9a-f]{32}$/),
      ]);
      const [xml] = await client.call({
        ...DRIVER,
        interface: 'org.freedesktop.DBus.Introspectable',
        member: 'Introspect',
        replySignature: 's',
      });
      expect(xml).toContain('RequestName');
    });

    it('a monitor sees calls, replies and signals of others, and can no longer send', async () => {
      const watcher = await openBus(daemon.address);
      const monitor = watcher.monitor([
        { interface: NAME },
        { type: 'method_return', sender: service.uniqueName },
      ]);
      await monitor.ready;
      await call('Echo', 'v', [new Variant('s', 'watched')]);
      await service.send({ ...TICK, body: [7] });
      const seen: Message[] = [];
      for await (const message of monitor) {
        if (message.interface === NAME || message.sender === service.uniqueName) seen.push(message);
        if (message.type === 4 && message.interface === NAME) break;
      }
      expect(seen.map(({ type, sender }) => [type, sender])).toEqual([
        [1, client.uniqueName],
        [2, service.uniqueName],
        [4, service.uniqueName],
      ]);
      expect(seen[0]?.body).toEqual([new Variant('s', 'watched')]);
      await watcher.close();
    });

    it('large messages both ways, and smaller ones beside them', async () => {
      const bytes = new Uint8Array(24 * 0x10_0000).map((_value, index) => index % 251);
      const [[back], ...small] = await Promise.all([
        client.call({
          destination: NAME,
          path: '/o',
          interface: NAME,
          member: 'Bytes',
          signature: 'ay',
          body: [bytes],
          replySignature: 'ay',
          timeoutMs: 60_000,
        }),
        ...Array.from({ length: 20 }, () => call('Echo', 'v', [new Variant('u', 1)])),
      ]);
      expect(Buffer.from(back).equals(bytes)).toBe(true);
      expect(small).toHaveLength(20);
    }, 60_000);

    it('nothing is answered where no reply is wanted', async () => {
      const seen = other.monitor([{ destination: client.uniqueName }]);
      await seen.ready;
      await client.send({
        type: 1,
        flags: MessageFlag.noReplyExpected,
        destination: NAME,
        path: '/o',
        interface: NAME,
        member: 'Fail',
        signature: '',
        body: [],
      });
      await call('Echo', 'v', [new Variant('u', 1)]);
      // What comes first is the reply to the second.
      for await (const message of seen) {
        if (message.sender !== service.uniqueName) continue;
        expect(message.type).toBe(2);
        break;
      }
      await other.close();
    });

    it('a malformed message ends the connection, and ours alone', async () => {
      const bad = await authenticatedClient(daemon.address);
      const parser = new MessageParser();
      const named = new Promise<string>((resolve) => {
        bad.onData = (bytes) => {
          for (const { replySerial, body } of parser.push(bytes))
            if (replySerial === 1) resolve(body[0] as string);
        };
      });
      bad.write(frame({ type: 1, ...DRIVER, member: 'Hello' }));
      const uniqueName = await named;
      const changes = client.watchName(uniqueName);
      await changes.ready;
      const reserved = frame({
        type: 4,
        serial: 2,
        path: '/',
        interface: 'org.freedesktop.DBus.Locax',
        member: 'M',
      });
      bad.write(reserved.map((byte) => (byte === 0x78 ? 0x6c : byte)));
      expect((await changes.next()).value).toMatchObject({ oldOwner: uniqueName });
      await bad.closed;
      await changes.close();
      bad.destroy();
    });
  });
}

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('activation', () => {
  it('starts a service of ours for the first call to it', async () => {
    const directory = makeFolder();
    const services = join(directory, 'services');
    mkdirSync(services);
    const script = join(directory, 'service.py');
    // It owns its name, answers one call, and goes.
    writeFileSync(
      script,
      `
import sys, os, socket
from jeepney import new_method_return, DBusAddress, MessageType
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
connection = open_dbus_connection(os.environ["DBUS_STARTER_ADDRESS"])
# Its reply comes behind the call that the bus has kept.
connection.send(message_bus.RequestName("org.example.Started"))
while True:
    message = connection.receive()
    if message.header.message_type == MessageType.method_call:
        connection.send(new_method_return(message, "s", (sys.argv[1],)))
        break
`,
    );
    for (const [name, exec] of [
      ['org.example.Started', `/usr/bin/python3 ${script} hello`],
      ['org.example.Broken', '/bin/false'],
    ]) {
      writeFileSync(join(services, `${name}.service`), `[D-BUS Service]\nName=${name}\nExec=${exec}\n`);
    }
    const configuration = join(directory, 'bus.conf');
    writeFileSync(
      configuration,
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=${directory}/bus</listen><auth>EXTERNAL</auth>
<servicedir>${services}</servicedir>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
    );
    const started = new Daemon(
      requireProgram('dbus-daemon'),
      [`--config-file=${configuration}`, '--nofork', '--nopidfile', '--nosyslog', '--print-address'],
      { directory, env: { PATH: process.env['PATH'], HOME: directory, LC_ALL: 'C' } },
    );
    try {
      const address = await started.waitUntil(() => /^(unix:\S+)\n/m.exec(started.output)?.[1], 10_000);
      const bus = await openBus(address);
      try {
        expect(await bus.listActivatableNames()).toContain('org.example.Started');
        const call = {
          destination: 'org.example.Started',
          path: '/',
          interface: 'a.b',
          member: 'M',
        } as const;
        await expect(bus.call({ ...call, noAutoStart: true })).rejects.toMatchObject({ code: 'error-reply' });
        const changes = bus.watchName('org.example.Started');
        await changes.ready;
        expect(await bus.call(call)).toEqual(['hello']);
        expect((await changes.next()).value?.newOwner).toMatch(/^:/);
        expect((await changes.next()).value?.oldOwner).toMatch(/^:/);
        expect(await bus.startService('org.example.Started')).toBe('started');
        expect(await bus.startService('org.example.Started')).toBe('already-running');
        await expect(bus.startService('org.example.Broken')).rejects.toMatchObject({
          name: expect.stringMatching(/^org\.freedesktop\.DBus\.Error\.Spawn\./),
        });
        expect(await bus.call(call)).toEqual(['hello']);
      } finally {
        await bus.close();
      }
    } finally {
      await started.close();
    }
  });
});
