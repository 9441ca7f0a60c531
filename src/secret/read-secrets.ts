/**
 * Reading many secrets: in batches, and one by one where a batch does not give them.
 *
 * Secret Service specification 0.2, "GetSecrets". GNOME Keyring and oo7 leave out what is locked,
 * KeePassXC fails as a whole for one locked item, and others fail as a whole for one that is gone.
 */

import { concurrently } from './concurrently.js';
import type { ServiceContext } from './context.js';
import { readSecret } from './item-calls.js';
import { hasCode } from './map-error.js';
import { SECRET_SIGNATURE, SERVICE_INTERFACE, SERVICE_PATH } from './names.js';
import type { Operation } from './operation.js';
import { parseMap, parseObjectPath } from './replies.js';
import type { Secret } from './secret.js';

/** Items in one GetSecrets: one failure costs at most this many single calls, and a reply stays small. */
const BATCH_LENGTH = 256;

/**
 * Reads the secrets of `paths`.
 * @param paths - Without duplicates.
 * @returns By path; what is locked or gone is left out. The caller owns the secrets.
 * @throws as `Caller.call`, and `bad-secret`; secrets read so far are wiped.
 */
export async function readSecrets(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<Map<string, Secret>> {
  const secrets = new Map<string, Secret>();
  try {
    for (let start = 0; start < paths.length; start += BATCH_LENGTH) {
      const batch = paths.slice(start, start + BATCH_LENGTH);
      // One secret needs no batch: GetSecret says more about what is wrong.
      if (batch.length > 1) await readBatch(context, operation, batch, secrets);
      await readRest(context, operation, batch, secrets);
    }
    return secrets;
  } catch (error) {
    for (const secret of secrets.values()) secret[Symbol.dispose]();
    throw error;
  }
}

async function readBatch(
  context: ServiceContext,
  operation: Operation,
  batch: readonly string[],
  secrets: Map<string, Secret>,
): Promise<void> {
  let reply: unknown;
  try {
    [reply] = await context.caller.call(operation, {
      path: SERVICE_PATH,
      interface: SERVICE_INTERFACE,
      member: 'GetSecrets',
      signature: 'aoo',
      body: [batch, context.session.path],
      replySignature: `a{o${SECRET_SIGNATURE}}`,
    });
  } catch (error) {
    // These can be the fault of one item; anything else would come again for each of them.
    if (hasCode(error, 'locked', 'not-found', 'failed', 'access-denied', 'not-supported')) return;
    throw error;
  }
  const asked = new Set(batch);
  for (const [key, value] of parseMap(reply, 'GetSecrets')) {
    const path = parseObjectPath(key, 'an item');
    // What was not asked for is not given to the caller.
    if (asked.has(path)) secrets.set(path, context.session.decode(value));
  }
}

async function readRest(
  context: ServiceContext,
  operation: Operation,
  batch: readonly string[],
  secrets: Map<string, Secret>,
): Promise<void> {
  const missing = batch.filter((path) => !secrets.has(path));
  await concurrently(missing, async (path) => {
    try {
      secrets.set(path, await readSecret(context, operation, path));
    } catch (error) {
      if (!hasCode(error, 'locked', 'not-found')) throw error;
    }
  });
}
