/**
 * The transport `autolaunch` (D-Bus specification, "Meta Transports"): finds the bus of an X11 session in the file that
 * `dbus-launch` leaves. Nothing is ever launched here: a bus that one program starts is not seen by the others.
 * Layer 6: imports lower layers only.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { ConnectError } from '../base/errors.js';
import { type Address, parseAddress } from '../handshake/address.js';
import { readMachineId } from './machine-id.js';

/** Where `dbus-launch` reads the id of this machine: its own file comes first. */
export const MACHINE_ID_FILES: readonly string[] = ['/var/lib/dbus/machine-id', '/etc/machine-id'];

function unsupported(detail: string, cause?: unknown): ConnectError {
  return new ConnectError('unsupported-transport', `no bus by \`autolaunch\`: ${detail}`, { cause });
}

/** The part of a display that the session file is named after: without the screen, and without this machine's own name. */
function displayName(display: string): string {
  return display
    .replace(/(:[^:.]*)\.[^:]*$/, '$1')
    .replace(/^(?:localhost\.localdomain|localhost)?:/, '')
    .replaceAll(/[:/]/g, '_');
}

function machineId(files: readonly string[]): string {
  try {
    return readMachineId(files);
  } catch (cause) {
    throw unsupported('this machine has no id', cause);
  }
}

/**
 * The addresses in the session file of the display of `env`.
 * @throws {ConnectError} `unsupported-transport` when there is none, saying why
 */
export function autolaunchAddresses(
  env: Readonly<Record<string, string | undefined>> = process.env,
  machineIdFiles: readonly string[] = MACHINE_ID_FILES,
): Address[] {
  const display = env['DISPLAY'];
  if (!display) throw unsupported('DISPLAY is not set');
  const name = `${machineId(machineIdFiles)}-${displayName(display)}`;
  let text: string;
  try {
    text = readFileSync(`${env['HOME'] || homedir()}/.dbus/session-bus/${name}`, 'utf8');
  } catch (cause) {
    throw unsupported('its file cannot be read', cause);
  }
  const value = /^DBUS_SESSION_BUS_ADDRESS=(['"]?)(.*)\1$/m.exec(text)?.[2];
  try {
    return parseAddress(value ?? '');
  } catch (cause) {
    throw unsupported('its file holds no address', cause);
  }
}
