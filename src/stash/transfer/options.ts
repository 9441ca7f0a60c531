/**
 * Options of moving files and trees in and out of a stash, checked.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { cancelledError, StashValueError } from '../errors.js';
import { integerOption, type OperationOptions, parseSignal } from '../options.js';

/** How far a transfer is. */
export interface TransferProgress {
  /** `read` while it takes from where the bytes are, `write` while it puts them where they go. */
  readonly phase: 'read' | 'write';
  /** From 0 to 1, and never less than before in the same phase. */
  readonly done: number;
}

/** What every transfer takes. */
export interface TransferOptions extends OperationOptions {
  /** Called now and then. What it throws ends the transfer, which fails with it. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** What storing a file takes. */
export interface WriteFileOptions extends TransferOptions {
  /** Refuses more bytes than this, of all files together. Default 2^28, at most 2^40. */
  readonly maxByteLength?: number | undefined;
}

/** What storing a folder takes. */
export interface WriteDirectoryOptions extends WriteFileOptions {
  /** What a symbolic link in the folder is: an error, which is the default, or nothing. None is ever followed. */
  readonly symbolicLinks?: 'refuse' | 'skip' | undefined;
}

/** What writing files takes. */
export interface ReadFileOptions extends TransferOptions {
  /** Replaces regular files, each in one step. Default false: then a file that is there is an error. */
  readonly overwrite?: boolean | undefined;
}

/** What was moved. */
export interface TransferSummary {
  readonly files: number;
  /** Of all files together. */
  readonly byteLength: number;
}

/** The part of the options that all transfers have, checked. */
export interface Transfer {
  readonly signal: AbortSignal | undefined;
  report(phase: TransferProgress['phase'], done: number): void;
  /**
   * Reports, where the transfer may still end without a trace.
   * @throws {StashError} `cancelled`.
   */
  step(phase: TransferProgress['phase'], done: number): void;
}

/**
 * Returns the options that all transfers have.
 * @throws {StashValueError} `bad-option`.
 */
export function parseTransfer(options: TransferOptions | undefined): Transfer {
  const signal = parseSignal(options);
  const onProgress: unknown = options?.onProgress;
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new StashValueError('bad-option', 'onProgress must be a function');
  }
  const report: Transfer['report'] = (phase, done) => onProgress?.({ phase, done });
  const step: Transfer['step'] = (phase, done) => {
    report(phase, done);
    if (signal?.aborted === true) throw cancelledError(signal);
  };
  return { signal, report, step };
}

/**
 * Returns the most bytes that may be stored.
 * @throws {StashValueError} `bad-option`.
 */
export function parseMaxByteLength(options: WriteFileOptions | undefined): number {
  return integerOption('maxByteLength', options?.maxByteLength, 2 ** 28, 2 ** 40);
}

/**
 * Returns whether symbolic links are passed over.
 * @throws {StashValueError} `bad-option`.
 */
export function parseSkipsLinks(options: WriteDirectoryOptions | undefined): boolean {
  const choice: unknown = options?.symbolicLinks ?? 'refuse';
  if (choice === 'refuse' || choice === 'skip') return choice === 'skip';
  throw new StashValueError('bad-option', 'symbolicLinks must be "refuse" or "skip"');
}

/**
 * Returns an option that is a boolean, false where it is not given.
 * @throws {StashValueError} `bad-option`.
 */
export function parseFlag(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw new StashValueError('bad-option', `${name} must be a boolean`);
}
