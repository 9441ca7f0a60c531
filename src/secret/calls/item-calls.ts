/**
 * The calls on one item, shared by `Item` and by the operations over many items.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Item". Each throws as `Caller.call` does.
 */

import { labelFor } from '../attributes.js';
import type { Property } from '../connection/caller.js';
import type { ServiceCall, ServiceContext } from '../connection/context.js';
import type { Operation } from '../connection/operation.js';
import { hasCode } from '../map-error.js';
import { ITEM_INTERFACE, SECRET_SIGNATURE } from '../names.js';
import { type Secret, SecretToStore } from '../secret.js';
import { concurrently } from './concurrently.js';
import { assertUnlocked, type Lockable, objectLockedError } from './locked.js';
import { parseAttributes, parseBoolean, parseString, timeOf, valueOf } from './replies.js';

/** A property of an item. */
export function itemProperty(path: string, name: string, signature: string): Property {
  return { path, interface: ITEM_INTERFACE, name, signature };
}

/** An item, to be asked whether it is locked. */
export function asItem(path: string): Lockable {
  return { path, interfaceName: ITEM_INTERFACE };
}

/**
 * Reads one secret; the caller owns it.
 * @throws {SecretServiceError} `locked` also where the service says otherwise: KWallet gives an empty value for the secret of
 * a locked item, so that one is only believed of an item that is not.
 */
export async function readSecret(
  context: ServiceContext,
  operation: Operation,
  path: string,
): Promise<Secret> {
  const secret = await callGetSecret(context, operation, path);
  if (secret.value.byteLength === 0) await assertUnlocked(context, operation, asItem(path));
  return secret;
}

async function callGetSecret(context: ServiceContext, operation: Operation, path: string): Promise<Secret> {
  const call: ServiceCall = {
    path,
    interface: ITEM_INTERFACE,
    member: 'GetSecret',
    signature: 'o',
    body: (session) => [session.path],
    replySignature: SECRET_SIGNATURE,
  };
  return await context.call(operation, call, ([secret], { session }) => session.decode(secret));
}

/** Replaces one secret. `secret` is only read. */
export async function writeSecret(
  context: ServiceContext,
  operation: Operation,
  path: string,
  secret: SecretToStore,
): Promise<void> {
  await context.call(operation, {
    path,
    interface: ITEM_INTERFACE,
    member: 'SetSecret',
    signature: SECRET_SIGNATURE,
    body: (session) => [session.encode(secret.bytes, secret.contentType)],
    replySignature: '',
  });
}

/** Deletes one item. @throws {SecretServiceError} `prompt-required`, `prompt-dismissed` */
export async function deleteItem(context: ServiceContext, operation: Operation, path: string): Promise<void> {
  await deleteObject(context, operation, path, ITEM_INTERFACE);
}

/** Deletes an item or a collection. @throws as {@link deleteItem} */
export async function deleteObject(
  context: ServiceContext,
  operation: Operation,
  path: string,
  interfaceName: string,
): Promise<void> {
  // Not a second time: what has gone then need not have been ours to delete.
  const call = { path, interface: interfaceName, member: 'Delete', replySignature: 'o', isRepeatable: false };
  await context.callPrompting(operation, call);
}

/** Reads the attributes of one item into a new Map. */
export async function readItemAttributes(
  context: ServiceContext,
  operation: Operation,
  path: string,
): Promise<Map<string, string>> {
  return parseAttributes(await context.getProperty(operation, itemProperty(path, 'Attributes', 'a{ss}')));
}

/**
 * Gives an item that is not locked another label, or one made of its attributes.
 *
 * KWallet takes what is before a `/` for the name of a folder, and spoils the secret of an item that comes into another
 * one: the secret is looked at afterwards, and mended.
 * @throws {SecretServiceError} `locked`
 */
export async function relabel(
  context: ServiceContext,
  operation: Operation,
  path: string,
  wanted: string,
): Promise<void> {
  const { label: present, attributes, locked } = await readItemProperties(context, operation, path);
  if (locked) throw objectLockedError(path);
  const label = labelFor(wanted, attributes);
  if (folderOf(label) === folderOf(present)) {
    await writeLabel(context, operation, path, label);
    return;
  }
  const before = await readSecret(context, operation, path);
  const stored = new SecretToStore(before.value, before.contentType || undefined);
  before[Symbol.dispose]();
  try {
    await writeLabel(context, operation, path, label);
    const after = await readSecret(context, operation, path);
    const isSame = isEqual(after.value, stored.bytes);
    after[Symbol.dispose]();
    if (!isSame) await writeSecret(context, operation, path, stored);
  } finally {
    stored.wipe();
  }
}

function folderOf(label: string): string {
  return label.slice(0, label.lastIndexOf('/') + 1);
}

/** Both are ours: nobody measures how long it takes. */
function isEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.byteLength === right.byteLength && left.every((byte, index) => byte === right[index]);
}

/** Writes the label of one item; `label` is not empty. */
export async function writeLabel(
  context: ServiceContext,
  operation: Operation,
  path: string,
  label: string,
): Promise<void> {
  await context.setProperty(operation, itemProperty(path, 'Label', 's'), label);
}

/** What an item is, beside its secret. */
export interface ItemProperties {
  readonly label: string;
  /** Services add attributes of their own, such as `xdg:schema`. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly locked: boolean;
  /** Undefined where the service does not know. */
  readonly created: Date | undefined;
  /** Undefined where the service does not know. */
  readonly modified: Date | undefined;
}

/** Reads all properties of one item in one call. */
export async function readItemProperties(
  context: ServiceContext,
  operation: Operation,
  path: string,
): Promise<ItemProperties> {
  const properties = await context.getProperties(operation, path, ITEM_INTERFACE);
  return {
    label: parseString(valueOf(properties, 'Label', 's'), 'Label'),
    attributes: parseAttributes(valueOf(properties, 'Attributes', 'a{ss}')),
    locked: parseBoolean(valueOf(properties, 'Locked', 'b'), 'Locked'),
    created: timeOf(properties, 'Created'),
    modified: timeOf(properties, 'Modified'),
  };
}

/**
 * Reads the properties of many items.
 * @param paths - Without duplicates.
 * @returns By path, in no order; `locked` for an item that does not show them while it is. What is gone is left out.
 */
export async function readAllProperties(
  context: ServiceContext,
  operation: Operation,
  paths: readonly string[],
): Promise<Map<string, ItemProperties | 'locked'>> {
  const byPath = new Map<string, ItemProperties | 'locked'>();
  await concurrently(paths, async (path) => {
    try {
      byPath.set(path, await readItemProperties(context, operation, path));
    } catch (error) {
      if ((await whyUnreadable(context, operation, path, error)) === 'locked') byPath.set(path, 'locked');
    }
  });
  return byPath;
}

/**
 * Tells why an item's properties cannot be read, of which `error` came.
 * @throws `error` where it is neither locked nor gone
 */
export async function whyUnreadable(
  context: ServiceContext,
  operation: Operation,
  path: string,
  error: unknown,
): Promise<'locked' | 'gone'> {
  if (hasCode(error, 'locked')) return 'locked';
  if (hasCode(error, 'not-found')) return 'gone';
  if (!hasCode(error, 'failed')) throw error;
  // oo7's word for a locked item is that for any failure.
  try {
    await assertUnlocked(context, operation, asItem(path));
  } catch (reason) {
    if (hasCode(reason, 'locked')) return 'locked';
  }
  throw error;
}
