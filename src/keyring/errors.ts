/**
 * The error of the front door. Imports nothing.
 */

/**
 * An operation of a keyring failed. `code` is `bad-argument` for what the caller gave, `not-text` for a secret that
 * has no text, `has-children` for an entry that cannot be deleted alone; else it is the `code` of `cause`, the error of
 * the Secret Service, of the stash or of the bus: `not-available`, `locked`, `deadline`, `cancelled`,
 * `wrong-password-or-damaged`, …
 */
export class KeyringError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return 'KeyringError';
  }
}

/** The stash's codes for what the caller gave: the front door has one for it, whatever the place. */
const BAD_ARGUMENT_CODES: ReadonlySet<string> = new Set(['bad-option', 'bad-password']);

/** The error a caller of the front door sees for one from below. */
export function toKeyringError(cause: unknown): KeyringError {
  if (cause instanceof KeyringError) return cause;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') {
    const code = BAD_ARGUMENT_CODES.has(cause.code) ? 'bad-argument' : cause.code;
    return new KeyringError(code, cause.message, { cause });
  }
  return new KeyringError('failed', 'the operation failed', { cause });
}
