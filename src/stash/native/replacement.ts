/**
 * Putting a new file in the place of a store's: compaction, which keeps the data key, and rekeying, which does not.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { removeLeftovers, replaceDurably } from '../durable-file.js';
import { StashCorruptError, type StashIOError } from '../errors.js';
import { attempt, contended, toIOError } from '../file-image.js';
import type { FileIdentity } from '../file-system.js';
import type { ReadOptions } from './frame-reader.js';
import { LoadedLog } from './loaded-log.js';
import type { Slot } from './slots.js';
import { SnapshotWriter } from './snapshot.js';
import type { NativeStore } from './store.js';

/** What the new file has that the old one had not. */
export interface NewKey {
  /** Not kept. */
  readonly dataKey: Uint8Array;
  readonly slots: readonly Slot[];
}

/**
 * Writes everything into a new file, reads that back, and puts it in the place of the old one. Under the lock.
 * @returns The file's length before and after, in bytes.
 * @throws {StashIOError} any code. After `not-durable` the new file is in place; after any other error the old one is.
 * @throws {StashCorruptError} `damaged-frame` if a large value cannot be read; the old file stays.
 * @throws {StashError} `cancelled`.
 */
export async function replaceStore(
  store: NativeStore,
  newKey: NewKey | undefined,
  read: ReadOptions,
): Promise<{ before: number; after: number }> {
  const { log, path, options } = store;
  const { fileSystem } = store.environment;
  const { storeId, epoch, generation, slots } = store.freshHeader();
  const header = {
    storeId,
    generation,
    epoch: epoch + 1,
    base: log.position.sequence,
    slots: newKey?.slots ?? slots,
  };
  const dataKey = newKey?.dataKey ?? log.dataKey;
  const target = await attempt(path, 'resolve', fileSystem.resolveLinks(path));
  await removeLeftovers(fileSystem, target);
  let fresh: LoadedLog | undefined;
  let notDurable: StashIOError | undefined;
  try {
    const replaced = await replaceDurably(
      fileSystem,
      path,
      (file) =>
        new SnapshotWriter(file, header, dataKey, { ...read, path, padding: options.padding }).write(log),
      async (temporaryPath) => {
        fresh = await verified(store, temporaryPath, dataKey, read);
        await store.replacing(temporaryPath);
        return await identityOf(store, target);
      },
      read.signal,
    );
    if (replaced === undefined || fresh === undefined) throw contended(path, 'replace');
    ({ notDurable } = replaced);
  } catch (error) {
    fresh?.release();
    throw error;
  }
  const before = log.status.byteLength;
  store.adopt(fresh);
  if (notDurable !== undefined) {
    // After a crash the old file might be back, and all that is acknowledged from now on gone.
    store.poison(notDurable);
    throw notDurable;
  }
  return { before, after: store.log.status.byteLength };
}

/** The new file as it can be read, which is not put in place unless it holds all that the old one does. */
async function verified(
  store: NativeStore,
  temporaryPath: string,
  dataKey: Uint8Array,
  read: ReadOptions,
): Promise<LoadedLog> {
  const { fileSystem } = store.environment;
  let fresh: LoadedLog;
  try {
    const file = fileSystem.openLog(temporaryPath, 'append');
    const unlock = async (): Promise<Uint8Array> => dataKey.slice();
    fresh = await LoadedLog.load(file, { ...read, path: store.path, unlock });
  } catch (error) {
    throw error instanceof Error && error.name.startsWith('Stash')
      ? error
      : toIOError(store.path, 'verify', error);
  }
  const { tree, tornTail } = fresh;
  if (
    tree.nodes === store.log.tree.nodes &&
    tree.byteLength === store.log.tree.byteLength &&
    tornTail === undefined
  ) {
    return fresh;
  }
  fresh.release();
  throw new StashCorruptError('damaged-frame', 'the new file does not hold what the old one does', 0);
}

/** What the file at the path is, if it still is the one we have. */
async function identityOf(store: NativeStore, target: string): Promise<FileIdentity | undefined> {
  if (store.isReplaced) return undefined;
  return await attempt(store.path, 'stat', store.environment.fileSystem.status(target));
}
