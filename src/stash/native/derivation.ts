/**
 * How a key comes from a password, what that may cost, and what callers may wish.
 *
 * Costs come out of files that nobody has authenticated yet: they are bounded before any work.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { StashValueError } from '../errors.js';
import { integerOption } from '../options.js';

/** The byte length of every key of the format. */
export const keyByteLength = 32;

/** How a key comes from a password, with its costs. `N` is the number itself and not its logarithm. */
export type PasswordDerivation =
  | { readonly name: 'scrypt'; readonly N: number; readonly r: number; readonly p: number }
  | {
      readonly name: 'argon2id';
      readonly memoryKiB: number;
      readonly passes: number;
      readonly lanes: number;
    }
  | { readonly name: 'pbkdf2'; readonly iterations: number };

/** How a key comes from a secret; `none` is for secrets that are random already. */
export type Derivation = PasswordDerivation | { readonly name: 'none' };

/** How keys are to be derived from passwords. What is left out has the default that the member says. */
export type DerivationOptions =
  | {
      readonly name: 'scrypt';
      /** A power of two from 2 to 2^24. Default 2^17. */
      readonly N?: number | undefined;
      /** From 1 to 32. Default 8. */
      readonly r?: number | undefined;
      /** Default 1. */
      readonly p?: number | undefined;
    }
  | {
      readonly name: 'argon2id';
      /** At least 8 a lane. Default 65,536, which is 64 MiB. */
      readonly memoryKiB?: number | undefined;
      /** Default 3. */
      readonly passes?: number | undefined;
      /** Default 4. */
      readonly lanes?: number | undefined;
    }
  | {
      readonly name: 'pbkdf2';
      /** Default 2^19. */
      readonly iterations?: number | undefined;
    };

/** What a key derivation may cost. */
export interface DerivationLimits {
  /** Of scrypt and Argon2id. */
  readonly maxMemoryBytes: number;
  /** Of Argon2id. */
  readonly maxPasses: number;
  /** Lanes of Argon2id, and p of scrypt. */
  readonly maxLanes: number;
  /** Of PBKDF2. */
  readonly maxIterations: number;
}

/**
 * Refuses slots that ask for more. Defaults: 1 GiB, 16 passes, 16 lanes, 2^24 iterations; at most 4 GiB - 1 KiB,
 * 1,024 passes, 256 lanes, 2^31 - 1 iterations.
 */
export type DerivationLimitOptions = {
  readonly [Name in keyof DerivationLimits]?: DerivationLimits[Name] | undefined;
};

const defaultLimits: DerivationLimits = {
  maxMemoryBytes: 2 ** 30,
  maxPasses: 16,
  maxLanes: 16,
  maxIterations: 2 ** 24,
};

/** Nothing beyond these is ever derived. */
export const hardLimits: DerivationLimits = {
  maxMemoryBytes: 2 ** 32 - 1024,
  maxPasses: 1024,
  maxLanes: 256,
  maxIterations: 2 ** 31 - 1,
};

/** Whether the function is defined for these parameters, whatever they cost; all have to be non-negative integers. */
export function isDerivation(derivation: Derivation): boolean {
  switch (derivation.name) {
    case 'scrypt': {
      const { N, r, p } = derivation;
      // RFC 7914, section 2: N is less than 2^(128 * r / 8). OpenSSL refuses others.
      return N > 1 && Number.isInteger(Math.log2(N)) && r > 0 && p > 0 && N < 2 ** (16 * r);
    }
    case 'argon2id':
      // RFC 9106, section 3.1.
      return derivation.lanes > 0 && derivation.passes > 0 && derivation.memoryKiB >= 8 * derivation.lanes;
    case 'pbkdf2':
      return derivation.iterations > 0;
    default:
      return true;
  }
}

/** Returns the first cost that exceeds its limit, and the limit. */
export function excessOf(
  derivation: Derivation,
  limits: DerivationLimits,
): { what: string; maximum: number } | undefined {
  const costs: [what: string, cost: number, maximum: number][] = [];
  if (derivation.name === 'scrypt') {
    const { N, r, p } = derivation;
    costs.push(['N', N, 2 ** 24], ['r', r, 32], ['memory', 128 * N * r, limits.maxMemoryBytes]);
    costs.push(['p', p, limits.maxLanes]);
  } else if (derivation.name === 'argon2id') {
    costs.push(['memory', derivation.memoryKiB * 1024, limits.maxMemoryBytes]);
    costs.push(['passes', derivation.passes, limits.maxPasses], ['lanes', derivation.lanes, limits.maxLanes]);
  } else if (derivation.name === 'pbkdf2') {
    costs.push(['iterations', derivation.iterations, limits.maxIterations]);
  }
  for (const [what, cost, maximum] of costs) if (cost > maximum) return { what, maximum };
  return undefined;
}

/**
 * Returns the limits with defaults.
 * @throws {StashValueError} `bad-option`.
 */
export function parseDerivationLimits(options: DerivationLimitOptions | undefined): DerivationLimits {
  if (options !== undefined && (typeof options !== 'object' || options === null)) {
    throw new StashValueError('bad-option', 'the limits of key derivation must be an object');
  }
  const limit = (name: keyof DerivationLimits): number =>
    integerOption(name, options?.[name], defaultLimits[name], hardLimits[name]);
  return {
    maxMemoryBytes: limit('maxMemoryBytes'),
    maxPasses: limit('maxPasses'),
    maxLanes: limit('maxLanes'),
    maxIterations: limit('maxIterations'),
  };
}

/** Of a key slot. */
function parameter(name: string, value: unknown, fallback: number): number {
  return integerOption(name, value, fallback, 2 ** 32 - 1);
}

function fillDefaults(options: DerivationOptions): PasswordDerivation | undefined {
  switch (options.name) {
    case 'scrypt':
      return {
        name: 'scrypt',
        N: parameter('N', options.N, 2 ** 17),
        r: parameter('r', options.r, 8),
        p: parameter('p', options.p, 1),
      };
    case 'argon2id':
      return {
        name: 'argon2id',
        memoryKiB: parameter('memoryKiB', options.memoryKiB, 2 ** 16),
        passes: parameter('passes', options.passes, 3),
        lanes: parameter('lanes', options.lanes, 4),
      };
    case 'pbkdf2':
      return { name: 'pbkdf2', iterations: parameter('iterations', options.iterations, 2 ** 19) };
    default:
      return undefined;
  }
}

/**
 * Returns the key derivation that is wanted, with defaults; scrypt where nothing is said.
 * @throws {StashValueError} `bad-option`; so too if it exceeds `limits`, with which the stash would not open again.
 */
export function parseDerivation(
  options: DerivationOptions | undefined,
  limits: DerivationLimits,
): PasswordDerivation {
  const given: unknown = options === undefined ? { name: 'scrypt' } : options;
  const derivation =
    typeof given === 'object' && given !== null ? fillDefaults(given as DerivationOptions) : undefined;
  if (derivation === undefined) {
    throw new StashValueError(
      'bad-option',
      'the key derivation must be scrypt, argon2id or pbkdf2, by its name',
    );
  }
  const over = excessOf(derivation, limits);
  if (over !== undefined) {
    throw new StashValueError('bad-option', `${over.what} of the key derivation exceeds ${over.maximum}`);
  }
  if (!isDerivation(derivation)) {
    throw new StashValueError(
      'bad-option',
      derivation.name === 'scrypt'
        ? 'N must be a power of two from 2, below 2^(16 * r)'
        : 'memoryKiB must be at least 8 for each lane',
    );
  }
  return derivation;
}
