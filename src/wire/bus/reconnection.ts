/**
 * Connecting to a bus anew after the connection was lost. Layer 8: imports lower layers only.
 */
import { DBusError, DeadlineError } from '../base/errors.js';
import { checkTimeout, withDeadline } from '../connection/deadline.js';
import { whenAborted } from '../transport/when-aborted.js';

export interface ReconnectOptions {
  /** Wait before the first attempt, in milliseconds; default 100. It doubles with each that fails. */
  initialDelayMs?: number | undefined;
  /** Longest wait between two attempts, in milliseconds; default 10,000. */
  maxDelayMs?: number | undefined;
  /** Time after which the bus is given up, in milliseconds; default never. */
  giveUpAfterMs?: number | undefined;
  /** Called when the connection is lost, with the reason. */
  onDisconnect?: ((cause: Error | undefined) => void) | undefined;
  /** Called when the bus is connected to again, under another unique name, and all that is to be restored has been sent. */
  onReconnect?: (() => void) | undefined;
}

/** How far the attempts of one bus may go. */
export interface AttemptLimits {
  /** Fires when the bus is closed. */
  readonly signal: AbortSignal;
  /** Of one attempt. */
  readonly timeoutMs: number;
}

/** What a bus does when its connection is lost; made by {@link reconnecting}. */
export interface Reconnection {
  /** The attempts of one bus. @internal */
  attempts(limits: AttemptLimits): Attempts;
}

/**
 * Has a bus connected to anew when the connection is lost, for its option `reconnect`.
 * @throws {DBusError} `invalid-timeout`
 */
export function reconnecting(options: ReconnectOptions = {}): Reconnection {
  const delays = {
    initialDelayMs: checkTimeout(options.initialDelayMs, 100),
    maxDelayMs: checkTimeout(options.maxDelayMs, 10_000),
    giveUpAfterMs: options.giveUpAfterMs ?? Number.POSITIVE_INFINITY,
  };
  checkTimeout(delays.giveUpAfterMs, 0);
  return { attempts: (limits) => new Attempts({ ...options, ...delays }, limits) };
}

type Delays = Readonly<Record<'initialDelayMs' | 'maxDelayMs' | 'giveUpAfterMs', number>>;

export class Attempts {
  readonly #options: ReconnectOptions & Delays;
  readonly #limits: AttemptLimits;
  /** Wait before the next attempt, in milliseconds, or 0 when the last connection lasted. */
  #delayMs = 0;
  #connectedAt = 0;

  constructor(options: ReconnectOptions & Delays, limits: AttemptLimits) {
    this.#options = options;
    this.#limits = limits;
  }

  /**
   * Tries `open` until it succeeds or the bus is closed, both of which give undefined, or until the time is over: gives the
   * error of the last attempt that was not cut short by that, or `cause` when there was none.
   */
  async run(
    cause: Error | undefined,
    open: (signal: AbortSignal) => Promise<void>,
  ): Promise<Error | undefined> {
    const { initialDelayMs, maxDelayMs, giveUpAfterMs } = this.#options;
    const { signal, timeoutMs } = this.#limits;
    const { onDisconnect, onReconnect } = this.#options;
    if (onDisconnect !== undefined) queueMicrotask(() => onDisconnect(cause));
    const endsAt = performance.now() + giveUpAfterMs;
    const left = (): number => Math.max(0, endsAt - performance.now());
    let failure: Error | undefined;
    // A bus that lets us in and hangs up at once must not be asked again and again at the pace of a first attempt.
    if (performance.now() - this.#connectedAt >= maxDelayMs) this.#delayMs = 0;
    while (left() > 0) {
      const delayMs = Math.min(Math.max(this.#delayMs, initialDelayMs), maxDelayMs);
      this.#delayMs = delayMs * 2;
      // Many clients lose a bus at one time, and must not all come back at one time.
      await sleep(Math.min(delayMs * (0.5 + Math.random() / 2), left()), signal);
      if (signal.aborted) return undefined;
      const leftMs = left();
      if (leftMs === 0) break;
      try {
        await withDeadline({ timeoutMs: Math.min(timeoutMs, leftMs), signal, deadline: 'connect' }, open);
        this.#connectedAt = performance.now();
        if (onReconnect !== undefined) queueMicrotask(onReconnect);
        return undefined;
      } catch (error) {
        const cutShort = leftMs < timeoutMs && error instanceof DeadlineError;
        if (!cutShort) failure = error as Error;
      }
    }
    return failure ?? cause ?? new DBusError('disconnected', 'the peer closed the connection');
  }
}

/** Resolves after `ms`, or when `signal` fires. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let stopListening: (() => void) | undefined;
    const done = (): void => {
      clearTimeout(timer);
      stopListening?.();
      resolve();
    };
    const timer = setTimeout(done, ms);
    stopListening = whenAborted(signal, done);
  });
}
