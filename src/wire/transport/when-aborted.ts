/**
 * Listening to AbortSignals. Layer 6: imports lower layers only.
 */
import { CancelledError } from '../base/errors.js';

interface Listening {
  readonly runs: Set<() => void>;
  readonly listener: () => void;
}

/**
 * What is to run for each signal. One listener a signal, since a program gives one signal to many calls, and each listener
 * more costs a search through all of them, and a warning after the tenth.
 */
const listenings = new WeakMap<AbortSignal, Listening>();

function listen(signal: AbortSignal): Listening {
  const runs = new Set<() => void>();
  const listener = (): void => {
    for (const run of runs) run();
  };
  signal.addEventListener('abort', listener);
  const listening = { runs, listener };
  listenings.set(signal, listening);
  return listening;
}

/** @throws {CancelledError} when `signal` has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new CancelledError(signal.reason);
}

/**
 * Calls `run` when `signal` fires, at once if it has fired already. The function returned stops that, and must be called
 * when there is no more to stop.
 */
export function whenAborted(signal: AbortSignal | undefined, run: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    run();
    return () => {};
  }
  const listening = listenings.get(signal) ?? listen(signal);
  listening.runs.add(run);
  return () => {
    if (!listening.runs.delete(run) || listening.runs.size > 0) return;
    signal.removeEventListener('abort', listening.listener);
    if (listenings.get(signal) === listening) listenings.delete(signal);
  };
}
