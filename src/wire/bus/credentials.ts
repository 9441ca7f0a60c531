/**
 * What a bus knows of who is behind a connection (D-Bus specification, "GetConnectionCredentials").
 * Layer 8: imports lower layers only.
 */
import { Variant } from '../codec/variant.js';
import type { SingleValueOf } from '../types/infer.js';

/** The process behind a name; what the bus does not tell is absent. */
export interface Credentials {
  readonly userId?: number;
  readonly groupIds?: readonly number[];
  readonly processId?: number;
  /** Of the security module, such as an AppArmor context; without the NUL at its end. */
  readonly securityLabel?: Uint8Array;
  /** All that the bus told, by its own names. */
  readonly all: ReadonlyMap<string, unknown>;
}

/** Reads the dict of the reply; entries of unexpected types count as absent. */
export function credentialsOf(dict: ReadonlyMap<string, unknown>): Credentials {
  const read = <const Type extends string>(key: string, type: Type): SingleValueOf<Type> | undefined => {
    const variant = dict.get(key);
    return variant instanceof Variant && variant.signature === type
      ? (variant.value as SingleValueOf<Type>)
      : undefined;
  };
  const userId = read('UnixUserID', 'u');
  const groupIds = read('UnixGroupIDs', 'au');
  const processId = read('ProcessID', 'u');
  const label = read('LinuxSecurityLabel', 'ay');
  return {
    ...(userId !== undefined && { userId }),
    ...(groupIds !== undefined && { groupIds }),
    ...(processId !== undefined && { processId }),
    ...(label !== undefined && { securityLabel: label.at(-1) === 0 ? label.slice(0, -1) : label }),
    all: dict,
  };
}
