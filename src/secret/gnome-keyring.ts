/**
 * GNOME Keyring on a machine without a display: creating and unlocking collections with a password, and no prompt.
 *
 * It is an interface of GNOME Keyring's own, which its authors call internal and unsupported; other services do not have it
 * (`not-supported`, `not-found`). Whoever uses it has the password of a keyring in the program, where the daemon would
 * have asked the person: anything that reads the program's memory has it too.
 */

import { assertLabel } from './attributes.js';
import { collectionProperties, writeAlias } from './calls/collection-calls.js';
import { parseObjectPath } from './calls/replies.js';
import { Collection } from './collection.js';
import type { OperationOptions } from './connection/operation.js';
import { SecretServiceError } from './errors.js';
import { GNOME_INTERFACE, SECRET_SIGNATURE, SERVICE_PATH } from './names.js';
import { type SecretInput, SecretToStore } from './secret.js';
import { SecretService } from './service.js';

/** What {@link createCollectionWithPassword} takes beside label and password. */
export interface CreateWithPasswordOptions extends OperationOptions {
  /** The alias that the collection is given, such as `default`. */
  readonly alias?: string | undefined;
}

/**
 * Creates a collection that is locked with `password`. A `Uint8Array` is copied before this function returns.
 * @param password - Empty: the collection is stored unencrypted.
 * @throws {SecretServiceError} as a method of the service; there is no new collection then
 */
export async function createCollectionWithPassword(
  service: SecretService,
  label: string,
  password: SecretInput,
  options: CreateWithPasswordOptions = {},
): Promise<Collection> {
  const { context } = assertService(service);
  const operation = context.begin(options);
  assertLabel(label);
  const { alias = '' } = options;
  if (typeof alias !== 'string') throw new SecretServiceError('bad-argument', 'the alias must be a string');
  const master = new SecretToStore(password);
  try {
    const path = await context.call(
      operation,
      {
        path: SERVICE_PATH,
        interface: GNOME_INTERFACE,
        member: 'CreateWithMasterPassword',
        signature: `a{sv}${SECRET_SIGNATURE}`,
        body: (session) => [collectionProperties(label), session.encode(master.bytes, master.contentType)],
        replySignature: 'o',
        isRepeatable: false,
      },
      ([created]) => parseObjectPath(created, 'the new collection'),
    );
    const collection = new Collection(context, path);
    try {
      if (alias !== '') await writeAlias(context, operation, alias, path);
      return collection;
    } catch (error) {
      // Whoever tries again must not find one more each time. It is sent before that, and not waited for: time may be over.
      collection.delete({ prompt: 'never' }).catch(() => {});
      throw error;
    }
  } finally {
    master.wipe();
  }
}

/**
 * Unlocks a collection with its password. A `Uint8Array` is copied before this function returns.
 * @throws {SecretServiceError} `access-denied` if the password is wrong; else as a method of the collection
 */
export async function unlockWithPassword(
  collection: Collection,
  password: SecretInput,
  options: OperationOptions = {},
): Promise<void> {
  if (!(collection instanceof Collection)) throw new SecretServiceError('bad-argument', 'not a collection');
  const { context, path } = collection;
  const operation = context.begin(options);
  const master = new SecretToStore(password);
  try {
    await context.call(operation, {
      path: SERVICE_PATH,
      interface: GNOME_INTERFACE,
      member: 'UnlockWithMasterPassword',
      signature: `o${SECRET_SIGNATURE}`,
      body: (session) => [path, session.encode(master.bytes, master.contentType)],
      replySignature: '',
    });
  } finally {
    master.wipe();
  }
}

function assertService(service: unknown): SecretService {
  if (service instanceof SecretService) return service;
  throw new SecretServiceError('bad-argument', 'not a Secret Service');
}
