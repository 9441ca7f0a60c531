/**
 * `secretbus`: the front door. Secrets by service and account, wherever this machine keeps them.
 */
export type { OperationOptions } from './backend.js';
export { KeyringError } from './errors.js';
export { Keyring, type KeyringOptions, openKeyring, type StashLocation } from './keyring.js';
