/**
 * The lock of a store: one task at a time over all handles, threads and processes. The handles of one process take
 * turns in the order they asked; for all of them the lock of the system is taken, and kept for a moment when they
 * are done, so that the next task need not ask the system.
 */

import { cancelledError, StashIOError } from '../errors.js';
import { chooseLock } from './choose-lock.js';
import { FileLock } from './file-lock.js';
import type { LockMode } from './lock-options.js';
import { SocketLock } from './socket-lock.js';
import { pause, type SystemHold, type SystemLock } from './system-lock.js';

/** So many tasks may run on end before the process looks whether others wait. */
const maxRunsPerTurn = 64;

/** How long others who wait have to be first, in milliseconds, when this process has let go for their sake. */
const yieldMs = 2;

/** How long a task is to wait for its turn. */
export interface LockWaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds, from 1. */
  readonly timeoutMs: number;
}

/** A handle of a store's lock. */
export interface StoreLock {
  /**
   * Runs `task` while no other task does that holds the lock of this store, anywhere. May keep the lock for a moment
   * after it, unless another waits. A task that waits for another one of the same store waits in vain.
   * @throws {StashIOError} `locked` when the time is up before the task has begun; `lock-unavailable`; or as the system says.
   * @throws {StashError} `cancelled` while it waits. Once it runs, the task has to look itself.
   */
  run<Result>(task: () => Promise<Result>, options: LockWaitOptions): Promise<Result>;
  /**
   * Runs `task` if no other holds the lock.
   * @returns Its result, or `undefined` if the lock is held.
   * @throws {StashIOError} `lock-unavailable`, or as the system says.
   */
  tryRun<Result>(task: () => Promise<Result>): Promise<{ readonly result: Result } | undefined>;
  /**
   * Has to be called within a task, before it renames the file at `temporaryPath` over that of the store, if the task
   * does anything after that for which it needs the lock.
   * @throws {StashIOError} `lock-unavailable`, or as the system says; the file must not take the place then.
   */
  replacing(temporaryPath: string): Promise<void>;
  /** Gives up the handle, and the lock if it is kept unused. Tasks that wait or run are not disturbed. */
  close(): void;
}

/** Which lock. */
export interface LockTarget {
  readonly mode: LockMode;
  /** Where the file is, absolute and free of symbolic links. It has to exist when the lock is taken. */
  readonly path: string;
  /** Hexadecimal, at most 64 digits: the same for all who open this store, and for nobody else. Not secret. */
  readonly name: string;
}

interface Waiter {
  enter(): void;
  refuse(error: unknown): void;
}

/** The locks that have handles in this process. */
const locks = new Map<string, SharedLock>();

/**
 * Returns a new handle of a lock, to be closed. Asks nothing of the system until something is to run.
 */
export function openLock(target: LockTarget): StoreLock {
  // Same store, but another path or mode: they meet in the system.
  const id = `${target.mode} ${target.name} ${target.path}`;
  const shared: SharedLock =
    locks.get(id) ??
    new SharedLock(target, () => {
      if (locks.get(id) === shared) locks.delete(id);
    });
  locks.set(id, shared);
  shared.handles++;
  let open = true;
  return {
    run: (task, options) => shared.run(task, options),
    tryRun: (task) => shared.tryRun(task),
    replacing: (temporaryPath) => shared.replacing(temporaryPath),
    close: () => {
      if (open) shared.closeHandle();
      open = false;
    },
  };
}

class SharedLock {
  handles = 0;
  readonly #target: LockTarget;
  readonly #forget: () => void;
  readonly #waiters: Set<Waiter> = new Set();
  #system: SystemLock | undefined;
  #hold: SystemHold | undefined;
  /** Whether a task runs, or the lock of the system is being taken for one. */
  #busy = false;
  #runsInTurn = 0;
  #yieldedAt = -yieldMs;
  #idle: NodeJS.Timeout | undefined;
  /** Ends the waiting for the lock of the system when nobody wants it any more. */
  #taking: AbortController | undefined;

  constructor(target: LockTarget, forget: () => void) {
    this.#target = target;
    this.#forget = forget;
  }

  async run<Result>(task: () => Promise<Result>, options: LockWaitOptions): Promise<Result> {
    const { signal } = options;
    if (signal?.aborted === true) throw cancelledError(signal);
    const atOnce = !this.#busy && this.#hold !== undefined && this.#runsInTurn < maxRunsPerTurn;
    if (atOnce) this.#busy = true;
    else await this.#enter(options);
    return await this.#inside(task);
  }

  async tryRun<Result>(task: () => Promise<Result>): Promise<{ readonly result: Result } | undefined> {
    if (this.#busy) return undefined;
    this.#busy = true;
    try {
      this.#hold ??= await this.#take(AbortSignal.abort());
    } finally {
      if (this.#hold === undefined) void this.#serve();
    }
    return this.#hold === undefined ? undefined : { result: await this.#inside(task) };
  }

  async replacing(temporaryPath: string): Promise<void> {
    await this.#hold?.replacing?.(temporaryPath);
  }

  closeHandle(): void {
    this.handles--;
    if (!this.#busy) this.#rest();
  }

  async #inside<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#runsInTurn++;
    try {
      return await task();
    } finally {
      // Only where the lock is one of a file that the task may have replaced.
      const settled = this.#hold?.settle === undefined || (await this.#hold.settle().catch(() => false));
      if (!settled) this.#release();
      else if (this.#hold?.wanted === true) {
        this.#release();
        this.#yieldedAt = performance.now();
      }
      if (this.#waiters.size === 0) this.#rest();
      else void this.#serve();
    }
  }

  /** Waits until the lock is held for the caller. */
  async #enter({ signal, timeoutMs }: LockWaitOptions): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
      };
      const refuse = (error: unknown): void => {
        leave();
        if (this.#waiters.size === 0) this.#taking?.abort();
        reject(error);
      };
      const enter = (): void => {
        leave();
        resolve();
      };
      const onAbort = (): void => refuse(cancelledError(signal as AbortSignal));
      const timer = setTimeout(() => {
        const message = `other writers held the lock of the stash for ${timeoutMs} ms`;
        refuse(new StashIOError('locked', message, { path: this.#target.path, operation: 'lock' }));
      }, timeoutMs);
      const waiter = { enter, refuse };
      signal?.addEventListener('abort', onAbort);
      this.#waiters.add(waiter);
      if (!this.#busy) void this.#serve();
    });
  }

  /** Lets the first of those who wait in, as soon as the lock of the system is held. */
  async #serve(): Promise<void> {
    this.#busy = true;
    while (this.#waiters.size > 0) {
      this.#taking = new AbortController();
      const { signal } = this.#taking;
      let failure: { error: unknown } | undefined;
      try {
        // Who waits in another process is seen only when the event loop gets to it.
        if (this.#runsInTurn >= maxRunsPerTurn) await new Promise(setImmediate);
        this.#runsInTurn %= maxRunsPerTurn;
        const yieldedMs = performance.now() - this.#yieldedAt;
        if (yieldedMs < yieldMs) await pause(yieldMs - yieldedMs, signal);
        this.#hold ??= await this.#take(signal);
      } catch (error) {
        failure = { error };
      }
      this.#taking = undefined;
      const [first] = this.#waiters;
      if (first === undefined) break;
      if (failure !== undefined) first.refuse(failure.error);
      else if (this.#hold !== undefined) {
        first.enter();
        return;
      }
    }
    this.#rest();
  }

  async #take(signal: AbortSignal): Promise<SystemHold | undefined> {
    const { path, name, mode } = this.#target;
    const onWanted = (): void => {
      if (!this.#busy) this.#release();
    };
    if (this.#system === undefined) {
      const kind = mode === 'auto' ? await chooseLock(path) : mode;
      this.#system = kind === 'socket' ? new SocketLock(path, `secretbus-${name}`) : new FileLock(path);
    }
    try {
      return await this.#system.take(signal, onWanted);
    } catch (error) {
      const forbidden = error instanceof StashIOError && error.code === 'lock-unavailable';
      if (!forbidden || mode !== 'auto' || this.#system instanceof FileLock) throw error;
      this.#system = new FileLock(path);
      return await this.#system.take(signal, onWanted);
    }
  }

  /** Nothing runs or waits: the lock is kept for a moment, or let go of where no handle is left. */
  #rest(): void {
    this.#busy = false;
    if (this.handles === 0 || this.#hold?.wanted === true) this.#release();
    this.#idle ??= setTimeout(() => {
      if (this.#busy) return;
      this.#release();
      // Not before: a next handle has to know that others are to be first.
      if (this.handles === 0) this.#forget();
    }, this.#system?.idleMs ?? 0).unref();
    this.#idle.refresh();
  }

  #release(): void {
    this.#hold?.release();
    this.#hold = undefined;
  }
}
