/**
 * The JavaScript libraries as codecs of whole messages, behind one interface.
 */
import { createRequire } from 'node:module';
import { decodeMessage, encodeMessage, Variant } from '../../dist/wire/index.js';

const require = createRequire(import.meta.url);

/**
 * @typedef {object} Codec
 * @property {(values: readonly unknown[]) => readonly unknown[]} take gives the values of a body as the library takes them
 * @property {(message: any) => Uint8Array} encode
 * @property {(bytes: Buffer) => { body?: readonly unknown[], replySerial?: number }} decode
 */

/** A value as these libraries take it: dicts as pairs, variants as `[signature, value]`. @param {unknown} value @returns {unknown} */
function forPeer(value) {
  if (value instanceof Variant) return [value.signature, forPeer(value.value)];
  if (value instanceof Map) return Array.from(value, ([key, one]) => [key, forPeer(one)]);
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value === 'bigint') return Number(value);
  return Array.isArray(value) ? value.map(forPeer) : value;
}

/** @param {string} name @returns {Codec} */
function peer(name) {
  const { marshall, unmarshall } = require(`${name}/lib/message.js`);
  const next = name === 'dbus-next';
  return {
    take: (values) => values.map(forPeer),
    encode: next ? (message) => marshall(message)[0] : marshall,
    decode: (bytes) => unmarshall(bytes, next ? {} : { ReturnLongjs: false }),
  };
}

export const OURS = 'secretbus';
export const PEERS = ['dbus-native', '@homebridge/dbus-native', 'dbus-next'];

/** @param {string} name `OURS` or one of `PEERS` @returns {Codec} */
export function loadCodec(name) {
  if (name !== OURS) return peer(name);
  return { take: (values) => values, encode: encodeMessage, decode: decodeMessage };
}
