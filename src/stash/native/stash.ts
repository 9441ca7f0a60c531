/**
 * A handle on a native stash (docs/stash-format.md). Reading takes no lock: each operation looks whether the file has
 * grown or been replaced, and reads what is new. Changes are made one process at a time, each a frame at the end.
 */

import { hexText } from '../bytes.js';
import { StashKeyError } from '../errors.js';
import { parseKey, type StashKey } from '../key.js';
import {
  type OperationOptions,
  type PasswordSource,
  parsePath,
  parseRecursive,
  parseSignal,
  type RemoveOptions,
} from '../options.js';
import type { StashOperation } from '../sstash/batch.js';
import type { StashEntry, StashNode } from '../sstash/entries.js';
import { writeDirectory, writeFile } from '../transfer/into-stash.js';
import { nodeFiles } from '../transfer/node-files.js';
import type {
  ReadFileOptions,
  TransferSummary,
  WriteDirectoryOptions,
  WriteFileOptions,
} from '../transfer/options.js';
import { readDirectory, readFile } from '../transfer/out-of-stash.js';
import { findNode } from './changes.js';
import { Credential, type CredentialOptions } from './credentials.js';
import { nodeEnvironment } from './environment.js';
import type { TornTail } from './loaded-log.js';
import {
  type MaintenanceOptions,
  parseRekeyOptions,
  type RekeyOptions,
  readOptions,
  rekeyStore,
  type SalvageReport,
  salvageStore,
  type VerifyReport,
  verifyStore,
} from './maintenance.js';
import { NodeIterator } from './node-iterator.js';
import { openStore } from './open-store.js';
import { OperationQueue } from './operation-queue.js';
import { replaceStore } from './replacement.js';
import {
  type AddSlotOptions,
  addSlot,
  type ChangePasswordOptions,
  changePassword,
  listSlots,
  removeSlot,
  type StashSlot,
} from './slot-changes.js';
import {
  parseProgressOptions,
  parseStashOptions,
  type StashAnchor,
  type StashOptions,
} from './stash-options.js';
import type { NativeStore } from './store.js';
import { ChangeFeeds, type StashChange } from './watch.js';

/**
 * An open native stash: a tree of values in one encrypted file.
 *
 * Operations of one handle take effect in the order they were called; keys and values are copied at the call. Each
 * looks at the file first, and fails if it is gone, damaged, older than it was, or of another key: never is it taken for
 * empty. Unless `durability` says otherwise, a change has reached the disk before its promise resolves.
 */
export class Stash {
  readonly #store: NativeStore;
  readonly #operations: OperationQueue;
  readonly #feeds: ChangeFeeds = new ChangeFeeds();

  /** Use {@link Stash.open}. */
  constructor(store: NativeStore) {
    this.#store = store;
    this.#operations = new OperationQueue(store);
  }

  /**
   * Opens a native stash.
   *
   * A symbolic link is followed. A file that is made has mode 0600.
   * @param path - Made absolute at once.
   * @throws {StashIOError} any code; `not-found` if there is no file and `create` is not set.
   * @throws {StashFormatError} `not-a-stash` or `unsupported-version`.
   * @throws {StashCorruptError} any code.
   * @throws {StashCryptoError} `wrong-password`, `wrong-key`, `derivation-too-costly` or `derivation-failed`.
   * @throws {StashValueError} `bad-option`, `bad-password` or `password-failed`.
   * @throws {StashError} `cancelled`.
   */
  static async open(path: string, options: StashOptions): Promise<Stash> {
    return new Stash(await openStore(nodeEnvironment, path, options));
  }

  /**
   * Writes what can be read of a damaged file into a new one, a stash with the same keys. The old file stays as it is.
   * @param target - Where the new file is made; nothing may be there.
   * @throws {StashIOError} `already-exists`, or any other code.
   * @throws {StashError} as `open`, but not for damaged frames.
   */
  static async salvage(path: string, target: string, options: StashOptions): Promise<SalvageReport> {
    const { fileSystem } = nodeEnvironment;
    const checked = parseStashOptions(options);
    const [from, to] = [fileSystem.absolute(parsePath(path)), fileSystem.absolute(parsePath(target))];
    const credential = new Credential(options);
    try {
      return await salvageStore(nodeEnvironment, from, to, credential, checked);
    } finally {
      credential.wipe();
    }
  }

  /** The file, absolute. */
  get path(): string {
    return this.#store.path;
  }

  get readOnly(): boolean {
    return this.#store.options.readOnly;
  }

  /** What a crash, or a write that was going on, had left at the end of the file when it was opened. */
  get recovered(): TornTail | undefined {
    return this.#store.recovered;
  }

  /**
   * Returns the value of `key`, a copy that belongs to the caller.
   * @throws {StashKeyError} `bad-key`, `empty-key`, `key-not-found` or `no-value`.
   * @throws {StashCorruptError} `damaged-frame` for a large value.
   * @throws {StashError} as every operation: `closed`, `cancelled`, `poisoned`, and what opening the file throws.
   */
  async read(key: StashKey, options?: OperationOptions): Promise<Uint8Array> {
    const path = parseKey(key);
    if (path.length === 0) throw new StashKeyError('empty-key', 'the empty key has no value', { key: path });
    const signal = parseSignal(options);
    if (this.#operations.isCurrent(signal)) {
      const { source, start, end } = this.#store.log.tree.find(path);
      if (source instanceof Uint8Array) return source.slice(start, end);
    }
    return await this.#operations.exclusive(signal, async () => {
      const { log } = this.#store;
      const value = await log.readValue(log.tree.find(path), { signal });
      if (value !== undefined) return value;
      throw new StashKeyError('no-value', 'the key has no value', { key: path });
    });
  }

  /** Whether `key` has a value. A key that only has children has none. Throws as `read`, but not for the key. */
  async has(key: StashKey, options?: OperationOptions): Promise<boolean> {
    const path = parseKey(key);
    return await this.#operations.query(
      (tree) => findNode(tree, path)?.source !== undefined,
      parseSignal(options),
    );
  }

  /**
   * Returns the names directly below `key` in order; `[]` is the top.
   * @throws {StashKeyError} `bad-key` or `key-not-found`.
   * @throws {StashError} as every operation.
   */
  async children(key: StashKey, options?: OperationOptions): Promise<string[]> {
    const path = parseKey(key);
    return await this.#operations.query(
      (tree) => [...(tree.find(path).children?.keys() ?? [])],
      parseSignal(options),
    );
  }

  /**
   * Goes through all keys that have values, in order, a key before those below it, as they are when the first is asked for;
   * large values as they are when their turn comes.
   */
  entries(options?: OperationOptions): AsyncIterableIterator<StashEntry> {
    return this.#iterate([], true, options) as AsyncIterableIterator<StashEntry>;
  }

  /**
   * Goes through `key`, unless that is `[]`, and all keys below it, those without a value too, otherwise as `entries`.
   * The first `next()` throws `bad-key` or `key-not-found`.
   */
  nodes(key: StashKey, options?: OperationOptions): AsyncIterableIterator<StashNode> {
    return this.#iterate(parseKey(key), false, options);
  }

  #iterate(key: string[], onlyValues: boolean, options: OperationOptions | undefined): NodeIterator {
    const signal = parseSignal(options);
    return new NodeIterator({
      key,
      onlyValues,
      tree: (use) => this.#operations.query(use, signal),
      read: (path) => this.read(path, options),
      assertOpen: () => this.#operations.assertOpen(),
    });
  }

  /**
   * Sets the value of `key`, making the levels above it as needed. A new key comes last, an old one stays where it is.
   * @throws {StashKeyError} `bad-key`, `empty-key`, or `key-too-deep` beyond 64 levels.
   * @throws {StashValueError} `bad-value`, `bad-option` or `store-too-large`.
   * @throws {StashIOError} `locked`, `lock-unavailable` or any other code. After `not-durable` nobody knows whether the change
   * survives, and the handle is poisoned; after any other error it is not made.
   * @throws {StashError} `read-only`, and as every operation.
   */
  async write(key: StashKey, value: Uint8Array, options?: OperationOptions): Promise<void> {
    await this.#operations.change([{ type: 'write', key, value }], options, true);
  }

  /**
   * Removes `key` and, unless `recursive` is `false`, everything below it; `[]` empties the stash.
   * @returns The value of `key`, or `undefined` if it had none.
   * @throws {StashKeyError} `bad-key`, `key-not-found`, or `has-children` if `recursive` is `false`.
   * @throws {StashError} as `write`.
   */
  async remove(key: StashKey, options?: RemoveOptions): Promise<Uint8Array | undefined> {
    const recursive = parseRecursive(options);
    const [removed] = await this.#operations.change([{ type: 'remove', key, recursive }], options, true);
    return removed;
  }

  /**
   * Makes several changes in order, all of them or none.
   * @returns For each operation what it would have returned alone.
   * @throws {StashError} as `write` and `remove`; `operationIndex` tells which operation was at fault.
   */
  async batch(
    operations: readonly StashOperation[],
    options?: OperationOptions,
  ): Promise<(Uint8Array | undefined)[]> {
    return await this.#operations.change(operations, options, false);
  }

  /** Stores the contents of a regular file as the value of `key`. A symbolic link is followed. Throws as `SecureStash.writeFile`. */
  async writeFile(key: StashKey, path: string, options?: WriteFileOptions): Promise<TransferSummary> {
    return await writeFile(nodeFiles, this, key, path, options);
  }

  /** Writes the value of `key` to a file of mode 0600. Throws as `SecureStash.readFile`. */
  async readFile(key: StashKey, path: string, options?: ReadFileOptions): Promise<TransferSummary> {
    return await readFile(nodeFiles, this, key, path, options);
  }

  /** Stores every regular file below a folder, in one change. Throws as `SecureStash.writeDirectory`. */
  async writeDirectory(
    key: StashKey,
    path: string,
    options?: WriteDirectoryOptions,
  ): Promise<TransferSummary> {
    return await writeDirectory(nodeFiles, this, key, path, options);
  }

  /** Writes everything below `key` into a folder. Throws as `SecureStash.readDirectory`. */
  async readDirectory(key: StashKey, path: string, options?: ReadFileOptions): Promise<TransferSummary> {
    return await readDirectory(nodeFiles, this, key, path, options);
  }

  /** Returns what opens the stash. */
  async slots(): Promise<StashSlot[]> {
    return await this.#operations.exclusive(undefined, async () => listSlots(this.#store));
  }

  /**
   * Lets another password, key or recovery key open the stash.
   * @returns The id of the new slot.
   * @throws {StashValueError} `slots-full`, `bad-option`, `bad-password` or `password-failed`.
   * @throws {StashError} as `write`.
   */
  async addSlot(credential: CredentialOptions, options: AddSlotOptions = {}): Promise<string> {
    const { signal } = parseProgressOptions(options);
    const given = new Credential(credential);
    try {
      return await this.#operations.exclusive(signal, () => addSlot(this.#store, given, options));
    } finally {
      given.wipe();
    }
  }

  /**
   * Takes a slot away. Who has an older copy of the file can still open that; see `rekey`.
   * @throws {StashValueError} `no-such-slot` or `last-slot`.
   * @throws {StashError} as `write`.
   */
  async removeSlot(id: string, options?: OperationOptions): Promise<void> {
    const signal = parseSignal(options);
    await this.#operations.exclusive(signal, () => removeSlot(this.#store, id, signal));
  }

  /**
   * Replaces the password, in the time of two key derivations, whatever the size of the stash. Who has an older copy of the
   * file and the old password can still open that; see `rekey`.
   * @throws {StashValueError} `no-such-slot`, `slots-full`, `bad-option`, `bad-password` or `password-failed`.
   * @throws {StashError} as `write`.
   */
  async changePassword(password: PasswordSource, options: ChangePasswordOptions = {}): Promise<void> {
    const { signal } = parseProgressOptions(options);
    const given = new Credential({ password });
    let isKept = false;
    try {
      const change = (): Promise<boolean> => changePassword(this.#store, given, options);
      isKept = await this.#operations.exclusive(signal, change);
    } finally {
      if (!isKept) given.wipe();
    }
  }

  /**
   * Writes the stash anew under a new data key, so that what opened it before opens it no longer, but for what opened this
   * handle and what is given to `keep`.
   * @throws {StashValueError} `other-slots` if more would be locked out and `dropOthers` is not set.
   * @throws {StashError} as `compact`, and as `open` for what is given.
   */
  async rekey(options: RekeyOptions = {}): Promise<void> {
    const checked = parseRekeyOptions(options);
    try {
      await this.#operations.exclusive(checked.signal, () => rekeyStore(this.#store, checked));
    } finally {
      for (const credential of checked.keep) credential.wipe();
    }
  }

  /**
   * Writes the stash anew without what has been overwritten or removed: it becomes smaller, and quicker to open.
   * @returns The length of the file before and after, in bytes.
   * @throws {StashCorruptError} `damaged-frame` if a large value cannot be read; nothing is changed.
   * @throws {StashError} as `write`.
   */
  async compact(options: MaintenanceOptions = {}): Promise<{ before: number; after: number }> {
    const { signal } = parseProgressOptions(options);
    const compact = (): Promise<{ before: number; after: number }> =>
      replaceStore(this.#store, undefined, readOptions('write', this.#store.log.tree.byteLength, options));
    return await this.#operations.exclusive(signal, () => this.#store.exclusively(compact, signal));
  }

  /**
   * Reads and authenticates the whole file, large values too.
   * @throws {StashCorruptError} any code.
   * @throws {StashError} as every operation.
   */
  async verify(options: MaintenanceOptions = {}): Promise<VerifyReport> {
    const { signal } = parseProgressOptions(options);
    return await this.#operations.exclusive(signal, () => verifyStore(this.#store, options));
  }

  /** Writes what can be read into a new file; see {@link Stash.salvage}. */
  async salvage(target: string, options: MaintenanceOptions = {}): Promise<SalvageReport> {
    const { signal, onProgress } = parseProgressOptions(options);
    const { environment, path, credential } = this.#store;
    const to = environment.fileSystem.absolute(parsePath(target));
    const settings = { ...this.#store.options, signal, onProgress };
    return await this.#operations.enqueue(
      () => salvageStore(environment, path, to, credential, settings),
      signal,
    );
  }

  /** Returns the state of the stash, to be kept elsewhere and given to `open` as `atLeast`. */
  async anchor(): Promise<StashAnchor> {
    return await this.#operations.exclusive(undefined, async () => {
      const { header, position } = this.#store.log;
      const { sequence, tag } = position;
      return { storeId: hexText(header.storeId), epoch: header.epoch, sequence, tip: hexText(tag) };
    });
  }

  /** Waits until all changes are on the disk: of use with `durability: 'none'` only. */
  async sync(): Promise<void> {
    await this.#operations.exclusive(undefined, () => this.#store.sync(this.#store.log));
  }

  /**
   * Tells which keys other handles change, here and in other processes, until it is returned, the signal fires, or the
   * stash is closed. An error of the file ends it, and is thrown.
   */
  watch(options?: OperationOptions): AsyncIterableIterator<StashChange> {
    this.#operations.assertOpen();
    this.#store.onChanged ??= (keys) => this.#feeds.push(keys);
    const look = (): Promise<void> => this.#operations.exclusive(undefined, async () => undefined);
    return this.#feeds.open({ path: this.#store.path, signal: parseSignal(options), look });
  }

  /**
   * Waits for the operations called before, then closes the file and wipes passwords, keys and values. May be called again.
   * @throws {StashIOError} `not-durable`, if changes that were made without waiting for the disk failed to reach it.
   */
  close(): Promise<void> {
    // At once: what they would look at next is closed.
    this.#feeds.end();
    return this.#operations.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
