/**
 * `secretbus/stash`: secrets in one encrypted file, where there is no Secret Service. `Stash` has a format of our own,
 * `SecureStash` that of Python's sstash.
 *
 * Imports nothing of the other areas.
 */

export {
  StashCorruptError,
  type StashCorruptErrorCode,
  StashCryptoError,
  type StashCryptoErrorCode,
  StashError,
  type StashErrorCode,
  StashFormatError,
  type StashFormatErrorCode,
  StashIOError,
  type StashIOErrorCode,
  StashKeyError,
  type StashKeyErrorCode,
  type StashPart,
  type StashStateErrorCode,
  StashValueError,
  type StashValueErrorCode,
} from './errors.js';
export type { StashKey } from './key.js';
export type { LockMode, LockOptions } from './lock/lock-options.js';
export {
  type CredentialOptions,
  generateKey,
  generateRecoveryKey,
  type KeySource,
} from './native/credentials.js';
export type {
  Derivation,
  DerivationLimitOptions,
  DerivationLimits,
  DerivationOptions,
  PasswordDerivation,
} from './native/derivation.js';
export type { Progress, ProgressOptions } from './native/kdf.js';
export type { TornTail } from './native/loaded-log.js';
export type { MaintenanceOptions, RekeyOptions, SalvageReport, VerifyReport } from './native/maintenance.js';
export {
  keyFromFile,
  passwordFromCredential,
  passwordFromDescriptor,
  passwordFromEnvironment,
  passwordFromFile,
} from './native/password-sources.js';
export type { AddSlotOptions, ChangePasswordOptions, StashSlot } from './native/slot-changes.js';
export type { SlotKind } from './native/slots.js';
export { Stash } from './native/stash.js';
export type { StashAnchor, StashOptions } from './native/stash-options.js';
export type { StashChange } from './native/watch.js';
export type {
  OperationOptions,
  Password,
  PasswordSource,
  RemoveOptions,
  SecureStashOptions,
} from './options.js';
export type { StashOperation } from './sstash/batch.js';
export type { StashEntry, StashNode } from './sstash/entries.js';
export { SecureStash } from './sstash/secure-stash.js';
export { type CopyOptions, type CopySummary, copyStash } from './transfer/copy.js';
export type {
  ReadFileOptions,
  TransferOptions,
  TransferProgress,
  TransferSummary,
  WriteDirectoryOptions,
  WriteFileOptions,
} from './transfer/options.js';
export type { StashTree } from './transfer/stash-tree.js';
