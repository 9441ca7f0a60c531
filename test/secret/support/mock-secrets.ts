/** How the mock of a service encodes secrets, with node:crypto and nothing of ours. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

/** Session, parameters, value, content type. */
export type SecretStruct = [string, Uint8Array, Uint8Array, string];

/** With zero bytes in front, to the byte length of the group. */
export function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.alloc(128 - bytes.byteLength), bytes]);
}

export function deriveKey(sharedSecret: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', padded(sharedSecret), Buffer.alloc(0), '', 16));
}

/** @param key - Undefined for a plain session. */
export function encodeSecret(
  sessionPath: string,
  key: Buffer | undefined,
  value: Uint8Array,
  contentType: string,
): SecretStruct {
  if (key === undefined) return [sessionPath, new Uint8Array(0), value, contentType];
  const parameters = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', key, parameters);
  return [sessionPath, parameters, Buffer.concat([cipher.update(value), cipher.final()]), contentType];
}

/** @param key - Undefined for a plain session. */
export function decodeSecret(key: Buffer | undefined, [, parameters, value]: SecretStruct): Buffer {
  if (key === undefined) return Buffer.from(value);
  const decipher = createDecipheriv('aes-128-cbc', key, parameters);
  return Buffer.concat([decipher.update(value), decipher.final()]);
}
