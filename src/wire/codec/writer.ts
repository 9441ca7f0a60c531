/**
 * One growing buffer with aligned writes, for a header and its body together (D-Bus specification, "Marshaling").
 * Layer 2: imports lower layers only.
 */
import { MAX_ARRAY_BYTE_LENGTH, MAX_MESSAGE_BYTE_LENGTH } from '../base/limits.js';
import { encodeUtf8Into, utf8ByteLength } from '../base/utf8.js';

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

/** Room of a new writer, in bytes: most messages fit, and only those leave their writer for the next. */
const INITIAL_CAPACITY = 4096;

/** Below this length a loop over the UTF-16 units beats the platform's encoder, whose call alone costs about 200 ns. */
const SHORT_LENGTH = 32;

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
    if (this.bytes.length > INITIAL_CAPACITY) return this.bytes.subarray(start, this.position);
    const written = this.bytes.slice(start, this.position);
    // The next message relies on zeros for its padding, and what was written may be a secret of a plain session.
    this.bytes.fill(0, 0, this.position);
    keep(this);
    return written;
  }

  /** Makes room for `byteLength` more bytes. Room not yet written to is always zero. */
  reserve(byteLength: number): void {
    const needed = this.position + byteLength;
    if (needed <= this.bytes.length) return;
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

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.position++] = value;
  }

  uint16(value: number): void {
    this.align(2);
    this.reserve(2);
    this.view.setUint16(this.position, value, this.littleEndian);
    this.position += 2;
  }

  uint32(value: number): void {
    this.align(4);
    this.reserve(4);
    this.view.setUint32(this.position, value, this.littleEndian);
    this.position += 4;
  }

  uint64(value: bigint): void {
    this.align(8);
    this.reserve(8);
    this.view.setBigUint64(this.position, value, this.littleEndian);
    this.position += 8;
  }

  double(value: number): void {
    this.align(8);
    this.reserve(8);
    this.view.setFloat64(this.position, value, this.littleEndian);
    this.position += 8;
  }

  /** A string or object path: length, UTF-8, NUL. `text` is any JavaScript string. */
  string(text: string): void {
    this.align(4);
    const length = text.length;
    this.reserve(length + 5);
    const start = this.position + 4;
    const end = length <= SHORT_LENGTH ? this.#ascii(text, start) : -1;
    this.position = end === -1 ? this.#utf8(text, start) : end;
    this.view.setUint32(start - 4, this.position - start, this.littleEndian);
    this.byte(0);
  }

  /** Writes `text` when it is ASCII without NUL and gives where it ends; else gives -1, what was written being written over. */
  #ascii(text: string, start: number): number {
    const { bytes } = this;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if ((unit - 1) >>> 0 >= 0x7f) return -1;
      bytes[start + index] = unit;
    }
    return start + text.length;
  }

  #utf8(text: string, start: number): number {
    if (text.includes('\0')) throw new MarshalFault('nul-in-string', 'a string holds no NUL');
    if (!text.isWellFormed())
      throw new MarshalFault('lone-surrogate', 'a lone surrogate is not Unicode text');
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
