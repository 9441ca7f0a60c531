/**
 * Reading a whole file, and telling later whether it is still the same.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes } from './bytes.js';
import { StashFormatError, StashIOError, type StashIOErrorCode } from './errors.js';
import {
  type FileIdentity,
  type FileStatus,
  type FileSystem,
  isSameState,
  type OpenFile,
} from './file-system.js';

/** A file as it was read or written. */
export interface FileImage {
  readonly bytes: Uint8Array;
  readonly identity: FileIdentity;
  /**
   * Whether the file was old enough that a later change must show in its modification time. Before that,
   * only its bytes can tell: two writes within one tick of the clock look the same.
   */
  readonly settled: boolean;
}

/** The coarsest modification time in use is that of FAT, two seconds. */
const settlingNs = 3_000_000_000n;

/** How often a file is read again because it changed meanwhile. */
const maxReadAttempts = 16;

const codes: ReadonlyMap<string, StashIOErrorCode> = new Map([
  ['ENOENT', 'not-found'],
  ['ENOTDIR', 'not-found'],
  ['EISDIR', 'not-a-file'],
  ['ENXIO', 'not-a-file'],
  ['EACCES', 'permission-denied'],
  ['EPERM', 'permission-denied'],
  ['EROFS', 'permission-denied'],
]);

/** Returns the system's name for an error, such as `ENOENT`. */
export function systemCodeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Returns our error for one of the file system, which becomes its `cause`; any code but `not-durable` and `contended`. */
export function toIOError(path: string, operation: string, cause: unknown): StashIOError {
  const systemCode = systemCodeOf(cause);
  const code = codes.get(systemCode ?? '') ?? 'io-failed';
  const message = `the stash file failed to ${operation}${systemCode === undefined ? '' : ` (${systemCode})`}`;
  return new StashIOError(code, message, {
    path,
    operation,
    cause,
    ...(systemCode === undefined ? {} : { systemCode }),
  });
}

/**
 * Awaits a call of the file system and turns its error into ours.
 * @throws {StashIOError} as {@link toIOError} returns it.
 */
export async function attempt<Result>(
  path: string,
  operation: string,
  promise: Promise<Result>,
): Promise<Result> {
  try {
    return await promise;
  } catch (cause) {
    throw toIOError(path, operation, cause);
  }
}

function isSettled(identity: FileIdentity, seenAtMs: number): boolean {
  return identity.modifiedNs + settlingNs < BigInt(seenAtMs) * 1_000_000n;
}

function requireFile(path: string, status: FileStatus): void {
  if (status.isFile) return;
  throw new StashIOError(
    'not-a-file',
    'the path of the stash leads to something that is not a regular file',
    {
      path,
      operation: 'open',
    },
  );
}

/**
 * Reads a whole file. One that changes while it is read is read again.
 * @throws {StashIOError} any code.
 * @throws {StashFormatError} `too-large`.
 */
export async function readFileImage(
  fileSystem: FileSystem,
  path: string,
  maxByteLength: number,
): Promise<FileImage> {
  for (let tries = 0; tries < maxReadAttempts; tries++) {
    // Before opening: the mere opening of a device may do something.
    requireFile(path, await attempt(path, 'stat', fileSystem.status(path)));
    const file = await attempt(path, 'open', fileSystem.openForReading(path));
    try {
      const seenAtMs = Date.now();
      const before = await attempt(path, 'stat', file.status());
      requireFile(path, before);
      if (before.byteLength > BigInt(maxByteLength)) {
        throw new StashFormatError(
          'too-large',
          `the file exceeds ${maxByteLength} bytes`,
          'file',
          maxByteLength,
        );
      }
      const bytes = await readToEnd(path, file, Number(before.byteLength));
      const after = await attempt(path, 'stat', file.status());
      if (bytes !== undefined && isSameState(before, after)) {
        return { bytes, identity: before, settled: isSettled(before, seenAtMs) };
      }
    } finally {
      await attempt(path, 'close', file.close());
    }
  }
  throw contended(path, 'read');
}

/** Returns exactly `byteLength` bytes, or `undefined` where the file has more or fewer. */
async function readToEnd(path: string, file: OpenFile, byteLength: number): Promise<Uint8Array | undefined> {
  // One byte more, to see growth.
  const buffer = new Uint8Array(byteLength + 1);
  let filled = 0;
  while (filled < buffer.length) {
    const count = await attempt(path, 'read', file.read(buffer.subarray(filled), filled));
    if (count === 0) break;
    filled += count;
  }
  return filled === byteLength ? buffer.subarray(0, byteLength) : undefined;
}

/** Returns the error for a file that others keep changing. */
export function contended(path: string, operation: string): StashIOError {
  return new StashIOError(
    'contended',
    `other programs changed the stash file at every attempt to ${operation} it`,
    {
      path,
      operation,
    },
  );
}

/**
 * Returns the file as it is now: with the very same `bytes` object as `image` if they have not changed.
 * @throws {StashIOError} any code; `not-found` if the file is gone.
 * @throws {StashFormatError} `too-large`.
 */
export async function refreshImage(
  fileSystem: FileSystem,
  path: string,
  image: FileImage,
  maxByteLength: number,
): Promise<FileImage> {
  if (image.settled) {
    const status = await attempt(path, 'stat', fileSystem.status(path));
    if (isSameState(status, image.identity)) return image;
  }
  const now = await readFileImage(fileSystem, path, maxByteLength);
  return equalBytes(now.bytes, image.bytes) ? { ...now, bytes: image.bytes } : now;
}
