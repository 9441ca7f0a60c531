/**
 * The calls that wait for their replies. Layer 7: imports lower layers only.
 */
import { CancelledError, DeadlineError } from '../base/errors.js';
import { MAX_PENDING_CALLS } from '../base/limits.js';
import { type Message, MessageType } from '../message/message.js';
import { whenAborted } from '../transport/when-aborted.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';

/** How one call waits. */
export interface Waiting {
  readonly destination: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Whether neither the call nor its reply may be recorded. */
  readonly sensitive: boolean;
}

interface PendingCall {
  readonly waiting: Waiting;
  /** By the clock of `performance.now()`. */
  readonly endsAt: number;
  readonly take: (reply: Message) => void;
  readonly reject: (error: Error) => void;
  stopListening: () => void;
}

/**
 * Whether a reply from `sender` can be the answer of `destination`. A peer that guessed the serial must not be able to
 * answer for another. The bus may answer in anyone's place, but only with an error; the owner of a well-known name
 * answers under its unique name.
 */
function mayReply(reply: Message, destination: string | undefined): boolean {
  const { sender } = reply;
  if (sender === undefined || destination === undefined || sender === destination) return true;
  if (sender === BUS_NAME) return reply.type === MessageType.error;
  return destination !== BUS_NAME && !isUniqueName(destination);
}

/** The platform's timers may fire this much before their time, in milliseconds. */
const TIMER_SLACK_MS = 1;

/**
 * Each call waits no longer than its deadline, and leaves nothing behind however it ends. One timer serves them all, set
 * for the earliest deadline: most calls end long before theirs, and a timer each would cost more than the waiting.
 */
export class PendingCalls {
  readonly #calls = new Map<number, PendingCall>();
  /** Serials of sensitive calls that nobody waits for any more: a reply may still come. */
  readonly #abandoned = new Set<number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #firesAt = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#calls.size;
  }

  has(serial: number): boolean {
    return this.#calls.has(serial);
  }

  isSensitive(serial: number | undefined): boolean {
    if (serial === undefined) return false;
    // Once there are more than can be remembered, every reply that nobody waits for may be one.
    const { waiting } = this.#calls.get(serial) ?? {};
    return waiting?.sensitive ?? (this.#abandoned.has(serial) || this.#abandoned.size >= MAX_PENDING_CALLS);
  }

  /**
   * Waits for the reply to `serial`. A signal that has fired already must be refused before. `take` makes the result out
   * of the reply; it runs before any later message is looked at, so that it must be code of ours, as must `failed`, which is
   * told the error when there is none.
   * @throws {DeadlineError} | {CancelledError} | whatever `rejectAll` makes or `take` throws
   */
  wait<Result>(
    serial: number,
    waiting: Waiting,
    take: (reply: Message) => Result,
    failed: (error: unknown) => void = nothing,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const { signal } = waiting;
      const call: PendingCall = {
        waiting,
        endsAt: performance.now() + waiting.timeoutMs,
        take: (reply) => resolve(take(reply)),
        reject: (error) => {
          failed(error);
          reject(error);
        },
        stopListening: nothing,
      };
      if (signal !== undefined) {
        call.stopListening = whenAborted(signal, () => {
          this.#remove(serial, call);
          call.reject(new CancelledError(signal.reason));
        });
      }
      this.#calls.set(serial, call);
      this.#watch(call.endsAt);
    });
  }

  /** Hands a reply to its call. One that nobody waits for, or from the wrong peer, is dropped: false. */
  settle(reply: Message): boolean {
    const serial = reply.replySerial as number;
    const call = this.#calls.get(serial);
    if (call === undefined || !mayReply(reply, call.waiting.destination)) return false;
    this.#remove(serial, call, true);
    try {
      call.take(reply);
    } catch (error) {
      call.reject(error as Error);
    }
    return true;
  }

  rejectAll(makeError: () => Error): void {
    for (const [serial, call] of this.#calls) {
      this.#remove(serial, call);
      call.reject(makeError());
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  #remove(serial: number, call: PendingCall, isAnswered = false): void {
    if (!isAnswered && call.waiting.sensitive && this.#abandoned.size < MAX_PENDING_CALLS) {
      this.#abandoned.add(serial);
    }
    call.stopListening();
    this.#calls.delete(serial);
    // What is left of the timer must not keep the process alive.
    if (this.#calls.size === 0) this.#timer?.unref();
  }

  /** Sees to it that the timer fires at `endsAt` at the latest. */
  #watch(endsAt: number): void {
    if (this.#calls.size === 1) this.#timer?.ref();
    if (endsAt >= this.#firesAt) return;
    clearTimeout(this.#timer);
    this.#firesAt = endsAt;
    this.#timer = setTimeout(() => this.#expire(), Math.ceil(endsAt - performance.now()));
  }

  #expire(): void {
    this.#timer = undefined;
    this.#firesAt = Number.POSITIVE_INFINITY;
    const now = performance.now() + TIMER_SLACK_MS;
    let next = Number.POSITIVE_INFINITY;
    for (const [serial, call] of this.#calls) {
      if (call.endsAt > now) {
        next = Math.min(next, call.endsAt);
        continue;
      }
      this.#remove(serial, call);
      call.reject(new DeadlineError('call', call.waiting.timeoutMs));
    }
    if (next !== Number.POSITIVE_INFINITY) this.#watch(next);
  }
}

function nothing(): void {}
