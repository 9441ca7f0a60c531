/** A registry on a real bus, over a socket and a client of the test's own: nothing of ours but codec and framing. */
import { connect, type Socket } from 'node:net';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import { MessageParser } from '../../src/wire/message/parser.js';
import { ObjectRegistry } from '../../src/wire/objects/object-registry.js';

const BUS = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus' };

export interface RegistryOnBus extends AsyncDisposable {
  readonly registry: ObjectRegistry;
  /** What handlers threw that is no `MethodError`, and what could not be sent. */
  readonly errors: unknown[];
}

/** Path of the socket in an address that dbus-daemon printed. */
function socketPath(address: string): string {
  const path = /^unix:path=([^,;]*)/.exec(address)?.[1];
  if (path === undefined) throw new Error('not the address of a socket with a path');
  return decodeURIComponent(path);
}

/** Waits for the server's OK, and begins; gives the bytes after that. */
async function authenticate(socket: Socket): Promise<void> {
  const identity = Buffer.from(String(process.getuid?.())).toString('hex');
  socket.write(`\0AUTH EXTERNAL ${identity}\r\n`);
  const [line] = (await once(socket, 'data')) as [Buffer];
  if (!line.toString('latin1').startsWith('OK ')) throw new Error('the bus does not let us in');
  socket.write('BEGIN\r\n');
}

function once(socket: Socket, event: string): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    socket.once(event, (...args: unknown[]) => resolve(args));
    socket.once('error', reject);
  });
}

/** Connects a registry to the bus at `address`, under the well-known name `name`. */
export async function registryOnBus(address: string, name: string): Promise<RegistryOnBus> {
  const socket = connect({ path: socketPath(address) });
  await once(socket, 'connect');
  await authenticate(socket);
  let serial = 0;
  const send = (message: Omit<Message, 'serial'>): number => {
    socket.write(encodeMessage({ ...message, serial: ++serial }));
    return serial;
  };
  const errors: unknown[] = [];
  const registry = new ObjectRegistry({ send }, { onError: (error) => errors.push(error) });
  const replies = new Map<number, (reply: Message) => void>();
  const parser = new MessageParser();
  socket.on('data', (bytes) => {
    for (const message of parser.push(bytes)) {
      if (message.type === 1) registry.handle(message);
      else replies.get(message.replySerial ?? 0)?.(message);
    }
  });
  const ask = (member: string, signature = '', body: unknown[] = []): Promise<Message> =>
    new Promise((resolve) => {
      replies.set(send({ type: 1, flags: 0, ...BUS, member, signature, body }), resolve);
    });
  await ask('Hello');
  const { body } = await ask('RequestName', 'su', [name, 4]);
  if (body[0] !== 1) throw new Error(`the name ${name} is not ours`);
  return {
    registry,
    errors,
    async [Symbol.asyncDispose]() {
      registry.close();
      const ended = once(socket, 'close');
      socket.destroy();
      await ended;
    },
  };
}
