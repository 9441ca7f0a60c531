/**
 * Asking whether objects are locked.
 *
 * Secret Service specification 0.2, the property `Locked` of collections and items. Services differ in which calls tell
 * that an object is locked, and all have this property.
 */

import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { SecretServiceError } from '../errors.js';
import { hasCode } from '../map-error.js';
import { parseBoolean } from './replies.js';

/** A collection or an item. */
export interface Lockable {
  readonly path: string;
  /** The interface with its property `Locked`. */
  readonly interfaceName: string;
}

/** Tells whether an object is locked; undefined for one that is gone. @throws as `ServiceContext.call` */
export async function readLocked(
  context: ServiceContext,
  operation: Operation,
  object: Lockable,
): Promise<boolean | undefined> {
  try {
    return await readLockedOfPresent(context, operation, object);
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/**
 * Makes sure that an object is not locked before it is changed: KWallet takes changes to what is locked without an error,
 * and loses them or the secret.
 * @throws {SecretServiceError} `locked`, `not-found`
 */
export async function assertUnlocked(
  context: ServiceContext,
  operation: Operation,
  object: Lockable,
): Promise<void> {
  if (await readLockedOfPresent(context, operation, object)) throw objectLockedError(object.path);
}

/** The error for an object that has to be unlocked first. */
export function objectLockedError(path: string): SecretServiceError {
  return new SecretServiceError('locked', 'the object is locked', { lockedPaths: [path] });
}

async function readLockedOfPresent(
  context: ServiceContext,
  operation: Operation,
  { path, interfaceName }: Lockable,
): Promise<boolean> {
  const property = { path, interface: interfaceName, name: 'Locked', signature: 'b' };
  return parseBoolean(await context.getProperty(operation, property), 'Locked');
}
