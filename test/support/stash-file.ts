/** Native stores in memory, whole or not, for tests that read hundreds of thousands of them. */
import { FrameCipher, type FrameType, tagByteLength } from '../../src/stash/native/frame.js';
import { LoadedLog } from '../../src/stash/native/loaded-log.js';
import type { LogFile, LogStatus } from '../../src/stash/native/log-file.js';
import { walk } from '../../src/stash/native/tree.js';

/** A file that is there to be read. */
export class BytesLogFile implements LogFile {
  readonly descriptor = -1;
  readonly #bytes: Uint8Array;

  /** @param bytes - Not copied. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  status(): LogStatus {
    return { device: 1, inode: 1, byteLength: this.#bytes.length, modifiedMs: 0 };
  }

  read(target: Uint8Array, position: number): number {
    const found = this.#bytes.subarray(position, position + target.length);
    target.set(found);
    return found.length;
  }

  append(): never {
    throw new Error('this file is not written');
  }

  write(): never {
    throw new Error('this file is not written');
  }

  truncate(): never {
    throw new Error('this file is not written');
  }

  async dataSync(): Promise<never> {
    throw new Error('this file is not written');
  }

  close(): void {}
}

/** Reads a file with a data key that is known. The log has to be released. */
export async function loadBytes(bytes: Uint8Array, dataKey: Uint8Array): Promise<LoadedLog> {
  return await LoadedLog.load(new BytesLogFile(bytes), {
    path: '/memory',
    unlock: async () => dataKey.slice(),
  });
}

/** Everything in a log, in order, as `[key, value or undefined]`. @throws what reading a large value throws */
export async function readEverything(log: LoadedLog): Promise<[string[], Uint8Array | undefined][]> {
  const found: [string[], Uint8Array | undefined][] = [];
  for (const [key, node] of walk(log.tree.root)) found.push([key, await log.readValue(node, {})]);
  return found;
}

/** A frame to be made; what is left out is as the log before wants it. */
export interface FrameScript {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly unsynced?: number;
  readonly sequence?: number;
  readonly previous?: Uint8Array;
}

/** Makes frames that follow on each other. */
export class FrameMaker {
  readonly #cipher: FrameCipher;
  sequence: number;
  tag: Uint8Array = new Uint8Array(tagByteLength);

  constructor(dataKey: Uint8Array, storeId: Uint8Array, epoch: number, base = 0) {
    this.#cipher = new FrameCipher(dataKey, storeId, epoch);
    this.sequence = base;
  }

  /** The next frame; those after it follow on it. */
  frame({ type, body, unsynced = 0, ...given }: FrameScript): Uint8Array {
    const { sequence = this.sequence + 1, previous = this.tag } = given;
    const frame = this.#cipher.seal({ type, unsynced, sequence, previous }, body);
    this.sequence = sequence;
    this.tag = frame.slice(-tagByteLength);
    return frame;
  }
}
