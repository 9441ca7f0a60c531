/**
 * Lets one at a time change a file that is replaced as a whole: over all processes by the lock of the store, in a
 * model of a file system over its handles.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { hashText } from './durable-file.js';
import { attempt } from './file-image.js';
import type { FileSystem } from './file-system.js';
import type { CheckedLockOptions } from './lock/lock-options.js';
import { SerialQueue } from './serial-queue.js';

/** One queue for each file being changed, by model and by path without links. */
const queues = new WeakMap<FileSystem, Map<string, { readonly queue: SerialQueue; users: number }>>();

/**
 * Runs `task` when no other task given for the same file runs. The task gets the file's path without links, and must
 * do nothing after it has replaced the file that others must not see.
 * @throws {StashIOError} `locked` or `lock-unavailable`; any code, if the path leads nowhere.
 * @throws {StashError} `cancelled` while it waits.
 */
export async function exclusively<Result>(
  fileSystem: FileSystem,
  path: string,
  task: (target: string) => Promise<Result>,
  options: CheckedLockOptions & { readonly signal: AbortSignal | undefined },
): Promise<Result> {
  const { signal, lock: mode, lockTimeoutMs: timeoutMs } = options;
  const target = await attempt(path, 'resolve', fileSystem.resolveLinks(path));
  if (fileSystem.shared === undefined) {
    return await inTurn(fileSystem, target, () => task(target), signal);
  }
  const name = await lockName(fileSystem, path, target);
  const lock = fileSystem.shared.openLock({ mode, path: target, name });
  try {
    return await lock.run(() => task(target), { signal, timeoutMs });
  } finally {
    lock.close();
  }
}

/** The file is another one after each change. What stays is its name in its folder. */
async function lockName(fileSystem: FileSystem, path: string, target: string): Promise<string> {
  const folder = fileSystem.folderOf(target);
  const { device, inode } = await attempt(path, 'stat', fileSystem.status(folder));
  return hashText(`${device} ${inode} ${target.slice(folder.length)}`);
}

async function inTurn<Result>(
  fileSystem: FileSystem,
  target: string,
  task: () => Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const ofSystem =
    queues.get(fileSystem) ?? new Map<string, { readonly queue: SerialQueue; users: number }>();
  queues.set(fileSystem, ofSystem);
  const turn = ofSystem.get(target) ?? { queue: new SerialQueue(), users: 0 };
  ofSystem.set(target, turn);
  turn.users++;
  try {
    return await turn.queue.run(task, signal);
  } finally {
    if (--turn.users === 0) ofSystem.delete(target);
  }
}
