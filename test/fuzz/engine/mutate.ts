/** Changes inputs: bits, bytes, numbers that may be lengths, pieces taken out, doubled, moved, put in, and halves of two joined. */
import type { Random } from './random.js';

const BYTES = [0, 1, 2, 7, 8, 0x0a, 0x20, 0x27, 0x2f, 0x40, 0x7f, 0x80, 0xc0, 0xed, 0xf4, 0xff];
const NUMBERS = [
  0, 1, 2, 3, 4, 7, 8, 63, 64, 65, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x0400_0000, 0x0400_0001,
  0x0800_0000, 0x0800_0001, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff,
];
const encoder = new TextEncoder();

/** `input` with what lies from `at` to `end` replaced. */
function replaced(input: Uint8Array, at: number, end: number, piece: Uint8Array): Uint8Array {
  const result = new Uint8Array(at + piece.length + input.length - end);
  result.set(input.subarray(0, at));
  result.set(piece, at);
  result.set(input.subarray(end), at + piece.length);
  return result;
}

export class Mutator {
  readonly #random: Random;
  readonly #dictionary: readonly Uint8Array[];
  readonly #maxByteLength: number;

  constructor(random: Random, dictionary: readonly string[], maxByteLength: number) {
    this.#random = random;
    this.#dictionary = dictionary.map((piece) => encoder.encode(piece));
    this.#maxByteLength = maxByteLength;
  }

  /** A changed copy of `input`; `other` is another input to take pieces from. */
  mutate(input: Uint8Array, other: Uint8Array): Uint8Array {
    let result = new Uint8Array(input);
    for (let times = 1 << this.#random.below(4); times > 0; times--) {
      result = new Uint8Array(this.#once(result, other).subarray(0, this.#maxByteLength));
    }
    return result;
  }

  #once(input: Uint8Array, other: Uint8Array): Uint8Array {
    const random = this.#random;
    const at = random.below(input.length + 1);
    const length = Math.min(random.oneIn(4) ? random.below(64) : random.below(6), input.length - at);
    const none = new Uint8Array(0);
    switch (random.below(12)) {
      case 0:
        if (at < input.length) input[at] = (input[at] as number) ^ (1 << random.below(8));
        return input;
      case 1:
        if (at < input.length) input[at] = random.oneIn(2) ? random.pick(BYTES) : random.below(256);
        return input;
      case 2:
        if (at < input.length) input[at] = (input[at] as number) + random.below(9) - 4;
        return input;
      case 3:
      case 4:
        return this.#number(input);
      case 5:
        return replaced(input, at, at + length, none);
      case 6: {
        const bytes = Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256));
        return replaced(input, at, at, bytes);
      }
      case 7:
        // The same again, a few times over.
        return replaced(input, at, at, repeated(input.subarray(at, at + length), 1 + random.below(8)));
      case 8: {
        const from = random.below(input.length + 1);
        return replaced(input, at, at + length, input.slice(from, from + length));
      }
      case 9: {
        const from = random.below(other.length + 1);
        const end = random.oneIn(2) ? input.length : Math.min(input.length, at + length);
        return replaced(
          input,
          at,
          end,
          other.slice(from, random.oneIn(2) ? undefined : from + 1 + random.below(32)),
        );
      }
      case 10:
        return random.oneIn(4)
          ? input.slice(0, at)
          : replaced(input, at, at, Uint8Array.of(0x20 + random.below(95)));
      default: {
        const piece =
          this.#dictionary.length === 0 ? Uint8Array.of(random.pick(BYTES)) : random.pick(this.#dictionary);
        return replaced(input, at, random.oneIn(2) ? at : Math.min(input.length, at + piece.length), piece);
      }
    }
  }

  /** Writes a number, or moves one a little that is there: what may be a length, a count or an alignment. */
  #number(input: Uint8Array): Uint8Array {
    const random = this.#random;
    const width = random.pick([1, 2, 4, 4, 4, 8]);
    if (input.length < width) return input;
    const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
    let at = random.below(input.length - width + 1);
    // Numbers on the wire are aligned.
    if (random.below(4) > 0) at -= at % width;
    const littleEndian = random.below(4) > 0;
    const move = random.oneIn(2);
    const step = random.pick([1, -1, 4, -4, 8, -8, 16]);
    const value = random.pick(NUMBERS);
    if (width === 1) input[at] = move ? (input[at] as number) + step : value;
    else if (width === 2)
      view.setUint16(at, move ? view.getUint16(at, littleEndian) + step : value, littleEndian);
    else if (width === 4)
      view.setUint32(at, move ? view.getUint32(at, littleEndian) + step : value, littleEndian);
    else view.setBigUint64(at, random.oneIn(2) ? BigInt(value) : BigInt(value) << 32n, littleEndian);
    return input;
  }
}

function repeated(piece: Uint8Array, times: number): Uint8Array {
  const result = new Uint8Array(piece.length * times);
  for (let count = 0; count < times; count++) result.set(piece, count * piece.length);
  return result;
}
