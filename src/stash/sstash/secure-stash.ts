/**
 * A handle on a file of the sstash format (Python's sstash 0.17): reads it, and replaces it whole at every
 * change.
 *
 * Other programs may change the file. Each operation looks first whether they have, and reads it again; a
 * change looks once more right before it replaces the file, and starts over if needed. What another program
 * writes between that look and the rename, some microseconds, is lost; so is what it writes in place into the
 * old file, if it opened that before the rename, as Python's sstash does. A change in place that keeps size
 * and modification time is seen only within three seconds of the time the file bears. Handles in one process
 * cannot overtake each other.
 */

import { wipe } from '../bytes.js';
import { StashError } from '../errors.js';
import { contended } from '../file-image.js';
import { parseKey, type StashKey } from '../key.js';
import { nodeFileSystem } from '../node-file-system.js';
import {
  type OperationOptions,
  parseRecursive,
  parseSignal,
  type RemoveOptions,
  type SecureStashOptions,
} from '../options.js';
import { SerialQueue } from '../serial-queue.js';
import { writeDirectory, writeFile } from '../transfer/into-stash.js';
import { nodeFiles } from '../transfer/node-files.js';
import type {
  ReadFileOptions,
  TransferSummary,
  WriteDirectoryOptions,
  WriteFileOptions,
} from '../transfer/options.js';
import { readDirectory, readFile } from '../transfer/out-of-stash.js';
import { applyOperations, parseOperations, parseValue, type StashOperation, textsOf } from './batch.js';
import { EntryIterator, type StashEntry, type StashNode } from './entries.js';
import { StashStore } from './store.js';
import {
  cloneTree,
  copyNodes,
  hasValue,
  type Leftovers,
  listChildren,
  readValue,
  removeNode,
  type TreeEntry,
  type TreeNode,
  writeValue,
} from './tree.js';

/** How often a change starts over because others changed the file. */
const maxCommitAttempts = 64;

interface Committed<Result> {
  readonly result: Result;
  /** The change was made, but this is to be thrown. */
  readonly notDurable?: StashError;
}

/**
 * An open file of the sstash format: a tree of values in one encrypted file.
 *
 * Operations of one handle run one after another, in the order they were called; keys and values are copied
 * at the call. Each looks at the file first, and fails if it is gone, damaged or of another password: never
 * is it taken for empty. A change has reached the disk before its promise resolves.
 */
export class SecureStash {
  readonly #store: StashStore;
  readonly #queue: SerialQueue = new SerialQueue();
  #closed: Promise<void> | undefined;

  /** Use {@link SecureStash.open}. */
  constructor(store: StashStore) {
    this.#store = store;
  }

  /**
   * Opens a file of the sstash format.
   *
   * A symbolic link is followed: changes replace the file it leads to, and the link stays. Replaced files
   * have mode 0600 and keep their owner.
   * @param path - Made absolute at once.
   * @throws {StashIOError} any code; `not-found` if there is no file and `create` is not set.
   * @throws {StashFormatError} any code: the file is not a sstash file, or a damaged one.
   * @throws {StashCryptoError} `wrong-password-or-damaged`, `unsupported-hash`, `too-many-iterations` or
   * `derivation-failed`.
   * @throws {StashValueError} `bad-option`, `bad-password` or `password-failed`.
   * @throws {StashError} `cancelled`.
   */
  static async open(path: string, options: SecureStashOptions): Promise<SecureStash> {
    return new SecureStash(await StashStore.open(nodeFileSystem, path, options));
  }

  /**
   * Returns the value of `key`, a copy that belongs to the caller.
   * @throws {StashKeyError} `bad-key`, `empty-key`, `key-not-found` or `no-value`.
   * @throws {StashValueError} `damaged-value`, or `bad-option`.
   * @throws {StashError} as every operation: `closed`, `cancelled`, and what opening the file throws.
   */
  async read(key: StashKey, options?: OperationOptions): Promise<Uint8Array> {
    const path = parseKey(key);
    return await this.#query((tree) => readValue(tree, path), options);
  }

  /** Whether `key` has a value. A key that only has children has none. Throws as `read`, but not for the key. */
  async has(key: StashKey, options?: OperationOptions): Promise<boolean> {
    const path = parseKey(key);
    return await this.#query((tree) => hasValue(tree, path), options);
  }

  /**
   * Returns the names directly below `key` in order; `[]` is the top.
   * @throws {StashKeyError} `bad-key` or `key-not-found`.
   * @throws {StashError} as every operation.
   */
  async children(key: StashKey, options?: OperationOptions): Promise<string[]> {
    const path = parseKey(key);
    return await this.#query((tree) => listChildren(tree, path), options);
  }

  /**
   * Goes through all keys that have values, in order, a key before those below it, as they are when the
   * first is asked for. A damaged value fails by itself: calling `next()` again goes on behind it.
   */
  entries(options?: OperationOptions): AsyncIterableIterator<StashEntry> {
    const load = async (): Promise<TreeEntry[]> => {
      const nodes = await this.#query((tree) => copyNodes(tree, []), options);
      return nodes.filter(({ text }) => text !== undefined);
    };
    return this.#iterate(load) as AsyncIterableIterator<StashEntry>;
  }

  /**
   * Goes through `key`, unless that is `[]`, and all keys below it, those without a value too, otherwise as `entries`.
   * The first `next()` throws `bad-key` or `key-not-found`.
   */
  nodes(key: StashKey, options?: OperationOptions): AsyncIterableIterator<StashNode> {
    const path = parseKey(key);
    return this.#iterate(async () => await this.#query((tree) => copyNodes(tree, path), options));
  }

  #iterate(load: () => Promise<TreeEntry[]>): EntryIterator {
    return new EntryIterator(load, () => this.#assertOpen());
  }

  /**
   * Sets the value of `key`, making the levels above it as needed. A new key comes last, an old one stays
   * where it is.
   * @throws {StashKeyError} `bad-key`, `empty-key`, or `key-too-deep` beyond 64 levels.
   * @throws {StashValueError} `bad-value`, `bad-option` or `store-too-large`.
   * @throws {StashIOError} any code. After `not-durable` the change is made, after any other error it is not.
   * @throws {StashError} as every operation.
   */
  async write(key: StashKey, value: Uint8Array, options?: OperationOptions): Promise<void> {
    const path = parseKey(key);
    const text = parseValue(path, value);
    await this.#change((tree, leftovers) => writeValue(tree, path, text, leftovers), [text], options);
  }

  /**
   * Removes `key` and, unless `recursive` is `false`, everything below it; `[]` empties the stash. Whether
   * anything is below is decided in the change itself, and not by a look before it.
   * @returns The value of `key`, or `undefined` if it had none.
   * @throws {StashKeyError} `bad-key`, `key-not-found`, or `has-children` if `recursive` is `false`.
   * @throws {StashValueError} `damaged-value` (write it anew first), or `bad-option`.
   * @throws {StashIOError} as `write`.
   * @throws {StashError} as every operation.
   */
  async remove(key: StashKey, options?: RemoveOptions): Promise<Uint8Array | undefined> {
    const removal = { key: parseKey(key), recursive: parseRecursive(options) };
    return await this.#change((tree, leftovers) => removeNode(tree, removal, leftovers), [], options);
  }

  /**
   * Makes several changes in order, all of them or none, replacing the file once.
   * @returns For each operation what it would have returned alone.
   * @throws {StashError} as `write` and `remove`; `operationIndex` tells which operation was at fault.
   */
  async batch(
    operations: readonly StashOperation[],
    options?: OperationOptions,
  ): Promise<(Uint8Array | undefined)[]> {
    const checked = parseOperations(operations);
    const apply = (tree: TreeNode, leftovers: Leftovers): (Uint8Array | undefined)[] =>
      applyOperations(tree, checked, leftovers);
    return await this.#change(apply, textsOf(checked), options);
  }

  /**
   * Stores the contents of a regular file as the value of `key`. A symbolic link is followed. It takes its turn among
   * the operations once the file is read.
   * @throws {StashIOError} `not-found`, `not-a-file`, `permission-denied`, `contended` or `io-failed` for the file.
   * @throws {StashValueError} `store-too-large` beyond `maxByteLength`, or `bad-option`.
   * @throws {StashError} as `write`.
   */
  async writeFile(key: StashKey, path: string, options?: WriteFileOptions): Promise<TransferSummary> {
    return await writeFile(nodeFiles, this, key, path, options);
  }

  /**
   * Writes the value of `key` to a file of mode 0600, on the disk before this resolves.
   * @throws {StashIOError} `already-exists`, `symbolic-link`, `not-a-file`, `not-found` for the folder, and others.
   * @throws {StashError} as `read`.
   */
  async readFile(key: StashKey, path: string, options?: ReadFileOptions): Promise<TransferSummary> {
    return await readFile(nodeFiles, this, key, path, options);
  }

  /**
   * Stores every regular file below a folder as the value of `key` and the names on the way, and makes a key of every
   * folder: one change, made whole or not at all. What is stored at `key` already stays unless it is written over.
   * The names are sorted by their bytes; one that is not UTF-8 is kept as Python keeps it. It takes its turn among the
   * operations once the folder is read.
   * @throws {StashIOError} `symbolic-link`, `not-a-file`, `not-a-folder` and others for what is in the folder.
   * @throws {StashKeyError} `key-too-deep`.
   * @throws {StashValueError} `store-too-large` beyond `maxByteLength` or 2^20 files and folders, or `bad-option`.
   * @throws {StashError} as `batch`.
   */
  async writeDirectory(
    key: StashKey,
    path: string,
    options?: WriteDirectoryOptions,
  ): Promise<TransferSummary> {
    return await writeDirectory(nodeFiles, this, key, path, options);
  }

  /**
   * Writes everything below `key` into a folder: keys with a value become files of mode 0600, the others folders of
   * mode 0700. Where there is no folder yet it appears whole or not at all; into one that is there, the files are
   * moved one by one when all are written. All names are checked before anything is written.
   * @throws {StashIOError} `unsafe-name`, `already-exists`, `symbolic-link`, `not-a-file`, `not-a-folder` and others.
   * @throws {StashKeyError} `bad-key` or `key-not-found`.
   * @throws {StashError} as `entries`.
   */
  async readDirectory(key: StashKey, path: string, options?: ReadFileOptions): Promise<TransferSummary> {
    return await readDirectory(nodeFiles, this, key, path, options);
  }

  /** Waits for the operations called before, then wipes passwords, key and values. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#queue.run(async () => this.#store.wipe());
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new StashError('closed', 'the stash is closed');
  }

  async #query<Result>(
    query: (tree: TreeNode) => Result,
    options: OperationOptions | undefined,
  ): Promise<Result> {
    this.#assertOpen();
    const signal = parseSignal(options);
    const task = async (): Promise<Result> => {
      await this.#store.refresh(signal);
      return query(this.#store.tree);
    };
    return await this.#queue.run(task, signal);
  }

  /** @param texts - What `apply` puts into the tree: wiped if it does not stay there. */
  async #change<Result>(
    apply: (tree: TreeNode, leftovers: Leftovers) => Result,
    texts: readonly Uint8Array[],
    options: OperationOptions | undefined,
  ): Promise<Result> {
    let kept = false;
    try {
      this.#assertOpen();
      const signal = parseSignal(options);
      const task = async (): Promise<Result> => {
        const commit = (): Promise<Committed<Result>> => this.#commit(apply, signal);
        const { result, notDurable } = await this.#store.exclusively(commit, signal);
        kept = true;
        if (notDurable !== undefined) throw notDurable;
        return result;
      };
      return await this.#queue.run(task, signal);
    } finally {
      if (!kept) wipe(texts);
    }
  }

  async #commit<Result>(
    apply: (tree: TreeNode, leftovers: Leftovers) => Result,
    signal: AbortSignal | undefined,
  ): Promise<Committed<Result>> {
    for (let tries = 0; tries < maxCommitAttempts; tries++) {
      const leftovers: Leftovers = { dropped: [], copies: [] };
      let outcome: { notDurable?: StashError } | false = false;
      try {
        await this.#store.refresh(signal);
        // A change to a copy: an error of the tree or of the disk leaves the handle as it was.
        const tree = cloneTree(this.#store.tree);
        const result = apply(tree, leftovers);
        outcome = await this.#store.commit(tree, signal);
        if (outcome !== false) return { result, ...outcome };
      } finally {
        wipe(outcome === false ? leftovers.copies : leftovers.dropped);
      }
    }
    throw contended(this.#store.path, 'replace');
  }
}
