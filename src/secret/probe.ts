/**
 * What there is of a Secret Service, found out without side effects: nothing is started, opened, unlocked or shown.
 */

import type { Bus } from '../wire/index.js';
import { parseBoolean, parsePath, parseVariant } from './calls/replies.js';
import { Caller, readingCall } from './connection/caller.js';
import { type BusOptions, type OpenedBus, openBusFor } from './connection/connect.js';
import { Operation } from './connection/operation.js';
import { isActivatable, readOwner } from './connection/owner.js';
import type { SecretServiceError } from './errors.js';
import { hasCode } from './map-error.js';
import { COLLECTION_INTERFACE, DEFAULT_ALIAS, NO_OBJECT, SERVICE_INTERFACE, SERVICE_PATH } from './names.js';

/**
 * - `no-bus`: no bus can be reached; `cause` says why.
 * - `no-service`: nobody on the bus is a Secret Service, and the bus knows of none to start.
 * - `activatable`: none is running, and the first call will have the bus start one.
 * - `no-default-collection`: one is running, and has no collection to store in unless it is named or made.
 * - `locked`: its default collection is locked.
 * - `ready`: its default collection is unlocked.
 */
export type ServiceState =
  | 'no-bus'
  | 'no-service'
  | 'activatable'
  | 'no-default-collection'
  | 'locked'
  | 'ready';

/** How the service is. */
export interface Probe {
  readonly state: ServiceState;
  /** The unique name of the service, where one is running. */
  readonly owner?: string;
  /** The object path of the default collection, where there is one. */
  readonly defaultCollection?: string;
  /** Why there is no bus. */
  readonly cause?: SecretServiceError;
}

/**
 * Tells how the Secret Service is, without side effects, and within `timeoutMs` all in all.
 * @throws {SecretServiceError} for a bus or service that answers wrongly or refuses; {DeadlineError} for one that does not
 * answer; {CancelledError}
 */
export async function probe(options: BusOptions = {}): Promise<Probe> {
  const operation = new Operation(options);
  let opened: OpenedBus;
  try {
    opened = await openWithin(options, operation);
  } catch (error) {
    if (hasCode(error, 'not-available')) return { state: 'no-bus', cause: error };
    throw error;
  }
  return await onBus(opened, (bus) => probeBus(bus, operation));
}

/**
 * Tells whether a Secret Service is running on the bus, or can be started by it. Starts none, and opens
 * no session. False also if there is no bus.
 * @throws {SecretServiceError} for anything else; {DeadlineError}, {CancelledError}.
 */
export async function isAvailable(options: BusOptions = {}): Promise<boolean> {
  const operation = new Operation(options);
  try {
    return await onBus(
      await openWithin(options, operation),
      async (bus) => (await readOwner(bus, operation)) !== undefined || (await isActivatable(bus, operation)),
    );
  } catch (error) {
    if (hasCode(error, 'not-available')) return false;
    throw error;
  }
}

/** Tells how the service on a bus is. @throws as {@link probe} */
export async function probeBus(bus: Bus, operation: Operation): Promise<Probe> {
  const owner = await readOwner(bus, operation);
  try {
    if (owner !== undefined) return await probeOwner(new Caller(bus, owner), operation);
  } catch (error) {
    // It has ended in between.
    if (!hasCode(error, 'not-available')) throw error;
  }
  return { state: (await isActivatable(bus, operation)) ? 'activatable' : 'no-service' };
}

async function probeOwner(caller: Caller, operation: Operation): Promise<Probe> {
  const { owner } = caller;
  const defaultCollection = await readDefault(caller, operation);
  if (defaultCollection === undefined) return { state: 'no-default-collection', owner };
  const isLocked = await readLocked(caller, operation, defaultCollection);
  // An alias may outlive what it stands for.
  if (isLocked === undefined) return { state: 'no-default-collection', owner };
  return { state: isLocked ? 'locked' : 'ready', owner, defaultCollection };
}

/** By the unique name: a call to the well-known one would start a service that has just ended. */
async function readDefault(caller: Caller, operation: Operation): Promise<string | undefined> {
  const call = {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'ReadAlias',
    signature: 's',
    replySignature: 'o',
  };
  const [value] = await caller.call(operation, call, [DEFAULT_ALIAS]);
  const path = parsePath(value, 'ReadAlias');
  return path === NO_OBJECT ? undefined : path;
}

/** Undefined where there is no such collection. */
async function readLocked(caller: Caller, operation: Operation, path: string): Promise<boolean | undefined> {
  const property = { path, interface: COLLECTION_INTERFACE, name: 'Locked' };
  try {
    const call = readingCall(property);
    const [value] = await caller.call(operation, call, call.body, 'reading Locked');
    return parseBoolean(parseVariant(value, 'b', 'Locked'), 'Locked');
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** Opens the bus of the options; the time for it is part of the operation's. */
async function openWithin(options: BusOptions, operation: Operation): Promise<OpenedBus> {
  const { timeoutMs } = operation.callOptions();
  const connectTimeoutMs = Math.min(options.connectTimeoutMs ?? timeoutMs, timeoutMs);
  return await openBusFor({ ...options, connectTimeoutMs });
}

async function onBus<Result>(
  { bus, isOurs }: OpenedBus,
  work: (bus: Bus) => Promise<Result>,
): Promise<Result> {
  try {
    return await work(bus);
  } finally {
    if (isOurs) await bus.close();
  }
}
