/**
 * The error a handler throws to choose the ERROR its caller gets (D-Bus specification, "Message Types", ERROR).
 * Layer 8: imports lower layers only.
 */
import { DBusError, InvalidTextError } from '../base/errors.js';
import { isErrorName } from '../types/names.js';

/** What an ERROR holds when it is not just a text. */
export interface MethodErrorOptions {
  /** Signature of `body`; by convention its first type is `s`. */
  signature?: string | undefined;
  /** Arguments of the ERROR; default the message alone. */
  body?: readonly unknown[] | undefined;
  /** Kept here, and never sent. */
  cause?: unknown;
}

/**
 * An ERROR for the caller of a method: thrown by a handler, its name and arguments are sent as they are. Whatever else a
 * handler throws is told as `org.freedesktop.DBus.Error.Failed`, and its text is not sent.
 */
export class MethodError extends DBusError {
  readonly signature: string;
  readonly body: readonly unknown[];
  readonly #name: string;

  /**
   * @param name - an error name, such as one of `ErrorName`.
   * @param message - for people; sent as the one argument unless `options.body` is given.
   * @throws {InvalidTextError} `invalid-error-name`
   */
  constructor(name: string, message: string, options: MethodErrorOptions = {}) {
    super('method-error', message, options.cause === undefined ? undefined : { cause: options.cause });
    if (!isErrorName(name)) throw new InvalidTextError('invalid-error-name', 'not an error name', 0);
    this.#name = name;
    this.signature = options.body === undefined ? 's' : (options.signature ?? '');
    // A message is often put together from what others said: what no D-Bus string can hold must not lose the error.
    this.body = options.body ?? [message.replaceAll('\0', '\ufffd').toWellFormed()];
  }

  /** The error name that is sent. */
  override get name(): string {
    return this.#name;
  }
}
