/**
 * The client's side of the authentication protocol, as a machine that never touches a socket (D-Bus specification,
 * "Authentication Protocol"). Layer 4: imports lower layers only.
 */
import { AuthError } from '../base/errors.js';
import { MAX_SASL_LINE_BYTE_LENGTH, MAX_SASL_LINES } from '../base/limits.js';

/** A mechanism to try, in the order given. */
export type SaslMechanism =
  /** The server takes who we are from the socket; `identity`, our uid in decimal, is checked against that when given. */
  | { readonly name: 'EXTERNAL'; readonly identity?: string }
  /** No identity; `trace` is shown to the server. */
  | { readonly name: 'ANONYMOUS'; readonly trace?: string };

/** What to do after bytes were taken. */
export interface SaslStep {
  /** Bytes to send to the server; may be empty. */
  readonly send: Uint8Array;
  /** Set once the authentication is done. Messages follow `send` in the same direction. */
  readonly done?: {
    /** The server's guid: 32 hexadecimal digits. */
    readonly guid: string;
    /** Bytes that came after the server's last line, the start of its messages: a copy. */
    readonly rest: Uint8Array;
  };
}

const LF = 0x0a;
const encoder = new TextEncoder();

function hexOf(text: string): string {
  return Array.from(encoder.encode(text), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The initial response of a mechanism in hexadecimal, or undefined when the server is to ask for it. */
function initialResponse(mechanism: SaslMechanism): string | undefined {
  if (mechanism.name === 'ANONYMOUS') return hexOf(mechanism.trace ?? 'secretbus');
  return mechanism.identity === undefined ? undefined : hexOf(mechanism.identity);
}

function authLine(mechanism: SaslMechanism): string {
  const response = initialResponse(mechanism);
  return response === undefined ? `AUTH ${mechanism.name}\r\n` : `AUTH ${mechanism.name} ${response}\r\n`;
}

/** Authenticates to a server: `start`, then `receive` whatever it sends until a step is done. */
export class SaslClient {
  readonly #mechanisms: readonly SaslMechanism[];
  #current = 0;
  /** ASCII of a line whose end has not come. */
  #partial = '';
  #lines = 0;
  #state: 'new' | 'waiting' | 'cancelling' | 'over' = 'new';

  constructor(options: { mechanisms: readonly SaslMechanism[] }) {
    this.#mechanisms = options.mechanisms;
  }

  /** The first bytes: the NUL that carries the credentials of the socket, and the first mechanism. @throws {AuthError} `no-mechanism` */
  start(): Uint8Array {
    const [first] = this.#mechanisms;
    this.#state = 'waiting';
    if (first === undefined)
      throw new AuthError('no-mechanism', 'no mechanism of authentication is left to try');
    return encoder.encode(`\0${authLine(first)}`);
  }

  /**
   * Takes bytes from the server, however they are chunked. After an error it takes no more.
   * @throws {AuthError} `rejected` when the server takes none of the mechanisms, `protocol` when it breaks the protocol
   */
  receive(chunk: Uint8Array): SaslStep {
    if (this.#state === 'new') throw new AuthError('protocol', 'the server spoke first');
    if (this.#state === 'over') throw new AuthError('protocol', 'the authentication is over');
    try {
      return this.#receive(chunk);
    } catch (error) {
      this.#state = 'over';
      throw error;
    }
  }

  #receive(chunk: Uint8Array): SaslStep {
    let send = '';
    let at = 0;
    while (at < chunk.length) {
      const newline = chunk.indexOf(LF, at);
      const end = newline === -1 ? chunk.length : newline + 1;
      this.#append(chunk.subarray(at, end));
      at = end;
      if (newline === -1) break;
      const line = this.#partial;
      this.#partial = '';
      const reply = this.#handle(line);
      send += reply.send;
      if (reply.guid !== undefined) {
        this.#state = 'over';
        const rest = new Uint8Array(chunk.subarray(at));
        return { send: encoder.encode(send), done: { guid: reply.guid, rest } };
      }
    }
    return { send: encoder.encode(send) };
  }

  #append(bytes: Uint8Array): void {
    if (this.#partial.length + bytes.length > MAX_SASL_LINE_BYTE_LENGTH) {
      throw new AuthError(
        'protocol',
        `the server sent a line of more than ${MAX_SASL_LINE_BYTE_LENGTH} bytes`,
      );
    }
    for (const byte of bytes) this.#partial += String.fromCharCode(byte);
  }

  /** `line` includes its LF. */
  #handle(line: string): { send: string; guid?: string } {
    if (++this.#lines > MAX_SASL_LINES) throw new AuthError('protocol', 'the server does not come to an end');
    if (!/^[\x20-\x7e]*\r\n$/.test(line))
      throw new AuthError('protocol', 'the server sent a line that is not ASCII and CR LF');
    const [command = '', ...words] = line.trimEnd().split(' ');
    if (this.#state === 'cancelling' && command !== 'REJECTED') {
      throw new AuthError('protocol', 'the server does not cancel as it must');
    }
    switch (command) {
      case 'OK': {
        const guid = words[0] ?? '';
        if (!/^[0-9a-fA-F]{32}$/.test(guid)) throw new AuthError('protocol', 'the server sent no valid guid');
        return { send: 'BEGIN\r\n', guid: guid.toLowerCase() };
      }
      case 'DATA':
        return { send: this.#data() };
      case 'REJECTED':
        return { send: this.#next(words) };
      case 'ERROR':
        // The server did not take our last line; cancelling makes it say REJECTED, and with that the next is tried.
        return { send: this.#cancel() };
      default:
        return { send: 'ERROR\r\n' };
    }
  }

  /** The server asks for the response that was not in the AUTH line; neither mechanism has any other. */
  #data(): string {
    const mechanism = this.#mechanisms[this.#current];
    const withheld = mechanism !== undefined && initialResponse(mechanism) === undefined;
    return withheld ? 'DATA\r\n' : this.#cancel();
  }

  #cancel(): string {
    this.#state = 'cancelling';
    return 'CANCEL\r\n';
  }

  /** Goes on to the next mechanism that the server lists; a server that lists none is tried with each. */
  #next(offered: readonly string[]): string {
    this.#state = 'waiting';
    for (this.#current++; this.#current < this.#mechanisms.length; this.#current++) {
      const mechanism = this.#mechanisms[this.#current] as SaslMechanism;
      if (offered.length === 0 || offered.includes(mechanism.name)) return authLine(mechanism);
    }
    throw new AuthError(
      'rejected',
      `the server refused to authenticate us; it offers: ${offered.join(' ').slice(0, 200) || 'nothing'}`,
    );
  }
}
