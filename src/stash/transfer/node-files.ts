/**
 * Folders and files of the machine, by `node:fs`, for moving them in and out of a stash.
 *
 * Node has no `openat`. On Linux `/proc/self/fd/N/name` does the same: it begins in the folder that is open, wherever
 * that is by now. Elsewhere, or without `/proc`, a folder is known by its path without links, and whoever may rename
 * folders on that path, at the right moment, can put a symbolic link in the place of one that was looked at.
 * The last name of a path is never followed on any system that has `O_NOFOLLOW`; Windows has not, and is only asked
 * before.
 */

import { type BigIntStats, constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as nodePath from 'node:path';
import { wipe } from '../bytes.js';
import { StashIOError, type StashIOErrorCode, StashValueError } from '../errors.js';
import { systemCodeOf, toIOError } from '../file-image.js';
import { cannotSyncFolder } from '../node-file-system.js';
import { nameFromBytes } from './file-names.js';
import type { Files, Folder, NameKind } from './files.js';

const isWindows = process.platform === 'win32';

// Not every system has each of these; a missing flag is no flag.
const noFollow = constants.O_NOFOLLOW ?? 0;
const folderFlags = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0);
const readFlags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noFollow;

/** How often a file is read again because it changed meanwhile. */
const maxReadAttempts = 4;

/** What the system's errors mean here, beside what they mean everywhere. */
const codes: ReadonlyMap<string, StashIOErrorCode> = new Map([
  ['EEXIST', 'already-exists'],
  ['ENOTEMPTY', 'already-exists'],
  ['ELOOP', 'symbolic-link'],
  ['ENOTDIR', 'not-a-folder'],
]);

function failed(path: string, operation: string, cause: unknown): StashIOError {
  const systemCode = systemCodeOf(cause);
  const code = codes.get(systemCode ?? '') ?? toIOError(path, operation, cause).code;
  return ioError(code, `failed to ${operation} "${path}" (${systemCode})`, path, operation, cause);
}

function ioError(
  code: StashIOErrorCode,
  message: string,
  path: string,
  operation: string,
  cause?: unknown,
): StashIOError {
  const systemCode = systemCodeOf(cause);
  return new StashIOError(code, message, {
    path,
    operation,
    ...(cause === undefined ? {} : { cause }),
    ...(systemCode === undefined ? {} : { systemCode }),
  });
}

async function attempt<Result>(path: string, operation: string, promise: Promise<Result>): Promise<Result> {
  try {
    return await promise;
  } catch (cause) {
    throw failed(path, operation, cause);
  }
}

/** Returns `undefined` instead of an error that says there is nothing. */
async function ifPresent<Result>(promise: Promise<Result>): Promise<Result | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof StashIOError && error.systemCode === 'ENOENT') return undefined;
    throw error;
  }
}

function kindOf(stats: BigIntStats): NameKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isSymbolicLink() ? 'link' : 'other';
}

/** @throws {StashIOError} `symbolic-link` or `not-a-file`. */
function requireFile(path: string, stats: BigIntStats): void {
  const kind = kindOf(stats);
  if (kind === 'file') return;
  const isLink = kind === 'link';
  const message = isLink ? `"${path}" is a symbolic link` : `"${path}" is not a regular file`;
  throw ioError(isLink ? 'symbolic-link' : 'not-a-file', message, path, 'open');
}

/** Reads a regular file, whole and in one state; `shown` is its path in messages. */
async function readRegular(
  system: Uint8Array | string,
  shown: string,
  maxByteLength: number,
  extraFlags: number,
): Promise<Uint8Array> {
  const handle = await attempt(shown, 'open', fs.open(toPath(system), readFlags | extraFlags));
  try {
    for (let tries = 0; tries < maxReadAttempts; tries++) {
      const before = await attempt(shown, 'stat', handle.stat({ bigint: true }));
      requireFile(shown, before);
      if (before.size > BigInt(maxByteLength)) {
        throw new StashValueError('store-too-large', `the files exceed the limit of bytes at "${shown}"`);
      }
      const bytes = await readToEnd(handle, shown, Number(before.size));
      const after = await attempt(shown, 'stat', handle.stat({ bigint: true }));
      if (bytes !== undefined && before.ctimeNs === after.ctimeNs && before.mtimeNs === after.mtimeNs) {
        return bytes;
      }
      wipe(bytes === undefined ? [] : [bytes]);
    }
  } finally {
    await attempt(shown, 'close', handle.close());
  }
  throw ioError('contended', `"${shown}" changed each time it was read`, shown, 'read');
}

/** Returns exactly `byteLength` bytes, or `undefined` where the file has more or fewer. */
async function readToEnd(
  handle: fs.FileHandle,
  shown: string,
  byteLength: number,
): Promise<Uint8Array | undefined> {
  // One byte more, to see growth.
  const buffer = new Uint8Array(byteLength + 1);
  let kept = false;
  try {
    let filled = 0;
    while (filled < buffer.length) {
      const rest = buffer.length - filled;
      const { bytesRead } = await attempt(shown, 'read', handle.read(buffer, filled, rest, filled));
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    kept = filled === byteLength;
    return kept ? buffer.subarray(0, byteLength) : undefined;
  } finally {
    if (!kept) wipe([buffer]);
  }
}

/** Node takes a path of bytes as a Buffer only. */
function toPath(path: Uint8Array | string): Buffer | string {
  return typeof path === 'string' ? path : Buffer.from(path.buffer, path.byteOffset, path.byteLength);
}

class NodeFolder implements Folder {
  readonly path: string;
  /** Ends with a slash. */
  readonly #base: Uint8Array;
  readonly #handle: fs.FileHandle | undefined;

  private constructor(path: string, base: Uint8Array, handle: fs.FileHandle | undefined) {
    this.path = path;
    this.#base = base;
    this.#handle = handle;
  }

  /**
   * Opens a folder.
   * @param path - In messages.
   * @param system - For the system; without links.
   */
  static async at(path: string, system: Uint8Array): Promise<NodeFolder> {
    const base = Buffer.concat([system, Buffer.from('/')]);
    // Windows opens no folder as a file.
    if (isWindows) return new NodeFolder(path, base, undefined);
    const handle = await attempt(path, 'open', fs.open(toPath(system), folderFlags | noFollow));
    const own = Buffer.from(`/proc/self/fd/${handle.fd}/`);
    return new NodeFolder(path, (await leadsTo(own, handle)) ? own : base, handle);
  }

  shown(name: Uint8Array): string {
    return nodePath.join(this.path, nameFromBytes(name));
  }

  locate(name: Uint8Array): Uint8Array {
    return Buffer.concat([this.#base, name]);
  }

  #path(name: Uint8Array): Buffer | string {
    return toPath(this.locate(name));
  }

  async names(): Promise<Uint8Array[]> {
    return await attempt(this.path, 'read', fs.readdir(toPath(this.#base), { encoding: 'buffer' }));
  }

  async kind(name: Uint8Array): Promise<NameKind | undefined> {
    const stats = await ifPresent(this.#status(name));
    return stats === undefined ? undefined : kindOf(stats);
  }

  async #status(name: Uint8Array): Promise<BigIntStats> {
    return await attempt(this.shown(name), 'stat', fs.lstat(this.#path(name), { bigint: true }));
  }

  async read(name: Uint8Array, maxByteLength: number): Promise<Uint8Array> {
    // Before opening: the mere opening of a device may do something.
    requireFile(this.shown(name), await this.#status(name));
    return await readRegular(this.locate(name), this.shown(name), maxByteLength, noFollow);
  }

  async create(name: Uint8Array, bytes: Uint8Array): Promise<void> {
    const shown = this.shown(name);
    const handle = await attempt(shown, 'create', fs.open(this.#path(name), createFlags, 0o600));
    try {
      try {
        // The umask may have taken away what the creation asked for.
        await attempt(shown, 'chmod', handle.chmod(0o600));
        await attempt(shown, 'write', handle.writeFile(bytes));
        await attempt(shown, 'sync', handle.sync());
      } finally {
        await attempt(shown, 'close', handle.close());
      }
    } catch (error) {
      await this.remove(name).catch(() => undefined);
      throw error;
    }
  }

  async claim(name: Uint8Array): Promise<void> {
    const shown = this.shown(name);
    const handle = await attempt(shown, 'create', fs.open(this.#path(name), createFlags, 0o600));
    await attempt(shown, 'close', handle.close());
  }

  async makeFolder(name: Uint8Array): Promise<void> {
    await attempt(this.shown(name), 'create', fs.mkdir(this.#path(name), 0o700));
  }

  async open(name: Uint8Array, shownPath: string = this.shown(name)): Promise<Folder> {
    const kind = kindOf(await this.#status(name));
    if (kind === 'link') {
      throw ioError('symbolic-link', `"${shownPath}" is a symbolic link`, shownPath, 'open');
    }
    if (kind !== 'folder') throw ioError('not-a-folder', `"${shownPath}" is not a folder`, shownPath, 'open');
    return await NodeFolder.at(shownPath, this.locate(name));
  }

  async rename(name: Uint8Array, to: Uint8Array): Promise<void> {
    await attempt(this.shown(name), 'rename', fs.rename(this.#path(name), toPath(to)));
  }

  async remove(name: Uint8Array): Promise<void> {
    await attempt(this.shown(name), 'remove', fs.unlink(this.#path(name)));
  }

  async removeFolder(name: Uint8Array): Promise<void> {
    await attempt(this.shown(name), 'remove', fs.rmdir(this.#path(name)));
  }

  async sync(): Promise<void> {
    try {
      await this.#handle?.sync();
    } catch (cause) {
      if (!cannotSyncFolder.has(systemCodeOf(cause) ?? '')) throw failed(this.path, 'sync', cause);
    }
  }

  async close(): Promise<void> {
    if (this.#handle !== undefined) await attempt(this.path, 'close', this.#handle.close());
  }
}

/** Whether a path leads to the folder that is open. */
async function leadsTo(path: Uint8Array, handle: fs.FileHandle): Promise<boolean> {
  try {
    const [there, here] = await Promise.all([
      fs.stat(toPath(path), { bigint: true }),
      handle.stat({ bigint: true }),
    ]);
    return there.ino === here.ino && there.dev === here.dev;
  } catch {
    return false;
  }
}

/** The machine's own files. */
export const nodeFiles: Files = {
  forWindows: isWindows,
  async openFolder(path: string): Promise<Folder | undefined> {
    const shown = nodePath.resolve(path);
    const real = await ifPresent(attempt(shown, 'open', fs.realpath(shown, { encoding: 'buffer' })));
    if (real === undefined) return undefined;
    const stats = await attempt(shown, 'stat', fs.stat(real));
    if (!stats.isDirectory()) throw ioError('not-a-folder', `"${shown}" is not a folder`, shown, 'open');
    return await NodeFolder.at(shown, real);
  },
  async openParent(path: string): Promise<{ folder: Folder; name: Uint8Array }> {
    const shown = nodePath.resolve(path);
    const name = Buffer.from(nodePath.basename(shown));
    const folder = await this.openFolder(nodePath.dirname(shown));
    if (folder !== undefined && name.length > 0) return { folder, name };
    await folder?.close();
    const code = folder === undefined ? 'not-found' : 'not-a-file';
    throw ioError(code, `there is no folder for "${shown}" to be in`, shown, 'open');
  },
  async readFile(path: string, maxByteLength: number): Promise<Uint8Array> {
    const shown = nodePath.resolve(path);
    // Before opening: the mere opening of a device may do something.
    requireFile(shown, await attempt(shown, 'stat', fs.stat(shown, { bigint: true })));
    return await readRegular(shown, shown, maxByteLength, 0);
  },
};
