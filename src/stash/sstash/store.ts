/**
 * A sstash file with its decrypted tree: loading, looking for changes of others, replacing.
 *
 * Not for concurrent use: the handle above lets one operation in at a time.
 */

import { equalBytes, wipe } from '../bytes.js';
import { createDurably, removeLeftovers, replaceDurably } from '../durable-file.js';
import { StashIOError, StashValueError } from '../errors.js';
import { contended, type FileImage, readFileImage, refreshImage } from '../file-image.js';
import type { FileIdentity, FileSystem } from '../file-system.js';
import {
  type CheckedOptions,
  parseOptions,
  parsePath,
  readPassword,
  type SecureStashOptions,
} from '../options.js';
import { exclusively } from '../process-lock.js';
import { untilAborted } from '../serial-queue.js';
import {
  type Container,
  containerByteLength,
  formatContainer,
  type KdfParameters,
  nonceByteLength,
  openBlob,
  parseContainer,
  sealBlob,
} from './container.js';
import { formatContents, parseContents } from './contents.js';
import { parseHashName } from './hashes.js';
import { deriveKey } from './pbkdf2.js';
import { createNode, type TreeNode, wipeTree } from './tree.js';

/** How often opening starts over because the file came and went. */
const maxOpenAttempts = 16;

const saltByteLength = 32;

interface DerivedKey {
  readonly parameters: KdfParameters;
  readonly bytes: Uint8Array;
}

interface LoadedFile {
  readonly image: FileImage;
  readonly key: DerivedKey;
  readonly tree: TreeNode;
}

/** An open sstash file. Holds the password (unless it comes from a function), the key and the tree. */
export class StashStore {
  readonly #fileSystem: FileSystem;
  /** Absolute. */
  readonly path: string;
  readonly #options: CheckedOptions;
  #loaded: LoadedFile | undefined;
  #leftoversRemoved = false;

  private constructor(fileSystem: FileSystem, path: string, options: CheckedOptions) {
    this.#fileSystem = fileSystem;
    this.path = path;
    this.#options = options;
  }

  /**
   * Opens the file at `path`, or makes it if the options say so and there is none.
   * @throws {StashError} any; see `SecureStash.open`.
   */
  static async open(fileSystem: FileSystem, path: string, options: SecureStashOptions): Promise<StashStore> {
    // The current folder may change while the handle lives.
    const absolute = fileSystem.absolute(parsePath(path));
    const store = new StashStore(fileSystem, absolute, parseOptions(options));
    try {
      await store.#open();
      return store;
    } catch (error) {
      store.wipe();
      throw error;
    }
  }

  /** The tree as of the last `refresh`, `commit` or opening. Not to be changed. */
  get tree(): TreeNode {
    // Only `open` makes stores, and it throws unless the file was loaded.
    return (this.#loaded as LoadedFile).tree;
  }

  async #open(): Promise<void> {
    for (let tries = 0; tries < maxOpenAttempts; tries++) {
      const image = await this.#readIfPresent();
      if (image !== undefined) return await this.#load(image, this.#options.signal);
      if (await this.#create()) return;
    }
    throw contended(this.path, 'open');
  }

  async #readIfPresent(): Promise<FileImage | undefined> {
    const path = this.path;
    try {
      return await readFileImage(this.#fileSystem, path, this.#options.maxFileByteLength);
    } catch (error) {
      if (!(error instanceof StashIOError) || error.code !== 'not-found') throw error;
      if (this.#options.create) return undefined;
      const message = 'there is no file at the path of the stash; the option create makes one';
      throw new StashIOError('not-found', message, { path, operation: 'open', cause: error });
    }
  }

  /** Makes an empty file; false if something has taken its place meanwhile. */
  async #create(): Promise<boolean> {
    const { signal, iterations } = this.#options;
    const salt = crypto.getRandomValues(new Uint8Array(saltByteLength));
    const key = await this.#derive({ hash: 'sha512', salt, iterations }, signal);
    try {
      const tree = createNode();
      const image = await createDurably(this.#fileSystem, this.path, this.#seal(key, tree));
      if (image !== undefined) {
        this.#loaded = { image, key, tree };
        return true;
      }
    } finally {
      if (this.#loaded === undefined) wipe([key.bytes]);
    }
    await this.#refuseDanglingLink();
    return false;
  }

  async #refuseDanglingLink(): Promise<void> {
    const path = this.path;
    try {
      await this.#fileSystem.status(path);
    } catch (cause) {
      if (!(await this.#fileSystem.nameExists(path).catch(() => false))) return;
      const message = 'the path of the stash is a symbolic link that leads nowhere';
      throw new StashIOError('not-a-file', message, { path, operation: 'create', cause });
    }
  }

  /**
   * Loads the file again if it is no longer the one that was read. After an error the tree is what it was,
   * and the next call looks again.
   * @throws {StashIOError} any code; `not-found` if the file is gone.
   * @throws {StashFormatError} any code.
   * @throws {StashCryptoError} any code.
   */
  async refresh(signal: AbortSignal | undefined): Promise<void> {
    const loaded = this.#loaded as LoadedFile;
    const image = await this.#look(loaded);
    if (image.bytes === loaded.image.bytes) this.#loaded = { ...loaded, image };
    else await this.#load(image, signal);
  }

  async #look(loaded: LoadedFile): Promise<FileImage> {
    return await refreshImage(this.#fileSystem, this.path, loaded.image, this.#options.maxFileByteLength);
  }

  async #load(image: FileImage, signal: AbortSignal | undefined): Promise<void> {
    const old = this.#loaded;
    const container = parseContainer(image.bytes, this.#options.maxIterations);
    const known = old !== undefined && sameParameters(old.key.parameters, container.parameters);
    const key = known ? old.key : await this.#derive(container.parameters, signal);
    let tree: TreeNode;
    try {
      tree = openTree(key.bytes, container);
    } catch (error) {
      if (!known) wipe([key.bytes]);
      throw error;
    }
    this.#loaded = { image, key, tree };
    if (old === undefined) return;
    wipeTree(old.tree);
    if (!known) wipe([old.key.bytes]);
  }

  async #derive(parameters: KdfParameters, signal: AbortSignal | undefined): Promise<DerivedKey> {
    // Before anyone is asked for a password in vain.
    parseHashName(parameters.hash);
    const password = await readPassword(this.#options.password, signal);
    const deriving = deriveKey(password, parameters).finally(() => password.fill(0));
    const bytes = await untilAborted(deriving, signal, (late) => late.fill(0));
    return { parameters, bytes };
  }

  /** @throws {StashValueError} `store-too-large`. */
  #seal(key: DerivedKey, tree: TreeNode): Uint8Array {
    const { maxFileByteLength } = this.#options;
    const room = Math.floor((maxFileByteLength - containerByteLength(key.parameters, 0)) / 2);
    const contents = formatContents(tree, room);
    if (contents === undefined) {
      throw new StashValueError('store-too-large', `the file would exceed ${maxFileByteLength} bytes`);
    }
    try {
      // Two nonces of 192 random bits meet after about 2^96 writes.
      const nonce = crypto.getRandomValues(new Uint8Array(nonceByteLength));
      return formatContainer(key.parameters, sealBlob(key.bytes, nonce, contents));
    } finally {
      wipe([contents]);
    }
  }

  /**
   * Runs `task` while no other store, of this process or another, changes the file.
   * @throws {StashIOError} `locked` or `lock-unavailable`; any code, if the file is gone.
   * @throws {StashError} `cancelled`.
   */
  async exclusively<Result>(task: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    const first = async (target: string): Promise<Result> => {
      if (!this.#leftoversRemoved) await removeLeftovers(this.#fileSystem, target);
      this.#leftoversRemoved = true;
      return await task();
    };
    return await exclusively(this.#fileSystem, this.path, first, { ...this.#options, signal });
  }

  /**
   * Replaces the file by one that holds `tree`, which becomes the store's own, unless the file has changed.
   * @returns False if it has; the change must then be made to the tree after another `refresh`.
   * @throws {StashIOError} any code. After `not-durable` the change is made, in the file and here; after any
   * other error it is in neither.
   * @throws {StashValueError} `store-too-large`.
   * @throws {StashError} `cancelled`.
   */
  async commit(
    tree: TreeNode,
    signal: AbortSignal | undefined,
  ): Promise<{ notDurable?: StashIOError } | false> {
    const loaded = this.#loaded as LoadedFile;
    const bytes = this.#seal(loaded.key, tree);
    const current = async (): Promise<FileIdentity | undefined> => {
      const image = await this.#look(loaded);
      return image.bytes === loaded.image.bytes ? image.identity : undefined;
    };
    const replaced = await replaceDurably(this.#fileSystem, this.path, bytes, current, signal);
    if (replaced === undefined) return false;
    this.#loaded = { image: replaced.image, key: loaded.key, tree };
    return replaced.notDurable === undefined ? {} : { notDurable: replaced.notDurable };
  }

  /** Overwrites the password, the key and every value. The store is of no more use. */
  wipe(): void {
    const { password } = this.#options;
    if (password instanceof Uint8Array) password.fill(0);
    if (this.#loaded === undefined) return;
    wipeTree(this.#loaded.tree);
    wipe([this.#loaded.key.bytes]);
    this.#loaded = undefined;
  }
}

function sameParameters(a: KdfParameters, b: KdfParameters): boolean {
  return a.hash === b.hash && a.iterations === b.iterations && equalBytes(a.salt, b.salt);
}

/** Decrypts and parses; what was decrypted is wiped unless the tree has it. */
function openTree(key: Uint8Array, container: Container): TreeNode {
  const contents = openBlob(key, container.blob);
  try {
    return parseContents(contents);
  } catch (error) {
    wipe([contents]);
    throw error;
  }
}
