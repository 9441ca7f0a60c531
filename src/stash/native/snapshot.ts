/**
 * Writing a whole tree into a new file: pages, the chunks they refer to, and the header pages.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { writeFully } from '../durable-file.js';
import type { OpenFile } from '../file-system.js';
import { BodyWriter, chunkBody, nameByteLength, paddedByteLength } from './body-writer.js';
import { deriveSubkey, FrameCipher, type FrameType, frameType, tagByteLength } from './frame.js';
import { type ReadOptions, Turns } from './frame-reader.js';
import { formatPage, framesOffset, type Header, pageByteLength } from './header-page.js';
import type { LoadedLog } from './loaded-log.js';
import { isLarge, type LargeValue, type TreeNode, walk } from './tree.js';

/** Pages are filled up to here. */
const pageBodyByteLength: number = 2 ** 16;

/** What is not encoded yet at the end of a page: the most that an opcode and its numbers take. */
const operationOverhead = 32;

/** What becomes of the old header; the floor is the last frame of the new file. */
export type NewHeader = Pick<Header, 'storeId' | 'generation' | 'epoch' | 'base' | 'slots'>;

/** How a snapshot is written. */
export interface SnapshotOptions extends ReadOptions {
  readonly path: string;
  readonly padding: boolean;
}

/** Writes a file with everything that a log holds. */
export class SnapshotWriter {
  readonly #file: OpenFile;
  readonly #header: NewHeader;
  readonly #headerKey: Uint8Array;
  readonly #cipher: FrameCipher;
  readonly #options: SnapshotOptions;
  readonly #turns: Turns;
  /** How many bytes of values have been written. */
  #done = 0;
  readonly #body: BodyWriter = new BodyWriter();
  #end: number = framesOffset;
  #sequence: number;
  #tag: Uint8Array = new Uint8Array(tagByteLength);

  /** @param dataKey - Not kept. */
  constructor(file: OpenFile, header: NewHeader, dataKey: Uint8Array, options: SnapshotOptions) {
    this.#file = file;
    this.#header = header;
    this.#headerKey = deriveSubkey(dataKey, header.storeId, 'header pages');
    this.#cipher = new FrameCipher(dataKey, header.storeId, header.epoch);
    this.#sequence = header.base;
    this.#options = options;
    this.#turns = new Turns(options);
  }

  /**
   * Writes the file, without a sync.
   * @param unreadable - Gets the keys whose values cannot be read, which are left out; without it that is an error.
   * @throws {StashIOError} any code.
   * @throws {StashCorruptError} `damaged-frame`.
   * @throws {StashError} `cancelled`.
   */
  async write(log: LoadedLog, unreadable?: (key: string[]) => void): Promise<void> {
    try {
      for (const [key, node] of walk(log.tree.root)) {
        if (this.#turns.due) await this.#turns.take(this.#done);
        await this.#add(log, key, node, unreadable);
      }
      await this.#endPage();
      for (let page = 1; page <= 2; page++) await this.#writeHeader(page);
    } finally {
      this.#body.take().fill(0);
      this.#headerKey.fill(0);
      this.#cipher.wipe();
    }
  }

  async #add(
    log: LoadedLog,
    key: string[],
    node: TreeNode,
    unreadable: ((key: string[]) => void) | undefined,
  ): Promise<void> {
    const { source, start, end } = node;
    if (source === undefined) {
      // A key with others below it is made by them.
      if ((node.children?.size ?? 0) > 0) return;
      await this.#reserve(key, 0);
      this.#body.make(key);
    } else if (isLarge(source)) await this.#addLarge(log, key, source, unreadable);
    else {
      this.#done += end - start;
      await this.#reserve(key, end - start);
      this.#body.set(key, source.subarray(start, end));
    }
  }

  async #addLarge(
    log: LoadedLog,
    key: string[],
    large: LargeValue,
    unreadable: ((key: string[]) => void) | undefined,
  ): Promise<void> {
    const first = this.#sequence + 1;
    const chunks = log.chunksOf(large);
    for (;;) {
      let chunk: Uint8Array | undefined;
      try {
        chunk = chunks.next().value ?? undefined;
      } catch (error) {
        if (unreadable === undefined) throw error;
        unreadable(key);
        return;
      }
      if (chunk === undefined) break;
      const body = chunkBody(chunk, this.#options.padding);
      this.#done += chunk.length;
      chunk.fill(0);
      await this.#frame(frameType.chunk, body);
      body.fill(0);
      if (this.#turns.due) await this.#turns.take(this.#done);
    }
    await this.#reserve(key, 0);
    this.#body.setLarge(key, large.byteLength, first);
  }

  /** Ends the page if an operation would make it too long. */
  async #reserve(key: readonly string[], valueLength: number): Promise<void> {
    // The names that are shared with the key before count as well: a page may end a little early.
    const names = key.reduce((sum, name) => sum + nameByteLength(name) + 3, 0);
    if (this.#body.byteLength + names + valueLength + operationOverhead > pageBodyByteLength)
      await this.#endPage();
  }

  async #endPage(): Promise<void> {
    const { byteLength } = this.#body;
    if (byteLength === 0) return;
    const body = this.#body.take(this.#options.padding ? paddedByteLength(byteLength) : byteLength);
    await this.#frame(frameType.page, body);
    body.fill(0);
  }

  async #frame(type: FrameType, body: Uint8Array): Promise<void> {
    this.#sequence++;
    const header = { type, unsynced: 0, sequence: this.#sequence, previous: this.#tag };
    const frame = this.#cipher.seal(header, body);
    this.#tag = frame.slice(-tagByteLength);
    await writeFully(this.#file, this.#options.path, frame, this.#end);
    this.#end += frame.length;
  }

  async #writeHeader(page: number): Promise<void> {
    const isEmpty = this.#sequence === this.#header.base;
    const floor = { sequence: isEmpty ? 0 : this.#sequence, tag: this.#tag };
    const generation = this.#header.generation + page;
    const header: Header = { ...this.#header, generation, floor };
    const bytes = formatPage(header, this.#headerKey);
    await writeFully(this.#file, this.#options.path, bytes, (generation % 2) * pageByteLength);
  }
}
