/**
 * Writing header pages in their places. Must not import `node:` or anything outside `src/stash`.
 */

import { StashIOError } from '../errors.js';
import { toIOError } from '../file-image.js';
import { formatPage, type Header, pageByteLength, type ReadHeader } from './header-page.js';
import { closeQuietly, isSameFile, type LogFile } from './log-file.js';
import type { NativeStore } from './store.js';

/** A slot that a header is to have, and the store as it was. */
export type HeaderChange = (header: ReadHeader) => Partial<Pick<Header, 'slots' | 'floor'>>;

/**
 * Writes a page where its generation says, without a sync.
 * @throws {StashIOError} any code; the other page is untouched.
 */
function writePage(file: LogFile, path: string, header: Header, headerKey: Uint8Array): ReadHeader {
  const page = formatPage(header, headerKey);
  const offset = (header.generation % 2) * pageByteLength;
  for (let written = 0; written < page.length; ) {
    let count: number;
    try {
      count = file.write(page.subarray(written), offset + written);
    } catch (error) {
      throw toIOError(path, 'write', error);
    }
    if (count === 0)
      throw new StashIOError('io-failed', 'a write took no bytes', { path, operation: 'write' });
    written += count;
  }
  return { ...header, offset, page };
}

/**
 * Writes both header pages, under the lock.
 * @throws {StashIOError} `not-durable`, and the handle is poisoned; after any other code the header is what it was.
 */
export async function writeHeader(store: NativeStore, change: HeaderChange): Promise<void> {
  const { log, path } = store;
  const { sequence, tag } = log.position;
  // A floor that was not on the disk would make a lost tail out of a torn one. And the newer page may be of somebody who
  // was killed before it was on the disk: the older one has to stay until it is.
  await store.sync(log);
  let file: LogFile | undefined;
  let isOurs: boolean;
  try {
    file = store.environment.fileSystem.openLog(path, 'write');
    isOurs = isSameFile(file.status(), log.status);
  } catch (error) {
    closeQuietly(file);
    throw toIOError(path, 'open', error);
  }
  try {
    if (!isOurs) {
      const message = 'another program replaced the file of the stash without its lock';
      throw new StashIOError('contended', message, { path, operation: 'write' });
    }
    const old = store.freshHeader(file);
    // A file without frames of its own has none for a floor: its sequence is that of the file before.
    const changed = sequence === old.base ? old : { ...old, floor: { sequence, tag } };
    const header = { ...changed, ...change(changed) };
    for (let page = 0; page < 2; page++) {
      const next = { ...header, generation: log.header.generation + 1 };
      try {
        log.header = writePage(file, path, next, log.headerKey);
      } catch (error) {
        // The first page counts from now on, and the second has what was to go, or nothing.
        throw page === 0 ? error : store.notDurable(error);
      }
      await store.sync(log, file);
    }
  } finally {
    // What has to be on the disk is there, or the error of that has been told.
    closeQuietly(file);
  }
}
