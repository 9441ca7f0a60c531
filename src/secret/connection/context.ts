/**
 * One connected service, as collections, items and verbs see it: calls that reach whoever is the service now.
 *
 * A service may restart at any time, and takes its sessions and their keys along. The next call finds
 * the new owner of the name, opens a session with it, and goes on; a call that was under way is made again
 * where that is safe. Holds no logic of the specification, so that all parts can share it without
 * importing each other.
 */

import { type Bus, CancelledError, ClosedError, ErrorReply, type Variant } from '../../wire/index.js';
import { KnownPaths } from '../calls/known-paths.js';
import { parseProperties, parseVariant } from '../calls/replies.js';
import { closedError, SecretServiceError } from '../errors.js';
import { errorNameOf, hasCode } from '../map-error.js';
import {
  type Caller,
  type CallHead,
  type Property,
  readingAllCall,
  readingCall,
  writingCall,
} from './caller.js';
import { Operation, type OperationDefaults, type OperationOptions } from './operation.js';
import { readOwner } from './owner.js';
import { PromptQueue } from './prompt.js';
import { closeSession, type Session } from './session.js';

/** A session with one owner of the service's name. */
export interface Attached {
  readonly caller: Caller;
  readonly session: Session;
}

/** A call whose arguments may depend on the session. */
export interface ServiceCall extends CallHead {
  readonly body?: readonly unknown[] | ((session: Session) => readonly unknown[]);
  /**
   * Whether the call may be made a second time when nobody knows whether the first took effect; true if not given. A
   * call that certainly took no effect is made again in any case.
   */
  readonly isRepeatable?: boolean;
  /** What the call is for, for messages; the member if not given. */
  readonly step?: string;
}

/** One connected service. */
export class ServiceContext {
  readonly bus: Bus;
  readonly prompts: PromptQueue;
  /** Where `lookup` found the only item with some attributes. */
  readonly knownPaths: KnownPaths = new KnownPaths();
  readonly #open: (signal: AbortSignal) => Promise<Attached>;
  readonly #defaults: OperationDefaults;
  readonly #closing = new AbortController();
  #attached: Attached;
  /** Which connection to which bus the session was opened over. */
  #busName: string;
  #isAttached = true;
  #attaching: Promise<Attached> | undefined;

  /** @param open - Opens a session with the present owner of the name, starting the service if need be. */
  constructor(
    bus: Bus,
    attached: Attached,
    open: (signal: AbortSignal) => Promise<Attached>,
    defaults: OperationDefaults,
  ) {
    this.bus = bus;
    this.#attached = attached;
    this.#busName = nameOn(bus);
    this.#open = open;
    this.#defaults = defaults;
    this.prompts = new PromptQueue(this.closing);
  }

  /** Fires when the client is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The session in force, or the last one when the service has gone. */
  get session(): Session {
    return this.#attached.session;
  }

  /**
   * Starts the clock of one operation.
   * @throws {SecretServiceError} `bad-argument`, `closed`
   */
  begin(options: OperationOptions): Operation {
    this.#assertOpen();
    return new Operation(options, this.#defaults);
  }

  /** Calls a method of the service. @throws {SecretServiceError} of any code, {DeadlineError}, {CancelledError} */
  call(operation: Operation, call: ServiceCall): Promise<readonly unknown[]>;
  /** `take` makes the result, and knows who has answered. */
  call<Result>(
    operation: Operation,
    call: ServiceCall,
    take: (values: readonly unknown[], answering: Attached) => Result,
  ): Promise<Result>;
  async call(
    operation: Operation,
    call: ServiceCall,
    take: (values: readonly unknown[], answering: Attached) => unknown = (values) => values,
  ): Promise<unknown> {
    for (let mayRepeat = true; ; mayRepeat = false) {
      let attached = this.#current();
      while (attached === undefined) {
        this.#attaching ??= this.#attach();
        await operation.waitFor(this.#attaching);
        attached = this.#current();
      }
      const busName = this.#busName;
      try {
        const body = typeof call.body === 'function' ? call.body(attached.session) : call.body;
        return take(await attached.caller.call(operation, call, body, call.step), attached);
      } catch (error) {
        let loss = lossOf(error, attached.session);
        // Whoever has answered on another connection is not the one who was asked.
        if (loss === 'no' && nameOn(this.bus) !== busName && error instanceof SecretServiceError)
          loss = 'perhaps';
        if (loss === 'no' && mayRepeat && (await this.#hasMoved(operation, attached, error))) loss = 'before';
        if (loss !== 'no') this.#detach(attached);
        const isSafe = loss === 'before' || (loss === 'perhaps' && call.isRepeatable !== false);
        if (this.closing.aborted) throw error;
        if (!mayRepeat || !isSafe) throw isWiped(error) ? lostError(error) : error;
      }
    }
  }

  /**
   * Calls a method that may answer with a prompt, which is the last value of its reply, and has the prompt settled.
   * @returns The values of the reply, and what the prompt gave if there was one.
   * @throws as {@link call} and {@link PromptQueue.settle}
   */
  async callPrompting(
    operation: Operation,
    call: ServiceCall,
  ): Promise<{ readonly values: readonly unknown[]; readonly result: Variant | undefined }> {
    const { values, caller } = await this.call(operation, call, (reply, answering) => ({
      values: reply,
      caller: answering.caller,
    }));
    return { values, result: await this.prompts.settle(caller, operation, values.at(-1), call.member) };
  }

  /** Reads a property. @returns Its value, of the type `property.signature`. @throws as {@link call} */
  async getProperty(operation: Operation, property: Property): Promise<unknown> {
    const step = `reading ${property.name}`;
    const [value] = await this.call(operation, { ...readingCall(property), step });
    return parseVariant(value, property.signature, property.name);
  }

  /** Reads all properties of an interface of an object. @throws as {@link call} */
  async getProperties(
    operation: Operation,
    path: string,
    interfaceName: string,
  ): Promise<ReadonlyMap<string, Variant>> {
    const [value] = await this.call(operation, readingAllCall(path, interfaceName));
    const properties = parseProperties(value);
    // GNOME Keyring's answer for an item whose collection was deleted.
    if (properties.size === 0) throw new SecretServiceError('not-found', 'GetAll: there is no such object');
    return properties;
  }

  /** Writes a property. @throws as {@link call} */
  async setProperty(operation: Operation, property: Property, value: unknown): Promise<void> {
    await this.call(operation, { ...writingCall(property, value), step: `writing ${property.name}` });
  }

  /**
   * Ends the session and wipes its key. Later operations reject with `closed`; one under way rejects too, at
   * the latest with its next call or secret. Never rejects, and settles within two seconds.
   */
  async close(): Promise<void> {
    this.#closing.abort();
    const { caller, session } = this.#attached;
    await closeSession(caller, session);
  }

  #assertOpen(): void {
    if (this.closing.aborted) throw closedError();
  }

  /** The session in force; undefined where one has to be opened first. @throws {SecretServiceError} `closed` */
  #current(): Attached | undefined {
    this.#assertOpen();
    // On another bus, or under another name of ours, the session's path and its owner's name mean others.
    if (this.#isAttached && nameOn(this.bus) !== this.#busName) this.#detach(this.#attached);
    return this.#isAttached ? this.#attached : undefined;
  }

  /** Whether nothing is found because the name has gone to another, while who had it lives on without its objects. */
  async #hasMoved(operation: Operation, { caller }: Attached, error: unknown): Promise<boolean> {
    if (!hasCode(error, 'not-found') || errorNameOf(error) === undefined) return false;
    try {
      return (await readOwner(this.bus, operation)) !== caller.owner;
    } catch {
      // What was found out is that there is no such object.
      return false;
    }
  }

  /** Finds the service anew. Operations share the attempt, and each waits for it as long as it may. */
  #attach(): Promise<Attached> {
    const signal = this.closing;
    const attaching = (async () => {
      try {
        const busName = nameOn(this.bus);
        const attached = await this.#open(signal);
        if (signal.aborted) void closeSession(attached.caller, attached.session);
        this.#attached = attached;
        this.#busName = busName;
        this.#isAttached = !signal.aborted;
        return attached;
      } catch (error) {
        if (error instanceof CancelledError) this.#assertOpen();
        throw error;
      } finally {
        this.#attaching = undefined;
      }
    })();
    // Those who waited may all have given up.
    attaching.catch(() => {});
    return attaching;
  }

  #detach(attached: Attached): void {
    if (attached !== this.#attached) return;
    this.#isAttached = false;
    attached.session.wipe();
  }
}

/** Whether another call has found that the service was gone while this one waited for the reply that it decrypts. */
function isWiped(error: unknown): boolean {
  return hasCode(error, 'closed') && error.cause === undefined;
}

/** For who asks: the session was closed, and the client was not. */
function lostError(cause: unknown): SecretServiceError {
  return new SecretServiceError('not-available', 'the Secret Service has restarted', { cause });
}

/** Whether `error` means that the service or our session has gone, and whether before the call took effect. */
function lossOf(error: unknown, session: Session): 'no' | 'before' | 'perhaps' {
  if (!(error instanceof SecretServiceError)) return 'no';
  const { code, cause } = error;
  // A bus that is connected to again goes on; with any other the next call fails as this one did.
  if (isWiped(error) || cause instanceof ClosedError) return 'perhaps';
  if (!(cause instanceof ErrorReply)) return 'no';
  // KWallet's word for an unknown session is that for any unknown object.
  if (code === 'not-found' && cause.message.includes(session.path)) return 'before';
  return LOSSES.get(cause.name) ?? 'no';
}

/**
 * What the bus answers for a unique name that is gone, when the call cannot have been carried out; what it answers when the
 * callee leaves with the call; and what a service says that does not know the session any more.
 */
const LOSSES: ReadonlyMap<string, 'before' | 'perhaps'> = new Map<string, 'before' | 'perhaps'>([
  ['org.freedesktop.DBus.Error.ServiceUnknown', 'before'],
  ['org.freedesktop.DBus.Error.NameHasNoOwner', 'before'],
  ['org.freedesktop.Secret.Error.NoSession', 'before'],
  ['org.freedesktop.DBus.Error.NoReply', 'perhaps'],
  ['org.freedesktop.DBus.Error.Disconnected', 'perhaps'],
]);

function nameOn(bus: Bus): string {
  return `${bus.guid} ${bus.uniqueName}`;
}
