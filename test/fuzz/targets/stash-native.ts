/** Files of a native stash under a key that is known: frames sealed of any bodies, in any order, whole and not. */
import { isDeepStrictEqual } from 'node:util';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { StashError } from '../../../src/stash/errors.js';
import type { OpenFile } from '../../../src/stash/file-system.js';
import { deriveSubkey, FrameCipher, type FrameType, setUint64 } from '../../../src/stash/native/frame.js';
import { formatPage, framesOffset, pageByteLength } from '../../../src/stash/native/header-page.js';
import { LoadedLog } from '../../../src/stash/native/loaded-log.js';
import { SnapshotWriter } from '../../../src/stash/native/snapshot.js';
import { BytesLogFile, loadBytes, readEverything } from '../../support/stash-file.js';
import type { Random } from '../engine/random.js';
import { promise, refusal, type Target } from '../target.js';
import { bodyOf } from './stash-body.js';

const DATA_KEY = new Uint8Array(32).fill(3);
const STORE_ID = new Uint8Array(16).fill(5);
const HEADER_KEY = deriveSubkey(DATA_KEY, STORE_ID, 'header pages');
const CIPHER = new FrameCipher(DATA_KEY, STORE_ID, 1);

const REFUSALS = {
  StashFormatError: ['not-a-stash', 'unsupported-version'],
  StashCorruptError: ['damaged-header', 'damaged-slot', 'damaged-frame', 'lost-frames'],
};

interface Frame {
  readonly bytes: Uint8Array;
  readonly sequence: number;
}

/** Makes a file by a script: at the beginning how the header is, then items of a byte, a length in two, and so many bytes. */
class Script {
  readonly frames: Frame[] = [];
  readonly pieces: Uint8Array[] = [];
  /** Whether each frame has the length that its header says, so that one ends where a piece ends. */
  isEven = true;
  #sequence = 0;
  #tag: Uint8Array = new Uint8Array(16);

  run(input: Uint8Array): void {
    for (let at = 0; at + 3 <= input.length && this.pieces.length < 24; ) {
      const [kind = 0, low = 0, high = 0] = input.subarray(at, at + 3);
      const end = Math.min(at + 3 + low + (high << 8), input.length);
      this.#item(kind, input.slice(at + 3, end));
      at = end;
    }
  }

  #item(kind: number, payload: Uint8Array): void {
    const [first = 0, second = 0] = payload;
    const old = this.frames[first % Math.max(1, this.frames.length)];
    switch (kind % 9) {
      case 0:
        this.pieces.push(payload);
        return;
      case 1:
      case 2:
        this.#frame(kind % 9 === 1 ? 1 : 2, payload, {});
        return;
      case 3:
        // As long as is worth while: a value in chunks has 32,769 bytes at least.
        this.#frame(
          3,
          new Uint8Array([16, 32_769, 40_000, 65_536, 65_537][first % 5] as number).fill(second),
          {},
        );
        return;
      case 4:
        this.#frame(1, payload.subarray(2), { unsynced: second, side: true, after: old });
        return;
      case 5:
        if (old !== undefined) this.pieces.push(old.bytes);
        return;
      case 6:
        // Fields that no writer writes, with a right MAC: the body does not open, or all is refused.
        this.#frame(1, payload.subarray(4), {
          unsynced: first,
          sequence: second,
          at: payload[2] ?? 0,
          byte: payload[3] ?? 0,
        });
        return;
      case 7: {
        const count = this.pieces.length;
        this.isEven = false;
        this.#frame(1, payload.subarray(2), { unsynced: second });
        const whole = this.pieces[count] as Uint8Array;
        this.pieces[count] = whole.subarray(0, (first * whole.length) >> 8);
        return;
      }
      default: {
        const piece = this.pieces.at(-1 - (first % 4));
        if (piece !== undefined && piece.length > 0) {
          // A copy: the frame may be wanted whole again.
          const spoilt = piece.slice();
          const place = (second * 31 + (payload[2] ?? 0)) % spoilt.length;
          spoilt[place] = (spoilt[place] as number) ^ (1 << (first >> 5));
          this.pieces[this.pieces.lastIndexOf(piece)] = spoilt;
        }
      }
    }
  }

  #frame(
    type: FrameType,
    body: Uint8Array,
    given: {
      unsynced?: number;
      side?: true;
      after?: Frame | undefined;
      sequence?: number;
      at?: number;
      byte?: number;
    },
  ): void {
    // A body of nothing is too short to be one.
    const text = body.length === 0 ? new Uint8Array(1) : body;
    const { unsynced = 0, side, after, at, byte = 0 } = given;
    const sequence = given.sequence ?? (after === undefined ? this.#sequence : after.sequence) + 1;
    const previous = after?.bytes.slice(-16) ?? this.#tag;
    const bytes = CIPHER.seal({ type, unsynced, sequence, previous }, text);
    if (at !== undefined && at % 60 < 56) {
      if (at % 60 < 4) this.isEven = false;
      bytes[at % 60] = byte;
      remac(bytes);
    }
    this.frames.push({ bytes, sequence });
    this.pieces.push(bytes);
    if (side !== undefined) return;
    this.#sequence = sequence;
    this.#tag = bytes.slice(-16);
  }
}

const MAC_KEY = deriveSubkey(DATA_KEY, STORE_ID, 'frame headers');
const CONTEXT = new Uint8Array(24);
CONTEXT.set(STORE_ID);
setUint64(new DataView(CONTEXT.buffer), 16, 1);

function remac(frame: Uint8Array): void {
  frame.set(hmac(sha256, MAC_KEY, Buffer.concat([CONTEXT, frame.subarray(0, 56)])).subarray(0, 16), 56);
}

/** Both header pages. With `patches` bytes of them are others: three of them a place and a byte each. */
function headerOf(floor: Frame | undefined, patches: Uint8Array, how: number): Uint8Array {
  const pages = new Uint8Array(framesOffset);
  const position = { sequence: floor?.sequence ?? 0, tag: floor?.bytes.slice(-16) ?? new Uint8Array(16) };
  for (let generation = 2; generation <= 3; generation++) {
    const header = { storeId: STORE_ID, generation, epoch: 1, floor: position, base: 0, slots: [] };
    pages.set(formatPage(header, HEADER_KEY), (generation % 2) * pageByteLength);
  }
  for (let at = 0; at + 3 <= patches.length; at += 3) {
    const [low = 0, high = 0, byte = 0] = patches.subarray(at, at + 3);
    pages[(low | (high << 8)) % pages.length] = byte;
  }
  if (patches.length === 0) return pages;
  for (const offset of [0, pageByteLength]) {
    const page = pages.subarray(offset, offset + pageByteLength);
    if ((how & 1) !== 0) page.set(hmac(sha256, HEADER_KEY, page.subarray(0, 4032)), 4032);
    if ((how & 2) !== 0) page.set(sha256(page.subarray(0, 4064)), 4064);
  }
  return pages;
}

/** The file that an input stands for, and where its pieces begin if what is read does not hang on what follows. */
function fileOf(input: Uint8Array): { bytes: Uint8Array; borders: number[] | undefined } {
  const [how = 0, floor = 0, patchCount = 0] = input;
  const patches = input.subarray(3, 3 + 3 * (patchCount % 8));
  const script = new Script();
  script.run(input.subarray(3 + patches.length));
  const floorFrame = (how & 4) === 0 ? undefined : script.frames[floor % Math.max(1, script.frames.length)];
  const head = headerOf(floorFrame?.sequence === 0 ? undefined : floorFrame, patches, how);
  const borders: number[] = [];
  let end = head.length;
  for (const { length } of script.pieces) {
    borders.push(end);
    end += length;
  }
  // What is passed over for its length may end behind what was damage before that was there.
  return { bytes: Buffer.concat([head, ...script.pieces]), borders: script.isEven ? borders : undefined };
}

interface Outcome {
  readonly code: string;
  readonly log?: LoadedLog;
  readonly entries?: unknown;
}

/** Reads a file, with its values; of large ones at most the first that is damaged is told. */
async function outcomeOf(load: () => Promise<LoadedLog>): Promise<Outcome> {
  let log: LoadedLog;
  try {
    log = await load();
  } catch (error) {
    return { code: refusal(error, REFUSALS) };
  }
  try {
    return { code: '', log, entries: await readEverything(log) };
  } catch (error) {
    return { code: `value ${refusal(error, { StashCorruptError: ['damaged-frame'] })}`, log };
  }
}

/** A file in memory to be written. */
class BytesFile implements Pick<OpenFile, 'write'> {
  bytes: Uint8Array = new Uint8Array();

  async write(bytes: Uint8Array, position: number): Promise<number> {
    const end = position + bytes.length;
    if (end > this.bytes.length)
      this.bytes = Buffer.concat([this.bytes, new Uint8Array(end - this.bytes.length)]);
    this.bytes.set(bytes, position);
    return bytes.length;
  }
}

/** What was read can be written anew, and is the same. */
async function checkSnapshot(log: LoadedLog, entries: unknown): Promise<void> {
  const file = new BytesFile();
  const header = { storeId: STORE_ID, generation: 4, epoch: 2, base: log.position.sequence, slots: [] };
  await new SnapshotWriter(file as unknown as OpenFile, header, DATA_KEY, {
    path: '/memory',
    padding: false,
  }).write(log);
  const again = await loadBytes(file.bytes, DATA_KEY);
  promise(again.tornTail === undefined, 'a snapshot has a torn tail');
  promise(isDeepStrictEqual(await readEverything(again), entries), 'a snapshot holds something else');
  again.release();
}

/** A file that grows as it is read says the same as one that was there from the beginning. */
async function checkGrowing(bytes: Uint8Array, borders: readonly number[], whole: Outcome): Promise<void> {
  const file = new GrowingFile(bytes);
  let log: LoadedLog | undefined;
  try {
    for (const border of [...borders, bytes.length]) {
      file.byteLength = border;
      if (log === undefined) {
        log = await LoadedLog.load(file, { path: '/memory', unlock: async () => DATA_KEY.slice() }).catch(
          ignoreLost,
        );
      } else await log.catchUp({});
    }
  } catch (error) {
    log?.release();
    const code = refusal(error, REFUSALS);
    promise(whole.log === undefined && code === whole.code, `growing it is refused: ${code}`);
    return;
  }
  if (log === undefined) {
    promise(whole.code === 'lost-frames', 'growing it is refused');
    return;
  }
  promise(whole.log !== undefined, 'growing it is taken');
  promise(isDeepStrictEqual(log.position, whole.log.position), 'growing it ends elsewhere');
  if (whole.entries !== undefined) {
    promise(isDeepStrictEqual(await readEverything(log), whole.entries), 'growing it holds something else');
  }
  log.release();
}

/** The floor may not have come yet. */
function ignoreLost(error: unknown): undefined {
  if (error instanceof StashError && error.code === 'lost-frames') return undefined;
  throw error;
}

class GrowingFile extends BytesLogFile {
  byteLength = 0;

  override status(): ReturnType<BytesLogFile['status']> {
    return { ...super.status(), byteLength: this.byteLength };
  }

  override read(target: Uint8Array, position: number): number {
    const most = Math.max(0, Math.min(target.length, this.byteLength - position));
    return super.read(target.subarray(0, most), position);
  }
}

/** Salvaging takes every frame; where nothing was wrong it finds the same. */
async function checkSalvage(bytes: Uint8Array, whole: Outcome): Promise<void> {
  const options = { path: '/memory', unlock: async () => DATA_KEY.slice(), salvage: () => {} };
  const log = await LoadedLog.load(new BytesLogFile(bytes), options);
  if (whole.log !== undefined && whole.log.tornTail === undefined && whole.entries !== undefined) {
    promise(isDeepStrictEqual(await readEverything(log), whole.entries), 'salvaged it holds something else');
  }
  log.release();
}

async function run(input: Uint8Array): Promise<string> {
  const { bytes, borders } = fileOf(input);
  const whole = await outcomeOf(() => loadBytes(bytes, DATA_KEY));
  try {
    const { code, log, entries } = whole;
    const isHeaderSound = code === '' || /frame/.test(code);
    if (borders !== undefined) await checkGrowing(bytes, borders, whole);
    if (isHeaderSound) await checkSalvage(bytes, whole);
    if (log === undefined) return code;
    const { position, header, tornTail, tree } = log;
    promise(position.sequence >= header.floor.sequence, 'it ends below its floor');
    promise((tornTail === undefined) === (position.end === bytes.length), 'a tail nobody is told of');
    if (entries !== undefined) await checkSnapshot(log, entries);
    return `${code} ${Math.min(position.sequence, 4)} ${tornTail === undefined ? '' : 'torn'} ${Math.min(tree.nodes, 4)}`;
  } finally {
    whole.log?.release();
  }
}

function itemOf(kind: number, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(kind, payload.length & 255, payload.length >> 8), payload]);
}

function scriptOf(random: Random): Uint8Array {
  const items: Uint8Array[] = [];
  for (let count = 1 + random.below(6); count > 0; count--) {
    const kind = random.oneIn(2) ? 1 : random.below(9);
    const some = Uint8Array.from({ length: 4 }, () => random.below(256));
    // A large value is in its chunk.
    if (kind === 3) some[0] = random.below(5);
    const text = bodyOf(random).subarray(0, 300);
    const payload =
      kind === 1 || kind === 2
        ? text
        : kind === 4 || kind === 7
          ? Buffer.concat([some.subarray(0, 2), text])
          : Buffer.concat([some, text]);
    if (kind === 4 || kind === 7) payload[1] = random.below(4);
    items.push(itemOf(kind, payload));
  }
  return Buffer.concat(items);
}

const target: Target = {
  name: 'stash-native',
  maxByteLength: 3000,
  seeds: () => [
    // A large value in a chunk, and one in two.
    Buffer.concat([
      Uint8Array.of(0, 0, 0),
      itemOf(3, Uint8Array.of(1, 7)),
      itemOf(1, Uint8Array.of(3, 0, 1, 1, 0x61, 0x81, 0x80, 2, 1)),
    ]),
    Buffer.concat([
      Uint8Array.of(4, 2, 0),
      itemOf(3, Uint8Array.of(3, 7)),
      itemOf(3, Uint8Array.of(1, 0)),
      itemOf(2, Uint8Array.of(3, 0, 1, 1, 0x61, 0x81, 0x80, 4, 1)),
    ]),
    // Two that follow on one, of which the first counts.
    Buffer.concat([
      Uint8Array.of(0, 0, 0),
      ...[1, 1].map((kind) => itemOf(kind, Uint8Array.of(4, 0, 1, 1, 0x62))),
      itemOf(4, Uint8Array.of(0, 1, 4, 0, 1, 1, 0x63)),
    ]),
  ],
  generate: (random) => {
    const patches = random.oneIn(6) ? 1 + random.below(3) : 0;
    const head = [random.below(8), random.below(6), patches];
    for (let count = 0; count < patches; count++)
      head.push(random.below(256), random.below(32), random.below(256));
    return Buffer.concat([Uint8Array.from(head), scriptOf(random)]);
  },
  run,
};

export default target;
