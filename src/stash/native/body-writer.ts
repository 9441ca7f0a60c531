/**
 * Writes the bodies of batches and pages (docs/stash-format.md, "Bodies").
 * Must not import `node:` or anything outside `src/stash`.
 */

import type { StashKey } from '../key.js';

/** The first byte of each operation. */
export const opcode = { padding: 0, set: 1, remove: 2, setLarge: 3, make: 4 } as const;

/** Longer values are kept in chunks: 32 KiB. */
export const maxInlineByteLength: number = 2 ** 15;

/** The contents of a chunk: 64 KiB. */
export const chunkByteLength: number = 2 ** 16;

const smallestPadding = 256;

/** Up to here bodies are padded to a multiple of the smallest; above, to Padmé's lengths. */
const largestEvenPadding = 4096;

/**
 * Returns the byte length that a body is padded to, so that lengths tell little: at most 12 % more above 4 KiB.
 * Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019).
 */
export function paddedByteLength(byteLength: number): number {
  if (byteLength <= largestEvenPadding) {
    return Math.max(1, Math.ceil(byteLength / smallestPadding)) * smallestPadding;
  }
  const exponent = Math.floor(Math.log2(byteLength));
  const unit = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  return Math.ceil(byteLength / unit) * unit;
}

/** Returns the body of a chunk with these contents, the caller's to wipe. */
export function chunkBody(contents: Uint8Array, padding: boolean): Uint8Array {
  const byteLength = padding ? Math.min(paddedByteLength(contents.length), chunkByteLength) : contents.length;
  const body = new Uint8Array(byteLength);
  body.set(contents);
  return body;
}

/** Returns how many bytes {@link BodyWriter} takes for a name: its length in WTF-8. */
export function nameByteLength(name: string): number {
  let byteLength = 0;
  for (let index = 0; index < name.length; index++) {
    const unit = name.charCodeAt(index);
    if (unit < 0x80) byteLength += 1;
    else if (unit < 0x800) byteLength += 2;
    else if (isPair(name, index)) {
      byteLength += 4;
      index++;
    } else byteLength += 3;
  }
  return byteLength;
}

function isPair(name: string, index: number): boolean {
  return (name.charCodeAt(index) & 0xfc00) === 0xd800 && (name.charCodeAt(index + 1) & 0xfc00) === 0xdc00;
}

/** A body being written. Outgrown buffers are wiped; the last one is for whoever takes it to wipe. */
export class BodyWriter {
  #bytes: Uint8Array = new Uint8Array(smallestPadding);
  #byteLength = 0;
  #key: StashKey = [];

  /** How many bytes have been written. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Sets a value that is not longer than {@link maxInlineByteLength}. */
  set(key: StashKey, value: Uint8Array): void {
    this.#begin(opcode.set, key);
    this.#number(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#byteLength);
    this.#byteLength += value.length;
  }

  /** Sets a value that is in chunks, the first of which has the sequence `first`. */
  setLarge(key: StashKey, byteLength: number, first: number): void {
    this.#begin(opcode.setLarge, key);
    this.#number(byteLength);
    this.#number(first);
  }

  remove(key: StashKey): void {
    this.#begin(opcode.remove, key);
  }

  make(key: StashKey): void {
    this.#begin(opcode.make, key);
  }

  /**
   * Returns the body, which is then the caller's to wipe, and starts a new one.
   * @param byteLength - Pads to this, where the body is shorter.
   */
  take(byteLength = 0): Uint8Array {
    const end = Math.max(this.#byteLength, byteLength);
    this.#reserve(end - this.#byteLength);
    const body = this.#bytes.subarray(0, end);
    this.#bytes = new Uint8Array(smallestPadding);
    this.#byteLength = 0;
    this.#key = [];
    return body;
  }

  #begin(code: number, key: StashKey): void {
    const previous = this.#key;
    let shared = 0;
    while (shared < key.length && shared < previous.length && key[shared] === previous[shared]) shared++;
    this.#reserve(1);
    this.#bytes[this.#byteLength++] = code;
    this.#number(shared);
    this.#number(key.length - shared);
    for (let level = shared; level < key.length; level++) this.#name(key[level] as string);
    this.#key = key;
  }

  #number(value: number): void {
    this.#reserve(8);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80))
      this.#bytes[this.#byteLength++] = (rest % 0x80) | 0x80;
    this.#bytes[this.#byteLength++] = rest;
  }

  #name(name: string): void {
    const byteLength = nameByteLength(name);
    this.#number(byteLength);
    this.#reserve(byteLength);
    const bytes = this.#bytes;
    let at = this.#byteLength;
    for (let index = 0; index < name.length; index++) {
      let point = name.charCodeAt(index);
      if (point < 0x80) {
        bytes[at++] = point;
        continue;
      }
      if (isPair(name, index)) point = name.codePointAt(index++) as number;
      if (point < 0x800) bytes[at++] = 0xc0 | (point >> 6);
      else {
        if (point < 0x10000) bytes[at++] = 0xe0 | (point >> 12);
        else {
          bytes[at++] = 0xf0 | (point >> 18);
          bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
        }
        bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
      }
      bytes[at++] = 0x80 | (point & 0x3f);
    }
    this.#byteLength = at;
  }

  #reserve(byteLength: number): void {
    const needed = this.#byteLength + byteLength;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#byteLength));
    this.#bytes.fill(0);
    this.#bytes = grown;
  }
}
