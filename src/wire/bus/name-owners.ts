/**
 * Who owns a well-known name right now (D-Bus specification, "Message Bus Messages", NameOwnerChanged): a signal comes
 * from a unique name, so that a rule for a well-known sender needs to know whose it is. Layer 8: imports lower layers only.
 */
import { MatchRule } from '../match/match-rule.js';
import { type Message, MessageType } from '../message/message.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';
import type { MatchReferences } from './match-references.js';

interface TrackedName {
  count: number;
  owner: string | undefined;
  ready: Promise<unknown>;
}

/** What it needs of the bus. */
export interface OwnerHost {
  /** Asks for the owner of `name`; `take` gets it before any later message is looked at. */
  askOwner(name: string, take: (owner: string | undefined) => void): Promise<void>;
  /** Whether `error` is the loss of a connection that will be restored. */
  willRestore(error: unknown): boolean;
}

/** The rule for the signals that tell of `name`. */
export function ownerChangeRule(name: string): MatchRule {
  return new MatchRule({
    type: 'signal',
    sender: BUS_NAME,
    interface: BUS_NAME,
    member: 'NameOwnerChanged',
    args: { 0: name },
  });
}

/** Whether the owner of `name` can change: that of a unique name and of the bus's own cannot. */
export function canChangeOwner(name: string | undefined): name is string {
  return name !== undefined && name !== BUS_NAME && !isUniqueName(name);
}

export class NameOwners {
  readonly #matches: MatchReferences;
  readonly #host: OwnerHost;
  readonly #names = new Map<string, TrackedName>();

  constructor(matches: MatchReferences, host: OwnerHost) {
    this.#matches = matches;
    this.#host = host;
  }

  /** Begins to follow `name`; resolves when its owner is known. Each call needs an {@link untrack}, even if it rejects. */
  track(name: string): Promise<unknown> {
    let tracked = this.#names.get(name);
    if (tracked === undefined) {
      tracked = { count: 0, owner: undefined, ready: Promise.resolve() };
      this.#names.set(name, tracked);
      // First the rule, then the question: a change in between is told by a signal that comes after the reply.
      const added = this.#matches.add(ownerChangeRule(name).toString());
      const asked = this.#ask(name, tracked);
      tracked.ready = Promise.all([added, asked]);
      tracked.ready.catch(() => {});
    }
    tracked.count++;
    return tracked.ready;
  }

  async untrack(name: string): Promise<void> {
    const tracked = this.#names.get(name);
    if (tracked === undefined || --tracked.count > 0) return;
    this.#names.delete(name);
    await this.#matches.remove(ownerChangeRule(name).toString());
  }

  /** The unique name of the owner of a name that is followed. */
  ownerOf(name: string): string | undefined {
    return this.#names.get(name)?.owner;
  }

  /** Takes note of a change. Only the bus itself is believed: it lets nobody else be the sender `org.freedesktop.DBus`. */
  handle(message: Message): void {
    if (message.member !== 'NameOwnerChanged' || message.type !== MessageType.signal) return;
    if (message.sender !== BUS_NAME || message.interface !== BUS_NAME || message.signature !== 'sss') return;
    const [name, , owner] = message.body as [string, string, string];
    const tracked = this.#names.get(name);
    if (tracked !== undefined) tracked.owner = owner === '' ? undefined : owner;
  }

  /** Asks anew, on a new connection; the rules are restored before. */
  restore(): void {
    for (const [name, tracked] of this.#names) {
      tracked.owner = undefined;
      this.#ask(name, tracked).catch(() => {});
    }
  }

  async #ask(name: string, tracked: TrackedName): Promise<void> {
    try {
      await this.#host.askOwner(name, (owner) => {
        tracked.owner = owner;
      });
    } catch (error) {
      if (!this.#host.willRestore(error)) throw error;
    }
  }
}
