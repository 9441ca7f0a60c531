/**
 * Attributes: reading them from callers, and comparing them with what services make of them.
 *
 * Secret Service specification 0.2, "Lookup Attributes". Imports no wire and no `node:`.
 */

import { SecretServiceError } from './errors.js';

/** Attributes as callers give them. Attributes are not secret: services show them while locked. */
export type Attributes = Readonly<Record<string, string>> | ReadonlyMap<string, string>;

/**
 * Reads the caller's attributes into a new Map.
 * @throws {SecretServiceError} `bad-argument` if a name or value is not a string.
 */
export function readAttributes(attributes: Attributes): Map<string, string> {
  if (typeof attributes !== 'object' || attributes === null) {
    throw new SecretServiceError('bad-argument', 'attributes must be an object or a Map');
  }
  const entries: Iterable<[unknown, unknown]> =
    attributes instanceof Map ? attributes : Object.entries(attributes);
  const read = new Map<string, string>();
  for (const [name, value] of entries) {
    if (typeof name !== 'string' || typeof value !== 'string') {
      throw new SecretServiceError('bad-argument', 'names and values of attributes must be strings');
    }
    read.set(name, value);
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

/** What KeePassXC adds to the attributes of every item. */
const KEEPASSXC_NAMES: ReadonlySet<string> = new Set([
  'FDO_SECRETS_CONTENT_TYPE',
  'Notes',
  'Path',
  'TOTP',
  'Title',
  'URL',
  'UserName',
  'Uuid',
]);

const SCHEMA_NAME = 'xdg:schema';

/**
 * Tells whether an item with `attributes` is the one that was made with `wanted`.
 *
 * Equality would be wrong, for services add attributes of their own; inclusion would be wrong too, for
 * an item with further attributes of its owner's is another item, and must not be overwritten. So
 * everything in `wanted` has to be there, and beside it only what services are known to add.
 */
export function isSameItem(
  attributes: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): boolean {
  if (!includesAttributes(attributes, wanted)) return false;
  for (const [name, value] of attributes) {
    if (!wanted.has(name) && !isAddedByService(name, value)) return false;
  }
  return true;
}

function isAddedByService(name: string, value: string): boolean {
  // A schema that an application chose tells its items from those of others; these two only say "any".
  if (name === SCHEMA_NAME) {
    return value === 'org.freedesktop.Secret.Generic' || value.startsWith('org.gnome.keyring.');
  }
  return name.startsWith('xdg:') || KEEPASSXC_NAMES.has(name);
}

/** The longest label made by {@link labelFor}, in UTF-16 units. */
const MAX_LABEL_LENGTH = 100;

/**
 * Gives the label to store an item under.
 * @param label - What the caller wants. When it is empty, one is made of the attributes' values: KWallet
 * refuses an empty label, and takes `/` as the border of a folder.
 */
export function labelFor(label: string | undefined, attributes: ReadonlyMap<string, string>): string {
  if (label !== undefined && typeof label !== 'string') {
    throw new SecretServiceError('bad-argument', 'the label must be a string');
  }
  if (label !== undefined && label !== '') return label;
  const values = [...attributes].filter(([name, value]) => !name.startsWith('xdg:') && value !== '');
  const made = values.map(([, value]) => value.replaceAll('/', '_')).join(' ');
  return Array.from(made).slice(0, MAX_LABEL_LENGTH).join('') || 'Secret';
}
