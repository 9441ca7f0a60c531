/**
 * Strict UTF-8, both ways: what D-Bus strings are made of (D-Bus specification, "Marshaling", STRING).
 * Layer 0: imports nothing.
 */

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Up to this many bytes the loop below beats the platform's decoder, whose call alone costs as much as 40 bytes here. */
const SHORT_BYTE_LENGTH = 40;

/** Units of a short text by its length: a string made in one piece leaves nothing to collect, one that is joined does. */
const units: readonly number[][] = Array.from({ length: SHORT_BYTE_LENGTH + 1 }, (_, length) =>
  Array.from({ length }, () => 0),
);

/**
 * The text of `bytes[start, end)`, or undefined where that is not valid UTF-8: an overlong form, a
 * surrogate, a value past U+10FFFF, or a sequence cut short. Noncharacters and a leading U+FEFF are text.
 */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  const short = end - start <= SHORT_BYTE_LENGTH ? (units[end - start] as number[]) : undefined;
  if (short !== undefined) {
    let seen = 0;
    for (let index = 0; index < short.length; index++) {
      const byte = bytes[start + index] as number;
      seen |= byte;
      short[index] = byte;
    }
    if (seen < 0x80) return String.fromCharCode.apply(undefined, short);
  }
  try {
    return decoder.decode(bytes.subarray(start, end));
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
  return encoder.encodeInto(text, position === 0 ? target : target.subarray(position));
}
