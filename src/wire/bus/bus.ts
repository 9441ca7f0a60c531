/**
 * A message bus, seen by one of its clients (D-Bus specification, "Message Bus Specification").
 * Layer 8: imports lower layers only.
 */
import { ConnectError, DeadlineError, ErrorReply, ReplySignatureError } from '../base/errors.js';
import { DEFAULT_CALL_TIMEOUT_MS, DEFAULT_CONNECT_TIMEOUT_MS } from '../base/limits.js';
import { Connection, type WaitOptions } from '../connection/connection.js';
import { checkTimeout, throwIfAborted, withDeadline } from '../connection/deadline.js';
import { type Address, parseAddress } from '../handshake/address.js';
import type { SaslMechanism } from '../handshake/sasl-client.js';
import { type Message, MessageFlag, MessageType } from '../message/message.js';
import type { Transport } from '../transport/transport.js';
import { connectUnix } from '../transport/unix.js';
import { whenAborted } from '../transport/when-aborted.js';
import { BUS_NAME, isUniqueName } from '../types/names.js';
import { type Environment, sessionBusAddress, systemBusAddress } from './discovery.js';

const BUS_PATH = '/org/freedesktop/DBus';

/** How a bus is reached and how long its calls wait. */
export interface BusOptions {
  /** Time to connect, authenticate and say Hello, in milliseconds, over all addresses; default 10,000. */
  connectTimeoutMs?: number | undefined;
  /** Time a call waits that names none of its own, in milliseconds; default 25,000. */
  callTimeoutMs?: number | undefined;
  /** Stops the connecting; has no effect afterwards. */
  signal?: AbortSignal | undefined;
}

/** One method call. */
export interface CallOptions extends WaitOptions {
  /** Unique or well-known name of the one to call. */
  destination: string;
  path: string;
  interface?: string | undefined;
  member: string;
  /** Signature of the arguments; default `''`, none. */
  signature?: string | undefined;
  /** The arguments, one a single complete type of `signature`. */
  body?: readonly unknown[] | undefined;
  /** Signature that the reply must have; when absent, any will do. */
  replySignature?: string | undefined;
  /** Do not start the destination when it is not running. */
  noAutoStart?: boolean | undefined;
  /** The destination may ask a person, and the caller is prepared to wait that long. */
  allowInteractiveAuthorization?: boolean | undefined;
}

/** A bus to which Hello has been said. */
export class Bus {
  /** The name that the bus gave this connection, such as `:1.42`. */
  readonly uniqueName: string;
  /** The bus's guid: 32 lower-case hexadecimal digits. */
  readonly guid: string;
  /** Resolves when the connection has ended, with the reason, or with undefined after an ordinary `close()`. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection, uniqueName: string) {
    this.#connection = connection;
    this.uniqueName = uniqueName;
    this.guid = connection.guid;
    this.closed = connection.closed;
  }

  /**
   * Calls a method; resolves to the values of its reply, one a single complete type.
   * @throws {ErrorReply} when the reply is an ERROR; `name` is its error name
   * @throws {ReplySignatureError} `unexpected-signature`, when the reply has not the `replySignature`
   * @throws {MarshalError} | {InvalidTextError} when the arguments are not valid; nothing was sent then
   * @throws {DeadlineError} `deadline`
   * @throws {CancelledError} `cancelled`
   * @throws {ClosedError} `closed`
   * @throws {OverloadError} `too-many-calls` or `queue-full`
   * @throws {DBusError} `invalid-timeout`
   */
  call(options: CallOptions): Promise<unknown[]> {
    return callMethod(this.#connection, options);
  }

  /** Ends the connection: what was sent still leaves, pending calls reject with `ClosedError`. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function callMethod(connection: Connection, options: CallOptions): Promise<unknown[]> {
  let flags = 0;
  if (options.noAutoStart === true) flags |= MessageFlag.noAutoStart;
  if (options.allowInteractiveAuthorization === true) flags |= MessageFlag.allowInteractiveAuthorization;
  const { path, member, destination, signature = '', body = [] } = options;
  const reply = await connection.call(
    {
      flags,
      path,
      ...(options.interface === undefined ? {} : { interface: options.interface }),
      member,
      destination,
      signature,
      body,
    },
    options,
  );
  return valuesOf(reply, options.replySignature);
}

function valuesOf(reply: Message, replySignature: string | undefined): unknown[] {
  if (reply.type === MessageType.error) throw new ErrorReply(reply.errorName as string, reply.body);
  if (replySignature !== undefined && reply.signature !== replySignature) {
    throw new ReplySignatureError(replySignature, reply.signature);
  }
  return reply.body as unknown[];
}

/**
 * What we authenticate with. Inside a user namespace our uid is not what the server sees, so that a server which
 * refuses it is asked to take the socket's credentials instead.
 */
function mechanisms(): SaslMechanism[] {
  const uid = process.getuid?.();
  const withoutIdentity: SaslMechanism = { name: 'EXTERNAL' };
  return uid === undefined
    ? [withoutIdentity]
    : [{ name: 'EXTERNAL', identity: String(uid) }, withoutIdentity];
}

async function connectTransport(address: Address, signal: AbortSignal): Promise<Transport> {
  if (address.transport !== 'unix') {
    throw new ConnectError(
      'unsupported-transport',
      `the transport ${JSON.stringify(address.transport)} is not supported`,
    );
  }
  return connectUnix(address, signal);
}

/** Authenticates and says Hello. The transport is ended when that fails, or when `signal` fires meanwhile. */
async function greet(
  transport: Transport,
  guid: string | undefined,
  options: BusOptions,
  signal: AbortSignal,
): Promise<Bus> {
  const stopListening = whenAborted(signal, () => transport.destroy());
  try {
    const connection = await Connection.open(transport, { ...options, mechanisms: mechanisms() });
    if (guid !== undefined && guid.toLowerCase() !== connection.guid) {
      throw new ConnectError(
        'wrong-guid',
        'the server is not the one that the address names: its guid differs',
      );
    }
    const [uniqueName] = await callMethod(connection, {
      destination: BUS_NAME,
      path: BUS_PATH,
      interface: BUS_NAME,
      member: 'Hello',
      replySignature: 's',
      // The deadline of the whole connecting is the one that counts.
      timeoutMs: Number.POSITIVE_INFINITY,
    });
    if (typeof uniqueName !== 'string' || !isUniqueName(uniqueName)) {
      throw new ConnectError('connect-failed', 'the bus gave us no unique name');
    }
    return new Bus(connection, uniqueName);
  } catch (error) {
    transport.destroy();
    throw error;
  } finally {
    stopListening();
  }
}

type Connect = (signal: AbortSignal) => Promise<Bus>;

function openOver(transport: Transport, options: BusOptions): Connect {
  return (signal) => greet(transport, undefined, options, signal);
}

/** Tries the addresses in order; the first that leads to a bus wins. */
function openFirst(addresses: readonly Address[], options: BusOptions): Connect {
  return async (signal) => {
    const failures: unknown[] = [];
    for (const address of addresses) {
      try {
        const transport = await connectTransport(address, signal);
        return await greet(transport, address.parameters.get('guid'), options, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    const cause = new AggregateError(failures, 'each address failed');
    throw new ConnectError('connect-failed', `none of ${failures.length} addresses leads to a bus`, {
      cause,
    });
  };
}

function isTransport(value: unknown): value is Transport {
  const methods = ['start', 'write', 'close', 'destroy'] as const;
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}

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
 * @throws {DBusError} `invalid-timeout`
 */
export async function openBus(address: string | Transport, options: BusOptions = {}): Promise<Bus> {
  const transport = isTransport(address) ? address : undefined;
  try {
    const timeoutMs = checkTimeout(options.connectTimeoutMs, DEFAULT_CONNECT_TIMEOUT_MS);
    checkTimeout(options.callTimeoutMs, DEFAULT_CALL_TIMEOUT_MS);
    throwIfAborted(options.signal);
    const connect =
      transport === undefined
        ? openFirst(parseAddress(address as string), options)
        : openOver(transport, options);
    return await withDeadline(
      { timeoutMs, signal: options.signal, onDeadline: () => new DeadlineError('connect', timeoutMs) },
      connect,
      (late) => void late.close(),
    );
  } catch (error) {
    transport?.destroy();
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
