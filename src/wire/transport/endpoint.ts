/**
 * What the parameters of an address say of a socket (D-Bus specification, "Server Addresses").
 * Layer 6: imports lower layers only.
 */
import { ConnectError } from '../base/errors.js';
import { type Address, invalidAddress } from '../handshake/address.js';

/** A host and a port; `family` 0 is whichever the host has. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly family: 0 | 4 | 6;
}

/**
 * Longest path or abstract name of a socket, in bytes: `sun_path` holds 108 with a NUL behind or before it, and the
 * platform would cut a longer one silently.
 */
export const MAX_SOCKET_NAME_BYTE_LENGTH = 107;

/** The error for what the system refused to do to `target`, such as `connect to` a path. */
export function connectFailed(deed: string, target: string, cause: unknown): ConnectError {
  return new ConnectError('connect-failed', `cannot ${deed} ${JSON.stringify(target)}`, { cause });
}

/**
 * Checks the path or the abstract name of a socket. A NUL is refused in an abstract name too, which the kernel would take:
 * other libraries end the name there, and would meet at another socket.
 * @throws {InvalidTextError} `invalid-address`
 */
export function checkSocketName(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > MAX_SOCKET_NAME_BYTE_LENGTH) {
    throw invalidAddress('not the name of a socket');
  }
  return name;
}

/**
 * The path under which Node knows an abstract socket. Node 20 fills the name up with NULs, which makes another name of it,
 * where no other program is; seen on 20.20 and gone in 22.
 * @throws {InvalidTextError} `invalid-address`
 * @throws {ConnectError} `unsupported-transport` on Node 20
 */
export function abstractSocketPath(name: string): string {
  checkSocketName(name);
  if (Number.parseInt(process.versions.node, 10) < 22) {
    throw new ConnectError('unsupported-transport', 'abstract sockets need Node 22');
  }
  return `\0${name}`;
}

const FAMILIES: ReadonlyMap<string | undefined, Endpoint['family']> = new Map([
  [undefined, 0],
  ['ipv4', 4],
  ['ipv6', 6],
]);

/**
 * Host, port and family of an address of the transport `tcp` or `nonce-tcp`. The host is `localhost` when none is given, as
 * in the reference implementation.
 * @param defaultPort - when given, the port may be missing, and 0.
 * @throws {InvalidTextError} `invalid-address`
 */
export function tcpEndpoint({ parameters }: Address, defaultPort?: 0): Endpoint {
  const host = parameters.get('host') ?? 'localhost';
  const port = parameters.get('port') ?? String(defaultPort);
  const family = FAMILIES.get(parameters.get('family'));
  if (family === undefined) throw invalidAddress('no `family` of `ipv4` or `ipv6`');
  const number = /^\d{1,5}$/.test(port) ? Number(port) : -1;
  if (number > 0xffff || number < (defaultPort ?? 1)) throw invalidAddress('no `port` of 1 to 65535');
  // The platform takes an address of the other family, and asks nobody.
  const literal = host.includes(':') ? 6 : /^[\d.]+$/.test(host) ? 4 : family;
  if (host.includes('\0') || (family !== 0 && literal !== family)) {
    throw invalidAddress('not a host of this family');
  }
  return { host, port: number, family };
}
