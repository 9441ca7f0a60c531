/**
 * Reads JSON from bytes, accepting exactly what Python's `json.loads` does (RFC 8259 with `NaN`,
 * `Infinity` and lone surrogates written as escapes), and building nothing the caller does not ask for:
 * an unauthenticated file of a million brackets costs no memory. Total, bounded in depth, and linear: each
 * byte is looked at a fixed number of times, and what is made is asked for with a limit.
 *
 * JSON.parse cannot serve: it moves integer-like names to the front and needs the text as a string, which
 * cannot be wiped. Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromAscii } from '../bytes.js';
import { StashFormatError, type StashPart } from '../errors.js';
import { escapedUnitByteLength, writeEscapedUnit } from '../text.js';
import { countUnits, isUtf8, UnitCursor } from './json-string.js';

/** What kind of JSON value stood at a place; integers apart from other numbers, as in Python. */
export type JsonKind = 'object' | 'array' | 'string' | 'integer' | 'float' | 'literal';

/** Where a value stood in the bytes; for a string, what is between its quotes. */
export interface JsonSpan {
  readonly kind: JsonKind;
  readonly start: number;
  readonly end: number;
  /** For what is no list: printable ASCII without escapes, so that its bytes are its text. */
  readonly plain?: boolean;
}

const quote = 0x22;
const backslash = 0x5c;
const literals: readonly Uint8Array[] = ['true', 'false', 'null', 'NaN', 'Infinity', '-Infinity'].map(
  (text) => bytesFromAscii(text),
);

/** Which bytes may follow a backslash, `u` aside. */
const simpleEscapes: ReadonlySet<number> = new Set(bytesFromAscii('"\\/bfnrt'));

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/** A cursor over JSON bytes. Holds a view of the bytes; strings come out only by {@link JsonReader.text}. */
export class JsonReader {
  offset = 0;
  readonly #bytes: Uint8Array;
  readonly #part: StashPart;
  readonly #maxDepth: number;
  #depth = 0;

  /**
   * @param part - What the offsets of errors count in. A `file` has to be ASCII, as Python opens it so.
   * @param maxDepth - How many objects and arrays may be open at a time.
   */
  constructor(bytes: Uint8Array, part: StashPart, maxDepth: number) {
    this.#bytes = bytes;
    this.#part = part;
    this.#maxDepth = maxDepth;
  }

  /** Moves over the white space of JSON and returns the byte after it, `undefined` at the end. */
  peek(): number | undefined {
    for (;;) {
      const byte = this.#bytes[this.offset];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.offset++;
    }
  }

  /** @throws {StashFormatError} `bad-json` unless only white space is left. */
  end(): void {
    if (this.peek() !== undefined) throw this.#fault('something follows the JSON value');
  }

  /**
   * Reads an object. `onMember` gets the span of each name, the cursor being at the value, which it must
   * read; names come as often as they are repeated.
   * @throws {StashFormatError} `bad-json`, or `too-deep`.
   */
  object(onMember: (name: JsonSpan) => void): void {
    this.#open(0x7b);
    if (this.peek() === 0x7d) return this.#close();
    for (;;) {
      if (this.peek() !== quote) throw this.#fault('a member name is missing');
      const name = this.#string();
      if (this.peek() !== 0x3a) throw this.#fault('a colon is missing');
      this.offset++;
      this.peek();
      onMember(name);
      if (this.#endOfList(0x7d)) return this.#close();
    }
  }

  /**
   * Reads any value without building it.
   * @throws {StashFormatError} `bad-json`, or `too-deep`.
   */
  skip(): JsonSpan {
    const byte = this.peek();
    const start = this.offset;
    if (byte === quote) return this.#string();
    if (byte === 0x7b) {
      this.object(() => void this.skip());
      return { kind: 'object', start, end: this.offset };
    }
    if (byte === 0x5b) {
      this.#open(0x5b);
      if (this.peek() !== 0x5d) {
        do this.skip();
        while (!this.#endOfList(0x5d));
      }
      this.#close();
      return { kind: 'array', start, end: this.offset };
    }
    return this.#scalar(byte);
  }

  /** Whether the span of a string stands for `text`. */
  isText(span: JsonSpan, text: string): boolean {
    const cursor = this.#units(span);
    for (let index = 0; index < text.length; index++) {
      if (cursor.next() !== text.charCodeAt(index)) return false;
    }
    return cursor.next() < 0;
  }

  /**
   * Returns the text of a string's span, or of a number's; `undefined` beyond `maxLength` UTF-16
   * code units, which should be some thousands at most.
   */
  text(span: JsonSpan, maxLength: number): string | undefined {
    const byteLength = span.end - span.start;
    if (span.plain === true) {
      if (byteLength > maxLength) return undefined;
      return String.fromCharCode(...this.#bytes.subarray(span.start, span.end));
    }
    const units = new Uint16Array(Math.min(byteLength, maxLength));
    const cursor = this.#units(span);
    let count = 0;
    for (let unit = cursor.next(); unit >= 0; unit = cursor.next()) {
      if (count === maxLength) return undefined;
      units[count++] = unit;
    }
    return String.fromCharCode(...units.subarray(0, count));
  }

  /** Returns how many UTF-16 code units a string has. */
  unitLength(span: JsonSpan): number {
    if (span.plain === true) return span.end - span.start;
    return countUnits(this.#bytes, span.start, span.end);
  }

  /** Returns a byte for each unit of a string, 0xFF for those beyond ASCII: a view where it is so already. */
  octets(span: JsonSpan): Uint8Array {
    if (span.plain === true) return this.#bytes.subarray(span.start, span.end);
    const octets = new Uint8Array(this.unitLength(span));
    const cursor = this.#units(span);
    for (let index = 0; index < octets.length; index++) octets[index] = Math.min(cursor.next(), 0xff);
    return octets;
  }

  /** Returns the byte length of {@link JsonReader.canonical}: at most six times that of the span. */
  canonicalByteLength(span: JsonSpan): number {
    if (span.plain === true) return span.end - span.start;
    const cursor = this.#units(span);
    let byteLength = 0;
    for (let unit = cursor.next(); unit >= 0; unit = cursor.next()) byteLength += escapedUnitByteLength(unit);
    return byteLength;
  }

  /** Returns a string's inside as Python would write it, ASCII: a view where it is so already, or else new. */
  canonical(span: JsonSpan): Uint8Array {
    if (span.plain === true) return this.#bytes.subarray(span.start, span.end);
    const bytes = new Uint8Array(this.canonicalByteLength(span));
    const cursor = this.#units(span);
    for (let offset = 0; offset < bytes.length; ) offset = writeEscapedUnit(cursor.next(), bytes, offset);
    return bytes;
  }

  #units(span: JsonSpan): UnitCursor {
    return new UnitCursor(this.#bytes, span.start, span.end);
  }

  #open(bracket: number): void {
    if (this.peek() !== bracket) throw this.#fault('an object or array is missing');
    if (++this.#depth > this.#maxDepth) {
      throw new StashFormatError('too-deep', `nested deeper than ${this.#maxDepth}`, this.#part, this.offset);
    }
    this.offset++;
  }

  #close(): void {
    this.#depth--;
    this.offset++;
  }

  /** After an element: true at the closing bracket, which is left; false after a comma. */
  #endOfList(bracket: number): boolean {
    const byte = this.peek();
    if (byte === bracket) return true;
    if (byte !== 0x2c) throw this.#fault('a comma or a closing bracket is missing');
    this.offset++;
    return false;
  }

  #string(): JsonSpan {
    const bytes = this.#bytes;
    const start = ++this.offset;
    let ascii = true;
    let plain = true;
    for (;;) {
      const byte = bytes[this.offset];
      if (byte === undefined) throw this.#fault('a string has no end');
      if (byte === quote) break;
      if (byte < 0x20) throw this.#fault('a control character stands bare in a string');
      if (byte === backslash) {
        plain = false;
        this.#escape();
      } else if (byte >= 0x7f) {
        plain = false;
        ascii &&= byte === 0x7f;
      }
      this.offset++;
    }
    const end = this.offset++;
    if (!ascii) this.#checkText(start, end);
    return { kind: 'string', start, end, plain };
  }

  /** Moves from a backslash to the last byte of its escape. */
  #escape(): void {
    const bytes = this.#bytes;
    const byte = bytes[this.offset + 1];
    if (byte === 0x75) {
      for (let digit = 2; digit < 6; digit++) {
        if (!isHexDigit(bytes[this.offset + digit]))
          throw this.#fault('an escape is not \\u and four digits');
      }
      this.offset += 5;
    } else if (byte !== undefined && simpleEscapes.has(byte)) {
      this.offset++;
    } else throw this.#fault('an unknown escape');
  }

  /** Python opens the file as ASCII and decodes the contents as UTF-8, strictly. */
  #checkText(start: number, end: number): void {
    if (this.#part === 'contents' && isUtf8(this.#bytes, start, end)) return;
    const reason = this.#part === 'file' ? 'a byte is not ASCII' : 'a string is not valid UTF-8';
    throw new StashFormatError('bad-json', reason, this.#part, start);
  }

  #scalar(first: number | undefined): JsonSpan {
    const start = this.offset;
    const kind = isDigit(first) ? this.#number() : (this.#literal() ?? this.#number());
    if (kind === undefined) throw this.#fault('a value is missing');
    return { kind, start, end: this.offset, plain: true };
  }

  #literal(): JsonKind | undefined {
    const { offset } = this;
    const found = literals.find((literal) =>
      literal.every((byte, index) => this.#bytes[offset + index] === byte),
    );
    if (found === undefined) return undefined;
    this.offset += found.length;
    return 'literal';
  }

  /** Moves over a number as far as there is one; if there is none, stays. */
  #number(): JsonKind | undefined {
    const bytes = this.#bytes;
    let at = this.offset;
    if (bytes[at] === 0x2d) at++;
    const integerEnd = bytes[at] === 0x30 ? at + 1 : this.#digitsEnd(at);
    if (integerEnd === at) return undefined;
    at = integerEnd;
    if (bytes[at] === 0x2e) at = this.#digitsEnd(at + 1, at);
    if (((bytes[at] ?? 0) | 0x20) === 0x65) {
      const sign = bytes[at + 1];
      at = this.#digitsEnd(at + (sign === 0x2b || sign === 0x2d ? 2 : 1), at);
    }
    this.offset = at;
    return at === integerEnd ? 'integer' : 'float';
  }

  /** Returns where the digits from `start` end, or `otherwise` if there are none. */
  #digitsEnd(start: number, otherwise: number = start): number {
    let end = start;
    while (isDigit(this.#bytes[end])) end++;
    return end === start ? otherwise : end;
  }

  #fault(reason: string): StashFormatError {
    return new StashFormatError('bad-json', reason, this.#part, this.offset);
  }
}
