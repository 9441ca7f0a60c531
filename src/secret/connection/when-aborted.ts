/** Listening to AbortSignals. Imports nothing. */

interface Listening {
  readonly runs: Set<() => void>;
  readonly listener: () => void;
}

/** One listener a signal: a program gives one signal to many operations, and each listener after the tenth is a warning. */
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

/**
 * Calls `run`, which does not throw, when `signal` fires; at once if it has.
 * @returns What stops that; to be called when there is no more to stop.
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
