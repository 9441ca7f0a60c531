/**
 * Opening a store, or making it where there is none.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { cancelledError, StashIOError } from '../errors.js';
import { contended } from '../file-image.js';
import { parsePath } from '../options.js';
import { createStore } from './create.js';
import { Credential } from './credentials.js';
import type { Environment } from './environment.js';
import { readOptions } from './maintenance.js';
import { parseStashOptions, type StashOptions } from './stash-options.js';
import { NativeStore } from './store.js';
import type { Opened } from './unlock.js';

/** How often opening starts over because the file came and went. */
const maxOpenAttempts = 16;

/** How long a torn tail may be a write that is going on, in milliseconds, for who has no lock to make sure. */
const writingMs = 20;

/**
 * Opens a store; see `Stash.open`. The receiver has to release it.
 * @throws {StashError} any.
 */
export async function openStore(
  environment: Environment,
  path: string,
  options: StashOptions,
): Promise<NativeStore> {
  const { fileSystem } = environment;
  const absolute = fileSystem.absolute(parsePath(path));
  const checked = parseStashOptions(options);
  const credential = new Credential(options);
  const store = new NativeStore(environment, absolute, checked, credential);
  try {
    const { signal, onProgress } = checked;
    if (signal?.aborted === true) throw cancelledError(signal);
    let created: Opened | undefined;
    for (let tries = 0; tries < maxOpenAttempts; tries++) {
      const read = readOptions('read', store.byteLengthNow, { signal, onProgress });
      if (await isOpened(store, () => store.open(read, created))) {
        await settleTail(store, signal);
        await store.upgradeSlot();
        return store;
      }
      created = await createStore(environment, absolute, credential, checked);
    }
    throw contended(absolute, 'open');
  } catch (error) {
    store.release();
    throw error;
  }
}

/** False where there is no file, and one is to be made. */
async function isOpened(store: NativeStore, open: () => Promise<void>): Promise<boolean> {
  try {
    await open();
    return true;
  } catch (error) {
    if (!(error instanceof StashIOError) || error.code !== 'not-found') throw error;
    if (store.options.create && !store.options.readOnly) return false;
    const { path } = store;
    const message = 'there is no file at the path of the stash; the option create makes one';
    throw new StashIOError('not-found', message, { path, operation: 'open', cause: error });
  }
}

/** What is torn is cut off under the lock; who only reads waits a moment: it may be a write that is going on. */
async function settleTail(store: NativeStore, signal: AbortSignal | undefined): Promise<void> {
  if (store.recovered === undefined) return;
  if (store.options.readOnly) {
    await new Promise((resolve) => {
      setTimeout(resolve, writingMs);
    });
    await store.refresh(signal);
    store.recovered = store.log.tornTail;
  } else await store.exclusively(async () => undefined, signal);
}
