/**
 * The deadline and the cancellation that all calls of one operation share.
 *
 * An operation such as `set` makes several calls. Its `timeoutMs` bounds them together, so that a caller
 * who gives 5 s waits 5 s and not 5 s a call.
 */

import { CancelledError, DeadlineError } from '../wire/index.js';
import { SecretServiceError } from './errors.js';
import { mapError } from './map-error.js';

/** What every operation takes. */
export interface OperationOptions {
  /** Cancels the operation: it rejects with CancelledError. What was sent may still take effect. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds until the operation rejects with DeadlineError, all its calls together; more than 0.
   * Without it the `timeoutMs` given to `SecretService.connect` holds, and without that 25 s.
   */
  readonly timeoutMs?: number | undefined;
}

/** The `timeoutMs` of operations when the caller gives none: that of the D-Bus reference library. */
export const DEFAULT_TIMEOUT_MS = 25_000;

/** What a timer can hold (2^31 − 1 ms, about 25 days). */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** One run of one operation. */
export class Operation {
  readonly signal: AbortSignal | undefined;
  readonly #timeoutMs: number;
  readonly #endsAt: number;

  /**
   * Starts the clock.
   * @throws {SecretServiceError} `bad-argument` for options, a `signal` or a `timeoutMs` that are none.
   */
  constructor(options: OperationOptions, defaultTimeoutMs: number = DEFAULT_TIMEOUT_MS) {
    assertObject(options, 'the options');
    this.signal = options.signal;
    if (this.signal !== undefined && !isSignal(this.signal)) {
      throw new SecretServiceError('bad-argument', 'signal must be an AbortSignal');
    }
    this.#timeoutMs = assertTimeoutMs(options.timeoutMs ?? defaultTimeoutMs);
    this.#endsAt = performance.now() + this.#timeoutMs;
  }

  /**
   * What a call made now may take.
   * @throws {DeadlineError} if nothing is left, {CancelledError} if the signal has fired: the next call
   * must not be sent.
   */
  callOptions(): { timeoutMs: number; signal?: AbortSignal } {
    const { signal } = this;
    if (signal?.aborted === true) throw new CancelledError(signal.reason);
    const timeoutMs = Math.ceil(this.#endsAt - performance.now());
    if (timeoutMs <= 0) throw new DeadlineError('call', this.#timeoutMs);
    return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
  }

  /**
   * Makes the error that the operation rejects with out of what a call of it threw.
   * @param step - What the call was for.
   * @returns A DeadlineError names the time the operation had, and not what was left of it.
   */
  failure(error: unknown, step: string): Error {
    if (error instanceof DeadlineError && error.deadline === 'call') {
      return new DeadlineError('call', this.#timeoutMs);
    }
    return mapError(error, step);
  }

  /**
   * Waits until `promise` settles, with whatever outcome.
   * @throws {DeadlineError}, {CancelledError} if that comes first.
   */
  async waitFor(promise: Promise<unknown>): Promise<void> {
    const { timeoutMs, signal } = this.callOptions();
    await new Promise<void>((resolve, reject) => {
      const stop = (error?: Error): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', cancel);
        if (error === undefined) resolve();
        else reject(error);
      };
      const cancel = (): void => stop(new CancelledError(signal?.reason));
      const timer = setTimeout(() => stop(new DeadlineError('call', this.#timeoutMs)), timeoutMs);
      signal?.addEventListener('abort', cancel);
      promise.then(
        () => stop(),
        () => stop(),
      );
    });
  }
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
    throw new SecretServiceError('bad-argument', 'timeoutMs must be a positive finite number');
  }
  return Math.min(Math.ceil(timeoutMs), MAX_TIMEOUT_MS);
}
