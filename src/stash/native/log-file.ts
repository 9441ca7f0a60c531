/**
 * What the native store needs of a file beyond {@link FileSystem}: short calls that do not wait for a thread, since one
 * of them costs a microsecond and a promise from the thread pool twenty. Every method throws the system's error.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import type { FileSystem } from '../file-system.js';

/** Where a file is and how long, without the rest. */
export interface LogStatus {
  readonly device: number;
  readonly inode: number;
  readonly byteLength: number;
  /** Milliseconds, with a fraction where the file system has one. */
  readonly modifiedMs: number;
}

/** How a file is opened: to read, to read and append, or to write at places. */
export type LogAccess = 'read' | 'append' | 'write';

/** An open file of frames. Each has to be closed. */
export interface LogFile {
  /** For the system's `flock`. */
  readonly descriptor: number;
  status(): LogStatus;
  /** Reads at `position` into `target`; returns how many bytes, 0 at the end. */
  read(target: Uint8Array, position: number): number;
  /** Writes at the end of the file, wherever that is now, in one call; returns how many bytes, which may be fewer. */
  append(bytes: Uint8Array): number;
  /** Writes at `position`; returns how many bytes, which may be fewer. Only with access `write`. */
  write(bytes: Uint8Array, position: number): number;
  truncate(byteLength: number): void;
  /** Waits until contents and length are on the disk. */
  dataSync(): Promise<void>;
  close(): void;
}

/** Files as the native store needs them. */
export interface LogFileSystem extends FileSystem {
  /** Opens a regular file that is there. */
  openLog(path: string, access: LogAccess): LogFile;
  /** The status of the file that the path leads to. */
  statusNow(path: string): LogStatus;
}

/** Closes a file, if there is one, by which nothing was written that an error could still concern. */
export function closeQuietly(file: LogFile | undefined): void {
  try {
    file?.close();
  } catch {
    // The descriptor is gone all the same.
  }
}

/** Whether both are the same file. */
export function isSameFile(a: LogStatus, b: LogStatus): boolean {
  return a.inode === b.inode && a.device === b.device;
}
