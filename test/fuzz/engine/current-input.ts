/**
 * A file that holds the input being run, so that it can be had after the process has hung, run out of memory or crashed: a
 * count of runs (8 bytes), the length of the input (4 bytes) and the input.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

const HEADER_BYTE_LENGTH = 12;

export class CurrentInput {
  readonly #file: number;
  readonly #buffer: Buffer;
  #count = 0;

  constructor(path: string, maxByteLength: number) {
    this.#file = openSync(path, 'w', 0o600);
    this.#buffer = Buffer.alloc(HEADER_BYTE_LENGTH + maxByteLength);
  }

  set(input: Uint8Array): void {
    const buffer = this.#buffer;
    buffer.writeDoubleLE(++this.#count, 0);
    buffer.writeUInt32LE(input.length, 8);
    buffer.set(input, HEADER_BYTE_LENGTH);
    writeSync(this.#file, buffer, 0, HEADER_BYTE_LENGTH + input.length, 0);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** What such a file says; a count of 0 before the first run. */
export function readCurrentInput(path: string): { count: number; input: Uint8Array } {
  const bytes = readFileSync(path);
  if (bytes.length < HEADER_BYTE_LENGTH) return { count: 0, input: new Uint8Array(0) };
  const length = bytes.readUInt32LE(8);
  return {
    count: bytes.readDoubleLE(0),
    input: new Uint8Array(bytes.subarray(HEADER_BYTE_LENGTH, HEADER_BYTE_LENGTH + length)),
  };
}
