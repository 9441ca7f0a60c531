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

/** Answers a call, at once or later. */
export type Respond = (call: Message, peer: BusPeer) => Reply | Promise<Reply>;

/** A signal to be sent. */
export interface Signal {
  readonly sender: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly unknown[];
  /** The unique name of the one it is for; for everybody if not given. */
  readonly destination?: string | undefined;
}

/** A bus of the test's with one client on it. */
export interface ScriptedBus {
  readonly bus: Bus;
  readonly peer: BusPeer;
  /** Ends the connection from the other side. */
  readonly hangUp: () => void;
}

const GUID = '0123456789abcdef0123456789abcdef';

/** What distinguishes one connection to the bus from another. */
export interface PeerOptions {
  /** The name that the client gets. */
  readonly uniqueName?: string | undefined;
  readonly ended?: ((peer: BusPeer) => void) | undefined;
}

/** The bus's end of one connection. */
export class BusPeer {
  readonly uniqueName: string;
  readonly #transport: Transport;
  readonly #respond: Respond;
  readonly #ended: ((peer: BusPeer) => void) | undefined;
  readonly #parser = new MessageParser();
  /** The calls that have had no answer. */
  readonly #unanswered = new Set<Message>();
  #lines = '';
  #isAuthenticated = false;
  #serial = 0;

  constructor(transport: Transport, respond: Respond, { uniqueName = ':1.1', ended }: PeerOptions = {}) {
    this.#transport = transport;
    this.#respond = respond;
    this.uniqueName = uniqueName;
    this.#ended = ended;
  }

  begin(): void {
    this.#transport.start({
      receive: (bytes) => this.#receive(bytes),
      ended: () => this.#ended?.(this),
    });
  }

  hangUp(): void {
    this.#transport.destroy();
  }

  /** Sends a signal, whether the client has asked for it or not. */
  emit(signal: Signal): void {
    this.emitAll([signal]);
  }

  /** Sends signals in one piece. */
  emitAll(signals: readonly Signal[]): void {
    const common = { type: MessageType.signal, flags: 1 };
    const messages = signals.map((signal) =>
      encodeMessage({ ...common, serial: ++this.#serial, ...signal } as Message),
    );
    this.#transport.write(Buffer.concat(messages));
  }

  /** Answers every call to `destination` that has no answer. */
  answerAll(destination: string, reply: NonNullable<Reply>): void {
    for (const call of this.#unanswered) if (call.destination === destination) this.#send(call, reply);
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
    this.#unanswered.add(call);
    if (call.member === 'Hello') {
      this.#send(call, returned('s', this.uniqueName));
      // As a bus does: the first name is acquired like any other.
      const bus = 'org.freedesktop.DBus';
      const acquired = { path: '/org/freedesktop/DBus', interface: bus, member: 'NameAcquired' };
      const { uniqueName: destination } = this;
      this.emit({ sender: bus, ...acquired, signature: 's', body: [destination], destination });
      return;
    }
    const reply = this.#respond(call, this);
    if (reply instanceof Promise) void reply.then((later) => this.#send(call, later));
    else this.#send(call, reply);
  }

  #send(call: Message, reply: Reply): void {
    if (reply === undefined || !this.#unanswered.delete(call)) return;
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
export function serveBus(transport: Transport, respond: Respond, options: PeerOptions = {}): BusPeer {
  const peer = new BusPeer(transport, respond, options);
  peer.begin();
  return peer;
}

/** Opens a bus whose answers come from `respond`. */
export async function openScriptedBus(respond: Respond, options: PeerOptions = {}): Promise<ScriptedBus> {
  const [ours, theirs] = createMemoryPair();
  const peer = serveBus(theirs, respond, options);
  const bus = await openBus(ours);
  return { bus, peer, hangUp: () => peer.hangUp() };
}
