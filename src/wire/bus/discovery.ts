/**
 * Where the session and the system bus are (D-Bus specification, "Well-known Message Bus Instances").
 * Layer 8: imports lower layers only.
 */
import { statSync } from 'node:fs';
import { ConnectError } from '../base/errors.js';
import { escapeAddressValue } from '../handshake/address.js';

/** Environment variables, by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Whether `path` is a socket that belongs to us: anybody may have put one where ours should be. */
function isOwnSocket(path: string): boolean {
  try {
    const stats = statSync(path);
    return stats.isSocket() && stats.uid === process.getuid?.();
  } catch {
    return false;
  }
}

/**
 * Address of the session bus: `DBUS_SESSION_BUS_ADDRESS`, else the socket `bus` in `XDG_RUNTIME_DIR` when it is there
 * and ours.
 * @throws {ConnectError} `no-bus`
 */
export function sessionBusAddress(env: Environment = process.env): string {
  const address = env['DBUS_SESSION_BUS_ADDRESS'];
  if (address !== undefined && address !== '') return address;
  const directory = env['XDG_RUNTIME_DIR'];
  if (directory?.startsWith('/') === true && isOwnSocket(`${directory}/bus`)) {
    return `unix:path=${escapeAddressValue(`${directory}/bus`)}`;
  }
  throw new ConnectError(
    'no-bus',
    'no DBUS_SESSION_BUS_ADDRESS, and no socket `bus` of ours in XDG_RUNTIME_DIR',
  );
}

/** Address of the system bus: `DBUS_SYSTEM_BUS_ADDRESS`, else the one of the specification. */
export function systemBusAddress(env: Environment = process.env): string {
  return env['DBUS_SYSTEM_BUS_ADDRESS'] || 'unix:path=/var/run/dbus/system_bus_socket';
}
