/**
 * One small interface over the Secret Service and, where the caller has configured one, a stash.
 * Imports its own area only; the backends import the others.
 */
import type { Backend, OperationOptions } from './backend.js';
import { KeyringError, toKeyringError } from './errors.js';
import { openSecretService } from './secret-service-backend.js';
import { openStash } from './stash-backend.js';

/** Where secrets are kept and how that is reached. */
export interface KeyringOptions extends OperationOptions {
  /**
   * A stash to use where there is no Secret Service. Without it there is none: secrets never go to a file that the
   * caller did not ask for.
   */
  readonly stash?: StashLocation | undefined;
  /** The place to use, whatever else there is. Without it: the Secret Service, else the stash. */
  readonly backend?: 'secret-service' | 'stash' | undefined;
  /** Address of the bus to look for the Secret Service on; without it the session bus. */
  readonly address?: string | undefined;
  /** The environment to find the session bus by; `process.env` if not given. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Milliseconds for each operation on the Secret Service; 25 s if not given. */
  readonly timeoutMs?: number | undefined;
}

/** An encrypted file of the sstash format. */
export interface StashLocation {
  readonly path: string;
  /** The password, or a function that gets it when it is needed. */
  readonly password: string | Uint8Array | (() => string | Uint8Array | Promise<string | Uint8Array>);
  /** Makes the file if there is none. Default true. */
  readonly create?: boolean | undefined;
}

/** Secrets by service and account. Every method rejects with `KeyringError` and nothing else. */
export class Keyring {
  /** Where the secrets are kept. */
  readonly backend: 'secret-service' | 'stash';
  readonly #place: Backend;

  /** Use {@link openKeyring}. */
  constructor(place: Backend) {
    this.#place = place;
    this.backend = place.kind;
  }

  /** Gives a secret as bytes that the caller owns, or undefined if there is none. */
  get(service: string, account: string, options: OperationOptions = {}): Promise<Uint8Array | undefined> {
    return this.#run(service, account, () => this.#place.get(service, account, options));
  }

  /** Gives a secret as text, or undefined if there is none. @throws {KeyringError} `not-text` if it is not UTF-8 */
  async getText(
    service: string,
    account: string,
    options: OperationOptions = {},
  ): Promise<string | undefined> {
    const secret = await this.get(service, account, options);
    if (secret === undefined) return undefined;
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(secret);
    } catch {
      throw new KeyringError('not-text', 'the secret is not UTF-8 text');
    } finally {
      secret.fill(0);
    }
  }

  /** Stores a secret, in place of the one there may be. Text is stored as UTF-8; bytes are copied at the call. */
  set(
    service: string,
    account: string,
    secret: string | Uint8Array,
    options: OperationOptions = {},
  ): Promise<void> {
    return this.#run(service, account, async () => {
      const bytes = bytesOf(secret);
      try {
        await this.#place.set(service, account, bytes, options);
      } finally {
        bytes.fill(0);
      }
    });
  }

  /** Deletes a secret; tells whether there was one. @throws {KeyringError} `has-children` */
  delete(service: string, account: string, options: OperationOptions = {}): Promise<boolean> {
    return this.#run(service, account, () => this.#place.delete(service, account, options));
  }

  /** Lists the accounts that have a secret for `service`, sorted, each once. */
  async list(service: string, options: OperationOptions = {}): Promise<string[]> {
    const accounts = await this.#run(service, undefined, () => this.#place.list(service, options));
    return [...new Set(accounts)].toSorted();
  }

  /** Lets go of the connection or the file, and wipes its keys. */
  async close(): Promise<void> {
    try {
      await this.#place.close();
    } catch (error) {
      throw toKeyringError(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Checks the names, runs `operation`, and turns what it throws into the error of the front door. */
  async #run<Result>(
    service: string,
    account: string | undefined,
    operation: () => Promise<Result>,
  ): Promise<Result> {
    assertName('service', service);
    if (account !== undefined) assertName('account', account);
    try {
      return await operation();
    } catch (error) {
      throw toKeyringError(error);
    }
  }
}

function assertName(what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '' || name.includes('\0') || !name.isWellFormed()) {
    throw new KeyringError('bad-argument', `the ${what} must be text, not empty and without NUL`);
  }
}

/** A copy of a secret as bytes. */
function bytesOf(secret: unknown): Uint8Array {
  if (typeof secret === 'string' && secret.isWellFormed()) return new TextEncoder().encode(secret);
  if (secret instanceof Uint8Array) return Uint8Array.from(secret);
  throw new KeyringError('bad-argument', 'the secret must be text or a Uint8Array');
}

/**
 * Opens the Secret Service or, if there is none, the stash of the options. That a service is there but locked or
 * broken is an error: secrets must not scatter over two places by chance.
 * @throws {KeyringError} `not-available` if there is neither, `bad-argument`, or the code of what went wrong
 */
export async function openKeyring(options: KeyringOptions = {}): Promise<Keyring> {
  const { backend, stash } = options;
  try {
    if (backend === 'stash') return new Keyring(await openStashAt(stash, options));
    if (backend !== undefined && backend !== 'secret-service') {
      throw new KeyringError('bad-argument', 'backend must be `secret-service` or `stash`');
    }
    return new Keyring(await openPreferred(options));
  } catch (error) {
    throw toKeyringError(error);
  }
}

async function openPreferred(options: KeyringOptions): Promise<Backend> {
  const { address, env, timeoutMs, signal } = options;
  try {
    return await openSecretService({ address, env, timeoutMs, signal });
  } catch (error) {
    const mayUseStash = options.backend === undefined && options.stash !== undefined;
    if (!mayUseStash || toKeyringError(error).code !== 'not-available') throw error;
    return await openStashAt(options.stash, options);
  }
}

function openStashAt(stash: StashLocation | undefined, { signal }: OperationOptions): Promise<Backend> {
  if (stash === undefined) throw new KeyringError('bad-argument', 'no stash is configured');
  const { path, password, create = true } = stash;
  return openStash(path, { password, create, signal });
}
