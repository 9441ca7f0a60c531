/**
 * The errors of the stash area. Each has a stable `code`; none holds a value, a password or a derived key.
 * Names of keys do occur, in `key` and `missing` and shortened in messages: they are what the caller asked for.
 * Must not import `node:` or anything but `text.ts`.
 */

import { escapeJsonString } from './text.js';

/**
 * Codes of a plain {@link StashError}.
 * - `closed`: the handle was closed.
 * - `cancelled`: the caller's signal fired.
 * - `read-only`: the handle was opened for reading only.
 * - `poisoned`: the system failed to sync, so that nobody knows what is on the disk: nothing more is written by this handle.
 *   `cause` is what failed. What was acknowledged before is unharmed; open the file anew.
 */
export type StashStateErrorCode = 'closed' | 'cancelled' | 'read-only' | 'poisoned';

/**
 * - `key-not-found`: there is no such key; `missing` is the shortest prefix that does not exist.
 * - `no-value`: the key exists but only has children.
 * - `empty-key`: `[]` can be neither read nor written.
 * - `bad-key`: the key is not an array of strings.
 * - `key-too-deep`: the key has more levels than may be written.
 * - `has-children`: the key has others below it, and was to be removed only without; `hasValue` tells whether it has a
 *   value too.
 */
export type StashKeyErrorCode =
  | 'key-not-found'
  | 'no-value'
  | 'empty-key'
  | 'bad-key'
  | 'key-too-deep'
  | 'has-children';

/**
 * - `bad-value`: the caller's value is not a `Uint8Array`.
 * - `damaged-value`: the stored value is not hexadecimal; the rest of the stash is unharmed.
 * - `bad-password`: the password is neither well-formed text nor bytes.
 * - `password-failed`: the caller's password function threw; `cause` is what it threw.
 * - `bad-option`: an option or an operation of a batch cannot be used.
 * - `store-too-large`: the change would make a file that is not read again: for its size, or the number or length of keys.
 * - `slots-full`: there is no room for another key slot.
 * - `no-such-slot`: no key slot has that id.
 * - `last-slot`: without this key slot nobody could open the store again.
 * - `other-slots`: rekeying would lock out key slots whose secrets were not given.
 */
export type StashValueErrorCode =
  | 'bad-value'
  | 'damaged-value'
  | 'bad-password'
  | 'password-failed'
  | 'bad-option'
  | 'store-too-large'
  | 'slots-full'
  | 'no-such-slot'
  | 'last-slot'
  | 'other-slots';

/**
 * - `wrong-password-or-damaged`: the contents do not authenticate. The sstash format cannot tell which.
 * - `unsupported-hash`: the file names a hash function that PBKDF2 cannot use here.
 * - `too-many-iterations`: the file asks for more work than the limit allows.
 * - `derivation-failed`: the key derivation itself failed; `cause` says why.
 * - `wrong-password`, `wrong-key`: no key slot of a native stash opens with this. The file is not damaged.
 * - `derivation-too-costly`: a key slot asks for more memory or work than the limits allow.
 */
export type StashCryptoErrorCode =
  | 'wrong-password-or-damaged'
  | 'unsupported-hash'
  | 'too-many-iterations'
  | 'derivation-failed'
  | 'wrong-password'
  | 'wrong-key'
  | 'derivation-too-costly';

/**
 * - `bad-json`: not JSON, or bytes that cannot be text, or something before or after it.
 * - `bad-members`: a member is missing, unknown, or of the wrong type.
 * - `bad-iterations`: the number of iterations is not a positive integer.
 * - `bad-hex`: the salt or the encrypted part is not hexadecimal.
 * - `truncated-blob`: the encrypted part is too short to be one.
 * - `bad-structure`: the contents are JSON but not a tree of nodes.
 * - `too-deep`, `too-large`: beyond what this program reads.
 * - `not-a-stash`: the file has not the magic of a native stash.
 * - `unsupported-version`: the file is of a later version of the native format, or needs a feature this program does not know.
 */
export type StashFormatErrorCode =
  | 'bad-json'
  | 'bad-members'
  | 'bad-iterations'
  | 'bad-hex'
  | 'truncated-blob'
  | 'bad-structure'
  | 'too-deep'
  | 'too-large'
  | 'not-a-stash'
  | 'unsupported-version';

/**
 * - `damaged-header`: neither header page is whole, or the one that is was not written with the key of the store.
 * - `damaged-slot`: a key slot is not one, or what it wraps does not authenticate.
 * - `damaged-frame`: a frame that had reached the disk is damaged, or not where it was.
 * - `lost-frames`: the file ends before frames that had reached the disk.
 * - `rolled-back`: the file is older than the anchor, or another store.
 */
export type StashCorruptErrorCode =
  | 'damaged-header'
  | 'damaged-slot'
  | 'damaged-frame'
  | 'lost-frames'
  | 'rolled-back';

/**
 * - `not-found`: the file, or the folder it should be in, does not exist.
 * - `not-a-file`: the path leads to a folder, a FIFO, a device or a dangling symbolic link.
 * - `not-a-folder`: something else is where a folder has to be.
 * - `permission-denied`: the system does not allow it.
 * - `not-durable`: the change is in the file, but the system could not say that it would survive a crash.
 * - `contended`: the file was replaced by others each time it was tried.
 * - `locked`: another writer held the lock for as long as this one was to wait.
 * - `lock-unavailable`: there is no lock here that keeps out all who can reach the file; see `docs/stash.md`.
 * - `unsafe-name`: a name cannot be that of a file: it leads elsewhere, or means something else on this system.
 * - `symbolic-link`: a symbolic link where none is followed.
 * - `already-exists`: a file is there and was not to be replaced.
 * - `io-failed`: anything else; see `systemCode`.
 */
export type StashIOErrorCode =
  | 'not-found'
  | 'not-a-file'
  | 'not-a-folder'
  | 'permission-denied'
  | 'not-durable'
  | 'contended'
  | 'locked'
  | 'lock-unavailable'
  | 'unsafe-name'
  | 'symbolic-link'
  | 'already-exists'
  | 'io-failed';

/** Every code an error of the stash area can have. */
export type StashErrorCode =
  | StashStateErrorCode
  | StashKeyErrorCode
  | StashValueErrorCode
  | StashCryptoErrorCode
  | StashFormatErrorCode
  | StashCorruptErrorCode
  | StashIOErrorCode;

/** Most of a key that a message shows, in characters. */
const maxShownLength = 200;

/** Renders a key for a message: ASCII, and short however long the key is. */
function renderKey(key: readonly string[]): string {
  const shown = key
    .slice(0, maxShownLength)
    .map((name) => `"${escapeJsonString(name.slice(0, maxShownLength))}"`);
  const text = `[${shown.join(', ')}]`;
  return text.length <= maxShownLength ? text : `${text.slice(0, maxShownLength)}... (${key.length} levels)`;
}

/** What a stash failed to do; `code` says which way, and never changes between versions. */
export class StashError extends Error {
  readonly code: StashErrorCode;
  /** Place of the operation at fault in the array given to `batch`. */
  declare operationIndex?: number;

  constructor(code: StashErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return 'StashError';
  }
}

/** A key was asked for that is not there, or that cannot be one. */
export class StashKeyError extends StashError {
  declare readonly code: StashKeyErrorCode;
  /** The key of the operation. */
  declare readonly key?: readonly string[];
  /** With `key-not-found`: the shortest prefix of `key` that does not exist. */
  declare readonly missing?: readonly string[];
  /** With `has-children`: whether `key` has a value, and not only children. */
  declare readonly hasValue?: boolean;

  constructor(
    code: StashKeyErrorCode,
    message: string,
    fields: { key?: readonly string[]; missing?: readonly string[]; hasValue?: boolean } = {},
  ) {
    const at = fields.missing ?? fields.key;
    super(code, at === undefined ? message : `${message}: ${renderKey(at)}`);
    if (fields.key !== undefined) this.key = fields.key;
    if (fields.missing !== undefined) this.missing = fields.missing;
    if (fields.hasValue !== undefined) this.hasValue = fields.hasValue;
  }

  override get name(): string {
    return 'StashKeyError';
  }
}

/** A value, password or option cannot be used, or a stored value is damaged. */
export class StashValueError extends StashError {
  declare readonly code: StashValueErrorCode;
  /** The key of the value, where one is concerned. */
  declare readonly key?: readonly string[];

  constructor(
    code: StashValueErrorCode,
    message: string,
    fields: ErrorOptions & { key?: readonly string[] } = {},
  ) {
    const { key, ...options } = fields;
    super(code, key === undefined ? message : `${message}: ${renderKey(key)}`, options);
    if (key !== undefined) this.key = key;
  }

  override get name(): string {
    return 'StashValueError';
  }
}

/** The contents could not be decrypted, or not with what the file asks for. */
export class StashCryptoError extends StashError {
  declare readonly code: StashCryptoErrorCode;
  /** With `too-many-iterations`: the limit that the file exceeds. */
  declare readonly maximum?: number;

  constructor(code: StashCryptoErrorCode, message: string, fields: ErrorOptions & { maximum?: number } = {}) {
    const { maximum, ...options } = fields;
    super(code, message, options);
    if (maximum !== undefined) this.maximum = maximum;
  }

  override get name(): string {
    return 'StashCryptoError';
  }
}

/** Which bytes a {@link StashFormatError} counts in: those of the file, or those of the decrypted contents. */
export type StashPart = 'file' | 'contents';

/** The file is not of its format. It is damaged or something else, and never taken for an empty stash. */
export class StashFormatError extends StashError {
  declare readonly code: StashFormatErrorCode;
  readonly part: StashPart;
  /** Byte offset in `part` at which the fault was seen. */
  readonly offset: number;

  constructor(code: StashFormatErrorCode, message: string, part: StashPart, offset: number) {
    super(code, `${message} (at byte ${offset} of the ${part === 'file' ? 'file' : 'decrypted contents'})`);
    this.part = part;
    this.offset = offset;
  }

  override get name(): string {
    return 'StashFormatError';
  }
}

/** A native stash is damaged, cut, forged or too old. It is never taken for an empty one; nothing is repaired unasked. */
export class StashCorruptError extends StashError {
  declare readonly code: StashCorruptErrorCode;
  /** Byte offset in the file at which the fault was seen. */
  readonly offset: number;

  constructor(code: StashCorruptErrorCode, message: string, offset: number, options?: ErrorOptions) {
    super(code, `${message} (at byte ${offset} of the file)`, options);
    this.offset = offset;
  }

  override get name(): string {
    return 'StashCorruptError';
  }
}

/** The system failed a file operation; `cause` is its error. */
export class StashIOError extends StashError {
  declare readonly code: StashIOErrorCode;
  /** The path of the stash. */
  readonly path: string;
  /** What was being done: `open`, `read`, `write`, `rename`, … */
  readonly operation: string;
  /** The system's name for the error, such as `ENOSPC`. */
  declare readonly systemCode?: string;

  constructor(
    code: StashIOErrorCode,
    message: string,
    fields: ErrorOptions & { path: string; operation: string; systemCode?: string },
  ) {
    const { path, operation, systemCode, ...options } = fields;
    super(code, message, options);
    this.path = path;
    this.operation = operation;
    if (systemCode !== undefined) this.systemCode = systemCode;
  }

  override get name(): string {
    return 'StashIOError';
  }
}

/** Returns the error of an operation whose signal fired; `cause` is the signal's reason. */
export function cancelledError(signal: AbortSignal): StashError {
  return new StashError('cancelled', 'cancelled by the caller; nothing was changed', {
    cause: signal.reason,
  });
}
