/**
 * Strict UTF-8, both ways: what D-Bus strings are made of (D-Bus specification, "Marshaling", STRING).
 * Layer 0: imports nothing.
 */

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

const textOf = String.fromCharCode as (...units: (number | undefined)[]) => string;

/** Longest text that `latin1Text` makes: above it the platform's decoder is faster, whose call alone costs as much. */
export const MAX_SHORT_LENGTH = 24;

/**
 * The text of the `length` bytes, `MAX_SHORT_LENGTH` at most, that start at `i` in `b`, each a unit of its own: ASCII, or
 * Latin-1. Written out, since a call with just the units of the text takes half the time of one that is handed an array of
 * them, and leaves nothing to collect.
 */
// biome-ignore format: with one argument a line it would be 300 lines long
export function latin1Text(b: Uint8Array, i: number, length: number): string {
  switch (length) {
    case 1: return textOf(b[i]);
    case 2: return textOf(b[i], b[i + 1]);
    case 3: return textOf(b[i], b[i + 1], b[i + 2]);
    case 4: return textOf(b[i], b[i + 1], b[i + 2], b[i + 3]);
    case 5: return textOf(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4]);
    case 6: return textOf(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5]);
    case 7: return textOf(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6]);
    case 8: return textOf(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7]);
    case 9: return textOf(b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8]);
    case 10: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i + 9]);
    case 11: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10]);
    case 12: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11]);
    case 13: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12]);
    case 14: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13]);
    case 15: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14]);
    case 16: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15]);
    case 17: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16]);
    case 18: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17]);
    case 19: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17],
      b[i + 18]);
    case 20: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17],
      b[i + 18], b[i + 19]);
    case 21: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17],
      b[i + 18], b[i + 19], b[i + 20]);
    case 22: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17],
      b[i + 18], b[i + 19], b[i + 20], b[i + 21]);
    case 23: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17],
      b[i + 18], b[i + 19], b[i + 20], b[i + 21], b[i + 22]);
    case 24: return textOf(
      b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7], b[i + 8], b[i +
      9], b[i + 10], b[i + 11], b[i + 12], b[i + 13], b[i + 14], b[i + 15], b[i + 16], b[i + 17],
      b[i + 18], b[i + 19], b[i + 20], b[i + 21], b[i + 22], b[i + 23]);
    default: return '';
  }
}

const latin1 = new Uint8Array(MAX_SHORT_LENGTH);

/**
 * As `decodeUtf8`, of at most `MAX_SHORT_LENGTH` bytes. Letters up to U+00FF need not go the long way: they fit into a byte
 * each, and come of a lead of 0xC2 or 0xC3 alone.
 */
export function decodeShortUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  let length = 0;
  for (let at = start; at < end; at++) {
    let unit = bytes[at] as number;
    if (unit >= 0x80) {
      const next = ++at < end ? (bytes[at] as number) : 0;
      if ((unit & 0xfe) !== 0xc2 || (next & 0xc0) !== 0x80) return decodeUtf8(bytes, start, end);
      unit = ((unit & 3) << 6) | (next & 0x3f);
    }
    latin1[length++] = unit;
  }
  return latin1Text(latin1, 0, length);
}

/**
 * The text of `bytes[start, end)`, or undefined where that is not valid UTF-8: an overlong form, a
 * surrogate, a value past U+10FFFF, or a sequence cut short. Noncharacters and a leading U+FEFF are text.
 */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  try {
    // Not by subarray, which takes twice as long: it looks for the class to make first.
    return decoder.decode(new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start));
  } catch {
    return undefined;
  }
}

/** How many bytes well-formed `text` takes as UTF-8. */
export function utf8ByteLength(text: string): number {
  let byteLength = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    // Each half of a surrogate pair stands for two of its four bytes.
    if (unit >= 0x80) byteLength += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return byteLength;
}

/**
 * Writes `text` as UTF-8 into `target` from `position` on, as far as it fits, and says how many UTF-16 units
 * were read and how many bytes written. `text` must be well formed: a lone surrogate would turn into U+FFFD.
 */
export function encodeUtf8Into(
  text: string,
  target: Uint8Array,
  position: number,
): { read: number; written: number } {
  return encoder.encodeInto(
    text,
    new Uint8Array(target.buffer, target.byteOffset + position, target.length - position),
  );
}
