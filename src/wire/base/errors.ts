/**
 * The errors of the wire, by whose fault they are: the caller's, the peer's, the network's.
 * Layer 0: imports nothing.
 */

/** Base of every error of `secretbus/wire`. `code` is stable; the message is for people and may change. */
export class DBusError extends Error {
  /** What went wrong, as a stable word. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return 'DBusError';
  }
}

/** The caller gave a signature, name or address that is not one. `offset` is where in the text, in UTF-16 units. */
export class InvalidTextError extends DBusError {
  readonly offset: number;

  constructor(code: string, message: string, offset: number) {
    super(code, message);
    this.offset = offset;
  }

  override get name(): string {
    return 'InvalidTextError';
  }
}

/**
 * The error for text that is none of its kind. `code` says of which, such as `invalid-address`; `offset` is absent where there
 * was no text.
 */
export function invalidText(code: string, detail: string, offset?: number): InvalidTextError {
  const where = offset === undefined ? '' : ` (character ${offset})`;
  return new InvalidTextError(code, `${code.replaceAll('-', ' ')}: ${detail}${where}`, offset ?? 0);
}

/** The caller's value cannot be marshalled. `path` names the place in it, such as `body[0].Label`. */
export class MarshalError extends DBusError {
  readonly path: string;

  constructor(code: string, detail: string, path: string, options?: ErrorOptions) {
    super(code, `${path}: ${detail}`, options);
    this.path = path;
  }

  override get name(): string {
    return 'MarshalError';
  }
}

/**
 * The peer broke the protocol. `offset` is the byte in the message (or in the bytes given) where that
 * shows, `typePath` the types entered to get there, such as `a{sv}/{sv}/v/u`. A connection on which this
 * happens is closed, since what follows cannot be trusted.
 */
export class ProtocolError extends DBusError {
  readonly offset: number;
  readonly typePath: string;

  constructor(code: string, detail: string, offset: number, typePath = '') {
    super(code, `${detail} (byte ${offset}${typePath === '' ? '' : `, in ${typePath}`})`);
    this.offset = offset;
    this.typePath = typePath;
  }

  override get name(): string {
    return 'ProtocolError';
  }
}

/**
 * A D-Bus ERROR message came as the reply. `name` is its error name, `body` its arguments; the message is the first
 * argument when that is text, as it is by convention, else the name.
 */
export class ErrorReply extends DBusError {
  readonly #name: string;
  readonly #body: readonly unknown[];

  constructor(name: string, body: readonly unknown[]) {
    const [text] = body;
    super('error-reply', typeof text === 'string' && text !== '' ? quote(text) : name);
    this.#name = name;
    this.#body = body;
  }

  override get name(): string {
    return this.#name;
  }

  get body(): readonly unknown[] {
    return this.#body;
  }
}

/** A reply came, but not of the signature the caller declared. The connection goes on. */
export class ReplySignatureError extends DBusError {
  readonly expected: string;
  readonly actual: string;

  constructor(expected: string, actual: string) {
    super('unexpected-signature', `the reply has signature '${actual}', not '${expected}'`);
    this.expected = expected;
    this.actual = actual;
  }

  override get name(): string {
    return 'ReplySignatureError';
  }
}

const AWAITED = { connect: 'connection', call: 'reply', activation: 'service', prompt: 'answer of the user' };

/** What was waited for: a connection, a reply, a service to be started, a person. */
export type DeadlineKind = keyof typeof AWAITED;

/** A deadline ran out: `deadline` says which one, `timeoutMs` how long it was. */
export class DeadlineError extends DBusError {
  readonly deadline: DeadlineKind;
  readonly timeoutMs: number;

  constructor(deadline: DeadlineKind, timeoutMs: number) {
    super('deadline', `no ${AWAITED[deadline]} within ${timeoutMs} ms`);
    this.deadline = deadline;
    this.timeoutMs = timeoutMs;
  }

  override get name(): string {
    return 'DeadlineError';
  }
}

/** The caller's AbortSignal fired; `cause` is its reason. */
export class CancelledError extends DBusError {
  constructor(cause: unknown) {
    super('cancelled', 'cancelled by the caller', { cause });
  }

  override get name(): string {
    return 'CancelledError';
  }
}

/**
 * The connection has ended; `cause` says why, and is absent after an ordinary `close()`. A peer that simply went away
 * makes a `DBusError` of code `disconnected` the cause.
 */
export class ClosedError extends DBusError {
  constructor(cause?: unknown) {
    super('closed', 'the connection is closed', cause === undefined ? undefined : { cause });
  }

  override get name(): string {
    return 'ClosedError';
  }
}

/**
 * No connection could be made, or no place be listened on. `code` is `no-bus`, `connect-failed`, `listen-failed`,
 * `unsupported-transport` or `wrong-guid`.
 */
export class ConnectError extends DBusError {
  override get name(): string {
    return 'ConnectError';
  }
}

/** One side refused every mechanism of authentication, or broke its protocol. */
export class AuthError extends DBusError {
  /**
   * What a server still owes the client before it closes the connection. A client that sends all at once is told so that it
   * was rejected, which it could not tell from a connection that broke.
   */
  unsent?: Uint8Array;

  override get name(): string {
    return 'AuthError';
  }
}

/** A queue of ours is full: the caller sends faster than the peer takes. Nothing was sent. */
export class OverloadError extends DBusError {
  override get name(): string {
    return 'OverloadError';
  }
}

/** Text from a peer is quoted to this length at most, so that it cannot flood a log. */
const MAX_QUOTED_LENGTH = 512;

/** Text from a peer as a log can take it: of bounded length, without line breaks or escape sequences. */
function quote(text: string): string {
  return text.slice(0, MAX_QUOTED_LENGTH).replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}
