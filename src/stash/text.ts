/**
 * JSON string escapes as Python's `json.dumps` writes them (`ensure_ascii`), for the sstash format and
 * for naming keys in messages. RFC 8259, section 7. Must not import `node:` or anything else.
 */

const shortForms: ReadonlyMap<number, string> = new Map([
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

const needsEscape = /[^\x20-\x7e]|["\\]/;

/**
 * Returns the inside of the JSON string for `text`: printable ASCII only, lower-case `\uXXXX` for each
 * other UTF-16 code unit (0x7F and lone surrogates too), so that every string survives.
 */
export function escapeJsonString(text: string): string {
  if (!needsEscape.test(text)) return text;
  let escaped = '';
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    const short = shortForms.get(unit);
    if (short !== undefined) escaped += short;
    else if (unit >= 0x20 && unit <= 0x7e) escaped += text[index];
    else escaped += `\\u${unit.toString(16).padStart(4, '0')}`;
  }
  return escaped;
}

/**
 * Returns the text of a JSON string's inside.
 * @param inside - Already known to hold only whole escapes: this undoes, it does not check.
 */
export function unescapeJsonString(inside: string): string {
  return inside.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_escape, hex: string | undefined, short: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    switch (short) {
      case 'b':
        return '\b';
      case 'f':
        return '\f';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      default:
        return short;
    }
  });
}
