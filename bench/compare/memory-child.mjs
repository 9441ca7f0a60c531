/**
 * What stays in memory, measured in a process of its own with `--expose-gc`; prints one line of JSON.
 *
 *   memory-child.mjs decoded                         heap before and after 10^6 decoded and dropped messages
 *   memory-child.mjs connections LIBRARY ADDRESS     bytes of an idle connection
 *   memory-child.mjs pending LIBRARY ADDRESS         bytes of a call that waits for its reply
 */
import assert from 'node:assert/strict';
import { encodeMessage, MessageParser } from '../../dist/wire/index.js';
import { BODIES, replyOf } from '../lib/messages.mjs';
import { GET_ID, LIBRARIES } from './libraries.mjs';
import { openSilentPeer } from './silent-peer.mjs';

const DECODED = 1_000_000;
const CONNECTIONS = 200;
const PENDING = 10_000;

/** What is in use once all that can be collected has been: of the heap and beside it, and of the system. */
async function inUse() {
  for (let times = 0; times < 4; times += 1) {
    globalThis.gc?.();
    // What is freed by finalizers, and by handles that close in the next turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { held: heapUsed + external, rss };
}

/** The messages whose bytes are few enough that a million of them take seconds. */
const SMALL = ['call with 2 strings', 'GetSecret reply', 'GetAll reply'];

async function decoded() {
  const chunks = Object.entries(BODIES)
    .filter(([name]) => SMALL.includes(name))
    .map(([, [signature, body]]) => encodeMessage(replyOf(signature, body)));
  assert.equal(chunks.length, SMALL.length);
  const parser = new MessageParser();
  /** @param {number} count */
  const decode = (count) => {
    let messages = 0;
    for (let index = 0; index < count; index += 1) {
      // Each in two chunks, as a socket may cut it: the way over the parser's own buffer is measured too.
      const bytes = /** @type {Uint8Array} */ (chunks[index % chunks.length]);
      const cut = index % bytes.length;
      messages += parser.push(bytes.subarray(0, cut)).length + parser.push(bytes.subarray(cut)).length;
    }
    assert.equal(messages, count);
  };
  decode(10_000);
  const before = await inUse();
  decode(DECODED);
  const after = await inUse();
  return { count: DECODED, held: after.held - before.held, rss: after.rss - before.rss };
}

/** @param {import('./libraries.mjs').Open} open @param {string} address */
async function connections(open, address) {
  const openOne = async () => {
    const client = await open(address);
    await new Promise((resolve) => client.call(GET_ID, resolve));
    return client;
  };
  const clients = [];
  for (let index = 0; index < 10; index += 1) clients.push(await openOne());
  const before = await inUse();
  for (let index = 0; index < CONNECTIONS; index += 1) clients.push(await openOne());
  const after = await inUse();
  assert.equal(clients.length, CONNECTIONS + 10);
  return { count: CONNECTIONS, held: after.held - before.held, rss: after.rss - before.rss };
}

/** @param {import('./libraries.mjs').Open} open @param {string} address */
async function pending(open, address) {
  const silent = await openSilentPeer(address);
  const client = await open(address);
  const call = {
    destination: silent.uniqueName,
    path: '/',
    interface: 'com.example.Silent',
    member: 'Never',
  };
  const send = () => client.call(call, () => assert.fail('the peer that never answers has answered'));
  for (let index = 0; index < 100; index += 1) send();
  await silent.received(100);
  const before = await inUse();
  for (let index = 0; index < PENDING; index += 1) send();
  // Until the peer has them, their bytes may be on the way in queues of ours.
  await silent.received(100 + PENDING);
  const after = await inUse();
  return { count: PENDING, held: after.held - before.held, rss: after.rss - before.rss };
}

const [what, library = '', address = ''] = process.argv.slice(2);
const open = what === 'decoded' ? undefined : await LIBRARIES[library]?.();
if (globalThis.gc === undefined || (what !== 'decoded' && open === undefined)) {
  throw new Error(
    'usage: node --expose-gc memory-child.mjs decoded | connections LIBRARY ADDRESS | pending LIBRARY ADDRESS',
  );
}
const measure =
  open === undefined ? decoded : () => (what === 'pending' ? pending : connections)(open, address);
console.log(JSON.stringify(await measure()));
// Calls that wait and connections that are open go with the process.
process.exit(0);
