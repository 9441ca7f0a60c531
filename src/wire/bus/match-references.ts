/**
 * The match rules that a bus has from us: each once, however many subscriptions need it (D-Bus specification, "Message
 * Bus Messages", AddMatch: one added twice needs removing twice). Layer 8: imports lower layers only.
 */
import { ErrorReply } from '../base/errors.js';
import { type Deferred, deferred } from '../connection/deferred.js';

/** What it needs of the bus. */
export interface MatchHost {
  /** Sends AddMatch or RemoveMatch; resolves when the bus has done it. */
  callMatch(member: 'AddMatch' | 'RemoveMatch', rule: string): Promise<void>;
  /** Whether `error` is the loss of a connection that will be restored. */
  willRestore(error: unknown): boolean;
}

/** What somebody has entered with the bus. */
export interface Entered {
  /** Resolves when it is in force. */
  readonly ready: Promise<unknown>;
  /** Gives it back; to be called once, even if `ready` rejects. Never rejects. */
  readonly leave: () => Promise<unknown>;
}

/** Is told that what was entered is not in force: refused at once, or on a later connection. */
export type Failed = (error: Error) => void;

interface Reference extends Deferred<void> {
  readonly users: Set<Failed>;
}

export class MatchReferences {
  readonly #host: MatchHost;
  readonly #references = new Map<string, Reference>();

  constructor(host: MatchHost) {
    this.#host = host;
  }

  /** Adds `rule`, in canonical text. `failed` is this user's own. */
  add(rule: string, failed: Failed): Entered {
    let reference = this.#references.get(rule);
    if (reference === undefined) {
      reference = { users: new Set(), ...deferred() };
      reference.promise.catch(() => {});
      this.#references.set(rule, reference);
      void this.#send(rule, reference);
    }
    reference.users.add(failed);
    const { promise } = reference;
    return { ready: promise, leave: () => this.#remove(rule, reference, failed) };
  }

  /** Adds all rules, on a new connection. */
  restore(): void {
    for (const [rule, reference] of this.#references) void this.#send(rule, reference);
  }

  async #remove(rule: string, reference: Reference, failed: Failed): Promise<void> {
    reference.users.delete(failed);
    // A rule that was refused is not there to be removed; another of the same text may be.
    if (reference.users.size > 0 || this.#references.get(rule) !== reference) return;
    this.#references.delete(rule);
    await this.#removeFromBus(rule);
  }

  async #removeFromBus(rule: string): Promise<void> {
    try {
      await this.#host.callMatch('RemoveMatch', rule);
    } catch {
      // The connection has ended, and the rule with it.
    }
  }

  async #send(rule: string, reference: Reference): Promise<void> {
    try {
      await this.#host.callMatch('AddMatch', rule);
      reference.resolve();
    } catch (error) {
      if (this.#host.willRestore(error)) return;
      // A rule that was refused may be tried again. One that nothing was heard of may be there all the same.
      const isPresent = this.#references.get(rule) === reference;
      if (isPresent) {
        this.#references.delete(rule);
        if (!(error instanceof ErrorReply)) void this.#removeFromBus(rule);
      }
      reference.reject(error);
      for (const failed of reference.users) failed(error as Error);
    }
  }
}
