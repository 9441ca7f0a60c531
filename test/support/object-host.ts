/** A connection in the hands of the test: keeps what a registry sends, which is valid or refused as on a real one. */

import { decodeMessage } from '../../src/wire/message/decode.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import {
  type ObjectHost,
  ObjectRegistry,
  type RegistryOptions,
} from '../../src/wire/objects/object-registry.js';
import type { ErrorPlace } from '../../src/wire/objects/property-values.js';

export const MACHINE_ID = '0123456789abcdef0123456789abcdef';
export const CALLER = ':1.99';

export type TestCall = Partial<Message> & { member: string };

export class TestHost implements ObjectHost {
  /** What was sent, as its receiver reads it. */
  readonly sent: Message[] = [];
  /** What was given to `onError`. */
  readonly errors: { error: unknown; place: ErrorPlace }[] = [];
  /** Thrown by `send` while it is set. */
  refusal: Error | undefined;
  readonly registry: ObjectRegistry;
  #serial = 0;
  #callSerial = 0;

  constructor(options: RegistryOptions = {}) {
    this.registry = new ObjectRegistry(this, {
      onError: (error, place) => this.errors.push({ error, place }),
      ...options,
    });
  }

  send(message: Omit<Message, 'serial'>): void {
    if (this.refusal !== undefined) throw this.refusal;
    this.sent.push(decodeMessage(encodeMessage({ ...message, serial: ++this.#serial })));
  }

  machineId(): string {
    return MACHINE_ID;
  }

  /** Hands a call in without waiting for anything; gives its serial. */
  hand(call: TestCall): number {
    const serial = call.serial ?? ++this.#callSerial;
    this.registry.handle({
      type: 1,
      flags: 0,
      path: '/org/example/Object',
      signature: '',
      body: [],
      sender: CALLER,
      ...call,
      serial,
    });
    return serial;
  }

  /** The reply to a call, which must be one, and addressed to the caller. */
  async call(call: TestCall): Promise<Message> {
    const before = this.sent.length;
    const serial = this.hand(call);
    if (this.sent.length !== before) throw new Error('something was sent within handle()');
    let replies: Message[] = [];
    for (let turns = 0; turns < 100 && replies.length === 0; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      replies = this.sent.filter((message) => message.replySerial === serial);
    }
    const [reply] = replies;
    if (reply === undefined || replies.length > 1) throw new Error(`${replies.length} replies`);
    if (reply.destination !== CALLER) throw new Error('the reply is not addressed to the caller');
    return reply;
  }

  /** The values of a METHOD_RETURN. */
  async values(call: TestCall): Promise<readonly unknown[]> {
    const reply = await this.call(call);
    if (reply.type !== 2) throw new Error(`${reply.errorName}: ${String(reply.body[0])}`);
    return reply.body;
  }

  /** The name of an ERROR, without the standard prefix. */
  async errorName(call: TestCall): Promise<string> {
    const reply = await this.call(call);
    if (reply.type !== 3) throw new Error('a METHOD_RETURN came');
    return (reply.errorName as string).replace('org.freedesktop.DBus.Error.', '');
  }

  /** Signals sent so far, as tuples that are easy to compare. */
  signals(): unknown[][] {
    return this.sent
      .filter(({ type }) => type === 4)
      .map(({ path, member, body }) => [path, member].concat(body as string[]));
  }
}

/** Until everything that is under way has been sent. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
}
