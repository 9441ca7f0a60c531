/**
 * The listening side of connections without a bus. Layer 8: imports lower layers only.
 */
import { ConnectError, DBusError } from '../base/errors.js';
import { DEFAULT_AUTHENTICATION_TIMEOUT_MS, MAX_CONNECTIONS } from '../base/limits.js';
import { checkTimeout, withDeadline } from '../connection/deadline.js';
import { type Address, formatAddress, parseAddress } from '../handshake/address.js';
import { hexOfByte } from '../handshake/hex.js';
import { SaslServer, type SaslServerMechanism } from '../handshake/sasl-server.js';
import { type Listener, listenTransport } from '../transport/listen.js';
import type { Transport } from '../transport/transport.js';
import { throwIfAborted } from '../transport/when-aborted.js';
import { type EndpointOptions, hasLastWord } from './endpoint.js';
import { Connection } from './peer.js';

/** Mechanisms made for one peer; `close` is called when its authentication is over. */
export interface PreparedMechanisms {
  readonly mechanisms: readonly SaslServerMechanism[];
  close?(): void;
}

/** What a server offers: always the same, or made for each peer, as cookies are. */
export type ServerMechanisms =
  | readonly SaslServerMechanism[]
  | ((signal: AbortSignal) => Promise<PreparedMechanisms>);

export interface ListenOptions extends EndpointOptions {
  /**
   * Takes each peer once it has authenticated. What the peer sends waits until it returns, so that objects exported in it
   * are there for the first call.
   */
  onConnection: (connection: Connection) => void;
  /**
   * Mechanisms of authentication to offer. Default, for sockets that are files alone: EXTERNAL, for whoever claims our own
   * uid or none. Node cannot ask the kernel who is at the other end; the guard is the file, which only its owner may use.
   * To an abstract socket or a port anybody can come.
   */
  mechanisms?: ServerMechanisms | undefined;
  /** The server's guid; random if not given. */
  guid?: string | undefined;
  /** Time a peer has to authenticate, in milliseconds; default 30,000. */
  authenticationTimeoutMs?: number | undefined;
  /** Peers at one time, those that are not done authenticating among them; more are hung up on. Default 1,024. */
  maxConnections?: number | undefined;
  /** Stops the beginning; has no effect afterwards. */
  signal?: AbortSignal | undefined;
  /** Told why a peer could not authenticate, and what `onConnection` threw. */
  onError?: ((error: unknown) => void) | undefined;
}

/** Something that listens. */
export class Server {
  /** Where to connect to, with the guid. */
  readonly address: string;
  readonly guid: string;
  readonly #listener: Listener;
  readonly #peers: Peers;

  /** @internal */
  constructor(listener: Listener, peers: Peers) {
    this.#listener = listener;
    this.#peers = peers;
    this.guid = peers.guid;
    const addresses = parseAddress(listener.address).map(({ transport, parameters }) => ({
      transport,
      parameters: new Map([...parameters, ['guid', peers.guid]]),
    }));
    this.address = formatAddress(addresses);
  }

  /** The peers that are connected and authenticated. */
  get connections(): ReadonlySet<Connection> {
    return this.#peers.connections;
  }

  /** Stops listening and ends all connections. */
  async close(): Promise<void> {
    await Promise.all([this.#listener.close(), this.#peers.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

class Peers {
  readonly guid: string;
  readonly connections: Set<Connection> = new Set();
  readonly #options: ListenOptions;
  readonly #mechanisms: ServerMechanisms;
  readonly #maxConnections: number;
  readonly #closing = new AbortController();
  #count = 0;

  constructor(options: ListenOptions, mechanisms: ServerMechanisms) {
    this.#options = options;
    this.#mechanisms = mechanisms;
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    this.guid = options.guid?.toLowerCase() ?? randomGuid();
    // What is wrong with these shows now, and not when the first peer comes.
    checkTimeout(options.authenticationTimeoutMs, DEFAULT_AUTHENTICATION_TIMEOUT_MS);
    if (!Number.isSafeInteger(this.#maxConnections) || this.#maxConnections < 1) {
      throw new DBusError('invalid-option', '`maxConnections` is no positive integer');
    }
    const some = typeof mechanisms === 'function' ? [ownUserOnly()] : mechanisms;
    void new SaslServer({ guid: this.guid, mechanisms: some });
  }

  /** Takes a transport that a peer has opened. Never throws. */
  accept(transport: Transport): void {
    if (this.#count >= this.#maxConnections || this.#closing.signal.aborted) {
      // Nobody listens to a transport that is not started.
      transport.start({ receive: () => {}, ended: () => {} });
      transport.destroy();
      return;
    }
    this.#count++;
    this.#serve(transport).catch((error: unknown) => this.#report(error));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(Array.from(this.connections, (connection) => connection.close()));
  }

  async #serve(transport: Transport): Promise<void> {
    try {
      const connection = await accept(transport, {
        ...this.#options,
        guid: this.guid,
        mechanisms: this.#mechanisms,
        signal: this.#closing.signal,
        onConnection: (opened) => this.#take(opened),
      });
      await connection.closed;
      this.connections.delete(connection);
    } finally {
      this.#count--;
    }
  }

  #take(connection: Connection): void {
    this.connections.add(connection);
    try {
      this.#options.onConnection(connection);
    } catch (error) {
      this.#report(error);
      void connection.close();
    }
  }

  #report(error: unknown): void {
    const { onError } = this.#options;
    if (onError !== undefined) queueMicrotask(() => onError(error));
  }
}

function randomGuid(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), hexOfByte).join('');
}

/** How one peer is taken over a transport that is open already. */
export interface AcceptOptions extends EndpointOptions {
  /** Default: EXTERNAL, for whoever claims our own uid or none. */
  mechanisms?: ServerMechanisms | undefined;
  /** Ours; random if not given. */
  guid?: string | undefined;
  /** Time the peer has to authenticate, in milliseconds; default 30,000. */
  authenticationTimeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Runs once the peer has authenticated, before anything it sends is dealt with: the place to export objects. */
  onConnection?: ((connection: Connection) => void) | undefined;
}

/**
 * Takes a peer over a transport that is open already, such as one of a memory pair, and belongs to the connection from now
 * on.
 * @throws {AuthError} `rejected` | `protocol` | `no-mechanism`, {InvalidTextError} `invalid-guid`
 * @throws {ClosedError} | {DeadlineError} | {CancelledError} | {DBusError} `invalid-timeout`
 */
export async function accept(transport: Transport, options: AcceptOptions = {}): Promise<Connection> {
  try {
    const { mechanisms = [ownUserOnly()], guid = randomGuid(), signal } = options;
    const timeoutMs = checkTimeout(options.authenticationTimeoutMs, DEFAULT_AUTHENTICATION_TIMEOUT_MS);
    throwIfAborted(signal);
    const connection = new Connection(options);
    await withDeadline(
      { timeoutMs, signal, deadline: 'connect' },
      async (ending) => {
        const prepared = typeof mechanisms === 'function' ? await mechanisms(ending) : { mechanisms };
        try {
          const handshake = new SaslServer({ guid, mechanisms: prepared.mechanisms });
          await connection.open(transport, handshake, ending);
        } finally {
          prepared.close?.();
        }
      },
      () => void connection.close(),
    );
    connection.begin(options.onConnection);
    return connection;
  } catch (error) {
    if (!hasLastWord(error)) transport.destroy();
    throw error;
  }
}

/** EXTERNAL for our own uid: who is behind a claim is for the socket's folder to see to. */
function ownUserOnly(): SaslServerMechanism {
  const uid = String(process.getuid?.() ?? '');
  return {
    name: 'EXTERNAL',
    authorize: (identity) => (identity === undefined || identity === uid ? uid : undefined),
  };
}

function mechanismsFor(address: Address, options: ListenOptions): ServerMechanisms {
  if (options.mechanisms !== undefined) return options.mechanisms;
  if (address.transport === 'unix' && !address.parameters.has('abstract')) return [ownUserOnly()];
  throw new DBusError(
    'invalid-option',
    'an address that is no socket file needs `mechanisms`: anybody can come there',
  );
}

/**
 * Listens at `address` (a list: the first that works is taken).
 * @throws {InvalidTextError} `invalid-address` | `invalid-guid`
 * @throws {ConnectError} `listen-failed` | `unsupported-transport`
 * @throws {AuthError} `no-mechanism`
 * @throws {CancelledError} `cancelled`
 * @throws {DBusError} `invalid-option` | `invalid-timeout`
 */
export async function listen(address: string, options: ListenOptions): Promise<Server> {
  throwIfAborted(options.signal);
  const failures: unknown[] = [];
  for (const one of parseAddress(address)) {
    const peers = new Peers(options, mechanismsFor(one, options));
    try {
      const take = (transport: Transport): void => peers.accept(transport);
      return new Server(await listenTransport(one, take, { signal: options.signal }), peers);
    } catch (error) {
      throwIfAborted(options.signal);
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  throw new ConnectError('listen-failed', `none of ${failures.length} addresses can be listened at`, {
    cause: new AggregateError(failures, 'each address failed'),
  });
}
