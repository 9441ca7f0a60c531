/**
 * Which text XML can hold, and how (XML 1.0, 2.2 "Characters", 2.4 "Character Data and Markup"). Layer 4: imports nothing.
 */

/** What is no character of XML: controls but tab and line ends, lone surrogates, and two noncharacters. */
// oxlint-disable-next-line no-control-regex
const ILLEGAL = /[\0-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\ud800-\udfff]/u;

/** Where `text` first holds what XML cannot, in UTF-16 units, or -1. */
export function illegalXmlAt(text: string): number {
  return text.search(ILLEGAL);
}

/** Whether `code` is a code point that XML can hold. */
export function isXmlCodePoint(code: number): boolean {
  return code <= 0x10_ffff && !ILLEGAL.test(String.fromCodePoint(code));
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  // A reader turns bare ones into spaces.
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** `text`, which XML can hold, as the value of an attribute between quotes of either kind. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"'\t\n\r]/g, (character) => ESCAPES[character] as string);
}
