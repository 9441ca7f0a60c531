/**
 * Who owns a well-known name right now (D-Bus specification, "Message Bus Messages", NameOwnerChanged): a signal comes
 * from a unique name, so that a rule for a well-known sender needs to know whose it is. Layer 8: imports lower layers only.
 */
import { MatchRule } from '../match/match-rule.js';
import { type Message, MessageType } from '../message/message.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';
import type { Entered, Failed, MatchReferences } from './match-references.js';

interface TrackedName {
  readonly users: Set<Failed>;
  owner: string | undefined;
  asked: Promise<void>;
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

  /** Begins to follow `name`; ready when its owner is known. */
  track(name: string, failed: Failed): Entered {
    // First the rule, then the question: a change in between is told by a signal that comes after the reply.
    const rule = this.#matches.add(ownerChangeRule(name).toString(), failed);
    let tracked = this.#names.get(name);
    if (tracked === undefined) {
      tracked = { users: new Set(), owner: undefined, asked: Promise.resolve() };
      this.#names.set(name, tracked);
      this.#ask(name, tracked);
    }
    const { users, asked } = tracked;
    users.add(failed);
    const leave = (): Promise<unknown> => {
      users.delete(failed);
      if (users.size === 0 && this.#names.get(name) === tracked) this.#names.delete(name);
      return rule.leave();
    };
    return { ready: Promise.all([rule.ready, asked]), leave };
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

  /** Adds the rules and asks anew, on a new connection. */
  restore(): void {
    this.#matches.restore();
    for (const [name, tracked] of this.#names) {
      tracked.owner = undefined;
      this.#ask(name, tracked);
    }
  }

  #ask(name: string, tracked: TrackedName): void {
    const take = (owner: string | undefined): void => {
      tracked.owner = owner;
    };
    tracked.asked = this.#host.askOwner(name, take).catch((error: unknown) => {
      if (this.#host.willRestore(error)) return;
      // Without an owner nothing would ever match. The next who follows the name asks again.
      if (this.#names.get(name) === tracked) this.#names.delete(name);
      for (const failed of tracked.users) failed(error as Error);
      throw error;
    });
    tracked.asked.catch(() => {});
  }
}
