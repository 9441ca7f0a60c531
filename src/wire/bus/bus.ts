/**
 * A message bus, seen by one of its clients (D-Bus specification, "Message Bus Specification").
 * Layer 8: imports lower layers only.
 */
import { ClosedError, ConnectError, DBusError, ErrorReply } from '../base/errors.js';
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../base/limits.js';
import { checkTimeout } from '../connection/deadline.js';
import type { Link } from '../connection/link.js';
import { SaslClient } from '../handshake/sasl-client.js';
import { MatchRule, type MatchRuleFields } from '../match/match-rule.js';
import type { Message } from '../message/message.js';
import type { Transport } from '../transport/transport.js';
import type { SingleValueOf, ValuesOf } from '../types/infer.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';
import { type CallOptions, callOver, type WaitOptions } from './call.js';
import {
  assertGuid,
  type ConnectOptions,
  defaultMechanisms,
  greetFirst,
  isTransport,
  type Source,
} from './connect-options.js';
import { type Credentials, credentialsOf } from './credentials.js';
import { Endpoint } from './endpoint.js';
import { type Entered, type Failed, type MatchHost, MatchReferences } from './match-references.js';
import { canChangeOwner, NameOwners, ownerChangeRule } from './name-owners.js';
import type { Attempts, Reconnection } from './reconnection.js';
import { Subscription, type SubscriptionOptions } from './subscription.js';

const BUS_PATH = '/org/freedesktop/DBus';

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

export type RequestNameResult = 'owner' | 'in-queue' | 'exists' | 'already-owner';
export type ReleaseNameResult = 'released' | 'non-existent' | 'not-owner';

/** A bus to which Hello has been said. */
export class Bus extends Endpoint {
  readonly #source: Source;
  readonly #options: BusOptions;
  readonly #attempts: Attempts | undefined;
  readonly #closing = new AbortController();
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
      error instanceof ClosedError && this.#attempts !== undefined && !this.hasEnded;
    const matchHost: MatchHost = {
      callMatch: async (member, rule) => {
        // Between two connections: what is there then is restored.
        if (this.currentLink() === undefined) throw new ClosedError();
        await this.#ask(member, 's', [rule], '', {});
      },
      willRestore,
    };
    this.#matches = new MatchReferences(matchHost);
    // Rules of its own, which are restored before all others.
    this.#owners = new NameOwners(new MatchReferences(matchHost), {
      askOwner: async (name, take) => {
        if (this.currentLink() === undefined) throw new ClosedError();
        await this.#askOwner(name, {}, take);
      },
      willRestore,
    });
    if (options.reconnect !== undefined && isTransport(source)) {
      throw new DBusError('invalid-option', 'an open transport cannot be connected to again');
    }
    if (options.reconnect !== undefined && typeof options.reconnect.attempts !== 'function') {
      throw new DBusError('invalid-option', '`reconnect` is not made by reconnecting()');
    }
    const { signal } = this.#closing;
    const timeoutMs = checkTimeout(options.connectTimeoutMs, DEFAULT_CONNECT_TIMEOUT_MS);
    this.#attempts = options.reconnect?.attempts({ signal, timeoutMs });
  }

  /** The name that the bus gave this connection, such as `:1.42`; another one after a reconnection, empty until then. */
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
    return await this.callTaking(busCall('RequestName', 'su', [name, flags], 'u', options), ([code]) => {
      const result = resultOf(code, 'owner', 'in-queue', 'exists', 'already-owner');
      // In the order of the replies, since a later call may be answered by now. Who does not queue leaves the queue.
      if (result === 'exists') this.#names.delete(name);
      else this.#names.set(name, flags);
      return result;
    });
  }

  /** Gives a name back, or leaves its queue. @throws as `call` */
  async releaseName(name: string, options: WaitOptions = {}): Promise<ReleaseNameResult> {
    this.#names.delete(name);
    return await this.callTaking(busCall('ReleaseName', 's', [name], 'u', options), ([code]) => {
      this.#names.delete(name);
      return resultOf(code, 'released', 'non-existent', 'not-owner');
    });
  }

  /** The unique name of the owner of `name`, or undefined. @throws as `call` */
  async nameOwner(name: string, options: WaitOptions = {}): Promise<string | undefined> {
    return await this.#askOwner(name, options, (owner) => owner);
  }

  /** The unique names of those who wait for `name`, its owner first. @throws as `call` */
  async queuedOwners(name: string, options: WaitOptions = {}): Promise<string[]> {
    return await this.#ask('ListQueuedOwners', 's', [name], 'as', options);
  }

  /** All names on the bus, unique ones too. @throws as `call` */
  async listNames(options: WaitOptions = {}): Promise<string[]> {
    return await this.#ask('ListNames', '', [], 'as', options);
  }

  /** The names whose owners the bus can start. @throws as `call` */
  async listActivatableNames(options: WaitOptions = {}): Promise<string[]> {
    return await this.#ask('ListActivatableNames', '', [], 'as', options);
  }

  /** Has the bus start the owner of `name`. @throws as `call` */
  async startService(name: string, options: WaitOptions = {}): Promise<'started' | 'already-running'> {
    const code = await this.#ask('StartServiceByName', 'su', [name, 0], 'u', options);
    return resultOf(code, 'started', 'already-running');
  }

  /** What the bus knows of the process that owns `name`. @throws as `call` */
  async credentials(name: string, options: WaitOptions = {}): Promise<Credentials> {
    return credentialsOf(await this.#ask('GetConnectionCredentials', 's', [name], 'a{sv}', options));
  }

  /** Counters of the bus, or of the connection that owns `name`; not every bus keeps them. @throws as `call` */
  async stats(name?: string, options: WaitOptions = {}): Promise<ValuesOf<'a{sv}'>[0]> {
    const member = name === undefined ? 'GetStats' : 'GetConnectionStats';
    const body = name === undefined ? [] : [name];
    const stats = `${BUS_NAME}.Debug.Stats`;
    return await this.#ask(member, 's'.repeat(body.length), body, 'a{sv}', options, stats);
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
    const texts = rules.map((rule) => MatchRule.from(rule).toString());
    const call = busCall('BecomeMonitor', 'asu', [texts, 0], '', {}, `${BUS_NAME}.Monitoring`);
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
    const link = await greetFirst(this.#source, signal, (transport, guid) =>
      this.#greet(transport, guid, signal),
    );
    if (this.hasEnded || !link.isOpen) {
      link.close();
      throw new ClosedError(await link.closed);
    }
    this.use(link);
    // The owners first: when a signal comes for a rule, it is known whose it has to be.
    this.#owners.restore();
    this.#matches.restore();
    for (const [name, flags] of this.#names) {
      this.#ask('RequestName', 'su', [name, flags], 'u', {}).catch(() => {});
    }
  }

  override async close(): Promise<void> {
    this.#closing.abort();
    await super.close();
  }

  protected override enter(rule: MatchRule, failed: Failed): Entered {
    const { sender } = rule;
    // The owner first: when a signal comes for the rule, it is known whose it has to be.
    const entered = canChangeOwner(sender) ? [this.#owners.track(sender, failed)] : [];
    entered.push(this.#matches.add(ruleTextFor(rule), failed));
    return {
      ready: Promise.all(entered.map(({ ready }) => ready)),
      leave: () => Promise.all(entered.map(({ leave }) => leave())),
    };
  }

  protected override currentLink(): Link | undefined {
    const link = super.currentLink();
    if (link?.isOpen !== false || this.#attempts === undefined) return link;
    // It has just ended, which `lost` is told a moment later: whoever comes now waits for the next one already.
    this.suspend();
    return undefined;
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

  protected override suspend(): void {
    super.suspend();
    // None holds until the next: who compares sees that names, and what was told to them, may be others' by then.
    this.#uniqueName = '';
  }

  protected override lost(cause: Error | undefined): void {
    if (this.#attempts === undefined) {
      this.finish(cause);
      return;
    }
    this.suspend();
    this.inbox.untap(new ClosedError(cause));
    void this.#reconnect(this.#attempts, cause);
  }

  async #reconnect(attempts: Attempts, cause: Error | undefined): Promise<void> {
    const failure = await attempts.run(cause, (signal) => this.open(signal));
    if (failure !== undefined) this.finish(failure);
  }

  async #greet(transport: Transport, guid: string | undefined, signal: AbortSignal): Promise<Link> {
    const mechanisms = this.#options.mechanisms ?? defaultMechanisms();
    const { link, result } = await this.openLink(transport, new SaslClient({ mechanisms }), signal);
    try {
      assertGuid(guid, result.guid);
      // The deadline of the whole connecting is the one that counts.
      const hello = busCall('Hello', '', [], 's', { signal, timeoutMs: Number.POSITIVE_INFINITY });
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

  /** `take` makes the result before any later message is looked at. */
  async #askOwner<Result>(
    name: string,
    options: WaitOptions,
    take: (owner: string | undefined) => Result,
  ): Promise<Result> {
    try {
      return await this.callTaking(busCall('GetNameOwner', 's', [name], 's', options), ([owner]) =>
        take(owner),
      );
    } catch (error) {
      if (!(error instanceof ErrorReply) || error.name !== 'org.freedesktop.DBus.Error.NameHasNoOwner') {
        throw error;
      }
      return take(undefined);
    }
  }

  /** Calls the bus; resolves to the only value of the reply. */
  async #ask<const ReplySignature extends string>(
    member: string,
    signature: string,
    body: readonly unknown[],
    replySignature: ReplySignature,
    options: WaitOptions,
    interfaceName?: string,
  ): Promise<SingleValueOf<ReplySignature>> {
    const call = busCall(member, signature, body, replySignature, options, interfaceName);
    const values: readonly unknown[] = await this.call(call);
    return values[0] as SingleValueOf<ReplySignature>;
  }
}

/**
 * A rule for signals as a bus is given it. Every signal has a path below the root, and a bus (dbus-broker 33) takes the root
 * for a path that none is below.
 */
function ruleTextFor(rule: MatchRule): string {
  const fields: MatchRuleFields = rule;
  return (
    rule.pathNamespace === '/' ? new MatchRule({ ...fields, pathNamespace: undefined }) : rule
  ).toString();
}

/** A call to the bus itself. */
function busCall<const ReplySignature extends string>(
  member: string,
  signature: string,
  body: readonly unknown[],
  replySignature: ReplySignature,
  { timeoutMs, signal }: WaitOptions,
  interfaceName: string = BUS_NAME,
): CallOptions<string, ReplySignature> {
  return {
    destination: BUS_NAME,
    path: BUS_PATH,
    interface: interfaceName,
    member,
    signature,
    body,
    replySignature,
    timeoutMs,
    signal,
  };
}

/** What a code in a reply of the bus stands for: they count from 1. */
function resultOf<const Result extends string>(code: number, ...results: readonly Result[]): Result {
  const result = results[code - 1];
  if (result === undefined) {
    throw new DBusError('unexpected-result', `the bus answered ${code}`);
  }
  return result;
}
