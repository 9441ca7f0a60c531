/** Definitions of interfaces: what the checks refuse, and what they mean as types, which the compiler tests. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import { InvalidTextError } from '../../src/wire/base/errors.js';
import { Variant } from '../../src/wire/codec/variant.js';
import { defineInterface } from '../../src/wire/interface/define-interface.js';
import type { InterfaceDefinition } from '../../src/wire/interface/definition.js';
import type {
  MethodArguments,
  MethodHandlers,
  MethodName,
  MethodParameters,
  MethodResult,
  PropertyArgument,
  PropertyName,
  PropertyValue,
  ReadableName,
  SignalArguments,
  SignalName,
  SignalValues,
  WritableName,
} from '../../src/wire/interface/typed.js';

const notes = defineInterface({
  name: 'com.example.Notes',
  methods: {
    Add: { in: 'sa{sv}', out: 'o', inNames: ['text', 'details'], outNames: ['note'] },
    Find: { in: 'as', out: 'aot' },
    Clear: { annotations: { 'org.freedesktop.DBus.Deprecated': 'true' } },
  },
  signals: {
    Added: { signature: 'ox', names: ['note', 'time'] },
    Cleared: {},
  },
  properties: {
    Count: { type: 't', access: 'read', emitsChanged: 'invalidates' },
    Title: { type: 's', access: 'readwrite' },
    Passphrase: { type: 'ay', access: 'write', emitsChanged: 'false' },
  },
});

type Notes = typeof notes;
interface Options {
  timeoutMs?: number;
}
interface Call {
  readonly sender: string;
}
type Proxy<D extends InterfaceDefinition> = {
  readonly [M in MethodName<D>]: (...args: MethodParameters<D, M, Options>) => Promise<MethodResult<D, M>>;
};

/** A proxy that tells what it was called with. */
function proxyOf<D extends InterfaceDefinition>(definition: D): { proxy: Proxy<D>; calls: unknown[] } {
  const calls: unknown[] = [];
  const proxy: Record<string, unknown> = {};
  for (const name of Object.keys(definition.methods ?? {})) {
    proxy[name] = (...args: unknown[]) => {
      calls.push([name, ...args]);
      return Promise.resolve();
    };
  }
  return { proxy: proxy as unknown as Proxy<D>, calls };
}

function handlers<D extends InterfaceDefinition>(_definition: D, all: MethodHandlers<D, Call>): object {
  return all;
}

describe('types of a definition', () => {
  it('names', () => {
    expectTypeOf<MethodName<Notes>>().toEqualTypeOf<'Add' | 'Find' | 'Clear'>();
    expectTypeOf<SignalName<Notes>>().toEqualTypeOf<'Added' | 'Cleared'>();
    expectTypeOf<PropertyName<Notes>>().toEqualTypeOf<'Count' | 'Title' | 'Passphrase'>();
    expectTypeOf<ReadableName<Notes>>().toEqualTypeOf<'Count' | 'Title'>();
    expectTypeOf<WritableName<Notes>>().toEqualTypeOf<'Title' | 'Passphrase'>();
    const bare = defineInterface({ name: 'com.example.Bare' });
    expectTypeOf<MethodName<typeof bare>>().toEqualTypeOf<never>();
    expectTypeOf<SignalName<typeof bare>>().toEqualTypeOf<never>();
    expectTypeOf<PropertyName<typeof bare>>().toEqualTypeOf<never>();
    expectTypeOf<WritableName<typeof bare>>().toEqualTypeOf<never>();
  });

  it('arguments, results and values', () => {
    expectTypeOf<MethodArguments<Notes, 'Find'>>().toEqualTypeOf<readonly [readonly string[]]>();
    expectTypeOf<MethodResult<Notes, 'Add'>>().toEqualTypeOf<string>();
    expectTypeOf<MethodResult<Notes, 'Find'>>().toEqualTypeOf<[string[], bigint]>();
    expectTypeOf<MethodResult<Notes, 'Clear'>>().toEqualTypeOf<void>();
    expectTypeOf<PropertyValue<Notes, 'Count'>>().toEqualTypeOf<bigint>();
    expectTypeOf<PropertyArgument<Notes, 'Count'>>().toEqualTypeOf<bigint | number>();
    expectTypeOf<SignalValues<Notes, 'Added'>>().toEqualTypeOf<[string, bigint]>();
    expectTypeOf<SignalValues<Notes, 'Cleared'>>().toEqualTypeOf<[]>();
    expectTypeOf<SignalArguments<Notes, 'Added'>>().toEqualTypeOf<readonly [string, bigint | number]>();
  });

  it('methods of a proxy', async () => {
    const { proxy, calls } = proxyOf(notes);
    expectTypeOf(await proxy.Add('a', { b: new Variant('s', 'c') })).toEqualTypeOf<string>();
    expectTypeOf(await proxy.Find(['a'] as const, { timeoutMs: 5 })).toEqualTypeOf<[string[], bigint]>();
    expectTypeOf(await proxy.Clear()).toEqualTypeOf<void>();
    // @ts-expect-error an argument is missing
    await proxy.Add('a');
    // @ts-expect-error no such option
    await proxy.Clear({ timeout: 5 });
    // @ts-expect-error a string for an array
    await proxy.Find('a');
    // @ts-expect-error no such method
    expect(proxy.then).toBeUndefined();
    expect(calls).toHaveLength(6);
  });

  it('handlers', () => {
    handlers(notes, {
      Add(text, details, call) {
        expectTypeOf(text).toEqualTypeOf<string>();
        expectTypeOf(details).toEqualTypeOf<Map<string, Variant>>();
        expectTypeOf(call).toEqualTypeOf<Call>();
        return '/note';
      },
      Find: async (words) => [words, 5] as const,
      Clear: () => {},
    });
    // @ts-expect-error every method needs a handler
    handlers(notes, { Add: () => '/note', Find: () => [[], 5n] });
    handlers(notes, {
      Add: () => '/note',
      // @ts-expect-error a tuple of two is returned, not one value
      Find: () => [['/note']],
      Clear: async () => {},
    });
    handlers(notes, {
      // @ts-expect-error a handler takes what was read, a Map
      Add: (text: string, details: string[]) => text + details.join(' '),
      Find: () => [[], 5n],
      Clear() {},
    });
  });

  it('of a definition that is not known at compile time', async () => {
    const untyped = defineInterface('<node><interface name="a.b"><method name="Add"/></interface></node>');
    expectTypeOf(untyped).toEqualTypeOf<InterfaceDefinition>();
    expectTypeOf<MethodName<InterfaceDefinition>>().toEqualTypeOf<string>();
    expectTypeOf<WritableName<InterfaceDefinition>>().toEqualTypeOf<string>();
    expectTypeOf<PropertyValue<InterfaceDefinition, 'A'>>().toEqualTypeOf<unknown>();
    expectTypeOf<SignalValues<InterfaceDefinition, 'A'>>().toEqualTypeOf<unknown[]>();
    const { proxy, calls } = proxyOf(untyped);
    expectTypeOf(await proxy['Add']?.(1, 'b')).toEqualTypeOf<unknown>();
    expect(calls).toEqual([['Add', 1, 'b']]);
    handlers(untyped, { Add: (text: string, call: Call) => [text, call.sender] });
  });

  it('tell what is wrong with a literal', () => {
    const refused: (() => unknown)[] = [
      // @ts-expect-error a struct without fields
      () => defineInterface({ name: 'a.b', methods: { A: { in: 'a()' } } }),
      // @ts-expect-error no such type code
      () => defineInterface({ name: 'a.b', methods: { A: { out: 'z' } } }),
      // @ts-expect-error it ends inside a type
      () => defineInterface({ name: 'a.b', signals: { A: { signature: 'a' } } }),
      // @ts-expect-error two types for a property
      () => defineInterface({ name: 'a.b', properties: { A: { type: 'ss', access: 'read' } } }),
      // @ts-expect-error no type for a property
      () => defineInterface({ name: 'a.b', properties: { A: { access: 'read' } } }),
      // @ts-expect-error no such access
      () => defineInterface({ name: 'a.b', properties: { A: { type: 's', access: 'none' } } }),
      // @ts-expect-error a field that is misspelt, beside one that is not
      () => defineInterface({ name: 'a.b', methods: { A: { in: 's', outNane: ['a'] } } }),
      // @ts-expect-error a field that is misspelt
      () => defineInterface({ name: 'a.b', methods: { A: { inn: 's' } } }),
      // @ts-expect-error the same one level up
      () => defineInterface({ name: 'a.b', method: { A: { in: 's' } } }),
    ];
    for (const attempt of refused) expect(attempt).toThrow(InvalidTextError);
    const literal = { name: 'a.b', methods: { A: { in: 's' } } } as const;
    expectTypeOf(defineInterface(literal)).toEqualTypeOf<typeof literal>();
  });
});

/** `defineInterface` of whatever a program without types may give it. */
function define(definition: unknown, name?: string): InterfaceDefinition {
  return Reflect.apply(defineInterface, undefined, [definition, name]) as InterfaceDefinition;
}

/** A definition with one method. */
function member(fields: unknown): unknown {
  return { name: 'a.b', methods: { Do: fields } };
}

function node(...parts: readonly string[]): string {
  return `<node>${parts.join('')}</node>`;
}

describe('defineInterface', () => {
  it('gives an equal copy, frozen through and through', () => {
    const names = ['a'];
    const methods = { Do: { in: 's', inNames: names, annotations: { x: 'y' } } };
    const source = {
      name: 'a.b',
      methods,
      properties: { P: { type: 's', access: 'read' } },
      signals: undefined,
    };
    const defined = define(source);
    expect({ ...defined }).toEqual({ name: 'a.b', methods: source.methods, properties: source.properties });
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' ||
      value === null ||
      (Object.isFrozen(value) && Object.values(value).every(frozen));
    expect(frozen(defined)).toBe(true);
    names.push('b');
    methods.Do.in = 'u';
    expect(defined.methods?.['Do']).toEqual({ in: 's', inNames: ['a'], annotations: { x: 'y' } });
    expect(define(defined)).toEqual(defined);
  });

  it('looks up no name but those defined', () => {
    const inherited = ['then', 'constructor', 'toString', '__proto__', 'hasOwnProperty', 'valueOf'];
    const empty = define({ name: 'a.b', methods: {}, signals: {}, properties: {}, annotations: {} });
    for (const name of inherited) {
      expect(empty.methods?.[name]).toBeUndefined();
      expect(empty.signals?.[name]).toBeUndefined();
      expect(empty.properties?.[name]).toBeUndefined();
      expect(empty.annotations?.[name]).toBeUndefined();
      expect(name in (empty.methods ?? {})).toBe(false);
    }
    const methods = Object.fromEntries(inherited.map((name) => [name, { in: 'u' }]));
    const full = define({ name: 'a.b', methods });
    expect(Object.keys(full.methods ?? {})).toEqual(inherited);
    for (const name of inherited) expect(full.methods?.[name]).toEqual({ in: 'u' });
    expect(({} as Record<string, unknown>)['in']).toBeUndefined();
  });

  it.each<[unknown, string]>([
    [null, 'not an object'],
    [undefined, 'not an object'],
    [5, 'not an object'],
    [[], 'not a plain object'],
    [new Map(), 'not a plain object'],
    [{}, 'name: missing'],
    [{ name: 5 }, 'name: what is not a string is no interface name'],
    [{ name: 'a' }, 'name: "a" is no interface name'],
    [{ name: 'a.b', extra: 1 }, 'extra: no such field'],
    [{ name: 'a.b', methods: [] }, 'methods: not a plain object'],
    [{ name: 'a.b', methods: { 'a.b': {} } }, 'methods."a.b": not a member name'],
    [{ name: 'a.b', methods: { '': {} } }, 'methods."": not a member name'],
    [{ name: 'a.b', signals: { '1a': {} } }, 'signals."1a": not a member name'],
    [{ name: 'a.b', properties: { é: {} } }, 'properties."é": not a member name'],
    // What is written as a prototype in a literal would silently be no member.
    [{ name: 'a.b', methods: { __proto__: { in: 's' } } }, 'methods: not a plain object'],
    [member(null), 'methods.Do: not an object'],
    [member({ constructor: 's' }), 'methods.Do.constructor: no such field'],
    [member({ in: 'a' }), 'methods.Do.in: invalid signature: it ends inside a type (character 1)'],
    [member({ in: 5 }), 'methods.Do.in: invalid signature: not a string (character 0)'],
    [member({ out: `${'a'.repeat(33)}y` }), 'methods.Do.out: invalid signature: more than 32 nested arrays'],
    [member({ out: 'y'.repeat(256) }), 'methods.Do.out: invalid signature: longer than 255 bytes'],
    [member({ in: 'ss', inNames: ['a'] }), 'methods.Do.inNames: 1 names for 2 complete types'],
    [member({ outNames: ['a'] }), 'methods.Do.outNames: 1 names for 0 complete types'],
    [member({ in: 's', inNames: 'a' }), 'methods.Do.inNames: not an array'],
    [member({ in: 's', inNames: [5] }), 'methods.Do.inNames[0]: not a string'],
    [member({ in: 's', inNames: ['\0'] }), 'methods.Do.inNames[0]: a character that XML cannot hold'],
    [member({ annotations: { a: 5 } }), 'methods.Do.annotations.a: not a string'],
    [member({ annotations: { a: '\ud800' } }), 'methods.Do.annotations.a: a character that XML cannot hold'],
    [member({ annotations: { '\u0001': 'a' } }), 'a character that XML cannot hold'],
    [member({ annotations: { '': 'a' } }), 'annotations."": an annotation without a name'],
    [{ name: 'a.b', signals: { S: { signature: '()' } } }, 'signals.S.signature: invalid signature'],
    [{ name: 'a.b', signals: { S: { names: [''] } } }, 'signals.S.names: 1 names for 0 complete types'],
    [{ name: 'a.b', properties: { P: { type: 's' } } }, 'properties.P.access: missing'],
    [{ name: 'a.b', properties: { P: { access: 'read' } } }, 'properties.P.type: missing'],
    [
      { name: 'a.b', properties: { P: { type: '', access: 'read' } } },
      'properties.P.type: invalid signature',
    ],
    [
      { name: 'a.b', properties: { P: { type: 'ss', access: 'read' } } },
      'properties.P.type: invalid signature',
    ],
    [
      { name: 'a.b', properties: { P: { type: 's', access: 'none' } } },
      'properties.P.access: expected one of read, write, readwrite',
    ],
    [
      { name: 'a.b', properties: { P: { type: 's', access: 'read', emitsChanged: true } } },
      'properties.P.emitsChanged: expected one of true, invalidates, const, false',
    ],
    [
      { name: 'a.b', annotations: { 'org.freedesktop.DBus.Property.EmitsChangedSignal': 'true' } },
      'is written as emitsChanged of each property',
    ],
  ])('refuses %j', (definition, message) => {
    let thrown: unknown;
    try {
      define(definition);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(InvalidTextError);
    expect(thrown).toMatchObject({ code: 'invalid-interface', message: expect.stringContaining(message) });
  });

  it('tells where in a signature', () => {
    expect(() => define(member({ in: 'sua{vs}' }))).toThrow(
      expect.objectContaining({ code: 'invalid-interface', offset: 4 }),
    );
  });

  it('quotes names in bounded length and without line breaks', () => {
    expect.assertions(2);
    try {
      define({ name: 'a.b', methods: { [`\n\u001b${'x'.repeat(100_000)}`]: {} } });
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(200);
      // oxlint-disable-next-line no-control-regex
      expect((error as Error).message).not.toMatch(/[\n\u001b]/);
    }
  });

  it('takes no name beside a literal', () => {
    expect(() => define({ name: 'a.b' }, 'a.b')).toThrow(
      expect.objectContaining({ code: 'invalid-interface' }),
    );
  });

  describe('of introspection data', () => {
    const one = '<interface name="a.b"><method name="M"/></interface>';
    const two = '<interface name="a.c"><signal name="S"/></interface>';
    const standard = '<interface name="org.freedesktop.DBus.Peer"><method name="Ping"/></interface>';

    it('takes the only interface, or the one named', () => {
      expect(define(node(one)).name).toBe('a.b');
      expect(define(node(standard, one)).name).toBe('a.b');
      expect(define(node(one, two), 'a.c')).toEqual({ name: 'a.c', signals: { S: {} } });
      expect(define(node(one, standard), 'org.freedesktop.DBus.Peer').methods).toEqual({ Ping: {} });
    });

    it.each<[string, string | undefined, string]>([
      [node(), undefined, 'no interface'],
      [node(standard), undefined, 'no interface'],
      [node(one, two), undefined, '2 interfaces'],
      [node(one), 'a.d', 'no interface "a.d"'],
      [node(one, '<interface name="a.e"><method name="1"/></interface>'), 'a.e', 'method "1"'],
      [node(one, '<interface name="a.e"><method name="1"/></interface>'), undefined, 'method "1"'],
      [node(one, '<interface name="e"/>'), undefined, 'interface "e"'],
      [node(one, '<interface/>'), undefined, 'interface without a name'],
      [node(one, one), 'a.b', 'there is one of this name already'],
      ['<node>', undefined, 'it ends inside an element'],
      ['', undefined, 'no element'],
    ])('refuses %s, %s', (xml, name, message) => {
      expect(() => define(xml, name)).toThrow(
        expect.objectContaining({ code: 'invalid-introspection', message: expect.stringContaining(message) }),
      );
    });

    it('overlooks what is wrong elsewhere', () => {
      expect(define(node(one, '<interface name="a.e"><method name="1"/></interface>'), 'a.b').name).toBe(
        'a.b',
      );
      expect(define(node(one, '<node name="/wrong"/>')).name).toBe('a.b');
      const ping = '<interface name="org.freedesktop.DBus.Peer"><method name="Pi-ng"/></interface>';
      expect(define(node(ping, one)).name).toBe('a.b');
    });
  });
});
