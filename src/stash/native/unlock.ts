/**
 * Opening a key slot with what the caller gave.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { wipe } from '../bytes.js';
import { StashCryptoError } from '../errors.js';
import type { Credential, Secret } from './credentials.js';
import type { Header } from './header-page.js';
import type { DerivationLimits, ProgressOptions } from './kdf.js';
import { openSlots, type Slot } from './slots.js';

/** The data key and the slot that gave it. */
export interface Opened {
  readonly dataKey: Uint8Array;
  readonly slot: Slot;
}

/**
 * Returns the data key, the caller's to wipe, and the slot that opened.
 * @param onOpened - Gets both and the secret while it is at hand.
 * @throws {StashCryptoError} `wrong-password`, `wrong-key`, `derivation-too-costly` or `derivation-failed`.
 * @throws {StashCorruptError} `damaged-slot`.
 * @throws {StashValueError} `bad-password` or `password-failed`.
 * @throws {StashError} `cancelled`.
 */
export async function openWithSecret(
  header: Pick<Header, 'slots' | 'storeId'>,
  credential: Credential,
  limits: DerivationLimits,
  progress: ProgressOptions,
  onOpened?: (opened: Opened, secret: Secret) => Promise<void>,
): Promise<Opened> {
  const secret = await credential.read(progress.signal);
  try {
    const opened = await openSlots(header.slots, header.storeId, secret, limits, progress);
    if (opened !== undefined) {
      try {
        await onOpened?.(opened, secret);
      } catch (error) {
        wipe([opened.dataKey]);
        throw error;
      }
      return opened;
    }
  } finally {
    wipe([secret.bytes]);
  }
  if (credential.kind === 'password') {
    throw new StashCryptoError('wrong-password', 'the password opens no key slot of the stash');
  }
  const name = credential.kind === 'key' ? 'key' : 'recovery key';
  throw new StashCryptoError('wrong-key', `the ${name} opens no key slot of the stash`);
}
