/**
 * The codec on messages of the kinds that a Secret Service sends, and calls on a real bus.
 *
 * The reference of the codec is the platform's own text format on the same values, JSON to and from UTF-8 bytes: native
 * code that checks nothing of what a D-Bus message must satisfy. For a megabyte of bytes it is one copy.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { decodeMessage, encodeMessage, openBus, Variant } from 'secretbus/wire';
import { startPrivateBus } from '../scripts/lib/private-services.mjs';
import { BODIES, replyOf } from './lib/messages.mjs';
import { openRawBusClient } from './lib/raw-bus-client.mjs';

/** What JSON can say of a value. @param {unknown} value @returns {unknown} */
function toJson(value) {
  if (value instanceof Map)
    return Object.fromEntries(Array.from(value, ([key, one]) => [String(key), toJson(one)]));
  if (value instanceof Variant) return { signature: value.signature, value: toJson(value.value) };
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value === 'bigint') return String(value);
  return Array.isArray(value) ? value.map(toJson) : value;
}

/** @returns {import('./lib/run.mjs').BenchGroup[]} */
function codecGroups() {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  return Object.entries(BODIES).map(([name, [signature, body]]) => {
    const message = replyOf(signature, body);
    const bytes = encodeMessage(message);
    assert.deepEqual(decodeMessage(bytes), message, 'the codec must be right before it is timed');
    const only = /** @type {Uint8Array} */ (body[0]);
    const json = toJson(body);
    const jsonBytes = encoder.encode(JSON.stringify(json));
    const reference = signature === 'ay' ? 'one copy' : 'JSON';
    return {
      name: `message: ${name}, ${bytes.length.toLocaleString('en')} bytes`,
      tasks: [
        { name: 'encode', run: () => encodeMessage(message), reference: `${reference}, encode` },
        {
          name: `${reference}, encode`,
          run: reference === 'JSON' ? () => encoder.encode(JSON.stringify(json)) : () => only.slice(),
        },
        { name: 'decode', run: () => decodeMessage(bytes), reference: `${reference}, decode` },
        {
          name: `${reference}, decode`,
          run: reference === 'JSON' ? () => JSON.parse(decoder.decode(jsonBytes)) : () => only.slice(),
        },
      ],
    };
  });
}

/** @returns {Promise<import('./lib/run.mjs').BenchGroup[]>} */
async function busGroups() {
  if (spawnSync('dbus-daemon', ['--version']).error !== undefined) {
    console.warn('!! dbus-daemon is missing: calls on a real bus are not measured');
    return [];
  }
  const daemon = await startPrivateBus();
  const bus = await openBus(daemon.address);
  const path = /** @type {RegExpExecArray} */ (/unix:path=([^,]+)/.exec(daemon.address))[1];
  const raw = await openRawBusClient(/** @type {string} */ (path), 'GetId');
  const call = {
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'GetId',
  };
  assert.deepEqual(await bus.call(call), await bus.call(call));
  return [
    {
      name: 'calls on a real bus',
      tasks: [
        { name: 'GetId, one at a time', run: () => bus.call(call), reference: 'raw socket' },
        { name: 'raw socket', run: () => raw.call() },
        {
          name: 'GetId, 64 in flight',
          count: 64,
          run: () => Promise.all(Array.from({ length: 64 }, () => bus.call(call))),
          reference: 'raw socket',
        },
        {
          name: 'connect, Hello, one call, close',
          run: async () => {
            const brief = await openBus(daemon.address);
            await brief.call(call);
            await brief.close();
          },
          reference: 'raw socket',
        },
      ],
      close: async () => {
        raw.close();
        await bus.close();
        await daemon.close();
      },
    },
  ];
}

export async function groups() {
  return [...codecGroups(), ...(await busGroups())];
}
