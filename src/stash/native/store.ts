/**
 * A native store under its path: opens its file, notices what others do to it, and lets changes be made under the lock.
 *
 * Not for concurrent use: the handle above lets one operation in at a time.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { hexText } from '../bytes.js';
import { settleFolder } from '../durable-file.js';
import { StashError, StashIOError } from '../errors.js';
import { attempt, toIOError } from '../file-image.js';
import type { StoreLock } from '../lock/store-lock.js';
import type { Credential } from './credentials.js';
import { changedKeys } from './differences.js';
import type { Environment } from './environment.js';
import type { ReadOptions } from './frame-reader.js';
import { checkHeader, type Position, type ReadHeader } from './header-page.js';
import { type HeaderChange, writeHeader } from './header-writer.js';
import { LoadedLog, readHeader, type TornTail } from './loaded-log.js';
import { isSameFile, type LogFile, type LogStatus } from './log-file.js';
import { replaceSlot } from './slot-changes.js';
import { isWeaker, makeSlot, type Slot } from './slots.js';
import type { CheckedStashOptions } from './stash-options.js';
import { isKeyOf, requireSuccessor } from './succession.js';
import { type Opened, openWithSecret } from './unlock.js';

/** A store, open. Holds the file, the keys and the values. */
export class NativeStore {
  readonly environment: Environment;
  /** Absolute. */
  readonly path: string;
  readonly options: CheckedStashOptions;
  credential: Credential;
  /** What was found behind the last whole frame when the store was opened. */
  recovered: TornTail | undefined;
  /** Gets the keys that others have changed. */
  onChanged: ((keys: string[][]) => void) | undefined;
  /** The slot that opened the store, by its id. */
  slotId: Uint8Array = new Uint8Array();
  #upgrade: { readonly old: Slot; readonly slot: Slot } | undefined;
  #log: LoadedLog | undefined;
  #lock: StoreLock | undefined;
  #poison: { readonly cause: unknown } | undefined;
  /** An error came in the middle of reading: the tree is to be read from the beginning. */
  #stale = false;
  /** The file whose name is known to be on the disk. */
  #settled: LoadedLog | undefined;

  constructor(environment: Environment, path: string, options: CheckedStashOptions, credential: Credential) {
    this.environment = environment;
    this.path = path;
    this.options = options;
    this.credential = credential;
  }

  /** The file as of the last look. */
  get log(): LoadedLog {
    if (this.#log === undefined) throw new StashError('closed', 'the stash is closed');
    return this.#log;
  }

  /** How long the file is, as far as that can be told. */
  get byteLengthNow(): number {
    try {
      return this.environment.fileSystem.statusNow(this.path).byteLength;
    } catch {
      return 0;
    }
  }

  get storeId(): Uint8Array {
    return this.log.header.storeId;
  }

  /**
   * Opens the file for the first time.
   * @param created - What opens it, if it has just been made; wiped.
   * @throws {StashError} as `Stash.open`.
   */
  async open(read: ReadOptions, created?: Opened): Promise<void> {
    const { atLeast } = this.options;
    try {
      this.#log = await this.#load(this.#openFile(), read, async (header) => {
        if (atLeast !== undefined) requireSuccessor(header, atLeast);
        if (created === undefined || !isKeyOf(header, created.dataKey))
          return await this.#unlock(header, read.signal);
        this.slotId = created.slot.id;
        return created.dataKey.slice();
      });
    } finally {
      created?.dataKey.fill(0);
    }
    this.recovered = this.#log.tornTail;
    const name = hexText(this.storeId);
    const path = await attempt(this.path, 'resolve', this.environment.fileSystem.resolveLinks(this.path));
    this.#lock = this.environment.openLock({ mode: this.options.lock, path, name });
  }

  #openFile(): LogFile {
    try {
      return this.environment.fileSystem.openLog(this.path, this.options.readOnly ? 'read' : 'append');
    } catch (error) {
      throw toIOError(this.path, 'open', error);
    }
  }

  async #load(
    file: LogFile,
    read: ReadOptions,
    unlock: (header: ReadHeader) => Promise<Uint8Array>,
    atLeast: Position | undefined = this.options.atLeast,
  ): Promise<LoadedLog> {
    return await LoadedLog.load(file, { ...read, path: this.path, unlock, atLeast });
  }

  async #unlock(header: ReadHeader, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { limits, onProgress } = this.options;
    const { derivation, upgrade, readOnly } = this.options;
    const progress = { signal, onProgress };
    const { dataKey: found } = await openWithSecret(
      header,
      this.credential,
      limits,
      progress,
      async ({ dataKey, slot }, secret) => {
        this.slotId = slot.id;
        if (!upgrade || readOnly || this.#log !== undefined || !isWeaker(slot, derivation)) return;
        const { label } = slot;
        // While the secret is at hand: a function would be asked twice.
        this.#upgrade = {
          old: slot,
          slot: await makeSlot(dataKey, header.storeId, secret, { derivation, label }, progress),
        };
      },
    );
    return found;
  }

  /** Puts a slot of a stronger derivation in the place of the one that opened the store, if nobody holds the lock. */
  async upgradeSlot(): Promise<void> {
    const upgrade = this.#upgrade;
    this.#upgrade = undefined;
    if (upgrade === undefined) return;
    const { old, slot } = upgrade;
    try {
      await this.tryExclusively(async () => {
        await this.writeHeader(({ slots }) => ({ slots: replaceSlot(slots, old, slot) }));
        this.slotId = slot.id;
      });
    } catch (error) {
      // The secret opens the store all the same: others may have changed the slot meanwhile, or there is no lock.
      if (this.isPoisoned) throw error;
    }
  }

  /** The data key of a header, the receiver's to wipe; without a derivation if it still is the one we have. */
  async unlockAgain(header: ReadHeader, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { dataKey } = this.log;
    return isKeyOf(header, dataKey) ? dataKey.slice() : await this.#unlock(header, signal);
  }

  /**
   * Whether nobody has changed the file since it was looked at: what there is in memory is right.
   * @throws {StashIOError} `not-found` if the file is gone, or any other code.
   */
  get isCurrent(): boolean {
    return !this.#stale && this.log.isCurrent(this.#look());
  }

  #look(): LogStatus {
    try {
      return this.environment.fileSystem.statusNow(this.path);
    } catch (error) {
      throw toIOError(this.path, 'stat', error);
    }
  }

  /**
   * Reads what others have changed.
   * @throws {StashCorruptError} any code; `rolled-back` if the file has been replaced by an older one.
   * @throws {StashError} as `Stash.open`.
   */
  async refresh(signal?: AbortSignal): Promise<void> {
    this.assertSound();
    const log = this.log;
    const status = this.#look();
    if (!this.#stale && log.isCurrent(status)) return;
    if (!this.#stale && isSameFile(status, log.status)) {
      const changed: string[][] | undefined = this.onChanged && [];
      this.#stale = true;
      await log.catchUp({ signal }, changed);
      this.#stale = false;
      if (changed !== undefined && changed.length > 0) this.onChanged?.(changed);
      return;
    }
    await this.#reload(log, signal);
  }

  async #reload(old: LoadedLog, signal: AbortSignal | undefined): Promise<void> {
    const { storeId, epoch } = old.header;
    const { sequence, tag } = old.position;
    // In the same epoch it is a copy of the file, which must have come as far; in a later one the base says so.
    const successor = { storeId, epoch, sequence, tag };
    const file = this.#openFile();
    const log = await this.#load(
      file,
      { signal },
      async (header) => {
        requireSuccessor(header, successor);
        return await this.unlockAgain(header, signal);
      },
      successor,
    );
    let changed: string[][] = [];
    try {
      if (this.onChanged !== undefined) changed = await changedKeys(old, log, { signal });
    } catch (error) {
      log.release();
      throw error;
    }
    this.adopt(log);
    if (changed.length > 0) this.onChanged?.(changed);
  }

  /** Puts another file in the place of the one that was open. */
  adopt(log: LoadedLog): void {
    const old = this.log;
    this.#log = log;
    this.#stale = false;
    old.release();
  }

  /** Whether another file has been put under the path. */
  get isReplaced(): boolean {
    return !isSameFile(this.#look(), this.log.status);
  }

  get isPoisoned(): boolean {
    return this.#poison !== undefined;
  }

  /** @throws {StashError} `poisoned`. */
  assertSound(): void {
    if (this.#poison === undefined) return;
    const message = 'a sync of the stash failed: what is on the disk is not known; open it anew';
    throw new StashError('poisoned', message, this.#poison);
  }

  /** Ends the use of this handle: nobody knows what is on the disk. */
  poison(cause: unknown): void {
    this.#poison ??= { cause };
  }

  /**
   * Runs a change while no other process changes the store, on the newest state, with no torn tail behind it.
   * @throws {StashIOError} `locked`, `lock-unavailable` or as the system says.
   * @throws {StashError} `read-only`, `poisoned`, `cancelled`, and as `refresh`.
   */
  async exclusively<Result>(task: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    return await this.#writableLock().run(() => this.#prepared(task, signal), {
      signal,
      timeoutMs: this.options.lockTimeoutMs,
    });
  }

  /** As `exclusively`, but gives up at once, with undefined, where another holds the lock. */
  async tryExclusively<Result>(
    task: () => Promise<Result>,
  ): Promise<{ readonly result: Result } | undefined> {
    return await this.#writableLock().tryRun(() => this.#prepared(task, undefined));
  }

  /** @throws {StashError} `read-only`, `poisoned` or `closed`. */
  assertWritable(): void {
    this.#writableLock();
  }

  #writableLock(): StoreLock {
    this.assertSound();
    if (this.options.readOnly) throw new StashError('read-only', 'the stash was opened for reading only');
    if (this.#lock === undefined) throw new StashError('closed', 'the stash is closed');
    return this.#lock;
  }

  async #prepared<Result>(task: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    await this.refresh(signal);
    if (this.log.tornTail !== undefined) await this.#cutTail(this.log);
    if (this.#settled !== this.log) {
      const { fileSystem } = this.environment;
      await settleFolder(fileSystem, this.path, (cause) => this.notDurable(cause));
      this.#settled = this.log;
    }
    return await task();
  }

  /** Takes away what a crash has left. It was never acknowledged. */
  async #cutTail(log: LoadedLog): Promise<void> {
    try {
      log.file.truncate(log.position.end);
    } catch (error) {
      throw toIOError(this.path, 'truncate', error);
    }
    // Before anything is written: the tail must not come back behind it.
    await this.sync(log);
    await log.catchUp({});
  }

  /** Has to be called before a file is renamed over the store's, within a change. */
  async replacing(temporaryPath: string): Promise<void> {
    await this.#lock?.replacing(temporaryPath);
  }

  /**
   * Waits until all frames are on the disk.
   * @throws {StashIOError} `not-durable`; the handle is poisoned.
   */
  async sync(log: LoadedLog, file: LogFile = log.file): Promise<void> {
    try {
      await file.dataSync();
    } catch (cause) {
      // What the kernel could not write it may have dropped, and a second attempt would succeed.
      throw this.notDurable(cause);
    }
    log.position = { ...log.position, synced: log.position.sequence };
  }

  /** Poisons the handle, and returns the error that says why. */
  notDurable(cause: unknown): StashIOError {
    this.poison(cause);
    const { systemCode } = toIOError(this.path, 'sync', cause);
    const fields = { path: this.path, operation: 'sync', cause, ...(systemCode && { systemCode }) };
    const message = 'the stash failed to sync: nobody knows what is on the disk';
    return new StashIOError('not-durable', message, fields);
  }

  /**
   * Returns the header as the file has it: others may have changed the slots since it was read.
   * @throws {StashCorruptError} `damaged-header`.
   * @throws {StashIOError} any code.
   */
  freshHeader(file: LogFile = this.log.file): ReadHeader {
    const { log } = this;
    log.header = readHeader(file, this.path);
    checkHeader(log.header, log.headerKey);
    return log.header;
  }

  /**
   * Writes both header pages, under the lock.
   * @throws {StashIOError} any code. After an error one page at least is whole.
   */
  async writeHeader(change: HeaderChange): Promise<void> {
    await writeHeader(this, change);
  }

  /** Opens the store with another secret from now on, should it be rekeyed. */
  useCredential(credential: Credential, slot: Slot): void {
    this.credential.wipe();
    this.credential = credential;
    this.slotId = slot.id;
  }

  /** Closes the file and the lock, and overwrites keys, passwords and values. */
  release(): void {
    this.#lock?.close();
    this.#lock = undefined;
    this.credential.wipe();
    this.#log?.release();
    this.#log = undefined;
  }
}
