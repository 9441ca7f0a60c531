/**
 * A client of a bus that reads calls and never answers, in a process of its own: `node silent-peer.mjs SOCKET` prints its
 * unique name, then how many calls it has read whenever that grows.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { encodeMessage, MessageParser, MessageType } from '../../dist/wire/index.js';

const FILE = fileURLToPath(import.meta.url);
const BUS = {
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  destination: 'org.freedesktop.DBus',
};

/**
 * Starts one; it goes with this process.
 * @param {string} address of the bus, of a `unix:path`
 * @returns {Promise<{ uniqueName: string, received: (count: number) => Promise<void> }>} `received` resolves when so many
 * calls have been read in all
 */
export async function openSilentPeer(address) {
  const path = /** @type {RegExpExecArray} */ (/unix:path=([^,]+)/.exec(address))[1];
  const child = spawn(process.execPath, [FILE, /** @type {string} */ (path)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async () => {
    const { done, value } = await lines.next();
    if (done) throw new Error('the peer that never answers has ended');
    return value;
  };
  const uniqueName = await nextLine();
  let count = 0;
  return {
    uniqueName,
    received: async (wanted) => {
      while (count < wanted) count = Number(await nextLine());
    },
  };
}

/** @param {string} path */
async function run(path) {
  const socket = connect({ path });
  const uid = Buffer.from(String(process.getuid?.())).toString('hex');
  socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
  await once(socket, 'data');
  const hello = {
    type: MessageType.methodCall,
    flags: 0,
    serial: 1,
    ...BUS,
    member: 'Hello',
    signature: '',
    body: [],
  };
  socket.write(Buffer.concat([Buffer.from('BEGIN\r\n'), encodeMessage(hello)]));
  const parser = new MessageParser();
  let count = 0;
  socket.on('data', (chunk) => {
    const before = count;
    for (const message of parser.push(chunk)) {
      if (message.type === MessageType.methodReturn) console.log(String(message.body[0]));
      else if (message.type === MessageType.methodCall) count += 1;
    }
    if (count > before) console.log(count);
  });
  // The end of the input is the end of the one that started us.
  process.stdin.resume().on('end', () => socket.destroy());
}

if (process.argv[1] === FILE) await run(/** @type {string} */ (process.argv[2]));
