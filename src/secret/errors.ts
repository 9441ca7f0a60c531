/**
 * The error of the Secret Service area, with its stable codes.
 *
 * Secret Service specification 0.2, "Errors". Imports nothing, so that the cryptography can use it.
 * How replies and faults of the wire become these errors is in `map-error.ts`.
 */

/**
 * What went wrong:
 *
 * - `not-available`: no bus, no service on it, or the service has gone or does not answer; `isAbsent` tells the first
 *   two, where they are certain, from the rest.
 * - `not-found`: the collection or item does not exist, or no longer.
 * - `no-default-collection`: no collection has the alias `default`.
 * - `locked`: the collection or item has to be unlocked first; `lockedPaths` says which, where that is known.
 * - `prompt-required`: the service wants to ask the user, which the options forbid; `promptPath` is the prompt, already
 *   dismissed.
 * - `prompt-dismissed`: the user, or the service in their place, has refused the prompt `promptPath`.
 * - `schema`: attributes are not of the schema they were read with.
 * - `session`: no session as asked for could be opened, or the service no longer knows ours.
 * - `bad-secret`: a secret came that does not decrypt, or belongs to another session.
 * - `bad-reply`: the service answered with something the specification does not allow.
 * - `not-text`: the secret's value is not valid UTF-8, so that it has no text.
 * - `not-supported`, `access-denied`: the service refuses the operation itself.
 * - `failed`: the service reports any other error; `cause` is the ErrorReply.
 * - `bad-argument`: the caller's value cannot be used.
 * - `closed`: `close()` was called, or the connection has ended (`cause` says why).
 * - `disposed`: the secret was wiped.
 */
export type SecretServiceErrorCode =
  | 'access-denied'
  | 'bad-argument'
  | 'bad-reply'
  | 'bad-secret'
  | 'closed'
  | 'disposed'
  | 'failed'
  | 'locked'
  | 'no-default-collection'
  | 'not-available'
  | 'not-found'
  | 'not-supported'
  | 'not-text'
  | 'prompt-dismissed'
  | 'prompt-required'
  | 'schema'
  | 'session';

/** What a {@link SecretServiceError} may carry beside its code and message. */
export interface SecretServiceErrorOptions extends ErrorOptions {
  /** The prompt the service wanted to show. */
  readonly promptPath?: string;
  /** What has to be unlocked. */
  readonly lockedPaths?: readonly string[];
  /** Whether it is certain that there is no service. */
  readonly isAbsent?: boolean;
}

/** An operation of the Secret Service failed; `code` says how, `cause` what came from below. */
export class SecretServiceError extends Error {
  readonly code: SecretServiceErrorCode;
  /** The object path of the prompt; with `prompt-required` and `prompt-dismissed`, and with `failed` where showing it did. */
  declare readonly promptPath?: string;
  /** The object paths of what has to be unlocked first; with the code `locked`, where they are known. */
  declare readonly lockedPaths?: readonly string[];
  /**
   * With the code `not-available`: nothing is there at all, so that another place may be used instead. The environment
   * leads to no bus, or the name of the service has no owner and the bus knows no way to start one. False for
   * whatever may be a service or a bus in trouble.
   */
  readonly isAbsent: boolean;

  constructor(code: SecretServiceErrorCode, message: string, options: SecretServiceErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.isAbsent = options.isAbsent ?? false;
    if (options.promptPath !== undefined) this.promptPath = options.promptPath;
    if (options.lockedPaths !== undefined) this.lockedPaths = options.lockedPaths;
  }

  override get name(): string {
    return 'SecretServiceError';
  }
}

/** The error for what is asked of a client after `close()`. */
export function closedError(): SecretServiceError {
  return new SecretServiceError('closed', 'the Secret Service client is closed');
}
