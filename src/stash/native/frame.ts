/**
 * Frames: a header with a MAC of its own, and an encrypted body (docs/stash-format.md, "Frames").
 * Must not import anything outside `src/stash`.
 */

import { equalBytes } from '@noble/ciphers/utils.js';
import { wipe } from '../bytes.js';
import { hkdfSha256, hmacSha256 } from '../hashing.js';
import { decryptBody, encryptBody } from './cipher.js';

export const frameHeaderByteLength = 72;
export const tagByteLength = 16;
const macOffset = 56;
const nonceOffset = 32;
const nonceByteLength = 24;

/** The largest body, encrypted: 64 MiB. */
export const maxBodyByteLength: number = 2 ** 26;

/** A frame can say of at most so many before it that they were not synced. */
export const maxUnsynced = 0xffff;

export const frameType = { batch: 1, page: 2, chunk: 3 } as const;
export type FrameType = (typeof frameType)[keyof typeof frameType];

/** What the header of a frame says. */
export interface FrameHeader {
  /** Of the encrypted body with its tag. */
  readonly bodyByteLength: number;
  readonly type: FrameType;
  readonly unsynced: number;
  readonly sequence: number;
  /** The tag of the frame before, a view. */
  readonly previous: Uint8Array;
}

/** Returns the 32 bytes of a key that comes from the data key. */
export function deriveSubkey(dataKey: Uint8Array, storeId: Uint8Array, purpose: string): Uint8Array {
  return hkdfSha256(dataKey, storeId, `secretbus stash 1 ${purpose}`, 32);
}

/** Writes a number below 2^53 in eight bytes, little-endian. */
export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % 2 ** 32, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

/** Reads eight bytes, little-endian; at 2^53 and above the number is not exact. */
export function getUint64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
}

function bodyByteLengthOf(header: Uint8Array): number {
  const [a, b, c, d] = header as Uint8Array & [number, number, number, number];
  return a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24;
}

/** Seals and opens the frames of one epoch of a store. Holds keys: `wipe` when done. */
export class FrameCipher {
  readonly #key: Uint8Array;
  readonly #macKey: Uint8Array;
  /** Store id, epoch and frame header: associated data of the body. */
  readonly #associated: Uint8Array = new Uint8Array(24 + frameHeaderByteLength);

  /** @param dataKey - Not kept. */
  constructor(dataKey: Uint8Array, storeId: Uint8Array, epoch: number) {
    this.#key = deriveSubkey(dataKey, storeId, 'frames');
    this.#macKey = deriveSubkey(dataKey, storeId, 'frame headers');
    this.#associated.set(storeId);
    setUint64(new DataView(this.#associated.buffer), 16, epoch);
  }

  #macOf(header: Uint8Array): Uint8Array {
    const about = this.#associated.subarray(0, 24);
    return hmacSha256(this.#macKey, about, header.subarray(0, macOffset)).subarray(0, 16);
  }

  #associate(header: Uint8Array): Uint8Array {
    this.#associated.set(header, 24);
    return this.#associated;
  }

  /** Returns a whole frame; its last 16 bytes are its tag. */
  seal(header: Omit<FrameHeader, 'bodyByteLength'>, body: Uint8Array): Uint8Array {
    const frame = new Uint8Array(frameHeaderByteLength + body.length + tagByteLength);
    const view = new DataView(frame.buffer);
    view.setUint32(0, body.length + tagByteLength, true);
    frame[4] = header.type;
    view.setUint16(6, header.unsynced, true);
    setUint64(view, 8, header.sequence);
    frame.set(header.previous, 16);
    const head = frame.subarray(0, frameHeaderByteLength);
    const nonce = crypto.getRandomValues(head.subarray(nonceOffset, nonceOffset + nonceByteLength));
    head.set(this.#macOf(head), macOffset);
    encryptBody(this.#key, nonce, this.#associate(head), body, frame.subarray(frameHeaderByteLength));
    return frame;
  }

  /** Whether all fields are in range, so that it is worth while to check the MAC: of random bytes, one place in 2^31. */
  mayBeHeader(bytes: Uint8Array): boolean {
    const type = bytes[4] as number;
    if (type < 1 || type > 3 || bytes[5] !== 0 || bytes[15] !== 0 || (bytes[14] as number) >= 0x20)
      return false;
    if (bytes.length < frameHeaderByteLength) return false;
    const bodyByteLength = bodyByteLengthOf(bytes);
    return bodyByteLength > tagByteLength && bodyByteLength <= maxBodyByteLength;
  }

  /** Whether the bytes begin with a header that has a right MAC, whatever its fields say. */
  hasMac(bytes: Uint8Array): boolean {
    if (bytes.length < frameHeaderByteLength) return false;
    const head = bytes.subarray(0, frameHeaderByteLength);
    return equalBytes(this.#macOf(head), head.subarray(macOffset));
  }

  /** Returns what the header at the beginning of `bytes` says, or undefined if it is not one. Total. */
  parseHeader(bytes: Uint8Array): FrameHeader | undefined {
    if (!this.mayBeHeader(bytes) || !this.hasMac(bytes)) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, frameHeaderByteLength);
    return {
      bodyByteLength: bodyByteLengthOf(bytes),
      type: bytes[4] as FrameType,
      unsynced: view.getUint16(6, true),
      sequence: getUint64(view, 8),
      previous: bytes.subarray(16, 32),
    };
  }

  /** Returns the body of a whole frame, the caller's to wipe, or undefined if it does not authenticate. */
  open(frame: Uint8Array): Uint8Array | undefined {
    const head = frame.subarray(0, frameHeaderByteLength);
    const nonce = head.subarray(nonceOffset, nonceOffset + nonceByteLength);
    return decryptBody(this.#key, nonce, this.#associate(head), frame.subarray(frameHeaderByteLength));
  }

  /** Overwrites the keys. Of no more use. */
  wipe(): void {
    wipe([this.#key, this.#macKey]);
  }
}
