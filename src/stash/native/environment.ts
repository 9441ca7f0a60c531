/**
 * What native stores stand on: the machine's files and locks.
 */

import { type LockTarget, openLock, type StoreLock } from '../lock/store-lock.js';
import type { LogFileSystem } from './log-file.js';
import { nodeLogFileSystem } from './node-log-file.js';

/** What a store stands on; tests put others in its place. */
export interface Environment {
  readonly fileSystem: LogFileSystem;
  openLock(target: LockTarget): StoreLock;
}

/** The machine's own. */
export const nodeEnvironment: Environment = { fileSystem: nodeLogFileSystem, openLock };
