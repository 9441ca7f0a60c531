/**
 * The program that GNOME Keyring has its dialogs shown by, without a dialog: it answers as a test says.
 *
 * A client of the prompter exports a callback object and calls BeginPrompting with its path; the prompter calls PromptReady
 * on it, PerformPrompt asks a question, the next PromptReady answers it, and StopPrompting ends. Passwords travel in
 * a key file, encrypted with AES-128-CBC under a key of HKDF-SHA256 over Diffie-Hellman in the 1536-bit group of RFC 3526.
 */
import {
  createCipheriv,
  type DiffieHellmanGroup,
  getDiffieHellman,
  hkdfSync,
  randomBytes,
} from 'node:crypto';
import { type Bus, implement, MethodError, openBus, Variant } from '../../src/wire/index.js';

const PROMPTER_NAME = 'org.gnome.keyring.SystemPrompter';
const PROMPTER_PATH = '/org/gnome/keyring/Prompter';
const CALLBACK_INTERFACE = 'org.gnome.keyring.internal.Prompter.Callback';
const GROUP_BYTE_LENGTH = 192;

const definition = {
  name: 'org.gnome.keyring.internal.Prompter',
  methods: {
    BeginPrompting: { in: 'o' },
    PerformPrompt: { in: 'osa{sv}s' },
    StopPrompting: { in: 'o' },
  },
} as const;

/** What a dialog would show. */
export interface Question {
  readonly type: string;
  readonly message: string;
  readonly description: string;
  /** What was wrong with the answer before. */
  readonly warning: string;
  /** Whether a password is to be chosen. */
  readonly isNew: boolean;
  /** The window that the caller belongs to. */
  readonly window: string;
}

/** What a person would do: `remember` has the login keyring keep the password, `never` leaves the dialog alone. */
export type Answer =
  | { readonly password: string; readonly remember?: boolean }
  | 'confirm'
  | 'dismiss'
  | 'never';

interface Dialog {
  /** Who asks, and the path of its callback object. */
  readonly client: string;
  readonly path: string;
  readonly exchange: Exchange;
}

/** One side of the exchange of secrets. */
class Exchange {
  readonly #group: DiffieHellmanGroup = getDiffieHellman('modp5');
  readonly #publicKey: string = this.#group.generateKeys('base64');

  /** The key file with our public key. */
  begin(): string {
    return `[sx-aes-1]\npublic=${this.#publicKey}\n`;
  }

  /** The key file with a secret, for the one whose key file is `received`. */
  send(received: string, secret: string): string {
    const peer = /^public=(.+)$/m.exec(received)?.[1];
    if (peer === undefined) throw new Error('the key file has no public key');
    const shared = Buffer.alloc(GROUP_BYTE_LENGTH);
    const computed = this.#group.computeSecret(peer, 'base64');
    computed.copy(shared, GROUP_BYTE_LENGTH - computed.byteLength);
    const key = new Uint8Array(hkdfSync('sha256', shared, '', '', 16));
    const iv = randomBytes(16);
    const cipher = createCipheriv('aes-128-cbc', key, iv);
    const encrypted = Buffer.concat([cipher.update(secret), cipher.final()]);
    return `${this.begin()}secret=${encrypted.toString('base64')}\niv=${iv.toString('base64')}\n`;
  }
}

/** The prompter of one bus. */
export class Prompter implements AsyncDisposable {
  /** Every question asked so far. */
  readonly questions: Question[] = [];
  /** How many dialogs are open, and how many were at the same time at most. */
  open = 0;
  mostOpen = 0;
  readonly #bus: Bus;
  readonly #dialogs = new Map<string, Dialog>();
  #answer: (question: Question) => Answer | Promise<Answer> = () => 'dismiss';

  private constructor(bus: Bus) {
    this.#bus = bus;
  }

  static async start(address: string): Promise<Prompter> {
    const prompter = new Prompter(await openBus(address));
    const methods = {
      BeginPrompting: (path: string, { message }: { message: { sender?: string } }) =>
        prompter.#begin(path, message.sender ?? ''),
      PerformPrompt: (path: string, type: string, properties: Map<string, Variant>, exchange: string) =>
        prompter.#perform(path, type, properties, exchange),
      StopPrompting: (path: string) => prompter.#stop(path),
    };
    prompter.#bus.export(PROMPTER_PATH, [implement(definition, { methods })]);
    await prompter.#bus.requestName(PROMPTER_NAME);
    return prompter;
  }

  /** From now on answers each question as `answer` says: a list in its order and then by dismissing. */
  answer(answer: readonly Answer[] | ((question: Question) => Answer | Promise<Answer>)): void {
    this.questions.length = 0;
    this.mostOpen = this.open;
    const left = typeof answer === 'function' ? [] : [...answer];
    this.#answer = typeof answer === 'function' ? answer : () => left.shift() ?? 'dismiss';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bus.close();
  }

  #begin(path: string, client: string): void {
    const dialog = { client, path, exchange: new Exchange() };
    this.#dialogs.set(path, dialog);
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    // The client takes it only once it has the reply to this.
    setImmediate(() => void this.#ready(dialog, '', dialog.exchange.begin()));
  }

  #perform(path: string, type: string, properties: Map<string, Variant>, received: string): void {
    const dialog = this.#dialogs.get(path);
    if (dialog === undefined) throw new MethodError('org.freedesktop.DBus.Error.Failed', 'no such dialog');
    const text = (name: string): string => {
      const value = properties.get(name)?.value;
      return typeof value === 'string' ? value : '';
    };
    const question = {
      type,
      message: text('message'),
      description: text('description'),
      warning: text('warning'),
      isNew: properties.get('password-new')?.value === true,
      window: text('caller-window'),
    };
    this.questions.push(question);
    void this.#respond(dialog, question, received);
  }

  async #respond(dialog: Dialog, question: Question, received: string): Promise<void> {
    const answer = await this.#answer(question);
    if (answer === 'never') return;
    const { exchange } = dialog;
    if (typeof answer !== 'object') {
      await this.#ready(dialog, answer === 'dismiss' ? 'no' : 'yes', exchange.begin());
      return;
    }
    const { password, remember = false } = answer;
    // A strength of 0 means that there is no password. Variants in variants are of the protocol.
    const properties = new Map<string, Variant>([
      ['password-strength', new Variant('v', new Variant('i', password.length))],
      ['choice-chosen', new Variant('v', new Variant('b', remember))],
    ]);
    await this.#ready(dialog, 'yes', exchange.send(received, password), properties);
  }

  #stop(path: string): void {
    const dialog = this.#dialogs.get(path);
    if (dialog === undefined) return;
    this.#dialogs.delete(path);
    this.open--;
    void this.#callBack(dialog, 'PromptDone', '', []);
  }

  async #ready(
    dialog: Dialog,
    reply: string,
    exchange: string,
    properties: ReadonlyMap<string, Variant> = new Map(),
  ): Promise<void> {
    await this.#callBack(dialog, 'PromptReady', 'sa{sv}s', [reply, properties, exchange]);
  }

  async #callBack(
    { client, path }: Dialog,
    member: string,
    signature: string,
    body: unknown[],
  ): Promise<void> {
    try {
      await this.#bus.call({
        destination: client,
        path,
        interface: CALLBACK_INTERFACE,
        member,
        signature,
        body,
      });
    } catch {
      // Who asked may have ended, or no longer want to know.
    }
  }
}
