/**
 * Header pages of the native format: who can open the stash, and how far it had come
 * (`docs/stash-format.md`, "Header pages").
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes as equalSecretly } from '@noble/ciphers/utils.js';
import { equalBytes } from '../bytes.js';
import { StashCorruptError, StashFormatError, StashValueError } from '../errors.js';
import { hmacSha256, sha256 } from '../hashing.js';
import { formatSlot, parseSlot, type Slot, slotByteLength, slotsOffset } from './slots.js';

/** The byte length of one of the two header pages. */
export const pageByteLength = 4096;

/** Where the frames begin in the file. */
export const framesOffset = 8192;

/** How many key slots a page has room for. */
export const maxSlots = 20;

/** A frame of the log. */
export interface Position {
  /** From 1; 0 for none. */
  readonly sequence: number;
  /** The last 16 bytes of the frame; zeros for none. */
  readonly tag: Uint8Array;
}

/** What a header page says. All numbers are safe integers. */
export interface Header {
  /** 16 bytes, random, the same for the life of the store. */
  readonly storeId: Uint8Array;
  /** Counts the writes of pages. */
  readonly generation: number;
  /** Counts the files the store has had, from 1. */
  readonly epoch: number;
  /** A frame the file is known to have reached. */
  readonly floor: Position;
  /** The sequence before that of the first frame of the file. */
  readonly base: number;
  /** Those in use, in order. */
  readonly slots: readonly Slot[];
}

/** A header as it was read. */
export interface ReadHeader extends Header {
  /** Byte offset of the page in the file: 0 or 4,096. */
  readonly offset: number;
  /** The page itself, a copy. */
  readonly page: Uint8Array;
}

const magic = Uint8Array.of(0x89, 0x53, 0x42, 0x53, 0x0d, 0x0a, 0x1a, 0x0a);
const version = 1;

const slotsEnd = slotsOffset + maxSlots * slotByteLength;
const macOffset = 4032;
const hashOffset = 4064;

/** From where to where a page has zeros. */
const reserved: readonly (readonly [start: number, end: number])[] = [
  [12, 16],
  [80, 96],
  [slotsEnd, macOffset],
];

function damaged(message: string, offset: number): StashCorruptError {
  return new StashCorruptError('damaged-header', message, offset);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** May lose the last digits of 2^53 and more, but never makes one a safe integer. */
function readNumber(page: Uint8Array, at: number): number {
  return Number(viewOf(page).getBigUint64(at, true));
}

function hasMagic(bytes: Uint8Array): boolean {
  return equalBytes(bytes.subarray(0, magic.length), magic);
}

function isWhole(page: Uint8Array): boolean {
  return (
    page.length === pageByteLength &&
    hasMagic(page) &&
    equalBytes(sha256(page.subarray(0, hashOffset)), page.subarray(hashOffset))
  );
}

/**
 * Returns the newer whole header page of a file. It is not authenticated yet: see {@link checkHeader}.
 * @param pages - The first 8,192 bytes of the file, or all of it if it is shorter.
 * @throws {StashFormatError} `not-a-stash` or `unsupported-version`.
 * @throws {StashCorruptError} `damaged-header` or `damaged-slot`.
 */
export function parseHeader(pages: Uint8Array): ReadHeader {
  const places = [0, pageByteLength].map((offset) => ({
    offset,
    page: pages.subarray(offset, offset + pageByteLength),
  }));
  const [first, second] = places.filter(
    ({ page, offset }) => isWhole(page) && offset === ((page[32] as number) % 2) * pageByteLength,
  );
  if (first === undefined) {
    const seen = places.find(({ page }) => hasMagic(page));
    if (seen === undefined) {
      throw new StashFormatError('not-a-stash', 'the file is not a native stash', 'file', 0);
    }
    throw damaged('neither header page is whole', seen.offset);
  }
  const isSecondNewer = second !== undefined && readNumber(second.page, 32) > readNumber(first.page, 32);
  const { page, offset } = isSecondNewer ? second : first;
  return parsePage(page.slice(), offset);
}

function parsePage(page: Uint8Array, offset: number): ReadHeader {
  const view = viewOf(page);
  if (view.getUint16(8, true) !== version || view.getUint16(10, true) !== 0) {
    throw new StashFormatError(
      'unsupported-version',
      'the stash was written by a later version of this program',
      'file',
      offset + 8,
    );
  }
  for (const [start, end] of reserved) {
    const index = page.subarray(start, end).findIndex((byte) => byte !== 0);
    if (index >= 0)
      throw damaged('a header page has something where nothing is to be', offset + start + index);
  }
  const number = (at: number, minimum: number): number => {
    const value = readNumber(page, at);
    if (Number.isSafeInteger(value) && value >= minimum) return value;
    throw damaged('a header page has a number out of range', offset + at);
  };
  const header = {
    storeId: page.slice(16, 32),
    generation: number(32, 0),
    epoch: number(40, 1),
    floor: { sequence: number(48, 0), tag: page.slice(56, 72) },
    base: number(72, 0),
  };
  if (header.floor.sequence === 0 && header.floor.tag.some((byte) => byte !== 0)) {
    throw damaged('a header page has the tag of no frame', offset + 56);
  }
  if (header.floor.sequence !== 0 && header.floor.sequence <= header.base) {
    throw damaged('a header page has a floor below the first frame', offset + 48);
  }
  const slots: Slot[] = [];
  for (let at = slotsOffset; at < slotsEnd; at += slotByteLength) {
    const slot = parseSlot(page.subarray(at, at + slotByteLength), offset + at);
    if (slot !== undefined) slots.push(slot);
  }
  return { ...header, slots, offset, page };
}

function authenticate(page: Uint8Array, headerKey: Uint8Array): Uint8Array {
  return hmacSha256(headerKey, page.subarray(0, macOffset));
}

/**
 * Checks that a header was written by someone who has the data key. Compares in constant time.
 * @throws {StashCorruptError} `damaged-header`.
 */
export function checkHeader(header: ReadHeader, headerKey: Uint8Array): void {
  const { page, offset } = header;
  if (equalSecretly(authenticate(page, headerKey), page.subarray(macOffset, hashOffset))) return;
  throw damaged('the header page was not written with the key of the stash', offset + macOffset);
}

/**
 * Returns the 4,096 bytes of a page. Its place in the file is `(generation % 2) * 4096`.
 * @throws {StashValueError} `slots-full` for more slots than there is room for.
 */
export function formatPage(header: Header, headerKey: Uint8Array): Uint8Array {
  if (header.slots.length > maxSlots) {
    throw new StashValueError('slots-full', `a stash has room for ${maxSlots} key slots`);
  }
  const page = new Uint8Array(pageByteLength);
  const view = viewOf(page);
  page.set(magic);
  view.setUint16(8, version, true);
  page.set(header.storeId, 16);
  view.setBigUint64(32, BigInt(header.generation), true);
  view.setBigUint64(40, BigInt(header.epoch), true);
  view.setBigUint64(48, BigInt(header.floor.sequence), true);
  page.set(header.floor.tag, 56);
  view.setBigUint64(72, BigInt(header.base), true);
  for (const [index, slot] of header.slots.entries()) {
    page.set(formatSlot(slot), slotsOffset + index * slotByteLength);
  }
  page.set(authenticate(page, headerKey), macOffset);
  page.set(sha256(page.subarray(0, hashOffset)), hashOffset);
  return page;
}
