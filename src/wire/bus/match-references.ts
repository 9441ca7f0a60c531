/**
 * The match rules that a bus has from us: each once, however many subscriptions need it (D-Bus specification, "Message
 * Bus Messages", AddMatch: one added twice needs removing twice). Layer 8: imports lower layers only.
 */
import { type Deferred, deferred } from '../connection/deferred.js';

/** What it needs of the bus. */
export interface MatchHost {
  /** Sends AddMatch or RemoveMatch; resolves when the bus has done it. */
  callMatch(member: 'AddMatch' | 'RemoveMatch', rule: string): Promise<void>;
  /** Whether `error` is the loss of a connection that will be restored. */
  willRestore(error: unknown): boolean;
}

interface Reference extends Deferred<void> {
  count: number;
}

export class MatchReferences {
  readonly #host: MatchHost;
  readonly #references = new Map<string, Reference>();

  constructor(host: MatchHost) {
    this.#host = host;
  }

  /** Adds `rule`, in canonical text; resolves when the bus has it. Each call needs a {@link remove}, even if it rejects. */
  add(rule: string): Promise<void> {
    let reference = this.#references.get(rule);
    if (reference === undefined) {
      reference = { count: 0, ...deferred() };
      reference.promise.catch(() => {});
      this.#references.set(rule, reference);
      void this.#send(rule, reference);
    }
    reference.count++;
    return reference.promise;
  }

  /** Resolves when the bus no longer has the rule, or another subscription still needs it. Never rejects. */
  async remove(rule: string): Promise<void> {
    const reference = this.#references.get(rule);
    if (reference === undefined || --reference.count > 0) return;
    this.#references.delete(rule);
    try {
      await this.#host.callMatch('RemoveMatch', rule);
    } catch {
      // The connection has ended, and the rule with it.
    }
  }

  /** Adds all rules, on a new connection. */
  restore(): void {
    for (const [rule, reference] of this.#references) void this.#send(rule, reference);
  }

  /** There will be no connection any more. */
  end(error: Error): void {
    for (const { reject } of this.#references.values()) reject(error);
    this.#references.clear();
  }

  async #send(rule: string, reference: Reference): Promise<void> {
    try {
      await this.#host.callMatch('AddMatch', rule);
      reference.resolve();
    } catch (error) {
      if (this.#host.willRestore(error)) return;
      // A rule that was refused is not there to be removed, and may be tried again.
      if (this.#references.get(rule) === reference) this.#references.delete(rule);
      reference.reject(error);
    }
  }
}
