/**
 * Writing frames at the end of a store's file, under its lock.
 *
 * A net under the lock: frames are appended by O_APPEND and the first of each write is read back. If another's is in its
 * place, the lock has failed to keep that one out; the change is lost and has to be made again, behind the other.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes } from '../bytes.js';
import { StashIOError } from '../errors.js';
import { toIOError } from '../file-image.js';
import { chunkBody, chunkByteLength } from './body-writer.js';
import { type FrameType, frameHeaderByteLength, frameType, maxUnsynced, tagByteLength } from './frame.js';
import { type LogPosition, type ReadOptions, readFully, Turns } from './frame-reader.js';
import type { LoadedLog } from './loaded-log.js';
import type { NativeStore } from './store.js';
import type { LargeValue } from './tree.js';

/** Another's frame came first. Internal: the change is made again. */
export class LostRace extends Error {}

/** Large values are written in pieces of 1 MiB. */
const chunksPerWrite = 16;

/** Adds frames to a log. They count once `accept` is called; `discard` takes them away. */
export class Appender {
  readonly #store: NativeStore;
  readonly #log: LoadedLog;
  readonly #before: LogPosition;
  /** What has been written. */
  #written: LogPosition;
  /** What has been added, and is to be written. */
  #sequence: number;
  #tag: Uint8Array;
  #frames: Uint8Array[] = [];
  #lost = false;

  constructor(store: NativeStore) {
    this.#store = store;
    this.#log = store.log;
    this.#before = this.#log.position;
    this.#written = this.#before;
    this.#sequence = this.#before.sequence;
    this.#tag = this.#before.tag;
  }

  /** The length of what has been added. */
  get byteLength(): number {
    return this.#frames.reduce((sum, frame) => sum + frame.length, 0);
  }

  /** Seals a body into the next frame, to be written by `write`. */
  add(type: FrameType, body: Uint8Array): void {
    const { synced } = this.#log.position;
    this.#sequence++;
    const header = {
      type,
      unsynced: this.#sequence - 1 - synced,
      sequence: this.#sequence,
      previous: this.#tag,
    };
    const frame = this.#log.cipher.seal(header, body);
    this.#tag = frame.slice(-tagByteLength);
    this.#frames.push(frame);
  }

  /** Waits for a sync if so many frames are not synced that the next could not say it. */
  async makeRoom(): Promise<void> {
    if (this.#sequence + 1 - this.#log.position.synced < maxUnsynced) return;
    this.write();
    await this.sync();
  }

  /**
   * Writes what has been added, at once.
   * @throws {LostRace}
   * @throws {StashIOError} any code.
   */
  write(): void {
    if (this.#frames.length === 0) return;
    const bytes = this.#frames.length === 1 ? (this.#frames[0] as Uint8Array) : Buffer.concat(this.#frames);
    this.#frames = [];
    const { path } = this.#store;
    const { end } = this.#written;
    let count: number;
    try {
      count = this.#log.file.append(bytes);
    } catch (error) {
      throw toIOError(path, 'write', error);
    }
    const found = new Uint8Array(Math.min(frameHeaderByteLength, count));
    readFully(this.#log.file, path, found, end);
    this.#lost = !equalBytes(found, bytes.subarray(0, found.length));
    if (this.#lost) throw new LostRace();
    this.#written = { ...this.#written, end: end + count, sequence: this.#sequence, tag: this.#tag };
    if (count === bytes.length) return;
    throw new StashIOError('io-failed', 'a write to the stash was cut short', { path, operation: 'write' });
  }

  /**
   * Writes a value in chunks and waits until they are on the disk: nothing may refer to a chunk that is not.
   * @returns The sequence of the first, and where they are.
   */
  async writeChunks(value: Uint8Array, options: ReadOptions): Promise<{ first: number; large: LargeValue }> {
    const first = this.#sequence + 1;
    const offsets: number[] = [];
    const turns = new Turns(options);
    let { end } = this.#written;
    for (let start = 0; start < value.length; start += chunkByteLength) {
      await this.makeRoom();
      const contents = value.subarray(start, start + chunkByteLength);
      const body = chunkBody(contents, this.#store.options.padding);
      this.add(frameType.chunk, body);
      body.fill(0);
      offsets.push(end);
      end += frameHeaderByteLength + body.length + tagByteLength;
      if (offsets.length % chunksPerWrite !== 0) continue;
      this.write();
      await turns.take(start);
    }
    this.write();
    await this.sync();
    return { first, large: { byteLength: value.length, first, offsets } };
  }

  /** Waits until what has been written is on the disk; then it counts. */
  async sync(): Promise<void> {
    this.accept();
    await this.#store.sync(this.#log);
  }

  /** Lets what has been written count as read. */
  accept(): void {
    const { position, status } = this.#log;
    this.#log.position = { ...this.#written, synced: position.synced };
    this.#log.status = { ...status, byteLength: this.#written.end };
  }

  /** Leaves what has been written where it is, in a file that is the store's no longer. The store has not come so far. */
  abandon(): void {
    this.#lost = true;
    this.#log.position = this.#before;
  }

  /**
   * Takes away what has been written. Where it cannot be taken away, nobody knows what the store holds: the handle is
   * poisoned.
   */
  async discard(): Promise<void> {
    if (this.#lost) return;
    const { file } = this.#log;
    const { end } = this.#before;
    try {
      // The lock may not keep everyone out: what lies behind ours is not ours to cut off.
      const { byteLength } = file.status();
      if (byteLength > this.#written.end) throw new LostRace();
      if (byteLength > end) file.truncate(end);
      // A sync that failed is not tried again. But who has another handle must not build on what the disk may not have.
      if (this.#store.isPoisoned) return;
      if (this.#written.end > end) await this.#store.sync(this.#log);
    } catch (error) {
      this.#store.poison(error);
      return;
    }
    this.#log.position = {
      ...this.#before,
      synced: Math.min(this.#log.position.synced, this.#before.sequence),
    };
    this.#log.status = { ...this.#log.status, byteLength: end };
  }
}
