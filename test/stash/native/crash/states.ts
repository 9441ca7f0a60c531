/** What a power failure may leave of a file: everything that POSIX and the disks allow, as far as it can be listed. */
import { applied, type Disk, type Inode, type PendingWrite } from './disk.js';

/** Disks write this much whole or not at all. */
const sectorByteLength = 512;

/** How many sectors of a long write are lost one at a time. */
const maxSectors = 24;

/** A file as it may be after a power failure. */
export interface Remains {
  readonly content: Uint8Array;
  /** How it came about, for the message of a test that fails. */
  readonly what: string;
}

/** How closely torn writes are looked at: cut at every byte, only about the borders of sectors, or at a few places. */
export type Detail = 'bytes' | 'sectors' | 'coarse';

/** A file and what has not reached the disk of it, at one moment. */
export interface FileMoment {
  readonly durable: Uint8Array;
  readonly pending: readonly PendingWrite[];
}

/** What may be in a folder after a power failure: the file at the path, if any, and the names of others. */
export interface FolderMoment {
  readonly file: FileMoment | undefined;
  readonly others: readonly string[];
}

function momentOf({ durable, pending }: Inode): FileMoment {
  return { durable, pending: [...pending] };
}

/** Each way in which the changes of names may have reached the disk: none, all, a prefix, each alone, all but one. */
export function folderMoments(disk: Disk, path: string): FolderMoment[] {
  const changes = disk.pendingNames;
  const chosen = [...changes.keys(), changes.length].flatMap((count) => [
    changes.slice(0, count),
    changes.slice(count, count + 1),
    [...changes.slice(0, count), ...changes.slice(count + 1)],
  ]);
  const moments = new Map<string, FolderMoment>();
  for (const kept of chosen) {
    const names = new Map(disk.durableNames);
    for (const [name, inode] of kept.flat()) {
      if (inode === undefined) names.delete(name);
      else names.set(name, inode);
    }
    const file = names.get(path);
    const others = [...names.keys()].filter((name) => name !== path);
    moments.set(`${file?.number} ${others.join(' ')}`, { file: file && momentOf(file), others });
  }
  return [...moments.values()];
}

function all(durable: Uint8Array, kept: readonly PendingWrite[]): Uint8Array {
  return kept.reduce(applied, durable);
}

/** Where a write may be cut: behind so many of its bytes. */
function cutsOf(offset: number, byteLength: number, detail: Detail): number[] {
  if (detail === 'coarse') return [72, byteLength >> 1].filter((cut) => cut < byteLength);
  const cuts = new Set<number>();
  if (detail === 'bytes' && byteLength <= 2 * 4096) {
    for (let cut = 1; cut < byteLength; cut++) cuts.add(cut);
    return [...cuts];
  }
  const around = (cut: number): void => {
    for (const each of [cut - 1, cut, cut + 1]) if (each > 0 && each < byteLength) cuts.add(each);
  };
  // The parts of a frame: length, header, nonce, MAC, body, tag.
  for (const cut of [4, 8, 16, 32, 56, 72, byteLength - 16]) around(cut);
  const step = sectorByteLength * Math.ceil(byteLength / sectorByteLength / maxSectors);
  for (let cut = sectorByteLength - (offset % sectorByteLength); cut < byteLength; cut += step) around(cut);
  return [...cuts];
}

/** Every content that the file may have. Some come more than once. */
export function* remainsOf({ durable, pending }: FileMoment, detail: Detail): Generator<Remains> {
  const count = pending.length;
  yield { content: durable, what: 'nothing that was not synced' };
  if (count === 0) return;
  if (count <= 4) {
    for (let mask = 1; mask < 2 ** count; mask++) {
      const kept = pending.filter((_each, index) => (mask & (1 << index)) !== 0);
      yield { content: all(durable, kept), what: `of ${count} writes those of mask ${mask}` };
    }
  }
  for (let index = 0; index < count; index++) {
    const rest = pending.slice(index + 1);
    yield { content: all(durable, pending.slice(0, index)), what: `the first ${index} writes` };
    yield { content: all(durable, rest), what: `the writes after ${index}` };
    yield { content: all(durable, [...pending.slice(0, index), ...rest]), what: `all but write ${index}` };
    yield { content: all(durable, pending.slice(index, index + 1)), what: `only write ${index}` };
    const torn = pending[index] as PendingWrite;
    if ('byteLength' in torn) continue;
    yield* tornAt(all(durable, pending.slice(0, index)), torn, rest, detail);
  }
  for (const part of [0.01, 0.5, 0.99]) {
    const parts = pending.map((each) =>
      'bytes' in each
        ? { ...each, bytes: each.bytes.subarray(0, Math.ceil(each.bytes.length * part)) }
        : each,
    );
    yield { content: all(durable, parts), what: `${part} of each of ${count} writes` };
  }
  const longest = all(durable, pending).length;
  const zeros = new Uint8Array(longest);
  zeros.set(durable.subarray(0, longest));
  yield { content: zeros, what: 'the length, and zeros' };
}

/** A write of which some bytes are there, without the later ones and with them. */
function* tornAt(
  before: Uint8Array,
  { offset, bytes }: { offset: number; bytes: Uint8Array },
  rest: readonly PendingWrite[],
  detail: Detail,
): Generator<Remains> {
  const end = offset + bytes.length;
  const filled = new Uint8Array(Math.max(before.length, end));
  filled.set(before);
  for (const cut of cutsOf(offset, bytes.length, detail)) {
    const head = applied(before, { offset, bytes: bytes.subarray(0, cut) });
    yield { content: head, what: `a write at ${offset} cut at ${cut}` };
    const padded = applied(filled, { offset, bytes: bytes.subarray(0, cut) });
    yield { content: padded, what: `a write at ${offset} cut at ${cut}, of full length` };
    if (detail !== 'bytes') {
      const tail = applied(filled, { offset: offset + cut, bytes: bytes.subarray(cut) });
      yield { content: tail, what: `a write at ${offset} without its first ${cut}` };
      if (rest.length > 0)
        yield { content: all(head, rest), what: `a write at ${offset} cut at ${cut}, and the later ones` };
    }
  }
  if (detail === 'coarse') return;
  const sectors: [from: number, to: number][] = [];
  for (let from = offset; from < end; ) {
    const to = Math.min(end, from - (from % sectorByteLength) + sectorByteLength);
    sectors.push([from, to]);
    from = to;
  }
  const step = Math.ceil(sectors.length / maxSectors);
  for (let index = 0; index < sectors.length; index += step) {
    const [from, to] = sectors[index] as [number, number];
    const sector = { offset: from, bytes: bytes.subarray(from - offset, to - offset) };
    yield { content: applied(filled, sector), what: `of a write at ${offset} only the sector at ${from}` };
    const others = [
      { offset, bytes: bytes.subarray(0, from - offset) },
      { offset: to, bytes: bytes.subarray(to - offset) },
    ];
    yield { content: all(filled, others), what: `a write at ${offset} without the sector at ${from}` };
    if (rest.length > 0) {
      yield {
        content: all(filled, [...others, ...rest]),
        what: `a write at ${offset} without the sector at ${from}, and the later ones`,
      };
    }
  }
}
