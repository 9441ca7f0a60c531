/**
 * Names of cookie contexts (D-Bus specification, "DBUS_COOKIE_SHA1"). Layer 4: imports nothing.
 */

/** Longest name of a context, in characters: with `.lock` and the like behind it, a file name of any system holds it. */
const MAX_LENGTH = 200;

/**
 * Whether a name may be that of a cookie context, and with that of a file in the keyring: ASCII without slash, backslash,
 * full stop, space or control characters. So it can lead out of no folder, nor to a lock or a temporary file.
 */
export function isCookieContext(name: string): boolean {
  return name.length <= MAX_LENGTH && /^[!-\-0-[\]-~]+$/.test(name);
}
