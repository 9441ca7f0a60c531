/**
 * `secretbus/stash`: secrets in one encrypted file, where there is no Secret Service.
 *
 * Imports nothing of the other areas.
 */

export {
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
export type {
  OperationOptions,
  Password,
  PasswordSource,
  RemoveOptions,
  SecureStashOptions,
} from './options.js';
export type { StashOperation } from './sstash/batch.js';
export type { StashEntry } from './sstash/entries.js';
export { SecureStash } from './sstash/secure-stash.js';
