/**
 * Which kind of lock keeps out all who can reach a file, as far as this machine can tell.
 */

import * as fs from 'node:fs/promises';
import { attempt } from '../file-image.js';
import { unavailable } from './system-lock.js';

/** File systems, by what Linux calls them, that other machines or containers may share; names of sockets they do not. */
const shared: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x0102_1997, // 9p
  0x6573_5546, // FUSE, virtiofs too
  0x00c3_6400, // Ceph
  0x786f_4256, // VirtualBox
  0xbacb_acbc, // VMware
  0x0bd0_0bd0, // Lustre
  0x0116_1970, // GFS2
  0x7461_636f, // OCFS2
  0x4750_4653, // GPFS
  0x1983_0326, // BeeGFS
  0x5346_414f, // AFS
  0x6b41_4653, // AFS, the kernel's own
  0x7375_7245, // Coda
]);

/** SMB makes of a lock one that keeps readers out as well, even those of the holder. */
const smb: ReadonlySet<number> = new Set([0x517b, 0xff53_4d42, 0xfe53_4d42]);

/**
 * Returns the kind of lock to use for the file at `path`.
 * @throws {StashIOError} `lock-unavailable`, or as the system says.
 */
export async function chooseLock(path: string): Promise<'socket' | 'flock'> {
  if (process.platform === 'win32') return 'socket';
  if (process.platform !== 'linux') return 'flock';
  const { type } = await attempt(path, 'lock', fs.statfs(path));
  // Some of the numbers come out negative on machines of 32 bits.
  if (smb.has(type >>> 0)) {
    const message =
      'no lock on an SMB share lets others read; set the option lock to socket if no other machine or container writes';
    throw unavailable(path, message);
  }
  return shared.has(type >>> 0) ? 'flock' : 'socket';
}
