/**
 * Locking and unlocking, many objects at a time.
 *
 * Secret Service specification 0.2, "Service.Lock" and "Service.Unlock". What the two answer differs: some
 * services leave out what was unlocked before, some name the collection for an item, and what was done
 * while a prompt was shown is told by the prompt. So what an answer does not name is asked itself.
 */

import { Variant } from '../../wire/index.js';
import type { ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { SecretServiceError } from '../errors.js';
import { errorNameOf, hasCode } from '../map-error.js';
import { SERVICE_INTERFACE, SERVICE_PATH } from '../names.js';
import { concurrently } from './concurrently.js';
import { badReply, parseBoolean, parsePath } from './replies.js';

/** A collection or an item. */
export interface Lockable {
  readonly path: string;
  /** The interface with its property `Locked`. */
  readonly interfaceName: string;
}

/**
 * Unlocks collections and items.
 * @returns The paths of those that are unlocked now.
 * @throws {SecretServiceError} `not-found` if there is only one and it does not exist, `prompt-required`,
 * `prompt-dismissed`, …; {DeadlineError}, {CancelledError}
 */
export async function unlockAll(
  context: ServiceContext,
  operation: Operation,
  objects: readonly Lockable[],
): Promise<Set<string>> {
  return await change(context, operation, 'Unlock', objects);
}

/** Locks collections and items. @returns The paths of those that are locked now. @throws as {@link unlockAll} */
export async function lockAll(
  context: ServiceContext,
  operation: Operation,
  objects: readonly Lockable[],
): Promise<Set<string>> {
  return await change(context, operation, 'Lock', objects);
}

async function change(
  context: ServiceContext,
  operation: Operation,
  member: 'Lock' | 'Unlock',
  objects: readonly Lockable[],
): Promise<Set<string>> {
  const paths = [...new Set(objects.map(({ path }) => path))];
  if (paths.length === 0) return new Set();
  const call = {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member,
    signature: 'ao',
    body: [paths],
    replySignature: 'aoo',
  };
  const named = new Set<string>();
  try {
    const { values, result } = await context.callPrompting(operation, call);
    addPaths(named, values[0]);
    if (result instanceof Variant && result.signature === 'ao') addPaths(named, result.value);
  } catch (error) {
    // KWallet's word for an object that is not there; what there is of the others shows below.
    if (errorNameOf(error) !== 'org.freedesktop.DBus.Error.InvalidArgs' && !hasCode(error, 'not-found')) {
      throw error;
    }
    if (paths.length === 1) {
      throw new SecretServiceError('not-found', `${member}: there is no such object`, { cause: error });
    }
  }
  await concurrently(
    objects.filter(({ path }) => !named.has(path)),
    async (object) => {
      if ((await readLocked(context, operation, object)) === (member === 'Lock')) named.add(object.path);
    },
  );
  return new Set(paths.filter((path) => named.has(path)));
}

function addPaths(paths: Set<string>, value: unknown): void {
  if (!Array.isArray(value)) throw badReply('what was locked or unlocked is no list');
  // KWallet gives `/` where nothing was.
  for (const path of value) paths.add(parsePath(path, 'an object'));
}

/** Undefined for what is neither locked nor unlocked, because it is not there. */
async function readLocked(
  context: ServiceContext,
  operation: Operation,
  { path, interfaceName }: Lockable,
): Promise<boolean | undefined> {
  try {
    const property = { path, interface: interfaceName, name: 'Locked', signature: 'b' };
    return parseBoolean(await context.getProperty(operation, property), 'Locked');
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}
