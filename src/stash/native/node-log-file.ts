/**
 * The files of the machine as the native store needs them, by `node:fs`.
 */

import * as fs from 'node:fs';
import { nodeFileSystem } from '../node-file-system.js';
import type { LogAccess, LogFile, LogFileSystem, LogStatus } from './log-file.js';

const { constants } = fs;

// O_NONBLOCK: a FIFO must not wait for its other end before it is refused.
const common = (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);
const flags: Readonly<Record<LogAccess, number>> = {
  read: constants.O_RDONLY | common,
  append: constants.O_RDWR | constants.O_APPEND | common,
  write: constants.O_RDWR | common,
};

function statusOf(stats: fs.Stats): LogStatus {
  return { device: stats.dev, inode: stats.ino, byteLength: stats.size, modifiedMs: stats.mtimeMs };
}

function requireFile(stats: fs.Stats): void {
  if (!stats.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'ENXIO' });
}

class NodeLogFile implements LogFile {
  readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  status(): LogStatus {
    return statusOf(fs.fstatSync(this.descriptor));
  }

  read(target: Uint8Array, position: number): number {
    return fs.readSync(this.descriptor, target, 0, target.length, position);
  }

  append(bytes: Uint8Array): number {
    return fs.writeSync(this.descriptor, bytes);
  }

  write(bytes: Uint8Array, position: number): number {
    return fs.writeSync(this.descriptor, bytes, 0, bytes.length, position);
  }

  truncate(byteLength: number): void {
    fs.ftruncateSync(this.descriptor, byteLength);
  }

  dataSync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.descriptor, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    fs.closeSync(this.descriptor);
  }
}

/** The machine's own files. */
export const nodeLogFileSystem: LogFileSystem = {
  ...nodeFileSystem,
  openLog(path: string, access: LogAccess): LogFile {
    // Before opening: the mere opening of a device may do something.
    requireFile(fs.statSync(path));
    const descriptor = fs.openSync(path, flags[access]);
    try {
      requireFile(fs.fstatSync(descriptor));
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
    return new NodeLogFile(descriptor);
  },
  statusNow: (path) => statusOf(fs.statSync(path)),
};
