/**
 * Strict UTF-8, both ways: what D-Bus strings are made of (D-Bus specification, "Marshaling", STRING).
 * Layer 0: imports nothing.
 */

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Up to this many bytes the loop below beats the platform's decoder, whose call alone costs as much as 40 bytes here. */
const SHORT_BYTE_LENGTH = 40;

/**
 * The text of `bytes[start, end)`, or undefined where that is not valid UTF-8: an overlong form, a
 * surrogate, a value past U+10FFFF, or a sequence cut short. Noncharacters and a leading U+FEFF are text.
 */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= SHORT_BYTE_LENGTH) {
    const text = decodeAscii(bytes, start, end);
    if (text !== undefined) return text;
  }
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

/**
 * The text of bytes that are all ASCII, or undefined. Eight at a time, since joining pieces of a string costs more than
 * reading the bytes: half the time of one at a time.
 */
function decodeAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  let at = start;
  for (; end - at >= 8; at += 8) {
    const a = bytes[at] as number;
    const b = bytes[at + 1] as number;
    const c = bytes[at + 2] as number;
    const d = bytes[at + 3] as number;
    const e = bytes[at + 4] as number;
    const f = bytes[at + 5] as number;
    const g = bytes[at + 6] as number;
    const h = bytes[at + 7] as number;
    if (((a | b | c | d | e | f | g | h) & 0x80) !== 0) return undefined;
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  if (end - at >= 4) {
    const a = bytes[at] as number;
    const b = bytes[at + 1] as number;
    const c = bytes[at + 2] as number;
    const d = bytes[at + 3] as number;
    if (((a | b | c | d) & 0x80) !== 0) return undefined;
    text += String.fromCharCode(a, b, c, d);
    at += 4;
  }
  for (; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
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
  return encoder.encodeInto(text, position === 0 ? target : target.subarray(position));
}
