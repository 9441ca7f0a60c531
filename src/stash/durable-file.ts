/**
 * Creating and replacing a whole file, such that after an error or a crash it holds either what it held
 * before or all of what was written, and what was acknowledged stays.
 *
 * Writing goes: a temporary file of mode 0600 beside the target, under a name nobody can guess; all bytes;
 * fsync; `rename` (or `link`, for a new file); fsync of the folder. A symbolic link is followed: its target
 * is replaced, the link stays. Other hard links of the old file keep the old contents. Access control lists
 * and extended attributes are not carried over; the owner is. A process killed in between may leave a
 * temporary file, with nothing in it that is not encrypted, until `removeLeftovers` finds it.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { hexText } from './bytes.js';
import { cancelledError, StashIOError } from './errors.js';
import { attempt, type FileImage, systemCodeOf, toIOError } from './file-image.js';
import type { FileIdentity, FileStatus, FileSystem, OpenFile } from './file-system.js';
import { sha256 } from './hashing.js';

/** Errors of `link` that mean the file system or the system's policy knows no second names. */
const cannotLink: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);

/** What a file is to hold: its bytes, or what writes them, at places and in any order. */
export type Contents = Uint8Array | ((file: OpenFile) => Promise<void>);

/**
 * Makes a new file, with one winner where several try.
 * @returns The new file's image, or `undefined` if something is already there, which is left as it is.
 * @throws {StashIOError} any code. After `not-durable` the file is there.
 */
export async function createDurably(
  fileSystem: FileSystem,
  path: string,
  bytes: Contents,
): Promise<FileImage | undefined> {
  const folder = fileSystem.folderOf(path);
  const temporary = await writeTemporary(fileSystem, path, path, folder, bytes, undefined);
  try {
    if (!(await claimName(fileSystem, temporary.path, path))) return undefined;
  } finally {
    // After a link the store has this as a second name; after a failure it is all there is.
    await fileSystem.remove(temporary.path).catch(() => undefined);
  }
  await syncFolder(fileSystem, path, folder);
  return temporary.image;
}

/** Puts the temporary file under `path` unless there is something; false if there is. */
async function claimName(fileSystem: FileSystem, temporaryPath: string, path: string): Promise<boolean> {
  try {
    await fileSystem.link(temporaryPath, path);
    return true;
  } catch (error) {
    const code = systemCodeOf(error) ?? '';
    if (code === 'EEXIST') return false;
    // The winner may have removed ours as a leftover.
    if (code === 'ENOENT' && (await fileSystem.nameExists(path).catch(() => false))) return false;
    if (!cannotLink.has(code)) throw toIOError(path, 'link', error);
  }
  // Without links an empty file claims the name. Until the rename, others see it and refuse it as damaged.
  let claim: OpenFile;
  try {
    claim = await fileSystem.createExclusive(path, 0o600);
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw toIOError(path, 'create', error);
  }
  try {
    await attempt(path, 'close', claim.close());
    await attempt(path, 'rename', fileSystem.rename(temporaryPath, path));
  } catch (error) {
    await fileSystem.remove(path).catch(() => undefined);
    throw error;
  }
  return true;
}

/**
 * Replaces the file at `path`, if it still is the one that `current` says.
 * @param current - Asked when all else is done, and the new file is whole under the path it gets; returns the identity of the file to be replaced, or
 * `undefined` if it has changed. A change between that identity being compared and the rename is lost: some
 * microseconds, for programs only that do not take the lock of `exclusively`.
 * @param signal - Looked at until the rename, after which the change is made.
 * @returns The new image and, if the system could not say that it is durable, why; or `undefined` if the
 * file had been changed, and was left so.
 * @throws {StashIOError} any code but `not-durable`; the old file is untouched.
 * @throws {StashError} `cancelled`, and what `current` throws.
 */
export async function replaceDurably(
  fileSystem: FileSystem,
  path: string,
  bytes: Contents,
  current: (temporaryPath: string) => Promise<FileIdentity | undefined>,
  signal: AbortSignal | undefined,
): Promise<{ image: FileImage; notDurable: StashIOError | undefined } | undefined> {
  const target = await attempt(path, 'resolve', fileSystem.resolveLinks(path));
  // Rename asks only for the right to the folder; a file made read-only is to stay as it is.
  await attempt(path, 'write', fileSystem.checkWritable(target));
  const old = await attempt(path, 'stat', fileSystem.status(target));
  const folder = fileSystem.folderOf(target);
  const temporary = await writeTemporary(fileSystem, path, target, folder, bytes, old);
  let renamed = false;
  try {
    const expected = await current(temporary.path);
    if (signal?.aborted === true) throw cancelledError(signal);
    if (expected === undefined) return undefined;
    const renaming = fileSystem.renameIfUnchanged(temporary.path, target, expected);
    renamed = await attempt(path, 'rename', renaming);
    if (!renamed) return undefined;
  } finally {
    if (!renamed) await fileSystem.remove(temporary.path).catch(() => undefined);
  }
  try {
    await syncFolder(fileSystem, path, folder);
  } catch (error) {
    return { image: temporary.image, notDurable: error as StashIOError };
  }
  return { image: temporary.image, notDurable: undefined };
}

/**
 * Removes the temporary files that writers of `target` left who were killed, as far as it can. Only for a caller who
 * holds the lock of the file, so that no other is writing.
 * @param target - Free of symbolic links.
 */
export async function removeLeftovers(fileSystem: FileSystem, target: string): Promise<void> {
  const folder = fileSystem.folderOf(target);
  const prefix = temporaryPrefix(target, folder);
  const names = (await fileSystem.shared?.list(folder).catch(() => undefined)) ?? [];
  for (const name of names) {
    if (name.startsWith(prefix) && name.endsWith('.tmp') && name.length === prefix.length + 36) {
      await fileSystem.remove(fileSystem.join(folder, name)).catch(() => undefined);
    }
  }
}

/**
 * Sees to it that the file at `path` keeps its name: who put it there may have been killed before that was on the disk, and
 * all that is written into it later would go with the name. Takes away their temporary files, too. Only for a caller who
 * holds the lock of the file.
 * @param failed - Makes the error of a folder that failed to sync.
 * @throws {StashIOError} any code, or what `failed` returns.
 */
export async function settleFolder(
  fileSystem: FileSystem,
  path: string,
  failed: (cause: unknown) => StashIOError,
): Promise<void> {
  const target = await attempt(path, 'resolve', fileSystem.resolveLinks(path));
  await removeLeftovers(fileSystem, target);
  try {
    await fileSystem.syncFolder(fileSystem.folderOf(target));
  } catch (cause) {
    // Who may not list a folder cannot sync it, but can write to a file in it.
    if (toIOError(path, 'sync', cause).code !== 'permission-denied') throw failed(cause);
  }
}

/** What the temporary files of one target have in common: it tells them from those of others, and not its name. */
function temporaryPrefix(target: string, folder: string): string {
  return `.secretbus-${hashText(target.slice(folder.length))}-`;
}

/** Returns 32 hexadecimal digits that stand for a text. */
export function hashText(text: string): string {
  return hexText(sha256(new TextEncoder().encode(text)).subarray(0, 16));
}

/** Writes and syncs a temporary file in `folder`; on failure nothing is left of it. */
async function writeTemporary(
  fileSystem: FileSystem,
  path: string,
  target: string,
  folder: string,
  contents: Contents,
  owner: FileStatus | undefined,
): Promise<{ path: string; image: FileImage }> {
  const random = hexText(crypto.getRandomValues(new Uint8Array(16)));
  const temporaryPath = fileSystem.join(folder, `${temporaryPrefix(target, folder)}${random}.tmp`);
  const file = await attempt(path, 'create', fileSystem.createExclusive(temporaryPath, 0o600));
  try {
    let identity: FileIdentity;
    try {
      if (owner !== undefined) await keepOwner(path, file, owner);
      // The umask may have taken away what the creation asked for, and a change of owner may have, too.
      await attempt(path, 'chmod', file.setMode(0o600));
      if (typeof contents === 'function') await contents(file);
      else await writeFully(file, path, contents, 0);
      await attempt(path, 'sync', file.sync());
      identity = await attempt(path, 'stat', file.status());
    } finally {
      await attempt(path, 'close', file.close());
    }
    const bytes = typeof contents === 'function' ? new Uint8Array() : contents;
    return { path: temporaryPath, image: { bytes, identity, settled: false } };
  } catch (error) {
    await fileSystem.remove(temporaryPath).catch(() => undefined);
    throw error;
  }
}

/**
 * Writes all of `bytes` at `position`.
 * @throws {StashIOError} any code.
 */
export async function writeFully(
  file: OpenFile,
  path: string,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const count = await attempt(path, 'write', file.write(bytes.subarray(offset), position + offset));
    if (count === 0)
      throw new StashIOError('io-failed', 'a write took no bytes', { path, operation: 'write' });
    offset += count;
  }
}

/** Gives the new file to the owner of the old one, who could not read it otherwise. */
async function keepOwner(path: string, file: OpenFile, old: FileStatus): Promise<void> {
  const mine = await attempt(path, 'stat', file.status());
  if (mine.owner === old.owner && mine.group === old.group) return;
  try {
    await file.setOwner(old.owner, old.group);
  } catch (error) {
    // The group has no rights to a file of mode 0600, so only the owner matters.
    if (mine.owner !== old.owner) throw toIOError(path, 'chown', error);
  }
}

async function syncFolder(fileSystem: FileSystem, path: string, folder: string): Promise<void> {
  try {
    await fileSystem.syncFolder(folder);
  } catch (cause) {
    const systemCode = systemCodeOf(cause);
    throw new StashIOError('not-durable', 'the change was made, but the folder failed to sync', {
      path,
      operation: 'sync',
      cause,
      ...(systemCode === undefined ? {} : { systemCode }),
    });
  }
}
