/** A small store of which everything is known, to be damaged. */
import { readFileSync } from 'node:fs';
import { Stash, StashError } from '../../../src/stash/index.js';
import { Credential } from '../../../src/stash/native/credentials.js';
import { parseDerivationLimits } from '../../../src/stash/native/derivation.js';
import { framesOffset } from '../../../src/stash/native/header-page.js';
import { LoadedLog } from '../../../src/stash/native/loaded-log.js';
import { openWithSecret } from '../../../src/stash/native/unlock.js';
import { BytesLogFile, readEverything } from '../../support/stash-file.js';
import { temporaryFolder, utf8 } from '../support.js';

/** What opens the sample. */
export const key: Uint8Array = new Uint8Array(32).fill(9);
const limits = parseDerivationLimits(undefined);

/** Opens a file as `Stash` does, by a key slot. The log has to be released. */
export async function load(bytes: Uint8Array): Promise<LoadedLog> {
  const credential = new Credential({ key });
  try {
    return await LoadedLog.load(new BytesLogFile(bytes), {
      path: '/memory',
      unlock: async (header) => (await openWithSecret(header, credential, limits, {})).dataKey,
    });
  } finally {
    credential.wipe();
  }
}

/** Reads all of a file: a text that stands for its contents, or the code of what it is refused with. */
export async function outcomeOf(bytes: Uint8Array): Promise<string> {
  try {
    const log = await load(bytes);
    try {
      return textOf(await readEverything(log));
    } finally {
      log.release();
    }
  } catch (error) {
    if (error instanceof StashError) return error.code;
    throw error;
  }
}

function textOf(entries: readonly [string[], Uint8Array | undefined][]): string {
  return entries
    .map(([names, value]) => `${names.join('/')}=${value && Buffer.from(value).toString('base64')}`)
    .join(' ');
}

/** Counts outcomes. */
export class Tally {
  readonly counts: Record<string, number> = {};

  add(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}

/** A store, state by state: frames up to `floor` are those that the header knows of. */
export interface Sample {
  readonly bytes: Uint8Array;
  /** Where each frame begins; the last is the end of the file. */
  readonly offsets: readonly number[];
  /** How many frames the floor covers. */
  readonly floor: number;
  /** What is in it after so many frames. */
  readonly states: readonly string[];
}

/** Where each frame begins, and the end of the file. */
export function offsetsOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const offsets = [framesOffset];
  for (let at = framesOffset; at < bytes.length; offsets.push(at)) at += 72 + view.getUint32(at, true);
  return offsets;
}

/** A page, a chunk, the page that refers to it, and batches above the floor, in about 40 KiB. */
export async function makeSample(): Promise<Sample> {
  await using folder = await temporaryFolder();
  const stash = await Stash.open(folder.file, { key, create: true, padding: false });
  await stash.batch(
    ['a', 'b', 'c\ud800'].map((name) => ({
      type: 'write',
      key: [name, 'x'],
      value: utf8(`value of ${name}`),
    })),
  );
  const large = Uint8Array.from({ length: 32_769 }, (_, index) => index * 31);
  await stash.write(['large'], large);
  await stash.compact();
  const states = [''];
  const note = async (): Promise<void> => {
    const entries: [string[], Uint8Array | undefined][] = [];
    for await (const { key: names, value } of stash.nodes([])) entries.push([names, value]);
    states.push(textOf(entries));
  };
  const pages = offsetsOf(readFileSync(folder.file)).length - 1;
  for (let frame = 1; frame < pages; frame++) states.push('');
  await note();
  await stash.write(['a', 'x'], utf8('another value'));
  await note();
  await stash.batch([
    { type: 'remove', key: ['b'] },
    { type: 'make', key: ['empty'] },
    { type: 'write', key: ['🔑', ''], value: new Uint8Array() },
  ]);
  await note();
  await stash.write(['d'], utf8('the last value'));
  await note();
  // Closing would move the floor to the last frame.
  const bytes = new Uint8Array(readFileSync(folder.file));
  await stash.close();
  return { bytes, offsets: offsetsOf(bytes), floor: pages, states };
}

/** What became of it, in words: `state` and how many batches above the floor; anything unknown shows itself. */
export function nameOf({ states, floor }: Sample, outcome: string): string {
  if (outcome === states.at(-1)) return 'current';
  const state = states.lastIndexOf(outcome);
  return state >= floor ? `state ${state - floor}` : outcome;
}
