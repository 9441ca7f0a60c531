/**
 * Who owns the name of the Secret Service, and having it started.
 *
 * D-Bus specification, "Message Bus Messages" and "Message Bus Starting Services".
 */

import type { Bus } from '../../wire/index.js';
import { badReply, parseString } from '../calls/replies.js';
import { SecretServiceError } from '../errors.js';
import { errorNameOf } from '../map-error.js';
import { BUS_NAME, BUS_PATH, SERVICE_NAME } from '../names.js';
import type { Operation } from './operation.js';

/** The same failure, of a service that is certainly not there. */
export function absentError({ message, cause }: Error): SecretServiceError {
  return new SecretServiceError('not-available', message, { cause, isAbsent: true });
}

/** The unique name of the owner, or undefined if the service is not running. Starts none. @throws as {@link startService} */
export async function readOwner(bus: Bus, operation: Operation): Promise<string | undefined> {
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
  const errorName = errorNameOf(error);
  return names.some((last) => errorName === `org.freedesktop.DBus.Error.${last}`);
}

/**
 * Starts the service, which has no owner.
 * @returns The unique name of the owner.
 * @throws {SecretServiceError} `not-available`, with `isAbsent` if the bus does not know how to start one; `bad-reply`, …;
 * {DeadlineError}, {CancelledError}.
 */
export async function startService(bus: Bus, operation: Operation): Promise<string> {
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

/** Whether the bus knows how to start the service. @throws as {@link startService} */
export async function isActivatable(bus: Bus, operation: Operation): Promise<boolean> {
  const [names] = await callBus(bus, operation, 'ListActivatableNames', '', [], 'as');
  return Array.isArray(names) && names.includes(SERVICE_NAME);
}
