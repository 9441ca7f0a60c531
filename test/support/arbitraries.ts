/** Random D-Bus types and values of them, for property tests. */
import fc from 'fast-check';
import { type Message, parseSignature, type Type, Variant } from '../../src/wire/index.js';

const BASIC_CODES = 'ybnqiuxtdsogh'.split('');

/** Single complete types as text, biased towards small ones, with every container inside every other. */
export const singleType: fc.Arbitrary<string> = fc.letrec<{ type: string; basic: string }>((tie) => ({
  basic: fc.constantFrom(...BASIC_CODES),
  type: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('basic'),
    fc.constant('v'),
    tie('type').map((element) => `a${element}`),
    fc.array(tie('type'), { minLength: 1, maxLength: 4 }).map((fields) => `(${fields.join('')})`),
    fc.tuple(tie('basic'), tie('type')).map(([key, value]) => `a{${key}${value}}`),
  ),
})).type;

/** Signatures of 0 to 4 complete types. */
export const signature: fc.Arbitrary<string> = fc
  .array(singleType, { maxLength: 4 })
  .map((types) => types.join(''))
  .filter((text) => text.length <= 255);

/** Text that D-Bus can carry: Unicode without NUL. Long enough at times to leave every fast path. */
export const text: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) },
    { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'grapheme-ascii', minLength: 20, maxLength: 80 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 20, maxLength: 80 }) },
  )
  .map((value) => value.replaceAll('\0', '\u{1}').toWellFormed());

const pathElement = fc.string({ unit: fc.constantFrom(...'abzAZ09_'.split('')), minLength: 1, maxLength: 6 });

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

function valueOf(type: Type, variants: number): fc.Arbitrary<unknown> {
  switch (type.code) {
    case 'v':
      return variants === 0 ? fc.constant(new Variant('y', 7)) : variant(variants - 1);
    case '(':
      return fc.tuple(...type.children.map((field) => valueOf(field, variants)));
    case 'a': {
      const element = type.children[0] as Type;
      if (element.code === 'y') return fc.uint8Array({ maxLength: 12 });
      if (element.code !== '{') return fc.array(valueOf(element, variants), { maxLength: 4 });
      const [key, value] = element.children as [Type, Type];
      const keys = key.code === 'd' ? doubleKey : valueOf(key, 0);
      return fc
        .array(fc.tuple(keys, valueOf(value, variants)), { maxLength: 4 })
        .map((pairs) => new Map<unknown, unknown>(pairs));
    }
    default:
      return BASIC_VALUES[type.code] as fc.Arbitrary<unknown>;
  }
}

function variant(variants: number): fc.Arbitrary<Variant> {
  return singleType
    .filter((type) => type.length <= 32)
    .chain((type) =>
      valueOf(parseSignature(type)[0] as Type, variants).map((value) => new Variant(type, value)),
    );
}

/** A signature with values for it. */
export const signatureAndValues: fc.Arbitrary<[string, unknown[]]> = signature.chain((types) =>
  fc.tuple(fc.constant(types), fc.tuple<unknown[]>(...parseSignature(types).map((type) => valueOf(type, 2)))),
);

/** Messages of every type, and of a type nobody knows. */
export const message: fc.Arbitrary<Message> = fc
  .tuple(
    signatureAndValues,
    objectPath,
    fc.integer({ min: 1, max: 0xffff_ffff }),
    fc.integer({ min: 0, max: 7 }),
  )
  .chain(([[types, body], path, serial, flags]) =>
    fc.constantFrom<Message>(
      { type: 1, flags, serial, path, member: 'Get', destination: 'a.b', signature: types, body },
      { type: 1, flags, serial, path, interface: 'a.b', member: 'Get', signature: types, body },
      { type: 2, flags, serial, replySerial: serial, sender: ':1.5', signature: types, body },
      { type: 3, flags, serial, replySerial: 9, errorName: 'a.b.C', signature: types, body },
      { type: 4, flags, serial, path, interface: 'a.b', member: 'Changed', signature: types, body },
      { type: 77, flags, serial, signature: types, body },
    ),
  )
  .filter((candidate) => candidate.path !== '/org/freedesktop/DBus/Local');
