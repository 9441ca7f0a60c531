/**
 * Collections: items that are locked and unlocked together.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Collection".
 */

import { type Attributes, assertLabel, labelFor, readAttributes } from './attributes.js';
import {
  type CollectionProperties,
  createItem,
  readCollectionProperties,
  searchCollection,
} from './calls/collection-calls.js';
import { deleteObject } from './calls/item-calls.js';
import { parseObjectPaths } from './calls/replies.js';
import type { ServiceContext } from './connection/context.js';
import { assertObject, type OperationOptions } from './connection/operation.js';
import { SecretServiceError } from './errors.js';
import { Item } from './item.js';
import { COLLECTION_INTERFACE } from './names.js';
import { type SecretInput, SecretToStore } from './secret.js';
import { SecretObject } from './secret-object.js';

/** What an item is made of. */
export interface NewItem {
  /** For people; when it is empty, one is made of the attributes' values. */
  readonly label: string;
  /** What the item is found by. They are not secret. */
  readonly attributes: Attributes;
  readonly secret: SecretInput;
  /** As in `Item.setSecret`. */
  readonly contentType?: string | undefined;
  /**
   * Lets the service overwrite an item; false if not given. Services differ in which one: most take any
   * item that has these attributes *among others*. `SecretService.set` replaces exactly.
   */
  readonly replace?: boolean | undefined;
}

/**
 * One collection, by its object path. It holds no data: every method asks the service, and rejects with
 * SecretServiceError (`not-found` if the collection is gone, `locked` if it has to be unlocked first),
 * DeadlineError or CancelledError.
 */
export class Collection extends SecretObject {
  /** @internal Collections come from the service. */
  constructor(context: ServiceContext, path: string) {
    super(context, path, COLLECTION_INTERFACE);
  }

  /**
   * Makes a new item. A `Uint8Array` is copied before this method returns.
   * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`
   */
  async createItem(item: NewItem, options: OperationOptions = {}): Promise<Item> {
    const operation = this.context.begin(options);
    assertObject(item, 'the new item');
    const { replace = false } = item;
    if (typeof replace !== 'boolean') {
      throw new SecretServiceError('bad-argument', 'replace must be a boolean');
    }
    const attributes = readAttributes(item.attributes);
    const label = labelFor(item.label, attributes);
    const secret = new SecretToStore(item.secret, item.contentType);
    try {
      const made = { label, attributes, secret, replace };
      return new Item(this.context, await createItem(this.context, operation, this.path, made));
    } finally {
      secret.wipe();
    }
  }

  /** Finds the items of this collection that have all of `attributes`, locked ones as well. */
  async search(attributes: Attributes, options: OperationOptions = {}): Promise<Item[]> {
    const operation = this.context.begin(options);
    const paths = await searchCollection(this.context, operation, this.path, readAttributes(attributes));
    return paths.map((path) => new Item(this.context, path));
  }

  /** Lists all items. */
  async items(options: OperationOptions = {}): Promise<Item[]> {
    const paths = parseObjectPaths(await this.get('Items', 'ao', options), 'Items');
    return paths.map((path) => new Item(this.context, path));
  }

  /** Writes the label. */
  async setLabel(label: string, options: OperationOptions = {}): Promise<void> {
    const operation = this.context.begin(options);
    assertLabel(label);
    await this.put('Label', 's', label, operation);
  }

  /** Reads the label, the times, the items' paths and whether the collection is locked, in one call. */
  async properties(options: OperationOptions = {}): Promise<CollectionProperties> {
    return await readCollectionProperties(this.context, this.context.begin(options), this.path);
  }

  /**
   * Deletes the collection with all its items.
   * @throws {SecretServiceError} `prompt-required`, `prompt-dismissed`
   */
  async delete(options: OperationOptions = {}): Promise<void> {
    await deleteObject(this.context, this.context.begin(options), this.path, COLLECTION_INTERFACE);
  }
}
