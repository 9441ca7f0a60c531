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
  const given = new AbortController();
  const timeoutMs = operation.callOptions().timeoutMs + SLOW_MS + promptTimeoutMs;
  const searching = callSearch(context, new Operation({ signal: given.signal, timeoutMs }), attributes);
  // Whoever gives up has its own error.
  searching.catch(() => {});
  try {
    if (await isSlow(operation, searching)) {
      const locked = await readLockedCollections(
        context,
        operation,
        await readCollections(context, operation),
      );
      if (locked.length > 0 && operation.prompts.prompt === 'never') {
        throw new SecretServiceError('locked', 'SearchItems: the service waits for the user', {
          lockedPaths: locked,
        });
      }
      if (locked.length > 0) {
        const late = (): Error => new DeadlineError('prompt', promptTimeoutMs);
        return await operation.pausedFor(() =>
          waitAtMost(searching, promptTimeoutMs, operation.signal, late),
        );
      }
    }
    return await operation.waitFor(searching);
  } finally {
    given.abort();
  }
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

/** Whether `searching` has not ended after {@link SLOW_MS}. @throws {DeadlineError}, {CancelledError} if that comes first */
async function isSlow(operation: Operation, searching: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const slow = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, SLOW_MS, true);
  });
  const ended = searching.then(
    () => false,
    () => false,
  );
  try {
    return await operation.waitFor(Promise.race([ended, slow]));
  } finally {
    clearTimeout(timer);
  }
}
