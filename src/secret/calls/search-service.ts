/**
 * Searching all collections, which can take as long as a person does.
 *
 * Secret Service specification 0.2, "Service.SearchItems". It has no prompt; KeePassXC, unless it is told otherwise, has the
 * user unlock a locked database all the same, and answers when that is done. It answers other calls meanwhile.
 */

import { DeadlineError } from '../../wire/index.js';
import type { ServiceContext } from '../connection/context.js';
import { Operation, waitAtMost } from '../connection/operation.js';
import { SecretServiceError } from '../errors.js';
import { SERVICE_INTERFACE, SERVICE_PATH } from '../names.js';
import { readCollections, readLockedCollections } from './collection-calls.js';
import { parseObjectPaths } from './replies.js';

/** The paths of items, by whether they are locked. */
export interface FoundPaths {
  readonly unlocked: string[];
  readonly locked: string[];
}

/** After which time a search is taken for one that may wait for a person; a thousand times what it takes else. */
const SLOW_MS = 1_000;

/**
 * Finds the items of all collections. Where the service takes long and something is locked, it waits for a person, for whom
 * `promptTimeoutMs` holds.
 * @throws {SecretServiceError} `locked` if it does, and the user may not be asked; as `ServiceContext.call`; {DeadlineError},
 * also with `deadline: 'prompt'`, {CancelledError}
 */
export async function searchService(
  context: ServiceContext,
  operation: Operation,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  const { promptTimeoutMs } = operation.prompts;
  const { timeoutMs, signal } = operation.callOptions();
  const given = new AbortController();
  const patient = { signal: given.signal, timeoutMs: timeoutMs + SLOW_MS + promptTimeoutMs };
  const searching = callSearch(context, new Operation(patient), attributes);
  try {
    return await waitAtMost(searching, Math.min(timeoutMs, SLOW_MS), signal, () => SLOW);
  } catch (error) {
    if (error !== SLOW) {
      given.abort();
      throw error;
    }
  }
  try {
    if (!(await mayWaitForUser(context, operation))) return await operation.waitFor(searching);
    const late = (): Error => new DeadlineError('prompt', promptTimeoutMs);
    return await operation.pausedFor(() => waitAtMost(searching, promptTimeoutMs, signal, late));
  } finally {
    // Not where the search was fast: what AbortController makes of it costs a quarter of a lookup.
    given.abort();
  }
}

/** Stands for what is not wrong yet. */
const SLOW = new Error('slow');

/**
 * Whether something is locked.
 * @throws {SecretServiceError} `locked` if it is, and the user may not be asked
 */
async function mayWaitForUser(context: ServiceContext, operation: Operation): Promise<boolean> {
  const paths = await readCollections(context, operation);
  const lockedPaths = await readLockedCollections(context, operation, paths);
  if (lockedPaths.length === 0 || operation.prompts.prompt === 'allow') return lockedPaths.length > 0;
  throw new SecretServiceError('locked', 'SearchItems: the service waits for the user', { lockedPaths });
}

async function callSearch(
  context: ServiceContext,
  operation: Operation,
  attributes: ReadonlyMap<string, string>,
): Promise<FoundPaths> {
  const [unlocked, locked] = await context.call(operation, {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'SearchItems',
    signature: 'a{ss}',
    body: [attributes],
    replySignature: 'aoao',
  });
  return {
    unlocked: parseObjectPaths(unlocked, 'SearchItems'),
    locked: parseObjectPaths(locked, 'SearchItems'),
  };
}
