/** Random D-Bus types and values of them, for property tests. */
import fc from 'fast-check';
import { type Message, parseSignature, type Type, Variant } from '../../src/wire/index.js';

/** Basic types that a message can carry: no index of a file descriptor can be sent. */
const SENDABLE = 'ybnqiuxtdsog'.split('');
const EVERY = [...SENDABLE, 'h'];

/** Single complete types as text, biased towards small ones, with every container inside every other. */
function singleTypeOf(codes: readonly string[]): fc.Arbitrary<string> {
  return fc.letrec<{ type: string; basic: string }>((tie) => ({
    basic: fc.constantFrom(...codes),
    type: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      tie('basic'),
      fc.constant('v'),
      tie('type').map((element) => `a${element}`),
      fc.array(tie('type'), { minLength: 1, maxLength: 4 }).map((fields) => `(${fields.join('')})`),
      fc.tuple(tie('basic'), tie('type')).map(([key, value]) => `a{${key}${value}}`),
    ),
  })).type;
}

/** Signatures of up to 4 complete types, now and then of none. */
function signatureOf(codes: readonly string[]): fc.Arbitrary<string> {
  const types = fc.array(singleTypeOf(codes), { minLength: 1, maxLength: 4 }).map((some) => some.join(''));
  return fc
    .oneof({ weight: 19, arbitrary: types }, { weight: 1, arbitrary: fc.constant('') })
    .filter((text) => text.length <= 255);
}

export const signature: fc.Arbitrary<string> = signatureOf(EVERY);

/** Text that D-Bus can carry: Unicode without NUL. Long enough at times to leave every fast path. */
export const text: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 8, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) },
    { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
    { weight: 2, arbitrary: fc.string({ unit: 'grapheme-ascii', minLength: 20, maxLength: 80 }) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary', minLength: 20, maxLength: 80 }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.string({ unit: 'binary' }), fc.nat(2000))
        .map(([one, count]) => one + '\u20ac'.repeat(count)),
    },
  )
  .map((value) => value.replaceAll('\0', '\u{1}').toWellFormed());

const pathElement = fc.string({
  unit: fc.constantFrom(...'abzAZ09_'.split('')),
  minLength: 1,
  maxLength: 6,
});

export const objectPath: fc.Arbitrary<string> = fc
  .array(pathElement, { maxLength: 4 })
  .map((elements) => `/${elements.join('/')}`);

const BASIC_VALUES: Record<string, fc.Arbitrary<unknown>> = {
  y: fc.integer({ min: 0, max: 0xff }),
  b: fc.boolean(),
  n: fc.integer({ min: -0x8000, max: 0x7fff }),
  q: fc.integer({ min: 0, max: 0xffff }),
  i: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
  u: fc.integer({ min: 0, max: 0xffff_ffff }),
  x: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  t: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  d: fc.double(),
  s: text,
  o: objectPath,
  g: signature,
  h: fc.integer({ min: 0, max: 0xffff_ffff }),
};

/** As keys, −0 and 0 are one and the same to a Map, which D-Bus dicts become. */
const doubleKey = fc.double().map((value) => (Object.is(value, -0) ? 0 : value));

/** Values of types, with variants nested up to a depth, all made of some basic types. */
class Values {
  readonly #codes: readonly string[];

  constructor(codes: readonly string[]) {
    this.#codes = codes;
  }

  of(type: Type, variants: number): fc.Arbitrary<unknown> {
    switch (type.code) {
      case 'v':
        return variants === 0 ? fc.constant(new Variant('y', 7)) : this.#variant(variants - 1);
      case '(':
        return fc.tuple(...type.children.map((field) => this.of(field, variants)));
      case 'a':
        return this.#array(type.children[0] as Type, variants);
      default:
        return BASIC_VALUES[type.code] as fc.Arbitrary<unknown>;
    }
  }

  #array(element: Type, variants: number): fc.Arbitrary<unknown> {
    if (element.code === 'y') return fc.uint8Array({ maxLength: 100 });
    if (element.code !== '{') return fc.array(this.of(element, variants), { maxLength: 4 });
    const [key, value] = element.children as [Type, Type];
    const keys = key.code === 'd' ? doubleKey : this.of(key, 0);
    return fc
      .array(fc.tuple(keys, this.of(value, variants)), { maxLength: 4 })
      .map((pairs) => new Map<unknown, unknown>(pairs));
  }

  #variant(variants: number): fc.Arbitrary<Variant> {
    return singleTypeOf(this.#codes)
      .filter((type) => type.length <= 32)
      .chain((type) =>
        this.of(parseSignature(type)[0] as Type, variants).map((value) => new Variant(type, value)),
      );
  }
}

function signatureAndValuesOf(codes: readonly string[]): fc.Arbitrary<[string, unknown[]]> {
  const values = new Values(codes);
  return signatureOf(codes).chain((types) =>
    fc.tuple(
      fc.constant(types),
      fc.tuple<unknown[]>(...parseSignature(types).map((type) => values.of(type, 2))),
    ),
  );
}

/**
 * The same without dicts and variants: for what is not one to one in them, since of two dict entries with one key only the
 * later is kept.
 */
export const plainSignatureAndValues: fc.Arbitrary<[string, unknown[]]> = fc
  .array(
    fc.constantFrom(
      'y',
      'b',
      'n',
      'x',
      's',
      'o',
      'g',
      'as',
      'ab',
      'ay',
      'aay',
      'a(yu)',
      '(sx)',
      '(y(bs))',
      'aad',
      'ag',
    ),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .chain((types) => {
    const values = new Values(SENDABLE);
    return fc.tuple(
      fc.constant(types.join('')),
      fc.tuple<unknown[]>(...types.map((type) => values.of(parseSignature(type)[0] as Type, 0))),
    );
  });

/** A signature with values for it. */
export const signatureAndValues: fc.Arbitrary<[string, unknown[]]> = signatureAndValuesOf(EVERY);

/** Messages of every type, and of a type nobody knows. */
export const message: fc.Arbitrary<Message> = fc
  .tuple(
    signatureAndValuesOf(SENDABLE),
    objectPath,
    fc.integer({ min: 1, max: 0xffff_ffff }),
    fc.integer({ min: 0, max: 7 }),
  )
  .chain(([[types, body], path, serial, flags]) => {
    const common = { flags, serial, signature: types, body };
    return fc.constantFrom<Message>(
      { type: 1, ...common, path, member: 'Get', destination: 'a.b' },
      { type: 1, ...common, path, interface: 'a.b', member: 'Get' },
      { type: 2, ...common, replySerial: serial, sender: ':1.5' },
      { type: 3, ...common, replySerial: 9, errorName: 'a.b.C' },
      { type: 4, ...common, path, interface: 'a.b', member: 'Changed' },
      { type: 77, ...common },
    );
  })
  .filter((candidate) => candidate.path !== '/org/freedesktop/DBus/Local');
