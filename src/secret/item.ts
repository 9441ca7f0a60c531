/**
 * Items: a secret with a label and attributes.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Item".
 */

import { type Attributes, labelFor, readAttributes } from './attributes.js';
import type { ServiceContext } from './context.js';
import {
  attributesProperty,
  deleteItem,
  itemProperty,
  readItemAttributes,
  readSecret,
  writeLabel,
  writeSecret,
} from './item-calls.js';
import type { OperationOptions } from './operation.js';
import { parseBoolean, parseString } from './replies.js';
import { type Secret, type SecretInput, SecretToStore } from './secret.js';

/** What storing a secret takes. */
export interface SetSecretOptions extends OperationOptions {
  /**
   * The content type. Without it `text/plain` for text and valid UTF-8, otherwise
   * `application/octet-stream`. Services differ in what they keep of it.
   */
  readonly contentType?: string | undefined;
}

/**
 * One item of a collection, by its object path. It holds no data: every method asks the service, and
 * rejects with SecretServiceError (`not-found` if the item is gone, `locked` if it has to be unlocked
 * first), DeadlineError or CancelledError.
 */
export class Item {
  readonly path: string;
  readonly #context: ServiceContext;

  /** @internal Items come from collections and searches. */
  constructor(context: ServiceContext, path: string) {
    this.#context = context;
    this.path = path;
  }

  /** @internal Tells whether this item came from the connection of `context`: others know nothing of it. */
  belongsTo(context: ServiceContext): boolean {
    return this.#context === context;
  }

  /**
   * Reads the secret.
   * @returns A secret owned by the caller, who may wipe it.
   * @throws {SecretServiceError} `bad-secret` if it does not decrypt.
   */
  async getSecret(options: OperationOptions = {}): Promise<Secret> {
    return await readSecret(this.#context, this.#context.begin(options), this.path);
  }

  /** Replaces the secret. A `Uint8Array` is copied before this method returns. */
  async setSecret(secret: SecretInput, options: SetSecretOptions = {}): Promise<void> {
    const operation = this.#context.begin(options);
    const stored = new SecretToStore(secret, options.contentType);
    try {
      await writeSecret(this.#context, operation, this.path, stored);
    } finally {
      stored.wipe();
    }
  }

  /**
   * Deletes the item.
   * @throws {SecretServiceError} `prompt-required`
   */
  async delete(options: OperationOptions = {}): Promise<void> {
    await deleteItem(this.#context, this.#context.begin(options), this.path);
  }

  /** Reads the label. */
  async label(options: OperationOptions = {}): Promise<string> {
    return parseString(await this.#get('Label', 's', options), 'Label');
  }

  /** Writes the label. In the place of an empty one comes one made of the item's attributes. */
  async setLabel(label: string, options: OperationOptions = {}): Promise<void> {
    const operation = this.#context.begin(options);
    const attributes =
      label === ''
        ? await readItemAttributes(this.#context, operation, this.path)
        : new Map<string, string>();
    await writeLabel(this.#context, operation, this.path, labelFor(label, attributes));
  }

  /**
   * Reads the attributes, in the order the service gives them.
   * @returns A new Map. Services add attributes of their own, such as `xdg:schema`.
   */
  async attributes(options: OperationOptions = {}): Promise<Map<string, string>> {
    return await readItemAttributes(this.#context, this.#context.begin(options), this.path);
  }

  /** Replaces the attributes. Some services keep those that they have added. */
  async setAttributes(attributes: Attributes, options: OperationOptions = {}): Promise<void> {
    const operation = this.#context.begin(options);
    const wanted = readAttributes(attributes);
    await this.#context.caller.setProperty(operation, attributesProperty(this.path), wanted);
  }

  /** Tells whether the item is locked. */
  async locked(options: OperationOptions = {}): Promise<boolean> {
    return parseBoolean(await this.#get('Locked', 'b', options), 'Locked');
  }

  async #get(name: string, signature: string, options: OperationOptions): Promise<unknown> {
    const operation = this.#context.begin(options);
    return await this.#context.caller.getProperty(operation, itemProperty(this.path, name, signature));
  }
}
