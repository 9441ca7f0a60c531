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
  InvalidTextError,
  openBus,
  sessionBus,
} from '../../wire/index.js';
import { SecretServiceError } from '../errors.js';
import { mapError } from '../map-error.js';
import { Caller } from './caller.js';
import type { Attached } from './context.js';
import {
  assertObject,
  assertTimeoutMs,
  Operation,
  type OperationDefaults,
  type PromptOptions,
  readDefaults,
} from './operation.js';
import { absentError, readOwner, startService } from './owner.js';
import { openSession, type SessionPolicy } from './session.js';

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
export interface ConnectOptions extends BusOptions, PromptOptions {
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

/** Starting a service can take the unlocking of a wallet's file and a slow disk. */
const DEFAULT_ACTIVATION_TIMEOUT_MS = 30_000;

const POLICIES: ReadonlySet<unknown> = new Set<SessionPolicy>(['encrypted', 'prefer-encrypted', 'plain']);

/** What of the options says how a service is attached to. */
export interface AttachSettings {
  readonly policy: SessionPolicy;
  readonly activationTimeoutMs: number;
  readonly defaults: OperationDefaults;
}

/** @throws {SecretServiceError} `bad-argument` */
export function readAttachSettings(options: ConnectOptions): AttachSettings {
  const defaults = readDefaults(options);
  const policy = options.session ?? 'encrypted';
  if (!POLICIES.has(policy)) throw new SecretServiceError('bad-argument', 'unknown session policy');
  const activationTimeoutMs = assertTimeoutMs(options.activationTimeoutMs ?? DEFAULT_ACTIVATION_TIMEOUT_MS);
  return { policy, activationTimeoutMs, defaults };
}

/**
 * Opens a session with the service, starting the service if need be.
 * @throws {SecretServiceError} `not-available`, `session`, `bad-reply`, …; {DeadlineError}, {CancelledError}
 */
export async function attach(
  bus: Bus,
  { policy, activationTimeoutMs, defaults }: AttachSettings,
  signal: AbortSignal | undefined,
): Promise<Attached> {
  const starting = (): Operation =>
    new Operation({ signal, timeoutMs: activationTimeoutMs }, defaults, 'activation');
  const owner =
    (await readOwner(bus, new Operation({ signal }, defaults))) ?? (await startService(bus, starting()));
  const caller = new Caller(bus, owner);
  return { caller, session: await openSession(caller, policy, new Operation({ signal }, defaults)) };
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
