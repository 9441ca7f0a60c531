/**
 * The calls on one item, shared by `Item` and by the operations over many items.
 *
 * Secret Service specification 0.2, "org.freedesktop.Secret.Item". Each throws as `Caller.call` does.
 */

import type { Property } from './caller.js';
import type { ServiceContext } from './context.js';
import { ITEM_INTERFACE, SECRET_SIGNATURE } from './names.js';
import type { Operation } from './operation.js';
import { assertNoPrompt } from './prompt.js';
import { parseAttributes } from './replies.js';
import type { Secret, SecretToStore } from './secret.js';

/** A property of an item. */
export function itemProperty(path: string, name: string, signature: string): Property {
  return { path, interface: ITEM_INTERFACE, name, signature };
}

/** The property that holds an item's attributes. */
export function attributesProperty(path: string): Property {
  return itemProperty(path, 'Attributes', 'a{ss}');
}

/** Reads one secret; the caller owns it. */
export async function readSecret(
  context: ServiceContext,
  operation: Operation,
  path: string,
): Promise<Secret> {
  const { session } = context;
  const [secret] = await context.caller.call(operation, {
    path,
    interface: ITEM_INTERFACE,
    member: 'GetSecret',
    signature: 'o',
    body: [session.path],
    replySignature: SECRET_SIGNATURE,
  });
  return session.decode(secret);
}

/** Replaces one secret. `secret` is only read. */
export async function writeSecret(
  context: ServiceContext,
  operation: Operation,
  path: string,
  secret: SecretToStore,
): Promise<void> {
  await context.caller.call(operation, {
    path,
    interface: ITEM_INTERFACE,
    member: 'SetSecret',
    signature: SECRET_SIGNATURE,
    body: [context.session.encode(secret.bytes, secret.contentType)],
    replySignature: '',
  });
}

/** Deletes one item. */
export async function deleteItem(context: ServiceContext, operation: Operation, path: string): Promise<void> {
  const [prompt] = await context.caller.call(operation, {
    path,
    interface: ITEM_INTERFACE,
    member: 'Delete',
    replySignature: 'o',
  });
  assertNoPrompt(context.caller, prompt, 'Delete');
}

/** Reads the attributes of one item into a new Map. */
export async function readItemAttributes(
  context: ServiceContext,
  operation: Operation,
  path: string,
): Promise<Map<string, string>> {
  return parseAttributes(await context.caller.getProperty(operation, attributesProperty(path)));
}

/** Writes the label of one item; `label` is not empty. */
export async function writeLabel(
  context: ServiceContext,
  operation: Operation,
  path: string,
  label: string,
): Promise<void> {
  await context.caller.setProperty(operation, itemProperty(path, 'Label', 's'), label);
}
