/**
 * The recorded messages of `test/vectors/wire-messages.json`, and their values in the form our decoder gives.
 * In the file integers are decimal strings, doubles big-endian hex, dicts pairs, variants `{signature, value}`.
 */
import { readFileSync } from 'node:fs';
import { type Message, parseSignature, Variant } from '../../src/wire/index.js';

type Type = ReturnType<typeof parseSignature>[number];

export interface ValidVector {
  hex: string;
  endian: 'little' | 'big';
  type: number;
  flags: number;
  serial: number;
  header: Partial<Message>;
  signature: string;
  body: unknown[];
}

export interface MutatedVector {
  hex: string;
  libdbus: boolean;
  glib: boolean;
  decoded?: { signature: string; body: unknown[] };
}

export const vectors: { valid: ValidVector[]; mutated: MutatedVector[] } = JSON.parse(
  readFileSync(new URL('../vectors/wire-messages.json', import.meta.url), 'utf8'),
);

function fromJson(type: Type, json: unknown): unknown {
  switch (type.code) {
    case 'y':
    case 'n':
    case 'q':
    case 'i':
    case 'u':
      return Number(json);
    case 'x':
    case 't':
      return BigInt(json as string);
    case 'd':
      return Buffer.from(json as string, 'hex').readDoubleBE();
    case 'v': {
      const { signature, value } = json as { signature: string; value: unknown };
      return new Variant(signature, fromJson(parseSignature(signature)[0] as Type, value));
    }
    case '(':
      return type.children.map((field, index) => fromJson(field, (json as unknown[])[index]));
    case 'a':
      return arrayFromJson(type.children[0] as Type, json as unknown[]);
    default:
      return json;
  }
}

function arrayFromJson(element: Type, json: unknown[]): unknown {
  if (element.code === 'y') return Uint8Array.from(json as string[], Number);
  if (element.code !== '{') return json.map((value) => fromJson(element, value));
  const [key, value] = element.children as [Type, Type];
  return new Map((json as [unknown, unknown][]).map(([k, v]) => [fromJson(key, k), fromJson(value, v)]));
}

/** The body of a vector, as `unmarshal` gives it. */
export function bodyFromJson(signature: string, body: unknown[]): unknown[] {
  return parseSignature(signature).map((type, index) => fromJson(type, body[index]));
}
