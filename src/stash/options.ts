/**
 * What callers give to open a stash, checked and copied: options and passwords.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { isBytes } from './bytes.js';
import { StashError, StashValueError } from './errors.js';
import { type CheckedLockOptions, type LockOptions, parseLockOptions } from './lock/lock-options.js';
import { untilAborted } from './serial-queue.js';

/** A password as text, which is used as its UTF-8, or as bytes. The empty password is one. */
export type Password = string | Uint8Array;

/**
 * A password, or a function that gets one when it is needed: on opening, and again if the file gets a new salt.
 * It must not wait for an operation on the same file.
 */
export type PasswordSource = Password | (() => Password | Promise<Password>);

/** What every operation of a handle takes. */
export interface OperationOptions {
  /** Ends the operation with `cancelled` as long as nothing has been changed. */
  readonly signal?: AbortSignal | undefined;
}

/** What removing a key takes. */
export interface RemoveOptions extends OperationOptions {
  /** Removes everything below the key as well. Default true; `false` makes that an error instead. */
  readonly recursive?: boolean | undefined;
}

/** How to open a file of the sstash format. */
export interface SecureStashOptions extends OperationOptions, LockOptions {
  /** Bytes are copied and never changed. Text and bytes are kept, as bytes, until the handle is closed. */
  readonly password: PasswordSource;
  /** Makes the file, empty, if there is none. Default false: then a missing file is an error. */
  readonly create?: boolean | undefined;
  /** PBKDF2 iterations of a file that is made. Default 262,144, as in Python. */
  readonly iterations?: number | undefined;
  /** Refuses files that ask for more iterations than this. Default 2^24, at most 2^31 - 1. */
  readonly maxIterations?: number | undefined;
  /** Refuses larger files, and changes that would make the file larger. Default 2^28, at most 2^29. */
  readonly maxFileByteLength?: number | undefined;
}

/** {@link SecureStashOptions} with every default filled in. */
export interface CheckedOptions extends CheckedLockOptions {
  readonly password: PasswordSource;
  readonly create: boolean;
  readonly iterations: number;
  readonly maxIterations: number;
  readonly maxFileByteLength: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Returns an option that is an integer from 1 to `maximum`, or `fallback` where it is not given.
 * @throws {StashValueError} `bad-option`.
 */
export function integerOption(name: string, value: unknown, fallback: number, maximum: number): number {
  if (value === undefined) return fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= maximum) return value;
  throw new StashValueError('bad-option', `${name} must be an integer from 1 to ${maximum}`);
}

/** By its shape: a signal may come from another realm. */
function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false;
  const signal: Partial<AbortSignal> = value;
  return typeof signal.aborted === 'boolean' && typeof signal.addEventListener === 'function';
}

/**
 * Returns the signal of an operation's options.
 * @throws {StashValueError} `bad-option`.
 */
export function parseSignal(options: OperationOptions | undefined): AbortSignal | undefined {
  const signal: unknown = options?.signal;
  if (signal === undefined || isSignal(signal)) return signal;
  throw new StashValueError('bad-option', 'signal must be an AbortSignal');
}

/**
 * Returns whether a removal takes what is below the key with it.
 * @throws {StashValueError} `bad-option`.
 */
export function parseRecursive(options: RemoveOptions | undefined): boolean {
  const recursive: unknown = options?.recursive;
  if (recursive === undefined || typeof recursive === 'boolean') return recursive ?? true;
  throw new StashValueError('bad-option', 'recursive must be a boolean');
}

/**
 * Checks a path before the system does, which throws errors of other kinds.
 * @throws {StashValueError} `bad-option`.
 */
export function parsePath(path: unknown): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path;
  throw new StashValueError('bad-option', 'the path must be a string, not empty and without NUL');
}

/**
 * Returns the options with defaults; a password of bytes is copied, and to be wiped by the handle.
 * @throws {StashValueError} `bad-option` or `bad-password`.
 */
export function parseOptions(options: SecureStashOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new StashValueError('bad-option', 'the options must be an object with a password');
  }
  const { create = false, password } = options;
  if (typeof create !== 'boolean') throw new StashValueError('bad-option', 'create must be a boolean');
  const maxIterations = integerOption('maxIterations', options.maxIterations, 2 ** 24, 2 ** 31 - 1);
  return {
    ...parseLockOptions(options),
    create,
    iterations: integerOption(
      'iterations',
      options.iterations,
      Math.min(2 ** 18, maxIterations),
      maxIterations,
    ),
    maxIterations,
    maxFileByteLength: integerOption('maxFileByteLength', options.maxFileByteLength, 2 ** 28, 2 ** 29),
    signal: parseSignal(options),
    password: typeof password === 'function' ? password : passwordBytes(password),
  };
}

/**
 * Returns the bytes of a password, a copy.
 * @throws {StashValueError} `bad-password`.
 */
function passwordBytes(password: unknown): Uint8Array {
  if (isBytes(password)) return new Uint8Array(password);
  if (typeof password !== 'string') {
    throw new StashValueError('bad-password', 'the password must be a string or a Uint8Array');
  }
  // TextEncoder would put U+FFFD for it: another password, and the same one for many.
  if (/\p{Surrogate}/u.test(password)) {
    throw new StashValueError(
      'bad-password',
      'the password is not well-formed text: it has a lone surrogate',
    );
  }
  return new TextEncoder().encode(password);
}

/**
 * Gets a password from its source: bytes of the caller's own, to be wiped after use.
 * @throws {StashValueError} `bad-password` or `password-failed`.
 * @throws {StashError} `cancelled`.
 */
export async function readPassword(
  source: PasswordSource,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (typeof source !== 'function') return passwordBytes(source);
  try {
    const asked = (async () => passwordBytes(await source()))();
    return await untilAborted(asked, signal, (late) => late.fill(0));
  } catch (cause) {
    if (cause instanceof StashError) throw cause;
    throw new StashValueError('password-failed', 'the password function failed', { cause });
  }
}
