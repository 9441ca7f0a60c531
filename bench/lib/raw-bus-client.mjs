/**
 * The floor for a call on a bus: a client that writes prepared bytes to the socket and counts those of the reply. What
 * any library adds to it is its own cost; the bus and the system's share are in both.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { encodeMessage } from 'secretbus/wire';

const BUS = {
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  destination: 'org.freedesktop.DBus',
};
const SERIAL_AT = 8;

/**
 * @param {string} path of the socket of the bus
 * @param {string} member a method of the bus without arguments
 */
export async function openRawBusClient(path, member) {
  const socket = connect({ path });
  await once(socket, 'connect');
  const uid = Buffer.from(String(process.getuid?.())).toString('hex');
  socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
  await once(socket, 'data');
  const hello = encodeMessage({
    type: 1,
    flags: 0,
    serial: 1,
    ...BUS,
    member: 'Hello',
    signature: '',
    body: [],
  });
  socket.write(Buffer.concat([Buffer.from('BEGIN\r\n'), hello]));
  // The reply to Hello and the signal NameAcquired, which may come in one chunk or two.
  await once(socket, 'data');
  await new Promise((resolve) => setTimeout(resolve, 100));
  const call = Buffer.from(
    encodeMessage({ type: 1, flags: 0, serial: 2, ...BUS, member, signature: '', body: [] }),
  );
  let serial = 1;
  let wanted = 0;
  /** @type {(() => void) | undefined} */
  let resume;
  socket.removeAllListeners('data');
  socket.on('data', (chunk) => {
    wanted -= chunk.length;
    if (wanted <= 0) resume?.();
  });
  /** @param {number} replyByteLength how many bytes to wait for */
  const sendAndWait = (replyByteLength) => {
    call.writeUInt32LE(++serial, SERIAL_AT);
    wanted = replyByteLength;
    socket.write(Buffer.from(call));
    return new Promise((/** @type {(value?: undefined) => void} */ resolve) => (resume = resolve));
  };
  const replyByteLength = await new Promise((resolve) => {
    socket.once('data', (chunk) => resolve(chunk.length));
    void sendAndWait(1);
  });
  return { call: () => sendAndWait(replyByteLength), close: () => socket.destroy() };
}
