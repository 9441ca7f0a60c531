/** A client of a bus that answers Introspect with a given document, and has no values for properties. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import { MessageParser } from '../../src/wire/message/parser.js';

export interface IntrospectionServer {
  /** Its unique name. */
  readonly name: string;
  close(): Promise<void>;
}

/** @param address of a private bus: one Unix socket. */
export async function serveIntrospection(address: string, xml: string): Promise<IntrospectionServer> {
  const path = /^unix:path=([^,;]+)/.exec(address)?.[1];
  if (path === undefined) throw new Error(`not the address of a Unix socket: ${address}`);
  const socket = createConnection(decodeURIComponent(path));
  await once(socket, 'connect');
  const uid = Buffer.from(String(process.getuid?.())).toString('hex');
  socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.toString('latin1').startsWith('OK ')) throw new Error('the bus does not let us in');
  socket.write('BEGIN\r\n');

  let serial = 0;
  const send = (fields: Partial<Message>): void => {
    serial++;
    socket.write(encodeMessage({ flags: 0, signature: '', body: [], type: 1, ...fields, serial }));
  };
  const reply = (call: Message): void => {
    const common = { replySerial: call.serial, destination: call.sender as string };
    if (call.member === 'Introspect') send({ ...common, type: 2, signature: 's', body: [xml] });
    else if (call.member === 'GetAll') send({ ...common, type: 2, signature: 'a{sv}', body: [new Map()] });
    else send({ ...common, type: 3, errorName: 'org.freedesktop.DBus.Error.UnknownMethod' });
  };

  const parser = new MessageParser();
  const name = new Promise<string>((resolve, reject) => {
    socket.once('error', reject);
    socket.on('data', (chunk: Buffer) => {
      for (const message of parser.push(chunk)) {
        if (message.type === 1) reply(message);
        if (message.type === 2 && message.replySerial === 1) resolve(message.body[0] as string);
      }
    });
  });
  const bus = 'org.freedesktop.DBus';
  send({ destination: bus, path: '/org/freedesktop/DBus', interface: bus, member: 'Hello' });
  return {
    name: await name,
    close: async () => {
      socket.end();
      if (!socket.closed) await once(socket, 'close');
    },
  };
}
