/**
 * Aligned reads over received bytes; every read checks its bounds and every padding its zeros (D-Bus specification,
 * "Marshaling"). Layer 2: imports lower layers only.
 */
import { DBusError, ProtocolError } from '../base/errors.js';
import { MAX_ARRAY_BYTE_LENGTH, MAX_CONTAINERS } from '../base/limits.js';
import { decodeShortUtf8, decodeUtf8, latin1Text, MAX_SHORT_LENGTH } from '../base/utf8.js';
import { isObjectPathAt } from '../types/names.js';
import { isSignature } from '../types/signature.js';
import { keep, recall } from './recall.js';

/** Kinds of text for `recall` that are not header fields, whose kinds are their codes. */
const KEY = 32;
const OBJECT_PATH = 33;
const SIGNATURE = 34;

/**
 * The bytes are not a value of the type at hand. Containers add the types on the way out; the entry function turns it
 * into a `ProtocolError`.
 */
export class UnmarshalFault extends Error {
  readonly code: string;
  readonly offset: number;
  readonly types: string[] = [];

  constructor(code: string, detail: string, offset: number) {
    super(detail);
    this.code = code;
    this.offset = offset;
  }

  toProtocolError(): ProtocolError {
    return new ProtocolError(this.code, this.message, this.offset, this.types.toReversed().join('/'));
  }
}

/** Adds the type being read to a fault passing through it. */
export function faultIn(error: unknown, type: string): unknown {
  if (error instanceof UnmarshalFault) error.types.push(type);
  return error;
}

/**
 * The same bytes as a Uint8Array of no other class. A Buffer is slower to read, and its `slice` gives a view, where a
 * reader needs a copy.
 * @throws {DBusError} `invalid-bytes`
 */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new DBusError('invalid-bytes', 'the bytes must be a Uint8Array');
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Bytes, which must be plain, are in the order of `littleEndian`; the first byte of `bytes` stands `phase` bytes after a multiple of 8. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly phase: number;
  /** Where reading ends: nothing past it is looked at. */
  readonly end: number;
  position: number;
  /** Containers entered outside the signature at hand: those around the innermost variant. */
  nesting = 0;
  #containers = 0;

  constructor(bytes: Uint8Array, littleEndian: boolean, phase = 0, position = 0) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.littleEndian = littleEndian;
    this.phase = phase;
    this.end = bytes.length;
    this.position = position;
  }

  /** @throws {UnmarshalFault} always */
  fail(code: string, detail: string, offset: number = this.position): never {
    throw new UnmarshalFault(code, detail, offset);
  }

  /** Counts containers, and refuses when there are more of them than a message may hold. */
  count(containers: number): void {
    this.#containers += containers;
    if (this.#containers > MAX_CONTAINERS) {
      this.fail('too-many-containers', `more than ${MAX_CONTAINERS} containers`);
    }
  }

  /** Refuses unless `byteLength` bytes are left. */
  need(byteLength: number): void {
    if (byteLength > this.end - this.position) this.#truncated(byteLength);
  }

  #truncated(byteLength: number): never {
    this.fail('truncated', `${byteLength} bytes needed, ${this.end - this.position} left`);
  }

  /**
   * Skips to the next multiple of `alignment`, counted from the start of the message and not of this buffer.
   * @throws {UnmarshalFault} `nonzero-padding` if a skipped byte is not 0: otherwise two encodings could mean the same
   * message, and bytes could hide where no check looks.
   */
  align(alignment: number): void {
    const padding = -(this.position + this.phase) & (alignment - 1);
    if (padding !== 0) this.#pad(padding);
  }

  #pad(padding: number): void {
    this.need(padding);
    for (let count = padding; count > 0; count--) {
      if (this.bytes[this.position] !== 0) this.fail('nonzero-padding', 'a byte of padding is not 0');
      this.position++;
    }
  }

  byte(): number {
    this.need(1);
    return this.bytes[this.position++] as number;
  }

  int16(): number {
    this.align(2);
    this.need(2);
    const value = this.view.getInt16(this.position, this.littleEndian);
    this.position += 2;
    return value;
  }

  uint16(): number {
    return this.int16() & 0xffff;
  }

  int32(): number {
    this.align(4);
    this.need(4);
    const value = this.view.getInt32(this.position, this.littleEndian);
    this.position += 4;
    return value;
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  int64(): bigint {
    this.align(8);
    this.need(8);
    const value = this.view.getBigInt64(this.position, this.littleEndian);
    this.position += 8;
    return value;
  }

  uint64(): bigint {
    this.align(8);
    this.need(8);
    const value = this.view.getBigUint64(this.position, this.littleEndian);
    this.position += 8;
    return value;
  }

  double(): number {
    this.align(8);
    this.need(8);
    const value = this.view.getFloat64(this.position, this.littleEndian);
    this.position += 8;
    return value;
  }

  boolean(): boolean {
    const value = this.uint32();
    if (value > 1) this.fail('bad-boolean', 'a boolean is neither 0 nor 1', this.position - 4);
    return value === 1;
  }

  string(): string {
    const end = this.#textEnd(this.uint32());
    const text = this.#text(end);
    this.position = end + 1;
    return text;
  }

  /** A string that probably came before, such as the key of a dict. */
  key(): string {
    const end = this.#textEnd(this.uint32());
    let text = recall(this.view, this.position, end, KEY);
    if (text === undefined) {
      text = this.#text(end);
      keep(this.view, this.position, end, KEY, text);
    }
    this.position = end + 1;
    return text;
  }

  objectPath(): string {
    const start = this.position;
    const end = this.#textEnd(this.uint32());
    const { bytes, view, position } = this;
    let text = recall(view, position, end, OBJECT_PATH);
    if (text === undefined) {
      // Read first, since what is no text at all is refused as such.
      text = this.#text(end);
      if (!isObjectPathAt(bytes, position, end)) this.fail('bad-object-path', 'not an object path', start);
      keep(view, position, end, OBJECT_PATH, text);
    }
    this.position = end + 1;
    return text;
  }

  /**
   * A string that must be valid and probably came before; undefined when it is not. `kind` (1–255) stands for
   * the rule `isValid`: what was valid once for a kind is not asked again.
   */
  name(kind: number, isValid: (text: string) => boolean): string | undefined {
    const end = this.#textEnd(this.uint32());
    let text = recall(this.view, this.position, end, kind);
    if (text === undefined) {
      text = this.#text(end);
      if (!isValid(text)) return undefined;
      keep(this.view, this.position, end, kind, text);
    }
    this.position = end + 1;
    return text;
  }

  signature(): string {
    const start = this.position;
    const end = this.#textEnd(this.byte());
    let text = recall(this.view, this.position, end, SIGNATURE);
    if (text === undefined) {
      text = this.#text(end);
      if (!isSignature(text)) this.fail('bad-signature', 'not a signature', start);
      keep(this.view, this.position, end, SIGNATURE, text);
    }
    this.position = end + 1;
    return text;
  }

  /** Skips a signature that is just this one character; tells whether it was, and else stays where it is. */
  skipTypeCode(code: number): boolean {
    const { bytes, position } = this;
    const isSo = bytes[position] === 1 && bytes[position + 1] === code && bytes[position + 2] === 0;
    if (isSo) this.position = position + 3;
    return isSo;
  }

  /** Where a text of `byteLength` bytes that starts here ends, and its NUL stands. */
  #textEnd(byteLength: number): number {
    // One by one, since their sum could pass what the two checks together allow.
    this.need(byteLength);
    const end = this.position + byteLength;
    if (end >= this.end) this.fail('truncated', 'a string does not end in NUL', end);
    if (this.bytes[end] !== 0) this.fail('missing-nul', 'a string does not end in NUL', end);
    return end;
  }

  /** The text from here to `end`. */
  #text(end: number): string {
    const { bytes, position } = this;
    const short = end - position <= MAX_SHORT_LENGTH;
    if (short && this.#isAscii(end)) return latin1Text(bytes, position, end - position);
    const text = short ? decodeShortUtf8(bytes, position, end) : decodeUtf8(bytes, position, end);
    if (text === undefined) this.fail('bad-utf8', 'a string is not UTF-8', position);
    if (text.includes('\0')) this.fail('nul-in-string', 'a string holds a NUL', position);
    return text;
  }

  /** Whether the bytes from here to `end` are all ASCII and none is NUL; four at a time. */
  #isAscii(end: number): boolean {
    const { view } = this;
    let at = this.position;
    for (; at + 4 <= end; at += 4) {
      const four = view.getInt32(at);
      if (((four | (four - 0x0101_0101)) & 0x8080_8080) !== 0) return false;
    }
    for (; at < end; at++) {
      if ((view.getUint8(at) - 1) >>> 0 >= 0x7f) return false;
    }
    return true;
  }

  /** Reads the length of an array and the padding before its first element; gives where its last element ends. */
  beginArray(alignment: number): number {
    this.count(1);
    const byteLength = this.uint32();
    if (byteLength > MAX_ARRAY_BYTE_LENGTH) {
      this.fail('array-too-long', `an array has at most ${MAX_ARRAY_BYTE_LENGTH} bytes`, this.position - 4);
    }
    // Not part of the length, and there even when the array is empty.
    this.align(alignment);
    this.need(byteLength);
    return this.position + byteLength;
  }
}
