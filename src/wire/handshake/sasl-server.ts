/**
 * The server's side of the authentication protocol, as a machine that never touches a socket (D-Bus specification,
 * "Authentication Protocol", "Server state machine"). Layer 4: imports lower layers only.
 *
 * What EXTERNAL is worth: the reference implementation asks the kernel who is at the other end of the socket. Node cannot,
 * so here the identity is only what the client claims, and **who may connect to the socket is who may claim any uid**. The
 * guard is the socket's folder or mode, which must let in only those who may be served; where that cannot be had, as on
 * TCP, offer DBUS_COOKIE_SHA1 alone.
 */
import { AuthError, InvalidTextError } from '../base/errors.js';
import { MAX_SASL_LINES, MAX_SASL_REJECTIONS } from '../base/limits.js';
import { bytesOf, hexOf, isHex, textOfHex } from './hex.js';
import { callMechanism, isGuid, LineReader, type SaslStep, splitCommand } from './sasl.js';

/** One try of a client to authenticate with DBUS_COOKIE_SHA1. */
export interface CookieAttempt {
  /** Who the client is once it has given the right response: a uid in decimal. */
  readonly identity: string;
  /** The context of the cookie. */
  readonly context: string;
  /** The number of the cookie in its context. */
  readonly id: number;
  /** Our share of what is hashed: fresh random hexadecimal digits. */
  readonly challenge: string;
  /** The SHA-1 of `challenge:theirs:cookie` in lower-case hexadecimal; undefined when the cookie is gone. */
  readonly hash: (theirs: string) => string | undefined;
}

/** A mechanism that a server takes. None of the functions may throw. */
export type SaslServerMechanism =
  | {
      readonly name: 'EXTERNAL';
      /**
       * Whom to take the client for, or undefined to reject it. `identity` is what it claims, a uid in decimal, and
       * undefined when it leaves that to the credentials of the socket. See this module's opening for what a claim is worth.
       */
      readonly authorize: (identity: string | undefined) => string | undefined;
    }
  /** Takes everybody, as nobody. */
  | { readonly name: 'ANONYMOUS' }
  | {
      readonly name: 'DBUS_COOKIE_SHA1';
      /** Begins a try of `user`, a uid in decimal or a user's name; undefined to reject it. */
      readonly challenge: (user: string) => CookieAttempt | undefined;
    };

/** How a server authenticates its clients. */
export interface SaslServerOptions {
  /** The server's: 32 hexadecimal digits. */
  readonly guid: string;
  /** In the order in which they are offered. */
  readonly mechanisms: readonly SaslServerMechanism[];
  /** Most lines that a client may send; 64 if not given. */
  readonly maxLines?: number | undefined;
}

/**
 * Whether two texts are equal, in a time that tells nothing of where they differ: a response that is compared letter by
 * letter can be guessed letter by letter.
 */
function equalInConstantTime(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let at = 0; at < one.length; at++) difference |= one.charCodeAt(at) ^ other.charCodeAt(at);
  return difference === 0;
}

/** What it waits for, after the states of the specification; `nul` and `over` are where it begins and ends. */
type State = 'nul' | 'auth' | 'data' | 'begin' | 'over';

/** Authenticates one client: `receive` whatever it sends until a step is done. */
export class SaslServer {
  readonly #guid: string;
  readonly #mechanisms: readonly SaslServerMechanism[];
  readonly #lines: LineReader;
  #state: State = 'nul';
  /** The answers to the lines of this chunk. */
  #send = '';
  #rejections = 0;
  /** The mechanism under way, or the one that succeeded. */
  #mechanism: SaslServerMechanism | undefined;
  #attempt: CookieAttempt | undefined;
  #identity: string | undefined;

  /**
   * @throws {InvalidTextError} `invalid-guid`
   * @throws {AuthError} `no-mechanism`
   */
  constructor(options: SaslServerOptions) {
    if (!isGuid(options.guid))
      throw new InvalidTextError('invalid-guid', 'a guid has 32 hexadecimal digits', 0);
    if (options.mechanisms.length === 0)
      throw new AuthError('no-mechanism', 'no mechanism of authentication is offered');
    this.#guid = options.guid.toLowerCase();
    this.#mechanisms = options.mechanisms;
    this.#lines = new LineReader('client', options.maxLines ?? MAX_SASL_LINES);
  }

  /** Nothing: the client speaks first. */
  start(): Uint8Array {
    return new Uint8Array(0);
  }

  /**
   * Takes bytes from the client, however they are chunked. After an error it takes no more.
   * @throws {AuthError} `protocol` when the client breaks the protocol, `rejected` when it has been rejected too often,
   * `mechanism-failed` with what a function of a mechanism threw as `cause`; each may have `unsent` bytes
   */
  receive(chunk: Uint8Array): SaslStep {
    if (this.#state === 'over') throw new AuthError('protocol', 'the authentication is over');
    try {
      return this.#receive(chunk);
    } catch (error) {
      this.#state = 'over';
      this.#attempt = undefined;
      if (error instanceof AuthError && this.#send !== '') error.unsent = bytesOf(this.#send);
      throw error;
    }
  }

  #receive(chunk: Uint8Array): SaslStep {
    const lines = this.#lines;
    this.#send = '';
    lines.feed(chunk);
    if (this.#state === 'nul' && chunk.length > 0) {
      if (lines.byte() !== 0) throw lines.broken('did not send a NUL first');
      this.#state = 'auth';
    }
    for (let line = lines.next(); line !== undefined; line = lines.next()) {
      this.#send += this.#handle(line);
      const mechanism = this.#mechanism;
      if (this.#state === 'over' && mechanism !== undefined) {
        const identity = this.#identity;
        const done = {
          guid: this.#guid,
          rest: lines.rest(),
          mechanism: mechanism.name,
          ...(identity === undefined ? {} : { identity }),
        };
        return { send: bytesOf(this.#send), done };
      }
    }
    return { send: bytesOf(this.#send) };
  }

  /** Goes into the state that follows, and gives the answer. */
  #handle(line: string): string {
    const [command, argument] = splitCommand(line);
    switch (command) {
      case 'AUTH':
        if (this.#state === 'auth') return this.#auth(argument);
        break;
      case 'DATA':
        if (this.#state === 'data') return this.#data(argument, true);
        break;
      case 'BEGIN':
        if (this.#state !== 'begin') throw this.#lines.broken('began without authentication');
        // Whoever puts something behind it means something else by what follows than we would.
        if (argument !== '') throw this.#lines.broken('sent BEGIN with an argument');
        this.#state = 'over';
        return '';
      case 'ERROR':
        return this.#reject();
      case 'CANCEL':
        if (this.#state !== 'auth') return this.#reject();
        break;
      case 'NEGOTIATE_UNIX_FD':
        if (this.#state === 'begin') return 'ERROR file descriptors cannot be passed\r\n';
        break;
    }
    return 'ERROR not expected here\r\n';
  }

  #auth(argument: string): string {
    const [name, hex] = splitCommand(argument);
    this.#mechanism = this.#mechanisms.find((mechanism) => mechanism.name === name);
    if (this.#mechanism === undefined) return this.#reject();
    return this.#data(hex, false);
  }

  /** Takes a response; `asked` is false for the initial one, which may be missing. */
  #data(hex: string, asked: boolean): string {
    const mechanism = this.#mechanism as SaslServerMechanism;
    const attempt = this.#attempt;
    // What is missing is asked for, once: an empty answer to that is an empty response.
    if (hex === '' && !asked && mechanism.name !== 'ANONYMOUS') {
      this.#state = 'data';
      return 'DATA\r\n';
    }
    if (!isHex(hex)) return 'ERROR not hexadecimal\r\n';
    const response = textOfHex(hex);
    if (response === undefined) return this.#reject();
    if (mechanism.name === 'ANONYMOUS') return this.#accept(undefined);
    if (mechanism.name === 'EXTERNAL') {
      const identity = callMechanism(() => mechanism.authorize(response === '' ? undefined : response));
      return identity === undefined ? this.#reject() : this.#accept(identity);
    }
    if (attempt !== undefined) return this.#respond(attempt, response);
    return this.#challenge(callMechanism(() => mechanism.challenge(response)));
  }

  #challenge(attempt: CookieAttempt | undefined): string {
    if (attempt === undefined) return this.#reject();
    this.#attempt = attempt;
    this.#state = 'data';
    return `DATA ${hexOf(`${attempt.context} ${attempt.id} ${attempt.challenge}`)}\r\n`;
  }

  #respond(attempt: CookieAttempt, response: string): string {
    const [theirs = '', hash = '', ...more] = response.split(' ');
    const right = callMechanism(() => attempt.hash(theirs));
    const accepted =
      theirs !== '' &&
      more.length === 0 &&
      right !== undefined &&
      right !== '' &&
      equalInConstantTime(right, hash.toLowerCase());
    return accepted ? this.#accept(attempt.identity) : this.#reject();
  }

  #accept(identity: string | undefined): string {
    this.#attempt = undefined;
    this.#identity = identity;
    this.#state = 'begin';
    return `OK ${this.#guid}\r\n`;
  }

  #reject(): string {
    this.#attempt = undefined;
    this.#state = 'auth';
    if (++this.#rejections > MAX_SASL_REJECTIONS) {
      throw new AuthError('rejected', `the client was rejected ${MAX_SASL_REJECTIONS} times`);
    }
    return `REJECTED ${this.#mechanisms.map(({ name }) => name).join(' ')}\r\n`;
  }
}
