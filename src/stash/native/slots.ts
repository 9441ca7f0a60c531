/**
 * Key slots of the native format: the data key, wrapped under each secret that opens the stash
 * (`docs/stash-format.md`, "Key slots").
 *
 * A right commitment means the right secret, so that a wrong one and damage are told apart.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { equalBytes } from '@noble/ciphers/utils.js';
import { StashCorruptError, StashCryptoError, StashValueError } from '../errors.js';
import { hkdfSha256 } from '../hashing.js';
import { decryptBody, encryptBody } from './cipher.js';
import type { Secret } from './credentials.js';
import {
  type Derivation,
  type DerivationLimits,
  hardLimits,
  isDerivation,
  keyByteLength,
  type PasswordDerivation,
} from './derivation.js';
import { derive, type ProgressOptions } from './kdf.js';

/** What opens a slot. */
export type SlotKind = 'password' | 'recovery' | 'key';

/** A key slot in use. Nothing in it is secret; `label` is not even encrypted. */
export interface Slot {
  readonly kind: SlotKind;
  readonly derivation: Derivation;
  /** 16 bytes, random. */
  readonly id: Uint8Array;
  /** 32 bytes, random. */
  readonly salt: Uint8Array;
  /** 32 bytes. */
  readonly commitment: Uint8Array;
  /** 24 bytes, random. */
  readonly nonce: Uint8Array;
  /** The data key, encrypted: 48 bytes. */
  readonly wrapped: Uint8Array;
  /** At most 24 bytes of UTF-8, without NUL. */
  readonly label: string;
}

/** The byte length of a slot in a header page. */
export const slotByteLength = 192;

/** Where the slots begin in a header page. */
export const slotsOffset = 96;

const wrappedByteLength = 48;

const labelOffset = 168;

/** How much of a slot its wrapped key is bound to. */
const boundByteLength = 96;

// In the order of their numbers: kinds from 1, since 0 is a free slot, and derivations from 0.
const kinds: readonly SlotKind[] = ['password', 'recovery', 'key'];
const derivations: readonly Derivation['name'][] = ['none', 'scrypt', 'argon2id', 'pbkdf2'];

/** libsodium's Argon2 takes no longer salts, and a reader may be made with it. */
const argon2SaltByteLength = 16;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function damagedSlot(message: string, offset: number, options?: ErrorOptions): StashCorruptError {
  return new StashCorruptError('damaged-slot', message, offset, options);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function parametersOf(derivation: Derivation): [number, number, number] {
  switch (derivation.name) {
    case 'scrypt':
      return [Math.log2(derivation.N), derivation.r, derivation.p];
    case 'argon2id':
      return [derivation.memoryKiB, derivation.passes, derivation.lanes];
    case 'pbkdf2':
      return [derivation.iterations, 0, 0];
    default:
      return [0, 0, 0];
  }
}

function derivationFrom(number: number, a: number, b: number, c: number): Derivation | undefined {
  switch (derivations[number]) {
    case 'scrypt':
      // Larger ones are no numbers; what is merely too much is for the limits to say.
      return a < 64 ? { name: 'scrypt', N: 2 ** a, r: b, p: c } : undefined;
    case 'argon2id':
      return { name: 'argon2id', memoryKiB: a, passes: b, lanes: c };
    case 'pbkdf2':
      return b === 0 && c === 0 ? { name: 'pbkdf2', iterations: a } : undefined;
    case 'none':
      return a === 0 && b === 0 && c === 0 ? { name: 'none' } : undefined;
    default:
      return undefined;
  }
}

/** Returns the text before the zeros, or `undefined` where anything but zeros follows one or it is not UTF-8. */
function labelFrom(bytes: Uint8Array): string | undefined {
  const zero = bytes.indexOf(0);
  const end = zero < 0 ? bytes.length : zero;
  if (bytes.subarray(end).some((byte) => byte !== 0)) return undefined;
  try {
    return utf8.decode(bytes.subarray(0, end));
  } catch {
    return undefined;
  }
}

/**
 * Returns the slot in 192 bytes, of which it keeps copies, or `undefined` for a free one.
 * @param offset - Byte offset of the slot in the file, for the error.
 * @throws {StashCorruptError} `damaged-slot`.
 */
export function parseSlot(bytes: Uint8Array, offset: number): Slot | undefined {
  if (bytes.every((byte) => byte === 0)) return undefined;
  const view = viewOf(bytes);
  const kind = kinds[view.getUint8(0) - 1];
  const [a, b, c] = [view.getUint32(4, true), view.getUint32(8, true), view.getUint32(12, true)];
  const derivation = derivationFrom(view.getUint8(1), a, b, c);
  const label = labelFrom(bytes.subarray(labelOffset));
  if (
    kind === undefined ||
    derivation === undefined ||
    label === undefined ||
    view.getUint16(2) !== 0 ||
    !isDerivation(derivation) ||
    (kind === 'password') === (derivation.name === 'none')
  ) {
    throw damagedSlot('a key slot is not one', offset);
  }
  return {
    kind,
    derivation,
    id: bytes.slice(16, 32),
    salt: bytes.slice(32, 64),
    commitment: bytes.slice(64, 96),
    nonce: bytes.slice(96, 120),
    wrapped: bytes.slice(120, 168),
    label,
  };
}

/** Returns the 192 bytes of a slot. */
export function formatSlot(slot: Slot): Uint8Array {
  const bytes = new Uint8Array(slotByteLength);
  const view = viewOf(bytes);
  view.setUint8(0, kinds.indexOf(slot.kind) + 1);
  view.setUint8(1, derivations.indexOf(slot.derivation.name));
  for (const [index, parameter] of parametersOf(slot.derivation).entries()) {
    view.setUint32(4 + 4 * index, parameter, true);
  }
  bytes.set(slot.id, 16);
  bytes.set(slot.salt, 32);
  bytes.set(slot.commitment, 64);
  bytes.set(slot.nonce, 96);
  bytes.set(slot.wrapped, 120);
  bytes.set(new TextEncoder().encode(slot.label), labelOffset);
  return bytes;
}

function random(byteLength: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(byteLength));
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

function associatedData(storeId: Uint8Array, slot: Slot): Uint8Array {
  return concat(storeId, formatSlot(slot).subarray(0, boundByteLength));
}

/** Returns the wrapping key and the commitment in one buffer, to be wiped. */
async function deriveSlotKeys(
  slot: Pick<Slot, 'id' | 'salt' | 'derivation'>,
  storeId: Uint8Array,
  secret: Secret,
  limits: DerivationLimits,
  progress: ProgressOptions,
): Promise<Uint8Array> {
  const isArgon2 = slot.derivation.name === 'argon2id';
  const salt = isArgon2 ? slot.salt.subarray(0, argon2SaltByteLength) : slot.salt;
  const key = await derive(secret.bytes, salt, slot.derivation, limits, progress);
  try {
    return hkdfSha256(key, concat(storeId, slot.id), 'secretbus stash 1 slot', 2 * keyByteLength);
  } finally {
    key.fill(0);
  }
}

/**
 * Returns the data key, which the caller owns and should wipe, and the first slot that has it under this secret;
 * `undefined` where none has. Only slots of the secret's kind are tried, one after another.
 * @param secret - Must stay as it is until this settles; not changed.
 * @throws {StashCryptoError} `derivation-too-costly` or `derivation-failed`, if no other slot fits.
 * @throws {StashCorruptError} `damaged-slot`; its offset counts in the first header page, as if no slot were free.
 * @throws {StashError} `cancelled`.
 */
export async function openSlots(
  slots: readonly Slot[],
  storeId: Uint8Array,
  secret: Secret,
  limits: DerivationLimits,
  { signal, onProgress }: ProgressOptions,
): Promise<{ dataKey: Uint8Array; slot: Slot } | undefined> {
  const candidates = slots.filter((slot) => slot.kind === secret.kind);
  let failure: StashCryptoError | undefined;
  for (const [index, slot] of candidates.entries()) {
    const report: ProgressOptions['onProgress'] =
      onProgress && (({ phase, done }) => onProgress({ phase, done: (index + done) / candidates.length }));
    let keys: Uint8Array;
    try {
      keys = await deriveSlotKeys(slot, storeId, secret, limits, { signal, onProgress: report });
    } catch (error) {
      if (!(error instanceof StashCryptoError)) throw error;
      failure ??= error;
      continue;
    }
    try {
      if (!equalBytes(keys.subarray(keyByteLength), slot.commitment)) continue;
      const wrappingKey = keys.subarray(0, keyByteLength);
      const dataKey = decryptBody(wrappingKey, slot.nonce, associatedData(storeId, slot), slot.wrapped);
      if (dataKey !== undefined) return { dataKey, slot };
      const offset = slotsOffset + slots.indexOf(slot) * slotByteLength;
      throw damagedSlot('a key slot fits the secret, but its key does not authenticate', offset);
    } finally {
      keys.fill(0);
    }
  }
  if (failure !== undefined) throw failure;
  return undefined;
}

/**
 * Checks the label of a slot.
 * @throws {StashValueError} `bad-option` unless it is well-formed text of at most 24 bytes of UTF-8, without NUL.
 */
export function parseLabel(label: unknown): string {
  if (
    typeof label === 'string' &&
    !/\0|\p{Surrogate}/u.test(label) &&
    new TextEncoder().encode(label).length <= slotByteLength - labelOffset
  ) {
    return label;
  }
  throw new StashValueError('bad-option', 'a label must be text of at most 24 bytes in UTF-8, without NUL');
}

/**
 * Returns a new slot that has the data key under the secret.
 * @param secret - Must stay as it is until this settles; not changed.
 * @param options - The derivation is for passwords; keys and recovery keys need none.
 * @throws {StashValueError} `bad-option` for the label.
 * @throws {StashCryptoError} `derivation-failed`.
 * @throws {StashError} `cancelled`.
 */
export async function makeSlot(
  dataKey: Uint8Array,
  storeId: Uint8Array,
  secret: Secret,
  { derivation, label }: { readonly derivation: PasswordDerivation; readonly label: string },
  progress: ProgressOptions,
): Promise<Slot> {
  const parts = {
    kind: secret.kind,
    derivation: secret.kind === 'password' ? derivation : ({ name: 'none' } as const),
    id: random(16),
    salt: random(32),
    nonce: random(24),
    label: parseLabel(label),
  };
  const keys = await deriveSlotKeys(parts, storeId, secret, hardLimits, progress);
  try {
    const slot = { ...parts, commitment: keys.slice(keyByteLength), wrapped: new Uint8Array() };
    const wrapped = new Uint8Array(wrappedByteLength);
    encryptBody(keys.subarray(0, keyByteLength), slot.nonce, associatedData(storeId, slot), dataKey, wrapped);
    return { ...slot, wrapped };
  } finally {
    keys.fill(0);
  }
}

/** From the weakest to the strongest, whatever they cost. */
const ranks: readonly Derivation['name'][] = ['none', 'pbkdf2', 'scrypt', 'argon2id'];

/** Bytes of memory filled, or iterations: comparable but for PBKDF2 with the others. */
function costOf(derivation: Derivation): number {
  switch (derivation.name) {
    case 'scrypt':
      return 128 * derivation.N * derivation.r * derivation.p;
    case 'argon2id':
      return 1024 * derivation.memoryKiB * derivation.passes;
    case 'pbkdf2':
      return derivation.iterations;
    default:
      return 0;
  }
}

/**
 * Whether the password of a slot should be wrapped anew with the derivation that is wanted: PBKDF2 is weaker
 * than the others, less cost is weaker than more, and scrypt is weaker than an Argon2id of no less cost. Never
 * true both ways, so that two programs with different wishes do not take turns.
 */
export function isWeaker(slot: Slot, wanted: Derivation): boolean {
  const { derivation, kind } = slot;
  if (kind !== 'password') return false;
  const rank = ranks.indexOf(wanted.name) - ranks.indexOf(derivation.name);
  if (rank === 0) return costOf(derivation) < costOf(wanted);
  return rank > 0 && (derivation.name === 'pbkdf2' || costOf(derivation) <= costOf(wanted));
}
