/**
 * Files and folders into a stash.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { StashIOError, StashKeyError, StashValueError } from '../errors.js';
import { parseKey, type StashKey } from '../key.js';
import { parsePath } from '../options.js';
import type { StashOperation } from '../sstash/batch.js';
import { maxWriteLevels } from '../sstash/tree.js';
import { nameFromBytes } from './file-names.js';
import type { Files, Folder } from './files.js';
import {
  parseMaxByteLength,
  parseSkipsLinks,
  parseTransfer,
  type Transfer,
  type TransferSummary,
  type WriteDirectoryOptions,
  type WriteFileOptions,
} from './options.js';
import type { StashTree } from './stash-tree.js';

/** The most files and folders. */
const maxFiles = 2 ** 20;

/**
 * Stores a file as the value of `key`; see `SecureStash.writeFile`.
 * @throws {StashError} any.
 */
export async function writeFile(
  files: Files,
  stash: StashTree,
  key: StashKey,
  path: string,
  options: WriteFileOptions | undefined,
): Promise<TransferSummary> {
  const transfer = parseTransfer(options);
  const target = parseKey(key);
  const bytes = await files.readFile(parsePath(path), parseMaxByteLength(options));
  try {
    transfer.step('read', 1);
    await stash.write(target, bytes, transfer);
    transfer.report('write', 1);
    return { files: 1, byteLength: bytes.length };
  } finally {
    wipe([bytes]);
  }
}

/**
 * Stores the files below a folder; see `SecureStash.writeDirectory`.
 * @throws {StashError} any.
 */
export async function writeDirectory(
  files: Files,
  stash: StashTree,
  key: StashKey,
  path: string,
  options: WriteDirectoryOptions | undefined,
): Promise<TransferSummary> {
  const transfer = parseTransfer(options);
  const reader = new FolderReader(transfer, parseMaxByteLength(options), parseSkipsLinks(options));
  const target = parseKey(key);
  const folder = await files.openFolder(parsePath(path));
  if (folder === undefined) {
    throw new StashIOError('not-found', 'there is no folder at the path', { path, operation: 'open' });
  }
  try {
    await reader.read(folder, target, 0, 1);
    transfer.step('read', 1);
    await stash.batch(reader.operations, transfer);
    transfer.report('write', 1);
    return reader.summary();
  } finally {
    wipe(reader.values());
  }
}

/** Reads a folder into operations. What it has read is wiped by its user. */
class FolderReader {
  readonly operations: StashOperation[] = [];
  readonly #transfer: Transfer;
  readonly #maxByteLength: number;
  readonly #skipsLinks: boolean;
  #byteLength = 0;

  constructor(transfer: Transfer, maxByteLength: number, skipsLinks: boolean) {
    this.#transfer = transfer;
    this.#maxByteLength = maxByteLength;
    this.#skipsLinks = skipsLinks;
  }

  values(): Uint8Array[] {
    return this.operations.flatMap((operation) => (operation.type === 'write' ? [operation.value] : []));
  }

  summary(): TransferSummary {
    return { files: this.values().length, byteLength: this.#byteLength };
  }

  /**
   * Reads all that is in a folder, and closes it.
   * @param start - How much was done before this folder.
   * @param share - The part of the whole that this folder is taken for.
   */
  async read(folder: Folder, key: StashKey, start: number, share: number): Promise<void> {
    try {
      this.#add({ type: 'make', key });
      const names = await folder.names();
      names.sort(compareBytes);
      for (const [index, name] of names.entries()) {
        const part = share / names.length;
        this.#transfer.step('read', start + index * part);
        await this.#readName(folder, name, [...key, nameFromBytes(name)], start + index * part, part);
      }
    } finally {
      await folder.close();
    }
  }

  async #readName(
    folder: Folder,
    name: Uint8Array,
    key: StashKey,
    start: number,
    share: number,
  ): Promise<void> {
    const kind = await folder.kind(name);
    if (kind === 'link' && this.#skipsLinks) return;
    // It also ends folders that hold themselves, as mounts can.
    if (key.length > maxWriteLevels) {
      throw new StashKeyError('key-too-deep', `a key may have at most ${maxWriteLevels} levels`, { key });
    }
    if (kind === 'folder') return await this.read(await folder.open(name), key, start, share);
    const value = await folder.read(name, this.#maxByteLength - this.#byteLength);
    this.#byteLength += value.length;
    this.#add({ type: 'write', key, value });
  }

  #add(operation: StashOperation): void {
    this.operations.push(operation);
    if (this.operations.length <= maxFiles) return;
    throw new StashValueError('store-too-large', `there are more than ${maxFiles} files and folders`);
  }
}

/** Orders by bytes, a beginning before what begins with it. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const difference = (a[index] as number) - (b[index] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
