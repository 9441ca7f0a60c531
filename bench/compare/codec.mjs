/**
 * Encoding and decoding of whole messages, beside the JavaScript libraries. Every library's bytes are decoded by ours, and
 * our bytes by every library, before anything is timed.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { decodeMessage, encodeMessage, Variant } from '../../dist/wire/index.js';
import { BODIES, replyOf } from '../lib/messages.mjs';

const require = createRequire(import.meta.url);

/**
 * @typedef {object} Peer
 * @property {string} name
 * @property {(message: object) => Uint8Array} encode
 * @property {(bytes: Buffer) => { body?: unknown[], replySerial?: number }} decode
 */

/** @type {Peer[]} */
const PEERS = ['dbus-native', '@homebridge/dbus-native', 'dbus-next'].map((name) => {
  const { marshall, unmarshall } = require(`${name}/lib/message.js`);
  return {
    name,
    encode: name === 'dbus-next' ? (message) => marshall(message)[0] : marshall,
    decode:
      name === 'dbus-next'
        ? (bytes) => unmarshall(bytes, {})
        : (bytes) => unmarshall(bytes, { ReturnLongjs: false }),
  };
});

/** A value as these libraries take it: dicts as pairs, variants as `[signature, value]`. @param {unknown} value @returns {unknown} */
function forPeer(value) {
  if (value instanceof Variant) return [value.signature, forPeer(value.value)];
  if (value instanceof Map) return Array.from(value, ([key, one]) => [key, forPeer(one)]);
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value === 'bigint') return Number(value);
  return Array.isArray(value) ? value.map(forPeer) : value;
}

/** @returns {import('../lib/run.mjs').BenchGroup[]} */
export function groups() {
  return Object.entries(BODIES).map(([name, [signature, body]]) => {
    const message = replyOf(signature, body);
    const theirs = { ...message, body: /** @type {unknown[]} */ (forPeer(body)) };
    const bytes = Buffer.from(encodeMessage(message));
    /** @type {import('../lib/run.mjs').BenchTask[]} */
    const tasks = [
      { name: 'secretbus, encode', run: () => encodeMessage(message) },
      { name: 'secretbus, decode', run: () => decodeMessage(bytes) },
    ];
    for (const peer of PEERS) {
      try {
        assert.deepEqual(decodeMessage(peer.encode(theirs)).body, body);
        tasks.push({
          name: `${peer.name}, encode`,
          run: () => peer.encode(theirs),
          reference: 'secretbus, encode',
        });
      } catch (error) {
        console.warn(
          `!! ${peer.name} does not encode ${name}: ${/** @type {Error} */ (error).message.split('\n')[0]}`,
        );
      }
      const decoded = peer.decode(bytes);
      assert.equal(decoded.replySerial, 6);
      assert.equal(decoded.body?.length, body.length);
      tasks.push({
        name: `${peer.name}, decode`,
        run: () => peer.decode(bytes),
        reference: 'secretbus, decode',
      });
    }
    return { name: `message: ${name}, ${bytes.length.toLocaleString('en')} bytes`, tasks };
  });
}
