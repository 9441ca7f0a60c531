/**
 * Byte helpers of the stash: hexadecimal as ASCII bytes, comparing, wiping.
 *
 * Secrets pass through here as bytes and never as strings: a string cannot be wiped.
 * Must not import `node:` or anything else.
 */

const digits = new TextEncoder().encode('0123456789abcdef');

const nibbles: Int8Array = (() => {
  const table = new Int8Array(256).fill(-1);
  for (let value = 0; value < 16; value++) {
    const digit = digits[value] as number;
    table[digit] = value;
    if (value >= 10) table[digit - 0x20] = value;
  }
  return table;
})();

/** Writes `bytes` as lower-case hexadecimal ASCII into `target` at `offset`; returns the offset after it. */
export function writeHex(bytes: Uint8Array, target: Uint8Array, offset: number): number {
  let position = offset;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] as number;
    target[position++] = digits[byte >> 4] as number;
    target[position++] = digits[byte & 15] as number;
  }
  return position;
}

/** Returns `bytes` as lower-case hexadecimal ASCII, in a buffer of the caller's own. */
export function hexFromBytes(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(bytes.length * 2);
  writeHex(bytes, text, 0);
  return text;
}

/** Returns `bytes` as a lower-case hexadecimal text. Not for secrets: a string cannot be wiped. */
export function hexText(bytes: Uint8Array): string {
  return String.fromCharCode(...hexFromBytes(bytes));
}

/**
 * Returns the bytes that the hexadecimal ASCII `text` stands for, in either case and without white space
 * (as Python's `binascii.unhexlify` reads it), or the offset in `text` of the first thing wrong with it.
 */
export function bytesFromHex(text: Uint8Array): Uint8Array | number {
  const bytes = new Uint8Array(text.length >> 1);
  for (let index = 0; index < text.length; index++) {
    const nibble = nibbles[text[index] as number] as number;
    if (nibble < 0) {
      bytes.fill(0);
      return index;
    }
    if (index < bytes.length * 2) bytes[index >> 1] = ((bytes[index >> 1] as number) << 4) | nibble;
  }
  if (text.length % 2 === 0) return bytes;
  bytes.fill(0);
  return text.length;
}

/** Returns the bytes of `text`, which must be ASCII. */
export function bytesFromAscii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

/** Whether both hold the same bytes. Not constant-time: only for what is not secret. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let index = 0;
  // Whole files are compared at each change: four bytes at a time take a third of the time.
  if (a.length >= 1024 && a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0) {
    const aWords = new Uint32Array(a.buffer, a.byteOffset, a.length >> 2);
    const bWords = new Uint32Array(b.buffer, b.byteOffset, a.length >> 2);
    for (let word = 0; word < aWords.length; word++) if (aWords[word] !== bWords[word]) return false;
    index = aWords.length * 4;
  }
  for (; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** Overwrites each buffer with zeros. */
export function wipe(buffers: Iterable<Uint8Array>): void {
  for (const buffer of buffers) buffer.fill(0);
}

/**
 * Whether `value` is a `Uint8Array`, of whatever realm: `instanceof` fails across the contexts that some
 * test runners make.
 */
export function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && (value as Uint8Array)[Symbol.toStringTag] === 'Uint8Array';
}
