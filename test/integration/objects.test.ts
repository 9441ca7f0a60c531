import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type PrivateBus, startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { ErrorName } from '../../src/wire/objects/error-names.js';
import { implement } from '../../src/wire/objects/implement.js';
import { MethodError } from '../../src/wire/objects/method-error.js';
import { describeWith, runs } from '../support/external.js';
import { type RegistryOnBus, registryOnBus } from '../support/registry-on-bus.js';

const run = promisify(execFile);
const NAME = 'org.example.Objects';
const ROOT = '/org/example/Objects';

const JUKEBOX = {
  name: 'org.example.Jukebox',
  methods: {
    Echo: { in: 'sibdayas(ix)a{sv}', out: 'sibdayas(ix)a{sv}' },
    Add: { in: 'ii', out: 'i', inNames: ['a', 'b'], outNames: ['sum'] },
    Insert: { in: 's', out: 'o', inNames: ['title'], outNames: ['record'] },
    Eject: { in: 'o' },
    Fail: { in: 's' },
    Throw: {},
    Later: { in: 'u', out: 'u' },
  },
  signals: { Ejected: { signature: 'os', names: ['record', 'title'] } },
  properties: {
    Volume: { type: 'u', access: 'readwrite' },
    Count: { type: 'i', access: 'read', emitsChanged: 'invalidates' },
    Maker: { type: 's', access: 'read', emitsChanged: 'const' },
    Pin: { type: 's', access: 'write' },
  },
} as const;

const RECORD = {
  name: 'org.example.Record',
  properties: { Title: { type: 's', access: 'readwrite' } },
} as const;

/** A jukebox that is an ObjectManager of the records in it. */
function exportJukebox({ registry }: RegistryOnBus) {
  const state = { volume: 5, count: 0, pin: '' };
  const records = new Map<string, () => void>();
  const jukebox = registry.export(
    ROOT,
    [
      implement(JUKEBOX, {
        methods: {
          Echo: (...args) => args.slice(0, -1) as never,
          Add: (a, b) => a + b,
          Insert(title) {
            const path = `${ROOT}/record/r${++state.count}`;
            let now = title;
            const record = registry.export(path, [
              implement(RECORD, {
                properties: {
                  Title: {
                    get: () => now,
                    set: (next) => {
                      now = next;
                      record.changed(RECORD.name, ['Title']);
                    },
                  },
                },
              }),
            ]);
            records.set(path, () => {
              record.close();
              jukebox.emit(JUKEBOX.name, 'Ejected', [path, now]);
            });
            jukebox.changed(JUKEBOX.name, ['Count']);
            return path;
          },
          Eject(path) {
            const eject = records.get(path);
            if (eject === undefined) throw new MethodError('org.example.Error.NoRecord', 'no such record');
            records.delete(path);
            eject();
          },
          Fail: (text) => {
            throw new MethodError(ErrorName.notSupported, text);
          },
          Throw: () => {
            throw new Error('inside');
          },
          Later: (delayMs) => new Promise<number>((resolve) => setTimeout(() => resolve(delayMs), delayMs)),
        },
        properties: {
          Volume: {
            get: async () => state.volume,
            set: (volume) => {
              if (volume > 11) throw new MethodError(ErrorName.invalidArgs, 'it goes to eleven');
              state.volume = volume;
              jukebox.changed(JUKEBOX.name, ['Volume']);
            },
          },
          Count: { get: () => state.count },
          Maker: 'Wurlitzer',
          Pin: { set: (pin) => (state.pin = pin) },
        },
      }),
    ],
    { objectManager: true },
  );
  return { state, jukebox };
}

let daemon: PrivateBus;
let service: RegistryOnBus;
let exported: ReturnType<typeof exportJukebox>;

beforeAll(async () => {
  if (!runs('dbus-daemon', ['--version'])) return;
  daemon = await startPrivateBus();
});
beforeEach(async () => {
  if (daemon === undefined) return undefined;
  service = await registryOnBus(daemon.address, NAME);
  exported = exportJukebox(service);
  return () => service[Symbol.asyncDispose]();
});
afterAll(() => daemon?.close());

/** What a program prints. Fails with what it says when it ends badly. */
async function print(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args, { env: daemon.env, timeout: 60_000 });
  return stdout;
}

/** What a program says when it ends badly, as it must. */
async function complaint(program: string, args: readonly string[]): Promise<string> {
  return await print(program, args).then(
    (stdout) => Promise.reject(new Error(`it succeeded: ${stdout}`)),
    ({ stderr }: { stderr: string }) => stderr,
  );
}

function busctl(...args: string[]): string[] {
  return [`--address=${daemon.address}`, ...args];
}

function busCall(...args: string[]): string[] {
  return busctl('call', '--', NAME, ROOT, JUKEBOX.name, ...args);
}

function property(verb: string, ...args: string[]): string[] {
  return busctl(`${verb}-property`, NAME, ROOT, JUKEBOX.name, ...args);
}

function onNoPath(member: string): string[] {
  return busctl('call', NAME, '/no/such/path', 'org.freedesktop.DBus.Peer', member);
}

function refusal(path: string, name: string, member: string): Promise<string> {
  return complaint('busctl', busctl('call', NAME, path, name, member));
}

function gdbus(verb: string, ...args: string[]): string[] {
  return [verb, '--address', daemon.address, '--dest', NAME, ...args];
}

function gdbusCall(member: string, ...args: string[]): string[] {
  return gdbus('call', '--object-path', ROOT, '--method', member, ...args);
}

function send(...args: string[]): string[] {
  return [`--bus=${daemon.address}`, `--dest=${NAME}`, '--print-reply=literal', ...args];
}

describeWith('busctl', runs('busctl', ['--version']))('busctl', () => {
  it('calls methods', async () => {
    expect(await print('busctl', busCall('Add', 'ii', '2', '-3'))).toBe('i -1\n');
    expect(
      await print('busctl', [
        ...busCall('Echo', 'sibdayas(ix)a{sv}', 'text', '-5', 'true', '0.5', '2', '7', '8', '1', 'one'),
        '-1',
        '-2',
        '1',
        'key',
        'u',
        '9',
      ]),
    ).toBe('sibdayas(ix)a{sv} "text" -5 true 0.5 2 7 8 1 "one" -1 -2 1 "key" u 9\n');
    expect(await complaint('busctl', busCall('Fail', 's', 'out of records'))).toContain('out of records');
    const failed = await complaint('busctl', busCall('Throw'));
    expect(failed).not.toMatch(/inside|\.ts|stack/);
    expect(service.errors).toEqual([new Error('inside')]);
    expect(await complaint('busctl', busCall('Add', 's', 'x'))).toContain("signature 'ii'");
  });

  it('sees the tree, every interface and every member', async () => {
    await print('busctl', busCall('Insert', 's', 'One'));
    expect((await print('busctl', busctl('tree', '--list', NAME))).trim().split('\n')).toEqual([
      '/',
      '/org',
      '/org/example',
      ROOT,
      `${ROOT}/record`,
      `${ROOT}/record/r1`,
    ]);
    const text = await print('busctl', busctl('introspect', '--no-legend', NAME, ROOT));
    const rows = text.trim().split('\n').map((line) => line.split(/\s+/)); // biome-ignore format: one line
    const seen = new Map(rows.map(([name = '', ...rest]) => [name, rest]));
    expect(seen.get('org.example.Jukebox')).toEqual(['interface', '-', '-', '-']);
    expect(seen.get('.Add')).toEqual(['method', 'ii', 'i', '-']);
    expect(seen.get('.Ejected')).toEqual(['signal', 'os', '-', '-']);
    expect(seen.get('.Volume')).toEqual(['property', 'u', '5', 'emits-change', 'writable']);
    expect(seen.get('.Count')).toEqual(['property', 'i', '1', 'emits-invalidation']);
    expect(seen.get('.Maker')).toEqual(['property', 's', '"Wurlitzer"', 'const']);
    expect(seen.get('.GetManagedObjects')?.[0]).toBe('method');
    expect(seen.get('.PropertiesChanged')?.[0]).toBe('signal');
    expect(seen.get('.Ping')?.[0]).toBe('method');
    // An ancestor without interfaces has the standard ones.
    const above = await print('busctl', busctl('introspect', '--no-legend', NAME, '/org'));
    expect(above).toMatch(/^org\.freedesktop\.DBus\.Peer +interface/m);
    expect(above).not.toContain('ObjectManager');
  });

  it('reads and writes properties', async () => {
    expect(await print('busctl', property('get', 'Volume', 'Maker'))).toBe('u 5\ns "Wurlitzer"\n');
    await print('busctl', property('set', 'Volume', 'u', '7'));
    expect(await print('busctl', property('get', 'Volume'))).toBe('u 7\n');
    expect(await complaint('busctl', property('set', 'Volume', 'u', '12'))).toContain('eleven');
    expect(await complaint('busctl', property('set', 'Volume', 's', '7'))).toContain("type 'u'");
    expect(await complaint('busctl', property('set', 'Maker', 's', 'x'))).toContain('cannot be written');
    expect(await complaint('busctl', property('get', 'Pin'))).toMatch(/access denied/i);
    await print('busctl', property('set', 'Pin', 's', '1234'));
    expect(exported.state).toMatchObject({ volume: 7, pin: '1234' });
  });

  it('pings, and learns the id of this machine', async () => {
    expect(await print('busctl', onNoPath('Ping'))).toBe('');
    const id = ['/etc/machine-id', '/var/lib/dbus/machine-id'].flatMap((file) => {
      try {
        return [readFileSync(file, 'latin1').trim()];
      } catch {
        return [];
      }
    })[0];
    if (id === undefined || id === '')
      expect(await complaint('busctl', onNoPath('GetMachineId'))).toContain('failed');
    else expect(await print('busctl', onNoPath('GetMachineId'))).toBe(`s "${id}"\n`);
  });

  it('is told apart what does not exist', async () => {
    expect(await refusal('/no', JUKEBOX.name, 'Throw')).toContain('no such object');
    expect(await refusal(ROOT, 'org.example.No', 'Throw')).toContain('no such interface');
    expect(await refusal(ROOT, JUKEBOX.name, 'No')).toContain('no such method');
  });
});

describeWith('gdbus', runs('gdbus', ['help']))('gdbus', () => {
  it('calls methods, which have names of errors', async () => {
    expect(await print('gdbus', gdbusCall(`${JUKEBOX.name}.Add`, '2', '3'))).toBe('(5,)\n');
    expect(await complaint('gdbus', gdbusCall(`${JUKEBOX.name}.Fail`, 'no'))).toContain(
      'GDBus.Error:org.freedesktop.DBus.Error.NotSupported: no',
    );
    expect(await complaint('gdbus', gdbusCall(`${JUKEBOX.name}.Eject`, '/x'))).toContain(
      'GDBus.Error:org.example.Error.NoRecord: no such record',
    );
    expect(await complaint('gdbus', gdbusCall(`${JUKEBOX.name}.Throw`))).toContain(
      'GDBus.Error:org.freedesktop.DBus.Error.Failed',
    );
    const properties = 'org.freedesktop.DBus.Properties';
    expect(await print('gdbus', gdbusCall(`${properties}.GetAll`, JUKEBOX.name))).toBe(
      "({'Volume': <uint32 5>, 'Count': <0>, 'Maker': <'Wurlitzer'>},)\n",
    );
    expect(
      await complaint('gdbus', gdbusCall(`${properties}.Set`, JUKEBOX.name, 'Maker', "<'x'>")),
    ).toContain('PropertyReadOnly');
  });

  it('monitors signals', async () => {
    // It prints no line before its buffer is full, unless it is told to.
    const monitor = spawn('stdbuf', ['-oL', 'gdbus', ...gdbus('monitor')], {
      env: daemon.env,
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 30_000,
    });
    // It says nothing when it has begun to listen: the first signal is sent until it is seen.
    const knock = setInterval(() => exported.jukebox.emit(JUKEBOX.name, 'Ejected', ['/a', 'One']), 50);
    try {
      const seen = new Set<string>();
      for await (const line of createInterface({ input: monitor.stdout })) {
        if (line.startsWith('/')) seen.add(line);
        if (seen.size === 1) exported.jukebox.changed(JUKEBOX.name, ['Volume', 'Count']);
        if (seen.size === 2) break;
      }
      expect([...seen]).toEqual([
        `${ROOT}: org.example.Jukebox.Ejected (objectpath '/a', 'One')`,
        `${ROOT}: org.freedesktop.DBus.Properties.PropertiesChanged ('org.example.Jukebox', {'Volume': <uint32 5>}, ['Count'])`,
      ]);
    } finally {
      clearInterval(knock);
      monitor.kill();
    }
  });

  it('introspects all, down the tree', async () => {
    await print('gdbus', gdbusCall(`${JUKEBOX.name}.Insert`, 'One'));
    const text = await print('gdbus', gdbus('introspect', '--object-path', '/', '--recurse'));
    for (const part of [
      `node ${ROOT} {`,
      `node ${ROOT}/record/r1 {`,
      'readwrite u Volume = 5;',
      'readonly i Count = 1;',
      "readwrite s Title = 'One';",
      'writeonly s Pin;',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).toMatch(/Add\(in {2}i a,\s+in {2}i b,\s+out i sum\);/);
    expect(text).toMatch(/Ejected\(o record,\s+s title\);/);
  });
});

describeWith('dbus-send', runs('sh', ['-c', 'command -v dbus-send']))('dbus-send', () => {
  it('calls methods', async () => {
    expect(await print('dbus-send', send(ROOT, `${JUKEBOX.name}.Add`, 'int32:2', 'int32:3'))).toMatch(
      /int32 5/,
    );
    expect(await complaint('dbus-send', send(ROOT, `${JUKEBOX.name}.No`))).toContain(
      'org.freedesktop.DBus.Error.UnknownMethod',
    );
    expect(
      await print('dbus-send', send(ROOT, 'org.freedesktop.DBus.ObjectManager.GetManagedObjects')),
    ).toContain('array');
  });
});

const PEER = new URL('./objects-peer.py', import.meta.url).pathname;

/** The Python that Debian's packages are for comes first: another one in the PATH does not see them. */
function pythonWith(module: string): string | undefined {
  return ['/usr/bin/python3', 'python3'].find((program) => runs(program, ['-c', `import ${module}`]));
}

/** Lines of JSON that the script prints. */
async function script(module: string, part: string): Promise<Record<string, unknown>> {
  const python = pythonWith(module) ?? 'python3';
  return JSON.parse(await print(python, [PEER, part, daemon.address, NAME, ROOT])) as Record<string, unknown>;
}

describeWith('python3-gi', pythonWith('gi.repository.Gio') !== undefined)('GDBus', () => {
  it('keeps our properties in its cache, and the cache up to date', async () => {
    expect(await script('gi', 'proxy')).toEqual({
      cached: { Volume: 5, Count: 0, Maker: 'Wurlitzer' },
      changed: [[{ Volume: 9 }, []]],
      after: 9,
      inserted: `${ROOT}/record/r1`,
      invalidated: [[{}, ['Count']]],
      signals: [['Ejected', [`${ROOT}/record/r1`, 'One']]],
      error: 'org.freedesktop.DBus.Error.NotSupported',
    });
  });

  it('manages our objects', async () => {
    expect(await script('gi', 'manager')).toEqual({
      before: [`${ROOT}/record/r1`],
      added: [`${ROOT}/record/r2`],
      title: 'Two',
      known: [`${ROOT}/record/r1`, `${ROOT}/record/r2`],
      changed: ['r2', { Title: 'Deux' }],
      removed: [`${ROOT}/record/r1`],
      after: [`${ROOT}/record/r2`],
    });
  });
});

describeWith('python3-jeepney', pythonWith('jeepney') !== undefined)('jeepney', () => {
  it('calls 200 methods at one time, and gets each reply for its call', async () => {
    expect(await script('jeepney', 'pipeline')).toEqual({
      replies: 200,
      right: 200,
      error: [ErrorName.invalidArgs, 's'],
    });
    expect(service.registry.stats).toMatchObject({ running: 0, errors: 0 });
  });
});
