/**
 * Collections: items that are locked and unlocked together.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Collection".
 */

import { type Attributes, labelFor, readAttributes } from './attributes.js';
import type { Property } from './caller.js';
import { createItem, searchCollection } from './collection-calls.js';
import type { ServiceContext } from './context.js';
import { SecretServiceError } from './errors.js';
import { Item } from './item.js';
import { COLLECTION_INTERFACE } from './names.js';
import { assertObject, type OperationOptions } from './operation.js';
import { parseBoolean, parseObjectPaths, parseString } from './replies.js';
import { type SecretInput, SecretToStore } from './secret.js';

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
export class Collection {
  readonly path: string;
  readonly #context: ServiceContext;

  /** @internal Collections come from the service. */
  constructor(context: ServiceContext, path: string) {
    this.#context = context;
    this.path = path;
  }

  /** @internal Tells whether this collection came from the connection of `context`. */
  belongsTo(context: ServiceContext): boolean {
    return this.#context === context;
  }

  /**
   * Makes a new item. A `Uint8Array` is copied before this method returns.
   * @throws {SecretServiceError} `prompt-required`
   */
  async createItem(item: NewItem, options: OperationOptions = {}): Promise<Item> {
    const operation = this.#context.begin(options);
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
      return new Item(this.#context, await createItem(this.#context, operation, this.path, made));
    } finally {
      secret.wipe();
    }
  }

  /** Finds the items of this collection that have all of `attributes`, locked ones as well. */
  async search(attributes: Attributes, options: OperationOptions = {}): Promise<Item[]> {
    const operation = this.#context.begin(options);
    const paths = await searchCollection(this.#context, operation, this.path, readAttributes(attributes));
    return paths.map((path) => new Item(this.#context, path));
  }

  /** Lists all items. */
  async items(options: OperationOptions = {}): Promise<Item[]> {
    const paths = parseObjectPaths(await this.#get('Items', 'ao', options), 'Items');
    return paths.map((path) => new Item(this.#context, path));
  }

  /** Reads the label. */
  async label(options: OperationOptions = {}): Promise<string> {
    return parseString(await this.#get('Label', 's', options), 'Label');
  }

  /** Writes the label. */
  async setLabel(label: string, options: OperationOptions = {}): Promise<void> {
    const operation = this.#context.begin(options);
    await this.#context.caller.setProperty(operation, this.#property('Label', 's'), label);
  }

  /** Tells whether the collection is locked. */
  async locked(options: OperationOptions = {}): Promise<boolean> {
    return parseBoolean(await this.#get('Locked', 'b', options), 'Locked');
  }

  #property(name: string, signature: string): Property {
    return { path: this.path, interface: COLLECTION_INTERFACE, name, signature };
  }

  async #get(name: string, signature: string, options: OperationOptions): Promise<unknown> {
    const operation = this.#context.begin(options);
    return await this.#context.caller.getProperty(operation, this.#property(name, signature));
  }
}
