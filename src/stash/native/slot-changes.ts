/**
 * Adding, replacing and removing what opens a store: one write of the header, whatever the size of the store.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromAscii, bytesFromHex, equalBytes, hexText, wipe } from '../bytes.js';
import { StashValueError } from '../errors.js';
import type { Credential } from './credentials.js';
import { type Derivation, type DerivationOptions, parseDerivation } from './derivation.js';
import { maxSlots } from './header-page.js';
import type { ProgressOptions } from './kdf.js';
import { makeSlot, type Slot, type SlotKind } from './slots.js';
import type { NativeStore } from './store.js';

/** A key slot, as the file tells it to everyone. */
export interface StashSlot {
  /** 16 bytes, hexadecimal. */
  readonly id: string;
  readonly kind: SlotKind;
  readonly derivation: Derivation;
  readonly label: string;
  /** Whether this handle was opened with it. */
  readonly current: boolean;
}

/** What making a slot takes. */
export interface AddSlotOptions extends ProgressOptions {
  /** At most 24 bytes of UTF-8. Not encrypted: everyone who has the file can read it. */
  readonly label?: string | undefined;
  /** As in `StashOptions`, whose default is that of the handle. */
  readonly derivation?: DerivationOptions | undefined;
}

/** What a change of password takes. */
export interface ChangePasswordOptions extends AddSlotOptions {
  /** The id of the slot to replace. Default: the one that opened the store, or the only one with a password. */
  readonly slot?: string | undefined;
}

/** Returns the slots of the store, as they are now. */
export function listSlots(store: NativeStore): StashSlot[] {
  return store.freshHeader().slots.map(({ id, kind, derivation, label }) => ({
    id: hexText(id),
    kind,
    derivation,
    label,
    current: equalBytes(id, store.slotId),
  }));
}

/**
 * Makes a slot and writes it. The data key is wrapped under the lock: before, another process may have rekeyed the store.
 * @param old - The slot whose place it takes, if any.
 */
async function writeSlot(
  store: NativeStore,
  credential: Credential,
  { derivation: given, signal, onProgress }: AddSlotOptions,
  label: string,
  old: Slot | undefined,
): Promise<Slot> {
  const { limits, derivation: fallback } = store.options;
  const derivation = given === undefined ? fallback : parseDerivation(given, limits);
  const secret = await credential.read(signal);
  try {
    return await store.exclusively(async () => {
      const wanted = { derivation, label };
      const slot = await makeSlot(store.log.dataKey, store.storeId, secret, wanted, { signal, onProgress });
      await store.writeHeader(({ slots }) => ({ slots: replaceSlot(slots, old, slot) }));
      return slot;
    }, signal);
  } finally {
    wipe([secret.bytes]);
  }
}

/**
 * Adds a slot.
 * @returns Its id.
 * @throws {StashValueError} `slots-full`, `bad-option`, `bad-password` or `password-failed`.
 */
export async function addSlot(
  store: NativeStore,
  credential: Credential,
  options: AddSlotOptions,
): Promise<string> {
  store.assertWritable();
  const { label = '' } = options;
  return hexText((await writeSlot(store, credential, options, label, undefined)).id);
}

/** @throws {StashValueError} `no-such-slot`. */
function findSlot(slots: readonly Slot[], id: unknown): Slot {
  const bytes = typeof id === 'string' ? bytesFromHex(bytesFromAscii(id)) : 0;
  const found = typeof bytes === 'number' ? undefined : slots.find((slot) => equalBytes(slot.id, bytes));
  if (found !== undefined) return found;
  throw new StashValueError('no-such-slot', 'no key slot of the stash has this id');
}

/**
 * Removes a slot. Whoever has an old copy of the file can still open that; `rekey` keeps later changes from them.
 * @throws {StashValueError} `no-such-slot` or `last-slot`.
 */
export async function removeSlot(
  store: NativeStore,
  id: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await store.exclusively(
    () =>
      store.writeHeader(({ slots }) => {
        const removed = findSlot(slots, id);
        if (slots.length > 1) return { slots: slots.filter((slot) => slot !== removed) };
        throw new StashValueError('last-slot', 'without its last key slot nobody could open the stash');
      }),
    signal,
  );
}

/** Which slot a new password is for: undefined for a new one. */
function slotToReplace(store: NativeStore, slots: readonly Slot[], id: string | undefined): Slot | undefined {
  if (id !== undefined) return findSlot(slots, id);
  const passwords = slots.filter(({ kind }) => kind === 'password');
  const current = passwords.find((slot) => equalBytes(slot.id, store.slotId));
  if (current !== undefined || passwords.length <= 1) return current ?? passwords[0];
  throw new StashValueError('bad-option', 'several key slots have passwords: say which one by its id');
}

/**
 * Replaces the slot of a password by that of another, or adds one where there is none.
 * @param credential - The new password.
 * @returns Whether the handle has the credential from now on.
 * @throws {StashValueError} `no-such-slot`, `slots-full`, `bad-option`, `bad-password` or `password-failed`.
 */
export async function changePassword(
  store: NativeStore,
  credential: Credential,
  options: ChangePasswordOptions,
): Promise<boolean> {
  store.assertWritable();
  const old = slotToReplace(store, store.freshHeader().slots, options.slot);
  const { label = old?.label ?? '' } = options;
  const slot = await writeSlot(store, credential, options, label, old);
  if (old === undefined || !equalBytes(old.id, store.slotId)) return false;
  // Another process may rekey the store: then this handle opens it with the new password.
  store.useCredential(credential, slot);
  return true;
}

/** Returns the slots with one in the place of another. @throws {StashValueError} `no-such-slot` or `slots-full` */
export function replaceSlot(slots: readonly Slot[], old: Slot | undefined, slot: Slot): Slot[] {
  if (old !== undefined) {
    const place = slots.indexOf(findSlot(slots, hexText(old.id)));
    return slots.with(place, slot);
  }
  if (slots.length < maxSlots) return [...slots, slot];
  throw new StashValueError('slots-full', `a stash has room for ${maxSlots} key slots`);
}
