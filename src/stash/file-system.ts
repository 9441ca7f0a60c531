/**
 * What the stash needs of a file system, call by call, so that a model of one can stand in for it and fail
 * at each call. Every method rejects with the system's error, whose `code` is a name such as `ENOENT`.
 *
 * Must not import `node:` or anything else, except types of `lock`.
 */

import type { LockTarget, StoreLock } from './lock/store-lock.js';

/** What tells one state of a file from another without reading it. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly byteLength: bigint;
  /** Nanoseconds since 1970, as fine as the file system keeps them. */
  readonly modifiedNs: bigint;
}

/** Whether both are the same file in the same state, as far as can be told without reading it. */
export function isSameState(a: FileIdentity, b: FileIdentity): boolean {
  return (
    a.device === b.device &&
    a.inode === b.inode &&
    a.byteLength === b.byteLength &&
    a.modifiedNs === b.modifiedNs
  );
}

/** What `stat` says of a file. */
export interface FileStatus extends FileIdentity {
  readonly isFile: boolean;
  readonly owner: number;
  readonly group: number;
}

/** An open file. Each has to be closed. */
export interface OpenFile {
  status(): Promise<FileStatus>;
  /** Reads at `position` into `target`; returns how many bytes, 0 at the end. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes `bytes` at `position`; returns how many were written, which may be fewer. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  setMode(mode: number): Promise<void>;
  setOwner(owner: number, group: number): Promise<void>;
  /** Waits until contents and metadata are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The calls. Symbolic links are followed, except where a name is made, moved or removed. */
export interface FileSystem {
  /** Opens for reading, without waiting for the other end of a FIFO. */
  openForReading(path: string): Promise<OpenFile>;
  /** Makes a new file for writing; fails with `EEXIST` where there is anything, a symbolic link too. */
  createExclusive(path: string, mode: number): Promise<OpenFile>;
  status(path: string): Promise<FileStatus>;
  /** Whether there is anything under this name itself, even a symbolic link to nowhere. */
  nameExists(path: string): Promise<boolean>;
  /** Fails unless this process may write to the file. */
  checkWritable(path: string): Promise<void>;
  /** Returns the path of the file that `path` leads to, free of symbolic links. */
  resolveLinks(path: string): Promise<string>;
  /** Replaces what is at `to`, if anything, in one step. */
  rename(from: string, to: string): Promise<void>;
  /**
   * Renames over `to` if that still is the file in the state that `expected` says, with as little time between
   * the look and the rename as the system allows; false if it is not.
   */
  renameIfUnchanged(from: string, to: string, expected: FileIdentity): Promise<boolean>;
  /** Gives the file a second name; fails with `EEXIST` where there is anything. */
  link(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Waits until the names in a folder are on the disk, where the system can do that for a folder. */
  syncFolder(path: string): Promise<void>;
  /** Returns the absolute form of a path, without asking the disk. */
  absolute(path: string): string;
  folderOf(path: string): string;
  join(folder: string, name: string): string;
  /** Missing where no other process uses the files: in a model. */
  readonly shared?: SharedFiles | undefined;
}

/** What it takes to get along with other processes. */
export interface SharedFiles {
  /** Returns a new handle of a lock, to be closed. */
  openLock(target: LockTarget): StoreLock;
  /** Returns the names in a folder. */
  list(folder: string): Promise<string[]>;
}
