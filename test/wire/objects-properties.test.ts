import { describe, expect, it } from 'vitest';
import { DBusError } from '../../src/wire/base/errors.js';
import { Variant } from '../../src/wire/codec/variant.js';
import { ErrorName } from '../../src/wire/objects/error-names.js';
import { implement, objectManager } from '../../src/wire/objects/implement.js';
import { MethodError } from '../../src/wire/objects/method-error.js';
import { CALLER, settled, TestHost } from '../support/object-host.js';

const PATH = '/org/example/Player';
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const MANAGER = 'org.freedesktop.DBus.ObjectManager';

const PLAYER = {
  name: 'org.example.Player',
  methods: { Play: { in: 's' } },
  signals: { Played: {} },
  properties: {
    Volume: { type: 'u', access: 'readwrite' },
    Title: { type: 's', access: 'read' },
    Cover: { type: 'ay', access: 'read', emitsChanged: 'invalidates' },
    Version: { type: 's', access: 'read', emitsChanged: 'const' },
    Position: { type: 't', access: 'read', emitsChanged: 'false' },
    Password: { type: 's', access: 'write' },
  },
} as const;

/** A player with its state outside. */
function player() {
  const state = {
    volume: 5,
    title: 'One' as unknown,
    written: [] as unknown[],
    failing: undefined as unknown,
    change: () => {},
  };
  const implementation = implement(PLAYER, {
    methods: {
      Play: (title) => {
        state.title = title;
        state.change();
      },
    },
    properties: {
      Volume: {
        get: () => state.volume,
        set: async (value, call) => {
          if (value > 100) throw new MethodError(ErrorName.invalidArgs, 'too loud');
          state.written.push([value, call.message.sender]);
          state.volume = value;
        },
      },
      Title: {
        get: async () => {
          if (state.failing !== undefined) throw state.failing;
          return state.title as string;
        },
      },
      Cover: { get: () => Uint8Array.of(1, 2) },
      Version: '1.0',
      Position: { get: () => 3 },
      Password: { set: (value) => state.written.push(value) },
    },
  });
  return { state, implementation };
}

function get(member: string, interfaceName: string = PLAYER.name) {
  return { interface: PROPERTIES, member: 'Get', path: PATH, signature: 'ss', body: [interfaceName, member] };
}

function set(member: string, value: Variant, interfaceName: string = PLAYER.name) {
  const body = [interfaceName, member, value];
  return { interface: PROPERTIES, member: 'Set', path: PATH, signature: 'ssv', body };
}

function getAll(interfaceName: string = PLAYER.name) {
  return { interface: PROPERTIES, member: 'GetAll', path: PATH, signature: 's', body: [interfaceName] };
}

function onlyP<const Name extends string>(name: Name) {
  return { name, properties: { P: { type: 's', access: 'read' } } } as const;
}

/** Has `Name`, as others have, and a property of its own. */
function withName(name: string) {
  return {
    name,
    properties: {
      Name: { type: 's', access: 'readwrite' },
      [name.slice(2)]: { type: 's', access: 'read' },
    },
  } as const;
}

function managed(path: string) {
  return { path, interface: MANAGER, member: 'GetManagedObjects' };
}

function properties(label: string) {
  return new Map([['Label', new Variant('s', label)]]);
}

const ALL = new Map<string, Variant>([
  ['Volume', new Variant('u', 5)],
  ['Title', new Variant('s', 'One')],
  ['Cover', new Variant('ay', Uint8Array.of(1, 2))],
  ['Version', new Variant('s', '1.0')],
  ['Position', new Variant('t', 3n)],
]);

describe('properties', () => {
  it('are read one by one and all together', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [player().implementation]);
    for (const [member, value] of ALL) expect(await host.values(get(member))).toEqual([value]);
    expect(await host.values(getAll())).toEqual([ALL]);
    const [all] = await host.values(getAll());
    expect([...(all as Map<string, unknown>).keys()]).toEqual([...ALL.keys()]);
  });

  it('are written through their setters, by type', async () => {
    const host = new TestHost();
    const { state, implementation } = player();
    host.registry.export(PATH, [implementation]);
    expect(await host.values(set('Volume', new Variant('u', 7)))).toEqual([]);
    expect(await host.values(set('Password', new Variant('s', 'x')))).toEqual([]);
    expect(state.written).toEqual([[7, CALLER], 'x']);
    expect(await host.values(get('Volume'))).toEqual([new Variant('u', 7)]);
    expect(await host.errorName(set('Volume', new Variant('u', 101)))).toBe('InvalidArgs');
    for (const value of [new Variant('i', 7), new Variant('s', '7'), new Variant('v', new Variant('u', 7))]) {
      expect(await host.errorName(set('Volume', value))).toBe('InvalidArgs');
    }
    expect(state.volume).toBe(7);
    expect(host.errors).toEqual([]);
  });

  it('that cannot be written are not, and what cannot be read is not shown', async () => {
    const host = new TestHost();
    const { state, implementation } = player();
    host.registry.export(PATH, [implementation]);
    for (const [member, value] of ALL) {
      if (member !== 'Volume') expect(await host.errorName(set(member, value))).toBe('PropertyReadOnly');
    }
    expect(state.written).toEqual([]);
    expect(await host.values(getAll())).toEqual([ALL]);
    expect(await host.errorName(get('Password'))).toBe('AccessDenied');
  });

  it('have setters only where the definition says so, whatever the object has', async () => {
    const host = new TestHost();
    let touched = 0;
    const both = {
      get: () => 'x',
      set: () => {
        touched++;
      },
    };
    const definition = {
      name: 'a.B',
      properties: { R: { type: 's', access: 'read' }, W: { type: 's', access: 'write' } },
    } as const;
    host.registry.export(PATH, [implement(definition, { properties: { R: both, W: both } })]);
    expect(await host.errorName(set('R', new Variant('s', 'y'), 'a.B'))).toBe('PropertyReadOnly');
    expect(touched).toBe(0);
    expect(await host.errorName(get('W', 'a.B'))).toBe('AccessDenied');
    expect(await host.values(getAll('a.B'))).toEqual([new Map([['R', new Variant('s', 'x')]])]);
  });

  it('that do not exist are told so', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [player().implementation]);
    expect(await host.errorName(get('No'))).toBe('UnknownProperty');
    expect(await host.errorName(set('No', new Variant('s', 'x')))).toBe('UnknownProperty');
    expect(await host.errorName(get('Play'))).toBe('UnknownProperty');
    expect(await host.errorName(get('Volume', PROPERTIES))).toBe('UnknownProperty');
    for (const call of [get('Volume', 'a.No'), set('Volume', new Variant('u', 1), 'a.No'), getAll('a.No')]) {
      expect(await host.errorName(call)).toBe('UnknownInterface');
      expect(await host.errorName({ ...call, path: '/org' })).toBe('UnknownInterface');
      expect(await host.errorName({ ...call, path: '/no' })).toBe('UnknownObject');
      expect(await host.errorName({ ...call, signature: 'u', body: [1] })).toBe('InvalidArgs');
    }
    for (const name of ['Peer', 'Introspectable', 'Properties']) {
      expect(await host.values(getAll(`org.freedesktop.DBus.${name}`))).toEqual([new Map()]);
    }
    expect(await host.errorName(getAll(MANAGER))).toBe('UnknownInterface');
  });

  it('are found without an interface: the first that has one of that name counts', async () => {
    const host = new TestHost();
    const written: string[] = [];
    for (const name of ['a.First', 'a.Second']) {
      const part = { get: () => name, set: (value: unknown) => written.push(`${name} ${String(value)}`) };
      host.registry.export(PATH, [
        implement(withName(name), { properties: { Name: part, [name.slice(2)]: part } }),
      ]);
    }
    expect(await host.values(get('Name', ''))).toEqual([new Variant('s', 'a.First')]);
    expect(await host.values(get('Second', ''))).toEqual([new Variant('s', 'a.Second')]);
    expect(await host.errorName(get('No', ''))).toBe('UnknownProperty');
    await host.values(set('Name', new Variant('s', 'x'), ''));
    expect(written).toEqual(['a.First x']);
    expect(await host.errorName(set('Second', new Variant('s', 'x'), ''))).toBe('PropertyReadOnly');
    expect(await host.values(getAll(''))).toEqual([
      new Map([
        ['Name', new Variant('s', 'a.First')],
        ['First', new Variant('s', 'a.First')],
        ['Second', new Variant('s', 'a.Second')],
      ]),
    ]);
    expect(await host.values({ ...getAll(''), path: '/org' })).toEqual([new Map()]);
  });

  it('whose getters fail are left out of GetAll, and the error told by Get', async () => {
    const host = new TestHost();
    const { state, implementation } = player();
    host.registry.export(PATH, [implementation]);
    const others = new Map([...ALL].filter(([member]) => member !== 'Title'));
    state.failing = new Error('secret');
    expect(await host.errorName(get('Title'))).toBe('Failed');
    expect(await host.values(getAll())).toEqual([others]);
    expect(host.errors.map(({ place }) => place)).toEqual([
      { path: PATH, interface: PROPERTIES, member: 'Get' },
      { path: PATH, interface: PLAYER.name, member: 'Title' },
    ]);
    state.failing = new MethodError(ErrorName.accessDenied, 'not yours');
    expect(await host.errorName(get('Title'))).toBe('AccessDenied');
    expect(await host.values(getAll())).toEqual([others]);
    state.failing = undefined;
    state.title = 5;
    expect(await host.errorName(get('Title'))).toBe('Failed');
    expect(await host.values(getAll())).toEqual([others]);
    state.volume = -1;
    others.delete('Volume');
    expect(await host.values(getAll())).toEqual([others]);
  });

  it('may be values, of any type', async () => {
    const host = new TestHost();
    const definition = {
      name: 'a.B',
      properties: {
        Map: { type: 'a{ss}', access: 'read' },
        Dict: { type: 'a{ss}', access: 'read' },
        Struct: { type: '(sb)', access: 'read' },
        Any: { type: 'v', access: 'read' },
        No: { type: 'b', access: 'read' },
      },
    } as const;
    host.registry.export(PATH, [
      implement(definition, {
        properties: {
          Map: new Map([['get', 'x']]),
          Dict: { get: 'x', set: 'y' },
          Struct: ['x', true],
          Any: new Variant('u', 5),
          No: false,
        },
      }),
    ]);
    expect(await host.values(getAll('a.B'))).toEqual([
      new Map([
        ['Map', new Variant('a{ss}', new Map([['get', 'x']]))],
        ['Dict', new Variant('a{ss}', new Map(Object.entries({ get: 'x', set: 'y' })))],
        ['Struct', new Variant('(sb)', ['x', true])],
        ['Any', new Variant('v', new Variant('u', 5))],
        ['No', new Variant('b', false)],
      ] as [string, Variant][]),
    ]);
  });
});

describe('PropertiesChanged', () => {
  it('joins the changes of a tick, with values or names as the definition says', async () => {
    const host = new TestHost();
    const { state, implementation } = player();
    const { changed } = host.registry.export(PATH, [implementation]);
    changed('org.example.Player', ['Volume', 'Cover', 'Version', 'Position']);
    state.volume = 6;
    changed('org.example.Player', ['Volume', 'Title']);
    expect(host.sent).toEqual([]);
    await settled();
    const values = new Map<string, Variant>([
      ['Volume', new Variant('u', 6)],
      ['Title', new Variant('s', 'One')],
    ]);
    expect(host.sent[0]?.interface).toBe(PROPERTIES);
    expect(host.sent[0]?.signature).toBe('sa{sv}as');
    expect(host.signals()).toEqual([[PATH, 'PropertiesChanged', PLAYER.name, values, ['Cover']]]);
    changed('org.example.Player', ['Version', 'Position']);
    changed('org.example.Player', []);
    await settled();
    expect(host.signals()).toHaveLength(1);
    // @ts-expect-error: it cannot be read
    changed('org.example.Player', ['Password']);
    await settled();
    expect(host.signals()).toHaveLength(1);
    // @ts-expect-error: there is no such property
    expect(() => changed('org.example.Player', ['No'])).toThrow(
      expect.objectContaining({ code: 'unknown-property' }),
    );
    // @ts-expect-error: there is no such interface
    expect(() => changed('org.example.No', ['Volume'])).toThrow(
      expect.objectContaining({ code: 'unknown-interface' }),
    );
  });

  it('is sent for each interface, and not for what has gone', async () => {
    const host = new TestHost();
    let reads = 0;
    const counting = { properties: { P: { get: () => `${++reads}` } } };
    const both = host.registry.export(PATH, [
      implement(onlyP('a.One'), counting),
      implement(onlyP('a.Two'), counting),
    ]);
    const gone = host.registry.export('/gone', [implement(onlyP('a.One'), counting)]);
    both.changed('a.One', ['P']);
    both.changed('a.Two', ['P']);
    gone.changed('a.One', ['P']);
    gone.close();
    await settled();
    expect(host.signals().map(([path, , name]) => [path, name])).toEqual([
      [PATH, 'a.One'],
      [PATH, 'a.Two'],
    ]);
    expect(reads).toBe(2);
    expect(() => gone.changed('a.One', ['P'])).toThrow(expect.objectContaining({ code: 'not-exported' }));
  });

  it('names a property whose getter fails, and reports it', async () => {
    const host = new TestHost();
    const { state, implementation } = player();
    const { changed } = host.registry.export(PATH, [implementation]);
    state.failing = new Error('no');
    changed('org.example.Player', ['Title']);
    await settled();
    expect(host.signals()).toEqual([[PATH, 'PropertiesChanged', PLAYER.name, new Map(), ['Title']]]);
    expect(host.errors).toHaveLength(1);
    host.refusal = new DBusError('closed', 'closed');
    changed('org.example.Player', ['Volume']);
    await settled();
    expect(host.errors[1]).toEqual({
      error: host.refusal,
      place: { path: PATH, interface: PROPERTIES, member: 'PropertiesChanged' },
    });
  });

  it('comes before what is sent after the change: the reply of the handler, another signal', async () => {
    const host = new TestHost();
    const definition = {
      name: 'a.B',
      methods: { Do: { in: 'b' } },
      signals: { Done: {} },
      properties: { P: { type: 'u', access: 'readwrite' } },
    } as const;
    let value = 0;
    const exported = host.registry.export(PATH, [
      implement(definition, {
        methods: {
          Do(fail) {
            value++;
            exported.changed('a.B', ['P']);
            if (fail) throw new Error('no');
          },
        },
        properties: {
          P: {
            get: () => value,
            set: (next) => {
              value = next;
              exported.changed('a.B', ['P']);
            },
          },
        },
      }),
    ]);
    const order = () => host.sent.splice(0).map(({ type, member }) => member ?? type);
    for (const fail of [false, true]) {
      await host.call({ path: PATH, interface: 'a.B', member: 'Do', signature: 'b', body: [fail] });
      expect(order()).toEqual(['PropertiesChanged', fail ? 3 : 2]);
    }
    await host.call(set('P', new Variant('u', 9), 'a.B'));
    expect(order()).toEqual(['PropertiesChanged', 2]);
    exported.changed('a.B', ['P']);
    exported.emit('a.B', 'Done', []);
    exported.changed('a.B', ['P']);
    await settled();
    expect(order()).toEqual(['PropertiesChanged', 'Done', 'PropertiesChanged']);
  });

  it('never tells an older value after a newer one, however long getters take', async () => {
    const host = new TestHost();
    const reads: (() => void)[] = [];
    let value = 0;
    const definition = { name: 'a.B', properties: { P: { type: 'u', access: 'read' } } } as const;
    const { changed } = host.registry.export(PATH, [
      implement(definition, {
        properties: {
          P: {
            get: () => {
              const now = value;
              return new Promise<number>((resolve) => reads.push(() => resolve(now)));
            },
          },
        },
      }),
    ]);
    const other = player();
    const { changed: changedOther } = host.registry.export('/other', [other.implementation]);
    for (value = 1; value <= 3; value++) {
      changed('a.B', ['P']);
      // A reply brings what can be told before it, which these changes cannot.
      expect(
        await host.values({ path: '/', interface: 'org.freedesktop.DBus.Peer', member: 'Ping' }),
      ).toEqual([]);
    }
    expect(reads).toHaveLength(1);
    // A getter that takes its time holds up nobody else.
    changedOther('org.example.Player', ['Volume']);
    await settled();
    expect(host.signals().map(([path]) => path)).toEqual(['/other']);
    while (reads.length > 0) {
      reads.shift()?.();
      await settled();
    }
    const told = host.signals().slice(1);
    expect(told.map(([, , , values]) => (values as Map<string, Variant>).get('P')?.value)).toEqual([1, 4]);
  });
});

describe('ObjectManager', () => {
  const item = { name: 'a.Item', properties: { Label: { type: 's', access: 'read' } } } as const;
  const labelled = (label: string) => implement(item, { properties: { Label: label } });

  it('lists all objects below, with their interfaces and properties', async () => {
    const host = new TestHost();
    host.registry.export('/m', [labelled('itself')], { objectManager: true });
    host.registry.export('/m/a/b/c', [labelled('deep')]);
    host.registry.export('/m/a', [labelled('near'), implement({ name: 'a.Empty' }, {})]);
    host.registry.export('/m/nothing', []);
    host.registry.export('/mm', [labelled('beside')]);
    expect(await host.values(managed('/m'))).toEqual([
      new Map([
        [
          '/m/a',
          new Map([
            ['a.Item', properties('near')],
            ['a.Empty', new Map()],
          ]),
        ],
        ['/m/a/b/c', new Map([['a.Item', properties('deep')]])],
      ]),
    ]);
    expect(await host.errorName(managed('/mm'))).toBe('UnknownInterface');
    expect(await host.errorName(managed('/'))).toBe('UnknownInterface');
    expect(await host.errorName({ path: '/mm', member: 'GetManagedObjects' })).toBe('UnknownMethod');
  });

  it('tells what comes and goes, of one tick together', async () => {
    const host = new TestHost();
    const manager = host.registry.export('/m', [objectManager]);
    await settled();
    expect(host.signals()).toEqual([]);
    const first = host.registry.export('/m/a', [labelled('x')]);
    const second = host.registry.export('/m/a', [implement({ name: 'a.Empty' }, {})]);
    host.registry.export('/beside', [labelled('x')]).close();
    await settled();
    const interfaces = new Map([
      ['a.Item', properties('x')],
      ['a.Empty', new Map()],
    ]);
    expect(host.sent[0]).toMatchObject({ interface: MANAGER, signature: 'oa{sa{sv}}' });
    expect(host.signals()).toEqual([['/m', 'InterfacesAdded', '/m/a', interfaces]]);
    host.sent.length = 0;
    first.close();
    expect(host.sent[0]).toMatchObject({ interface: MANAGER, signature: 'oas' });
    expect(host.signals()).toEqual([['/m', 'InterfacesRemoved', '/m/a', ['a.Item']]]);
    second.close();
    expect(host.signals()[1]).toEqual(['/m', 'InterfacesRemoved', '/m/a', ['a.Empty']]);
    manager.close();
    host.registry.export('/m/a', [labelled('x')]).close();
    await settled();
    expect(host.signals()).toHaveLength(2);
  });

  it('each of those above tells, as each lists', async () => {
    const host = new TestHost();
    host.registry.export('/', [objectManager]);
    host.registry.export('/m', [labelled('outer')], { objectManager: true });
    await settled();
    host.sent.length = 0;
    const exported = host.registry.export('/m/a', [labelled('x')]);
    await settled();
    exported.close();
    expect(host.signals().map(([path, member]) => [path, member])).toEqual([
      ['/m', 'InterfacesAdded'],
      ['/', 'InterfacesAdded'],
      ['/m', 'InterfacesRemoved'],
      ['/', 'InterfacesRemoved'],
    ]);
    const [objects] = await host.values(managed('/'));
    expect([...((objects as Map<string, Map<string, unknown>>).get('/m')?.keys() ?? [])]).toEqual([
      'a.Item',
      MANAGER,
    ]);
  });

  it('announces an object before its changes, and before the reply of the handler that made it', async () => {
    const host = new TestHost();
    const factory = { name: 'a.Factory', methods: { Make: { out: 'o' } } } as const;
    host.registry.export(
      '/m',
      [
        implement(factory, {
          methods: {
            Make: () => {
              const { changed, path } = host.registry.export('/m/made', [labelled('x')]);
              changed('a.Item', ['Label']);
              return path;
            },
          },
        }),
      ],
      { objectManager: true },
    );
    await host.call({ path: '/m', interface: 'a.Factory', member: 'Make' });
    expect(host.sent.map(({ type, member }) => member ?? type)).toEqual([
      'InterfacesAdded',
      'PropertiesChanged',
      2,
    ]);
  });

  it('tells and lists nothing that went while its getters ran, and no property that fails', async () => {
    const host = new TestHost();
    host.registry.export('/m', [objectManager]);
    const answers: (() => void)[] = [];
    const slow = implement(item, {
      properties: {
        Label: { get: () => new Promise<string>((resolve) => answers.push(() => resolve('x'))) },
      },
    });
    const broken = implement(item, { properties: { Label: { get: () => 5 as never } } });
    const gone = host.registry.export('/m/gone', [slow]);
    host.registry.export('/m/broken', [broken]);
    await settled();
    const serial = host.hand(managed('/m'));
    await settled();
    gone.close();
    expect(answers).toHaveLength(2);
    for (const answer of answers) answer();
    await settled();
    const unlabelled = new Map([['a.Item', new Map()]]);
    expect(host.signals()).toEqual([
      ['/m', 'InterfacesAdded', '/m/broken', unlabelled],
      ['/m', 'InterfacesRemoved', '/m/gone', ['a.Item']],
    ]);
    expect(host.sent.at(-1)).toMatchObject({
      replySerial: serial,
      body: [new Map([['/m/broken', unlabelled]])],
    });
  });
});
