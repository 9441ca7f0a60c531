/**
 * Looking after a store: rekeying, verifying, salvaging.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { createDurably } from '../durable-file.js';
import { StashIOError, StashValueError } from '../errors.js';
import { toIOError } from '../file-image.js';
import { parseFlag } from '../transfer/options.js';
import { Credential, type CredentialOptions, generateKey } from './credentials.js';
import type { Environment } from './environment.js';
import { type ReadOptions, Turns } from './frame-reader.js';
import type { Progress } from './kdf.js';
import { LoadedLog, type TornTail } from './loaded-log.js';
import { replaceStore } from './replacement.js';
import { makeSlot, type Slot } from './slots.js';
import { SnapshotWriter } from './snapshot.js';
import { type CheckedStashOptions, parseProgressOptions } from './stash-options.js';
import type { NativeStore } from './store.js';
import { isLarge, walk } from './tree.js';
import { openWithSecret } from './unlock.js';

/** What long work takes. */
export interface MaintenanceOptions {
  /** Ends the work, as long as nothing has been changed. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** What rekeying takes. */
export interface RekeyOptions extends MaintenanceOptions {
  /** What else opens the store, and is to open it afterwards: the new data key can be wrapped only for what is given. */
  readonly keep?: readonly CredentialOptions[] | undefined;
  /** Drops the slots whose secrets are not given. Default false: then there must be none. */
  readonly dropOthers?: boolean | undefined;
}

/** What a look at the whole file has shown. */
export interface VerifyReport {
  /** Frames that were read and authenticated. */
  readonly frames: number;
  /** Keys that have a value. */
  readonly values: number;
  /** Of the file, in bytes. */
  readonly byteLength: number;
  /** What lies behind the last whole frame, if anything. */
  readonly recovered: TornTail | undefined;
}

/** What could be saved of a damaged file. */
export interface SalvageReport {
  /** Keys with a value in the new file. */
  readonly values: number;
  /** Places of the old file that hold no whole frame. */
  readonly skipped: readonly TornTail[];
  /** Keys whose large values could not be read, and are not in the new file. */
  readonly unreadable: readonly (readonly string[])[];
}

/** Progress in a file of that length. */
export function readOptions(phase: string, byteLength: number, options: MaintenanceOptions): ReadOptions {
  const { signal, onProgress } = options;
  if (onProgress === undefined) return { signal };
  return {
    signal,
    onOffset: (offset) => onProgress({ phase, done: Math.min(1, offset / Math.max(1, byteLength)) }),
  };
}

/** {@link RekeyOptions}, checked and copied. Whoever has them owns the credentials. */
export interface CheckedRekeyOptions extends MaintenanceOptions {
  readonly keep: readonly Credential[];
  readonly dropOthers: boolean;
}

/** @throws {StashValueError} `bad-option` or `bad-password`. */
export function parseRekeyOptions(options: RekeyOptions): CheckedRekeyOptions {
  const { signal, onProgress } = parseProgressOptions(options);
  const dropOthers = parseFlag('dropOthers', options.dropOthers);
  const given: readonly CredentialOptions[] = options.keep ?? [];
  if (!Array.isArray(given)) throw new StashValueError('bad-option', 'keep must be an array');
  const keep: Credential[] = [];
  try {
    for (const credential of given) keep.push(new Credential(credential));
  } catch (error) {
    for (const credential of keep) credential.wipe();
    throw error;
  }
  return { keep, dropOthers, signal, onProgress };
}

/** Gives the store a new data key: who has only the old one cannot read what is written from now on. */
export async function rekeyStore(store: NativeStore, options: CheckedRekeyOptions): Promise<void> {
  const dataKey = generateKey();
  try {
    await store.exclusively(async () => {
      const { slots } = store.freshHeader();
      const kept: Slot[] = [];
      const fresh: Slot[] = [];
      let current = store.slotId;
      for (const credential of [store.credential, ...options.keep]) {
        const { old, slot } = await rewrap(store, slots, credential, dataKey, options);
        if (kept.includes(old)) continue;
        kept.push(old);
        fresh.push(slot);
        if (credential === store.credential) current = slot.id;
      }
      if (kept.length < slots.length && !options.dropOthers) {
        const lost = slots.length - kept.length;
        throw new StashValueError(
          'other-slots',
          `${lost} key slots would be lost: give what opens them, or set dropOthers`,
        );
      }
      const read = readOptions('write', store.log.tree.byteLength, options);
      await replaceStore(store, { dataKey, slots: fresh }, read);
      store.slotId = current;
    }, options.signal);
  } finally {
    dataKey.fill(0);
  }
}

async function rewrap(
  store: NativeStore,
  slots: readonly Slot[],
  credential: Credential,
  dataKey: Uint8Array,
  options: MaintenanceOptions,
): Promise<{ old: Slot; slot: Slot }> {
  const { storeId } = store;
  let slot: Slot | undefined;
  const opened = await openWithSecret(
    { slots, storeId },
    credential,
    store.options.limits,
    options,
    async (old, secret) => {
      const { label } = old.slot;
      const derivation = old.slot.derivation.name === 'none' ? store.options.derivation : old.slot.derivation;
      slot = await makeSlot(dataKey, storeId, secret, { derivation, label }, options);
    },
  );
  wipe([opened.dataKey]);
  return { old: opened.slot, slot: slot as Slot };
}

/** Reads the whole file anew, with what it refers to. */
export async function verifyStore(store: NativeStore, options: MaintenanceOptions): Promise<VerifyReport> {
  const { path } = store;
  const { byteLength } = store.log.status;
  const read = readOptions('verify', byteLength, options);
  const log = await LoadedLog.load(openForReading(store.environment, path), {
    ...read,
    path,
    unlock: (header) => store.unlockAgain(header, options.signal),
    atLeast: store.log.position,
  });
  try {
    const turns = new Turns(read);
    let values = 0;
    for (const [, { source }] of walk(log.tree.root)) {
      if (source === undefined) continue;
      values++;
      if (!isLarge(source)) continue;
      for (const chunk of log.chunksOf(source)) {
        chunk.fill(0);
        if (turns.due) await turns.take(byteLength);
      }
    }
    return { frames: log.frames, values, byteLength: log.status.byteLength, recovered: log.tornTail };
  } finally {
    log.release();
  }
}

function openForReading(
  environment: Environment,
  path: string,
): ReturnType<Environment['fileSystem']['openLog']> {
  try {
    return environment.fileSystem.openLog(path, 'read');
  } catch (error) {
    throw toIOError(path, 'open', error);
  }
}

/**
 * Writes what can be read of a file into a new one, a store of the same id, keys and slots. The old file stays.
 * @throws {StashIOError} `already-exists` if there is something at `target`, or any other code.
 */
export async function salvageStore(
  environment: Environment,
  path: string,
  target: string,
  credential: Credential,
  options: CheckedStashOptions,
): Promise<SalvageReport> {
  const { fileSystem } = environment;
  const skipped: TornTail[] = [];
  const unreadable: string[][] = [];
  const log = await LoadedLog.load(openForReading(environment, path), {
    signal: options.signal,
    path,
    unlock: async (header) => (await openWithSecret(header, credential, options.limits, options)).dataKey,
    salvage: (start, end) => skipped.push({ offset: start, byteLength: end - start }),
  });
  try {
    const { storeId, generation, epoch, slots } = log.header;
    const header = { storeId, generation, slots, epoch: epoch + 1, base: log.position.sequence };
    const created = await createDurably(fileSystem, target, async (file) => {
      const settings = { signal: options.signal, path: target, padding: options.padding };
      const writer = new SnapshotWriter(file, header, log.dataKey, settings);
      await writer.write(log, (key) => unreadable.push(key));
    });
    if (created === undefined) {
      const message = 'there is something at the path for what is salvaged';
      throw new StashIOError('already-exists', message, { path: target, operation: 'create' });
    }
    let values = -unreadable.length;
    for (const [, { source }] of walk(log.tree.root)) if (source !== undefined) values++;
    return { values, skipped, unreadable };
  } finally {
    log.release();
  }
}
