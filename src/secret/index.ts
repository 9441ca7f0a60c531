/**
 * `secretbus/secret`: a client of the freedesktop.org Secret Service (GNOME Keyring, KWallet,
 * KeePassXC, …).
 */

export type { Attributes } from './attributes.js';
export type { CollectionProperties } from './calls/collection-calls.js';
export type { ItemProperties } from './calls/item-calls.js';
export { Collection, type NewItem } from './collection.js';
export type { BusOptions, ConnectOptions } from './connection/connect.js';
export type { OperationOptions, PromptOptions, PromptPolicy } from './connection/operation.js';
export type { SessionInfo, SessionPolicy } from './connection/session.js';
export { SecretServiceError, type SecretServiceErrorCode, type SecretServiceErrorOptions } from './errors.js';
export {
  type CreateWithPasswordOptions,
  createCollectionWithPassword,
  unlockWithPassword,
} from './gnome-keyring.js';
export { Item, type SetSecretOptions } from './item.js';
export type { SessionAlgorithm } from './names.js';
export { isAvailable, type Probe, probe, type ServiceState } from './probe.js';
export {
  defineSchema,
  type Schema,
  type SchemaFields,
  type SchemaType,
  type SchemaValues,
} from './schema.js';
export { Secret, type SecretInput } from './secret.js';
export type { SecretObject } from './secret-object.js';
export { SecretService } from './service.js';
export type {
  CreateCollectionOptions,
  DefaultCollectionOptions,
  FindOptions,
  FoundItem,
  FoundItems,
  MatchOptions,
  SetOptions,
} from './service-options.js';
export type { ServiceChange, Watch, WatchOptions } from './watch.js';
