/**
 * What marshal and unmarshal take alike. Layer 2: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';

/** Byte order of a message. */
export type Endian = 'little' | 'big';

/** Where in a message, and in which byte order, values stand. */
export interface CodecOptions {
  /** Default `'little'`. */
  endian?: Endian | undefined;
  /** Bytes of the message before the first value: a non-negative integer, default 0. Only alignment depends on it. */
  offset?: number | undefined;
}

/** Whether `endian` means the little one. @throws {DBusError} `invalid-endian` */
export function isLittleEndian(endian: Endian | undefined): boolean {
  if (endian === undefined || endian === 'little') return true;
  if (endian === 'big') return false;
  throw new DBusError('invalid-endian', 'endian must be `little` or `big`');
}

/** How far past a multiple of 8 `options.offset` lies. @throws {DBusError} `invalid-offset` */
export function phaseOf(options: CodecOptions): number {
  const { offset = 0 } = options;
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new DBusError('invalid-offset', 'offset must be a non-negative integer');
  }
  return offset % 8;
}
