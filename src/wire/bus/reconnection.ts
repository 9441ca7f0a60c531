/**
 * Connecting to a bus anew after the connection was lost. Layer 8: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../base/limits.js';
import { checkTimeout, withDeadline } from '../connection/deadline.js';

export interface ReconnectOptions {
  /** Wait before the first attempt, in milliseconds; default 100. It doubles with each that fails. */
  initialDelayMs?: number | undefined;
  /** Longest wait between two attempts, in milliseconds; default 10,000. */
  maxDelayMs?: number | undefined;
  /** Time after which the bus is given up, in milliseconds; default never. */
  giveUpAfterMs?: number | undefined;
  /** Called when the connection is lost, with the reason. */
  onDisconnect?: ((cause: Error | undefined) => void) | undefined;
  /** Called when the bus is connected to again and everything restored; it has another unique name then. */
  onReconnect?: (() => void) | undefined;
}

/** What a bus does when its connection is lost; made by {@link reconnecting}. */
export interface Reconnection {
  /** @internal */
  stop(): void;
  /**
   * Tries `open` until it succeeds or is stopped, both of which give undefined, or until the time is over: gives the last
   * error.
   * @internal
   */
  run(cause: Error | undefined, open: (signal: AbortSignal) => Promise<void>): Promise<Error | undefined>;
}

/**
 * Has a bus connected to anew when the connection is lost, for its option `reconnect`. For one bus: call it for each.
 * @throws {DBusError} `invalid-timeout`
 */
export function reconnecting(options: ReconnectOptions = {}): Reconnection {
  return new Attempts(options);
}

class Attempts implements Reconnection {
  readonly #options: ReconnectOptions;
  readonly #stop = new AbortController();
  /** Wait before the next attempt, in milliseconds, or 0 when the last connection lasted. */
  #delayMs = 0;
  #connectedAt = 0;

  constructor(options: ReconnectOptions) {
    checkTimeout(options.initialDelayMs, 0);
    checkTimeout(options.maxDelayMs, 0);
    checkTimeout(options.giveUpAfterMs, 0);
    this.#options = options;
  }

  stop(): void {
    this.#stop.abort();
  }

  async run(
    cause: Error | undefined,
    open: (signal: AbortSignal) => Promise<void>,
  ): Promise<Error | undefined> {
    const {
      initialDelayMs = 100,
      maxDelayMs = 10_000,
      giveUpAfterMs = Number.POSITIVE_INFINITY,
    } = this.#options;
    const { onDisconnect, onReconnect } = this.#options;
    if (onDisconnect !== undefined) queueMicrotask(() => onDisconnect(cause));
    const endsAt = performance.now() + giveUpAfterMs;
    let failure = cause ?? new DBusError('disconnected', 'the peer closed the connection');
    // A bus that lets us in and hangs up at once must not be asked again and again at the pace of a first attempt.
    if (performance.now() - this.#connectedAt >= maxDelayMs) this.#delayMs = 0;
    while (performance.now() < endsAt) {
      const delayMs = Math.min(Math.max(this.#delayMs, initialDelayMs), maxDelayMs);
      this.#delayMs = delayMs * 2;
      // Many clients lose a bus at one time, and must not all come back at one time.
      await this.#sleep(Math.min(delayMs * (0.5 + Math.random() / 2), endsAt - performance.now()));
      if (this.#stop.signal.aborted) return undefined;
      try {
        await this.#attempt(open);
        this.#connectedAt = performance.now();
        if (onReconnect !== undefined) queueMicrotask(onReconnect);
        return undefined;
      } catch (error) {
        failure = error as Error;
      }
    }
    return failure;
  }

  #attempt(open: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    return withDeadline({ timeoutMs: DEFAULT_CONNECT_TIMEOUT_MS, signal, deadline: 'connect' }, open);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#stop;
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
