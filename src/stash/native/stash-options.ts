/**
 * What opening a native stash takes, checked. Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromAscii, bytesFromHex } from '../bytes.js';
import { StashValueError } from '../errors.js';
import { type CheckedLockOptions, type LockOptions, parseLockOptions } from '../lock/lock-options.js';
import { type OperationOptions, parseSignal } from '../options.js';
import type { CredentialOptions } from './credentials.js';
import {
  type DerivationLimitOptions,
  type DerivationLimits,
  type DerivationOptions,
  type PasswordDerivation,
  parseDerivation,
  parseDerivationLimits,
} from './derivation.js';
import type { Progress, ProgressOptions } from './kdf.js';

/** A state of a store that can be kept elsewhere, to know that the file never goes back behind it. */
export interface StashAnchor {
  /** 16 bytes, hexadecimal. */
  readonly storeId: string;
  readonly epoch: number;
  readonly sequence: number;
  /** The tag of the last frame: 16 bytes, hexadecimal. */
  readonly tip: string;
}

/** How to open a native stash: with exactly one of `password`, `key` and `recoveryKey`. */
export interface StashOptions extends CredentialOptions, LockOptions, OperationOptions {
  /** Makes the file, empty, if there is none. Default false: then a missing file is an error. */
  readonly create?: boolean | undefined;
  /** Writes nothing, and takes no lock. Default false. */
  readonly readOnly?: boolean | undefined;
  /**
   * `full`: a change is on the disk before its promise resolves. `none`: the system writes it when it likes; a power failure may
   * take the last changes, and never half of one. Default `full`.
   */
  readonly durability?: 'full' | 'none' | undefined;
  /** Fills up what is written, so that its length tells little. Default true. */
  readonly padding?: boolean | undefined;
  /** How keys come from passwords in slots that are made. Default scrypt with N = 2^17, r = 8, p = 1. */
  readonly derivation?: DerivationOptions | undefined;
  /** What a file may ask for. */
  readonly derivationLimits?: DerivationLimitOptions | undefined;
  /** Makes the slot of a password anew if its derivation is weaker than `derivation`. Default true. */
  readonly upgrade?: boolean | undefined;
  /** Compacts the file when most of it is of no more use. Default true. */
  readonly autoCompact?: boolean | undefined;
  /** Refuses a file that is older than this, or of another store, with `rolled-back`. */
  readonly atLeast?: StashAnchor | undefined;
  /** Called during key derivation and while a long file is read. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** An anchor with its bytes. */
export interface ParsedAnchor {
  readonly storeId: Uint8Array;
  readonly epoch: number;
  readonly sequence: number;
  readonly tag: Uint8Array;
}

/** {@link StashOptions} with every default filled in, without what opens the store. */
export interface CheckedStashOptions extends CheckedLockOptions {
  readonly create: boolean;
  readonly readOnly: boolean;
  readonly durable: boolean;
  readonly padding: boolean;
  readonly derivation: PasswordDerivation;
  readonly limits: DerivationLimits;
  readonly upgrade: boolean;
  readonly autoCompact: boolean;
  readonly atLeast: ParsedAnchor | undefined;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

function booleanOption(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? fallback;
  throw new StashValueError('bad-option', `${name} must be a boolean`);
}

/** @throws {StashValueError} `bad-option`. */
export function parseOnProgress(onProgress: unknown): ((progress: Progress) => void) | undefined {
  if (onProgress === undefined || typeof onProgress === 'function') {
    return onProgress as ((progress: Progress) => void) | undefined;
  }
  throw new StashValueError('bad-option', 'onProgress must be a function');
}

function bytesOf(text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string' || !/^[0-9a-f]{32}$/i.test(text)) return undefined;
  return bytesFromHex(bytesFromAscii(text)) as Uint8Array;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * Returns the options of a long operation, of which the signal and the function are checked.
 * @throws {StashValueError} `bad-option`.
 */
export function parseProgressOptions<Options extends ProgressOptions>(options: Options): Options {
  if (typeof options !== 'object' || options === null) {
    throw new StashValueError('bad-option', 'the options must be an object');
  }
  parseSignal(options);
  parseOnProgress(options.onProgress);
  return options;
}

function parseAnchor(anchor: StashAnchor | undefined): ParsedAnchor | undefined {
  if (anchor === undefined) return undefined;
  const { epoch, sequence, ...texts }: Partial<StashAnchor> = Object(anchor);
  const [storeId, tag] = [bytesOf(texts.storeId), bytesOf(texts.tip)];
  if (storeId === undefined || tag === undefined || !isCount(epoch) || !isCount(sequence)) {
    throw new StashValueError('bad-option', 'atLeast must be what anchor() returned');
  }
  return { storeId, epoch, sequence, tag };
}

/**
 * Returns the options with defaults.
 * @throws {StashValueError} `bad-option`.
 */
export function parseStashOptions(options: StashOptions): CheckedStashOptions {
  if (typeof options !== 'object' || options === null) {
    throw new StashValueError('bad-option', 'the options must be an object with a password or a key');
  }
  const { durability = 'full' } = options;
  if (durability !== 'full' && durability !== 'none') {
    throw new StashValueError('bad-option', 'durability must be full or none');
  }
  const limits = parseDerivationLimits(options.derivationLimits);
  return {
    ...parseLockOptions(options),
    create: booleanOption('create', options.create, false),
    readOnly: booleanOption('readOnly', options.readOnly, false),
    durable: durability === 'full',
    padding: booleanOption('padding', options.padding, true),
    derivation: parseDerivation(options.derivation, limits),
    limits,
    upgrade: booleanOption('upgrade', options.upgrade, true),
    autoCompact: booleanOption('autoCompact', options.autoCompact, true),
    atLeast: parseAnchor(options.atLeast),
    onProgress: parseOnProgress(options.onProgress),
    signal: parseSignal(options),
  };
}
