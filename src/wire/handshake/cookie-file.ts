/**
 * The contents of a cookie file (D-Bus specification, "DBUS_COOKIE_SHA1"): one cookie a line, its number, the time it was
 * made, and its secret in hexadecimal. Layer 4: imports lower layers only.
 *
 * Secrets stay bytes all the way: text could not be wiped.
 */
import {
  COOKIE_EXPIRE_SECONDS,
  COOKIE_FUTURE_SECONDS,
  COOKIE_RENEW_SECONDS,
  MAX_COOKIE_ID,
} from '../base/limits.js';

/** One cookie of a file. */
export interface Cookie {
  /** Its number, unlike any other in the file: 0 to 2^31 - 1. */
  readonly id: number;
  /** When it was made, in seconds of Unix time. */
  readonly createdAt: number;
  /** The secret: hexadecimal digits in ASCII. From {@link parseCookies}, a view of the bytes given. */
  readonly secret: Uint8Array;
}

const LF = 0x0a;
const SPACE = 0x20;

function isHexDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

/** The decimal number of 1 to `maxDigits` digits that `bytes` are; undefined when they are anything else. */
function parseNumber(bytes: Uint8Array, maxDigits: number): number | undefined {
  if (bytes.length === 0 || bytes.length > maxDigits) return undefined;
  let value = 0;
  for (const byte of bytes) {
    if (byte < 0x30 || byte > 0x39) return undefined;
    value = value * 10 + byte - 0x30;
  }
  return value;
}

function parseCookie(line: Uint8Array): Cookie | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  if (first === -1 || second === -1) return undefined;
  const id = parseNumber(line.subarray(0, first), 10);
  const createdAt = parseNumber(line.subarray(first + 1, second), 15);
  const secret = line.subarray(second + 1);
  const valid = secret.length > 0 && secret.length % 2 === 0 && secret.every(isHexDigit);
  if (id === undefined || id > MAX_COOKIE_ID || createdAt === undefined || !valid) return undefined;
  return { id, createdAt, secret };
}

/**
 * The cookies of a file, in its order. What is no cookie is passed over, and so is one of a number that came before, and a
 * last line without its end: other programs write the file, and one line of theirs must not lock everybody out.
 */
export function parseCookies(file: Uint8Array): Cookie[] {
  const cookies = new Map<number, Cookie>();
  for (let at = 0, end = file.indexOf(LF); end !== -1; at = end + 1, end = file.indexOf(LF, at)) {
    const cookie = parseCookie(file.subarray(at, end));
    if (cookie !== undefined && !cookies.has(cookie.id)) cookies.set(cookie.id, cookie);
  }
  return [...cookies.values()];
}

/** The file of some cookies: what {@link parseCookies} reads back. The caller wipes it. */
export function formatCookies(cookies: readonly Cookie[]): Uint8Array {
  const parts = cookies.map(({ id, createdAt, secret }) => ({ start: `${id} ${createdAt} `, secret }));
  const byteLength = parts.reduce((sum, { start, secret }) => sum + start.length + secret.length + 1, 0);
  const file = new Uint8Array(byteLength);
  let at = 0;
  for (const { start, secret } of parts) {
    for (let index = 0; index < start.length; index++) file[at++] = start.charCodeAt(index);
    file.set(secret, at);
    at += secret.length;
    file[at++] = LF;
  }
  return file;
}

/**
 * Whether a cookie counts at `now`, in seconds of Unix time: neither too old, nor so far in the future that a clock once set
 * wrong would make it last.
 */
export function isCookieCurrent(cookie: Cookie, now: number): boolean {
  return cookie.createdAt <= now + COOKIE_FUTURE_SECONDS && cookie.createdAt > now - COOKIE_EXPIRE_SECONDS;
}

/** The newest cookie that a server may begin a handshake with at `now`; undefined when it is to make one. */
export function newestUsableCookie(cookies: readonly Cookie[], now: number): Cookie | undefined {
  let newest: Cookie | undefined;
  for (const cookie of cookies) {
    const usable = isCookieCurrent(cookie, now) && cookie.createdAt > now - COOKIE_RENEW_SECONDS;
    if (usable && (newest === undefined || cookie.createdAt > newest.createdAt)) newest = cookie;
  }
  return newest;
}
