/**
 * `secretbus/secret`: a client of the freedesktop.org Secret Service (GNOME Keyring, KWallet,
 * KeePassXC, …).
 */

export type { Attributes } from './attributes.js';
export { Collection, type NewItem } from './collection.js';
export type { BusOptions, ConnectOptions } from './connect.js';
export { SecretServiceError, type SecretServiceErrorCode, type SecretServiceErrorOptions } from './errors.js';
export { Item, type SetSecretOptions } from './item.js';
export type { SessionAlgorithm } from './names.js';
export type { OperationOptions } from './operation.js';
export { Secret, type SecretInput } from './secret.js';
export {
  type FoundItems,
  isAvailable,
  type MatchOptions,
  SecretService,
  type SetOptions,
} from './service.js';
export type { SessionInfo, SessionPolicy } from './session.js';
