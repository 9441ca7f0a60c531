/**
 * How connections are made, which a bus and a peer share. Layer 8: imports lower layers only.
 */
import { ConnectError } from '../base/errors.js';
import { type Address, parseAddress } from '../handshake/address.js';
import type { SaslMechanism } from '../handshake/sasl-client.js';
import { connectTransport } from '../transport/connect.js';
import type { Transport } from '../transport/transport.js';
import type { EndpointOptions } from './endpoint.js';

export interface ConnectOptions extends EndpointOptions {
  /** Time to connect and authenticate, on a bus with Hello, in milliseconds, over all addresses; default 10,000. */
  connectTimeoutMs?: number | undefined;
  /** Stops the connecting; has no effect afterwards. */
  signal?: AbortSignal | undefined;
  /** Mechanisms of authentication, in the order to try them; default EXTERNAL with our uid, then without. */
  mechanisms?: readonly SaslMechanism[] | undefined;
}

/**
 * What we authenticate with. Inside a user namespace our uid is not what the server sees, so that a server which
 * refuses it is asked to take the socket's credentials instead.
 */
export function defaultMechanisms(): SaslMechanism[] {
  const uid = process.getuid?.();
  const withoutIdentity: SaslMechanism = { name: 'EXTERNAL' };
  return uid === undefined
    ? [withoutIdentity]
    : [{ name: 'EXTERNAL', identity: String(uid) }, withoutIdentity];
}

/** Where a connection leads: addresses to try in turn, or a transport that is open already, once. */
export type Source = readonly Address[] | Transport;

/** @throws {InvalidTextError} `invalid-address` */
export function toSource(address: string | Transport): Source {
  return isTransport(address) ? address : parseAddress(address);
}

export function isTransport(value: unknown): value is Transport {
  const methods = ['start', 'write', 'close', 'destroy'] as const;
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}

/** @throws {ConnectError} `wrong-guid` when the server is not the one that the address names */
export function assertGuid(wanted: string | undefined, actual: string): void {
  if (wanted !== undefined && wanted.toLowerCase() !== actual) {
    throw new ConnectError(
      'wrong-guid',
      'the server is not the one that the address names: its guid differs',
    );
  }
}

/**
 * Tries the addresses in order; the first over which `greet` succeeds wins. `guid` is the one in the address.
 * @throws what the only address failed with, else {ConnectError} `connect-failed`
 */
export async function openFirst<Result>(
  source: Source,
  signal: AbortSignal,
  greet: (transport: Transport, guid: string | undefined) => Promise<Result>,
): Promise<Result> {
  if (isTransport(source)) return await greet(source, undefined);
  const failures: unknown[] = [];
  for (const address of source) {
    try {
      return await greet(await connectTransport(address, signal), address.parameters.get('guid'));
    } catch (error) {
      if (signal.aborted) throw error;
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  const cause = new AggregateError(failures, 'each address failed');
  throw new ConnectError('connect-failed', `none of ${failures.length} addresses can be connected to`, {
    cause,
  });
}
