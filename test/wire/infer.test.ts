/** Types are tested by the compiler, which `npm run check` runs over this file. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import { marshal } from '../../src/wire/codec/marshal.js';
import { unmarshal } from '../../src/wire/codec/unmarshal.js';
import { Variant } from '../../src/wire/codec/variant.js';
import type {
  ArgumentsOf,
  ArgumentsResultOf,
  CheckedSignature,
  InvalidSignature,
  ResultOf,
  SingleArgumentOf,
  SingleValueOf,
  ValuesOf,
} from '../../src/wire/types/infer.js';
import { isSignature } from '../../src/wire/types/signature.js';

/** As a call is typed: the body follows from the signature. */
function call<const In extends string = '', const Out extends string = string>(options: {
  signature?: In;
  body?: ArgumentsOf<In>;
  replySignature?: Out;
}): { values: ValuesOf<Out>; options: unknown } {
  return { values: [] as unknown as ValuesOf<Out>, options };
}

function checked<const Signature extends string>(signature: CheckedSignature<Signature>): string {
  return signature as string;
}

/** Values for a signature, as they are typed, marshalled and read again. */
function roundTrip<const Signature extends string>(
  signature: Signature,
  values: ArgumentsOf<Signature>,
): ValuesOf<Signature> {
  return unmarshal(signature, marshal(signature, values));
}

describe('types of values as they are read', () => {
  it('basic types', () => {
    expectTypeOf<ValuesOf<''>>().toEqualTypeOf<[]>();
    expectTypeOf<ValuesOf<'ybnqiuxtdsogh'>>().toEqualTypeOf<
      [
        number,
        boolean,
        number,
        number,
        number,
        number,
        bigint,
        bigint,
        number,
        string,
        string,
        string,
        number,
      ]
    >();
    expectTypeOf<ValuesOf<'v'>>().toEqualTypeOf<[Variant]>();
  });

  it('containers', () => {
    expectTypeOf<ValuesOf<'as'>>().toEqualTypeOf<[string[]]>();
    expectTypeOf<ValuesOf<'ay'>>().toEqualTypeOf<[Uint8Array]>();
    expectTypeOf<ValuesOf<'aay'>>().toEqualTypeOf<[Uint8Array[]]>();
    expectTypeOf<ValuesOf<'a(y)'>>().toEqualTypeOf<[[number][]]>();
    expectTypeOf<ValuesOf<'a{sv}u'>>().toEqualTypeOf<[Map<string, Variant>, number]>();
    expectTypeOf<ValuesOf<'a{t(sb)}'>>().toEqualTypeOf<[Map<bigint, [string, boolean]>]>();
    expectTypeOf<ValuesOf<'a{ya{say}}aaax'>>().toEqualTypeOf<
      [Map<number, Map<string, Uint8Array>>, bigint[][][]]
    >();
    expectTypeOf<ValuesOf<'(s(u(ab)))(v)'>>().toEqualTypeOf<[[string, [number, [boolean[]]]], [Variant]]>();
    // The managed objects of an ObjectManager, and what GetSecrets replies.
    expectTypeOf<ValuesOf<'a{oa{sa{sv}}}'>>().toEqualTypeOf<
      [Map<string, Map<string, Map<string, Variant>>>]
    >();
    expectTypeOf<ValuesOf<'a{o(oayays)}'>>().toEqualTypeOf<
      [Map<string, [string, Uint8Array, Uint8Array, string]>]
    >();
  });

  it('signatures that are not one literal', () => {
    expectTypeOf<ValuesOf<string>>().toEqualTypeOf<unknown[]>();
    expectTypeOf<ValuesOf<'s' | 'u'>>().toEqualTypeOf<[string] | [number]>();
    expectTypeOf<ValuesOf<`s${string}`>>().toEqualTypeOf<unknown[]>();
    expectTypeOf<ValuesOf<`a${string}`>>().toEqualTypeOf<unknown[]>();
    expectTypeOf<ValuesOf<`${string}s`>>().toEqualTypeOf<unknown[]>();
    expectTypeOf<ValuesOf<never>>().toEqualTypeOf<never>();
  });

  it('are what the codec gives', () => {
    const [dict, bytes, [text, big]] = roundTrip('a{sv}ay(sx)', [
      { a: new Variant('u', 1) },
      new Uint8Array(1),
      ['x', 5],
    ]);
    expectTypeOf(dict).toEqualTypeOf<Map<string, Variant>>();
    expectTypeOf(bytes).toEqualTypeOf<Uint8Array>();
    expect([dict.get('a')?.value, bytes.length, text.length, big + 1n]).toEqual([1, 1, 1, 6n]);
  });
});

describe('types of values as they may be written', () => {
  it('take more than is read', () => {
    expectTypeOf<ArgumentsOf<''>>().toEqualTypeOf<readonly []>();
    expectTypeOf<ArgumentsOf<'xt'>>().toEqualTypeOf<readonly [bigint | number, bigint | number]>();
    expectTypeOf<ArgumentsOf<'asay'>>().toEqualTypeOf<readonly [readonly string[], Uint8Array]>();
    expectTypeOf<ArgumentsOf<'(ax)'>>().toEqualTypeOf<readonly [readonly [readonly (bigint | number)[]]]>();
    expectTypeOf<ArgumentsOf<'a{sv}'>>().toEqualTypeOf<
      readonly [ReadonlyMap<string, Variant> | Readonly<Record<string, Variant>>]
    >();
    expectTypeOf<ArgumentsOf<'a{tv}'>>().toEqualTypeOf<readonly [ReadonlyMap<bigint | number, Variant>]>();
    expectTypeOf<ArgumentsOf<'a{uas}'>>().toEqualTypeOf<readonly [ReadonlyMap<number, readonly string[]>]>();
    expectTypeOf<ArgumentsOf<string>>().toEqualTypeOf<readonly unknown[]>();
    expectTypeOf<ArgumentsOf<'s' | 'u'>>().toEqualTypeOf<readonly [string] | readonly [number]>();
  });

  it('take whatever was read', () => {
    expectTypeOf<ValuesOf<'ybxta{sv}a{oa{sas}}a(sv)aay'>>().toExtend<
      ArgumentsOf<'ybxta{sv}a{oa{sas}}a(sv)aay'>
    >();
  });

  it('take keys of o and g as objects, and no others', () => {
    const dict = { '/a': 1 };
    call({ signature: 'a{ou}a{gu}a{su}', body: [dict, dict, dict] });
    // @ts-expect-error only a Map has keys that are numbers
    call({ signature: 'a{uu}', body: [{ 1: 1 }] });
    call({ signature: 'a{uu}', body: [new Map([[1, 1]])] });
  });

  it('refuse what does not fit', () => {
    call({ signature: 'sas', body: ['a', ['b']] });
    // @ts-expect-error a number for a string
    call({ signature: 's', body: [5] });
    // @ts-expect-error too few
    call({ signature: 'ss', body: ['a'] });
    // @ts-expect-error too many
    call({ signature: 's', body: ['a', 'b'] });
    // @ts-expect-error no bigint for 32 bits
    call({ signature: 'u', body: [5n] });
    // @ts-expect-error bytes are no array of numbers
    call({ signature: 'ay', body: [[1, 2]] });
    // @ts-expect-error a struct has as many values as types
    call({ signature: '(ss)', body: [['a']] });
    // @ts-expect-error a value is never made a variant by itself
    call({ signature: 'v', body: ['a'] });
    // @ts-expect-error no arguments without a signature
    call({ body: ['a'] });
    const { values } = call({ replySignature: 'a{sv}' });
    // @ts-expect-error a Map has no properties for its keys
    expect(() => values[0].Label).toThrow(TypeError);
    expectTypeOf(call({}).values).toEqualTypeOf<unknown[]>();
  });
});

/** Invalid signatures, with what the types say of them. */
const INVALID = {
  a: 'it ends inside a type',
  '(': 'it ends inside a type',
  '(y': 'it ends inside a type',
  'a{s': 'it ends inside a type',
  'a{sv': 'it ends inside a type',
  'a(': 'it ends inside a type',
  'a{': 'it ends inside a type',
  ')': 'a ) that closes no struct',
  'a)': 'a ) that closes no struct',
  '(a)': 'a ) that closes no struct',
  'a{s(v})': 'a } that closes no dict entry',
  '()': 'a struct without fields',
  'a()': 'a struct without fields',
  '}': 'a } that closes no dict entry',
  '{sv}': 'a dict entry that is not the element of an array',
  '({sv})': 'a dict entry that is not the element of an array',
  'a{vs}': 'the key of a dict entry must be of a basic type',
  'a{(y)s}': 'the key of a dict entry must be of a basic type',
  'a{}': 'the key of a dict entry must be of a basic type',
  'a{s}': 'a dict entry holds exactly two types',
  'a{svv}': 'a dict entry holds exactly two types',
  sz: 'z is not a type code',
  r: 'r is not a type code',
  'y y': '  is not a type code',
} as const;

type Expected = { [S in keyof typeof INVALID]: InvalidSignature<(typeof INVALID)[S]> };

describe('invalid literals', () => {
  it('say what is wrong', () => {
    expectTypeOf<{ [S in keyof typeof INVALID]: SingleValueOf<S> }>().toMatchObjectType<
      Omit<Expected, 'a{'>
    >();
    expectTypeOf<{ [S in keyof typeof INVALID]: CheckedSignature<S> }>().toMatchObjectType<
      Omit<Expected, 'a{'>
    >();
    for (const signature of Object.keys(INVALID)) expect(isSignature(signature)).toBe(false);
  });

  it('take and give nothing', () => {
    // @ts-expect-error nothing fits an invalid signature
    call({ signature: 'a{vs}', body: [new Map()] });
    // @ts-expect-error not even nothing
    call({ signature: 'a{vs}', body: [] });
    // @ts-expect-error the value of an invalid signature is no string
    const text: string | undefined = call({ replySignature: 'sz' }).values[0];
    expect(text).toBeUndefined();
    // @ts-expect-error the signature itself can be refused
    expect(checked('a()')).toBe('a()');
    // @ts-expect-error an array without an element
    expect(checked('sa')).toBe('sa');
    expect([checked('as'), checked<string>('a()')]).toEqual(['as', 'a()']);
  });

  it('are told by depth and length as by the parser', () => {
    type Ten<S extends string> = `${S}${S}${S}${S}${S}${S}${S}${S}${S}${S}`;
    type Arrays30 = Ten<'aaa'>;
    expectTypeOf<ValuesOf<`${Arrays30}aas`>>().not.toExtend<[InvalidSignature<string>]>();
    expectTypeOf<ValuesOf<`${Arrays30}aa(${Arrays30})`>>().toEqualTypeOf<
      [InvalidSignature<'more than 32 nested arrays'>]
    >();
    expectTypeOf<ValuesOf<`${Arrays30}aaas`>>().toEqualTypeOf<
      [InvalidSignature<'more than 32 nested arrays'>]
    >();
    // Arrays beside one another do not count, those of dicts do.
    expectTypeOf<ValuesOf<`${Arrays30}as${Arrays30}as`>>().not.toExtend<[InvalidSignature<string>]>();
    expectTypeOf<ValuesOf<`${Arrays30}aa{sas}`>>().toEqualTypeOf<
      [InvalidSignature<'more than 32 nested arrays'>]
    >();
    expectTypeOf<ValuesOf<`${Arrays30}a(a{ss}a{ss})a{ss}`>>().not.toExtend<[InvalidSignature<string>]>();
    type Open30 = Ten<'((('>;
    type Close30 = Ten<')))'>;
    expectTypeOf<ValuesOf<`${Open30}((s))${Close30}`>>().not.toExtend<[InvalidSignature<string>]>();
    expectTypeOf<ValuesOf<`${Open30}(((s)))${Close30}`>>().toEqualTypeOf<
      [InvalidSignature<'more than 32 nested structs'>]
    >();
    expectTypeOf<ValuesOf<`${Open30}((s)(s))(s)${Close30}(s)`>>().not.toExtend<[InvalidSignature<string>]>();
    type Hundred = Ten<Ten<'y'>>;
    type Most = `${Hundred}${Hundred}${Ten<'yyyyy'>}yyyyy`;
    expectTypeOf<ValuesOf<Most>['length']>().toEqualTypeOf<255>();
    expectTypeOf<ValuesOf<`${Most}y`>>().toEqualTypeOf<[InvalidSignature<'longer than 255 bytes'>]>();
    expectTypeOf<ValuesOf<Ten<Hundred>>>().toEqualTypeOf<[InvalidSignature<'longer than 255 bytes'>]>();
  });
});

describe('single values and results', () => {
  it('one value', () => {
    expectTypeOf<SingleValueOf<'x'>>().toEqualTypeOf<bigint>();
    expectTypeOf<SingleArgumentOf<'x'>>().toEqualTypeOf<bigint | number>();
    expectTypeOf<SingleValueOf<string>>().toEqualTypeOf<unknown>();
    expectTypeOf<SingleValueOf<''>>().toEqualTypeOf<InvalidSignature<'not exactly one complete type'>>();
    expectTypeOf<SingleArgumentOf<'ss'>>().toEqualTypeOf<InvalidSignature<'not exactly one complete type'>>();
  });

  it('results of methods', () => {
    expectTypeOf<ResultOf<''>>().toEqualTypeOf<void>();
    expectTypeOf<ResultOf<'as'>>().toEqualTypeOf<string[]>();
    expectTypeOf<ResultOf<'vo'>>().toEqualTypeOf<[Variant, string]>();
    expectTypeOf<ResultOf<'(vo)'>>().toEqualTypeOf<[Variant, string]>();
    expectTypeOf<ResultOf<string>>().toEqualTypeOf<unknown>();
    expectTypeOf<ArgumentsResultOf<''>>().toEqualTypeOf<void>();
    expectTypeOf<ArgumentsResultOf<'as'>>().toEqualTypeOf<readonly string[]>();
    expectTypeOf<ArgumentsResultOf<'xo'>>().toEqualTypeOf<readonly [bigint | number, string]>();
    expectTypeOf<ArgumentsResultOf<string>>().toEqualTypeOf<unknown>();
  });
});
