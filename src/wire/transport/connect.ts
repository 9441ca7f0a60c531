/**
 * Connecting to an address (D-Bus specification, "Transports"). Layer 6: imports lower layers only.
 */
import { constants } from 'node:fs';
import { ConnectError } from '../base/errors.js';
import { NONCE_BYTE_LENGTH } from '../base/limits.js';
import { type Address, invalidAddress } from '../handshake/address.js';
import { autolaunchAddresses } from './autolaunch.js';
import { abstractSocketPath, checkSocketName, connectFailed, tcpEndpoint } from './endpoint.js';
import { openProcess } from './process.js';
import { openSocket } from './socket.js';
import type { Transport } from './transport.js';
import { throwIfAborted } from './when-aborted.js';

/** Where an address of the transport `unix` points. */
function socketPath({ parameters }: Address): string {
  const path = parameters.get('path');
  const abstract = parameters.get('abstract');
  if ((path === undefined) === (abstract === undefined)) {
    throw invalidAddress('`unix` needs either `path` or `abstract`');
  }
  return path === undefined ? abstractSocketPath(abstract as string) : checkSocketName(path);
}

/** The bytes that show to a server of the transport `nonce-tcp` that we can read its files. */
async function readNonce({ parameters }: Address): Promise<Uint8Array> {
  const file = parameters.get('noncefile');
  if (file === undefined || file.includes('\0')) throw invalidAddress('`nonce-tcp` needs a `noncefile`');
  // Loading it takes a millisecond, and hardly anybody needs it.
  const { open } = await import('node:fs/promises');
  try {
    // Not waiting for a writer, should it be a pipe.
    const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(NONCE_BYTE_LENGTH + 1));
      if (bytesRead === NONCE_BYTE_LENGTH) return buffer.subarray(0, bytesRead);
      throw new Error('another length');
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw connectFailed(`read a nonce of ${NONCE_BYTE_LENGTH} bytes in`, file, cause);
  }
}

async function openNonceTcp(address: Address, signal: AbortSignal): Promise<Transport> {
  const endpoint = tcpEndpoint(address);
  const nonce = await readNonce(address);
  const transport = await openSocket(endpoint, signal);
  transport.write(nonce);
  return transport;
}

/**
 * Tries the addresses in order; the first for which `attempt` succeeds wins.
 * @throws what `attempt` threw once `signal` has fired, else {ConnectError} `connect-failed`
 */
export async function openFirst<Result>(
  addresses: readonly Address[],
  signal: AbortSignal,
  attempt: (address: Address) => Promise<Result>,
): Promise<Result> {
  const failures: unknown[] = [];
  for (const address of addresses) {
    try {
      return await attempt(address);
    } catch (error) {
      if (signal.aborted) throw error;
      failures.push(error);
    }
  }
  const cause = new AggregateError(failures);
  throw new ConnectError('connect-failed', `none of ${failures.length} addresses leads to a peer`, { cause });
}

/**
 * Connects to an address of the transport `unix` (with `path` or `abstract`), `tcp`, `nonce-tcp`, `unixexec` or
 * `autolaunch`. The caller compares the guid, and owns the transport.
 * @throws {InvalidTextError} `invalid-address` when the parameters are not those of the transport
 * @throws {ConnectError} `connect-failed`, with the system's error as `cause`; `unsupported-transport`
 * @throws {CancelledError} when `signal` fires first
 */
export async function connectTransport(address: Address, signal: AbortSignal): Promise<Transport> {
  throwIfAborted(signal);
  switch (address.transport) {
    case 'unix':
      return openSocket({ path: socketPath(address) }, signal);
    case 'tcp':
      return openSocket(tcpEndpoint(address), signal);
    case 'nonce-tcp':
      return openNonceTcp(address, signal);
    case 'unixexec':
      return openProcess(address, signal);
    case 'autolaunch':
      return openFirst(
        // One that leads to itself would lead there for ever.
        autolaunchAddresses().filter(({ transport }) => transport !== 'autolaunch'),
        signal,
        (found) => connectTransport(found, signal),
      );
    default:
      throw new ConnectError(
        'unsupported-transport',
        `unknown transport ${JSON.stringify(address.transport)}`,
      );
  }
}
