/**
 * Connections without a bus: one peer listens, others connect (D-Bus specification, "Message Protocol").
 * Layer 8: imports lower layers only.
 */
import { SaslClient } from '../handshake/sasl-client.js';
import type { Handshake } from '../protocol/protocol.js';
import type { Transport } from '../transport/transport.js';
import {
  assertGuid,
  type ConnectOptions,
  connectWithin,
  defaultMechanisms,
  greetFirst,
} from './connect-options.js';
import { Endpoint } from './endpoint.js';

/** A connection to one peer, from either side. Calls need no destination; messages have no sender. */
export class Connection extends Endpoint {
  #guid = '';
  #identity: string | undefined;

  /** The listening side's guid: 32 lower-case hexadecimal digits. */
  get guid(): string {
    return this.#guid;
  }

  /**
   * On the listening side, who the peer is as far as its mechanism of authentication tells, such as a uid in decimal. With
   * EXTERNAL that is what it claims: see `listen`.
   */
  get identity(): string | undefined {
    return this.#identity;
  }

  /**
   * Authenticates over `transport`. What the peer sends waits until `begin`.
   * @internal
   */
  async open(transport: Transport, handshake: Handshake, signal: AbortSignal): Promise<void> {
    this.inbox.hold();
    const { link, result } = await this.openLink(transport, handshake, signal);
    this.#guid = result.guid;
    this.#identity = result.identity;
    this.use(link);
  }

  /** Deals with what the peer has sent, once `ready` has run, which may export objects. @internal */
  begin(ready?: (connection: Connection) => void): void {
    try {
      ready?.(this);
    } finally {
      this.inbox.release();
    }
  }
}

export interface PeerOptions extends ConnectOptions {
  /** Runs before anything that the peer sends is dealt with: the place to export objects and to subscribe to signals. */
  onConnection?: ((connection: Connection) => void) | undefined;
}

/**
 * Connects to the peer that listens at `address` (a list: each is tried in turn), or over a transport that is open already
 * and belongs to the connection from now on.
 * @throws {InvalidTextError} | {ConnectError} | {AuthError} | {ClosedError} | {DeadlineError} | {CancelledError} | {DBusError}
 * as `openBus`
 */
export async function connect(address: string | Transport, options: PeerOptions = {}): Promise<Connection> {
  const opened = await connectWithin(address, options, async (source, signal) => {
    const mechanisms = options.mechanisms ?? defaultMechanisms();
    return await greetFirst(source, signal, async (transport, guid) => {
      const connection = new Connection(options);
      await connection.open(transport, new SaslClient({ mechanisms }), signal);
      try {
        assertGuid(guid, connection.guid);
      } catch (error) {
        await connection.close();
        throw error;
      }
      return connection;
    });
  });
  try {
    opened.begin(options.onConnection);
  } catch (error) {
    await opened.close();
    throw error;
  }
  return opened;
}
