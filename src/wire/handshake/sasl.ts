/**
 * What both sides of the authentication protocol share: lines out of bytes, and what a step of a handshake gives (D-Bus specification, "Authentication Protocol"). Layer 4: imports lower layers only.
 */
import { AuthError } from '../base/errors.js';
import { MAX_SASL_LINE_BYTE_LENGTH } from '../base/limits.js';

/** The mechanisms of the specification; there are no others here. */
export type SaslMechanismName = 'EXTERNAL' | 'ANONYMOUS' | 'DBUS_COOKIE_SHA1';

/** What a handshake that succeeded gives. */
export interface SaslResult {
  /** The server's guid: 32 lower-case hexadecimal digits. */
  readonly guid: string;
  /** Bytes that came after the last line of the other side, the start of its messages: a copy. */
  readonly rest: Uint8Array;
  /** The mechanism that succeeded. */
  readonly mechanism: SaslMechanismName;
  /** On the server, who the client is as far as the mechanism tells: a uid in decimal; absent for ANONYMOUS and on the client. */
  readonly identity?: string;
  /** Whether file descriptors may be passed: only on the client, and only when it asked and the server agreed. */
  readonly unixFd?: boolean;
}

/** What to do after bytes were taken. */
export interface SaslStep {
  /** Bytes to send to the other side; may be empty. */
  readonly send: Uint8Array;
  /** Set once the authentication is done. Messages follow `send` in the same direction. */
  readonly done?: SaslResult;
}

const EMPTY = new Uint8Array(0);
const CR = 0x0d;
const LF = 0x0a;

/** Whether text is a guid of a server: 32 hexadecimal digits. */
export function isGuid(text: string): boolean {
  return /^[0-9a-fA-F]{32}$/.test(text);
}

/**
 * Runs a function that the caller handed in.
 * @throws {AuthError} `mechanism-failed` with what it threw as `cause`
 */
export function callMechanism<Value>(run: () => Value): Value {
  try {
    return run();
  } catch (cause) {
    throw new AuthError('mechanism-failed', 'a mechanism of authentication threw', { cause });
  }
}

/** Cuts bytes into lines. Each is refused at its first byte that cannot be: garbage is not collected up to the cap. */
export class LineReader {
  readonly #peer: string;
  #linesLeft: number;
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  /** A line whose end has not come, without its CR. */
  #partial = '';
  /** Whether its CR has come. */
  #ending = false;

  /** @param peer - what an error calls the other side. */
  constructor(peer: 'server' | 'client', maxLines: number) {
    this.#peer = peer;
    this.#linesLeft = maxLines;
  }

  /** Takes the next chunk; the last one must have been read. It is not kept once `next` has given undefined. */
  feed(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next byte, not as part of a line; undefined when there is none. */
  byte(): number | undefined {
    return this.#chunk[this.#at++];
  }

  /**
   * The next line without its CR LF; undefined when its end has not come.
   * @throws {AuthError} `protocol` for a line too long, or of other bytes than ASCII without control characters and CR LF,
   * and for one line more than there may be
   */
  next(): string | undefined {
    const chunk = this.#chunk;
    while (this.#at < chunk.length) {
      const byte = chunk[this.#at++] as number;
      if (this.#ending ? byte !== LF : byte !== CR && (byte < 0x20 || byte > 0x7e)) {
        throw this.broken('sent no line of ASCII');
      }
      if (this.#ending) {
        const line = this.#partial;
        this.#partial = '';
        this.#ending = false;
        if (--this.#linesLeft < 0) throw this.broken('sends lines without end');
        return line;
      }
      // Nothing may look into the text here: that would join its pieces anew at every byte.
      if (byte === CR) this.#ending = true;
      else this.#partial += String.fromCharCode(byte);
      if (this.#partial.length > MAX_SASL_LINE_BYTE_LENGTH - 2) {
        throw this.broken(`sent a line longer than ${MAX_SASL_LINE_BYTE_LENGTH} bytes`);
      }
    }
    this.#chunk = EMPTY;
    return undefined;
  }

  /** A copy of the bytes after the last line. Nothing more can be read. */
  rest(): Uint8Array {
    const rest = new Uint8Array(this.#chunk.subarray(this.#at));
    this.#chunk = EMPTY;
    return rest;
  }

  /** The error that the other side broke the protocol. */
  broken(how: string): AuthError {
    return new AuthError('protocol', `the ${this.#peer} ${how}`);
  }
}

/** The command of a line, and what follows it. */
export function splitCommand(line: string): [command: string, argument: string] {
  const space = line.indexOf(' ');
  return space === -1 ? [line, ''] : [line.slice(0, space), line.slice(space).trim()];
}
