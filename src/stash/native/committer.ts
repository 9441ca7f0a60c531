/**
 * Makes changes to a native store: to the tree in memory and, as frames, to its file. Changes that were asked for
 * together are written and synced together; each is a frame of its own, there whole or not at all.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { cancelledError, StashValueError } from '../errors.js';
import { contended } from '../file-image.js';
import { Appender, LostRace } from './appender.js';
import { BodyWriter, paddedByteLength } from './body-writer.js';
import {
  applyOperations,
  type CheckedOperation,
  hasLarge,
  type Leftovers,
  markOf,
  type RemovedValue,
  takeBack,
  valuesOf,
  wipeRemoved,
  writeOperations,
} from './changes.js';
import { frameType, maxBodyByteLength, tagByteLength } from './frame.js';
import type { NativeStore } from './store.js';
import { isLarge, type LargeValue } from './tree.js';

/** A change somebody waits for. */
export interface ChangeRequest {
  readonly operations: readonly CheckedOperation[];
  readonly signal: AbortSignal | undefined;
  /** Gets for each operation the value it removed. */
  resolve(removed: (Uint8Array | undefined)[]): void;
  reject(error: unknown): void;
}

/** How often changes are made again because the lock did not keep others out. */
const maxAttempts = 64;

/** So much is written at once. */
const maxGroupByteLength: number = 2 ** 20;
const maxGroupFrames = 256;

interface Applied {
  readonly request: ChangeRequest;
  readonly removed: RemovedValue[];
}

/**
 * Makes as many of the changes as can be written together, from the first on, and settles them. Under the lock.
 * @returns How many have been settled.
 * @throws Nothing: what fails is told to those who wait.
 */
export async function commitChanges(store: NativeStore, requests: readonly ChangeRequest[]): Promise<number> {
  let size: number | undefined;
  let pending = requests;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const group = new Group(store);
    let failure: unknown;
    try {
      await group.commit(pending);
      return size ?? group.size;
    } catch (error) {
      failure = error;
    }
    // Those that failed by themselves have been told; the others are made again, or told.
    size ??= group.size;
    pending = group.requests;
    await group.takeBack();
    try {
      if (!(failure instanceof LostRace)) throw failure;
      await store.refresh();
    } catch (error) {
      for (const request of pending) reject(request, error);
      return size;
    }
  }
  for (const request of pending) reject(request, contended(store.path, 'change'));
  return size ?? 0;
}

/** Tells that a change has failed, and wipes what it would have written. */
export function reject(request: ChangeRequest, error: unknown): void {
  wipe(valuesOf(request.operations));
  request.reject(error);
}

/** Changes that are written together. */
class Group {
  /** How many requests have been taken, whatever came of them. */
  size = 0;
  readonly #store: NativeStore;
  readonly #appender: Appender;
  readonly #leftovers: Leftovers = { undo: [], wipers: [] };
  readonly #applied: Applied[] = [];
  readonly #writer: BodyWriter = new BodyWriter();

  constructor(store: NativeStore) {
    this.#store = store;
    this.#appender = new Appender(store);
  }

  /** Those whose changes are in the group. */
  get requests(): ChangeRequest[] {
    return this.#applied.map(({ request }) => request);
  }

  async commit(requests: readonly ChangeRequest[]): Promise<void> {
    const { log, options } = this.#store;
    for (const request of requests) {
      const isLargeRequest = hasLarge(request.operations);
      if (this.#applied.length > 0 && isLargeRequest) break;
      await this.#appender.makeRoom();
      this.size++;
      await this.#apply(request, isLargeRequest);
      const isFull =
        this.#applied.length >= maxGroupFrames || this.#appender.byteLength >= maxGroupByteLength;
      if (isFull || isLargeRequest) break;
    }
    if (this.#applied.length === 0) return;
    this.#appender.write();
    if (options.durable) await this.#appender.sync();
    else this.#appender.accept();
    // Somebody who moved another file here did not ask for the lock: what was written is in a file without a name.
    if (this.#store.isReplaced) {
      this.#appender.abandon();
      throw new LostRace();
    }
    // The first frame: a file cut before it is no empty store. It is on the disk, whatever comes of this.
    const { floor, base } = log.header;
    const isFirst = floor.sequence === 0 && log.position.sequence > base && options.durable;
    if (isFirst) await this.#store.writeHeader(() => ({})).catch(() => undefined);
    await this.#settle();
  }

  /** Makes a change in memory and seals its frame. One that cannot be made is told so, and is no part of the group. */
  async #apply(request: ChangeRequest, isLargeRequest: boolean): Promise<void> {
    const { tree } = this.#store.log;
    const { signal, operations } = request;
    const before = markOf(this.#leftovers);
    try {
      if (signal?.aborted === true) throw cancelledError(signal);
      const removed = applyOperations(tree, operations, this.#leftovers);
      this.#applied.push({ request, removed });
    } catch (error) {
      reject(request, error);
      return;
    }
    try {
      const placed = isLargeRequest ? await this.#writeLarge(operations, signal) : undefined;
      writeOperations(this.#writer, operations, (value) => placed?.get(value) ?? 0);
      // Nothing was asked for: an empty batch, or the top to be made.
      if (this.#writer.byteLength === 0) return;
      const byteLength = this.#store.options.padding ? paddedByteLength(this.#writer.byteLength) : 1;
      const body = this.#writer.take(byteLength);
      try {
        if (body.length > maxBodyByteLength - tagByteLength) throw tooLarge();
        this.#appender.add(frameType.batch, body);
      } finally {
        body.fill(0);
      }
    } catch (error) {
      if (!(error instanceof StashValueError)) throw error;
      takeBack(this.#leftovers, before);
      wipeRemoved(this.#applied.pop()?.removed ?? []);
      reject(request, error);
    }
  }

  /** Writes the large values, and lets the tree refer to them instead of holding them. */
  async #writeLarge(
    operations: readonly CheckedOperation[],
    signal: AbortSignal | undefined,
  ): Promise<Map<Uint8Array, number>> {
    const { tree } = this.#store.log;
    const placed = new Map<Uint8Array, number>();
    for (const operation of operations) {
      if (operation.type !== 'write' || !hasLarge([operation])) continue;
      const { first, large } = await this.#appender.writeChunks(operation.value, { signal });
      placed.set(operation.value, first);
      tree.replaceSource(operation.key, operation.value, large);
      this.#leftovers.wipers.push(() => operation.value.fill(0));
    }
    return placed;
  }

  async #settle(): Promise<void> {
    for (const { request, removed } of this.#applied) {
      try {
        const values: (Uint8Array | undefined)[] = [];
        for (const value of removed) values.push(isLarge(value) ? await this.#read(value) : value);
        request.resolve(values);
      } catch (error) {
        // The removal is made; only what was removed cannot be given.
        request.reject(error);
      }
    }
    for (const wiper of this.#leftovers.wipers) wiper();
  }

  async #read(source: LargeValue): Promise<Uint8Array | undefined> {
    return await this.#store.log.readValue({ source, start: 0, end: 0 }, {});
  }

  /** Makes the tree and the file what they were. */
  async takeBack(): Promise<void> {
    for (const { removed } of this.#applied) wipeRemoved(removed);
    takeBack(this.#leftovers);
    await this.#appender.discard();
  }
}

function tooLarge(): StashValueError {
  return new StashValueError('store-too-large', `a batch may have at most ${maxBodyByteLength} bytes`);
}
