/**
 * The file system of the machine, by `node:fs`. Apart from `lock`, the only file of the stash that touches files.
 */

import { type BigIntStats, constants, renameSync, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as nodePath from 'node:path';
import {
  type FileIdentity,
  type FileStatus,
  type FileSystem,
  isSameState,
  type OpenFile,
} from './file-system.js';
import { openLock } from './lock/store-lock.js';

// Not every system has each of these; a missing flag is no flag.
const readFlags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);
const writeFlags = constants.O_WRONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

/** Folders cannot be synced on some file systems, which say so in one of these ways. */
export const cannotSyncFolder: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

function statusOf(stats: BigIntStats): FileStatus {
  return {
    device: stats.dev,
    inode: stats.ino,
    byteLength: stats.size,
    modifiedNs: stats.mtimeNs,
    isFile: stats.isFile(),
    owner: Number(stats.uid),
    group: Number(stats.gid),
  };
}

class NodeOpenFile implements OpenFile {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  async status(): Promise<FileStatus> {
    return statusOf(await this.#handle.stat({ bigint: true }));
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(target, 0, target.length, position)).bytesRead;
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.write(bytes, 0, bytes.length, position)).bytesWritten;
  }

  async setMode(mode: number): Promise<void> {
    await this.#handle.chmod(mode);
  }

  async setOwner(owner: number, group: number): Promise<void> {
    await this.#handle.chown(owner, group);
  }

  async sync(): Promise<void> {
    await this.#handle.sync();
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** The machine's own files. */
export const nodeFileSystem: FileSystem = {
  async openForReading(path: string): Promise<OpenFile> {
    return new NodeOpenFile(await fs.open(path, readFlags));
  },
  async createExclusive(path: string, mode: number): Promise<OpenFile> {
    return new NodeOpenFile(await fs.open(path, createFlags, mode));
  },
  async status(path: string): Promise<FileStatus> {
    return statusOf(await fs.stat(path, { bigint: true }));
  },
  async nameExists(path: string): Promise<boolean> {
    try {
      await fs.lstat(path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  },
  async checkWritable(path: string): Promise<void> {
    // Not `access`, which asks for the real user and not for the effective one.
    const handle = await fs.open(path, writeFlags);
    await handle.close();
  },
  async resolveLinks(path: string): Promise<string> {
    return await fs.realpath(path);
  },
  async rename(from: string, to: string): Promise<void> {
    await fs.rename(from, to);
  },
  async renameIfUnchanged(from: string, to: string, expected: FileIdentity): Promise<boolean> {
    // Synchronously: asynchronous calls leave a gap of half a millisecond, in which two busy processes lost
    // every seventh write; this leaves some microseconds.
    if (!isSameState(statusOf(statSync(to, { bigint: true })), expected)) return false;
    renameSync(from, to);
    return true;
  },
  async link(from: string, to: string): Promise<void> {
    await fs.link(from, to);
  },
  async remove(path: string): Promise<void> {
    await fs.unlink(path);
  },
  async syncFolder(path: string): Promise<void> {
    // Windows opens no folder as a file; NTFS keeps its names in a journal.
    if (process.platform === 'win32') return;
    const folder = await fs.open(path, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0));
    try {
      await folder.sync();
    } catch (error) {
      if (!cannotSyncFolder.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    } finally {
      await folder.close();
    }
  },
  absolute: (path) => nodePath.resolve(path),
  folderOf: (path) => nodePath.dirname(path),
  join: (folder, name) => nodePath.join(folder, name),
  shared: { openLock, list: (folder) => fs.readdir(folder) },
};
