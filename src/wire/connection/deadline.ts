/**
 * Deadlines and cancellation, which every wait of ours has. Layer 7: imports lower layers only.
 */
import { CancelledError, DBusError } from '../base/errors.js';
import { MAX_TIMEOUT_MS } from '../base/limits.js';
import { whenAborted } from '../transport/when-aborted.js';

/** `timeoutMs` as a timer takes it; undefined means `fallbackMs`. @throws {DBusError} `invalid-timeout` */
export function checkTimeout(timeoutMs: number | undefined, fallbackMs: number): number {
  const wanted = timeoutMs ?? fallbackMs;
  if (typeof wanted !== 'number' || !(wanted >= 0)) {
    throw new DBusError('invalid-timeout', 'a timeout must be a non-negative number of milliseconds');
  }
  return Math.min(wanted, MAX_TIMEOUT_MS);
}

/** @throws {CancelledError} when `signal` has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new CancelledError(signal.reason);
}

/** How long to wait, and what comes of waiting longer. */
export interface Limits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Makes the error of the deadline. */
  readonly onDeadline: () => Error;
}

/**
 * Calls `stop` with a `CancelledError` when the signal fires or with the error of the deadline when that comes first. The
 * function returned ends the watch, and must be called when the wait is over, however it ended.
 */
export function watchLimits(limits: Limits, stop: (error: Error) => void): () => void {
  const { timeoutMs, signal, onDeadline } = limits;
  const timer = setTimeout(() => stop(onDeadline()), timeoutMs);
  const stopListening = whenAborted(signal, () => stop(new CancelledError(signal?.reason)));
  return () => {
    clearTimeout(timer);
    stopListening();
  };
}

/**
 * Runs `work` with a signal that fires when the limits are reached, and settles no later than that, whatever `work` does.
 * What `work` comes to afterwards goes to `discard`. A signal that has fired already must be refused before.
 */
export function withDeadline<Result>(
  limits: Limits,
  work: (signal: AbortSignal) => Promise<Result>,
  discard: (late: Result) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      endWatch();
      return true;
    };
    const endWatch = watchLimits(limits, (error) => {
      if (!settle()) return;
      controller.abort(error);
      reject(error);
    });
    work(controller.signal).then(
      (result) => (settle() ? resolve(result) : discard(result)),
      (error: unknown) => {
        if (settle()) reject(error);
      },
    );
  });
}
