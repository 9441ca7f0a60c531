/** What is fuzzed: a target is one small file of `targets/`, and a line of its index. */
import type { Random } from './engine/random.js';

export interface Target {
  /** Also the name of its folder of seeds, `corpus/<name>`. */
  readonly name: string;
  /**
   * Takes one input apart, and throws when anything is wrong: an error of the wrong kind, or a broken promise. What is
   * properly refused is no fault. Gives a short word of what came of it; an input with a new one is worth keeping.
   */
  readonly run: (input: Uint8Array) => string | Promise<string>;
  /** Pieces that mean something, to be put into inputs. */
  readonly dictionary?: readonly string[];
  /** Seeds beside those in the folder. */
  readonly seeds?: () => readonly Uint8Array[];
  /** Makes an input that is valid, or nearly. */
  readonly generate?: (random: Random) => Uint8Array;
  /** Longest input, in bytes; 4,096 if not given. */
  readonly maxByteLength?: number;
}

/** A promise that the code under test did not keep. */
export class BrokenPromise extends Error {
  override name = 'BrokenPromise';
}

/** @throws {BrokenPromise} */
export function promise(kept: boolean, what: string): asserts kept {
  if (!kept) throw new BrokenPromise(what);
}

/** The code of an error of the one kind that may be thrown; any other is thrown on. */
export function refusal(error: unknown, kinds: Readonly<Record<string, readonly string[] | RegExp>>): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const codes = kinds[error.name];
    if (codes instanceof RegExp ? codes.test(error.code) : codes?.includes(error.code) === true)
      return error.code;
  }
  throw error;
}

/** Input as text: strict UTF-8 where it is that, else one character a byte, with lone surrogates at times. */
export function textOf(input: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input);
  } catch {
    return Array.from(input, (byte) => String.fromCharCode(byte >= 0xf8 ? 0xd800 + byte : byte)).join('');
  }
}

/** A number that depends on all of the input: for choices that a target makes, such as how to chunk. */
export function hashOf(input: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (const byte of input) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}

/** The input in pieces of lengths that follow from its hash; some are empty. */
export function chunksOf(input: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let state = hashOf(input);
  let at = 0;
  while (at < input.length) {
    state = (Math.imul(state, 0x41c6_4e6d) + 0x3039) >>> 0;
    const length = (state >>> 16) % 4 === 0 ? (state >>> 20) % 200 : (state >>> 20) % 9;
    chunks.push(input.slice(at, at + length));
    at += length;
  }
  return chunks;
}
