/** Random types, values and messages, made to be valid: what mutation alone would hardly ever hit on. */
import { Variant } from '../../src/wire/codec/variant.js';
import type { Message } from '../../src/wire/message/message.js';
import { parseSignature, type Type } from '../../src/wire/types/signature.js';
import type { Random } from './engine/random.js';

const BASIC = 'ybnqiuxtdsog';
const TEXTS = ['', 'a', 'Label', 'ü', '€', '\u{1d11e}', 'a'.repeat(41), '\u{feff}', '/', "it's"];
const PATHS = ['/', '/a', '/a/b_1', '/org/freedesktop/DBus'];

/** A single complete type. */
export function typeOf(random: Random, depth = 0): string {
  const choice = depth > 4 ? 0 : random.below(12);
  if (choice < 6) return random.pick(BASIC.split(''));
  if (choice < 8) return 'v';
  if (choice < 10) return `a${typeOf(random, depth + 1)}`;
  if (choice === 10) return `a{${random.pick(BASIC.split(''))}${typeOf(random, depth + 1)}}`;
  return `(${Array.from({ length: 1 + random.below(3) }, () => typeOf(random, depth + 1)).join('')})`;
}

export function signatureOf(random: Random): string {
  const types = Array.from({ length: random.below(4) }, () => typeOf(random)).join('');
  return types.length > 255 ? 's' : types;
}

function valueOf(type: Type, random: Random, depth: number): unknown {
  switch (type.code) {
    case 'y':
      return random.below(256);
    case 'b':
      return random.oneIn(2);
    case 'n':
      return random.below(0x1_0000) - 0x8000;
    case 'q':
      return random.below(0x1_0000);
    case 'i':
      return random.next() | 0;
    case 'u':
      return random.next();
    case 'x':
      return BigInt.asIntN(64, BigInt(random.next()) << BigInt(random.below(40)));
    case 't':
      return BigInt.asUintN(64, BigInt(random.next()) << BigInt(random.below(40)));
    case 'd':
      return random.pick([0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -1e300, random.next()]);
    case 'o':
      return random.pick(PATHS);
    case 'g':
      return depth > 3 ? '' : signatureOf(random);
    case 'v': {
      const signature = depth > 3 ? 'y' : typeOf(random, depth);
      return new Variant(signature, valueOf(parseSignature(signature)[0] as Type, random, depth + 1));
    }
    case '(':
      return type.children.map((field) => valueOf(field, random, depth + 1));
    case 'a':
      return arrayOf(type.children[0] as Type, random, depth + 1);
    default:
      return random.pick(TEXTS);
  }
}

function arrayOf(element: Type, random: Random, depth: number): unknown {
  const length = random.below(depth > 3 ? 2 : 4);
  if (element.code === 'y') return Uint8Array.from({ length: random.below(20) }, () => random.below(256));
  const make = (type: Type): unknown => valueOf(type, random, depth);
  if (element.code !== '{') return Array.from({ length }, () => make(element));
  const [key, value] = element.children as [Type, Type];
  return new Map(Array.from({ length }, () => [make(key), make(value)]));
}

/** One value a single complete type. */
export function valuesOf(signature: string, random: Random): unknown[] {
  return parseSignature(signature).map((type) => valueOf(type, random, 0));
}

export function messageOf(random: Random): Message {
  const signature = signatureOf(random);
  const common = {
    flags: random.below(8),
    serial: random.next() || 1,
    signature,
    body: valuesOf(signature, random),
  };
  const path = random.pick(PATHS);
  return random.pick<Message>([
    { ...common, type: 1, path, member: 'Get', destination: 'a.b', interface: 'a.b' },
    { ...common, type: 1, path, member: 'Get', sender: ':1.5' },
    { ...common, type: 2, replySerial: common.serial, sender: ':1.5', destination: ':1.6' },
    { ...common, type: 3, replySerial: 1, errorName: 'a.b.C' },
    { ...common, type: 4, path, interface: 'a.b', member: 'Changed' },
    { ...common, type: 5 + random.below(251) },
  ]);
}
