/**
 * Modular exponentiation over BigInt, for the key agreement of a session.
 *
 * Imports nothing. Exponents are bytes and not BigInts, so that their owner can wipe them.
 *
 * Side channels: BigInt arithmetic takes a time that depends on its operands. What is done about it:
 * every exponent of one length runs the same sequence of squarings and multiplications (zero digits
 * too), and a private exponent is used for one exchange only, so that no two measurements can be
 * averaged. The operands and intermediate BigInts cannot be wiped; the garbage collector frees them.
 */

const WINDOW_BITS = 4;

/**
 * Computes `base` to the power of `exponent` modulo `modulus` with fixed windows of four bits.
 *
 * 256 squarings and 78 multiplications for a 256-bit exponent, where square-and-multiply needs 256
 * and 128 on average.
 * @param base - 0 ≤ `base` < `modulus`.
 * @param exponent - Unsigned, big endian; only read.
 * @param modulus - More than 1.
 */
export function modularPower(base: bigint, exponent: Uint8Array, modulus: bigint): bigint {
  const powers: bigint[] = [1n];
  for (let digit = 1, power = 1n; digit < 1 << WINDOW_BITS; digit++) {
    power = (power * base) % modulus;
    powers.push(power);
  }
  let result = 1n;
  for (const byte of exponent) {
    result = raiseTo16(result, modulus);
    result = (result * (powers[byte >> WINDOW_BITS] ?? 1n)) % modulus;
    result = raiseTo16(result, modulus);
    result = (result * (powers[byte & 15] ?? 1n)) % modulus;
  }
  return result;
}

function raiseTo16(value: bigint, modulus: bigint): bigint {
  let result = value;
  for (let bit = 0; bit < WINDOW_BITS; bit++) result = (result * result) % modulus;
  return result;
}

/**
 * Computes 2 to the power of `exponent` modulo `modulus`.
 *
 * Multiplying by a power of two is a shift, so that a whole byte of the exponent costs eight squarings
 * and nothing else, and the first byte costs no squaring at all.
 * @param exponent - Unsigned, big endian; only read.
 * @param modulus - More than 2 to the power of 256, so that the first byte needs no reduction.
 */
export function modularPowerOfTwo(exponent: Uint8Array, modulus: bigint): bigint {
  let result = 1n;
  for (let index = 0; index < exponent.byteLength; index++) {
    const digit = BigInt(exponent[index] ?? 0);
    if (index === 0) {
      result = 1n << digit;
      continue;
    }
    for (let bit = 1; bit < 8; bit++) result = (result * result) % modulus;
    // One reduction serves the last squaring and the shift.
    result = ((result * result) << digit) % modulus;
  }
  return result;
}
