/**
 * Messages as text, in the form in which `integration/libdbus-oracle.py` writes what libdbus reads in them. Strings are
 * their byte length and bytes, doubles their bits, so that nothing is lost.
 */
import { type Message, parseSignature, Variant } from '../../src/wire/index.js';

type Type = ReturnType<typeof parseSignature>[number];

function text(value: string): string {
  return `${Buffer.byteLength(value)}:${value}`;
}

function dumpDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes.toString('hex');
}

function dumpArray(element: Type, value: unknown): string {
  if (element.code === 'y') return `<${Buffer.from(value as Uint8Array).toString('hex')}>`;
  if (element.code !== '{') return `[${(value as unknown[]).map((one) => dump(element, one)).join(' ')}]`;
  const [keyType, valueType] = element.children as [Type, Type];
  if (keyType.code === 'h' && (value as Map<unknown, unknown>).size > 0) return '{h}';
  const entries = Array.from(
    value as Map<unknown, unknown>,
    ([key, one]) => `${dump(keyType, key)}=${dump(valueType, one)}`,
  );
  return `{${entries.join(' ')}}`;
}

function dump(type: Type, value: unknown): string {
  switch (type.code) {
    case 'b':
      return value === true ? '1' : '0';
    case 'd':
      return dumpDouble(value as number);
    case 's':
    case 'o':
    case 'g':
      return text(value as string);
    case 'v': {
      const { signature, value: inner } = value as Variant;
      return `v${text(signature)}${dump(parseSignature(signature)[0] as Type, inner)}`;
    }
    // libdbus tells of the descriptor, of which there is none, and not of its index.
    case 'h':
      return 'h';
    case 'a':
      return dumpArray(type.children[0] as Type, value);
    case '(':
      return `(${type.children.map((field, index) => dump(field, (value as unknown[])[index])).join(' ')})`;
    default:
      return String(value);
  }
}

/** Flags that libdbus tells of. */
const KNOWN_FLAGS = 7;

/** Everything of a message that libdbus tells of. */
export function dumpMessage(message: Message): string {
  const { type, flags, serial, path, member, errorName, destination, sender, signature } = message;
  const texts = [path, message.interface, member, errorName, destination, sender, signature];
  return [
    type,
    flags & KNOWN_FLAGS,
    serial,
    ...texts.map((one) => (one === undefined ? '-' : text(one))),
    message.replySerial ?? 0,
    ...parseSignature(signature).map((one, index) => dump(one, message.body[index])),
  ].join(' ');
}
