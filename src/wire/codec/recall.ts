/**
 * Texts that come again and again — object paths, names in headers, keys of dicts, signatures — found by their bytes, so
 * that none of them is decoded, validated and allocated each time. Values are never kept: they may be secret.
 * Layer 2: imports lower layers only.
 */

/** Texts kept, two that hash alike side by side; a third takes the place of one of them. */
const SLOTS = 512;
/** Longest text kept, in bytes: as long as most object paths are, and with `SLOTS` a bound on the memory. */
const WIDTH = 64;

const kept = new DataView(new ArrayBuffer(SLOTS * WIDTH));
/** What each slot holds: its kind and length, or 0. */
const marks = new Uint16Array(SLOTS);
const hashes = new Int32Array(SLOTS);
const texts: string[] = Array.from({ length: SLOTS }, () => '');
/** Which of two slots the next text goes to: 0 or 1. */
let turn = 0;

/** Names and paths differ at their ends, so that their last four bytes are enough. */
function hashOf(view: DataView, end: number, mark: number): number {
  const last = (mark & 0xff) < 4 ? view.getUint8(end - 1) : view.getInt32(end - 4);
  return Math.imul(last, 0x9e37_79b1) ^ Math.imul(mark, 0x85eb_ca6b);
}

/** The first of the two slots that a text of this hash may be in. */
function slotOf(hash: number): number {
  return (hash >>> 23) & -2;
}

/** Whether `slot` holds the bytes from `start` to `end`, which have its length. */
function holds(slot: number, view: DataView, start: number, end: number): boolean {
  const offset = slot * WIDTH - start;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    if (view.getInt32(at) !== kept.getInt32(offset + at)) return false;
  }
  for (; at < end; at++) {
    if (view.getUint8(at) !== kept.getUint8(offset + at)) return false;
  }
  return true;
}

/**
 * The text that was kept for these bytes as one of this kind (1–255), or undefined. What was valid for its kind then is so
 * now: nothing but the bytes decides it.
 */
export function recall(view: DataView, start: number, end: number, kind: number): string | undefined {
  const length = end - start;
  if (length > WIDTH || length === 0) return undefined;
  const mark = (kind << 8) | length;
  const hash = hashOf(view, end, mark);
  let slot = slotOf(hash);
  if (hashes[slot] !== hash) slot++;
  const found = hashes[slot] === hash && marks[slot] === mark && holds(slot, view, start, end);
  return found ? texts[slot] : undefined;
}

/** Keeps `text`, whose bytes these are, as one of this kind, when it is short enough. */
export function keep(view: DataView, start: number, end: number, kind: number, text: string): void {
  const length = end - start;
  if (length > WIDTH || length === 0) return;
  const mark = (kind << 8) | length;
  const hash = hashOf(view, end, mark);
  turn ^= 1;
  // One of the same hash would hide behind it.
  const first = slotOf(hash);
  const slot = hashes[first] === hash ? first : first + turn;
  const offset = slot * WIDTH - start;
  let at = start;
  for (; at + 4 <= end; at += 4) kept.setInt32(offset + at, view.getInt32(at));
  for (; at < end; at++) kept.setUint8(offset + at, view.getUint8(at));
  marks[slot] = mark;
  hashes[slot] = hash;
  texts[slot] = text;
}
