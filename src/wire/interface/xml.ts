/**
 * A reader of XML as introspection data needs it: elements and attributes (XML 1.0). Text, comments, CDATA sections and
 * processing instructions are checked and passed over, and so is a document type declaration, in which nothing may define an
 * entity. Names may hold any character past ASCII. Linear in the length of the document, and bounded in everything it keeps.
 * Layer 4: imports lower layers only.
 */
import { InvalidTextError } from '../base/errors.js';
import {
  MAX_INTROSPECTION_LENGTH,
  MAX_XML_ATTRIBUTES,
  MAX_XML_DEPTH,
  MAX_XML_ELEMENTS,
} from '../base/limits.js';
import { illegalXmlAt, isXmlCodePoint } from './xml-text.js';

/** Takes the elements of a document in their order. */
export interface XmlHandler {
  /** An element begins at `offset`; its attributes are unescaped. */
  open(name: string, attributes: ReadonlyMap<string, string>, offset: number): void;
  /** The innermost open element ends. */
  close(): void;
}

/** The document is not as it must be at `offset`. */
export function invalidIntrospection(detail: string, offset: number): InvalidTextError {
  return new InvalidTextError(
    'invalid-introspection',
    `invalid introspection data: ${detail} (character ${offset})`,
    offset,
  );
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
]);

/** Longest reference that is looked for, `&` and `;` left out: numbers need 8. */
const MAX_REFERENCE_LENGTH = 16;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const AMPERSAND = 0x26;
const SINGLE_QUOTE = 0x27;
const LESS = 0x3c;
const GREATER = 0x3e;
const CLOSE_BRACKET = 0x5d;

function isSpace(unit: number): boolean {
  return unit === SPACE || unit === LINE_FEED || unit === TAB || unit === CARRIAGE_RETURN;
}

/** `[A-Za-z_:]` and everything past ASCII. */
function isNameStart(unit: number): boolean {
  return (
    (unit >= 0x61 && unit <= 0x7a) ||
    (unit >= 0x41 && unit <= 0x5a) ||
    unit === 0x5f ||
    unit === 0x3a ||
    unit >= 0x80
  );
}

/** The same with `[-.0-9]`. */
function isNameUnit(unit: number): boolean {
  return isNameStart(unit) || (unit >= 0x30 && unit <= 0x39) || unit === 0x2d || unit === 0x2e;
}

/** A cursor over one document. */
class XmlReader {
  readonly #text: string;
  readonly #handler: XmlHandler;
  /** Names of the elements that are open. */
  readonly #open: string[] = [];
  #at = 0;
  #elements = 0;

  constructor(text: string, handler: XmlHandler) {
    this.#text = text;
    this.#handler = handler;
  }

  read(): void {
    if (this.#unit() === 0xfeff) this.#at++;
    if (this.#startsWith('<?xml') && isSpace(this.#text.charCodeAt(this.#at + 5))) this.#readDeclaration();
    let typed = false;
    for (;;) {
      this.#skipText();
      if (this.#at === this.#text.length) break;
      if (this.#startsWith('<!--')) this.#skipComment();
      else if (this.#startsWith('<?')) this.#skipInstruction();
      else if (this.#startsWith('<![CDATA[') && this.#open.length > 0) this.#skipTo(']]>');
      else if (this.#startsWith('<!DOCTYPE') && this.#elements === 0 && !typed) {
        typed = true;
        this.#skipDocumentType();
      } else if (this.#startsWith('</')) this.#readEndTag();
      else this.#readStartTag();
    }
    if (this.#open.length > 0) throw invalidIntrospection('it ends inside an element', this.#at);
    if (this.#elements === 0) throw invalidIntrospection('no element', this.#at);
  }

  #unit(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #startsWith(start: string): boolean {
    return this.#text.startsWith(start, this.#at);
  }

  #expect(token: string): void {
    if (!this.#startsWith(token)) throw invalidIntrospection(`expected ${token}`, this.#at);
    this.#at += token.length;
  }

  /** @returns whether there was any. */
  #skipSpace(): boolean {
    const start = this.#at;
    while (isSpace(this.#unit())) this.#at++;
    return this.#at > start;
  }

  /** Goes to after the next `end`. */
  #skipTo(end: string): void {
    const found = this.#text.indexOf(end, this.#at);
    if (found === -1) throw invalidIntrospection(`nothing closes what begins here with ${end}`, this.#at);
    this.#at = found + end.length;
  }

  /** The XML declaration. Its encoding says nothing: this is text already. */
  #readDeclaration(): void {
    const start = this.#at;
    this.#at += 5;
    if (!/^1\.[0-9]+$/.test(this.#readAttributes().get('version') ?? '')) {
      throw invalidIntrospection('an XML declaration without version 1', start);
    }
    this.#expect('?>');
  }

  #skipComment(): void {
    this.#at += 4;
    this.#skipTo('-->');
  }

  #skipInstruction(): void {
    const start = this.#at;
    this.#at += 2;
    if (this.#readName().toLowerCase() === 'xml') {
      throw invalidIntrospection('an XML declaration that is not at the start', start);
    }
    this.#skipTo('?>');
  }

  /** To the next `<`, or to the end. */
  #skipText(): void {
    const { length } = this.#text;
    while (this.#at < length) {
      const unit = this.#unit();
      if (unit === LESS) return;
      if (this.#open.length === 0 && !isSpace(unit)) {
        throw invalidIntrospection('text outside of the outermost element', this.#at);
      }
      if (unit === AMPERSAND) this.#readReference();
      else if (unit === CLOSE_BRACKET && this.#startsWith(']]>')) {
        throw invalidIntrospection(']]> outside of a CDATA section', this.#at);
      } else this.#at++;
    }
  }

  #readName(): string {
    const start = this.#at;
    if (!isNameStart(this.#unit())) throw invalidIntrospection('expected a name', start);
    while (isNameUnit(this.#unit())) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  /** From `&` to after `;`. */
  #readReference(): string {
    const start = this.#at;
    const body = this.#text.slice(start + 1, start + 2 + MAX_REFERENCE_LENGTH);
    const end = body.indexOf(';');
    const name = body.slice(0, Math.max(end, 0));
    this.#at = start + end + 2;
    const entity = ENTITIES.get(name);
    if (entity !== undefined) return entity;
    const digits = /^#(?:x([0-9A-Fa-f]+)|([0-9]+))$/.exec(name);
    const code = digits?.[1] === undefined ? Number(digits?.[2] ?? 'NaN') : Number.parseInt(digits[1], 16);
    if (!isXmlCodePoint(code)) {
      throw invalidIntrospection('a reference to no character and to none of the five entities', start);
    }
    return String.fromCodePoint(code);
  }

  #readStartTag(): void {
    const start = this.#at;
    this.#expect('<');
    const name = this.#readName();
    if (this.#open.length === 0 && this.#elements > 0) {
      throw invalidIntrospection('a second outermost element', start);
    }
    if (++this.#elements > MAX_XML_ELEMENTS) {
      throw invalidIntrospection(`more than ${MAX_XML_ELEMENTS} elements`, start);
    }
    if (this.#open.length === MAX_XML_DEPTH) {
      throw invalidIntrospection(`more than ${MAX_XML_DEPTH} nested elements`, start);
    }
    const attributes = this.#readAttributes();
    const empty = this.#startsWith('/>');
    this.#expect(empty ? '/>' : '>');
    this.#handler.open(name, attributes, start);
    if (empty) this.#handler.close();
    else this.#open.push(name);
  }

  #readAttributes(): Map<string, string> {
    const attributes = new Map<string, string>();
    while (this.#skipSpace() && isNameStart(this.#unit())) {
      const start = this.#at;
      const name = this.#readName();
      if (attributes.has(name)) throw invalidIntrospection('the same attribute twice', start);
      if (attributes.size === MAX_XML_ATTRIBUTES) {
        throw invalidIntrospection(`more than ${MAX_XML_ATTRIBUTES} attributes`, start);
      }
      this.#skipSpace();
      this.#expect('=');
      this.#skipSpace();
      attributes.set(name, this.#readAttributeValue());
    }
    return attributes;
  }

  #readAttributeValue(): string {
    const start = this.#at;
    const quote = this.#unit();
    if (quote !== DOUBLE_QUOTE && quote !== SINGLE_QUOTE)
      throw invalidIntrospection('expected a quote', start);
    let value = '';
    let from = ++this.#at;
    for (;;) {
      const unit = this.#unit();
      if (unit !== unit || unit === LESS) throw invalidIntrospection('the value does not end', start);
      if (unit !== quote && unit !== AMPERSAND && (unit === SPACE || !isSpace(unit))) {
        this.#at++;
        continue;
      }
      value += this.#text.slice(from, this.#at);
      if (unit === AMPERSAND) {
        value += this.#readReference();
      } else {
        this.#at++;
        if (unit === quote) return value;
        // A line end is one character, whatever it is written as, and a space here.
        if (unit === CARRIAGE_RETURN && this.#unit() === LINE_FEED) this.#at++;
        value += ' ';
      }
      from = this.#at;
    }
  }

  #readEndTag(): void {
    const start = this.#at;
    this.#at += 2;
    const name = this.#readName();
    this.#skipSpace();
    this.#expect('>');
    if (this.#open.pop() !== name) throw invalidIntrospection('an end tag of no open element', start);
    this.#handler.close();
  }

  #skipDocumentType(): void {
    const start = this.#at;
    this.#at += '<!DOCTYPE'.length;
    this.#skipDeclaration(start, true);
  }

  /** To after the `>` of a declaration that began at `start`; brackets are only a document type's. */
  #skipDeclaration(start: number, brackets: boolean): void {
    for (;;) {
      const unit = this.#unit();
      if (unit !== unit || unit === LESS) throw invalidIntrospection('the declaration does not end', start);
      this.#at++;
      if (unit === GREATER) return;
      if (unit === DOUBLE_QUOTE) this.#skipTo('"');
      else if (unit === SINGLE_QUOTE) this.#skipTo("'");
      else if (brackets && this.#text[this.#at - 1] === '[') this.#skipInternalSubset();
    }
  }

  /** Declarations inside the document: those that could change what the document says are refused. */
  #skipInternalSubset(): void {
    for (;;) {
      this.#skipSpace();
      if (this.#unit() === CLOSE_BRACKET) {
        this.#at++;
        return;
      }
      const start = this.#at;
      if (this.#startsWith('<!--')) this.#skipComment();
      else if (this.#startsWith('<?')) this.#skipInstruction();
      else if (['<!ELEMENT', '<!ATTLIST', '<!NOTATION'].some((word) => this.#startsWith(word))) {
        this.#at += 2;
        this.#skipDeclaration(start, false);
      } else throw invalidIntrospection('a declaration that is not allowed, such as of an entity', start);
    }
  }
}

/**
 * Reads a whole document and hands its elements to `handler`, which may throw to stop.
 * @throws {InvalidTextError} `invalid-introspection`
 */
export function readXml(text: string, handler: XmlHandler): void {
  if (typeof text !== 'string') throw invalidIntrospection('not a string', 0);
  if (text.length > MAX_INTROSPECTION_LENGTH) {
    throw invalidIntrospection(
      `longer than ${MAX_INTROSPECTION_LENGTH} characters`,
      MAX_INTROSPECTION_LENGTH,
    );
  }
  const illegal = illegalXmlAt(text);
  if (illegal !== -1) throw invalidIntrospection('a character that XML cannot hold', illegal);
  new XmlReader(text, handler).read();
}
