import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ClosedError, MarshalError, OverloadError } from '../../src/wire/base/errors.js';
import { Variant } from '../../src/wire/codec/variant.js';
import type { InterfaceDefinition } from '../../src/wire/interface/definition.js';
import { parseIntrospection } from '../../src/wire/interface/introspection.js';
import { ErrorName } from '../../src/wire/objects/error-names.js';
import { implement, objectManager } from '../../src/wire/objects/implement.js';
import type { IncomingCall } from '../../src/wire/objects/implementation.js';
import { MethodError } from '../../src/wire/objects/method-error.js';
import { readMachineId } from '../../src/wire/transport/machine-id.js';
import { CALLER, MACHINE_ID, settled, TestHost } from '../support/object-host.js';

const PATH = '/org/example/Object';
const PEER = 'org.freedesktop.DBus.Peer';
const INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable';

const CALCULATOR = {
  name: 'org.example.Calculator',
  methods: {
    Add: { in: 'ii', out: 'i', inNames: ['a', 'b'], outNames: ['sum'] },
    Divide: { in: 'ii', out: 'ii' },
    Reset: {},
    Describe: { out: '(su)' },
    Fail: { in: 's', out: 's' },
    Wait: { out: 's' },
  },
  signals: { Overflowed: { signature: 'su' } },
} as const;

function calculator(parts: Partial<Record<string, (...args: never[]) => unknown>> = {}) {
  return implement(CALCULATOR, {
    methods: {
      Add: (a, b) => a + b,
      Divide: async (a, b) => {
        if (b === 0) throw new MethodError('org.example.Error.Zero', 'by zero');
        return [Math.trunc(a / b), a % b];
      },
      Reset: () => undefined,
      Describe: () => ['calculator', 7],
      Fail: () => {
        throw new Error('the password is hunter2');
      },
      Wait: () => new Promise<string>(() => {}),
      ...(parts as object),
    },
  });
}

const refuse = (): never => {
  throw new Error('no');
};
const ignore = (): void => {};
const get = (): string => 'x';

class Thenable {
  // oxlint-disable-next-line unicorn/no-thenable
  then(): void {
    refuse();
  }
}

const ADD = { interface: CALCULATOR.name, member: 'Add', signature: 'ii', body: [2, 3] };

describe('method calls', () => {
  it('reach their handlers, and are answered with what these return', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator()]);
    const call = { interface: CALCULATOR.name };
    expect(await host.call(ADD)).toMatchObject({ type: 2, flags: 1, signature: 'i', body: [5] });
    expect(await host.values({ ...ADD, member: 'Divide', body: [-7, 2] })).toEqual([-3, -1]);
    expect(await host.call({ ...call, member: 'Reset' })).toMatchObject({ type: 2, signature: '', body: [] });
    expect(await host.values({ ...call, member: 'Describe' })).toEqual([['calculator', 7]]);
    expect(host.errors).toEqual([]);
  });

  it('give the handler the message and a signal', async () => {
    const host = new TestHost();
    let seen: IncomingCall | undefined;
    host.registry.export(PATH, [
      calculator({
        Reset: (call: IncomingCall) => {
          seen = call;
        },
      }),
    ]);
    await host.call({ interface: CALCULATOR.name, member: 'Reset', flags: 4 });
    expect(seen?.message).toMatchObject({ sender: CALLER, flags: 4, member: 'Reset' });
    expect(seen?.signal.aborted).toBe(false);
    expect(seen?.signal).toBe(seen?.signal);
  });

  it('never run a handler within handle(), and run many at one time', async () => {
    const host = new TestHost();
    const running: (() => void)[] = [];
    const order: string[] = [];
    host.registry.export(PATH, [
      calculator({
        Wait: () => new Promise<string>((resolve) => running.push(() => resolve('done'))),
        Add: (a: number, b: number) => {
          order.push('handler');
          return a + b;
        },
      }),
    ]);
    for (let n = 0; n < 3; n++) host.hand({ interface: CALCULATOR.name, member: 'Wait' });
    host.hand(ADD);
    order.push('after handle');
    await settled();
    expect(order).toEqual(['after handle', 'handler']);
    expect(running).toHaveLength(3);
    expect(host.registry.stats).toMatchObject({ running: 3, calls: 4 });
    // The calls that wait hold nothing up, and end in any order.
    expect(host.sent.map(({ replySerial }) => replySerial)).toEqual([4]);
    running[2]?.();
    running[0]?.();
    await settled();
    expect(host.sent.map(({ replySerial }) => replySerial)).toEqual([4, 3, 1]);
    expect(host.registry.stats.running).toBe(1);
  });

  it('tell what does not exist, most general first', async () => {
    const host = new TestHost();
    host.registry.export('/org/example/Object', [calculator()]);
    expect(await host.errorName({ ...ADD, path: '/org/example/Objec' })).toBe('UnknownObject');
    expect(await host.errorName({ ...ADD, path: '/org/example/Object/x' })).toBe('UnknownObject');
    expect(await host.errorName({ ...ADD, path: '/org/example' })).toBe('UnknownInterface');
    expect(await host.errorName({ ...ADD, interface: 'org.example.No' })).toBe('UnknownInterface');
    expect(await host.errorName({ ...ADD, member: 'Subtract' })).toBe('UnknownMethod');
    expect(await host.errorName({ ...ADD, interface: PEER })).toBe('UnknownMethod');
    expect(host.errors).toEqual([]);
  });

  it('have their arguments checked before the handler runs', async () => {
    const host = new TestHost();
    let runs = 0;
    host.registry.export(PATH, [calculator({ Add: () => ++runs })]);
    for (const [signature, body] of [
      ['', []],
      ['i', [1]],
      ['iii', [1, 2, 3]],
      ['iu', [1, 2]],
      ['(ii)', [[1, 2]]],
      ['ai', [[1, 2]]],
    ] as const) {
      expect(await host.errorName({ ...ADD, signature, body })).toBe('InvalidArgs');
    }
    expect(await host.errorName({ interface: PEER, member: 'Ping', signature: 's', body: ['x'] })).toBe(
      'InvalidArgs',
    );
    expect(runs).toBe(0);
  });

  it('without an interface mean the first that has the member, our own before the standard ones', async () => {
    const host = new TestHost();
    const first = implement(
      { name: 'a.First', methods: { Which: { out: 's' }, Ping: { out: 's' } } },
      { methods: { Which: () => 'first', Ping: () => 'mine' } },
    );
    const second = implement(
      { name: 'a.Second', methods: { Which: { out: 's' }, Only: { out: 's' } } },
      { methods: { Which: () => 'second', Only: () => 'only' } },
    );
    host.registry.export(PATH, [first]);
    host.registry.export(PATH, [second]);
    expect(await host.values({ member: 'Which' })).toEqual(['first']);
    expect(await host.values({ member: 'Only' })).toEqual(['only']);
    expect(await host.values({ member: 'Ping' })).toEqual(['mine']);
    expect(await host.values({ member: 'GetMachineId' })).toEqual([MACHINE_ID]);
    expect(await host.errorName({ member: 'No' })).toBe('UnknownMethod');
    expect(await host.values({ member: 'Ping', path: '/org' })).toEqual([]);
  });

  it('that want no reply get none, whatever happens', async () => {
    const host = new TestHost();
    let runs = 0;
    host.registry.export(PATH, [calculator({ Add: () => (++runs, 'not a number') })]);
    host.hand({ ...ADD, flags: 1 });
    host.hand({ ...ADD, flags: 1, member: 'No' });
    host.hand({ ...ADD, flags: 1, member: 'Fail', signature: 's', body: ['x'] });
    host.hand({ ...ADD, flags: 1, path: '/no' });
    await settled();
    expect(runs).toBe(1);
    expect(host.sent).toEqual([]);
    expect(host.registry.stats).toMatchObject({ calls: 4, failed: 3, running: 0 });
  });

  it('that come from a peer without a name are answered without a destination', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator()]);
    host.registry.handle({ type: 1, flags: 0, serial: 9, path: PATH, ...ADD });
    await settled();
    expect(host.sent).toHaveLength(1);
    expect(host.sent[0]).toMatchObject({ replySerial: 9, body: [5] });
    expect(host.sent[0]?.destination).toBeUndefined();
  });

  it('are all there is: other messages are left alone', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator()]);
    for (const type of [2, 3, 4, 77]) host.registry.handle({ type, flags: 0, serial: 9, path: PATH, ...ADD });
    await settled();
    expect(host.sent).toEqual([]);
    expect(host.registry.stats.calls).toBe(0);
  });
});

describe('what goes wrong in a handler', () => {
  it('is told by name only when it is a MethodError', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator()]);
    const divided = await host.call({ ...ADD, member: 'Divide', body: [1, 0] });
    expect(divided).toMatchObject({ type: 3, errorName: 'org.example.Error.Zero', body: ['by zero'] });
    expect(host.errors).toEqual([]);

    const failed = await host.call({ ...ADD, member: 'Fail', signature: 's', body: ['secret'] });
    expect(failed).toMatchObject({ type: 3, errorName: ErrorName.failed, signature: 's' });
    expect(JSON.stringify(failed)).not.toMatch(/hunter2|secret|\.ts/);
    expect(host.errors).toEqual([
      {
        error: new Error('the password is hunter2'),
        place: { path: PATH, interface: CALCULATOR.name, member: 'Fail' },
      },
    ]);
    expect(host.registry.stats).toMatchObject({ calls: 2, failed: 2, errors: 1 });
  });

  it.each([
    ['nothing', () => undefined],
    ['a string', () => 'x'],
    ['too large a number', () => 2 ** 31],
    ['a wrong value later', async () => null],
    ['a promise of a promise of nonsense', async () => Promise.resolve({})],
    ['a thenable that throws', () => Reflect.construct(Thenable, [])],
    ['what throws when it is looked at', () => new Proxy({}, { get: refuse })],
  ])('gives Failed when it returns %s where a number is wanted', async (_, Add) => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator({ Add })]);
    expect(await host.errorName(ADD)).toBe('Failed');
    expect(host.errors).toHaveLength(1);
    expect(host.registry.stats).toMatchObject({ failed: 1, running: 0 });
  });

  it.each([
    ['no tuple', async () => 5],
    ['too short a tuple', async () => [5]],
    ['too long a tuple', async () => [5, 6, 7]],
    ['undefined', async () => undefined],
  ])('gives Failed when it returns %s where two values are wanted', async (_, Divide) => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator({ Divide })]);
    expect(await host.errorName({ ...ADD, member: 'Divide' })).toBe('Failed');
    expect(host.errors[0]?.error).toBeInstanceOf(MarshalError);
  });

  it('may return what it likes where nothing is wanted', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator({ Reset: () => new Map() })]);
    expect(await host.values({ interface: CALCULATOR.name, member: 'Reset' })).toEqual([]);
  });

  it('may be told with arguments of its own, and is Failed when they are wrong', async () => {
    const host = new TestHost();
    let error: unknown = new MethodError('a.b.C', 'text', { signature: 'sau', body: ['text', [1, 2]] });
    host.registry.export(PATH, [calculator({ Add: () => Promise.reject(error) })]);
    expect(await host.call(ADD)).toMatchObject({
      errorName: 'a.b.C',
      signature: 'sau',
      body: ['text', [1, 2]],
    });
    error = new MethodError('a.b.C', 'text', { signature: 's', body: [5] });
    expect(await host.errorName(ADD)).toBe('Failed');
    error = new MethodError('a.b.C', 'text', { signature: '(', body: [5] });
    expect(await host.errorName(ADD)).toBe('Failed');
    expect(host.errors).toHaveLength(2);
    error = new MethodError('a.b.C', 'nul \0 and half of a pair \ud800', { cause: new Error('kept here') });
    expect(await host.call(ADD)).toMatchObject({
      errorName: 'a.b.C',
      body: ['nul \ufffd and half of a pair \ufffd'],
    });
    for (const odd of [undefined, null, 'text', 5, {}]) {
      error = odd;
      expect(await host.errorName(ADD)).toBe('Failed');
    }
  });

  it('must have a valid error name', () => {
    for (const name of ['', 'Failed', 'a b.c', 'a..b', `a.${'b'.repeat(300)}`]) {
      expect(() => new MethodError(name, 'x')).toThrow(
        expect.objectContaining({ code: 'invalid-error-name' }),
      );
    }
  });

  it('is nobody else’s problem: not even of a hook that throws or rejects', async () => {
    for (const onError of [
      () => {
        throw new Error('hook');
      },
      () => Promise.reject(new Error('hook')) as unknown as void,
      undefined,
    ]) {
      const host = new TestHost({ onError });
      host.registry.export(PATH, [calculator()]);
      expect(await host.errorName({ ...ADD, member: 'Fail', signature: 's', body: ['x'] })).toBe('Failed');
      expect(host.registry.stats.errors).toBe(1);
    }
  });

  it('that cannot even be sent is told to the hook', async () => {
    const host = new TestHost();
    host.registry.export(PATH, [calculator()]);
    host.refusal = new OverloadError('queue-full', 'full');
    host.hand(ADD);
    host.hand({ ...ADD, member: 'No' });
    await settled();
    expect(host.errors.map(({ error }) => error)).toEqual([host.refusal, host.refusal]);
    expect(host.sent).toEqual([]);
    host.refusal = undefined;
    expect(await host.values(ADD)).toEqual([5]);
  });
});

describe('limits and the end', () => {
  it('refuses calls above maxRunning, and takes them again when handlers end', async () => {
    const host = new TestHost({ maxRunning: 2 });
    const running: (() => void)[] = [];
    host.registry.export(PATH, [
      calculator({ Wait: () => new Promise<string>((resolve) => running.push(() => resolve('done'))) }),
    ]);
    const wait = { interface: CALCULATOR.name, member: 'Wait' };
    host.hand(wait);
    host.hand(wait);
    expect(await host.errorName(wait)).toBe('LimitsExceeded');
    expect(await host.errorName(ADD)).toBe('LimitsExceeded');
    expect(running).toHaveLength(2);
    running[0]?.();
    await settled();
    expect(await host.values(ADD)).toEqual([5]);
  });

  it('counts as running only what is still running', async () => {
    const host = new TestHost({ maxRunning: 1 });
    host.registry.export(PATH, [calculator()]);
    for (let n = 0; n < 2000; n++) host.hand(ADD);
    await settled();
    expect(host.sent.filter(({ type }) => type === 2)).toHaveLength(2000);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('takes no maxRunning of %s', (maxRunning) => {
    expect(() => new TestHost({ maxRunning })).toThrow(expect.objectContaining({ code: 'invalid-option' }));
  });

  it('aborts the signals of running handlers at close, and says nothing more', async () => {
    const host = new TestHost();
    const signals: AbortSignal[] = [];
    let late: IncomingCall | undefined;
    let finish: (() => void) | undefined;
    const exported = host.registry.export(PATH, [
      calculator({
        Wait: (call: IncomingCall) => {
          late ??= call;
          if (late !== call) signals.push(call.signal);
          return new Promise<string>((resolve, reject) => {
            finish ??= () => resolve('done');
            if (late !== call) call.signal.addEventListener('abort', () => reject(new Error('gone')));
          });
        },
      }),
    ]);
    for (let n = 0; n < 3; n++) host.hand({ interface: CALCULATOR.name, member: 'Wait' });
    await settled();
    host.hand(ADD);
    const reason = new Error('hung up');
    host.registry.close(reason);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(signals[0]?.reason).toBe(reason);
    // A signal first asked for afterwards is aborted too.
    expect(late?.signal.aborted).toBe(true);
    expect(late?.signal.reason).toBe(reason);
    finish?.();
    exported.changed(CALCULATOR.name, []);
    exported.close();
    host.hand(ADD);
    await settled();
    expect(host.sent).toEqual([]);
    expect(host.errors).toEqual([]);
    expect(host.registry.stats.running).toBe(0);
    expect(() => host.registry.export('/other', [])).toThrow(ClosedError);
  });

  it('forgets the calls of a connection that is gone, and keeps what is exported', async () => {
    const host = new TestHost();
    const finish: (() => void)[] = [];
    host.registry.export(PATH, [
      calculator({ Wait: () => new Promise<string>((resolve) => finish.push(() => resolve('late'))) }),
    ]);
    host.hand({ interface: CALCULATOR.name, member: 'Wait' });
    await settled();
    host.registry.abortRunning();
    finish[0]?.();
    await settled();
    expect(host.sent).toEqual([]);
    expect(await host.values(ADD)).toEqual([5]);
  });
});

describe('exporting', () => {
  it('takes only object paths, and each interface once a path', () => {
    const { registry } = new TestHost();
    for (const path of ['', 'a', '/a/', '//', '/a b', '/org/freedesktop/DBus/Local', undefined as never]) {
      expect(() => registry.export(path, [])).toThrow(
        expect.objectContaining({ code: 'invalid-object-path' }),
      );
    }
    registry.export(PATH, [calculator()]);
    const other = implement({ name: 'a.Other' }, {});
    const taken = expect.objectContaining({ code: 'already-exported' });
    expect(() => registry.export(PATH, [other, calculator()])).toThrow(taken);
    expect(() => registry.export(PATH, [other, other])).toThrow(taken);
    // What failed has left nothing behind.
    registry.export(PATH, [other]);
    registry.export('/elsewhere', [calculator()], { objectManager: true });
    expect(() => registry.export('/elsewhere', [], { objectManager: true })).toThrow(taken);
    expect(() => registry.export('/elsewhere', [objectManager])).toThrow(taken);
    expect(registry.stats.exports).toBe(3);
  });

  it('merges what is exported at one path, and takes away only what is closed', async () => {
    const host = new TestHost();
    const first = host.registry.export(PATH, [calculator()]);
    const other = implement(
      { name: 'a.Other', methods: { Hi: { out: 's' } } },
      { methods: { Hi: () => 'hi' } },
    );
    const second = host.registry.export(PATH, [other]);
    const hi = { interface: 'a.Other', member: 'Hi' };
    expect(await host.values(ADD)).toEqual([5]);
    expect(await host.values(hi)).toEqual(['hi']);
    first.close();
    first.close();
    expect(await host.errorName(ADD)).toBe('UnknownInterface');
    expect(await host.values(hi)).toEqual(['hi']);
    host.registry.export(PATH, [calculator()])[Symbol.dispose]();
    second[Symbol.dispose]();
    expect(await host.errorName(hi)).toBe('UnknownObject');
    expect(await host.errorName({ ...hi, path: '/' })).toBe('UnknownObject');
    expect(host.registry.stats.exports).toBe(0);
  });

  it('may be of a path alone', async () => {
    const host = new TestHost();
    const exported = host.registry.export('/a/b', []);
    expect(await host.values({ path: '/a/b', interface: PEER, member: 'Ping' })).toEqual([]);
    const properties = { interface: 'org.freedesktop.DBus.Properties', signature: 's', body: [''] };
    expect(await host.values({ path: '/a/b', ...properties, member: 'GetAll' })).toEqual([new Map()]);
    exported.close();
    expect(await host.errorName({ path: '/a/b', ...properties, member: 'GetAll' })).toBe('UnknownObject');
  });

  it('sends signals, to all or to one', () => {
    const host = new TestHost();
    const exported = host.registry.export(PATH, [calculator()]);
    const { emit } = exported;
    emit('org.example.Calculator', 'Overflowed', ['Add', 7]);
    emit('org.example.Calculator', 'Overflowed', ['Add', 8], { destination: ':1.5' });
    expect(host.sent[0]).toMatchObject({
      type: 4,
      path: PATH,
      interface: CALCULATOR.name,
      member: 'Overflowed',
      signature: 'su',
      body: ['Add', 7],
    });
    expect(host.sent[0]?.destination).toBeUndefined();
    expect(host.sent[1]).toMatchObject({ destination: ':1.5', body: ['Add', 8] });
    expect(() => emit('org.example.Calculator', 'Overflowed', ['Add', -1])).toThrow(MarshalError);
    // @ts-expect-error: an argument is missing
    expect(() => emit('org.example.Calculator', 'Overflowed', ['Add'])).toThrow(MarshalError);
    // @ts-expect-error: there is no such signal
    expect(() => emit('org.example.Calculator', 'No', [])).toThrow(
      expect.objectContaining({ code: 'unknown-signal' }),
    );
    // @ts-expect-error: there is no such interface
    expect(() => emit('org.example.No', 'No', [])).toThrow(
      expect.objectContaining({ code: 'unknown-interface' }),
    );
    host.refusal = new ClosedError();
    expect(() => emit('org.example.Calculator', 'Overflowed', ['Add', 7])).toThrow(ClosedError);
    host.refusal = undefined;
    exported.close();
    expect(() => emit('org.example.Calculator', 'Overflowed', ['Add', 7])).toThrow(
      expect.objectContaining({ code: 'not-exported' }),
    );
    expect(host.sent).toHaveLength(2);
  });
});

describe('Peer and Introspectable', () => {
  it('Peer answers on any path', async () => {
    const host = new TestHost();
    expect(await host.values({ interface: PEER, member: 'Ping' })).toEqual([]);
    host.registry.export(PATH, [calculator()]);
    for (const path of [PATH, '/', '/org', '/nowhere/at/all']) {
      expect(await host.values({ path, interface: PEER, member: 'Ping' })).toEqual([]);
      expect(await host.values({ path, interface: PEER, member: 'GetMachineId' })).toEqual([MACHINE_ID]);
    }
    host.machineId = () => {
      throw new Error('no machine id');
    };
    expect(await host.errorName({ interface: PEER, member: 'GetMachineId' })).toBe('Failed');
    expect(host.errors).toHaveLength(1);
  });

  it('Introspect tells interfaces and children, of ancestors too', async () => {
    const host = new TestHost();
    const introspect = async (path: string) => {
      const [xml] = await host.values({ path, interface: INTROSPECTABLE, member: 'Introspect' });
      const { interfaces, children, ignored } = parseIntrospection(xml as string);
      expect(ignored).toEqual([]);
      return { interfaces, names: interfaces.map(({ name }) => name), children };
    };
    expect(await host.errorName({ path: '/', interface: INTROSPECTABLE, member: 'Introspect' })).toBe(
      'UnknownObject',
    );
    host.registry.export('/org/example', [], { objectManager: true });
    const deep = host.registry.export('/org/example/a/b', [calculator()]);
    host.registry.export('/org/example/c', [calculator()]);
    const common = ['Peer', 'Introspectable', 'Properties'].map((name) => `org.freedesktop.DBus.${name}`);
    expect(await introspect('/')).toMatchObject({ names: common, children: ['org'] });
    expect(await introspect('/org/example')).toMatchObject({
      names: ['org.freedesktop.DBus.ObjectManager', ...common],
      children: ['a', 'c'],
    });
    expect(await introspect('/org/example/a')).toMatchObject({ names: common, children: ['b'] });
    const leaf = await introspect('/org/example/a/b');
    expect(leaf).toMatchObject({ names: [CALCULATOR.name, ...common], children: [] });
    expect(leaf.interfaces[0]?.methods?.['Add']).toMatchObject(CALCULATOR.methods.Add);
    const again = { path: '/org/example/c', interface: INTROSPECTABLE, member: 'Introspect' };
    expect(await host.values(again)).toEqual(await host.values(again));
    // What was told once is not told again when it has changed.
    host.registry.export('/org/example', [calculator()]);
    expect((await introspect('/org/example')).names).toContain(CALCULATOR.name);
    deep.close();
    expect((await introspect('/org/example')).children).toEqual(['c']);
    expect(await host.errorName({ path: '/org/example/a', member: 'Introspect' })).toBe('UnknownObject');
  });

  it('a path of any length is looked up in the time of what is known of it', async () => {
    const host = new TestHost();
    const elements = 200_000;
    const long = '/a'.repeat(elements);
    const exported = host.registry.export(long, [calculator()]);
    expect(await host.values({ ...ADD, path: long })).toEqual([5]);
    expect(await host.errorName({ ...ADD, path: `${long}/b` })).toBe('UnknownObject');
    host.registry.export('/a', [], { objectManager: true });
    const [objects] = await host.values({
      path: '/a',
      interface: 'org.freedesktop.DBus.ObjectManager',
      member: 'GetManagedObjects',
    });
    expect([...(objects as Map<string, unknown>).keys()]).toEqual([long]);
    exported.close();
    expect(await host.errorName({ ...ADD, path: '/a/a' })).toBe('UnknownObject');
  });
});

describe('implement', () => {
  it('wants a handler for everything', () => {
    const missing = expect.objectContaining({ code: 'missing-handler' });
    const definition = {
      name: 'a.B',
      methods: { Do: {} },
      properties: {
        R: { type: 's', access: 'read' },
        W: { type: 's', access: 'write' },
        RW: { type: 's', access: 'readwrite' },
      },
    } as const;
    const methods = { Do: ignore };
    const properties = { R: { get }, W: { set: ignore }, RW: { get, set: ignore } };
    implement(definition, { methods, properties });
    const noMethods = { properties };
    const noHandler = { methods: {}, properties };
    const noFunction = { methods: { Do: 5 }, properties };
    const noProperties = { methods };
    const noReadGetter = { methods, properties: { ...properties, R: { set: ignore } } };
    const noGetter = { methods, properties: { ...properties, RW: { set: ignore } } };
    const noSetter = { methods, properties: { ...properties, RW: { get } } };
    const noWriteSetter = { methods, properties: { ...properties, W: { get } } };
    const noConstant = { methods, properties: { ...properties, RW: 'x' } };
    // @ts-expect-error: the methods are missing
    expect(() => implement(definition, noMethods)).toThrow(missing);
    // @ts-expect-error: a handler is missing
    expect(() => implement(definition, noHandler)).toThrow(missing);
    // @ts-expect-error: a handler is no function
    expect(() => implement(definition, noFunction)).toThrow(missing);
    // @ts-expect-error: the properties are missing
    expect(() => implement(definition, noProperties)).toThrow(missing);
    // @ts-expect-error: a getter is missing
    expect(() => implement(definition, noReadGetter)).toThrow(missing);
    // @ts-expect-error: a getter is missing
    expect(() => implement(definition, noGetter)).toThrow(missing);
    // @ts-expect-error: a setter is missing
    expect(() => implement(definition, noSetter)).toThrow(missing);
    // @ts-expect-error: a setter is missing
    expect(() => implement(definition, noWriteSetter)).toThrow(missing);
    // @ts-expect-error: what is written is no constant
    expect(() => implement(definition, noConstant)).toThrow(missing);
  });

  it('checks the definition, and constants against it', () => {
    const invalid = expect.objectContaining({ code: 'invalid-interface' });
    expect(() => implement({ name: 'no name' }, {})).toThrow(invalid);
    const unclosed = { name: 'a.B', methods: { Do: { in: '(' } } } as const;
    // @ts-expect-error: the signature is not valid
    expect(() => implement(unclosed, { methods: { Do: ignore } })).toThrow(invalid);
    const definition = { name: 'a.B', properties: { P: { type: 'u', access: 'read' } } } as const;
    // @ts-expect-error: not a number
    expect(() => implement(definition, { properties: { P: 'x' } })).toThrow(MarshalError);
    expect(() => implement(definition, { properties: { P: -1 } })).toThrow(MarshalError);
    for (const name of ['Peer', 'Introspectable', 'Properties', 'ObjectManager']) {
      expect(() => implement({ name: `org.freedesktop.DBus.${name}` }, {})).toThrow(
        expect.objectContaining({ code: 'reserved-interface' }),
      );
    }
  });

  it('gives handlers and results the types of the definition', () => {
    implement(CALCULATOR, {
      methods: {
        // @ts-expect-error: the sum is a number
        Add: (a: number, b: number) => `${a + b}`,
        // @ts-expect-error: the arguments are numbers
        Divide: (a: string) => [a.length, 1],
        Reset: (call: IncomingCall) => void call.message.serial,
        Describe: () => ['x', 1],
        Fail: async (text, call) => `${text}${call.message.serial}`,
        Wait: () => 'x',
      },
    });
  });

  it('takes handlers from a class, which are called on its instance', async () => {
    class Base {
      greeting = 'hello';
      Greet(name: string): string {
        return `${this.greeting}, ${name}`;
      }
    }
    class Greeter extends Base {
      override greeting = 'good day';
    }
    const host = new TestHost();
    const definition = { name: 'a.B', methods: { Greet: { in: 's', out: 's' } } } as const;
    host.registry.export(PATH, [implement(definition, { methods: new Greeter() })]);
    expect(await host.values({ interface: 'a.B', member: 'Greet', signature: 's', body: ['you'] })).toEqual([
      'good day, you',
    ]);
    // The class itself is a part of its instances, and no handler.
    const odd: InterfaceDefinition = { name: 'a.Odd', methods: { constructor: {} } };
    expect(() => implement(odd, { methods: new Greeter() as never })).toThrow(
      expect.objectContaining({ code: 'missing-handler' }),
    );
  });

  it('knows no name that means anything but itself', async () => {
    const names = ['__proto__', 'constructor', 'then', 'toString', 'hasOwnProperty', 'valueOf', 'get', 'set'];
    const host = new TestHost();
    const none: InterfaceDefinition = { name: 'a.None' };
    host.registry.export(PATH, [implement(none, {})]);
    for (const member of names) {
      expect(await host.errorName({ interface: 'a.None', member })).toBe('UnknownMethod');
      expect(await host.errorName({ member })).toBe('UnknownMethod');
      expect(await host.errorName({ path: `/${member}`, member })).toBe('UnknownObject');
      expect(
        await host.errorName({
          interface: 'org.freedesktop.DBus.Properties',
          member: 'Get',
          signature: 'ss',
          body: ['a.None', member],
        }),
      ).toBe('UnknownProperty');
      // What every object inherits does not count as a handler.
      const wanting = { name: 'a.B', methods: Object.fromEntries([[member, {}]]) } as InterfaceDefinition;
      expect(() => implement(wanting, { methods: {} })).toThrow(
        expect.objectContaining({ code: 'missing-handler' }),
      );
    }
    const every = {
      name: 'a.Every',
      methods: Object.fromEntries(names.map((name) => [name, { out: 's' }])),
      properties: Object.fromEntries(names.map((name) => [name, { type: 's', access: 'read' }])),
      signals: Object.fromEntries(names.map((name) => [name, {}])),
    } as InterfaceDefinition;
    const exported = host.registry.export('/every', [
      implement(every, {
        methods: Object.fromEntries(names.map((name) => [name, () => name])),
        properties: Object.fromEntries(names.map((name) => [name, { get: () => name }])),
      }),
    ]);
    for (const member of names) {
      expect(await host.values({ path: '/every', interface: 'a.Every', member })).toEqual([member]);
      exported.emit('a.Every', member, []);
    }
    expect(host.signals().map(([, member]) => member)).toEqual(names);
    const all = {
      interface: 'org.freedesktop.DBus.Properties',
      member: 'GetAll',
      signature: 's',
      body: ['a.Every'],
    };
    expect(await host.values({ path: '/every', ...all })).toEqual([
      new Map(names.map((name) => [name, new Variant('s', name)])),
    ]);
  });
});

describe('readMachineId', () => {
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-'));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  afterAll(() => rmSync(folder, { recursive: true }));

  it('reads the first file that holds one', () => {
    const first = file('first', `${MACHINE_ID}\n`);
    const second = file('second', `${MACHINE_ID.toUpperCase().replaceAll('0', 'F')}\n`);
    expect(readMachineId([first, second])).toBe(MACHINE_ID);
    expect(readMachineId([second, first])).toBe(MACHINE_ID.replaceAll('0', 'f'));
    expect(readMachineId([join(folder, 'absent'), file('early', 'uninitialized\n'), first])).toBe(MACHINE_ID);
  });

  it('says when there is none', () => {
    const none = expect.objectContaining({ name: 'DBusError', code: 'no-machine-id' });
    expect(() => readMachineId([])).toThrow(none);
    expect(() => readMachineId([join(folder, 'absent')])).toThrow(none);
    expect(() => readMachineId([file('short', MACHINE_ID.slice(1)), folder])).toThrow(none);
    expect(() => readMachineId([file('long', `${MACHINE_ID}0`), file('empty', '')])).toThrow(none);
  });
});
