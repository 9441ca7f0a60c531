/**
 * Socket files to listen on: made so that nobody else can ever connect, and never taken from a live listener.
 * Layer 6: imports lower layers only.
 */
import { chmod, link, lstat, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { invalidAddress } from '../handshake/address.js';
import { checkSocketName } from './endpoint.js';
import { listenOnSocket, openSocket, type SocketServer } from './socket.js';
import type { Transport } from './transport.js';

/** How often a name is tried for that others take and leave at the same time. */
const MAX_ATTEMPTS = 50;

/** Time between two looks at another's claim, and from when on it is forgotten: making and using one takes no millisecond. */
const CLAIM_POLL_MS = 20;
const MAX_CLAIM_AGE_MS = 500;

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException).code;

function inUse(detail: string): Error {
  return Object.assign(new Error(detail), { code: 'EADDRINUSE' });
}

/** Which file a name leads to: a file that is removed and made anew may have the same number, but not the same time. */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, mtimeNs } = await lstat(path, { bigint: true });
    return `${dev}-${ino}-${mtimeNs}`;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether anybody listens on a socket file. Its listener sees a connection that comes and goes. */
async function isAlive(path: string): Promise<boolean> {
  try {
    (await openSocket({ path }, new AbortController().signal)).destroy();
    return true;
  } catch (error) {
    const { cause } = error as Error;
    if (codeOf(cause) === 'ENOENT') return false;
    // A full backlog, or a socket of somebody else: alive for all we know.
    return codeOf(cause) !== 'ECONNREFUSED';
  }
}

/**
 * Puts the socket `hidden` at `path`, in the place of one that nobody listens on. Of many who find the same stale socket
 * only one may replace it, or the second would replace what the first has just put there: the one who makes a second name
 * for it, made from what it is.
 * @returns whether that was us, and done
 */
async function replaceStale(hidden: string, path: string): Promise<boolean> {
  const stale = await identityOf(path);
  if (stale === undefined) return false;
  if (!(await lstat(path)).isSocket()) throw inUse('there is a file that is not a socket');
  if (await isAlive(path)) throw inUse('somebody listens there');
  const claim = join(dirname(path), `.stale-${stale}`);
  try {
    await link(path, claim);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') await awaitClaim(claim);
    else if (codeOf(error) !== 'ENOENT') throw error;
    return false;
  }
  try {
    if ((await identityOf(claim)) !== stale) return false;
    await rename(hidden, path);
    return true;
  } finally {
    await rm(claim, { force: true });
  }
}

/** Gives another time to replace a stale socket, and forgets its claim if it was killed meanwhile. */
async function awaitClaim(claim: string): Promise<void> {
  await delay(CLAIM_POLL_MS);
  const made = await lstat(claim).catch(() => undefined);
  // Making a name changes the inode, and so this time.
  if (made !== undefined && Date.now() - made.ctimeMs > MAX_CLAIM_AGE_MS) await rm(claim, { force: true });
}

/** Gives a socket its name, which must be free or a stale socket's. */
async function publish(hidden: string, path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      // Unlike a rename, this takes no other's place.
      await link(hidden, path);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || attempt === MAX_ATTEMPTS) throw error;
    }
    if (await replaceStale(hidden, path)) return;
  }
}

/** A socket file that is being listened on. */
class SocketFile {
  readonly #server: SocketServer;
  readonly #path: string;
  readonly #made: string | undefined;

  constructor(server: SocketServer, path: string, made: string | undefined) {
    this.#server = server;
    this.#path = path;
    this.#made = made;
  }

  /** Accepts no more, and removes the file if it is still this one. */
  async close(): Promise<void> {
    try {
      // The name goes first: who finds it can connect.
      if ((await identityOf(this.#path)) === this.#made) await rm(this.#path, { force: true });
    } finally {
      this.#server.close();
    }
  }
}

/**
 * Listens on a new socket file that only its owner can connect to. Node can tell nobody's credentials, so that the file's
 * permissions are what keeps others out, and there must be no moment without them. A umask would be in force for the whole
 * process, and cannot be set in a worker; so the socket is made in a folder of mode 0700 beside its place, and linked
 * there when its own mode is 0600.
 * @throws {InvalidTextError} `invalid-address` when the path, or that of the folder, is too long for a socket
 * @throws {Error} the system's, or one of code `EADDRINUSE`
 */
export async function listenOnFile(
  path: string,
  accept: (transport: Transport) => void,
): Promise<{ close(): Promise<void> }> {
  checkSocketName(path);
  const directory = await mkdtemp(join(dirname(path), '.s'));
  let server: SocketServer | undefined;
  try {
    const hidden = join(directory, 's');
    try {
      checkSocketName(hidden);
    } catch {
      throw invalidAddress('the folder leaves no room for the name of a socket');
    }
    server = await listenOnSocket({ path: hidden }, accept);
    await chmod(hidden, 0o600);
    const made = await identityOf(hidden);
    await publish(hidden, path);
    return new SocketFile(server, path, made);
  } catch (error) {
    server?.close();
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
