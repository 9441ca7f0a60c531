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
import { type Lockable, readLocked } from './locked.js';
import { badReply, parsePath } from './replies.js';

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

type Member = 'Lock' | 'Unlock';

async function change(
  context: ServiceContext,
  operation: Operation,
  member: Member,
  objects: readonly Lockable[],
): Promise<Set<string>> {
  if (objects.length === 0) return new Set();
  const done = new Set<string>();
  try {
    await callFor(context, operation, member, objects, done);
  } catch (error) {
    // KWallet ends the prompts that wait for their turn with the one that is shown: what became of it shows below.
    if (!isLostPrompt(error)) {
      // KWallet refuses all for one that is not there, or that is locked already.
      if (!isRefusal(error)) throw error;
      for (const object of objects) await changeOne(context, operation, member, object, objects.length, done);
    }
  }
  const isDone = async (object: Lockable): Promise<void> => {
    const isLocked = await readLocked(context, operation, object);
    if (isLocked === (member === 'Lock')) done.add(object.path);
    // GNOME Keyring leaves it out without a word.
    if (isLocked === undefined && objects.length === 1) throw notFoundError(member);
  };
  await concurrently(
    objects.filter(({ path }) => !done.has(path)),
    isDone,
  );
  return new Set(objects.map(({ path }) => path).filter((path) => done.has(path)));
}

/** The words of KWallet for objects that are not there, or need no change. */
const REFUSALS: ReadonlySet<string | undefined> = new Set([
  'org.freedesktop.DBus.Error.InvalidArgs',
  'org.qtproject.QtDBus.Error.InvalidObjectPath',
]);

/** Whether a prompt was no longer there when it was to be shown. */
function isLostPrompt(error: unknown): boolean {
  if (!hasCode(error, 'failed') || error.promptPath === undefined) return false;
  return LOST_PROMPTS.has(errorNameOf(error));
}

const LOST_PROMPTS: ReadonlySet<string | undefined> = new Set([
  'org.freedesktop.DBus.Error.UnknownObject',
  'org.freedesktop.DBus.Error.UnknownMethod',
  'org.freedesktop.Secret.Error.NoSuchObject',
]);

/** Whether the call was refused, and not the prompt that it led to. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof SecretServiceError) || error.promptPath !== undefined) return false;
  return error.code === 'not-found' || REFUSALS.has(errorNameOf(error));
}

/** One of several that were refused together; where it was the only one, what is wrong with it is said. */
async function changeOne(
  context: ServiceContext,
  operation: Operation,
  member: Member,
  object: Lockable,
  count: number,
  done: Set<string>,
): Promise<void> {
  const isLocked = await readLocked(context, operation, object);
  if (isLocked === undefined && count === 1) throw notFoundError(member);
  if (isLocked === undefined || isLocked === (member === 'Lock')) return;
  await callFor(context, operation, member, [object], done);
}

function notFoundError(member: Member): SecretServiceError {
  return new SecretServiceError('not-found', `${member}: there is no such object`);
}

/** Makes the call, and adds to `done` what the answer names. */
async function callFor(
  context: ServiceContext,
  operation: Operation,
  member: Member,
  objects: readonly Lockable[],
  done: Set<string>,
): Promise<void> {
  const { values, result } = await context.callPrompting(operation, {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member,
    signature: 'ao',
    body: [[...new Set(objects.map(({ path }) => path))]],
    replySignature: 'aoo',
  });
  const named = new Set<string>();
  addPaths(named, values[0]);
  if (result instanceof Variant && result.signature === 'ao') addPaths(named, result.value);
  // KeePassXC names the collection for its item, and shows nothing of the item afterwards.
  for (const { path } of objects) if (named.has(path) || named.has(parentOf(path))) done.add(path);
}

/** The collection of an item: the specification has items at `collection/X/Y`. */
function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

function addPaths(paths: Set<string>, value: unknown): void {
  if (!Array.isArray(value)) throw badReply('what was locked or unlocked is no list');
  // KWallet gives `/` where nothing was.
  for (const path of value) paths.add(parsePath(path, 'an object'));
}
