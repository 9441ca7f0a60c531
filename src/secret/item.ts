/**
 * Items: a secret with a label and attributes.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Item".
 */

import { type Attributes, assertLabel, readAttributes } from './attributes.js';
import {
  deleteItem,
  type ItemProperties,
  readItemAttributes,
  readItemProperties,
  readSecret,
  relabel,
  writeSecret,
} from './calls/item-calls.js';
import type { ServiceContext } from './connection/context.js';
import type { OperationOptions } from './connection/operation.js';
import { errorNameOf } from './map-error.js';
import { ITEM_INTERFACE } from './names.js';
import { type Secret, type SecretInput, SecretToStore } from './secret.js';
import { SecretObject } from './secret-object.js';

/** What storing a secret takes. */
export interface SetSecretOptions extends OperationOptions {
  /**
   * The content type. Without it `text/plain` for valid UTF-8 without NUL, a byte order mark at the beginning or a word
   * in braces, which some services do not keep; otherwise `application/octet-stream`. Services differ in what they keep of it.
   */
  readonly contentType?: string | undefined;
}

/**
 * One item of a collection, by its object path. It holds no data: every method asks the service, and
 * rejects with SecretServiceError (`not-found` if the item is gone, `locked` if it has to be unlocked
 * first), DeadlineError or CancelledError.
 */
export class Item extends SecretObject {
  /** @internal Items come from collections and searches. */
  constructor(context: ServiceContext, path: string) {
    super(context, path, ITEM_INTERFACE);
  }

  /**
   * Reads the secret.
   * @returns A secret owned by the caller, who may wipe it.
   * @throws {SecretServiceError} `bad-secret` if it does not decrypt.
   */
  async getSecret(options: OperationOptions = {}): Promise<Secret> {
    return await readSecret(this.context, this.context.begin(options), this.path);
  }

  /** Replaces the secret. A `Uint8Array` is copied before this method returns. */
  async setSecret(secret: SecretInput, options: SetSecretOptions = {}): Promise<void> {
    const operation = this.context.begin(options);
    const stored = new SecretToStore(secret, options.contentType);
    try {
      await this.checkUnlocked(operation);
      await writeSecret(this.context, operation, this.path, stored);
    } finally {
      stored.wipe();
    }
  }

  /**
   * Deletes the item.
   * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`
   */
  async delete(options: OperationOptions = {}): Promise<void> {
    const operation = this.context.begin(options);
    await this.checkUnlocked(operation);
    await deleteItem(this.context, operation, this.path);
  }

  /** Writes the label. In the place of an empty one comes one made of the item's attributes. */
  async setLabel(label: string, options: OperationOptions = {}): Promise<void> {
    const operation = this.context.begin(options);
    assertLabel(label);
    await relabel(this.context, operation, this.path, label);
  }

  /**
   * Reads the attributes, in the order the service gives them.
   * @returns A new Map. Services add attributes of their own, such as `xdg:schema`.
   */
  async attributes(options: OperationOptions = {}): Promise<Map<string, string>> {
    return await readItemAttributes(this.context, this.context.begin(options), this.path);
  }

  /** Replaces the attributes. Some services keep those that they have added, and KeePassXC all there were. */
  async setAttributes(attributes: Attributes, options: OperationOptions = {}): Promise<void> {
    const operation = this.context.begin(options);
    const wanted = readAttributes(attributes);
    try {
      await this.put('Attributes', 'a{ss}', wanted, operation);
    } catch (error) {
      // KeePassXC shows these of every item, and lets nobody set them: whoever changes what was read sends them back.
      const isRefused = errorNameOf(error) === 'org.freedesktop.DBus.Error.InvalidArgs';
      if (!isRefused || !wanted.delete('Uuid') || !wanted.delete('Path')) throw error;
      await this.put('Attributes', 'a{ss}', wanted, operation);
    }
  }

  /** Reads the label, the attributes, the times and whether the item is locked, in one call. */
  async properties(options: OperationOptions = {}): Promise<ItemProperties> {
    return await readItemProperties(this.context, this.context.begin(options), this.path);
  }
}
