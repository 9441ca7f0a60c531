/** A bus in the hands of the test: it authenticates, answers Hello, and leaves every other call to a script. */
import {
  type Bus,
  type BusOptions,
  createMemoryPair,
  encodeMessage,
  type Message,
  MessageParser,
  openBus,
  type Transport,
} from '../../src/wire/index.js';

export const GUID = '0123456789abcdef0123456789abcdef';
const UNIQUE_NAME = ':1.7';

/** What a script does with a call: a reply, an error, or (undefined) nothing. */
export type Answer =
  | { signature: string; body: unknown[]; sender?: string }
  | { errorName: string; text?: string; sender?: string }
  | undefined;

export class ScriptedPeer {
  /** Calls received, Hello left out. */
  readonly calls: Message[] = [];
  /** Messages received that are not calls. */
  readonly others: Message[] = [];
  ended = false;
  readonly #transport: Transport;
  readonly #answer: (call: Message) => Answer | Promise<Answer>;
  readonly #parser = new MessageParser();
  #lines = '';
  #began = false;
  #serial = 0;

  constructor(transport: Transport, answer: (call: Message) => Answer | Promise<Answer>) {
    this.#transport = transport;
    this.#answer = answer;
    transport.start({ receive: (bytes) => this.#receive(bytes), ended: () => (this.ended = true) });
  }

  /** Writes bytes as they are. */
  write(bytes: Uint8Array): void {
    this.#transport.write(bytes);
  }

  send(message: Omit<Message, 'serial'>, endian: 'little' | 'big' = 'little'): void {
    this.write(encodeMessage({ ...message, serial: ++this.#serial }, { endian }));
  }

  destroy(): void {
    this.#transport.destroy();
  }

  /** Sends the answer to a call. */
  reply(call: Message, answer: NonNullable<Answer>, endian: 'little' | 'big' = 'little'): void {
    const common = { flags: 1, replySerial: call.serial, sender: answer.sender ?? call.destination ?? 'a.b' };
    if ('errorName' in answer) {
      const { errorName, text = 'because' } = answer;
      this.send({ ...common, type: 3, errorName, signature: 's', body: [text] }, endian);
    } else {
      this.send({ ...common, type: 2, signature: answer.signature, body: answer.body }, endian);
    }
  }

  #receive(bytes: Uint8Array): void {
    let messages = bytes;
    if (!this.#began) {
      this.#lines += Buffer.from(bytes).toString('latin1');
      if (this.#lines.includes('AUTH') && !this.#lines.includes('BEGIN'))
        this.write(Buffer.from(`OK ${GUID}\r\n`));
      const begin = this.#lines.indexOf('BEGIN\r\n');
      if (begin === -1) return;
      this.#began = true;
      messages = Buffer.from(this.#lines.slice(begin + 7), 'latin1');
    }
    for (const message of this.#parser.push(messages)) void this.#take(message);
  }

  async #take(message: Message): Promise<void> {
    if (message.type !== 1) {
      this.others.push(message);
    } else if (message.member === 'Hello') {
      this.reply(message, { signature: 's', body: [UNIQUE_NAME] });
    } else {
      this.calls.push(message);
      const answer = await this.#answer(message);
      if (answer !== undefined) this.reply(message, answer);
    }
  }
}

/** Opens a bus whose other side is a script. */
export async function openScriptedBus(
  answer: (call: Message) => Answer | Promise<Answer>,
  options: BusOptions = {},
): Promise<{ bus: Bus; peer: ScriptedPeer }> {
  const [ours, theirs] = createMemoryPair();
  const peer = new ScriptedPeer(theirs, answer);
  return { bus: await openBus(ours, options), peer };
}
