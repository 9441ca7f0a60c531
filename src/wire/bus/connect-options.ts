/**
 * How connections are made, which a bus and a peer share. Layer 8: imports lower layers only.
 */
import { ConnectError } from '../base/errors.js';
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../base/limits.js';
import { checkTimeout, withDeadline } from '../connection/deadline.js';
import { type Address, parseAddress } from '../handshake/address.js';
import type { SaslMechanism } from '../handshake/sasl-client.js';
import { connectTransport, openFirst } from '../transport/connect.js';
import type { Transport } from '../transport/transport.js';
import { throwIfAborted } from '../transport/when-aborted.js';
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
    throw new ConnectError('wrong-guid', 'the server has not the guid of the address');
  }
}

/** What connecting came to; it is closed when that was too late. */
interface Closable {
  close(): Promise<void>;
}

/**
 * Connects to each address in turn until `greet` succeeds, or over the transport. `guid` is the one in the address.
 * @throws what the only address failed with, else {ConnectError} `connect-failed`
 */
export async function greetFirst<Result>(
  source: Source,
  signal: AbortSignal,
  greet: (transport: Transport, guid: string | undefined) => Promise<Result>,
): Promise<Result> {
  if (isTransport(source)) return await greet(source, undefined);
  const open = async (address: Address): Promise<Result> =>
    greet(await connectTransport(address, signal), address.parameters.get('guid'));
  const [only] = source;
  return source.length === 1 && only !== undefined ? await open(only) : await openFirst(source, signal, open);
}

/**
 * Runs `work`, which connects, within the limits of `options`. A transport of the caller's is ended when it fails.
 * @throws {InvalidTextError} `invalid-address`
 * @throws {DeadlineError} | {CancelledError} | {DBusError} `invalid-timeout`
 */
export async function connectWithin<Result extends Closable>(
  address: string | Transport,
  options: ConnectOptions,
  work: (source: Source, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  try {
    const { signal } = options;
    const timeoutMs = checkTimeout(options.connectTimeoutMs, DEFAULT_CONNECT_TIMEOUT_MS);
    throwIfAborted(signal);
    const source = isTransport(address) ? address : parseAddress(address);
    return await withDeadline(
      { timeoutMs, signal, deadline: 'connect' },
      (ending) => work(source, ending),
      (late) => void late.close(),
    );
  } catch (error) {
    if (isTransport(address)) address.destroy();
    throw error;
  }
}
