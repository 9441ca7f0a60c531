/**
 * The client's side of the authentication protocol, as a machine that never touches a socket (D-Bus specification,
 * "Authentication Protocol", "Client state machine"). Layer 4: imports lower layers only.
 */
import { AuthError } from '../base/errors.js';
import { MAX_COOKIE_ID, MAX_SASL_LINE_BYTE_LENGTH, MAX_SASL_LINES } from '../base/limits.js';
import { isCookieContext } from './cookie-context.js';
import { bytesOf, hexOf, textOfHex } from './hex.js';
import { callMechanism, isGuid, LineReader, type SaslStep, splitCommand } from './sasl.js';

export type { SaslMechanismName, SaslResult, SaslStep } from './sasl.js';

/** What a server that asks for DBUS_COOKIE_SHA1 wants to see: that we can read its cookie. */
export interface CookieChallenge {
  /** The file of the keyring: a name that {@link isCookieContext} takes. */
  readonly context: string;
  /** The cookie in that file. */
  readonly id: number;
  /** The server's share of what is hashed, without spaces. */
  readonly challenge: string;
}

/** DBUS_COOKIE_SHA1: we show that we can read files in the home folder of a user. */
export interface CookieMechanism {
  readonly name: 'DBUS_COOKIE_SHA1';
  /** Who we are: a uid in decimal, or a user's name. */
  readonly user: string;
  /**
   * The response: our challenge, a space, and the SHA-1 of `challenge:ours:cookie` in hexadecimal; undefined when we do not
   * have the cookie, and the next mechanism is to be tried. It must not throw.
   */
  readonly respond: (challenge: CookieChallenge) => string | undefined;
}

/** A mechanism to try, in the order given. */
export type SaslMechanism =
  /** The server takes who we are from the socket; `identity`, our uid in decimal, is checked against that when given. */
  | { readonly name: 'EXTERNAL'; readonly identity?: string }
  /** No identity; `trace` is shown to the server. */
  | { readonly name: 'ANONYMOUS'; readonly trace?: string }
  | CookieMechanism;

/** How to authenticate. */
export interface SaslClientOptions {
  readonly mechanisms: readonly SaslMechanism[];
  /**
   * Asks whether file descriptors may be passed, which costs a round trip; false if not given. For transports that can
   * pass them: after the server has agreed it may send some.
   */
  readonly negotiateUnixFd?: boolean | undefined;
  /**
   * Sends everything in the first write, `BEGIN` too, so that messages may follow at once; false if not given. It takes
   * exactly one mechanism, EXTERNAL or ANONYMOUS, and no `negotiateUnixFd`. A server that does not take it, or a proxy that
   * wants one line at a time, leaves no way on but a new connection without this.
   */
  readonly pipeline?: boolean | undefined;
}

/** The text of the initial response; empty when the server is to ask for it. @throws {AuthError} `unknown-mechanism` */
function responseOf(mechanism: SaslMechanism): string {
  switch (mechanism.name) {
    case 'EXTERNAL':
      return mechanism.identity ?? '';
    case 'ANONYMOUS':
      return mechanism.trace ?? 'secretbus';
    case 'DBUS_COOKIE_SHA1':
      return mechanism.user;
    default:
      throw new AuthError('unknown-mechanism', 'an unknown mechanism of authentication');
  }
}

/** A line from its words, the last of which may be empty. @throws {AuthError} `mechanism-failed` when it is longer than a line may be */
function lineOf(command: string, hex: string): string {
  const line = `${command}${hex && ' '}${hex}\r\n`;
  if (line.length <= MAX_SASL_LINE_BYTE_LENGTH) return line;
  throw new AuthError('mechanism-failed', 'a mechanism of authentication has too long a response');
}

/** What it waits for, after the states of the specification; `new` and `over` are where it begins and ends. */
type State = 'new' | 'data' | 'ok' | 'reject' | 'agree' | 'over';

/** Authenticates to a server: `start`, then `receive` whatever it sends until a step is done. */
export class SaslClient {
  /** Those that are left to try after the current one. */
  readonly #left: SaslMechanism[];
  readonly #negotiate: boolean;
  readonly #pipeline: boolean;
  readonly #lines = new LineReader('server', MAX_SASL_LINES);
  #current: SaslMechanism | undefined;
  #state: State = 'new';
  #guid = '';
  #unixFd = false;

  constructor(options: SaslClientOptions) {
    this.#left = [...options.mechanisms];
    this.#negotiate = options.negotiateUnixFd === true;
    this.#pipeline = options.pipeline === true;
  }

  /**
   * The first bytes: the NUL that carries the credentials of the socket, the first mechanism, and with `pipeline` the rest.
   * @throws {AuthError} `no-mechanism`, `unknown-mechanism`, `mechanism-failed` for an identity too long, `cannot-pipeline`
   */
  start(): Uint8Array {
    const first = this.#left.shift();
    if (first === undefined) throw new AuthError('no-mechanism', 'no mechanism of authentication');
    let lines = `\0${this.#auth(first)}`;
    if (this.#pipeline) {
      if (this.#left.length > 0 || first.name === 'DBUS_COOKIE_SHA1' || this.#negotiate) {
        throw new AuthError('cannot-pipeline', 'not a single mechanism without questions');
      }
      // Servers ask for the missing identity of EXTERNAL always, and for a missing trace never.
      if (this.#state === 'data' && first.name === 'EXTERNAL') lines += 'DATA\r\n';
      lines += 'BEGIN\r\n';
    }
    return bytesOf(lines);
  }

  /**
   * Takes bytes from the server, however they are chunked. After an error it takes no more.
   * @throws {AuthError} `rejected` when the server takes none of the mechanisms, `protocol` when it breaks the protocol,
   * `mechanism-failed` with what `respond` threw as `cause`
   */
  receive(chunk: Uint8Array): SaslStep {
    if (this.#state === 'new') throw this.#lines.broken('spoke first');
    if (this.#state === 'over') throw new AuthError('protocol', 'authentication is over');
    try {
      return this.#receive(chunk);
    } catch (error) {
      this.#state = 'over';
      throw error;
    }
  }

  #receive(chunk: Uint8Array): SaslStep {
    const lines = this.#lines;
    let send = '';
    lines.feed(chunk);
    for (let line = lines.next(); line !== undefined; line = lines.next()) {
      const reply = this.#handle(line);
      if (!this.#pipeline) send += reply;
      if (this.#state === 'over') {
        const { name: mechanism } = this.#current as SaslMechanism;
        const done = { guid: this.#guid, rest: lines.rest(), mechanism, unixFd: this.#unixFd };
        return { send: bytesOf(send), done };
      }
    }
    return { send: bytesOf(send) };
  }

  /** Goes into the state that follows, and gives the answer. */
  #handle(line: string): string {
    const [command, argument] = splitCommand(line);
    if (this.#state === 'reject' && command !== 'REJECTED') {
      throw this.#lines.broken('does not cancel as it must');
    }
    if (this.#state === 'agree') return this.#agreed(command);
    switch (command) {
      case 'OK':
        if (!isGuid(argument)) throw this.#lines.broken('sent no valid guid');
        this.#guid = argument.toLowerCase();
        if (!this.#negotiate) return this.#begin();
        this.#state = 'agree';
        return 'NEGOTIATE_UNIX_FD\r\n';
      case 'DATA':
        return this.#state === 'data' ? this.#data(argument) : this.#cancel();
      case 'REJECTED':
        return this.#next(argument);
      case 'ERROR':
        // The server did not take our last line; cancelling makes it say REJECTED, and with that the next is tried.
        return this.#cancel();
      default:
        if (this.#pipeline) throw this.#refused('');
        return 'ERROR\r\n';
    }
  }

  #begin(): string {
    this.#state = 'over';
    return 'BEGIN\r\n';
  }

  #agreed(command: string): string {
    this.#unixFd = command === 'AGREE_UNIX_FD';
    return this.#unixFd || command === 'ERROR' ? this.#begin() : 'ERROR\r\n';
  }

  /** The server asks for the response that was not in the AUTH line, or for the one to its challenge. */
  #data(hex: string): string {
    const mechanism = this.#current as SaslMechanism;
    this.#state = 'ok';
    if (mechanism.name !== 'DBUS_COOKIE_SHA1') return hex === '' ? 'DATA\r\n' : this.#cancel();
    const [context = '', id = '', challenge = '', ...more] = (textOfHex(hex) ?? '').split(' ');
    // The context becomes the name of a file: nothing but a good one may reach `respond`.
    const valid =
      isCookieContext(context) && /^\d{1,10}$/.test(id) && Number(id) <= MAX_COOKIE_ID && challenge !== '';
    if (!valid || more.length > 0) return this.#cancel();
    const response = callMechanism(() => mechanism.respond({ context, id: Number(id), challenge }));
    return response === undefined ? this.#cancel() : lineOf('DATA', hexOf(response));
  }

  #cancel(): string {
    if (this.#pipeline) throw this.#refused('');
    this.#state = 'reject';
    return 'CANCEL\r\n';
  }

  #auth(mechanism: SaslMechanism): string {
    const response = responseOf(mechanism);
    this.#current = mechanism;
    this.#state = mechanism.name === 'DBUS_COOKIE_SHA1' || response === '' ? 'data' : 'ok';
    return lineOf(`AUTH ${mechanism.name}`, hexOf(response));
  }

  /** Goes on to the next mechanism that the server lists; a server that lists none is tried with each. */
  #next(offered: string): string {
    const names = offered.split(' ');
    for (;;) {
      const mechanism = this.#left.shift();
      if (mechanism === undefined) throw this.#refused(offered);
      if (offered === '' || names.includes(mechanism.name)) return this.#auth(mechanism);
    }
  }

  #refused(offered: string): AuthError {
    return new AuthError(
      'rejected',
      `the server refused us; it offers: ${offered.slice(0, 200) || 'nothing'}`,
    );
  }
}
