/**
 * Listening on an address (D-Bus specification, "Transports"). Layer 6: imports lower layers only.
 */
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { join } from 'node:path';
import { CancelledError, ConnectError, DBusError } from '../base/errors.js';
import { type Address, formatAddress, invalidAddress } from '../handshake/address.js';
import { abstractSocketPath, tcpEndpoint } from './endpoint.js';
import { expectNonce, writeNonce } from './nonce.js';
import { listenOnSocket } from './socket.js';
import { listenOnFile } from './socket-file.js';
import type { Transport } from './transport.js';

/** A place where others connect to. It keeps the process alive until it is closed. */
export interface Listener {
  /** The address to connect to, without a guid: the path made up, the port chosen. */
  readonly address: string;
  /** Accepts no more and removes what was made; may be called again. The transports that were accepted stay open. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** How one listens. */
export interface ListenOptions {
  /** Stops what has not begun; has no effect afterwards. */
  signal?: AbortSignal | undefined;
}

type Accept = (transport: Transport) => void;

function listener(
  transport: string,
  parameters: Readonly<Record<string, string>>,
  close: () => Promise<void>,
): Listener {
  const address = formatAddress([{ transport, parameters: new Map(Object.entries(parameters)) }]);
  return { address, close, [Symbol.asyncDispose]: close };
}

const UNIX_KEYS = ['path', 'abstract', 'dir', 'tmpdir', 'runtime'] as const;

/** The path of the socket that an address of the transport `unix` wants made. */
function socketPath(key: (typeof UNIX_KEYS)[number], value: string): string {
  switch (key) {
    case 'dir':
    case 'tmpdir':
      return join(value, `dbus-${randomBytes(8).toString('hex')}`);
    case 'runtime': {
      if (value !== 'yes') throw invalidAddress('`runtime` can only be `yes`');
      const directory = process.env['XDG_RUNTIME_DIR'];
      if (directory?.startsWith('/') === true) return join(directory, 'bus');
      throw new ConnectError('listen-failed', 'XDG_RUNTIME_DIR is not set');
    }
    default:
      return value;
  }
}

async function listenUnix({ parameters }: Address, accept: Accept): Promise<Listener> {
  const [key, ...others] = UNIX_KEYS.filter((name) => parameters.has(name));
  if (key === undefined || others.length > 0) {
    throw invalidAddress(`one of \`unix\` to listen on has one of ${UNIX_KEYS.join(', ')}`);
  }
  const value = parameters.get(key) as string;
  if (key === 'abstract') {
    const server = await listenOnSocket({ path: abstractSocketPath(value) }, accept);
    return listener('unix', { abstract: value }, async () => server.close());
  }
  const path = socketPath(key, value);
  const file = await listenOnFile(path, accept);
  return listener('unix', { path }, () => file.close());
}

/** The addresses to bind to: `bind` when it is given, else the host itself; `*` is all of the machine's. */
async function bindAddress(address: Address): Promise<{ host?: string; ipv6Only?: boolean }> {
  const { host, family } = tcpEndpoint(address, 0);
  const bind = address.parameters.get('bind') ?? host;
  if (bind.includes('\0')) throw invalidAddress('not the name of a host');
  if (bind !== '*') {
    const found = await lookup(bind, { family });
    if (family !== 0 && found.family !== family) throw invalidAddress('`bind` is not of this family');
    return { host: found.address };
  }
  if (family === 4) return { host: '0.0.0.0' };
  return family === 6 ? { host: '::', ipv6Only: true } : {};
}

async function listenTcp(address: Address, accept: Accept): Promise<Listener> {
  const { host, port: wanted } = tcpEndpoint(address, 0);
  const isNonce = address.transport === 'nonce-tcp';
  const bound = await bindAddress(address);
  const nonce = isNonce ? await writeNonce(address.parameters.get('noncefile')) : undefined;
  try {
    const server = await listenOnSocket(
      { ...bound, port: wanted },
      nonce === undefined ? accept : (transport) => accept(expectNonce(transport, nonce.bytes)),
    );
    const family = address.parameters.get('family');
    const parameters = {
      host,
      port: String(server.port),
      ...(family === undefined ? {} : { family }),
      ...(nonce === undefined ? {} : { noncefile: nonce.file }),
    };
    return listener(address.transport, parameters, async () => {
      server.close();
      await nonce?.remove();
    });
  } catch (error) {
    await nonce?.remove();
    throw error;
  }
}

function listenOn(address: Address, accept: Accept): Promise<Listener> {
  switch (address.transport) {
    case 'unix':
      return listenUnix(address, accept);
    case 'tcp':
    case 'nonce-tcp':
      return listenTcp(address, accept);
    default:
      throw new ConnectError(
        'unsupported-transport',
        `the transport ${JSON.stringify(address.transport)} cannot be listened on`,
      );
  }
}

/**
 * Listens on an address of the transport `unix` (with `path`, `abstract`, `dir`, `tmpdir` or `runtime=yes`), `tcp` or
 * `nonce-tcp`. Who connects has not authenticated yet. A socket file is its owner's alone (mode 0600), and takes the place
 * of one that nobody listens on; anybody on the machine can connect to an abstract name, and anybody who reaches the host
 * to `tcp`.
 * @param accept - takes each transport that is opened to us, perhaps before this resolves, and owns it; must not throw.
 * @throws {InvalidTextError} `invalid-address` when the parameters are not those of the transport
 * @throws {ConnectError} `listen-failed`, with the system's error as `cause`; `unsupported-transport`
 * @throws {CancelledError} when the signal fires first
 */
export async function listenTransport(
  address: Address,
  accept: (transport: Transport) => void,
  options: ListenOptions = {},
): Promise<Listener> {
  const { signal } = options;
  if (signal?.aborted) throw new CancelledError(signal.reason);
  let listening: Listener;
  try {
    listening = await listenOn(address, accept);
  } catch (cause) {
    if (cause instanceof DBusError) throw cause;
    const text = JSON.stringify(formatAddress([address]));
    throw new ConnectError('listen-failed', `cannot listen on ${text}`, { cause });
  }
  if (!signal?.aborted) return listening;
  await listening.close();
  throw new CancelledError(signal.reason);
}
