/**
 * JSON string escapes as Python's `json.dumps` writes them (`ensure_ascii`), for the sstash format and
 * for naming keys in messages. RFC 8259, section 7. Must not import `node:` or anything else.
 */

const shortForms: ReadonlyMap<number, number> = new Map([
  [0x08, 0x62],
  [0x09, 0x74],
  [0x0a, 0x6e],
  [0x0c, 0x66],
  [0x0d, 0x72],
  [0x22, 0x22],
  [0x5c, 0x5c],
]);

const hexDigits = '0123456789abcdef';

function isPlain(unit: number): boolean {
  return unit >= 0x20 && unit <= 0x7e && unit !== 0x22 && unit !== 0x5c;
}

/** Returns how many bytes {@link writeEscapedUnit} writes for a UTF-16 code unit: 1, 2 or 6. */
export function escapedUnitByteLength(unit: number): number {
  if (isPlain(unit)) return 1;
  return shortForms.has(unit) ? 2 : 6;
}

/**
 * Writes a UTF-16 code unit into `target` as the inside of a JSON string has it: printable ASCII only,
 * lower-case `\uXXXX` where there is no shorter form (0x7F and surrogates too), so that every string survives.
 * @returns The offset after it.
 */
export function writeEscapedUnit(unit: number, target: Uint8Array, offset: number): number {
  if (isPlain(unit)) {
    target[offset] = unit;
    return offset + 1;
  }
  target[offset] = 0x5c;
  const short = shortForms.get(unit);
  target[offset + 1] = short ?? 0x75;
  if (short !== undefined) return offset + 2;
  for (let digit = 0; digit < 4; digit++) {
    target[offset + 2 + digit] = hexDigits.charCodeAt((unit >> (12 - 4 * digit)) & 15);
  }
  return offset + 6;
}

/** Returns the byte length of the inside of the JSON string for `text`. */
export function escapedByteLength(text: string): number {
  let byteLength = 0;
  for (let index = 0; index < text.length; index++)
    byteLength += escapedUnitByteLength(text.charCodeAt(index));
  return byteLength;
}

/** Writes the inside of the JSON string for `text` into `target` at `offset`; returns the offset after it. */
export function writeEscaped(text: string, target: Uint8Array, offset: number): number {
  let end = offset;
  for (let index = 0; index < text.length; index++) {
    end = writeEscapedUnit(text.charCodeAt(index), target, end);
  }
  return end;
}

const ascii = new TextDecoder();

/**
 * Returns the inside of the JSON string for `text`, at most six times as long: for short texts, and for
 * messages about the beginning of long ones.
 */
export function escapeJsonString(text: string): string {
  const bytes = new Uint8Array(escapedByteLength(text));
  writeEscaped(text, bytes, 0);
  return ascii.decode(bytes);
}
