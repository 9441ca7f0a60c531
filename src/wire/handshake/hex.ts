/**
 * Text as bytes, and bytes in hexadecimal, as addresses and the authentication protocol have them. Layer 4: imports nothing.
 */

const encoder = new TextEncoder();

/** The UTF-8 of text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** A byte as two lower-case hexadecimal digits. */
export function hexOfByte(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** The UTF-8 of text in lower-case hexadecimal. */
export function hexOf(text: string): string {
  return Array.from(bytesOf(text), hexOfByte).join('');
}

/** Whether text is hexadecimal digits of either case in pairs; empty text is. */
export function isHex(text: string): boolean {
  return text.length % 2 === 0 && !/[^0-9a-fA-F]/.test(text);
}

/**
 * The text that hexadecimal digits stand for; undefined when they are none, or not UTF-8, or hold a control character: no
 * identity, trace or challenge has one, and those texts end up in logs.
 */
export function textOfHex(hex: string): string | undefined {
  if (!isHex(hex)) return undefined;
  try {
    const text = decodeURIComponent(hex.replaceAll(/../g, '%$&'));
    return /\p{Cc}/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
