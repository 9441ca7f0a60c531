/**
 * The calls that wait for their replies. Layer 7: imports lower layers only.
 */
import { DeadlineError } from '../base/errors.js';
import { type Message, MessageType } from '../message/message.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';
import { watchLimits } from './deadline.js';

interface PendingCall {
  readonly destination: string | undefined;
  readonly resolve: (reply: Message) => void;
  readonly reject: (error: Error) => void;
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

/** Each call waits no longer than its deadline, and leaves nothing behind however it ends. */
export class PendingCalls {
  readonly #calls = new Map<number, PendingCall>();

  get size(): number {
    return this.#calls.size;
  }

  has(serial: number): boolean {
    return this.#calls.has(serial);
  }

  /**
   * Waits for the reply to `serial`. A signal that has fired already must be refused before.
   * @throws {DeadlineError} | {CancelledError} | whatever `rejectAll` makes
   */
  wait(
    serial: number,
    destination: string | undefined,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Message> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        leave();
        reject(error);
      };
      const onDeadline = (): Error => new DeadlineError('call', timeoutMs);
      const endWatch = watchLimits({ timeoutMs, signal, onDeadline }, fail);
      const leave = (): void => {
        this.#calls.delete(serial);
        endWatch();
      };
      this.#calls.set(serial, {
        destination,
        resolve: (reply) => {
          leave();
          resolve(reply);
        },
        reject: fail,
      });
    });
  }

  /** Hands a reply to its call. One that nobody waits for, or from the wrong peer, is dropped. */
  settle(reply: Message): void {
    const call = this.#calls.get(reply.replySerial as number);
    if (call !== undefined && mayReply(reply, call.destination)) call.resolve(reply);
  }

  rejectAll(makeError: () => Error): void {
    for (const call of this.#calls.values()) call.reject(makeError());
  }
}
