/**
 * Signatures parsed to a type tree (D-Bus specification, "Type System", "Valid Signatures").
 * Layer 1: imports layer 0 only.
 */
import { InvalidTextError } from '../base/errors.js';
import { MAX_ARRAY_DEPTH, MAX_SIGNATURE_BYTE_LENGTH, MAX_STRUCT_DEPTH } from '../base/limits.js';

/** Type codes of the basic types: those a dict entry may have as its key. */
export type BasicTypeCode = 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' | 'h';

/** Type codes; `(` stands for a struct and `{` for a dict entry. */
export type TypeCode = BasicTypeCode | 'v' | 'a' | '(' | '{';

/** One single complete type. */
export interface Type {
  readonly code: TypeCode;
  /** The single complete type as text, such as `a{sv}`. */
  readonly signature: string;
  /** Bytes its first byte is aligned to. */
  readonly alignment: 1 | 2 | 4 | 8;
  /** Bytes of a value when every value takes as many, else 0. Only basic types count: a struct is never fixed here. */
  readonly fixedByteLength: 0 | 1 | 2 | 4 | 8;
  /** The element of an array, the key and value of a dict entry, the fields of a struct; else empty. */
  readonly children: readonly Type[];
}

const BASIC: ReadonlyMap<string, Type> = new Map(
  (
    [
      ['y', 1, 1],
      ['b', 4, 4],
      ['n', 2, 2],
      ['q', 2, 2],
      ['i', 4, 4],
      ['u', 4, 4],
      ['x', 8, 8],
      ['t', 8, 8],
      ['d', 8, 8],
      ['s', 4, 0],
      ['o', 4, 0],
      ['g', 1, 0],
      ['h', 4, 4],
    ] as const
  ).map(([code, alignment, fixedByteLength]) => [
    code,
    { code, signature: code, alignment, fixedByteLength, children: [] },
  ]),
);

const VARIANT: Type = { code: 'v', signature: 'v', alignment: 1, fixedByteLength: 0, children: [] };

/** A signature that is not one makes this; `offset` is the character at fault. */
function invalid(detail: string, offset: number): InvalidTextError {
  return new InvalidTextError(
    'invalid-signature',
    `invalid signature: ${detail} (character ${offset})`,
    offset,
  );
}

/** A cursor over one signature. Recursion is bounded by the limits on nesting. */
class SignatureParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parseAll(): Type[] {
    const types: Type[] = [];
    while (this.#at < this.#text.length) types.push(this.#parseType(0, 0));
    return types;
  }

  #parseType(arrays: number, structs: number): Type {
    const start = this.#at;
    const code = this.#text[this.#at++] ?? '';
    if (code === 'v') return VARIANT;
    const basic = BASIC.get(code);
    if (basic !== undefined) return basic;
    if (code === 'a') {
      if (arrays === MAX_ARRAY_DEPTH) throw invalid(`more than ${MAX_ARRAY_DEPTH} nested arrays`, start);
      const element =
        this.#text[this.#at] === '{'
          ? this.#parseDictEntry(arrays + 1, structs)
          : this.#parseType(arrays + 1, structs);
      return this.#container('a', start, 4, [element]);
    }
    if (code === '(') {
      if (structs === MAX_STRUCT_DEPTH) throw invalid(`more than ${MAX_STRUCT_DEPTH} nested structs`, start);
      const fields: Type[] = [];
      while (this.#text[this.#at] !== ')') fields.push(this.#parseType(arrays, structs + 1));
      if (fields.length === 0) throw invalid('a struct without fields', start);
      this.#at++;
      return this.#container('(', start, 8, fields);
    }
    if (code === '') throw invalid('it ends inside a type', start);
    if (code === '{') throw invalid('a dict entry that is not the element of an array', start);
    throw invalid('not a type code', start);
  }

  #parseDictEntry(arrays: number, structs: number): Type {
    const start = this.#at++;
    const key = BASIC.get(this.#text[this.#at] ?? '');
    if (key === undefined) throw invalid('the key of a dict entry must be of a basic type', this.#at);
    this.#at++;
    const value = this.#parseType(arrays, structs);
    if (this.#text[this.#at] !== '}') throw invalid('a dict entry holds exactly two types', this.#at);
    this.#at++;
    return this.#container('{', start, 8, [key, value]);
  }

  #container(code: 'a' | '(' | '{', start: number, alignment: 4 | 8, children: readonly Type[]): Type {
    return { code, signature: this.#text.slice(start, this.#at), alignment, fixedByteLength: 0, children };
  }
}

/** Parsed signatures kept; a peer that sends ever new ones only pushes out old ones. */
const CACHE_LENGTH = 512;
const cache = new Map<string, readonly Type[]>();

/**
 * Parses a signature to its single complete types; `''` gives none. The result is shared and cached: do not change it.
 * @throws {InvalidTextError} `invalid-signature`
 */
export function parseSignature(signature: string): readonly Type[] {
  const known = cache.get(signature);
  if (known !== undefined) return known;
  if (typeof signature !== 'string') throw invalid('not a string', 0);
  if (signature.length > MAX_SIGNATURE_BYTE_LENGTH) {
    throw invalid(`longer than ${MAX_SIGNATURE_BYTE_LENGTH} bytes`, MAX_SIGNATURE_BYTE_LENGTH);
  }
  const types = new SignatureParser(signature).parseAll();
  remember(cache, signature, types, CACHE_LENGTH);
  return types;
}

/** Puts an entry into a cache of at most `length` entries, pushing out the oldest. */
export function remember<Key, Value>(store: Map<Key, Value>, key: Key, value: Value, length: number): void {
  if (store.size >= length) {
    const oldest = store.keys().next();
    if (oldest.done !== true) store.delete(oldest.value);
  }
  store.set(key, value);
}

/**
 * Parses a signature that must be exactly one single complete type, as in a variant.
 * @throws {InvalidTextError} `invalid-signature`
 */
export function parseSingleType(signature: string): Type {
  const types = parseSignature(signature);
  const [only] = types;
  if (only === undefined || types.length !== 1) {
    throw invalid(`${types.length} complete types where exactly one is needed`, 0);
  }
  return only;
}

/** Whether `text` is a valid signature. */
export function isSignature(text: string): boolean {
  try {
    parseSignature(text);
    return true;
  } catch {
    return false;
  }
}
