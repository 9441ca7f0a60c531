/**
 * The server's side of the keyring of DBUS_COOKIE_SHA1: makes cookies, drops old ones, and checks responses (D-Bus
 * specification, "DBUS_COOKIE_SHA1"). Layer 6: imports lower layers only.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { type FileHandle, lstat, mkdir, open, rename, unlink } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { CancelledError, InvalidTextError } from '../base/errors.js';
import { COOKIE_LOCK_TIMEOUT_MS, MAX_COOKIE_ID, MAX_COOKIES } from '../base/limits.js';
import { isCookieContext } from '../handshake/cookie-context.js';
import {
  type Cookie,
  formatCookies,
  isCookieCurrent,
  newestUsableCookie,
  parseCookies,
} from '../handshake/cookie-file.js';
import type { CookieAttempt, SaslServerMechanism } from '../handshake/sasl-server.js';
import {
  assertPrivate,
  type CookieKeyringOptions,
  cookieHash,
  freshChallenge,
  keyringDirectory,
  keyringError,
  ownUser,
  readCookieFile,
  unixSeconds,
} from './cookie-keyring.js';

/** How a server keeps its cookies. */
export interface CookieServerOptions extends CookieKeyringOptions {
  /** The context, which is the name of the file; `org_freedesktop_general`, the reference implementation's, if not given. */
  readonly context?: string | undefined;
  /** Time after which a lock that does not change hands is taken for forgotten and broken; 8 s if not given. */
  readonly lockTimeoutMs?: number | undefined;
}

const LOCK_POLL_MS = 25;
/** So many times `lockTimeoutMs` it is worth waiting where others take the lock again and again. */
const MOST_LOCK_TIMEOUTS = 4;
const SECRET_BYTE_LENGTH = 24;

function codeOf(error: unknown): unknown {
  return (error as NodeJS.ErrnoException).code;
}

/** A cookie of its own secret, for one handshake. `close()` wipes it; afterwards every client is rejected. */
export class PreparedCookie {
  readonly #context: string;
  readonly #id: number;
  #secret: Uint8Array | undefined;

  constructor(context: string, cookie: Cookie) {
    this.#context = context;
    this.#id = cookie.id;
    this.#secret = cookie.secret;
  }

  /** What a `SaslServer` takes. It lets in the user that this process runs as, and nobody else: it reads no other's home. */
  get mechanism(): SaslServerMechanism {
    return { name: 'DBUS_COOKIE_SHA1', challenge: (user) => this.#challenge(user) };
  }

  #challenge(user: string): CookieAttempt | undefined {
    const identity = ownUser();
    if (this.#secret === undefined || (user !== identity && user !== ownName())) return undefined;
    const challenge = freshChallenge();
    const hash = (theirs: string): string | undefined =>
      this.#secret === undefined ? undefined : cookieHash(challenge, theirs, this.#secret);
    return { identity, context: this.#context, id: this.#id, challenge, hash };
  }

  close(): void {
    this.#secret?.fill(0);
    this.#secret = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Our user name; undefined where the system has none for our uid. */
function ownName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

/** `cookie` with a copy of its secret, which outlives the wiping of the file it came from. */
function copyOf(cookie: Cookie): Cookie {
  return { ...cookie, secret: cookie.secret.slice() };
}

/** A cookie of a number that none of `others` has. Its secret never is text, which could not be wiped. */
function makeCookie(others: readonly Cookie[], now: number): Cookie {
  const taken = new Set(others.map(({ id }) => id));
  let id: number;
  do {
    id = randomInt(1, MAX_COOKIE_ID);
  } while (taken.has(id));
  const random = randomBytes(SECRET_BYTE_LENGTH);
  const secret = new Uint8Array(2 * SECRET_BYTE_LENGTH);
  for (let at = 0; at < secret.length; at++) {
    const digit = ((random[at >> 1] as number) >> (at % 2 === 0 ? 4 : 0)) & 0xf;
    secret[at] = digit + (digit < 10 ? 0x30 : 0x57);
  }
  random.fill(0);
  return { id, createdAt: now, secret };
}

/** Which file a lock is: another one of the same name is another lock. Undefined when there is none. */
async function identify(lock: string): Promise<string | undefined> {
  try {
    const { dev, ino, ctimeNs } = await lstat(lock, { bigint: true });
    return `${dev} ${ino} ${ctimeNs}`;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw keyringError('keyring-failed', 'cannot look at the lock of the cookies', cause);
  }
}

/** Takes the lock, and gives which file it is; undefined when another has it. */
async function takeLock(lock: string): Promise<string | undefined> {
  try {
    const handle = await open(lock, 'wx', 0o600);
    await handle.close();
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return undefined;
    throw keyringError('keyring-failed', 'cannot lock the cookies', cause);
  }
  return (await identify(lock)) ?? '';
}

/** Removes the lock if it still is the file `taken`: somebody may have broken it and taken one of his own. */
async function removeLock(lock: string, taken: string): Promise<void> {
  if ((await identify(lock)) !== taken) return;
  try {
    await unlink(lock);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return;
    throw keyringError('keyring-failed', 'cannot remove the lock of the cookies', cause);
  }
}

/** Puts a file in the place of another in one step: clients read without the lock. */
async function replaceFile(path: string, contents: Uint8Array): Promise<void> {
  // No context has a full stop in its name, so this is never the file of one.
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`;
  let handle: FileHandle | undefined;
  try {
    handle = await open(temporary, 'wx', 0o600);
    await handle.writeFile(contents);
    await handle.sync();
    await handle.close();
    await rename(temporary, path);
  } catch (cause) {
    // Whatever fails here as well: the first error is the one that tells.
    await handle?.close().catch(() => {});
    await unlink(temporary).catch(() => {});
    throw keyringError('keyring-failed', 'cannot write the cookies', cause);
  }
}

/** With the lock held: drops what is void, adds a cookie if no other server has meanwhile, and gives the newest. */
async function renew(path: string): Promise<Cookie> {
  const now = unixSeconds();
  const file = readCookieFile(path);
  try {
    const cookies = parseCookies(file).filter((cookie) => isCookieCurrent(cookie, now));
    const usable = newestUsableCookie(cookies, now);
    if (usable !== undefined) return copyOf(usable);
    const cookie = makeCookie(cookies, now);
    const contents = formatCookies([...cookies.slice(1 - MAX_COOKIES), cookie]);
    try {
      await replaceFile(path, contents);
    } catch (error) {
      cookie.secret.fill(0);
      throw error;
    } finally {
      contents.fill(0);
    }
    return cookie;
  } finally {
    file.fill(0);
  }
}

function readUsable(path: string): Cookie | undefined {
  const file = readCookieFile(path);
  try {
    const usable = newestUsableCookie(parseCookies(file), unixSeconds());
    return usable && copyOf(usable);
  } finally {
    file.fill(0);
  }
}

/** The cookies of one context, for a server. It holds nothing open, and no secret between handshakes. */
export class CookieKeyring {
  readonly #context: string;
  readonly #directory: string;
  readonly #lockTimeoutMs: number;

  /** @throws {InvalidTextError} `invalid-cookie-context` */
  constructor(options: CookieServerOptions = {}) {
    this.#context = options.context ?? 'org_freedesktop_general';
    if (!isCookieContext(this.#context)) {
      throw new InvalidTextError('invalid-cookie-context', 'not the name of a cookie context', 0);
    }
    this.#directory = keyringDirectory(options);
    this.#lockTimeoutMs = options.lockTimeoutMs ?? COOKIE_LOCK_TIMEOUT_MS;
  }

  /**
   * A cookie for one handshake, to be begun within the next minute or two: the newest, or a new one when that is older than
   * 5 minutes. Makes the folder if there is none; its parent must be there. The caller closes what it gets.
   * @throws {AuthError} `unsafe-keyring` for a folder that others can enter, `keyring-locked` when other servers never let go
   * of the lock, `keyring-failed` with the system's error as `cause`
   * @throws {CancelledError} when `signal` fires first
   */
  async prepare(signal?: AbortSignal): Promise<PreparedCookie> {
    if (signal?.aborted === true) throw new CancelledError(signal.reason);
    try {
      await mkdir(this.#directory, { mode: 0o700 });
    } catch (cause) {
      if (codeOf(cause) !== 'EEXIST') {
        throw keyringError('keyring-failed', 'cannot make the folder of the cookies', cause);
      }
    }
    assertPrivate(this.#directory);
    return new PreparedCookie(this.#context, await this.#freshCookie(signal));
  }

  async #freshCookie(signal: AbortSignal | undefined): Promise<Cookie> {
    const path = join(this.#directory, this.#context);
    const lock = `${path}.lock`;
    const started = performance.now();
    let seen: string | undefined;
    let seenAt = started;
    for (;;) {
      const usable = readUsable(path);
      if (usable !== undefined) return usable;
      const taken = await takeLock(lock);
      if (taken !== undefined) {
        try {
          return await renew(path);
        } finally {
          await removeLock(lock, taken);
        }
      }
      const present = await identify(lock);
      const now = performance.now();
      if (now - started > MOST_LOCK_TIMEOUTS * this.#lockTimeoutMs) {
        throw keyringError('keyring-locked', 'other servers hold the lock of the cookies');
      }
      if (present !== seen) {
        seen = present;
        seenAt = now;
      } else if (present !== undefined && now - seenAt >= this.#lockTimeoutMs) {
        await removeLock(lock, present);
        continue;
      }
      await pause(signal);
    }
  }
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(LOCK_POLL_MS, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw new CancelledError(signal?.reason);
  }
}
