/**
 * What collections and items have in common: a path, a label, times, and being locked.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Collection" and "org.freedesktop.Secret.Item".
 */

import { assertUnlocked, type Lockable } from './calls/locked.js';
import { lockAll, unlockAll } from './calls/locking.js';
import { parseBoolean, parseString, parseTime } from './calls/replies.js';
import type { ServiceContext } from './connection/context.js';
import type { Operation, OperationOptions } from './connection/operation.js';
import { SecretServiceError } from './errors.js';

/** A collection or an item, by its object path. It holds no data: every method asks the service. */
export abstract class SecretObject implements Lockable {
  /** The object path. */
  readonly path: string;
  readonly #context: ServiceContext;
  readonly #interfaceName: string;

  /** @internal They come from the service. */
  constructor(context: ServiceContext, path: string, interfaceName: string) {
    this.#context = context;
    this.path = path;
    this.#interfaceName = interfaceName;
  }

  /** @internal A getter of the prototype, where `inspect` does not look. */
  get context(): ServiceContext {
    return this.#context;
  }

  /** @internal */
  get interfaceName(): string {
    return this.#interfaceName;
  }

  /** Reads the label. */
  async label(options: OperationOptions = {}): Promise<string> {
    return parseString(await this.get('Label', 's', options), 'Label');
  }

  /** Tells whether the object is locked. */
  async locked(options: OperationOptions = {}): Promise<boolean> {
    return parseBoolean(await this.get('Locked', 'b', options), 'Locked');
  }

  /** Reads when it was made; undefined where the service does not know. */
  async created(options: OperationOptions = {}): Promise<Date | undefined> {
    return parseTime(await this.get('Created', 't', options), 'Created');
  }

  /** Reads when it was last changed; undefined where the service does not know. */
  async modified(options: OperationOptions = {}): Promise<Date | undefined> {
    return parseTime(await this.get('Modified', 't', options), 'Modified');
  }

  /** @throws {SecretServiceError} `locked` if it is locked */
  async assertUnlocked(options: OperationOptions = {}): Promise<void> {
    await this.checkUnlocked(this.#context.begin(options));
  }

  /**
   * Unlocks it, and what the service locks together with it: an item mostly its whole collection.
   * @throws {SecretServiceError} `locked` if the service leaves it locked, `not-found`, `prompt-required`,
   * `prompt-dismissed`
   */
  async unlock(options: OperationOptions = {}): Promise<void> {
    const unlocked = await unlockAll(this.#context, this.#context.begin(options), [this]);
    if (!unlocked.has(this.path)) {
      throw new SecretServiceError('locked', 'Unlock: the service has left it locked', {
        lockedPaths: [this.path],
      });
    }
  }

  /**
   * Locks it, and what the service locks together with it: an item mostly its whole collection.
   * @throws {SecretServiceError} `failed` if the service leaves it unlocked, `not-found`, `prompt-required`,
   * `prompt-dismissed`
   */
  async lock(options: OperationOptions = {}): Promise<void> {
    const locked = await lockAll(this.#context, this.#context.begin(options), [this]);
    if (!locked.has(this.path)) {
      throw new SecretServiceError('failed', 'Lock: the service has left it unlocked');
    }
  }

  /** @internal */
  protected async get(name: string, signature: string, options: OperationOptions): Promise<unknown> {
    const operation = this.#context.begin(options);
    const property = { path: this.path, interface: this.#interfaceName, name, signature };
    return await this.#context.getProperty(operation, property);
  }

  /** @internal */
  protected async checkUnlocked(operation: Operation): Promise<void> {
    await assertUnlocked(this.#context, operation, this);
  }

  /** @internal */
  protected async put(name: string, signature: string, value: unknown, operation: Operation): Promise<void> {
    await this.checkUnlocked(operation);
    const property = { path: this.path, interface: this.#interfaceName, name, signature };
    await this.#context.setProperty(operation, property, value);
  }
}
