/**
 * Goes through the frames of a file: tells the next frame from one that lost a race, a torn tail from damage
 * (docs/stash-format.md, "Reading the log").
 * Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes, hexText } from '../bytes.js';
import { cancelledError, StashCorruptError } from '../errors.js';
import { toIOError } from '../file-image.js';
import {
  type FrameCipher,
  type FrameHeader,
  frameHeaderByteLength,
  frameType,
  tagByteLength,
} from './frame.js';
import type { Position } from './header-page.js';
import type { LogFile } from './log-file.js';

/** How far a log has been read. */
export interface LogPosition {
  /** Where the next frame begins. */
  readonly end: number;
  /** The sequence and the tag of the last frame. */
  readonly sequence: number;
  readonly tag: Uint8Array;
  /** All frames up to this sequence have been on the disk. */
  readonly synced: number;
}

/** A frame in its place. */
export interface PlacedFrame {
  readonly header: FrameHeader;
  readonly offset: number;
  readonly tag: Uint8Array;
  /** The decrypted body, the receiver's; undefined for a chunk. */
  readonly body: Uint8Array | undefined;
}

/** How frames are read. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called every few milliseconds with the offset reached. */
  readonly onOffset?: ((offset: number) => void) | undefined;
}

const windowByteLength = 2 ** 20;

/** How long frames are read at a time before others get their turn, in milliseconds. */
const turnMs = 8;

/** No torn tail looks like a header that often: the bytes of one are as good as random. */
const maxCandidates = 2 ** 12;

/** Bytes of a file by offset, read in large pieces. Ciphertext only. */
class FileWindow {
  readonly #file: LogFile;
  readonly #path: string;
  readonly byteLength: number;
  #bytes: Uint8Array = new Uint8Array();
  #start = 0;

  constructor(file: LogFile, path: string, byteLength: number) {
    this.#file = file;
    this.#path = path;
    this.byteLength = byteLength;
  }

  /** Returns a view of the bytes from `offset`, as many as asked for or as the file has. */
  view(offset: number, byteLength: number): Uint8Array {
    const end = Math.min(offset + byteLength, this.byteLength);
    if (offset < this.#start || end > this.#start + this.#bytes.length) this.#fill(offset, end);
    return this.#bytes.subarray(offset - this.#start, Math.max(end - this.#start, 0));
  }

  #fill(offset: number, end: number): void {
    const most = Math.min(Math.max(end - offset, windowByteLength), this.byteLength - offset);
    // A new buffer: what was handed out before is still being looked at.
    const bytes = new Uint8Array(Math.max(most, 0));
    this.#bytes = bytes.subarray(0, readFully(this.#file, this.#path, bytes, offset));
    this.#start = offset;
  }
}

/**
 * Reads until `target` is full or the file ends; returns how many bytes there were.
 * @throws {StashIOError} any code.
 */
export function readFully(file: LogFile, path: string, target: Uint8Array, offset: number): number {
  let filled = 0;
  try {
    while (filled < target.length) {
      const count = file.read(target.subarray(filled), offset + filled);
      if (count === 0) break;
      filled += count;
    }
  } catch (error) {
    throw toIOError(path, 'read', error);
  }
  return filled;
}

/** Lets the rest of the program have its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Takes turns with the rest of the program, and ends when the signal fires. */
export class Turns {
  readonly #options: ReadOptions;
  #since: number = performance.now();
  #count = 0;

  constructor(options: ReadOptions) {
    this.#options = options;
  }

  /** Whether it is time; looked at every so often only, since the clock costs more than a small frame. */
  get due(): boolean {
    if ((++this.#count & 15) !== 0) return false;
    return this.#options.signal?.aborted === true || performance.now() - this.#since >= turnMs;
  }

  /** @throws {StashError} `cancelled`. */
  async take(offset: number): Promise<void> {
    const { signal, onOffset } = this.#options;
    if (signal?.aborted === true) throw cancelledError(signal);
    onOffset?.(offset);
    await nextTurn();
    this.#since = performance.now();
  }
}

/** A frame, as it lies there: the next of the log, or one that lost a race. */
interface FoundFrame extends PlacedFrame {
  readonly superseded: boolean;
}

/** Reads the frames of one file, as far as it has come each time. */
export class FrameReader {
  readonly #file: LogFile;
  readonly #path: string;
  readonly #cipher: FrameCipher;
  /** Tags of frames that lost a race, in hexadecimal: what follows on them has lost it too. */
  readonly #superseded: Set<string> = new Set();

  constructor(file: LogFile, path: string, cipher: FrameCipher) {
    this.#file = file;
    this.#path = path;
    this.#cipher = cipher;
  }

  /**
   * Reads from a position to the end of the file or to a torn tail.
   * @param byteLength - That of the file when it was looked at; what has come since is not read.
   * @param visit - Gets each frame. Its body is the receiver's.
   * @returns Where the log ends: before the end of the file if there is a torn tail.
   * @throws {StashCorruptError} `damaged-frame`.
   * @throws {StashIOError} any code.
   * @throws {StashError} `cancelled`, or what `visit` throws.
   */
  async read(
    from: LogPosition,
    byteLength: number,
    visit: (frame: PlacedFrame) => void,
    options: ReadOptions,
  ): Promise<LogPosition> {
    const window = new FileWindow(this.#file, this.#path, byteLength);
    const turns = new Turns(options);
    let { end, sequence, tag, synced } = from;
    while (end < byteLength) {
      if (turns.due) await turns.take(end);
      const frame = this.#frameAt(window, end, sequence + 1, tag);
      if (frame === undefined) {
        await this.#requireTorn(window, end, { sequence, tag }, turns);
        break;
      }
      end += frameHeaderByteLength + frame.header.bodyByteLength;
      if (frame.superseded) continue;
      ({ tag } = frame);
      ({ sequence } = frame.header);
      synced = Math.max(synced, sequence - 1 - frame.header.unsynced);
      visit(frame);
    }
    return { end, sequence, tag, synced };
  }

  /**
   * Reads all frames that are whole, from the first, whatever lies between them: for salvaging.
   * @param skipped - Gets the places, from an offset to another, that hold no frame.
   */
  async readAll(
    from: LogPosition,
    byteLength: number,
    visit: (frame: PlacedFrame) => void,
    skipped: (start: number, end: number) => void,
    options: ReadOptions,
  ): Promise<LogPosition> {
    const window = new FileWindow(this.#file, this.#path, byteLength);
    const turns = new Turns(options);
    let { end, sequence, tag } = from;
    let hole: number | undefined;
    while (end < byteLength) {
      if (turns.due) await turns.take(end);
      const frame = this.#wholeFrame(window, end);
      if (frame === undefined || !this.#isLater(frame.header, { sequence, tag })) {
        hole ??= end;
        if (frame !== undefined) this.#supersede(window, end, frame.header);
        // One that is whole, but old, is passed over at once: within it there is none.
        end += frame === undefined ? 1 : frameHeaderByteLength + frame.header.bodyByteLength;
        frame?.body?.fill(0);
        continue;
      }
      if (hole !== undefined) skipped(hole, end);
      hole = undefined;
      end += frameHeaderByteLength + frame.header.bodyByteLength;
      ({ tag } = frame);
      ({ sequence } = frame.header);
      visit(frame);
    }
    if (hole !== undefined) skipped(hole, byteLength);
    return { end: byteLength, sequence, tag, synced: sequence };
  }

  /** The frame at an offset, if it is in its place and whole. */
  #frameAt(window: FileWindow, offset: number, due: number, previous: Uint8Array): FoundFrame | undefined {
    const header = this.#headerAt(window, offset);
    if (header === undefined) return undefined;
    const isNext = header.sequence === due && equalBytes(header.previous, previous);
    if (isNext) {
      const frame = this.#open(window, offset, header);
      return frame && { ...frame, superseded: false };
    }
    if (header.sequence >= due && !this.#superseded.has(hexText(header.previous))) return undefined;
    // Behind one that lost a race what does not open is no frame at all.
    if (!this.#supersede(window, offset, header) && header.sequence >= due) return undefined;
    return { header, offset, tag: tagOf(window, offset, header), body: undefined, superseded: true };
  }

  /** Lets nothing follow on a frame, unless it does not open: then its tag could be anybody's, and it returns false. */
  #supersede(window: FileWindow, offset: number, header: FrameHeader): boolean {
    const frame = window.view(offset, frameHeaderByteLength + header.bodyByteLength);
    const body = this.#cipher.open(frame);
    if (body === undefined) return false;
    body.fill(0);
    this.#superseded.add(hexText(frame.subarray(-tagByteLength)));
    return true;
  }

  /** Whether a frame comes somewhere behind the last one, and not from a writer that lost a race. */
  #isLater({ sequence, previous }: FrameHeader, last: Position): boolean {
    if (sequence <= last.sequence) return false;
    const isNext = sequence === last.sequence + 1 && equalBytes(previous, last.tag);
    return isNext || !this.#superseded.has(hexText(previous));
  }

  #wholeFrame(window: FileWindow, offset: number): PlacedFrame | undefined {
    if (!this.#cipher.mayBeHeader(window.view(offset, frameHeaderByteLength))) return undefined;
    const header = this.#headerAt(window, offset);
    return header && this.#open(window, offset, header);
  }

  /** The header at an offset, if its frame ends within the file. Its views live on. */
  #headerAt(window: FileWindow, offset: number): FrameHeader | undefined {
    const header = this.#cipher.parseHeader(window.view(offset, frameHeaderByteLength));
    if (header === undefined) return undefined;
    return offset + frameHeaderByteLength + header.bodyByteLength <= window.byteLength ? header : undefined;
  }

  #open(window: FileWindow, offset: number, header: FrameHeader): PlacedFrame | undefined {
    // A chunk is opened when its value is read, and not before.
    if (header.type === frameType.chunk)
      return { header, offset, tag: tagOf(window, offset, header), body: undefined };
    const frame = window.view(offset, frameHeaderByteLength + header.bodyByteLength);
    const body = this.#cipher.open(frame);
    return body && { header, offset, tag: frame.slice(-tagByteLength), body };
  }

  /**
   * Looks for a frame that was written when what should be here had reached the disk.
   * @throws {StashCorruptError} `damaged-frame` if there is one, or too much that looks like one.
   */
  async #requireTorn(window: FileWindow, hole: number, last: Position, turns: Turns): Promise<void> {
    let candidates = 0;
    for (let offset = hole; offset + frameHeaderByteLength <= window.byteLength; offset++) {
      if (turns.due) await turns.take(hole);
      const bytes = window.view(offset, frameHeaderByteLength);
      if (!this.#cipher.mayBeHeader(bytes)) {
        // With a right MAC it is no torn frame, but one that only a later version could mean.
        if (offset === hole && this.#cipher.hasMac(bytes)) throw damagedAt(hole);
        continue;
      }
      const header = this.#cipher.parseHeader(bytes);
      if (header !== undefined && !provesDamage(header, offset === hole, last)) continue;
      if (header === undefined && ++candidates < maxCandidates) continue;
      throw damagedAt(hole);
    }
  }
}

function damagedAt(offset: number): StashCorruptError {
  return new StashCorruptError(
    'damaged-frame',
    'a frame that had reached the disk is damaged, or not where it was; salvage() saves the rest',
    offset,
  );
}

/**
 * Whether a frame at or behind a hole was written when the one that is due had been on the disk; or, at the hole, when the
 * one before had been, and with another tag than it has now.
 */
function provesDamage(header: FrameHeader, isAtHole: boolean, last: Position): boolean {
  const synced = header.sequence - 1 - header.unsynced;
  if (synced > last.sequence) return true;
  return isAtHole && synced === last.sequence && !equalBytes(header.previous, last.tag);
}

function tagOf(window: FileWindow, offset: number, header: FrameHeader): Uint8Array {
  return window
    .view(offset + frameHeaderByteLength + header.bodyByteLength - tagByteLength, tagByteLength)
    .slice();
}
