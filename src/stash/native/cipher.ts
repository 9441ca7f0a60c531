/**
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 by noble with the ChaCha20-Poly1305 of `node:crypto`, which takes
 * a tenth of noble's time for a page and half for the first slot of a process; by noble alone where that is not there.
 */

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { hchacha, xchacha20poly1305 } from '@noble/ciphers/chacha.js';

const tagByteLength = 16;
const algorithm = 'chacha20-poly1305';

/** "expand 32-byte k" (RFC 8439, section 2.3) as little-endian words. */
const sigma: Uint32Array = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/** The words below are little-endian; and a runtime without the cipher, as some builds of OpenSSL are, throws. */
let nativeWorks: boolean = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The words of bytes, in a buffer of its own. */
function words(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(new Uint8Array(bytes).buffer);
}

/** The key and nonce of ChaCha20-Poly1305 for those of XChaCha20-Poly1305; the key is the caller's to wipe. */
function narrow(key: Uint8Array, nonce: Uint8Array): { subkey: Uint8Array; shortNonce: Uint8Array } {
  const out = new Uint32Array(8);
  const keyWords = words(key);
  hchacha(sigma, keyWords, words(nonce.subarray(0, 16)), out);
  keyWords.fill(0);
  const shortNonce = new Uint8Array(12);
  shortNonce.set(nonce.subarray(16), 4);
  return { subkey: new Uint8Array(out.buffer), shortNonce };
}

/** Encrypts `body` into `target`, which is 16 bytes longer. */
export function encryptBody(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  body: Uint8Array,
  target: Uint8Array,
): void {
  if (nativeWorks) {
    const { subkey, shortNonce } = narrow(key, nonce);
    try {
      const cipher = createCipheriv(algorithm, subkey, shortNonce, { authTagLength: tagByteLength });
      cipher.setAAD(associated, { plaintextLength: body.length });
      target.set(cipher.update(body));
      cipher.final();
      target.set(cipher.getAuthTag(), body.length);
      return;
    } catch {
      nativeWorks = false;
    } finally {
      subkey.fill(0);
    }
  }
  xchacha20poly1305(key, nonce, associated).encrypt(body, target);
}

/** Returns what was encrypted, the caller's to wipe, or undefined if it does not authenticate. */
export function decryptBody(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (nativeWorks) {
    const { subkey, shortNonce } = narrow(key, nonce);
    try {
      const byteLength = sealed.length - tagByteLength;
      const decipher = createDecipheriv(algorithm, subkey, shortNonce, { authTagLength: tagByteLength });
      decipher.setAAD(associated, { plaintextLength: byteLength });
      decipher.setAuthTag(sealed.subarray(byteLength));
      const body = decipher.update(sealed.subarray(0, byteLength));
      try {
        decipher.final();
        return new Uint8Array(body.buffer, body.byteOffset, body.length);
      } catch {
        body.fill(0);
      }
    } catch {
      // No such cipher here. Whether it was that or a forgery, noble has the last word.
    } finally {
      subkey.fill(0);
    }
  }
  try {
    return xchacha20poly1305(key, nonce, associated).decrypt(sealed);
  } catch {
    return undefined;
  }
}
