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

  async delete(service: string, account: string, { signal }: OperationOptions): Promise<boolean> {
    try {
      const removed = await this.#stash.remove([service, account], { signal, recursive: false });
      removed?.fill(0);
      return removed !== undefined;
    } catch (error) {
      if (!(error instanceof StashKeyError)) throw error;
      if (error.code === 'key-not-found') return false;
      if (error.code !== 'has-children') throw error;
      // Another program may have put something below a name of ours, and need not have a secret at it.
      if (error.hasValue !== true) return false;
      throw new KeyringError('has-children', 'other secrets are kept below this one', { cause: error });
    }
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
