/**
 * A client of a message bus that is nothing but a socket and our codec: what real buses do can be watched with it, whatever
 * state the connection of `src/wire` is in. Calls are answered in order of their serials; everything else is kept.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parseAddress } from '../../src/wire/handshake/address.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import { MessageParser } from '../../src/wire/message/parser.js';

const BUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
};

export type SentMessage = Omit<Message, 'serial' | 'flags'> & { flags?: number };

export class RawBusClient {
  uniqueName = '';
  /** Messages that came and were no replies to calls, oldest first. */
  received: Message[] = [];
  readonly #socket: Socket;
  readonly #parser = new MessageParser();
  readonly #waiting = new Map<number, (reply: Message) => void>();
  #serial = 0;
  /** Made in one tick, written at its end. */
  #queue: Uint8Array[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Connects, authenticates and says Hello. */
  static async open(address: string): Promise<RawBusClient> {
    const path = parseAddress(address)[0]?.parameters.get('path');
    if (path === undefined) throw new Error(`no path in ${address}`);
    const socket = connect({ path });
    await once(socket, 'connect');
    socket.write('\0AUTH EXTERNAL\r\nDATA\r\n');
    let lines = '';
    while (!/^OK .*\r\n/m.test(lines)) {
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      lines += chunk.toString('latin1');
    }
    socket.write('BEGIN\r\n');
    const client = new RawBusClient(socket);
    socket.on('data', (chunk) => {
      for (const message of client.#parser.push(chunk)) client.#take(message);
    });
    socket.on('error', () => {});
    const hello = await client.callBus('Hello');
    client.uniqueName = hello.body[0] as string;
    return client;
  }

  /** Sends a message, at the latest when the present tick is over. Gives its serial. */
  send(message: SentMessage): number {
    const serial = ++this.#serial;
    if (this.#queue.length === 0) setImmediate(() => this.#flush());
    this.#queue.push(encodeMessage({ flags: 0, ...message, serial }));
    return serial;
  }

  /** Sends a call and waits for the reply, or the error. */
  call(message: Omit<SentMessage, 'type'>): Promise<Message> {
    return new Promise((resolve) => {
      this.#waiting.set(this.send({ ...message, type: 1 }), resolve);
    });
  }

  /** Calls a method of the bus itself. */
  callBus(member: string, signature = '', body: readonly unknown[] = []): Promise<Message> {
    return this.call({ ...BUS, member, signature, body });
  }

  close(): void {
    this.#socket.destroy();
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#queue);
    this.#queue = [];
    this.#socket.write(bytes);
  }

  #take(message: Message): void {
    const resolve = this.#waiting.get(message.replySerial ?? 0);
    if (resolve === undefined) {
      this.received.push(message);
      return;
    }
    this.#waiting.delete(message.replySerial as number);
    resolve(message);
  }
}
