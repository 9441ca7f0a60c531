/** The bus on which the mock of a service is: names, match rules, and signals to those who asked for them. */
import { MatchRule, type Message, MessageType } from '../../../src/wire/index.js';
import { type BusPeer, failed, type Reply, returned, type Signal } from './scripted-bus.js';

export const SECRETS = 'org.freedesktop.secrets';
const BUS = 'org.freedesktop.DBus';
const NO_OWNER = failed('org.freedesktop.DBus.Error.NameHasNoOwner');

export class MockBus {
  /** The unique name of the service; undefined while it does not run. */
  owner: string | undefined = ':1.7';
  readonly #start: () => void;
  /** The rules of each client that is connected. */
  readonly #rules = new Map<BusPeer, string[]>();
  #count = 7;

  readonly #isActivatable: boolean;

  /** @param start - Starts the service, if it can be started. */
  constructor(start: () => void, isActivatable: boolean) {
    this.#start = start;
    this.#isActivatable = isActivatable;
  }

  /** The match rules that clients have and have not removed. */
  get matchRules(): string[] {
    return [...this.#rules.values()].flat();
  }

  add(peer: BusPeer): void {
    this.#rules.set(peer, []);
  }

  remove(peer: BusPeer): void {
    this.#rules.delete(peer);
  }

  /** A unique name that nobody has had. */
  nextName(): string {
    return `:1.${++this.#count}`;
  }

  /**
   * Gives the name of the service to another, or to nobody, and tells who wants to know.
   * @param error - What the bus says to those who wait for an answer of an owner that goes.
   */
  setOwner(owner: string | undefined, error = 'org.freedesktop.DBus.Error.NoReply'): void {
    const before = this.owner;
    if (before === owner) return;
    this.owner = owner;
    this.#changed(SECRETS, before, owner);
    // Its unique name goes with it.
    if (before === undefined || owner !== undefined) return;
    this.#changed(before, before, undefined);
    // The bus answers in the place of who left.
    for (const peer of this.#rules.keys()) peer.answerAll(before, { error });
  }

  /** Sends a signal to whom it is for, or to everybody whose rules it matches. */
  emit(signal: Signal): void {
    const message = { type: MessageType.signal, flags: 1, serial: 1, ...signal } as Message;
    for (const [peer, rules] of this.#rules) {
      const isAskedFor = (text: string): boolean => {
        const rule = MatchRule.parse(text);
        return rule.matches(message, { owner: rule.sender === SECRETS ? this.owner : undefined });
      };
      const isWanted =
        signal.destination === undefined ? rules.some(isAskedFor) : signal.destination === peer.uniqueName;
      if (isWanted) peer.emit(signal);
    }
  }

  reply({ member, body }: Message, peer: BusPeer): Reply {
    const [name] = body as string[];
    const rules = this.#rules.get(peer) ?? [];
    switch (member) {
      case 'GetNameOwner':
        return name === SECRETS && this.owner !== undefined ? returned('s', this.owner) : NO_OWNER;
      case 'StartServiceByName':
        if (name !== SECRETS || !this.#isActivatable)
          return failed('org.freedesktop.DBus.Error.ServiceUnknown');
        this.#start();
        return returned('u', 1);
      case 'ListActivatableNames':
        return returned('as', this.#isActivatable ? [BUS, SECRETS] : [BUS]);
      case 'AddMatch':
        rules.push(name ?? '');
        return returned('');
      case 'RemoveMatch': {
        const index = rules.indexOf(name ?? '');
        if (index === -1) return failed('org.freedesktop.DBus.Error.MatchRuleNotFound');
        rules.splice(index, 1);
        return returned('');
      }
      default:
        return failed('org.freedesktop.DBus.Error.UnknownMethod');
    }
  }

  #changed(name: string, before: string | undefined, now: string | undefined): void {
    this.emit({
      sender: BUS,
      path: '/org/freedesktop/DBus',
      interface: BUS,
      member: 'NameOwnerChanged',
      signature: 'sss',
      body: [name, before ?? '', now ?? ''],
    });
  }
}
