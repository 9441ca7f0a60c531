/**
 * Reading many secrets: in batches, and one by one where a batch does not give them.
 *
 * Secret Service specification 0.2, "GetSecrets". GNOME Keyring and oo7 leave out what is locked,
 * KeePassXC fails as a whole for one locked item, and others fail as a whole for one that is gone.
 */

import type { ServiceCall, ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { hasCode } from '../map-error.js';
import { SECRET_SIGNATURE, SERVICE_INTERFACE, SERVICE_PATH } from '../names.js';
import type { Secret } from '../secret.js';
import { concurrently } from './concurrently.js';
import { readSecret } from './item-calls.js';
import { parseMap, parseObjectPath } from './replies.js';

/**
 * The most items in one GetSecrets.
 *
 * A reply over 2^26 bytes (D-Bus specification, "Marshaling", ARRAY) ends GNOME Keyring's daemon: seen
 * on 42.1 with 64 secrets of 1 MiB in one call, with 8 of 9 MiB and with 2 of 33 MiB; every program then
 * loses its keyring. Nothing tells how large a secret is before it is read, so the first calls have to
 * be safe by their number alone: sixteen secrets whose sizes are not known would have to be 4 MiB each on
 * average. Only one by one is safe against that too, at three to four times the time: to search and read 200 small
 * secrets takes GNOME Keyring 6.8 ms by 8, 5.3 ms by 16, and 5.0 and 4.9 ms by 64 and 200, for many calls are under
 * way at once. So larger batches would only add danger; these are 13 calls for 200 secrets, sent together, in one
 * round trip. One failure costs at most 16 single calls.
 */
const MAX_BATCH_LENGTH = 16;

/** What a batch may come to if its secrets are as large as the largest so far: an eighth of the limit. */
const MAX_BATCH_BYTE_LENGTH = 2 ** 23;

/**
 * Reads the secrets of `paths`.
 * @param paths - Without duplicates.
 * @returns By path, in no order; what is locked or gone is left out. The caller owns the secrets.
 * @throws as `Caller.call`, and `bad-secret`; secrets read so far are wiped.
 */
export async function readSecrets(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<Map<string, Secret>> {
  const secrets = new SecretsRead();
  const left: string[] = [];
  try {
    await concurrently(batchesOf(paths, secrets), async (batch) => {
      // One secret needs no batch: GetSecret says more about what is wrong.
      if (batch.length === 1) return await readOne(context, operation, batch[0] ?? '', secrets);
      await readBatch(context, operation, batch, secrets);
      left.push(...batch.filter((path) => !secrets.byPath.has(path)));
    });
    await concurrently(left, async (path) => await readOne(context, operation, path, secrets));
    return secrets.byPath;
  } catch (error) {
    for (const secret of secrets.byPath.values()) secret[Symbol.dispose]();
    throw error;
  }
}

/** The secrets read so far, and how large they were. */
class SecretsRead {
  readonly byPath = new Map<string, Secret>();
  #largestByteLength = 0;

  add(path: string, secret: Secret): void {
    this.byPath.set(path, secret);
    this.#largestByteLength = Math.max(this.#largestByteLength, secret.value.byteLength);
  }

  /** How many items the next batch may have. */
  get nextBatchLength(): number {
    const length = Math.floor(MAX_BATCH_BYTE_LENGTH / Math.max(this.#largestByteLength, 1));
    return Math.max(1, Math.min(length, MAX_BATCH_LENGTH));
  }
}

/** Cuts off each batch when it is asked for, by what has been read until then. */
function* batchesOf(paths: readonly string[], secrets: SecretsRead): Generator<readonly string[], void> {
  for (let start = 0; start < paths.length; ) {
    const end = start + secrets.nextBatchLength;
    yield paths.slice(start, end);
    start = end;
  }
}

async function readBatch(
  context: ServiceContext,
  operation: Operation,
  batch: readonly string[],
  secrets: SecretsRead,
): Promise<void> {
  const asked = new Set(batch);
  const call: ServiceCall = {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'GetSecrets',
    signature: 'aoo',
    body: (session) => [batch, session.path],
    replySignature: `a{o${SECRET_SIGNATURE}}`,
  };
  try {
    await context.call(operation, call, ([reply], { session }) => {
      for (const [key, value] of parseMap(reply, 'GetSecrets')) {
        const path = parseObjectPath(key, 'an item');
        // What was not asked for is not given to the caller.
        if (!asked.has(path)) continue;
        const secret = session.decode(value);
        // Whether an empty value is one is found out singly.
        if (secret.value.byteLength > 0) secrets.add(path, secret);
      }
    });
  } catch (error) {
    // These can be the fault of one item; anything else would come again for each of them.
    if (hasCode(error, 'locked', 'not-found', 'failed', 'access-denied', 'not-supported')) return;
    throw error;
  }
}

async function readOne(
  context: ServiceContext,
  operation: Operation,
  path: string,
  secrets: SecretsRead,
): Promise<void> {
  try {
    secrets.add(path, await readSecret(context, operation, path));
  } catch (error) {
    if (!hasCode(error, 'locked', 'not-found')) throw error;
  }
}
