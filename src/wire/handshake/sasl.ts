/**
 * What both sides of the authentication protocol share: lines out of bytes, hexadecimal, and what a step of a handshake
 * gives (D-Bus specification, "Authentication Protocol"). Layer 4: imports lower layers only.
 */
import { AuthError } from '../base/errors.js';
import { MAX_SASL_LINE_BYTE_LENGTH } from '../base/limits.js';
import { decodeUtf8 } from '../base/utf8.js';

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

const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);
const CR = 0x0d;
const LF = 0x0a;

/** ASCII text as bytes. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The UTF-8 of text in lower-case hexadecimal. */
export function hexOf(text: string): string {
  return Array.from(bytesOf(text), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Whether text is hexadecimal digits of either case in pairs; empty text is. */
export function isHex(text: string): boolean {
  return text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text);
}

/**
 * The text that hexadecimal digits stand for; undefined when they are none, or not UTF-8, or hold a control character: no
 * identity, trace or challenge has one, and those texts end up in logs.
 */
export function textOfHex(hex: string): string | undefined {
  if (!isHex(hex)) return undefined;
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  const text = decodeUtf8(bytes, 0, bytes.length);
  return text === undefined || /\p{Cc}/u.test(text) ? undefined : text;
}

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
    throw new AuthError('mechanism-failed', 'a function of a mechanism of authentication threw', { cause });
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
        throw this.broken('sent a line that is not ASCII and CR LF');
      }
      if (this.#ending) {
        const line = this.#partial;
        this.#partial = '';
        this.#ending = false;
        if (--this.#linesLeft < 0) throw this.broken('does not come to an end');
        return line;
      }
      // Nothing may look into the text here: that would join its pieces anew at every byte.
      if (byte === CR) this.#ending = true;
      else this.#partial += String.fromCharCode(byte);
      if (this.#partial.length > MAX_SASL_LINE_BYTE_LENGTH - 2) {
        throw this.broken(`sent a line of more than ${MAX_SASL_LINE_BYTE_LENGTH} bytes`);
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
