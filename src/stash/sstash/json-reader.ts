/**
 * Reads JSON from bytes, accepting exactly what Python's `json.loads` does (RFC 8259 with `NaN`,
 * `Infinity` and lone surrogates written as escapes), and building nothing the caller does not ask for:
 * an unauthenticated file of a million brackets costs no memory. Total, and bounded in depth.
 *
 * JSON.parse cannot serve: it moves integer-like names to the front and needs the text as a string, which
 * cannot be wiped. Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromAscii } from '../bytes.js';
import { StashFormatError, type StashPart } from '../errors.js';
import { escapeJsonString, unescapeJsonString } from '../text.js';

/** What kind of JSON value stood at a place; integers apart from other numbers, as in Python. */
export type JsonKind = 'object' | 'array' | 'string' | 'integer' | 'float' | 'literal';

/** Where a value stood in the bytes; for a string, what is between its quotes. */
export interface JsonSpan {
  readonly kind: JsonKind;
  readonly start: number;
  readonly end: number;
  /** For a string: printable ASCII without escapes, so that its bytes are its text. */
  readonly plain?: boolean;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const quote = 0x22;
const backslash = 0x5c;
const numberPattern = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
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
    return this.#scalar();
  }

  /** Returns the text of a string's span, or of a number's. */
  text(span: JsonSpan): string {
    const raw = utf8.decode(this.#bytes.subarray(span.start, span.end));
    return raw.includes('\\') ? unescapeJsonString(raw) : raw;
  }

  /** Returns a string's inside as Python would write it, ASCII: a view where it is so already, or else new. */
  canonical(span: JsonSpan): Uint8Array {
    // The usual case never becomes a string, which could not be wiped.
    if (span.plain === true) return this.#bytes.subarray(span.start, span.end);
    return bytesFromAscii(escapeJsonString(this.text(span)));
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
    const reason = this.#part === 'file' ? 'a byte is not ASCII' : 'a string is not valid UTF-8';
    if (this.#part === 'contents') {
      try {
        utf8.decode(this.#bytes.subarray(start, end));
        return;
      } catch {
        // The decoder's own error would hold nothing more than this one.
      }
    }
    throw new StashFormatError('bad-json', reason, this.#part, start);
  }

  #scalar(): JsonSpan {
    const start = this.offset;
    const bytes = this.#bytes;
    for (const literal of literals) {
      if (literal.every((byte, index) => bytes[start + index] === byte)) {
        this.offset += literal.length;
        return { kind: 'literal', start, end: this.offset };
      }
    }
    let end = start;
    while (isNumberByte(bytes[end])) end++;
    numberPattern.lastIndex = 0;
    // ASCII by the test above, and a number is no secret: the format has one, outside.
    const match = numberPattern.exec(utf8.decode(bytes.subarray(start, end)));
    if (match === null) throw this.#fault('a value is missing');
    this.offset += match[0].length;
    const isInteger = match[1] === undefined && match[2] === undefined;
    return { kind: isInteger ? 'integer' : 'float', start, end: this.offset };
  }

  #fault(reason: string): StashFormatError {
    return new StashFormatError('bad-json', reason, this.#part, this.offset);
  }
}

function isNumberByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    (byte | 0x20) === 0x65
  );
}
