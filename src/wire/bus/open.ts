/**
 * Opening a bus. Layer 8: imports lower layers only.
 */
import type { Transport } from '../transport/transport.js';
import { Bus, type BusOptions } from './bus.js';
import { connectWithin } from './connect-options.js';
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
export function openBus(address: string | Transport, options: BusOptions = {}): Promise<Bus> {
  return connectWithin(address, options, async (source, signal) => {
    const bus = new Bus(source, options);
    await bus.open(signal);
    return bus;
  });
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
