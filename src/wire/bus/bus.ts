/**
 * A message bus, seen by one of its clients (D-Bus specification, "Message Bus Specification").
 * Layer 8: imports lower layers only.
 */
import { ClosedError, ConnectError, DBusError, ErrorReply } from '../base/errors.js';
import type { Link } from '../connection/link.js';
import { SaslClient } from '../handshake/sasl-client.js';
import { MatchRule, type MatchRuleFields } from '../match/match-rule.js';
import type { Message } from '../message/message.js';
import type { Transport } from '../transport/transport.js';
import type { ValuesOf } from '../types/infer.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';
import { callOver, type WaitOptions } from './call.js';
import {
  assertGuid,
  type ConnectOptions,
  defaultMechanisms,
  isTransport,
  openFirst,
  type Source,
} from './connect-options.js';
import { type Credentials, credentialsOf } from './credentials.js';
import { Endpoint } from './endpoint.js';
import { MatchReferences } from './match-references.js';
import { canChangeOwner, NameOwners, ownerChangeRule } from './name-owners.js';
import type { Reconnection } from './reconnection.js';
import { Subscription, type SubscriptionOptions } from './subscription.js';

const BUS_PATH = '/org/freedesktop/DBus';
const MONITORING = 'org.freedesktop.DBus.Monitoring';
const STATS = 'org.freedesktop.DBus.Debug.Stats';

/** How a bus is reached, how long its calls wait, and whether it is connected to anew when the connection is lost. */
export interface BusOptions extends ConnectOptions {
  /**
   * What `reconnecting()` gives: connect anew when the connection is lost, and restore match rules, names and exported
   * objects. Calls that were waiting reject; those made meanwhile wait, within their deadlines. Not possible over a
   * transport of the caller's.
   */
  reconnect?: Reconnection | undefined;
}

export interface NameOptions extends WaitOptions {
  /** Another may take the name from us by asking for `replace`. */
  allowReplacement?: boolean | undefined;
  /** Take the name from its owner, if that one allows it. */
  replace?: boolean | undefined;
  /** Wait in line for the name when it is taken; default false. */
  queue?: boolean | undefined;
}

/** A change of the owner of a name; both are unique names, and absent where there is none. */
export interface OwnerChange {
  readonly name: string;
  readonly oldOwner?: string;
  readonly newOwner?: string;
}

const REQUEST_NAME_RESULTS = { 1: 'owner', 2: 'in-queue', 3: 'exists', 4: 'already-owner' } as const;
const RELEASE_NAME_RESULTS = { 1: 'released', 2: 'non-existent', 3: 'not-owner' } as const;

export type RequestNameResult = (typeof REQUEST_NAME_RESULTS)[keyof typeof REQUEST_NAME_RESULTS];
export type ReleaseNameResult = (typeof RELEASE_NAME_RESULTS)[keyof typeof RELEASE_NAME_RESULTS];

/** A bus to which Hello has been said. */
export class Bus extends Endpoint {
  readonly #source: Source;
  readonly #options: BusOptions;
  readonly #reconnection: Reconnection | undefined;
  readonly #matches: MatchReferences;
  readonly #owners: NameOwners;
  /** The flags of RequestName for the names we want. */
  readonly #names = new Map<string, number>();
  #uniqueName = '';
  #guid = '';

  /** @internal */
  constructor(source: Source, options: BusOptions) {
    super(options);
    this.#source = source;
    this.#options = options;
    const willRestore = (error: unknown): boolean =>
      error instanceof ClosedError && this.#reconnection !== undefined && !this.hasEnded;
    this.#matches = new MatchReferences({
      callMatch: async (member, rule) => {
        // Between two connections: what is there then is restored.
        if (this.currentLink() === undefined) throw new ClosedError();
        await this.#ask(member, 's', [rule], '', {});
      },
      willRestore,
    });
    this.#owners = new NameOwners(this.#matches, {
      askOwner: (name, take) => this.#askOwner(name, {}, take),
      willRestore,
    });
    if (options.reconnect !== undefined && isTransport(source)) {
      throw new DBusError('invalid-option', 'a transport of the caller cannot be connected to again');
    }
    this.#reconnection = options.reconnect;
  }

  /** The name that the bus gave this connection, such as `:1.42`; another one after a reconnection. */
  get uniqueName(): string {
    return this.#uniqueName;
  }

  /** The bus's guid: 32 lower-case hexadecimal digits. */
  get guid(): string {
    return this.#guid;
  }

  /** Asks for a well-known name. It is asked for again after a reconnection. @throws as `call` */
  async requestName(name: string, options: NameOptions = {}): Promise<RequestNameResult> {
    const { allowReplacement = false, replace = false, queue = false } = options;
    const flags = (allowReplacement ? 1 : 0) | (replace ? 2 : 0) | (queue ? 0 : 4);
    const [code] = await this.#ask('RequestName', 'su', [name, flags], 'u', options);
    const result = resultOf(REQUEST_NAME_RESULTS, code);
    if (result !== 'exists') this.#names.set(name, flags);
    return result;
  }

  /** Gives a name back, or leaves its queue. @throws as `call` */
  async releaseName(name: string, options: WaitOptions = {}): Promise<ReleaseNameResult> {
    this.#names.delete(name);
    const [code] = await this.#ask('ReleaseName', 's', [name], 'u', options);
    return resultOf(RELEASE_NAME_RESULTS, code);
  }

  /** The unique name of the owner of `name`, or undefined. @throws as `call` */
  async nameOwner(name: string, options: WaitOptions = {}): Promise<string | undefined> {
    let found: string | undefined;
    await this.#askOwner(name, options, (owner) => {
      found = owner;
    });
    return found;
  }

  /** The unique names of those who wait for `name`, its owner first. @throws as `call` */
  async queuedOwners(name: string, options: WaitOptions = {}): Promise<string[]> {
    const [owners] = await this.#ask('ListQueuedOwners', 's', [name], 'as', options);
    return owners;
  }

  /** All names on the bus, unique ones too. @throws as `call` */
  async listNames(options: WaitOptions = {}): Promise<string[]> {
    const [names] = await this.#ask('ListNames', '', [], 'as', options);
    return names;
  }

  /** The names whose owners the bus can start. @throws as `call` */
  async listActivatableNames(options: WaitOptions = {}): Promise<string[]> {
    const [names] = await this.#ask('ListActivatableNames', '', [], 'as', options);
    return names;
  }

  /** Has the bus start the owner of `name`. @throws as `call` */
  async startService(name: string, options: WaitOptions = {}): Promise<'started' | 'already-running'> {
    const [code] = await this.#ask('StartServiceByName', 'su', [name, 0], 'u', options);
    return resultOf({ 1: 'started', 2: 'already-running' } as const, code);
  }

  /** What the bus knows of the process that owns `name`. @throws as `call` */
  async credentials(name: string, options: WaitOptions = {}): Promise<Credentials> {
    const [dict] = await this.#ask('GetConnectionCredentials', 's', [name], 'a{sv}', options);
    return credentialsOf(dict);
  }

  /** Counters of the bus, or of the connection that owns `name`; not every bus keeps them. @throws as `call` */
  async stats(name?: string, options: WaitOptions = {}): Promise<ValuesOf<'a{sv}'>[0]> {
    const [dict] = await (name === undefined
      ? this.#ask('GetStats', '', [], 'a{sv}', options, STATS)
      : this.#ask('GetConnectionStats', 's', [name], 'a{sv}', options, STATS));
    return dict;
  }

  /** Each change of the owner of `name`, from now on. @throws as `signals` */
  watchName(name: string, options: SubscriptionOptions = {}): Subscription<OwnerChange> {
    const select = (message: Message): OwnerChange | undefined => {
      if (message.signature !== 'sss') return undefined;
      const [, oldOwner, newOwner] = message.body as [string, string, string];
      return { name, ...(oldOwner !== '' && { oldOwner }), ...(newOwner !== '' && { newOwner }) };
    };
    return this.subscribe(ownerChangeRule(name), select, options);
  }

  /**
   * Turns this connection into a monitor: from now on it gets a copy of each message on the bus that matches one of the
   * rules, of every message when there is none, and can no longer send. Needs the right to eavesdrop.
   * @throws {InvalidTextError} `invalid-match-rule`; else as `signals`
   */
  monitor(
    rules: readonly (MatchRuleFields | string)[] = [],
    options: SubscriptionOptions = {},
  ): Subscription {
    const texts = rules.map((rule) =>
      (typeof rule === 'string' ? MatchRule.parse(rule) : new MatchRule(rule)).toString(),
    );
    const call = { ...busCall('BecomeMonitor'), interface: MONITORING, signature: 'asu', body: [texts, 0] };
    return new Subscription(
      (feed) => {
        const ready = this.callTaking(call, () => this.inbox.tap(feed));
        return { ready, leave: async () => void this.inbox.remove(feed) };
      },
      // A monitor has no name any more. What is still for it tells it so, and was not on the bus.
      (message) => (message.destination === this.#uniqueName ? undefined : message),
      options,
    );
  }

  /** Connects, and restores what there was on an earlier connection. @internal */
  async open(signal: AbortSignal): Promise<void> {
    const link = await openFirst(this.#source, signal, (transport, guid) =>
      this.#greet(transport, guid, signal),
    );
    if (this.hasEnded || !link.isOpen) {
      link.close();
      throw new ClosedError();
    }
    this.use(link);
    this.#matches.restore();
    this.#owners.restore();
    for (const [name, flags] of this.#names) {
      this.#ask('RequestName', 'su', [name, flags], 'u', {}).catch(() => {});
    }
  }

  override async close(): Promise<void> {
    this.#reconnection?.stop();
    await super.close();
  }

  protected override enter(rule: MatchRule): { ready: Promise<void>; leave: () => Promise<void> } {
    const text = rule.toString();
    const { sender } = rule;
    // The owner first: when a signal comes for the rule, it is known whose it has to be.
    const followed = canChangeOwner(sender) ? this.#owners.track(sender) : Promise.resolve();
    const added = this.#matches.add(text);
    const ready = (async (): Promise<void> => {
      await Promise.all([followed, added]);
    })();
    const leave = async (): Promise<void> => {
      const left = [this.#matches.remove(text)];
      if (canChangeOwner(sender)) left.push(this.#owners.untrack(sender));
      await Promise.all(left);
    };
    return { ready, leave };
  }

  protected override ownerOf(name: string): string | undefined {
    return this.#owners.ownerOf(name);
  }

  protected override isOurs(destination: string): boolean {
    return destination === this.#uniqueName || !isUniqueName(destination);
  }

  protected override preview(message: Message): void {
    this.#owners.handle(message);
  }

  protected override lost(cause: Error | undefined): void {
    if (this.#reconnection === undefined) {
      this.finish(cause);
      return;
    }
    this.suspend();
    void this.#reconnect(this.#reconnection, cause);
  }

  protected override finish(cause: Error | undefined): void {
    super.finish(cause);
    this.#matches.end(new ClosedError(cause));
  }

  async #reconnect(reconnection: Reconnection, cause: Error | undefined): Promise<void> {
    const failure = await reconnection.run(cause, (signal) => this.open(signal));
    if (failure !== undefined) this.finish(failure);
  }

  async #greet(transport: Transport, guid: string | undefined, signal: AbortSignal): Promise<Link> {
    const mechanisms = this.#options.mechanisms ?? defaultMechanisms();
    const { link, result } = await this.openLink(transport, new SaslClient({ mechanisms }), signal);
    try {
      assertGuid(guid, result.guid);
      const hello = {
        destination: BUS_NAME,
        path: BUS_PATH,
        interface: BUS_NAME,
        member: 'Hello',
        replySignature: 's',
        // The deadline of the whole connecting is the one that counts.
        timeoutMs: Number.POSITIVE_INFINITY,
        signal,
      } as const;
      await callOver(link, hello, this.callTimeoutMs, ([name]) => {
        if (!isUniqueName(name)) throw new ConnectError('connect-failed', 'the bus gave us no unique name');
        this.#uniqueName = name;
        this.#guid = result.guid;
      });
      return link;
    } catch (error) {
      link.fail(error as Error);
      throw error;
    }
  }

  async #askOwner(
    name: string,
    options: WaitOptions,
    take: (owner: string | undefined) => void,
  ): Promise<void> {
    const call = {
      ...busCall('GetNameOwner'),
      ...options,
      signature: 's',
      body: [name],
      replySignature: 's',
    };
    try {
      await this.callTaking<'s', void>({ ...call, replySignature: 's' }, ([owner]) => take(owner));
    } catch (error) {
      if (!(error instanceof ErrorReply) || error.name !== 'org.freedesktop.DBus.Error.NameHasNoOwner')
        throw error;
      take(undefined);
    }
  }

  #ask<const ReplySignature extends string>(
    member: string,
    signature: string,
    body: readonly unknown[],
    replySignature: ReplySignature,
    options: WaitOptions,
    interfaceName: string = BUS_NAME,
  ): Promise<ValuesOf<ReplySignature>> {
    const { timeoutMs, signal } = options;
    const call = {
      ...busCall(member),
      interface: interfaceName,
      signature,
      body,
      replySignature,
      timeoutMs,
      signal,
    };
    return this.callTaking(call, (values) => values);
  }
}

function busCall(member: string): { destination: string; path: string; interface: string; member: string } {
  return { destination: BUS_NAME, path: BUS_PATH, interface: BUS_NAME, member };
}

/** What a code in a reply of the bus stands for. */
function resultOf<Results extends Readonly<Record<number, string>>>(
  results: Results,
  code: number,
): Results[keyof Results] {
  const result = results[code];
  if (result === undefined)
    throw new ErrorReply('org.freedesktop.DBus.Error.Failed', [`unknown result ${code}`]);
  return result as Results[keyof Results];
}
