/**
 * The deadlines and the cancellation that all calls of one operation share.
 *
 * An operation such as `set` makes several calls. Its `timeoutMs` bounds them together, so that a caller
 * who gives 5 s waits 5 s and not 5 s a call. Waiting for a person is another matter, with a deadline of
 * its own, and the clock of the calls stands still meanwhile.
 */

import { CancelledError, DeadlineError, whenAborted } from '../../wire/index.js';
import { SecretServiceError } from '../errors.js';
import { mapError } from '../map-error.js';

/**
 * What happens when the service wants to ask the user:
 *
 * - `allow`: the prompt is shown and waited for. The verbs `lookup`, `set` and `clear` also have unlocked
 *   what is locked and in their way.
 * - `never`: the prompt is dismissed, and the operation rejects with `prompt-required`. What is locked
 *   stays locked.
 */
export type PromptPolicy = 'allow' | 'never';

/** How prompts are shown. */
export interface PromptOptions {
  /** Whether the user may be asked; what was given to `SecretService.connect` if not given, else `allow`. */
  readonly prompt?: PromptPolicy | undefined;
  /**
   * Milliseconds for the user to answer one prompt, from when it is shown; more than 0. They do not count as part of
   * `timeoutMs`. What was given to `SecretService.connect` if not given, else 120 s.
   */
  readonly promptTimeoutMs?: number | undefined;
  /**
   * The window that the prompt belongs to, in the form of the platform, so that a dialog can be put before it: the
   * specification leaves it at that, and most services expect an X11 window id in decimal digits. Empty if not given.
   */
  readonly windowId?: string | undefined;
}

/** What every operation takes. */
export interface OperationOptions extends PromptOptions {
  /** Cancels the operation: it rejects with CancelledError. What was sent may still take effect. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds until the operation rejects with DeadlineError, all its calls together; more than 0.
   * Without it the `timeoutMs` given to `SecretService.connect` holds, and without that 25 s.
   */
  readonly timeoutMs?: number | undefined;
}

/** What holds for the operations that do not say otherwise. */
export interface OperationDefaults {
  readonly timeoutMs: number;
  readonly prompt: PromptPolicy;
  readonly promptTimeoutMs: number;
  readonly windowId: string;
}

/** What holds where `SecretService.connect` is told nothing. 25 s is the timeout of the D-Bus reference library. */
const DEFAULTS: OperationDefaults = {
  timeoutMs: 25_000,
  prompt: 'allow',
  promptTimeoutMs: 120_000,
  windowId: '',
};

const POLICIES: ReadonlySet<unknown> = new Set<PromptPolicy>(['allow', 'never']);

/** What a timer can hold (2^31 − 1 ms, about 25 days). */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/**
 * Reads what of the options says how operations run.
 * @throws {SecretServiceError} `bad-argument`
 */
export function readDefaults(
  options: OperationOptions,
  defaults: OperationDefaults = DEFAULTS,
): OperationDefaults {
  assertObject(options, 'the options');
  const { prompt = defaults.prompt, windowId = defaults.windowId } = options;
  if (!POLICIES.has(prompt))
    throw new SecretServiceError('bad-argument', 'prompt must be `allow` or `never`');
  if (typeof windowId !== 'string') {
    throw new SecretServiceError('bad-argument', 'windowId must be a string');
  }
  return {
    timeoutMs: assertTimeoutMs(options.timeoutMs ?? defaults.timeoutMs),
    prompt,
    promptTimeoutMs: assertTimeoutMs(options.promptTimeoutMs ?? defaults.promptTimeoutMs),
    windowId,
  };
}

/** One run of one operation. */
export class Operation {
  readonly signal: AbortSignal | undefined;
  readonly #settings: OperationDefaults;
  readonly #deadline: DeadlineError['deadline'];
  #endsAt: number;
  /** How many prompts of it are waited for, and since when. */
  #pauses = 0;
  #pausedAt = 0;
  /** Why its first prompt that failed did. */
  #refusal: { readonly error: unknown } | undefined;

  /**
   * Starts the clock.
   * @param deadline - Which deadline it is that `timeoutMs` stands for.
   * @throws {SecretServiceError} `bad-argument` for options, a `signal` or a `timeoutMs` that are none.
   */
  constructor(
    options: OperationOptions,
    defaults: OperationDefaults = DEFAULTS,
    deadline: DeadlineError['deadline'] = 'call',
  ) {
    this.#settings = readDefaults(options, defaults);
    this.signal = options.signal;
    if (this.signal !== undefined && !isSignal(this.signal)) {
      throw new SecretServiceError('bad-argument', 'signal must be an AbortSignal');
    }
    this.#deadline = deadline;
    this.#endsAt = performance.now() + this.#settings.timeoutMs;
  }

  /** Whether the user may be asked, for how long, and before which window. */
  get prompts(): Omit<OperationDefaults, 'timeoutMs'> {
    return this.#settings;
  }

  /**
   * What a call made now may take.
   * @throws {DeadlineError} if nothing is left, {CancelledError} if the signal has fired: the next call
   * must not be sent.
   */
  callOptions(): { timeoutMs: number; signal?: AbortSignal } {
    const { signal } = this;
    if (signal?.aborted === true) throw new CancelledError(signal.reason);
    const now = this.#pauses > 0 ? this.#pausedAt : performance.now();
    const timeoutMs = Math.ceil(this.#endsAt - now);
    if (timeoutMs <= 0) throw this.#lateError();
    return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
  }

  /**
   * Makes the error that the operation rejects with out of what a call of it threw.
   * @param step - What the call was for.
   * @returns A DeadlineError names the time the operation had, and not what was left of it.
   */
  failure(error: unknown, step: string): Error {
    return error instanceof DeadlineError && error.deadline === 'call'
      ? this.#lateError()
      : mapError(error, step);
  }

  /**
   * Waits for `promise`.
   * @throws {DeadlineError}, {CancelledError} if that comes first; else what `promise` rejects with.
   */
  async waitFor<Result>(promise: Promise<Result>): Promise<Result> {
    const { timeoutMs } = this.callOptions();
    return await waitAtMost(promise, timeoutMs, this.signal, () => this.#lateError());
  }

  /** Runs `work`, which waits for a person: the clock stands still until it ends. */
  async pausedFor<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#pauses++ === 0) this.#pausedAt = performance.now();
    try {
      return await work();
    } finally {
      if (--this.#pauses === 0) this.#endsAt += performance.now() - this.#pausedAt;
    }
  }

  /**
   * Runs `ask`, which shows one of its prompts. Who has refused one, or does not answer, is not asked the next.
   * @throws what `ask` throws, and what it threw for an earlier prompt
   */
  async asking<Result>(ask: () => Promise<Result>): Promise<Result> {
    if (this.#refusal !== undefined) throw this.#refusal.error;
    try {
      return await ask();
    } catch (error) {
      this.#refusal = { error };
      throw error;
    }
  }

  #lateError(): DeadlineError {
    return new DeadlineError(this.#deadline, this.#settings.timeoutMs);
  }
}

/**
 * Waits for `promise`, though not longer than `timeoutMs` and not after `signal`.
 * @throws what `late` makes, {CancelledError}, or what `promise` rejects with.
 */
export function waitAtMost<Result>(
  promise: Promise<Result>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    let stopListening: (() => void) | undefined;
    const timer = setTimeout(() => end(() => reject(late())), timeoutMs);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      stopListening?.();
      settle();
    };
    stopListening = whenAborted(signal, () => end(() => reject(new CancelledError(signal?.reason))));
    promise.then(
      (result) => end(() => resolve(result)),
      (error: unknown) => end(() => reject(error)),
    );
  });
}

/** By its shape: a signal may come from another realm. */
function isSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return 'aborted' in value && 'addEventListener' in value && typeof value.addEventListener === 'function';
}

/**
 * Checks what must have properties: a program without types may pass anything.
 * @throws {SecretServiceError} `bad-argument`
 */
export function assertObject(value: unknown, what: string): void {
  if (typeof value !== 'object' || value === null) {
    throw new SecretServiceError('bad-argument', `${what} must be an object`);
  }
}

/**
 * Checks a duration that came from the caller.
 * @returns It, cut to what a timer can hold.
 * @throws {SecretServiceError} `bad-argument`
 */
export function assertTimeoutMs(timeoutMs: unknown): number {
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0) || timeoutMs === Number.POSITIVE_INFINITY) {
    throw new SecretServiceError(
      'bad-argument',
      'a timeout must be a positive finite number of milliseconds',
    );
  }
  return Math.min(Math.ceil(timeoutMs), MAX_TIMEOUT_MS);
}
