/**
 * Whether a file is a later state of a store. Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes } from '../bytes.js';
import { StashCorruptError } from '../errors.js';
import { deriveSubkey } from './frame.js';
import { checkHeader, type Position, type ReadHeader } from './header-page.js';

/** Whether a header was written with this data key. */
export function isKeyOf(header: ReadHeader, dataKey: Uint8Array): boolean {
  const headerKey = deriveSubkey(dataKey, header.storeId, 'header pages');
  try {
    checkHeader(header, headerKey);
    return true;
  } catch {
    return false;
  } finally {
    headerKey.fill(0);
  }
}

/** What a store must be, or have become. */
export interface Ancestor extends Position {
  readonly storeId: Uint8Array;
  readonly epoch: number;
}

/** @throws {StashCorruptError} `rolled-back` if the header shows that the file is older, or of another store. */
export function requireSuccessor(header: ReadHeader, { storeId, epoch, sequence, tag }: Ancestor): void {
  const { base } = header;
  // In the same epoch it is the same file, which had begun by then; a later one began behind it.
  const hasBegun = base < sequence || (base === sequence && tag.every((byte) => byte === 0));
  const isLater = header.epoch === epoch ? hasBegun : header.epoch > epoch && base >= sequence;
  if (isLater && equalBytes(header.storeId, storeId)) return;
  throw new StashCorruptError(
    'rolled-back',
    'the file is older than it has been, or of another stash',
    header.offset,
  );
}
