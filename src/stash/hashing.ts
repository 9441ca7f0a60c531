/**
 * SHA-256 and what is made of it, by `node:crypto`, which every runtime has: quicker than in JavaScript for as few bytes as
 * a header has, and nothing to bundle.
 */

import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { bytesFromAscii } from './bytes.js';

/** Returns the bytes of a `Buffer` as what every caller expects. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** SHA-256 (FIPS 180-4): 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return plain(createHash('sha256').update(bytes).digest());
}

/** HMAC-SHA-256 (RFC 2104) of the parts, one after another: 32 bytes. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return plain(mac.digest());
}

/** HKDF-SHA-256 (RFC 5869); the caller should wipe what it returns. @param info - ASCII. */
export function hkdfSha256(key: Uint8Array, salt: Uint8Array, info: string, byteLength: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, bytesFromAscii(info), byteLength));
}
