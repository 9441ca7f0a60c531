/**
 * Deadlines and cancellation, which every wait of ours has. Layer 7: imports lower layers only.
 */
import { CancelledError, DBusError } from '../base/errors.js';
import { MAX_TIMEOUT_MS } from '../base/limits.js';

/** `timeoutMs` as a timer takes it; undefined means `fallbackMs`. @throws {DBusError} `invalid-timeout` */
export function checkTimeout(timeoutMs: number | undefined, fallbackMs: number): number {
  const wanted = timeoutMs ?? fallbackMs;
  if (typeof wanted !== 'number' || !(wanted >= 0)) {
    throw new DBusError('invalid-timeout', 'timeoutMs must be a non-negative number');
  }
  return Math.min(wanted, MAX_TIMEOUT_MS);
}

/** @throws {CancelledError} when `signal` has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new CancelledError(signal.reason);
}

/**
 * Runs `work` with a signal that fires when the caller's does or when `timeoutMs` have passed, and settles no later
 * than that, whatever `work` does. What `work` comes to afterwards goes to `discard`.
 * @param onDeadline - makes the error of a deadline that ran out.
 */
export function withDeadline<Result>(
  options: {
    timeoutMs: number;
    signal: AbortSignal | undefined;
    onDeadline: () => Error;
    discard: (late: Result) => void;
  },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, signal, onDeadline, discard } = options;
    const controller = new AbortController();
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      return true;
    };
    const stop = (error: Error): void => {
      if (!settle()) return;
      controller.abort(error);
      reject(error);
    };
    const onAbort = (): void => stop(new CancelledError(signal?.reason));
    const timer = setTimeout(() => stop(onDeadline()), timeoutMs);
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    work(controller.signal).then(
      (result) => (settle() ? resolve(result) : discard(result)),
      (error: unknown) => {
        if (settle()) reject(error);
      },
    );
  });
}
