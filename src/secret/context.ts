/**
 * What collections and items need of the service they belong to. Holds no logic, so that items,
 * collections and the service can share it without importing each other.
 */

import type { Caller } from './caller.js';
import { Operation, type OperationOptions } from './operation.js';
import type { Session } from './session.js';

/** One connected service. */
export class ServiceContext {
  readonly caller: Caller;
  readonly session: Session;
  readonly #timeoutMs: number;

  constructor(caller: Caller, session: Session, timeoutMs: number) {
    this.caller = caller;
    this.session = session;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Starts the clock of one operation.
   * @throws {SecretServiceError} `bad-argument`, `closed`
   */
  begin(options: OperationOptions): Operation {
    this.caller.assertOpen();
    return new Operation(options, this.#timeoutMs);
  }
}
