/**
 * Seeded random data: every run measures the same values.
 */

/**
 * Numbers from 0 to 1, the same for the same seed (the mixing function of mulberry32).
 * @param {number} seed
 * @returns {() => number}
 */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * @param {() => number} random
 * @param {number} byteLength
 */
export function randomBytes(random, byteLength) {
  return Uint8Array.from({ length: byteLength }, () => Math.floor(random() * 256));
}

/**
 * Text of the kind that labels and attributes are: words, a few of them not ASCII.
 * @param {() => number} random
 * @param {number} length
 */
export function randomText(random, length) {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789-._';
  let text = random() < 0.1 ? 'ü' : '';
  while (text.length < length) text += letters[Math.floor(random() * letters.length)];
  return text;
}
