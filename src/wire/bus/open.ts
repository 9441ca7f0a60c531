/**
 * Opening a bus. Layer 8: imports lower layers only.
 */
import { DeadlineError } from '../base/errors.js';
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../base/limits.js';
import { checkTimeout, throwIfAborted, withDeadline } from '../connection/deadline.js';
import type { Transport } from '../transport/transport.js';
import { Bus, type BusOptions } from './bus.js';
import { isTransport, toSource } from './connect-options.js';
import { type Environment, sessionBusAddress, systemBusAddress } from './discovery.js';

/**
 * Connects to the bus at `address` (a list: each is tried in turn) or over a transport that is open already and belongs to
 * the bus from now on, and says Hello.
 * @throws {InvalidTextError} `invalid-address`
 * @throws {ConnectError} `connect-failed`, `unsupported-transport` or `wrong-guid`
 * @throws {AuthError} `rejected` or `protocol`
 * @throws {ClosedError} when the server hangs up or breaks the protocol
 * @throws {ErrorReply} when the bus refuses us
 * @throws {DeadlineError} `deadline`, with `deadline: 'connect'`
 * @throws {CancelledError} `cancelled`
 * @throws {DBusError} `invalid-timeout` or `invalid-option`
 */
export async function openBus(address: string | Transport, options: BusOptions = {}): Promise<Bus> {
  try {
    const timeoutMs = checkTimeout(options.connectTimeoutMs, DEFAULT_CONNECT_TIMEOUT_MS);
    throwIfAborted(options.signal);
    const bus = new Bus(toSource(address), options);
    await withDeadline(
      { timeoutMs, signal: options.signal, onDeadline: () => new DeadlineError('connect', timeoutMs) },
      (signal) => bus.open(signal),
      () => void bus.close(),
    );
    return bus;
  } catch (error) {
    if (isTransport(address)) address.destroy();
    throw error;
  }
}

/** Options of the buses that are found by the environment. */
export interface DiscoveryOptions extends BusOptions {
  /** Environment variables to look in; default `process.env`. */
  env?: Environment | undefined;
}

/** Connects to the session bus of this user. @throws {ConnectError} `no-bus`, else as {@link openBus} */
export async function sessionBus(options: DiscoveryOptions = {}): Promise<Bus> {
  return openBus(sessionBusAddress(options.env), options);
}

/** Connects to the system bus. @throws {ConnectError} | {AuthError} | {DeadlineError} as {@link openBus} */
export async function systemBus(options: DiscoveryOptions = {}): Promise<Bus> {
  return openBus(systemBusAddress(options.env), options);
}
