/**
 * What is stored for the measurements, so that all that is read can be checked.
 */
import { existsSync, mkdtempSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What opens a store, without a derivation. */
export const KEY = new Uint8Array(32).fill(7);
export const VALUE_BYTE_LENGTH = 32;

/** As names are where a program keeps accounts of services: four of them each. @param {number} index */
export function keyOf(index) {
  return [`service-${index >> 2}.example.com`, `user-${index}@example.com`];
}

/** 32 bytes, others for each number. @param {number} number */
export function valueOf(number) {
  const words = new Uint32Array(VALUE_BYTE_LENGTH / 4);
  let mixed = (number + 1) | 0;
  for (let index = 0; index < words.length; index += 1) {
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) + 0x297a2d39;
    words[index] = mixed;
  }
  return new Uint8Array(words.buffer);
}

/** @param {number} from @param {number} to not itself @returns {import('secretbus/stash').StashOperation[]} */
export function operationsFor(from, to) {
  return Array.from({ length: to - from }, (_, offset) => ({
    type: 'write',
    key: keyOf(from + offset),
    value: valueOf(from + offset),
  }));
}

/** Magic numbers of file systems (Linux, `statfs`). */
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'XFS'],
  [0x9123683e, 'Btrfs'],
  [0x2fc12fc1, 'ZFS'],
  [0x794c7630, 'overlayfs'],
  [0x01021994, 'tmpfs'],
]);

/** A new folder on a disk, and what file system that has: where memory takes the place of the disk, a sync costs nothing. */
export function makeFolder() {
  // What is kept when the system restarts, which often cannot be said of /tmp.
  const parent = ['/var/tmp', tmpdir()].find((path) => existsSync(path)) ?? '.';
  const type = FILE_SYSTEMS.get(statfsSync(parent).type >>> 0) ?? 'a file system of unknown kind';
  if (type === 'tmpfs')
    console.warn(`!! ${parent} is in memory: what is said of durable writes means nothing`);
  return { folder: mkdtempSync(join(parent, 'secretbus-bench-')), type };
}
