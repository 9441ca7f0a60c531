/**
 * One small interface over the Secret Service and, where the caller has configured one, a stash.
 * Imports its own area only; the backends import the others.
 */
import type { Backend, OperationOptions } from './backend.js';
import { KeyringError, toKeyringError } from './errors.js';
import { isAbsent, openSecretService } from './secret-service-backend.js';
import { openStash } from './stash-backend.js';

/** Where secrets are kept and how that is reached. */
export interface KeyringOptions extends OperationOptions {
  /**
   * A stash to use where there certainly is no Secret Service: the environment leads to no bus, or nothing on the bus is
   * or can be started as one. Without it there is none: secrets never go to a file that the caller did not ask for.
   */
  readonly stash?: StashLocation | undefined;
  /** The place to use, whatever else there is. Without it: the Secret Service, else the stash. */
  readonly backend?: 'secret-service' | 'stash' | undefined;
  /** Address of the bus to look for the Secret Service on, which has to be there; without it the session bus. */
  readonly address?: string | undefined;
  /** The environment to find the session bus by; `process.env` if not given. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Milliseconds for each operation on the Secret Service; 25 s if not given. */
  readonly timeoutMs?: number | undefined;
  /**
   * Whether the Secret Service may ask the user, for instance to unlock what is locked; `allow` if not given. With
   * `never` what is locked is an error.
   */
  readonly prompt?: 'allow' | 'never' | undefined;
  /** Milliseconds for the user to answer; they are no part of `timeoutMs`; 120 s if not given. */
  readonly promptTimeoutMs?: number | undefined;
}

/** An encrypted file of the sstash format. */
export interface StashLocation {
  readonly path: string;
  /** The password, or a function that gets it when it is needed. */
  readonly password: string | Uint8Array | (() => string | Uint8Array | Promise<string | Uint8Array>);
  /** Makes the file if there is none. Default true. */
  readonly create?: boolean | undefined;
}

/**
 * Secrets by service and account. Every method rejects with `KeyringError` and nothing else.
 *
 * What counts as the secret of a service and an account: on the Secret Service the item with the attributes
 * `xdg:schema` = `org.freedesktop.Secret.Generic`, `service` and `account` and with no others but those that services are
 * known to add, in any collection, as keytar makes it too; in a stash the value at the key `[service, account]`. An item
 * with more attributes and a value at a deeper key are others' secrets: they are not given, not listed and not deleted.
 */
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
    return this.#run({ service, account, options }, () => this.#place.get(service, account, options));
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
    return this.#run({ service, account, options }, async () => {
      const bytes = bytesOf(secret);
      try {
        await this.#place.set(service, account, bytes, options);
      } finally {
        bytes.fill(0);
      }
    });
  }

  /**
   * Deletes a secret; tells whether there was one.
   * @throws {KeyringError} `has-children` where a stash has values below it, which would go with it; nothing is deleted
   */
  delete(service: string, account: string, options: OperationOptions = {}): Promise<boolean> {
    return this.#run({ service, account, options }, () => this.#place.delete(service, account, options));
  }

  /** Lists the accounts that have a secret for `service`, sorted, each once. */
  async list(service: string, options: OperationOptions = {}): Promise<string[]> {
    const accounts = await this.#run({ service, options }, () => this.#place.list(service, options));
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

  /** Checks what the caller gave, runs `operation`, and turns what it throws into the error of the front door. */
  async #run<Result>(
    given: { service: string; account?: string; options: OperationOptions },
    operation: () => Promise<Result>,
  ): Promise<Result> {
    assertName('service', given.service);
    if ('account' in given) assertName('account', given.account);
    assertOptions(given.options);
    try {
      return await operation();
    } catch (error) {
      throw toKeyringError(error);
    }
  }
}

function assertObject(what: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) {
    throw new KeyringError('bad-argument', `${what} must be an object`);
  }
}

/** A signal is known by its shape: it may come from another realm. */
function assertOptions(options: unknown): void {
  assertObject('the options', options);
  const { signal }: { signal?: unknown } = options;
  if (signal === undefined) return;
  assertObject('the signal', signal);
  const { aborted, addEventListener }: Partial<AbortSignal> = signal;
  if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function') {
    throw new KeyringError('bad-argument', 'the signal must be an AbortSignal');
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
 * Opens the Secret Service or, if there certainly is none, the stash of the options. A service that is there but locked
 * or broken, or a bus that does not answer or let us in, is an error: secrets must not scatter over two places by chance.
 * @throws {KeyringError} `not-available` if there is neither, `bad-argument`, or the code of what went wrong
 */
export async function openKeyring(options: KeyringOptions = {}): Promise<Keyring> {
  try {
    assertKeyringOptions(options);
    return new Keyring(await (options.backend === 'stash' ? openStashOf(options) : openPreferred(options)));
  } catch (error) {
    throw toKeyringError(error);
  }
}

/** Checks what the backends do not: they check the rest when they use it. */
function assertKeyringOptions(options: KeyringOptions): void {
  assertOptions(options);
  const { backend, stash, env, address } = options;
  if (backend !== undefined && backend !== 'secret-service' && backend !== 'stash') {
    throw new KeyringError('bad-argument', 'backend must be `secret-service` or `stash`');
  }
  if (stash !== undefined) assertObject('stash', stash);
  if (env !== undefined) assertObject('env', env);
  if (address !== undefined && typeof address !== 'string') {
    throw new KeyringError('bad-argument', 'address must be a string');
  }
}

async function openPreferred(options: KeyringOptions): Promise<Backend> {
  const { address, env, timeoutMs, prompt, promptTimeoutMs, signal } = options;
  try {
    return await openSecretService({ address, env, timeoutMs, prompt, promptTimeoutMs, signal });
  } catch (error) {
    const mayUseStash = options.backend === undefined && options.stash !== undefined;
    if (!mayUseStash || !isAbsent(error)) throw error;
    return await openStashOf(options);
  }
}

function openStashOf({ stash, signal }: KeyringOptions): Promise<Backend> {
  if (stash === undefined) throw new KeyringError('bad-argument', 'no stash is configured');
  const { path, password, create = true } = stash;
  return openStash(path, { password, create, signal });
}
