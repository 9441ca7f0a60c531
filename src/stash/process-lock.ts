/**
 * Keeps several handles of one process from changing one file at a time.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { attempt } from './file-image.js';
import type { FileSystem } from './file-system.js';
import { SerialQueue } from './serial-queue.js';

/** One queue for each file being changed, by file system and by path without links. */
const locks = new WeakMap<FileSystem, Map<string, { readonly queue: SerialQueue; users: number }>>();

/**
 * Runs `task` when no other task given for the same file runs.
 * @throws {StashIOError} any code, if the path leads nowhere.
 * @throws {StashError} `cancelled` while it waits.
 */
export async function exclusively<Result>(
  fileSystem: FileSystem,
  path: string,
  task: () => Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const target = await attempt(path, 'resolve', fileSystem.resolveLinks(path));
  const ofSystem = locks.get(fileSystem) ?? new Map<string, { readonly queue: SerialQueue; users: number }>();
  locks.set(fileSystem, ofSystem);
  const lock = ofSystem.get(target) ?? { queue: new SerialQueue(), users: 0 };
  ofSystem.set(target, lock);
  lock.users++;
  try {
    return await lock.queue.run(task, signal);
  } finally {
    if (--lock.users === 0) ofSystem.delete(target);
  }
}
