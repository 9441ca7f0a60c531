/**
 * An encrypted file as a place for the front door to keep secrets: the key of a secret is `[service, account]`.
 * Imports `stash` by its index.
 */
import { SecureStash, type SecureStashOptions, StashKeyError } from '../stash/index.js';
import type { Backend, OperationOptions } from './backend.js';
import { KeyringError } from './errors.js';

class StashBackend implements Backend {
  readonly kind = 'stash';
  readonly #stash: SecureStash;

  constructor(stash: SecureStash) {
    this.#stash = stash;
  }

  async get(service: string, account: string, options: OperationOptions): Promise<Uint8Array | undefined> {
    return orMissing(this.#stash.read([service, account], options), undefined);
  }

  set(service: string, account: string, secret: Uint8Array, options: OperationOptions): Promise<void> {
    return this.#stash.write([service, account], secret, options);
  }

  async delete(service: string, account: string, options: OperationOptions): Promise<boolean> {
    const key = [service, account];
    if (!(await this.#stash.has(key, options))) return false;
    const below = await orMissing(this.#stash.children(key, options), []);
    // Removing a key removes all below it, which another program may have put there.
    if (below.length > 0) throw new KeyringError('has-children', 'other secrets are kept below this one');
    const removed = await orMissing(this.#stash.remove(key, options), undefined);
    removed?.fill(0);
    return removed !== undefined;
  }

  async list(service: string, options: OperationOptions): Promise<string[]> {
    const names = await orMissing(this.#stash.children([service], options), []);
    const accounts: string[] = [];
    for (const name of names) if (await this.#stash.has([service, name], options)) accounts.push(name);
    return accounts;
  }

  close(): Promise<void> {
    return this.#stash.close();
  }
}

/** What `result` comes to, or `missing` when there is no such key or it has no value. */
async function orMissing<Result, Missing>(
  result: Promise<Result>,
  missing: Missing,
): Promise<Result | Missing> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof StashKeyError && (error.code === 'key-not-found' || error.code === 'no-value'))
      return missing;
    throw error;
  }
}

/** Opens a file, making it if `create` says so. @throws what `SecureStash.open` throws */
export async function openStash(path: string, options: SecureStashOptions): Promise<Backend> {
  return new StashBackend(await SecureStash.open(path, options));
}
