/**
 * A lock on the file itself, of the kind of flock(2): it belongs to a descriptor of ours, and the system frees
 * it when that is closed, at the latest with the process. It reaches as far as the file system takes it: into other
 * containers and, on some network file systems, to other machines.
 *
 * Node cannot ask for it. On macOS and the BSDs opening can; elsewhere the program `flock` does, on the
 * descriptor that it inherits, 5 ms each time. Who holds the lock cannot see who waits, so that it is let go
 * of after a while for their sake. No child process but that one inherits the descriptor; it ends when it has the lock.
 */

import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { attempt, systemCodeOf } from '../file-image.js';
import { lockError, pause, type SystemHold, type SystemLock, unavailable } from './system-lock.js';

/** How long the lock is kept while it is used, in milliseconds. */
const turnMs = 250;

const longestPauseMs = 50;

/** Opening for writing, as NFS gives an exclusive lock to nobody else. */
const openFlags = constants.O_RDWR | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** `O_EXLOCK`, where opening can lock. Node does not name it. */
const openLocking = /^(?:darwin|freebsd|openbsd|netbsd|dragonfly)$/.test(process.platform) ? 0x20 : 0;

/** Codes that say that the program, or the kind of lock, is not there. */
const missing: ReadonlySet<string> = new Set([
  'ENOENT',
  'EACCES',
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'ENOLCK',
  'ERR_ACCESS_DENIED',
]);

const advice =
  'it takes the program flock to lock this stash: install util-linux or busybox, or see the option lock';

async function isSameFile(file: fs.FileHandle, path: string): Promise<boolean> {
  let there: fs.FileHandle | undefined;
  try {
    // Opened anew and not by `stat`: a network file system may answer that from what it remembers.
    there = await fs.open(path, openFlags);
    const [a, b] = [await file.stat({ bigint: true }), await there.stat({ bigint: true })];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  } finally {
    closeSoon(there);
  }
}

function closeSoon(file: fs.FileHandle | undefined): void {
  void file?.close().catch(() => undefined);
}

class FileHold implements SystemHold {
  readonly #path: string;
  #file: fs.FileHandle;
  #next: fs.FileHandle | undefined;
  readonly #until: number = performance.now() + turnMs;

  constructor(path: string, file: fs.FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  get wanted(): boolean {
    return performance.now() > this.#until;
  }

  async replacing(temporaryPath: string): Promise<void> {
    closeSoon(this.#next);
    this.#next = await openLocked(temporaryPath, AbortSignal.abort());
    if (this.#next === undefined)
      throw unavailable(this.#path, 'the file that is to replace the stash is locked');
  }

  async settle(): Promise<boolean> {
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined && (await isSameFile(next, this.#path))) {
      closeSoon(this.#file);
      this.#file = next;
      return true;
    }
    closeSoon(next);
    return await isSameFile(this.#file, this.#path);
  }

  release(): void {
    closeSoon(this.#file);
    closeSoon(this.#next);
  }
}

/** The lock of the file at `path`, whichever file that is. */
export class FileLock implements SystemLock {
  readonly idleMs = 50;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async take(signal: AbortSignal): Promise<SystemHold | undefined> {
    for (let attempts = 0; ; attempts++) {
      const file = await openLocked(this.#path, signal);
      // What was waited for may have been replaced meanwhile.
      if (file !== undefined && (await isSameFile(file, this.#path))) return new FileHold(this.#path, file);
      closeSoon(file);
      if (file !== undefined) continue;
      if (signal.aborted) return undefined;
      await pause(Math.min(longestPauseMs, 2 ** attempts), signal);
    }
  }
}

/** Opens and locks a file; `undefined` if others hold it, after waiting for it or, where that cannot be, at once. */
async function openLocked(path: string, signal: AbortSignal): Promise<fs.FileHandle | undefined> {
  if (openLocking !== 0) {
    try {
      return await fs.open(path, openFlags | openLocking);
    } catch (error) {
      if (systemCodeOf(error) === 'EAGAIN') return undefined;
      throw lockError(path, error, new Set(['ENOTSUP', 'EOPNOTSUPP']), 'this file system knows no locks');
    }
  }
  if (process.platform === 'win32') throw unavailable(path, 'Windows has no lock of this kind');
  const file = await attempt(path, 'lock', fs.open(path, openFlags));
  let locked = false;
  try {
    locked = await runFlock(path, file.fd, signal);
  } finally {
    // Also what a killed program had got at the last moment goes with our descriptor.
    if (!locked) closeSoon(file);
  }
  return locked ? file : undefined;
}

/** Locks what the descriptor leads to; false if others hold it, until the signal is aborted. */
async function runFlock(path: string, descriptor: number, signal: AbortSignal): Promise<boolean> {
  return await new Promise<boolean>((resolve, reject) => {
    const options = signal.aborted ? '-xn' : '-x';
    let said = '';
    const fail = (cause: unknown): void => reject(lockError(path, cause, missing, advice));
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn('flock', [options, '3'], {
        env: { PATH: process.env['PATH'] },
        stdio: ['ignore', 'ignore', 'pipe', descriptor],
      });
    } catch (error) {
      fail(error);
      return;
    }
    const onAbort = (): void => {
      child.kill('SIGKILL');
      resolve(false);
    };
    signal.addEventListener('abort', onAbort);
    child.stderr?.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(0, 200);
    });
    child.on('error', fail);
    child.on('close', (code) => {
      signal.removeEventListener('abort', onAbort);
      // Some versions end with 1 for everything, but only errors are said.
      if (code === 0) resolve(true);
      else if (code === 1 && said === '') resolve(false);
      else
        reject(unavailable(path, 'the file system or the program flock refused the lock', new Error(said)));
    });
  });
}
