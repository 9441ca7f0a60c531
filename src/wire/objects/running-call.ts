/**
 * A method call while its handler runs. Layer 8: imports lower layers only.
 */
import type { Message } from '../message/message.js';
import type { IncomingCall } from './implementation.js';

/** A call whose handler runs. Its signal is made when somebody asks: most handlers never do. */
export class RunningCall implements IncomingCall {
  readonly message: Message;
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  constructor(message: Message) {
    this.message = message;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }
}
