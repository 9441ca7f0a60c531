/**
 * A bus in the hands of a check: it authenticates, answers Hello and AddMatch, and leaves every other call to the check.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bytes, encodeFrame, readFrames, TYPE } from './frames.mjs';

export const GUID = '0123456789abcdef0123456789abcdef';
const BUS = 'org.freedesktop.DBus';
export const CLIENT_NAME = ':1.7';

/** @typedef {import('./frames.mjs').Received} Received */
/** @typedef {import('node:net').Socket} Socket */

/**
 * @typedef {object} Script
 * @property {'path' | 'tcp' | 'nonce-tcp'} [transport]
 * @property {(socket: Socket) => boolean} [connected] true: it has taken the connection over
 * @property {(line: string) => string | undefined} [authenticate] the answer to a line, if not that to any EXTERNAL
 * @property {(call: Received, socket: Socket) => void} [call] takes each call but those that the bus answers itself
 */

/** Sends what a method gives. @param {Socket} socket @param {Received} call @param {string} signature @param {Uint8Array} body @param {Partial<import('./frames.mjs').Frame>} [more] */
export function reply(socket, call, signature, body, more = {}) {
  socket.write(encodeFrame(replyFrame(call, signature, body, more)));
}

/** @param {Received} call @param {string} signature @param {Uint8Array} body @param {Partial<import('./frames.mjs').Frame>} [more] @returns {import('./frames.mjs').Frame} */
export function replyFrame(call, signature, body, { fields, ...more } = {}) {
  const sender = call.fields['destination'] ?? BUS;
  return {
    type: TYPE.methodReturn,
    body,
    ...more,
    fields: {
      replySerial: call.serial,
      sender,
      destination: CLIENT_NAME,
      ...(signature === '' ? {} : { signature }),
      ...fields,
    },
  };
}

/** @param {Received} call @param {Socket} socket @returns {boolean} whether it was one for the bus */
function answerAsBus(call, socket) {
  if (call.fields['destination'] !== BUS) return false;
  const { member } = call.fields;
  if (member === 'Hello') reply(socket, call, 's', new Bytes().string(CLIENT_NAME).buffer);
  else if (member === 'GetNameOwner') reply(socket, call, 's', new Bytes().string(':1.5').buffer);
  else if (member === 'GetId') reply(socket, call, 's', new Bytes().string(GUID).buffer);
  else if (member === 'AddMatch' || member === 'RemoveMatch') reply(socket, call, '', Buffer.alloc(0));
  else return false;
  return true;
}

/** @param {string} line @param {Script['authenticate']} authenticate */
function answerLine(line, authenticate) {
  if (authenticate !== undefined) return authenticate(line);
  if (line.startsWith('AUTH EXTERNAL ')) return `OK ${GUID}`;
  return line.startsWith('AUTH') ? 'REJECTED EXTERNAL' : 'ERROR';
}

/** @param {Socket} socket @param {Script} script @param {Buffer | undefined} nonce @param {Received[]} calls */
function serve(socket, script, nonce, calls) {
  /** @type {Buffer} */
  let bytes = Buffer.alloc(0);
  let state = nonce === undefined ? 'nul' : 'nonce';
  const advance = () => {
    if (state === 'nonce' && nonce !== undefined && bytes.length >= 16) {
      if (!bytes.subarray(0, 16).equals(nonce)) {
        socket.destroy();
        return;
      }
      bytes = bytes.subarray(16);
      state = 'nul';
    }
    if (state === 'nul' && bytes.length > 0) {
      bytes = bytes.subarray(1);
      state = 'lines';
    }
    for (let end = bytes.indexOf('\r\n'); state === 'lines' && end >= 0; end = bytes.indexOf('\r\n')) {
      const line = bytes.toString('latin1', 0, end);
      bytes = bytes.subarray(end + 2);
      if (line.startsWith('BEGIN')) state = 'messages';
      else {
        const answer = answerLine(line, script.authenticate);
        if (answer !== undefined) socket.write(`${answer}\r\n`);
      }
    }
    if (state !== 'messages') return;
    const { messages, rest } = readFrames(bytes);
    bytes = rest;
    for (const message of messages) {
      calls.push(message);
      if (message.type === TYPE.methodCall && !answerAsBus(message, socket)) script.call?.(message, socket);
    }
  };
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    advance();
  });
}

/** Listens until `close`. @param {Script} script */
export async function startServer(script) {
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
  /** @type {Received[]} */
  const calls = [];
  /** @type {Set<Socket>} */
  const sockets = new Set();
  const { transport = 'path' } = script;
  const nonce = transport === 'nonce-tcp' ? Buffer.from('0123456789ABCDEF') : undefined;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    if (script.connected?.(socket) !== true) serve(socket, script, nonce, calls);
  });
  const name = join(folder, 'bus');
  let address = `unix:path=${name}`;
  if (transport === 'path') server.listen(name);
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  if (transport.endsWith('tcp')) {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    address = `${transport}:host=127.0.0.1,port=${port}`;
  }
  if (nonce !== undefined) {
    writeFileSync(join(folder, 'nonce'), nonce, { mode: 0o600 });
    address += `,noncefile=${folder}/nonce`;
  }
  return {
    address,
    folder,
    calls,
    sockets,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
