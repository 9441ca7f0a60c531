/** Our server side, without a bus, against the tools and the libraries of others. */
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Connection, implement, listen, MethodError, type Server } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const run = promisify(execFile);
const PEER = {
  name: 'org.example.Peer',
  methods: {
    Many: { in: 'ybnqiuxtdsog', out: 'ybnqiuxtdsog' },
    Nested: { in: 'a{s(iv)}aaaay', out: 'a{s(iv)}aaaay' },
    Order: { out: 's' },
    Fail: {},
    Tick: { in: 'u' },
  },
  signals: { Ticked: { signature: 'us' } },
  properties: { Version: { type: 'u', access: 'read' }, Zone: { type: 's', access: 'readwrite' } },
} as const;
/** What tools that know no peers but those on a bus ask of it first. */
const DRIVER = {
  name: 'org.freedesktop.DBus',
  methods: {
    Hello: { out: 's' },
    AddMatch: { in: 's' },
    RemoveMatch: { in: 's' },
    GetNameOwner: { in: 's', out: 's' },
    StartServiceByName: { in: 'su', out: 'u' },
    NameHasOwner: { in: 's', out: 'b' },
  },
} as const;

let server: Server;
let peers: Connection[];

beforeAll(async () => {
  server = await listen('unix:tmpdir=/tmp', {
    onConnection: (peer) => {
      peers.push(peer);
      let zone = 'UTC';
      const object = peer.export('/o', [
        implement(PEER, {
          methods: {
            Many: (...values) => values.slice(0, 12) as never,
            Nested: (dict, arrays) => [dict, arrays] as never,
            Order: () => 'answered',
            Fail: () => {
              throw new MethodError('org.example.Error.Wanted', 'as was wished');
            },
            Tick: (count) => {
              for (let index = 0; index < count; index++)
                object.emit(PEER.name, 'Ticked', [index, `tick ${index}`]);
            },
          },
          properties: {
            Version: 3,
            Zone: {
              get: () => zone,
              set: (value) => {
                zone = value;
                object.changed(PEER.name, ['Zone']);
              },
            },
          },
        }),
      ]);
      const owned = (name: string): string => (name === DRIVER.name ? name : ':1.1');
      peer.export('/org/freedesktop/DBus', [
        implement(DRIVER, {
          methods: {
            Hello: () => ':1.2',
            AddMatch: () => {},
            RemoveMatch: () => {},
            GetNameOwner: (name) => owned(name),
            StartServiceByName: () => 2,
            NameHasOwner: () => true,
          },
        }),
      ]);
    },
  });
});
beforeEach(() => {
  peers = [];
});
afterAll(async () => {
  await server.close();
});

const options = { timeout: 20_000, env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' } };
const print = async (program: string, ...args: string[]): Promise<string> =>
  (await run(program, args, options)).stdout;
const complaint = (program: string, ...args: string[]): Promise<string> =>
  run(program, args, options).then(
    ({ stdout }) => Promise.reject(new Error(`it succeeded: ${stdout}`)),
    ({ stderr }: { stderr: string }) => stderr,
  );

const send = (...args: string[]): string[] => [`--peer=${server.address}`, '--print-reply=literal', ...args];

describeWith('dbus-send', runs('sh', ['-c', 'command -v dbus-send']))('dbus-send --peer', () => {
  it('gets the values that it sent, of each type that it can send', async () => {
    // It has neither signatures nor nested containers: the twelve types are others' to test.
    const many = [
      'byte:255',
      'boolean:true',
      'int16:-32768',
      'uint16:65535',
      'int32:-2147483648',
      'uint32:4294967295',
      'int64:-9223372036854775808',
      'uint64:18446744073709551615',
      'double:-0.5',
      'string:é',
      'objpath:/a/b',
    ];
    const error = await complaint('dbus-send', ...send('/o', 'org.example.Peer.Many', ...many));
    expect(error).toContain('org.freedesktop.DBus.Error.InvalidArgs');
    expect(await print('dbus-send', ...send('/o', 'org.example.Peer.Order'))).toMatch(/^ *answered\s*$/);
    expect(
      await print(
        'dbus-send',
        ...send(
          '/o',
          'org.freedesktop.DBus.Properties.Set',
          'string:org.example.Peer',
          'string:Zone',
          'variant:string:CET',
        ),
      ),
    ).toMatch(/^\s*$/);
    expect(
      await print(
        'dbus-send',
        ...send('/o', 'org.freedesktop.DBus.Properties.GetAll', 'string:org.example.Peer'),
      ),
    ).toMatch(/Version.*uint32 3[\s\S]*Zone.*UTC/);
  });

  it('learns what went wrong', async () => {
    expect(await complaint('dbus-send', ...send('/o', 'org.example.Peer.Fail'))).toBe(
      'Error org.example.Error.Wanted: as was wished\n',
    );
    expect(await complaint('dbus-send', ...send('/none', 'org.example.Peer.Fail'))).toContain(
      'UnknownObject',
    );
  });

  it('is done with when it has gone', async () => {
    await print(
      'dbus-send',
      `--peer=${server.address}`,
      '--type=signal',
      '/o',
      'org.example.Peer.Ticked',
      'uint32:1',
      'string:x',
    );
    await expect.poll(() => server.connections.size).toBe(0);
    expect(await peers[0]?.closed).toMatchObject({ code: 'disconnected' });
  });
});

const busctl = (verb: string, ...args: string[]): string[] => [
  `--address=${server.address}`,
  verb,
  '--',
  'org.example.Name',
  '/o',
  ...args,
];

describeWith('busctl', runs('busctl', ['--version']))('busctl --address', () => {
  it('gets the values that it sent', async () => {
    const values = [
      '255',
      'true',
      '-32768',
      '65535',
      '-2147483648',
      '4294967295',
      '-9223372036854775808',
      '18446744073709551615',
      '-0.5',
      'text',
      '/a/b',
      'a{sv}',
    ];
    expect(await print('busctl', ...busctl('call', PEER.name, 'Many', 'ybnqiuxtdsog', ...values))).toBe(
      'ybnqiuxtdsog 255 true -32768 65535 -2147483648 4294967295 -9223372036854775808 18446744073709551615 -0.5 "text" "/a/b" "a{sv}"\n',
    );
    expect(
      await print(
        'busctl',
        ...busctl(
          'call',
          PEER.name,
          'Nested',
          'a{s(iv)}aaaay',
          '1',
          'key',
          '-1',
          'd',
          '0.5',
          '1',
          '2',
          '1',
          '2',
          '1',
          '2',
          '0',
        ),
      ),
    ).toBe('a{s(iv)}aaaay 1 "key" -1 d 0.5 1 2 1 2 1 2 0\n');
    expect(await complaint('busctl', ...busctl('call', PEER.name, 'Fail'))).toContain('as was wished');
  });

  it('sees what there is', async () => {
    const rows = await print(
      'busctl',
      `--address=${server.address}`,
      'introspect',
      '--no-legend',
      'org.example.Name',
      '/o',
    );
    expect(rows).toMatch(/^\.Nested +method +a\{s\(iv\)\}aaaay +a\{s\(iv\)\}aaaay/m);
    expect(rows).toMatch(/^\.Zone +property +s +"UTC" +emits-change writable/m);
  });
});

const at = (): string[] => ['--address', server.address, '--dest', 'org.example.Name'];

describeWith('gdbus', runs('gdbus', ['help']))('gdbus --address', () => {
  it('calls, and gets errors', async () => {
    expect(
      await print(
        'gdbus',
        'call',
        ...at(),
        '--object-path',
        '/o',
        '--method',
        'org.example.Peer.Nested',
        "{'__proto__': (1, <0.5>)}",
        "[[[b'ab', []], @aay []]]",
      ),
    ).toBe("({'__proto__': (1, <0.5>)}, [[[b'ab', []], []]])\n");
    expect(
      await complaint('gdbus', 'call', ...at(), '--object-path', '/o', '--method', 'org.example.Peer.Fail'),
    ).toContain('GDBus.Error:org.example.Error.Wanted: as was wished');
  });

  it('sees our signals', async () => {
    const monitor = spawn('stdbuf', ['-oL', 'gdbus', 'monitor', ...at()], {
      ...options,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const knock = setInterval(() => {
      for (const peer of peers) {
        peer
          .send({
            type: 4,
            flags: 0,
            path: '/o',
            interface: PEER.name,
            member: 'Ticked',
            sender: ':1.1',
            signature: 'us',
            body: [7, 'tick'],
          })
          .catch(() => {});
      }
    }, 50);
    try {
      for await (const line of createInterface({ input: monitor.stdout })) {
        if (!line.startsWith('/')) continue;
        expect(line).toBe("/o: org.example.Peer.Ticked (uint32 7, 'tick')");
        break;
      }
    } finally {
      clearInterval(knock);
      monitor.kill();
    }
  });
});

const script = fileURLToPath(new URL('conformance-peer.py', import.meta.url));
const withModule = (module: string): boolean => runs('/usr/bin/python3', ['-c', `import ${module}`]);
const library = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await print('/usr/bin/python3', script, name, server.address)) as Record<string, unknown>;
const same = { many: true, nested: true, order: 'answered' };

describeWith('python3-gi', withModule('gi.repository.Gio'))('GDBus without a bus', () => {
  it('gets its values back in both byte orders, our errors, our signals and our properties', async () => {
    expect(await library('gdbus')).toEqual({
      guid: server.guid,
      little: same,
      big: same,
      error: ['org.example.Error.Wanted', ['as was wished']],
      unknown: 'org.freedesktop.DBus.Error.UnknownMethod',
      object: 'org.freedesktop.DBus.Error.UnknownObject',
      signals: [0, 1, 2].map((index) => ['/o', 'Ticked', [index, `tick ${index}`]]),
      properties: { Version: 3, Zone: 'UTC' },
    });
  });
});

describeWith('python3-jeepney', withModule('jeepney'))('jeepney without a bus', () => {
  it('gets its values back in both byte orders', async () => {
    expect(await library('jeepney')).toEqual({ little: same, big: same, error: true });
  });
});
