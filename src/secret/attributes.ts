/**
 * Attributes: reading them from callers, and comparing them with what services make of them.
 *
 * Secret Service specification 0.2, "Lookup Attributes". Imports no wire and no `node:`.
 */

import { SecretServiceError } from './errors.js';
import { SCHEMA_ATTRIBUTE } from './names.js';

/** Attributes as callers give them. Attributes are not secret: services show them while locked. */
export type Attributes = Readonly<Record<string, string>> | ReadonlyMap<string, string>;

/** How many attributes an item may be given. */
const MAX_ATTRIBUTES = 1024;

/** How long the names and values of an item's attributes may be, all together, in UTF-16 units. */
const MAX_ATTRIBUTES_LENGTH: number = 2 ** 20;

/** How long a label may be, in UTF-16 units. */
const MAX_LABEL_LENGTH: number = 2 ** 16;

/**
 * Reads the caller's attributes into a new Map.
 * @throws {SecretServiceError} `bad-argument` if a name or value is not a string, there are more than 1,024 of
 * them, or they are longer than 2^20 UTF-16 units: services keep them in memory, and in the clear.
 */
export function readAttributes(attributes: Attributes): Map<string, string> {
  if (typeof attributes !== 'object' || attributes === null) {
    throw new SecretServiceError('bad-argument', 'attributes must be an object or a Map');
  }
  const entries: Iterable<[unknown, unknown]> =
    attributes instanceof Map ? attributes : Object.entries(attributes);
  const read = new Map<string, string>();
  let length = 0;
  for (const [name, value] of entries) {
    if (typeof name !== 'string' || typeof value !== 'string') {
      throw new SecretServiceError('bad-argument', 'names and values of attributes must be strings');
    }
    length += name.length + value.length;
    read.set(name, value);
    if (read.size > MAX_ATTRIBUTES || length > MAX_ATTRIBUTES_LENGTH) {
      throw new SecretServiceError('bad-argument', 'there are too many attributes, or they are too long');
    }
  }
  return read;
}

/**
 * Reads attributes that decide which items are changed or deleted.
 * @throws {SecretServiceError} `bad-argument` also if there are none: they would mean every item.
 */
export function readSelectiveAttributes(attributes: Attributes): Map<string, string> {
  const read = readAttributes(attributes);
  if (read.size === 0) throw new SecretServiceError('bad-argument', 'at least one attribute is needed');
  return read;
}

/** Text that two attribute sets share exactly when they are equal. */
export function attributesKey(attributes: ReadonlyMap<string, string>): string {
  return JSON.stringify([...attributes].toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

/** Tells whether `attributes` hold every one of `wanted` with the same value. */
export function includesAttributes(
  attributes: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): boolean {
  for (const [name, value] of wanted) {
    if (attributes.get(name) !== value) return false;
  }
  return true;
}

/** What KeePassXC shows among the attributes of every item: the fields of its entry. */
const KEEPASSXC_NAMES: ReadonlySet<string> = new Set([
  'FDO_SECRETS_CONTENT_TYPE',
  'Notes',
  'Path',
  'TOTP',
  'Title',
  'Uuid',
]);

/** Fields that it shows too, and that programs use as attributes: one that is not empty was set by one of them. */
const KEEPASSXC_SHARED_NAMES: ReadonlySet<string> = new Set(['URL', 'UserName']);

/**
 * The schemas that say no more than "a secret" or "a note": GNOME Keyring gives one to an item that was
 * made without. Every other one was chosen by the program that made the item.
 */
const GENERIC_SCHEMAS: ReadonlySet<string> = new Set([
  'org.freedesktop.Secret.Generic',
  'org.gnome.keyring.Note',
]);

/**
 * Tells whether an item with `attributes` is the one that was made with `wanted`.
 *
 * Equality would be wrong, for services add attributes of their own; inclusion would be wrong too, for
 * an item with further attributes of its owner's is another item, and must not be overwritten. So
 * everything in `wanted` has to be there, and beside it only what services are known to add: a generic
 * `xdg:schema` (GNOME Keyring), `xdg:content-type` (oo7), and the fields of a KeePassXC entry, which only count as such
 * where `Uuid` and `Path`, which it always adds, are there too.
 */
export function isSameItem(
  attributes: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): boolean {
  if (!includesAttributes(attributes, wanted)) return false;
  const isAdded = (name: string): boolean => attributes.has(name) && !wanted.has(name);
  const isOfKeePassXc = isAdded('Uuid') && isAdded('Path');
  for (const [name, value] of attributes) {
    if (wanted.has(name) || isAddedByAnyService(name, value)) continue;
    const isField = KEEPASSXC_NAMES.has(name) || (KEEPASSXC_SHARED_NAMES.has(name) && value === '');
    if (!(isOfKeePassXc && isField)) return false;
  }
  return true;
}

function isAddedByAnyService(name: string, value: string): boolean {
  return name === SCHEMA_ATTRIBUTE ? GENERIC_SCHEMAS.has(value) : name === 'xdg:content-type';
}

/** @throws {SecretServiceError} `bad-argument` if `label` is no string, or longer than 2^16 UTF-16 units */
export function assertLabel(label: unknown): asserts label is string {
  if (typeof label !== 'string' || label.length > MAX_LABEL_LENGTH) {
    throw new SecretServiceError('bad-argument', `the label must be a string of at most ${MAX_LABEL_LENGTH}`);
  }
}

/** The longest label made by {@link labelFor}, in characters. */
const MAX_MADE_LABEL_LENGTH = 100;

/**
 * Gives the label to store an item under.
 * @param label - What the caller wants. When it is empty, one is made of the attributes' values: KWallet
 * refuses an empty label, and takes `/` as the border of a folder.
 */
export function labelFor(label: string | undefined, attributes: ReadonlyMap<string, string>): string {
  if (label !== undefined) assertLabel(label);
  if (label !== undefined && label !== '') return label;
  const values = [...attributes].filter(([name, value]) => !name.startsWith('xdg:') && value !== '');
  const made = values.map(([, value]) => value.replaceAll('/', '_')).join(' ');
  return Array.from(made).slice(0, MAX_MADE_LABEL_LENGTH).join('') || 'Secret';
}
