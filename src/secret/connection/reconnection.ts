/** Noticing that the bus was lost and is connected to again. D-Bus specification, "Message Bus Messages", NameAcquired. */

import type { Bus, Message, Subscription } from '../../wire/index.js';
import { BUS_NAME } from '../names.js';

/**
 * Calls `reconnected` each time that the bus has a new connection, with which all that a service told the old one is gone. It
 * is the unique name that tells: the bus says that it was acquired when a connection begins.
 */
export function watchReconnection(
  bus: Bus,
  reconnected: () => void,
  onError: (error: unknown) => void,
): Subscription {
  const rule = { sender: BUS_NAME, interface: BUS_NAME, member: 'NameAcquired' };
  const take = ({ body: [name] }: Message): void => {
    if (typeof name === 'string' && name.startsWith(':')) reconnected();
  };
  return bus.signals(rule, take, { onError });
}
