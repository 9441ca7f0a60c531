/**
 * The outer layer of a sstash file: `{"hash": …, "salt": …, "iterations": …, "enc_blob": …}`, and the
 * NaCl secretbox (XSalsa20-Poly1305) in its last member.
 *
 * The file is not authenticated until the blob is opened: everything here is bounded before it is used. Taking
 * a file apart takes time in proportion to its size, whatever it holds (measured: at most 12 ns a byte), and at most
 * twice its size in memory beside it.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { bytesFromAscii, bytesFromHex, writeHex } from '../bytes.js';
import { StashCryptoError, StashFormatError } from '../errors.js';
import { escapeJsonString } from '../text.js';
import { maxHashNameLength } from './hashes.js';
import { JsonReader, type JsonSpan } from './json-reader.js';

/** The byte length of the key, of the nonce and of the Poly1305 tag of a secretbox. */
export const keyByteLength = 32;
export const nonceByteLength = 24;
const tagByteLength = 16;

/** How the key comes from the password. A rewrite keeps all three. */
export interface KdfParameters {
  /** As the file spells it. */
  readonly hash: string;
  readonly salt: Uint8Array;
  readonly iterations: number;
}

/** A file taken apart, not yet decrypted. */
export interface Container {
  readonly parameters: KdfParameters;
  /** Nonce, tag and ciphertext. */
  readonly blob: Uint8Array;
}

const memberNames = ['hash', 'salt', 'iterations', 'enc_blob'] as const;
type MemberName = (typeof memberNames)[number];

/** Deeper values than this cannot be a member anyway; Python stops at about a thousand. */
const maxNesting = 512;

/** Python takes a salt of any length and writes 32 bytes. */
const maxSaltByteLength = 2 ** 16;

/** No integer of more digits is safe, and so none is within any limit. */
const maxIterationsDigits = 16;

/**
 * Takes a file apart.
 * @param maxIterations - Refuses files that ask for more, before any of the work.
 * @throws {StashFormatError} `bad-json`, `bad-members`, `bad-iterations`, `bad-hex`, `truncated-blob`,
 * `too-deep`, or `too-large` for the name of the hash function or the salt.
 * @throws {StashCryptoError} `too-many-iterations`.
 */
export function parseContainer(bytes: Uint8Array, maxIterations: number): Container {
  const reader = new JsonReader(bytes, 'file', maxNesting);
  const spans = readMembers(reader);
  const hash = reader.text(stringMember(spans, 'hash'), maxHashNameLength);
  if (hash === undefined) throw tooLarge(spans, 'hash', `${maxHashNameLength} characters`);
  // Counted before anything is made of it.
  if (reader.unitLength(stringMember(spans, 'salt')) > 2 * maxSaltByteLength) {
    throw tooLarge(spans, 'salt', `${maxSaltByteLength} bytes`);
  }
  const salt = hexMember(reader, spans, 'salt');
  const iterations = parseIterations(reader, member(spans, 'iterations'), maxIterations);
  const blob = hexMember(reader, spans, 'enc_blob');
  if (blob.length < nonceByteLength + tagByteLength) {
    const { start } = member(spans, 'enc_blob');
    throw new StashFormatError('truncated-blob', 'the encrypted part is too short', 'file', start);
  }
  return { parameters: { hash, salt, iterations }, blob };
}

function tooLarge(
  spans: ReadonlyMap<MemberName, JsonSpan>,
  name: MemberName,
  limit: string,
): StashFormatError {
  const { start } = member(spans, name);
  return new StashFormatError('too-large', `the member "${name}" has more than ${limit}`, 'file', start);
}

function readMembers(reader: JsonReader): Map<MemberName, JsonSpan> {
  const spans = new Map<MemberName, JsonSpan>();
  let unknownAt: number | undefined;
  if (reader.peek() !== 0x7b) {
    const { start } = reader.skip();
    reader.end();
    throw new StashFormatError('bad-members', 'the file is not a JSON object', 'file', start);
  }
  reader.object((span) => {
    const name = memberNames.find((known) => reader.isText(span, known));
    const value = reader.skip();
    if (name === undefined) unknownAt ??= span.start;
    else spans.set(name, value);
  });
  reader.end();
  if (unknownAt !== undefined) {
    throw new StashFormatError('bad-members', 'the file has an unknown member', 'file', unknownAt);
  }
  return spans;
}

function member(spans: ReadonlyMap<MemberName, JsonSpan>, name: MemberName): JsonSpan {
  const span = spans.get(name);
  if (span !== undefined) return span;
  throw new StashFormatError('bad-members', `the member "${name}" is missing`, 'file', 0);
}

function stringMember(spans: ReadonlyMap<MemberName, JsonSpan>, name: MemberName): JsonSpan {
  const span = member(spans, name);
  if (span.kind === 'string') return span;
  throw new StashFormatError('bad-members', `the member "${name}" is not a string`, 'file', span.start);
}

function hexMember(
  reader: JsonReader,
  spans: ReadonlyMap<MemberName, JsonSpan>,
  name: MemberName,
): Uint8Array {
  const span = stringMember(spans, name);
  const bytes = bytesFromHex(reader.octets(span));
  if (typeof bytes !== 'number') return bytes;
  // Within a string that has escapes, an offset of its text says nothing about the file.
  const offset = span.plain === true ? span.start + bytes : span.start;
  throw new StashFormatError('bad-hex', `the member "${name}" is not hexadecimal`, 'file', offset);
}

function parseIterations(reader: JsonReader, span: JsonSpan, maxIterations: number): number {
  const first = span.kind === 'integer' ? reader.octets(span)[0] : undefined;
  if (first === undefined || first < 0x31) {
    throw new StashFormatError(
      'bad-iterations',
      'the number of iterations is not a positive integer',
      'file',
      span.start,
    );
  }
  const iterations = Number(reader.text(span, maxIterationsDigits) ?? Number.POSITIVE_INFINITY);
  if (iterations <= maxIterations) return iterations;
  throw new StashCryptoError(
    'too-many-iterations',
    `the file asks for more than ${maxIterations} iterations; raise maxIterations if it is to be trusted`,
    { maximum: maxIterations },
  );
}

/**
 * Returns the byte length of a file with contents of the given byte length.
 */
export function containerByteLength(parameters: KdfParameters, contentsByteLength: number): number {
  const { head, middle, tail } = frame(parameters);
  const blobByteLength = nonceByteLength + tagByteLength + contentsByteLength;
  return head.length + middle.length + tail.length + 2 * (parameters.salt.length + blobByteLength);
}

/** Returns the file as Python's `json.dump` writes it: this order, these separators, no newline. */
export function formatContainer(parameters: KdfParameters, blob: Uint8Array): Uint8Array {
  const { head, middle, tail } = frame(parameters);
  const byteLength = head.length + middle.length + tail.length + 2 * (parameters.salt.length + blob.length);
  const bytes = new Uint8Array(byteLength);
  bytes.set(head);
  let offset = writeHex(parameters.salt, bytes, head.length);
  bytes.set(middle, offset);
  offset = writeHex(blob, bytes, offset + middle.length);
  bytes.set(tail, offset);
  return bytes;
}

function frame(parameters: KdfParameters): { head: Uint8Array; middle: Uint8Array; tail: Uint8Array } {
  return {
    head: bytesFromAscii(`{"hash": "${escapeJsonString(parameters.hash)}", "salt": "`),
    middle: bytesFromAscii(`", "iterations": ${parameters.iterations}, "enc_blob": "`),
    tail: bytesFromAscii('"}'),
  };
}

/**
 * Decrypts a blob; the caller owns the result.
 * @throws {StashCryptoError} `wrong-password-or-damaged`: Poly1305 fails alike for both.
 */
export function openBlob(key: Uint8Array, blob: Uint8Array): Uint8Array {
  try {
    return xsalsa20poly1305(key, blob.subarray(0, nonceByteLength)).decrypt(blob.subarray(nonceByteLength));
  } catch {
    throw new StashCryptoError(
      'wrong-password-or-damaged',
      'the password is wrong or the file is damaged; this format cannot tell which',
    );
  }
}

/**
 * Encrypts contents into a blob.
 * @param nonce - 24 bytes, never used before with this key.
 */
export function sealBlob(key: Uint8Array, nonce: Uint8Array, contents: Uint8Array): Uint8Array {
  const box = xsalsa20poly1305(key, nonce).encrypt(contents);
  const blob = new Uint8Array(nonceByteLength + box.length);
  blob.set(nonce);
  blob.set(box, nonceByteLength);
  return blob;
}
