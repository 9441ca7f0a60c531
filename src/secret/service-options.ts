/** What the methods of the service take and give beside items, collections and secrets. */

import { type Attributes, readSelectiveAttributes } from './attributes.js';
import type { Wanted } from './calls/wanted.js';
import type { Collection } from './collection.js';
import type { OperationOptions } from './connection/operation.js';
import { SecretServiceError } from './errors.js';
import type { Item } from './item.js';
import type { Secret } from './secret.js';

/** What a search finds. */
export interface FoundItems {
  readonly unlocked: Item[];
  readonly locked: Item[];
}

/** What the verbs that find items by attributes take. */
export interface MatchOptions extends OperationOptions {
  /**
   * Only the item made with exactly these attributes, and none that has them among others; false if not given.
   * Attributes that services are known to add do not count. An item with more attributes was made by another program, or
   * for another purpose: a search finds it all the same.
   */
  readonly exact?: boolean | undefined;
}

/** What {@link SecretService.set} takes beside the attributes and the secret. */
export interface SetOptions extends OperationOptions {
  /** The label, also for an item that exists. Without it, or empty, one is made of the attributes. */
  readonly label?: string | undefined;
  /** As in `Item.setSecret`. */
  readonly contentType?: string | undefined;
  /** Where to look and store. Without it every collection is looked in, and the default one stored in. */
  readonly collection?: Collection | undefined;
}

/** What {@link SecretService.findAll} takes. */
export interface FindOptions extends MatchOptions {
  /** Reads the labels too, which takes the service half as long again; false if not given. */
  readonly labels?: boolean | undefined;
}

/** An item that {@link SecretService.findAll} has found, with what it holds. */
export interface FoundItem {
  readonly item: Item;
  /** With the option `labels`; else undefined. */
  readonly label: string | undefined;
  /** Services add attributes of their own, such as `xdg:schema`. */
  readonly attributes: ReadonlyMap<string, string>;
  /** Owned by the caller. */
  readonly secret: Secret;
}

/** What {@link SecretService.defaultCollection} takes. */
export interface DefaultCollectionOptions extends OperationOptions {
  /** Creates the collection if there is none, with this label, or with `Default` if true; false if not given. */
  readonly create?: boolean | string | undefined;
}

/** What {@link SecretService.createCollection} takes beside the label. */
export interface CreateCollectionOptions extends OperationOptions {
  /** The alias that the collection is to have, such as `default`. A collection that has it already is given back. */
  readonly alias?: string | undefined;
}

/** @throws {SecretServiceError} `bad-argument` */
export function readWanted(attributes: Attributes, options: MatchOptions): Wanted {
  const { exact = false } = options;
  if (typeof exact !== 'boolean') throw new SecretServiceError('bad-argument', 'exact must be a boolean');
  return { attributes: readSelectiveAttributes(attributes), isExact: exact };
}

/** @throws {SecretServiceError} `bad-argument` */
export function assertString(value: unknown, what: string): asserts value is string {
  if (typeof value !== 'string') throw new SecretServiceError('bad-argument', `${what} must be a string`);
}

/** Each path once. */
export function pathsOf(items: readonly Item[]): string[] {
  return [...new Set(items.map(({ path }) => path))];
}
