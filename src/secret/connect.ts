/**
 * The way to a service: the bus, the owner of the name, the session.
 *
 * D-Bus specification, "Message Bus Starting Services"; Secret Service specification 0.2, "D-Bus API".
 */

import {
  type Bus,
  ClosedError,
  ConnectError,
  type Environment,
  ErrorReply,
  InvalidTextError,
  openBus,
  sessionBus,
} from '../wire/index.js';
import { Caller } from './caller.js';
import { SecretServiceError } from './errors.js';
import { mapError } from './map-error.js';
import { BUS_NAME, BUS_PATH, SERVICE_NAME } from './names.js';
import { assertObject, assertTimeoutMs, DEFAULT_TIMEOUT_MS, Operation } from './operation.js';
import { badReply, parseString } from './replies.js';
import { openSession, type Session, type SessionPolicy } from './session.js';

/** How to reach a bus. */
export interface BusOptions {
  /** A bus of the caller's, which stays open. */
  readonly bus?: Bus | undefined;
  /** The address of a bus to open; without it and `bus`, the session bus is opened. */
  readonly address?: string | undefined;
  /** The environment to find the session bus by; `process.env` if not given. */
  readonly env?: Environment | undefined;
  /** Milliseconds to open the bus in; the wire's default (10 s) if not given. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Milliseconds for each operation that names none itself; 25 s if not given. Connecting has several deadlines:
   * `connectTimeoutMs` for the bus, this one for its answer who owns the service's name and again for the
   * session, and `activationTimeoutMs` if the service has to be started.
   */
  readonly timeoutMs?: number | undefined;
  /** Cancels this operation, and no later one. */
  readonly signal?: AbortSignal | undefined;
}

/** How to reach a service. */
export interface ConnectOptions extends BusOptions {
  /** Which sessions are allowed; `encrypted` if not given. */
  readonly session?: SessionPolicy | undefined;
  /** Milliseconds for the bus to start a service that is not running; 30 s if not given. */
  readonly activationTimeoutMs?: number | undefined;
}

/** A bus, and whether it is ours to close. */
export interface OpenedBus {
  readonly bus: Bus;
  readonly isOurs: boolean;
}

/** An open session with a running service. */
export interface OpenedService extends OpenedBus {
  readonly caller: Caller;
  readonly session: Session;
  readonly timeoutMs: number;
}

/** Starting a service can take the unlocking of a wallet's file and a slow disk. */
const DEFAULT_ACTIVATION_TIMEOUT_MS = 30_000;

const POLICIES: ReadonlySet<unknown> = new Set<SessionPolicy>(['encrypted', 'prefer-encrypted', 'plain']);

/**
 * Opens a session with the service, starting the service if need be.
 * @throws {SecretServiceError} `not-available`, `session`, `bad-reply`, `bad-argument`, …;
 * {DeadlineError}, {CancelledError}. A bus that was opened for it is closed then.
 */
export async function openService(options: ConnectOptions): Promise<OpenedService> {
  assertObject(options, 'the options');
  const policy = options.session ?? 'encrypted';
  if (!POLICIES.has(policy)) throw new SecretServiceError('bad-argument', 'unknown session policy');
  const timeoutMs = assertTimeoutMs(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const activationTimeoutMs = assertTimeoutMs(options.activationTimeoutMs ?? DEFAULT_ACTIVATION_TIMEOUT_MS);
  const { signal } = options;
  const { bus, isOurs } = await openBusFor(options);
  try {
    const owner =
      (await readOwner(bus, new Operation({ signal, timeoutMs }))) ??
      (await startService(bus, new Operation({ signal, timeoutMs: activationTimeoutMs })));
    const caller = new Caller(bus, owner);
    const session = await openSession(caller, policy, new Operation({ signal, timeoutMs }));
    return { bus, isOurs, caller, session, timeoutMs };
  } catch (error) {
    if (isOurs) await bus.close();
    throw error;
  }
}

/**
 * Gives the bus that the options name.
 * @throws {SecretServiceError} `not-available`, with `isAbsent` if the session bus certainly is not there;
 * `bad-argument`; {DeadlineError}, {CancelledError}.
 */
export async function openBusFor(options: BusOptions): Promise<OpenedBus> {
  assertObject(options, 'the options');
  const { bus, address, env, signal } = options;
  if (bus !== undefined) {
    if (typeof bus?.call !== 'function') throw new SecretServiceError('bad-argument', 'bus must be a bus');
    return { bus, isOurs: false };
  }
  const connectTimeoutMs =
    options.connectTimeoutMs === undefined ? undefined : assertTimeoutMs(options.connectTimeoutMs);
  try {
    const opened =
      address === undefined
        ? await sessionBus({ connectTimeoutMs, signal, env })
        : await openBus(address, { connectTimeoutMs, signal });
    return { bus: opened, isOurs: true };
  } catch (error) {
    // A bus that hangs up before we are on it is no bus to use.
    if (error instanceof ClosedError) {
      throw new SecretServiceError('not-available', 'the bus closed the connection', { cause: error });
    }
    if (address === undefined && error instanceof InvalidTextError) {
      const message = `the environment has no valid address of a session bus: ${error.message}`;
      throw new SecretServiceError('not-available', message, { cause: error });
    }
    const mapped = mapError(error, 'opening the bus');
    // An address that the caller gave may be misspelt: that nothing is there says nothing about the service.
    throw address === undefined && isNoBus(error) ? absentError(mapped) : mapped;
  }
}

/** The errors of the system for a socket that is not there, or that nobody listens at any more. */
const NO_LISTENER_CODES: ReadonlySet<unknown> = new Set(['ENOENT', 'ECONNREFUSED']);

/** Whether there is certainly no bus; of several addresses, at none of them. */
function isNoBus(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === 'no-bus') return true;
  const { cause } = error;
  if (error.code !== 'connect-failed' || !(cause instanceof Error)) return false;
  if (cause instanceof AggregateError) return cause.errors.every(isNoBus);
  return 'code' in cause && NO_LISTENER_CODES.has(cause.code);
}

/** The same failure, of a service that is certainly not there. */
function absentError({ message, cause }: Error): SecretServiceError {
  return new SecretServiceError('not-available', message, { cause, isAbsent: true });
}

/** The unique name of the owner, or undefined if the service is not running. */
async function readOwner(bus: Bus, operation: Operation): Promise<string | undefined> {
  try {
    const [owner] = await callBus(bus, operation, 'GetNameOwner', 's', [SERVICE_NAME], 's');
    const name = parseString(owner, 'GetNameOwner');
    if (!name.startsWith(':')) throw badReply('GetNameOwner gave no unique name');
    return name;
  } catch (error) {
    if (isErrorReply(error, 'NameHasNoOwner')) return undefined;
    throw error;
  }
}

/** Whether `error` stands for a reply of the bus with one of these names of `org.freedesktop.DBus.Error`. */
function isErrorReply(error: unknown, ...names: string[]): error is SecretServiceError {
  if (!(error instanceof SecretServiceError) || !(error.cause instanceof ErrorReply)) return false;
  const { name } = error.cause;
  return names.some((last) => name === `org.freedesktop.DBus.Error.${last}`);
}

/**
 * Starts the service, which has no owner.
 * @throws {SecretServiceError} `not-available`, with `isAbsent` if the bus does not know how to start one
 */
async function startService(bus: Bus, operation: Operation): Promise<string> {
  try {
    await callBus(bus, operation, 'StartServiceByName', 'su', [SERVICE_NAME, 0], 'u');
  } catch (error) {
    // Both say that no file tells how to start it; the second comes from the launch helper of dbus-daemon.
    throw isErrorReply(error, 'ServiceUnknown', 'Spawn.ServiceNotFound') ? absentError(error) : error;
  }
  const owner = await readOwner(bus, operation);
  if (owner === undefined) throw new SecretServiceError('not-available', 'the Secret Service ended at once');
  return owner;
}

async function callBus(
  bus: Bus,
  operation: Operation,
  member: string,
  signature: string,
  body: readonly unknown[],
  replySignature: string,
): Promise<unknown[]> {
  try {
    return await bus.call({
      destination: BUS_NAME,
      path: BUS_PATH,
      interface: BUS_NAME,
      member,
      signature,
      body,
      replySignature,
      ...operation.callOptions(),
    });
  } catch (error) {
    throw operation.failure(error, member);
  }
}

/**
 * Tells whether a Secret Service is running, or can be started by the bus. Starts none.
 * @throws as {@link openService}.
 */
export async function serviceExists(bus: Bus, operation: Operation): Promise<boolean> {
  const [hasOwner] = await callBus(bus, operation, 'NameHasOwner', 's', [SERVICE_NAME], 'b');
  if (hasOwner === true) return true;
  const [names] = await callBus(bus, operation, 'ListActivatableNames', '', [], 'as');
  return Array.isArray(names) && names.includes(SERVICE_NAME);
}
