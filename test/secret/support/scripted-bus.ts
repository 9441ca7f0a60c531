/**
 * A bus played by the test: the other end of a memory pair, which authenticates, answers Hello, and asks
 * a function of the test for the answer to everything else.
 */
import {
  type Bus,
  createMemoryPair,
  encodeMessage,
  type Message,
  MessageParser,
  MessageType,
  openBus,
  type Transport,
} from '../../../src/wire/index.js';

/** What the test answers; `undefined` is no answer at all. */
export type Reply =
  | { readonly signature?: string; readonly body?: readonly unknown[] }
  | { readonly error: string; readonly text?: string }
  | undefined;

export const returned = (signature: string, ...body: readonly unknown[]): Reply => ({ signature, body });
export const failed = (error: string, text = 'as the test wants'): Reply => ({ error, text });

/** A bus of the test's with one client on it. */
export interface ScriptedBus {
  readonly bus: Bus;
  /** Ends the connection from the other side. */
  hangUp(): void;
}

const GUID = '0123456789abcdef0123456789abcdef';

class BusPeer {
  readonly #transport: Transport;
  readonly #respond: (call: Message) => Reply;
  readonly #parser = new MessageParser();
  #lines = '';
  #isAuthenticated = false;
  #serial = 0;

  constructor(transport: Transport, respond: (call: Message) => Reply) {
    this.#transport = transport;
    this.#respond = respond;
  }

  begin(): void {
    this.#transport.start({ receive: (bytes) => this.#receive(bytes), ended: () => {} });
  }

  hangUp(): void {
    this.#transport.destroy();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isAuthenticated) {
      for (const message of this.#parser.push(bytes)) this.#answer(message);
      return;
    }
    this.#lines += Buffer.from(bytes).toString('latin1');
    if (/AUTH [^\n]*\r\n/.test(this.#lines)) {
      this.#transport.write(Buffer.from(`OK ${GUID}\r\n`));
      this.#lines = this.#lines.replace(/.*AUTH [^\n]*\r\n/s, '');
    }
    const begin = this.#lines.indexOf('BEGIN\r\n');
    if (begin === -1) return;
    this.#isAuthenticated = true;
    this.#receive(Buffer.from(this.#lines.slice(begin + 7), 'latin1'));
  }

  #answer(call: Message): void {
    if (call.type !== MessageType.methodCall) return;
    const reply = call.member === 'Hello' ? returned('s', ':1.1') : this.#respond(call);
    if (reply === undefined) return;
    const common = {
      flags: 1,
      serial: ++this.#serial,
      replySerial: call.serial,
      ...(call.destination !== undefined && { sender: call.destination }),
    };
    const message: Message =
      'error' in reply
        ? {
            ...common,
            type: MessageType.error,
            errorName: reply.error,
            signature: 's',
            body: [reply.text ?? ''],
          }
        : {
            ...common,
            type: MessageType.methodReturn,
            signature: reply.signature ?? '',
            body: reply.body ?? [],
          };
    this.#transport.write(encodeMessage(message));
  }
}

/** Plays the bus on the far end of any transport. */
export function serveBus(transport: Transport, respond: (call: Message) => Reply): void {
  new BusPeer(transport, respond).begin();
}

/** Opens a bus whose answers come from `respond`. */
export async function openScriptedBus(respond: (call: Message) => Reply): Promise<ScriptedBus> {
  const [ours, theirs] = createMemoryPair();
  const peer = new BusPeer(theirs, respond);
  peer.begin();
  const bus = await openBus(ours);
  return { bus, hangUp: () => peer.hangUp() };
}
