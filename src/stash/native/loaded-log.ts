/**
 * One file of a native store, opened: its header, its keys, the tree that its frames make, and how far it was read.
 * A store outlives its files: compaction puts another one under the path.
 *
 * Not for concurrent use. Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes, wipe } from '../bytes.js';
import { StashCorruptError, type StashCorruptErrorCode } from '../errors.js';
import { toIOError } from '../file-image.js';
import { applyBody, BodyFault } from './body-reader.js';
import { chunkByteLength } from './body-writer.js';
import { deriveSubkey, FrameCipher, frameHeaderByteLength, frameType, tagByteLength } from './frame.js';
import {
  FrameReader,
  type LogPosition,
  type PlacedFrame,
  type ReadOptions,
  readFully,
  Turns,
} from './frame-reader.js';
import { checkHeader, framesOffset, type Position, parseHeader, type ReadHeader } from './header-page.js';
import { closeQuietly, isSameFile, type LogFile, type LogStatus } from './log-file.js';
import { isLarge, type LargeValue, Tree, type TreeNode } from './tree.js';

/** Gives the data key for a header, the log's to wipe. */
export type Unlock = (header: ReadHeader) => Promise<Uint8Array>;

/** What opening a file needs. */
export interface LoadOptions extends ReadOptions {
  readonly path: string;
  readonly unlock: Unlock;
  /** What the file must have reached, beside the floor, or else it is `rolled-back`. */
  readonly atLeast?: Position | undefined;
  /** Passes over what is damaged, and tells the places. */
  readonly salvage?: ((start: number, end: number) => void) | undefined;
}

/** A frame that has to be there, and what it means if it is another one or missing. */
interface ExpectedPosition extends Position {
  readonly other: StashCorruptErrorCode;
  readonly missing: StashCorruptErrorCode;
}

/** What was found behind the last whole frame. */
export interface TornTail {
  /** Where it begins, in bytes from the beginning of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Two writes and two syncs take less, in milliseconds. */
const headerWriteMs = 20;

/** A file that was changed longer ago is not being written. */
const freshMs = 1000;

/** Reads the two header pages. @throws what `parseHeader` throws, and {@link StashIOError} */
export function readHeader(file: LogFile, path: string): ReadHeader {
  const pages = new Uint8Array(framesOffset);
  const byteLength = readFully(file, path, pages, 0);
  const header = parseHeader(pages.subarray(0, byteLength));
  // One whole page would do, but no crash makes such a file: it has been cut.
  if (byteLength < framesOffset) throw new StashCorruptError('damaged-header', 'the file is cut', byteLength);
  return header;
}

/** As `readHeader`, for who has no lock: on a quick disk both pages may be seen while they are being written. */
async function readSettledHeader(file: LogFile, path: string): Promise<ReadHeader> {
  try {
    return readHeader(file, path);
  } catch (error) {
    const isSpoilt = error instanceof StashCorruptError && error.code === 'damaged-header';
    if (!isSpoilt || !mayBeWritten(file)) throw error;
    await new Promise((resolve) => {
      setTimeout(resolve, headerWriteMs);
    });
    return readHeader(file, path);
  }
}

/** Whether a whole file was changed a moment ago. */
function mayBeWritten(file: LogFile): boolean {
  try {
    const { byteLength, modifiedMs } = file.status();
    return byteLength >= framesOffset && Math.abs(Date.now() - modifiedMs) < freshMs;
  } catch {
    return false;
  }
}

/** A file of frames with what is in them. Owns the descriptor, the keys and the values. */
export class LoadedLog {
  readonly file: LogFile;
  readonly path: string;
  header: ReadHeader;
  readonly dataKey: Uint8Array;
  readonly headerKey: Uint8Array;
  readonly cipher: FrameCipher;
  readonly tree: Tree = new Tree();
  position: LogPosition;
  /** The file when it was last looked at. */
  status: LogStatus;
  /** Frames since the last compaction that are there, whatever they hold. */
  frames = 0;
  readonly #reader: FrameReader;
  readonly #expected: readonly ExpectedPosition[];
  /** Where the chunks are that no value refers to yet. */
  readonly #chunks: Map<number, number> = new Map();

  private constructor(file: LogFile, header: ReadHeader, dataKey: Uint8Array, options: LoadOptions) {
    this.file = file;
    this.path = options.path;
    this.header = header;
    this.dataKey = dataKey;
    this.headerKey = deriveSubkey(dataKey, header.storeId, 'header pages');
    this.cipher = new FrameCipher(dataKey, header.storeId, header.epoch);
    this.#reader = new FrameReader(file, options.path, this.cipher);
    const { atLeast = header.floor } = options;
    this.#expected = [
      { ...header.floor, other: 'damaged-frame' as const, missing: 'lost-frames' as const },
      { ...atLeast, other: 'rolled-back' as const, missing: 'rolled-back' as const },
    ].filter(({ sequence }) => sequence > header.base);
    const zeros = new Uint8Array(tagByteLength);
    this.position = { end: framesOffset, sequence: header.base, tag: zeros, synced: header.base };
    this.status = { device: 0, inode: 0, byteLength: 0, modifiedMs: 0 };
  }

  /**
   * Reads a whole file.
   * @param file - The log's to close, also after an error.
   * @throws {StashFormatError}, {@link StashCorruptError}, {@link StashIOError}; what `unlock` throws; `cancelled`.
   */
  static async load(file: LogFile, options: LoadOptions): Promise<LoadedLog> {
    let log: LoadedLog | undefined;
    try {
      const header = await readSettledHeader(file, options.path);
      log = new LoadedLog(file, header, await options.unlock(header), options);
      checkHeader(header, log.headerKey);
      if (options.salvage === undefined) await log.catchUp(options);
      else await log.#salvage(options.salvage, options);
      return log;
    } catch (error) {
      if (log === undefined) closeQuietly(file);
      else log.release();
      throw error;
    }
  }

  /** What lies behind the last whole frame, if anything: torn, or being written at this moment. */
  get tornTail(): TornTail | undefined {
    const byteLength = this.status.byteLength - this.position.end;
    return byteLength > 0 ? { offset: this.position.end, byteLength } : undefined;
  }

  /** Whether a status shows the file as it was read, so that there is nothing to read. */
  isCurrent(status: LogStatus): boolean {
    const seen = this.status;
    return (
      status.byteLength === seen.byteLength &&
      isSameFile(status, seen) &&
      // A torn tail may be replaced by as many bytes.
      (seen.byteLength === this.position.end || status.modifiedMs === seen.modifiedMs)
    );
  }

  /**
   * Reads what has been added to the file.
   * @param changed - Gets the keys that changed.
   * @throws {StashCorruptError} `damaged-frame` or `lost-frames`; then the tree may be half changed.
   * @throws {StashIOError} any code.
   */
  async catchUp(options: ReadOptions, changed?: string[][]): Promise<void> {
    const status = this.#look();
    const { end } = this.position;
    if (status.byteLength < end) throw lostFrames('lost-frames', status.byteLength);
    const apply = (frame: PlacedFrame): void => this.#apply(frame, changed, false);
    this.position = await this.#reader.read(this.position, status.byteLength, apply, options);
    this.status = status;
    for (const { sequence, missing } of this.#expected) {
      if (sequence > this.position.sequence) throw lostFrames(missing, status.byteLength);
    }
  }

  #look(): LogStatus {
    try {
      return this.file.status();
    } catch (error) {
      throw toIOError(this.path, 'stat', error);
    }
  }

  async #salvage(skipped: (start: number, end: number) => void, options: ReadOptions): Promise<void> {
    this.status = this.#look();
    const apply = (frame: PlacedFrame): void => this.#apply(frame, undefined, true);
    this.position = await this.#reader.readAll(
      this.position,
      this.status.byteLength,
      apply,
      skipped,
      options,
    );
  }

  #apply(frame: PlacedFrame, changed: string[][] | undefined, lenient: boolean): void {
    const { header, offset, tag, body } = frame;
    this.frames++;
    for (const { sequence, tag: expected, other } of lenient ? [] : this.#expected) {
      if (sequence === header.sequence && !equalBytes(tag, expected)) {
        throw new StashCorruptError(other, 'a frame is not the one that had reached the disk', offset);
      }
    }
    if (body === undefined) {
      this.#chunks.set(header.sequence, offset);
      return;
    }
    const chunkOffset = (sequence: number): number | undefined => this.#takeChunk(sequence);
    try {
      applyBody(this.tree, body, { isPage: header.type === frameType.page, chunkOffset, changed, lenient });
    } catch (error) {
      if (!(error instanceof BodyFault)) throw error;
      if (lenient) return;
      throw new StashCorruptError('damaged-frame', `a frame cannot be understood: ${error.message}`, offset);
    }
  }

  #takeChunk(sequence: number): number | undefined {
    const offset = this.#chunks.get(sequence);
    this.#chunks.delete(sequence);
    return offset;
  }

  /**
   * Returns the value of a node, a copy that is the caller's, or undefined if it has none.
   * @throws {StashCorruptError} `damaged-frame` for a chunk.
   * @throws {StashIOError} any code.
   */
  async readValue(
    node: Pick<TreeNode, 'source' | 'start' | 'end'>,
    options: ReadOptions,
  ): Promise<Uint8Array | undefined> {
    const { source, start, end } = node;
    return isLarge(source) ? await this.#readLarge(source, options) : source?.slice(start, end);
  }

  async #readLarge(large: LargeValue, options: ReadOptions): Promise<Uint8Array> {
    const value = new Uint8Array(large.byteLength);
    const turns = new Turns(options);
    let byteLength = 0;
    try {
      for (const chunk of this.chunksOf(large)) {
        value.set(chunk, byteLength);
        byteLength += chunk.length;
        chunk.fill(0);
        if (turns.due) await turns.take(byteLength);
      }
      return value;
    } catch (error) {
      value.fill(0);
      throw error;
    }
  }

  /**
   * Goes through the pieces of a large value, each the receiver's to wipe: all of the length of a chunk but the last.
   * @throws {StashCorruptError} `damaged-frame`.
   * @throws {StashIOError} any code.
   */
  *chunksOf({ byteLength, first, offsets }: LargeValue): Generator<Uint8Array, void, undefined> {
    let left = byteLength;
    for (const [index, offset] of offsets.entries()) {
      const chunk = this.#readChunk(offset, first + index);
      const wanted = Math.min(left, chunkByteLength);
      const isWhole = chunk !== undefined && chunk.length >= wanted && chunk.length <= chunkByteLength;
      if (!isWhole || chunk.subarray(wanted).some((byte) => byte !== 0)) {
        chunk?.fill(0);
        throw new StashCorruptError('damaged-frame', 'a part of a large value is damaged', offset);
      }
      left -= wanted;
      yield chunk.subarray(0, wanted);
    }
  }

  /** The contents of the chunk whose frame begins at an offset, the caller's to wipe. */
  #readChunk(offset: number, sequence: number): Uint8Array | undefined {
    const head = new Uint8Array(frameHeaderByteLength);
    readFully(this.file, this.path, head, offset);
    const header = this.cipher.parseHeader(head);
    // Another one may have been put there since the log was read.
    if (header?.type !== frameType.chunk || header.sequence !== sequence) return undefined;
    const frame = new Uint8Array(frameHeaderByteLength + header.bodyByteLength);
    if (readFully(this.file, this.path, frame, offset) < frame.length) return undefined;
    return this.cipher.open(frame);
  }

  /** Closes the file and overwrites keys and values. Of no more use. */
  release(): void {
    closeQuietly(this.file);
    this.cipher.wipe();
    wipe([this.dataKey, this.headerKey]);
    this.tree.wipe();
  }
}

function lostFrames(code: StashCorruptErrorCode, byteLength: number): StashCorruptError {
  return new StashCorruptError(code, 'the file has lost frames that had reached the disk', byteLength);
}
