/**
 * Strict UTF-8, both ways: what D-Bus strings are made of (D-Bus specification, "Marshaling", STRING).
 * Layer 0: imports nothing.
 */

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Below this many bytes a plain loop beats the platform's decoder, whose call alone costs about 300 ns. */
const SHORT_BYTE_LENGTH = 24;

/**
 * The text of `bytes[start, end)`, or undefined where that is not valid UTF-8: an overlong form, a
 * surrogate, a value past U+10FFFF, or a sequence cut short. Noncharacters and a leading U+FEFF are text.
 */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= SHORT_BYTE_LENGTH) {
    let text = '';
    let at = start;
    for (; at < end; at++) {
      const byte = bytes[at] as number;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (at === end) return text;
  }
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
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
