/**
 * Validators of object paths and names (D-Bus specification, "Valid Object Paths", "Valid Names").
 * They are loops and not regular expressions: a path may be as long as a message, and a loop over it
 * neither backtracks nor overflows a stack. Layer 1: imports layer 0 only.
 */
import { MAX_NAME_BYTE_LENGTH } from '../base/limits.js';

/** Name of the message bus itself, which is its interface too (D-Bus specification, "Message Bus Messages"). */
export const BUS_NAME = 'org.freedesktop.DBus';

/** Interface that never crosses the wire: the reference library uses it for messages of its own. */
export const LOCAL_INTERFACE = 'org.freedesktop.DBus.Local';
/** Path that never crosses the wire, for the same reason. */
export const LOCAL_PATH = '/org/freedesktop/DBus/Local';

const SLASH = 0x2f;
const DOT = 0x2e;
const DASH = 0x2d;
const COLON = 0x3a;

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** `[A-Za-z_]` */
function isWordStart(unit: number): boolean {
  return (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a) || unit === 0x5f;
}

function isWord(unit: number): boolean {
  return isWordStart(unit) || isDigit(unit);
}

/** Whether `text` is an object path: `/`, or elements of `[A-Za-z0-9_]+` each after a `/`. */
export function isObjectPath(text: string): boolean {
  if (typeof text !== 'string') return false;
  const length = text.length;
  if (length === 0 || text.charCodeAt(0) !== SLASH) return false;
  if (length === 1) return true;
  let previous = SLASH;
  for (let at = 1; at < length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === SLASH ? previous === SLASH : !isWord(unit)) return false;
    previous = unit;
  }
  return previous !== SLASH;
}

/** 1 for a byte of `[A-Za-z0-9_]`, else 0. */
const WORD_BYTES: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => (isWord(byte) ? 1 : 0));

/** As `isObjectPath`, of text whose UTF-8 is `bytes[start, end)`: a third of the time. */
export function isObjectPathAt(bytes: Uint8Array, start: number, end: number): boolean {
  if (start >= end || bytes[start] !== SLASH) return false;
  let wordBefore = 1;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    const word = WORD_BYTES[byte] as number;
    // Either a part of an element, or a slash after one: the first slash is all that needs none before it.
    if (word === 0 && (byte !== SLASH || wordBefore === 0)) return false;
    wordBefore = word;
  }
  return wordBefore === 1 || end - start === 1;
}

/** Whether `text` is two or more elements with dots between them, each `[A-Za-z_][A-Za-z0-9_]*`; `dash` allows `-` too. */
function isDotted(text: string, dash: boolean): boolean {
  if (typeof text !== 'string') return false;
  const length = text.length;
  if (length > MAX_NAME_BYTE_LENGTH) return false;
  let elements = 0;
  let atStart = true;
  for (let at = 0; at < length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === DOT) {
      if (atStart) return false;
      atStart = true;
      continue;
    }
    if (!(isWordStart(unit) || (dash && unit === DASH) || (isDigit(unit) && !atStart))) return false;
    if (atStart) elements++;
    atStart = false;
  }
  return !atStart && elements >= 2;
}

/** Whether `text` is an interface name. */
export function isInterfaceName(text: string): boolean {
  return isDotted(text, false);
}

/** Whether `text` is an error name: the same form as an interface name. */
export function isErrorName(text: string): boolean {
  return isDotted(text, false);
}

/** Whether `text` is a member name: one element. */
export function isMemberName(text: string): boolean {
  if (typeof text !== 'string') return false;
  const length = text.length;
  if (length === 0 || length > MAX_NAME_BYTE_LENGTH || !isWordStart(text.charCodeAt(0))) return false;
  for (let at = 1; at < length; at++) {
    if (!isWord(text.charCodeAt(at))) return false;
  }
  return true;
}

/**
 * Whether `text` is a unique name, such as `:1.42`. As in the reference implementation, and unlike in the
 * specification, it needs no dot: nothing hangs on the form of a unique name, which is only ever compared, and what the
 * bus itself lets through must not end our connection.
 */
export function isUniqueName(text: string): boolean {
  if (typeof text !== 'string') return false;
  const length = text.length;
  if (length > MAX_NAME_BYTE_LENGTH || text.charCodeAt(0) !== COLON) return false;
  let afterDot = false;
  for (let at = 1; at < length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === DOT ? afterDot : !(isWord(unit) || unit === DASH)) return false;
    afterDot = unit === DOT;
  }
  return !afterDot;
}

/** Whether `text` is a well-known name, such as `org.freedesktop.secrets`. */
export function isWellKnownName(text: string): boolean {
  return isDotted(text, true);
}

/** Whether `text` is a bus name: unique or well-known. */
export function isBusName(text: string): boolean {
  return isUniqueName(text) || isWellKnownName(text);
}
