/**
 * The keyring of DBUS_COOKIE_SHA1, `~/.dbus-keyrings`: both sides show that they can read the same file of one user's home
 * (D-Bus specification, "DBUS_COOKIE_SHA1"). Layer 6: imports lower layers only.
 *
 * Cookies are secrets: they are read into buffers of their own, which are wiped, and appear in no error.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { AuthError } from '../base/errors.js';
import { MAX_COOKIE_FILE_BYTE_LENGTH } from '../base/limits.js';
import { isCookieContext } from '../handshake/cookie-context.js';
import { isCookieCurrent, parseCookies } from '../handshake/cookie-file.js';
import type { CookieMechanism } from '../handshake/sasl-client.js';

/** Where cookies are kept. */
export interface CookieKeyringOptions {
  /** The folder; `.dbus-keyrings` in the home folder if not given. */
  readonly directory?: string | undefined;
}

/** The folder of the keyring. */
export function keyringDirectory(options: CookieKeyringOptions): string {
  return options.directory ?? join(homedir(), '.dbus-keyrings');
}

/** The time in seconds of Unix time. */
export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** Who we are to the other side: our uid in decimal, or where there are none, our name. */
export function ownUser(): string {
  return process.getuid?.().toString() ?? userInfo().username;
}

/** The error of a keyring that cannot be used; `cause` is the system's error, which names files and no contents. */
export function keyringError(code: string, message: string, cause?: unknown): AuthError {
  return new AuthError(code, message, cause === undefined ? undefined : { cause });
}

/**
 * Refuses a folder that others can enter or that is not ours: they could read the cookies, or plant some. Where the
 * platform has no uids, the access lists of the home folder are what guards it.
 * @throws {AuthError} `unsafe-keyring`; `keyring-failed` when it cannot be looked at
 */
export function assertPrivate(directory: string): void {
  let stats: ReturnType<typeof statSync>;
  try {
    stats = statSync(directory);
  } catch (cause) {
    throw keyringError('keyring-failed', 'cannot look at the folder of the cookies', cause);
  }
  const foreign =
    process.geteuid !== undefined && (stats.uid !== process.geteuid() || (stats.mode & 0o077) !== 0);
  if (foreign || !stats.isDirectory()) {
    throw keyringError('unsafe-keyring', 'the folder of the cookies is not a folder that only we can enter');
  }
}

/**
 * Reads a cookie file whole, into a buffer that the caller wipes; empty when there is none.
 * @throws {AuthError} `unsafe-keyring` for what is no file or too large, `keyring-failed`
 */
export function readCookieFile(path: string): Uint8Array {
  let descriptor: number;
  try {
    // Without O_NONBLOCK a named pipe in its place would hold up the whole process.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array(0);
    throw keyringError('keyring-failed', 'cannot open a file of cookies', cause);
  }
  const buffer = new Uint8Array(MAX_COOKIE_FILE_BYTE_LENGTH + 1);
  try {
    if (!fstatSync(descriptor).isFile())
      throw keyringError('unsafe-keyring', 'cookies are not in a plain file');
    let byteLength = 0;
    for (let count = -1; count !== 0 && byteLength < buffer.length; byteLength += count) {
      count = readSync(descriptor, buffer, byteLength, buffer.length - byteLength, null);
    }
    if (byteLength === buffer.length) throw keyringError('unsafe-keyring', 'a file of cookies is too large');
    return buffer.slice(0, byteLength);
  } catch (cause) {
    if (cause instanceof AuthError) throw cause;
    throw keyringError('keyring-failed', 'cannot read a file of cookies', cause);
  } finally {
    buffer.fill(0);
    closeSync(descriptor);
  }
}

/** The SHA-1 of `challenge:theirs:cookie`, in lower-case hexadecimal. */
export function cookieHash(serverChallenge: string, clientChallenge: string, secret: Uint8Array): string {
  return createHash('sha1').update(`${serverChallenge}:${clientChallenge}:`).update(secret).digest('hex');
}

/** A challenge: 128 random bits in hexadecimal. */
export function freshChallenge(): string {
  return randomBytes(16).toString('hex');
}

/**
 * The mechanism DBUS_COOKIE_SHA1 for a `SaslClient`: cookies are looked up in the keyring, with synchronous reads of one
 * small file. A keyring that cannot be used or has no such cookie makes the client try its next mechanism.
 * @param options - `user`: who we are, our uid in decimal if not given
 */
export function cookieMechanism(
  options: CookieKeyringOptions & { user?: string | undefined } = {},
): CookieMechanism {
  return {
    name: 'DBUS_COOKIE_SHA1',
    user: options.user ?? ownUser(),
    respond: ({ context, id, challenge }) => {
      if (!isCookieContext(context)) return undefined;
      const directory = keyringDirectory(options);
      let file: Uint8Array | undefined;
      try {
        assertPrivate(directory);
        file = readCookieFile(join(directory, context));
        const now = unixSeconds();
        const cookie = parseCookies(file).find((one) => one.id === id && isCookieCurrent(one, now));
        if (cookie === undefined) return undefined;
        const ours = freshChallenge();
        return `${ours} ${cookieHash(challenge, ours, cookie.secret)}`;
      } catch (error) {
        if (error instanceof AuthError) return undefined;
        throw error;
      } finally {
        file?.fill(0);
      }
    },
  };
}
