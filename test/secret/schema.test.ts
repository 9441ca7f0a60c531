/** Schemas: their types at compile time, their checks at run time, and that one undoes the other. */
import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { defineSchema, type Schema, type SchemaValues } from '../../src/secret/index.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

const server = defineSchema('org.example.Server', { host: 'string', port: 'integer', tls: 'boolean' });

describe('types', () => {
  test('follow from the fields', () => {
    type Values = SchemaValues<{ host: 'string'; port: 'integer'; tls: 'boolean' }>;
    expectTypeOf<Values['host']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<Values['port']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Values['tls']>().toEqualTypeOf<boolean | undefined>();
    expectTypeOf<ReturnType<typeof server.parse>>().toEqualTypeOf<Values>();
    expectTypeOf<Parameters<typeof server.attributes>[0]>().toEqualTypeOf<Values | undefined>();
    expectTypeOf(server.attributes()).toEqualTypeOf<Map<string, string>>();
    expectTypeOf(server.fields.port).toEqualTypeOf<'integer'>();
    expectTypeOf(server).toExtend<Schema<{ host: 'string'; port: 'integer'; tls: 'boolean' }>>();
  });

  test('refuse values and fields of others', () => {
    // @ts-expect-error a port is a number
    expect(() => server.attributes({ port: '22' })).toThrow(error('bad-argument'));
    // @ts-expect-error there is no such field
    expect(() => server.attributes({ user: 'ann' })).toThrow(error('bad-argument'));
    // @ts-expect-error there is no such type
    expect(() => defineSchema('x', { a: 'float' })).toThrow(error('bad-argument'));
  });
});

test('values become attributes as libsecret writes them, and back', () => {
  expect(server.attributes({ host: 'h', port: 22, tls: true })).toEqual(
    new Map([
      ['xdg:schema', 'org.example.Server'],
      ['host', 'h'],
      ['port', '22'],
      ['tls', 'true'],
    ]),
  );
  expect(server.attributes()).toEqual(new Map([['xdg:schema', 'org.example.Server']]));
  expect(server.attributes({ host: undefined, port: -1, tls: false }).get('tls')).toBe('false');
  expect(server.attributes({ port: -0 }).get('port')).toBe('0');
  const attributes = {
    'xdg:schema': 'org.example.Server',
    host: '',
    port: '-7',
    tls: 'false',
    Title: 'added',
  };
  expect(server.parse(attributes)).toEqual({ host: '', port: -7, tls: false });
  expect(server.parse(new Map(Object.entries({ 'xdg:schema': 'org.example.Server' })))).toEqual({});
  expect(Object.is(server.parse({ ...attributes, port: '-0' }).port, 0)).toBe(true);
});

test.each<[string, Record<string, unknown>]>([
  ['a fraction', { port: 1.5 }],
  ['an integer that is not safe', { port: 2 ** 53 }],
  ['no number', { port: Number.NaN }],
  ['an infinite number', { port: Number.POSITIVE_INFINITY }],
  ['a big integer', { port: 1n }],
  ['text for a number', { port: '1' }],
  ['a number for text', { host: 1 }],
  ['null', { host: null }],
  ['text for a truth value', { tls: 'true' }],
  ['a number for a truth value', { tls: 1 }],
  ['a field it has not', { other: 'x' }],
  ['the name of the schema', { 'xdg:schema': 'org.example.Other' }],
  ['a field of every object', { constructor: 'x' }],
])('%s is the caller’s fault', (_name, values) => {
  expect(() => server.attributes(values as never)).toThrow(error('bad-argument'));
});

test.each<[string, unknown]>([
  ['no schema', { host: 'h' }],
  ['another schema', { 'xdg:schema': 'org.example.Other' }],
  ['no number', { 'xdg:schema': 'org.example.Server', port: 'ssh' }],
  ['nothing for a number', { 'xdg:schema': 'org.example.Server', port: '' }],
  ['a number with a sign', { 'xdg:schema': 'org.example.Server', port: '+1' }],
  ['a number with spaces', { 'xdg:schema': 'org.example.Server', port: ' 1' }],
  ['a number in another base', { 'xdg:schema': 'org.example.Server', port: '0x16' }],
  ['a number with a line', { 'xdg:schema': 'org.example.Server', port: '1\n' }],
  ['an integer that is not safe', { 'xdg:schema': 'org.example.Server', port: '9007199254740993' }],
  ['no truth value', { 'xdg:schema': 'org.example.Server', tls: 'TRUE' }],
])('attributes with %s are not of the schema', (_name, attributes) => {
  expect(() => server.parse(attributes as never)).toThrow(error('schema'));
});

test.each<[string, unknown, unknown]>([
  ['an empty name', '', {}],
  ['no name', undefined, {}],
  ['no fields', 'x', undefined],
  ['an unknown type', 'x', { a: 'uint32' }],
  ['a type of every object', 'x', { a: 'constructor' }],
  ['the attribute of the name', 'x', { 'xdg:schema': 'string' }],
])('a schema with %s is the caller’s fault', (_name, name, fields) => {
  expect(() => defineSchema(name as string, fields as never)).toThrow(error('bad-argument'));
});

test('a schema does not change with the object it was made of', () => {
  const fields: Record<string, 'string' | 'integer'> = { a: 'string' };
  const schema = defineSchema('x', fields);
  fields['a'] = 'integer';
  expect(schema.attributes({ a: 'text' }).get('a')).toBe('text');
  expect(Object.isFrozen(schema)).toBe(true);
});

test('values are what they were after a way through attributes', () => {
  const type = fc.constantFrom('string' as const, 'integer' as const, 'boolean' as const);
  const name = fc.string({ maxLength: 5 }).filter((text) => text !== 'xdg:schema');
  const valueOf = { string: fc.string(), integer: fc.maxSafeInteger(), boolean: fc.boolean() };
  const cases = fc.dictionary(name, type, { maxKeys: 6, noNullPrototype: true }).chain((fields) =>
    fc.record({
      fields: fc.constant(fields),
      values: fc.record(
        Object.fromEntries(Object.entries(fields).map(([field, kind]) => [field, valueOf[kind]])),
        { requiredKeys: [], noNullPrototype: true },
      ),
    }),
  );
  fc.assert(
    fc.property(cases, ({ fields, values }) => {
      const schema = defineSchema('org.example.Any', fields);
      const attributes = schema.attributes(values);
      expect(schema.parse(attributes)).toEqual(values);
      expect(schema.parse(Object.fromEntries(attributes))).toEqual(values);
    }),
  );
});
