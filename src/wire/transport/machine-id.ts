/**
 * The id of this machine, for `org.freedesktop.DBus.Peer.GetMachineId` and session files (D-Bus specification, "UUIDs", and
 * machine-id(5)). Layer 6: imports lower layers only.
 */
import { readFileSync } from 'node:fs';
import { DBusError } from '../base/errors.js';

const FILES = ['/etc/machine-id', '/var/lib/dbus/machine-id'];

/**
 * Reads the machine id: 32 lower-case hexadecimal digits.
 * @param files - where to look, in order; the first that holds an id is taken.
 * @throws {DBusError} `no-machine-id` when none does
 */
export function readMachineId(files: readonly string[] = FILES): string {
  const causes: unknown[] = [];
  for (const file of files) {
    try {
      const id = readFileSync(file, 'latin1').trimEnd();
      // systemd writes `uninitialized` until the first boot is through.
      if (/^[0-9a-f]{32}$/i.test(id)) return id.toLowerCase();
    } catch (error) {
      causes.push(error);
    }
  }
  throw new DBusError('no-machine-id', 'this machine has no machine id', { cause: causes[0] });
}
