/**
 * Making a new, empty store. Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { createDurably } from '../durable-file.js';
import { StashIOError } from '../errors.js';
import { attempt } from '../file-image.js';
import { type Credential, generateKey } from './credentials.js';
import type { Environment } from './environment.js';
import { deriveSubkey, tagByteLength } from './frame.js';
import { formatPage, framesOffset, pageByteLength } from './header-page.js';
import { makeSlot } from './slots.js';
import type { CheckedStashOptions } from './stash-options.js';
import type { Opened } from './unlock.js';

/**
 * Makes a store without frames.
 * @returns What opens it, the caller's to wipe; or undefined if there is something at the path already, which is left as it is.
 * @throws {StashIOError} any code. After `not-durable` the file is there.
 */
export async function createStore(
  { fileSystem }: Environment,
  path: string,
  credential: Credential,
  options: CheckedStashOptions,
): Promise<Opened | undefined> {
  const storeId = crypto.getRandomValues(new Uint8Array(16));
  const dataKey = generateKey();
  const headerKey = deriveSubkey(dataKey, storeId, 'header pages');
  const secret = await credential.read(options.signal);
  let created = false;
  try {
    const { derivation } = options;
    const slot = await makeSlot(dataKey, storeId, secret, { derivation, label: '' }, options);
    const slots = [slot];
    const floor = { sequence: 0, tag: new Uint8Array(tagByteLength) };
    const bytes = new Uint8Array(framesOffset);
    for (let generation = 0; generation < 2; generation++) {
      const header = { storeId, generation, epoch: 1, floor, base: 0, slots };
      bytes.set(formatPage(header, headerKey), generation * pageByteLength);
    }
    created = (await createDurably(fileSystem, path, bytes)) !== undefined;
    if (created) return { dataKey, slot };
  } finally {
    wipe([headerKey, secret.bytes]);
    if (!created) dataKey.fill(0);
  }
  await refuseDanglingLink(fileSystem, path);
  return undefined;
}

async function refuseDanglingLink(fileSystem: Environment['fileSystem'], path: string): Promise<void> {
  const isThere = await attempt(path, 'stat', fileSystem.nameExists(path));
  if (!isThere) return;
  try {
    await fileSystem.status(path);
  } catch (cause) {
    const message = 'the path of the stash is a symbolic link that leads nowhere';
    throw new StashIOError('not-a-file', message, { path, operation: 'create', cause });
  }
}
