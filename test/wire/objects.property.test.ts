import fc from 'fast-check';
import { expect, it } from 'vitest';
import { marshal } from '../../src/wire/codec/marshal.js';
import { Variant } from '../../src/wire/codec/variant.js';
import type { InterfaceDefinition } from '../../src/wire/interface/definition.js';
import type { Message } from '../../src/wire/message/message.js';
import { implement } from '../../src/wire/objects/implement.js';
import { MethodError } from '../../src/wire/objects/method-error.js';
import { message, plainSignatureAndValues } from '../support/arbitraries.js';
import { settled, TestHost } from '../support/object-host.js';

const INTERFACE = 'org.example.Anything';
const PATHS = ['/', '/a', '/a/b', '/a/b/c', '/a/b/d', '/x', '/constructor', ''];
const MEMBERS = ['Do', 'Get', 'toString', '__proto__', 'constructor', 'Ping', 'No'];
const STANDARD = ['Peer', 'Introspectable', 'Properties', 'ObjectManager'].map(
  (name) => `org.freedesktop.DBus.${name}`,
);

/** What a handler does: gives a value, or fails, now or later. */
type Behaviour =
  | { readonly kind: 'values'; readonly values: unknown[] }
  | { readonly kind: 'odd'; readonly value: unknown }
  | { readonly kind: 'throw'; readonly error: unknown };

interface MethodModel {
  readonly in: string;
  readonly out: string;
  readonly later: boolean;
  readonly behaviour: Behaviour;
}

const odd = fc.oneof(
  fc.anything({ maxDepth: 1, maxKeys: 2 }),
  fc.constant(Symbol('x')),
  fc.constant(new Variant('(', 5)),
);

const method: fc.Arbitrary<MethodModel> = fc
  .tuple(plainSignatureAndValues, plainSignatureAndValues, fc.boolean())
  .chain(([[input], [out, values], later]) =>
    fc
      .oneof<fc.Arbitrary<Behaviour>[]>(
        fc.constant({ kind: 'values', values }),
        odd.map((value) => ({ kind: 'odd', value })),
        odd.map((error) => ({ kind: 'throw', error })),
        fc.constant({ kind: 'throw', error: new MethodError('a.b.Mine', 'mine') }),
      )
      .map((behaviour) => ({ in: input, out, later, behaviour })),
  );

const methods = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...MEMBERS.slice(0, -1)), method), {
    selector: ([name]) => name,
    maxLength: 3,
  })
  .map((entries) => new Map(entries));

/** A call of what may be there, with arguments that may be right. */
const call: fc.Arbitrary<Partial<Message> & { member: string; right: boolean }> = fc
  .tuple(
    fc.record({
      path: fc.constantFrom(...PATHS),
      member: fc.constantFrom(...MEMBERS, 'Set', 'GetAll', 'Introspect', 'GetManagedObjects'),
      flags: fc.nat(7),
      right: fc.boolean(),
    }),
    fc.option(fc.constantFrom(INTERFACE, 'no.such', ...STANDARD), { nil: undefined }),
    plainSignatureAndValues,
  )
  .map(([fields, name, [signature, body]]) =>
    Object.assign(fields, { signature, body }, name === undefined ? {} : { interface: name }),
  );

/** Values for a signature of `plainSignatureAndValues`: of arrays none, of all else the simplest. */
function simplest(signature: string): unknown[] {
  const values: unknown[] = [];
  for (let at = 0; at < signature.length; at++) {
    const code = signature[at] as string;
    if (code === 'a') {
      // The whole array type is skipped: it is one character, or a struct in brackets.
      let type = at + 1;
      while (signature[type] === 'a') type++;
      if (signature[type] === '(') while (signature[type] !== ')') type++;
      values.push(signature[at + 1] === 'y' ? new Uint8Array(0) : []);
      at = type;
    } else if (code === '(') {
      let end = at;
      for (let open = 0; ; end++) {
        if (signature[end] === '(') open++;
        if (signature[end] === ')' && --open === 0) break;
      }
      values.push(simplest(signature.slice(at + 1, end)));
      at = end;
    } else {
      values.push(({ s: '', o: '/', g: '', b: false, x: 0n } as Record<string, unknown>)[code] ?? 0);
    }
  }
  return values;
}

function implementation(model: ReadonlyMap<string, MethodModel>, runs: string[]) {
  const definition = {
    name: INTERFACE,
    methods: Object.fromEntries(
      Array.from(model, ([name, { in: input, out }]) => [name, { in: input, out }]),
    ),
  } as InterfaceDefinition;
  const handlers = Array.from(model, ([name, { in: input, later, behaviour }]) => {
    const handler = (...args: unknown[]): unknown => {
      runs.push(name);
      // Only arguments that are of the type reach it.
      marshal(input, args.slice(0, -1));
      if (behaviour.kind === 'throw') {
        if (later) return Promise.reject(behaviour.error);
        throw behaviour.error;
      }
      const result =
        behaviour.kind === 'odd'
          ? behaviour.value
          : behaviour.values.length === 1
            ? behaviour.values[0]
            : behaviour.values;
      return later ? Promise.resolve(result) : result;
    };
    return [name, handler] as const;
  });
  return implement(definition, { methods: Object.fromEntries(handlers) });
}

/** What a call of the interface itself must come to. */
function expected(model: ReadonlyMap<string, MethodModel>, made: Message): unknown {
  const { path = '', interface: name, member = '' } = made;
  if (!['/', '/a', '/a/b', '/a/b/c'].includes(path)) return 'UnknownObject';
  if (name !== INTERFACE || !['/a', '/a/b/c'].includes(path)) return 'UnknownInterface';
  const known = model.get(member);
  if (known === undefined) return 'UnknownMethod';
  if (known.in !== made.signature) return 'InvalidArgs';
  const { behaviour, out } = known;
  if (behaviour.kind === 'throw') return behaviour.error instanceof MethodError ? 'a.b.Mine' : 'Failed';
  if (behaviour.kind === 'values') return { signature: out, body: behaviour.values };
  return 'either';
}

it('answers every call exactly once, or not at all where no reply is wanted, and as the definition says', async () => {
  await fc.assert(
    fc.asyncProperty(methods, fc.array(call, { minLength: 1, maxLength: 4 }), async (model, calls) => {
      const host = new TestHost();
      const runs: string[] = [];
      const wanted: { made: Message; outcome: unknown }[] = [];
      host.registry.export('/a', [implementation(model, runs)], { objectManager: true });
      host.registry.export('/a/b/c', [implementation(model, runs)]);
      calls.forEach(({ right, ...fields }, index) => {
        const known = fields.interface === INTERFACE ? model.get(fields.member) : undefined;
        const made = { type: 1, serial: index + 1, flags: 0, signature: '', body: [], ...fields };
        if (right && known !== undefined) {
          Object.assign(made, { signature: known.in, body: simplest(known.in) });
        }
        wanted.push({ made, outcome: expected(model, made) });
        host.registry.handle(made);
      });
      expect(host.sent).toEqual([]);
      await settled();
      expect(host.registry.stats).toMatchObject({ running: 0, calls: calls.length });
      // Beside the replies only this: /a is an ObjectManager.
      expect(host.signals().map(([, member]) => member)).toEqual(['InterfacesAdded']);
      expect(host.sent.every(({ replySerial, type }) => type === 4 || replySerial !== undefined)).toBe(true);
      for (const { made, outcome } of wanted) {
        const replies = host.sent.filter(({ replySerial }) => replySerial === made.serial);
        expect(replies).toHaveLength((made.flags & 1) === 0 ? 1 : 0);
        const [reply] = replies;
        const standard = made.interface === undefined || STANDARD.includes(made.interface);
        if (reply === undefined || standard || outcome === 'either') continue;
        if (typeof outcome === 'string') {
          expect(reply.errorName?.replace('org.freedesktop.DBus.Error.', '')).toBe(outcome);
        } else {
          expect(reply).toMatchObject({ type: 2, ...(outcome as object) });
        }
      }
      // Each handler ran as often as it was called with the right arguments, in order, and with others never.
      const ran = wanted.filter(
        ({ made: { interface: name = INTERFACE, path = '', member = '', signature } }) =>
          ['/a', '/a/b/c'].includes(path) && name === INTERFACE && model.get(member)?.in === signature,
      );
      expect(runs).toEqual(ran.map(({ made }) => made.member));
    }),
  );
});

it('takes any message there is', async () => {
  const host = new TestHost({ maxRunning: 3 });
  const model = new Map<string, MethodModel>([
    ['Get', { in: '', out: '', later: false, behaviour: { kind: 'values', values: [] } }],
  ]);
  host.registry.export('/a', [implementation(model, [])]);
  await fc.assert(
    fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 4 }), async (messages) => {
      host.sent.length = 0;
      for (const one of messages) host.registry.handle(one);
      await settled();
      const wanting = messages.filter(({ type, flags }) => type === 1 && (flags & 1) === 0);
      // None of them waits for anything: they are answered in order.
      expect(host.sent.map(({ replySerial }) => replySerial)).toEqual(wanting.map(({ serial }) => serial));
      expect(host.registry.stats.running).toBe(0);
    }),
  );
});

it('takes even what no peer can send', async () => {
  const host = new TestHost();
  host.registry.export('/a', []);
  const name = fc.oneof(fc.constantFrom(...STANDARD), fc.string());
  const record = fc.record(
    {
      type: fc.constantFrom(1, 1, 1, 2, 0, -1),
      flags: fc.oneof(fc.constant(0), fc.integer(), fc.double()),
      serial: fc.oneof(fc.nat(), fc.double()),
      path: fc.oneof(fc.constantFrom('/a', '/', '', '/a/', '//'), fc.string()),
      interface: name,
      member: fc.oneof(fc.constantFrom('Get', 'Ping', 'GetAll'), fc.string()),
      signature: fc.oneof(fc.constantFrom('', 's', 'ss'), fc.string()),
      body: fc.array(fc.anything({ maxDepth: 1, maxKeys: 2 }), { maxLength: 4 }),
      sender: fc.oneof(fc.constantFrom(':1.5', 'a.b'), fc.string()),
    },
    { requiredKeys: ['type'] },
  );
  await fc.assert(
    fc.asyncProperty(record, async (one) => {
      host.sent.length = 0;
      host.registry.handle(one as Message);
      await settled();
      expect(host.sent.length).toBeLessThanOrEqual(1);
      expect(host.registry.stats.running).toBe(0);
    }),
  );
});
