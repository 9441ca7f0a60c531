/**
 * One growing buffer with aligned writes, for a header and its body together (D-Bus specification, "Marshaling").
 * Layer 2: imports lower layers only.
 */
import { MAX_ARRAY_BYTE_LENGTH, MAX_COPIED_BYTE_LENGTH, MAX_MESSAGE_BYTE_LENGTH } from '../base/limits.js';
import { encodeUtf8Into, utf8ByteLength } from '../base/utf8.js';
import { isObjectPathAt } from '../types/names.js';

/**
 * A value cannot be marshalled. Containers add the segments of the path as it passes through them, so that a
 * good value pays nothing for the path a bad one needs; the entry function turns it into a `MarshalError`.
 */
export class MarshalFault extends Error {
  readonly code: string;
  readonly segments: (string | number)[] = [];

  constructor(code: string, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.code = code;
  }
}

function nulInString(): MarshalFault {
  return new MarshalFault('nul-in-string', 'a string holds no NUL');
}

function loneSurrogate(): MarshalFault {
  return new MarshalFault('lone-surrogate', 'a lone surrogate is not Unicode text');
}

/** What a getter or a proxy of the caller's threw, as a fault. */
export function unreadable(cause: unknown): MarshalFault {
  return new MarshalFault('unreadable-value', 'reading the value threw', { cause });
}

/** Adds `segment` to the path of a fault; wraps what a getter or a proxy of the caller's threw. */
export function faultAt(error: unknown, segment: string | number): MarshalFault {
  const fault = error instanceof MarshalFault ? error : unreadable(error);
  fault.segments.push(segment);
  return fault;
}

/** Room of a new writer, in bytes. */
const INITIAL_CAPACITY = 4096;

/** Most room that a writer is kept with for the next message: above it, growing costs little beside the writing. */
const MAX_KEPT_CAPACITY = 65_536;

/** Up to this length a loop over the UTF-16 units beats the platform's encoder, whose call alone costs about 50 ns. */
const SHORT_LENGTH = 28;
/** The same of object paths, most of which are flat in memory. */
const SHORT_PATH_LENGTH = 40;

/**
 * The writer of the last message, for the next one: allocating a buffer costs as much as writing a small message. One that
 * failed is not kept.
 */
let spare: Writer | undefined;

function keep(writer: Writer): void {
  spare = writer;
}

/** Bytes are in the order of `littleEndian`; `position` is counted from the start of the message. */
export class Writer {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(INITIAL_CAPACITY);
  view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer);
  position = 0;
  littleEndian = true;
  /** Containers entered outside the signature at hand: those around the innermost variant. */
  nesting = 0;
  /** Whether an index of a file descriptor was written. */
  hasDescriptors = false;
  /**
   * Object paths written to this message, and where, by their length modulo 8: one that comes again, such as the session of
   * each of many secrets, is copied and not validated.
   */
  readonly #paths: (string | undefined)[] = Array.from({ length: 8 }, () => undefined);
  readonly #pathStarts: number[] = Array.from({ length: 8 }, () => 0);
  #pathCount = 0;

  /** A writer whose first byte goes to `position`: the alignment of all that follows counts from 0. */
  static begin(littleEndian: boolean, position = 0): Writer {
    const writer = spare ?? new Writer();
    // Taken while in use: a getter of the caller's may marshal something of its own meanwhile.
    spare = undefined;
    writer.littleEndian = littleEndian;
    writer.position = position;
    writer.nesting = 0;
    writer.hasDescriptors = false;
    return writer;
  }

  /**
   * What was written from `start` on, in a buffer that belongs to nobody else and has at most twice the length. The writer
   * must not be used any more.
   */
  finish(start: number): Uint8Array<ArrayBuffer> {
    if (this.bytes.length > MAX_KEPT_CAPACITY) return this.bytes.subarray(start, this.position);
    const written = this.bytes.slice(start, this.position);
    this.#leave();
    return written;
  }

  /**
   * What was written, for a transport: up to {@link MAX_COPIED_BYTE_LENGTH} bytes a view, good until `giveBack`; else bytes
   * that belong to nobody else. The writer must not be used any more.
   */
  lend(): Uint8Array {
    return this.position > MAX_COPIED_BYTE_LENGTH ? this.finish(0) : this.bytes.subarray(0, this.position);
  }

  /** Ends what `lend` gave. */
  giveBack(lent: Uint8Array): void {
    if (lent.length <= MAX_COPIED_BYTE_LENGTH && this.bytes.length <= MAX_KEPT_CAPACITY) this.#leave();
  }

  /** Makes this the writer of the next message. */
  #leave(): void {
    // The next message relies on zeros for its padding, and what was written may be a secret of a plain session.
    this.bytes.fill(0, 0, this.position);
    if (this.#pathCount > 1) this.#paths.fill(undefined);
    this.#pathCount = 0;
    keep(this);
  }

  /** Makes room for `byteLength` more bytes. Room not yet written to is always zero. */
  reserve(byteLength: number): void {
    if (byteLength > this.bytes.length - this.position) this.#grow(this.position + byteLength);
  }

  #grow(needed: number): void {
    if (needed > MAX_MESSAGE_BYTE_LENGTH) {
      throw new MarshalFault('message-too-long', `a message has at most ${MAX_MESSAGE_BYTE_LENGTH} bytes`);
    }
    const grown = new Uint8Array(Math.min(Math.max(needed, this.bytes.length * 2), MAX_MESSAGE_BYTE_LENGTH));
    grown.set(this.bytes.subarray(0, this.position));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  /** Skips to a multiple of `alignment`, a power of two. The bytes skipped are zero: nothing was written there. */
  align(alignment: number): void {
    const padding = -this.position & (alignment - 1);
    this.reserve(padding);
    this.position += padding;
  }

  /** Aligns to `byteLength`, makes room for as many bytes, and gives where they go, having moved past them. */
  #slot(byteLength: number): number {
    const at = (this.position + byteLength - 1) & -byteLength;
    this.reserve(at - this.position + byteLength);
    this.position = at + byteLength;
    return at;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.position++] = value;
  }

  uint16(value: number): void {
    const at = this.#slot(2);
    this.view.setUint16(at, value, this.littleEndian);
  }

  uint32(value: number): void {
    const at = this.#slot(4);
    this.view.setUint32(at, value, this.littleEndian);
  }

  uint64(value: bigint): void {
    const at = this.#slot(8);
    this.view.setBigUint64(at, value, this.littleEndian);
  }

  double(value: number): void {
    const at = this.#slot(8);
    this.view.setFloat64(at, value, this.littleEndian);
  }

  /** A string: length, UTF-8, NUL. `text` is any JavaScript string. */
  string(text: string): void {
    const { length } = text;
    const { bytes } = this;
    const start = ((this.position + 3) & -4) + 4;
    // There must be room for two bytes a unit and the NUL.
    if (length > SHORT_LENGTH || start + length * 2 >= bytes.length) {
      this.#longString(text);
      return;
    }
    const seen = this.#ascii(text, start);
    let end = start + length;
    if (seen >= 0x80) end = this.#narrow(text, start);
    if (seen < 0 || end === -1) {
      this.#longString(text);
      return;
    }
    this.view.setUint32(start - 4, end - start, this.littleEndian);
    this.position = end + 1;
  }

  /**
   * Writes `text`, for which there is room, to `start` and on, as far as it is ASCII. Gives the bits of its units and of one
   * less than each: one past the seventh tells of a unit that is not ASCII, and all of them, which is −1, of a NUL.
   */
  #ascii(text: string, start: number): number {
    const { bytes } = this;
    const { length } = text;
    let seen = 0;
    for (let index = 0; index < length && seen < 0x80; index++) {
      const unit = text.charCodeAt(index);
      seen |= unit | (unit - 1);
      bytes[start + index] = unit;
    }
    return seen;
  }

  #longString(text: string): void {
    const start = this.#slot(4) + 4;
    this.reserve(text.length + 1);
    this.#endText(start, this.#wide(text, start));
  }

  /** As `string`, but tells whether `text` is an object path: if not, nothing more can be written. */
  objectPath(text: string): boolean {
    const { length } = text;
    const start = this.#slot(4) + 4;
    this.reserve(length + 1);
    const place = length & 7;
    if (text === this.#paths[place]) {
      const from = this.#pathStarts[place] as number;
      this.bytes.copyWithin(start, from, from + length);
    } else {
      // What is not ASCII does not fit, or is seen in the bytes, whatever became of it.
      const isWhole =
        length <= SHORT_PATH_LENGTH
          ? this.#ascii(text, start) < 0x80
          : encodeUtf8Into(text, this.bytes, start).written === length;
      if (!isWhole || !isObjectPathAt(this.bytes, start, start + length)) return false;
      // The first is not kept: in most messages there is no other.
      if (this.#pathCount++ > 0) {
        this.#paths[place] = text;
        this.#pathStarts[place] = start;
      }
    }
    this.#endText(start, start + length);
    return true;
  }

  /** Fills in the length of the text written to `start`, and ends it with the NUL that is there already. */
  #endText(start: number, end: number): void {
    this.view.setUint32(start - 4, end - start, this.littleEndian);
    this.position = end;
    this.reserve(1);
    this.position = end + 1;
  }

  /**
   * Writes `text`, for which there is room, to `start` and on, and gives where it ends; -1 when not all its units are from
   * U+0001 to U+07FF.
   */
  #narrow(text: string, start: number): number {
    const { bytes } = this;
    let at = start;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit === 0 || unit >= 0x800) return -1;
      if (unit < 0x80) {
        bytes[at++] = unit;
      } else {
        bytes[at++] = 0xc0 | (unit >> 6);
        bytes[at++] = 0x80 | (unit & 0x3f);
      }
    }
    return at;
  }

  /** Writes any `text` to `start` and on; gives where it ends. */
  #wide(text: string, start: number): number {
    if (text.includes('\0')) throw nulInString();
    if (!text.isWellFormed()) throw loneSurrogate();
    // Most text needs one byte a unit, for which there is room already; three a unit is the most it can need.
    const first = encodeUtf8Into(text, this.bytes, start);
    let { written } = first;
    if (first.read < text.length) {
      const rest = text.slice(first.read);
      this.position = start + written;
      const most = rest.length * 3 + 1;
      const fits = this.position + most <= MAX_MESSAGE_BYTE_LENGTH;
      this.reserve(fits ? most : utf8ByteLength(rest) + 1);
      written += encodeUtf8Into(rest, this.bytes, this.position).written;
    }
    return start + written;
  }

  /** A signature: one byte of length, ASCII, NUL. `signature` must be valid. */
  signature(signature: string): void {
    const length = signature.length;
    this.reserve(length + 2);
    this.bytes[this.position++] = length;
    for (let index = 0; index < length; index++) this.bytes[this.position++] = signature.charCodeAt(index);
    this.bytes[this.position++] = 0;
  }

  /** A signature of one character, such as that of a header field. */
  typeCode(code: number): void {
    this.reserve(3);
    const { bytes, position } = this;
    bytes[position] = 1;
    bytes[position + 1] = code;
    bytes[position + 2] = 0;
    this.position = position + 3;
  }

  /** Copies `bytes` in. */
  copy(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Begins an array whose elements align to `alignment`; gives where its length is to be patched. */
  beginArray(alignment: number): number {
    this.uint32(0);
    const lengthAt = this.position - 4;
    this.align(alignment);
    return lengthAt;
  }

  /** Ends the array whose length is at `lengthAt` and whose first element is, or would be, at `start`. */
  endArray(lengthAt: number, start: number): void {
    const byteLength = this.position - start;
    if (byteLength > MAX_ARRAY_BYTE_LENGTH) {
      throw new MarshalFault('array-too-long', `an array has at most ${MAX_ARRAY_BYTE_LENGTH} bytes`);
    }
    this.view.setUint32(lengthAt, byteLength, this.littleEndian);
  }
}
