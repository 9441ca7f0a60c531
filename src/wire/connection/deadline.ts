/**
 * Deadlines and cancellation, which every wait of ours has. Layer 7: imports lower layers only.
 */
import { CancelledError, DBusError, DeadlineError } from '../base/errors.js';
import { MAX_TIMEOUT_MS } from '../base/limits.js';
import { throwIfAborted, whenAborted } from '../transport/when-aborted.js';

/** `timeoutMs` as a timer takes it; undefined means `fallbackMs`. @throws {DBusError} `invalid-timeout` */
export function checkTimeout(timeoutMs: number | undefined, fallbackMs: number): number {
  const wanted = timeoutMs ?? fallbackMs;
  if (typeof wanted !== 'number' || !(wanted >= 0)) {
    throw new DBusError('invalid-timeout', 'a timeout is a number of milliseconds, not below 0');
  }
  return Math.min(wanted, MAX_TIMEOUT_MS);
}

/** How long to wait, and which deadline it is when that was too long. */
export interface Limits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly deadline: DeadlineError['deadline'];
}

/**
 * Runs `work` with a signal that fires when the limits are reached, and settles no later than that, whatever `work` does.
 * What `work` comes to afterwards goes to `discard`.
 */
export function withDeadline<Result>(
  { timeoutMs, signal, deadline }: Limits,
  work: (signal: AbortSignal) => Promise<Result>,
  discard: (late: Result) => void = () => {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const controller = new AbortController();
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      clearTimeout(timer);
      stopListening();
      return true;
    };
    const stop = (error: Error): void => {
      if (!settle()) return;
      controller.abort(error);
      reject(error);
    };
    const timer = setTimeout(() => stop(new DeadlineError(deadline, timeoutMs)), timeoutMs);
    const stopListening = whenAborted(signal, () => stop(new CancelledError(signal?.reason)));
    work(controller.signal).then(
      (result) => (settle() ? resolve(result) : discard(result)),
      (error: unknown) => {
        if (settle()) reject(error);
      },
    );
  });
}
