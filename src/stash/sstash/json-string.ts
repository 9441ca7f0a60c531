/**
 * The insides of JSON strings as bytes (RFC 8259, section 7): taken apart unit by unit, without making text
 * that costs many times as much and cannot be wiped.
 *
 * Must not import `node:` or anything else.
 */

const backslash = 0x5c;

/** What the letter of a short escape stands for; the others stand for themselves. */
const shortEscapes: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

function hexDigit(byte: number): number {
  return byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57;
}

/**
 * Goes through the UTF-16 code units that a string's inside stands for. The inside must hold whole escapes
 * and well-formed UTF-8 only: this undoes, it does not check.
 */
export class UnitCursor {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #offset: number;
  /** The second half of a pair, -1 if there is none. */
  #pending = -1;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#offset = start;
    this.#end = end;
  }

  /** Returns the next unit, or -1 at the end. */
  next(): number {
    const pending = this.#pending;
    if (pending >= 0) {
      this.#pending = -1;
      return pending;
    }
    if (this.#offset >= this.#end) return -1;
    const byte = this.#take();
    if (byte === backslash) return this.#escape();
    return byte < 0x80 ? byte : this.#multibyte(byte);
  }

  #take(): number {
    return this.#bytes[this.#offset++] as number;
  }

  #escape(): number {
    const letter = this.#take();
    if (letter !== 0x75) return shortEscapes.get(letter) ?? letter;
    let unit = 0;
    for (let digit = 0; digit < 4; digit++) unit = (unit << 4) | hexDigit(this.#take());
    return unit;
  }

  #multibyte(first: number): number {
    const second = this.#take() & 0x3f;
    if (first < 0xe0) return ((first & 0x1f) << 6) | second;
    const third = this.#take() & 0x3f;
    if (first < 0xf0) return ((first & 0x0f) << 12) | (second << 6) | third;
    const point = ((first & 0x07) << 18) | (second << 12) | (third << 6) | (this.#take() & 0x3f);
    this.#pending = 0xdc00 | (point & 0x3ff);
    return 0xd7c0 + (point >> 10);
  }
}

/** Returns how many UTF-16 code units the inside from `start` to `end` stands for. */
export function countUnits(bytes: Uint8Array, start: number, end: number): number {
  const cursor = new UnitCursor(bytes, start, end);
  let count = 0;
  while (cursor.next() >= 0) count++;
  return count;
}

/** Whether the bytes from `start` to `end` are well-formed UTF-8 (Unicode, table 3-7). */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  for (let offset = start; offset < end; ) {
    const byteLength = sequenceByteLength(bytes[offset] as number, bytes[offset + 1] ?? 0);
    if (byteLength === 0 || offset + byteLength > end) return false;
    for (let next = 1; next < byteLength; next++) {
      if (((bytes[offset + next] as number) & 0xc0) !== 0x80) return false;
    }
    offset += byteLength;
  }
  return true;
}

/** Returns the byte length of the sequence that begins so, or 0 if none does. */
function sequenceByteLength(first: number, second: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) {
    // What would fit into two bytes, and surrogates.
    if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return 0;
    return 3;
  }
  // What would fit into three bytes, and what is beyond U+10FFFF.
  if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return 0;
  return 4;
}
