/** Runs programs on the disk of the model, and looks at what each power failure would leave of the store. */
import { createHash } from 'node:crypto';
import { StashCryptoError } from '../../../../src/stash/errors.js';
import type { CredentialOptions } from '../../../../src/stash/native/credentials.js';
import { openStore } from '../../../../src/stash/native/open-store.js';
import { Stash } from '../../../../src/stash/native/stash.js';
import type { StashOptions } from '../../../../src/stash/native/stash-options.js';
import { Disk, type Hook, type Process } from './disk.js';
import { type Detail, type FolderMoment, folderMoments, remainsOf } from './states.js';
import { type Expectation, listing, Track, withEntry } from './track.js';

/** Where the store is. */
export const path = '/store';

/** Opens a handle on a disk of the model. */
export async function openOn(process: Process, options: StashOptions): Promise<Stash> {
  return new Stash(await openStore(process, path, options));
}

/** A new random key, as a credential. */
export function newKey(): { key: Uint8Array } {
  return { key: crypto.getRandomValues(new Uint8Array(32)) };
}

/** Random bytes; random so that no value can be taken for another. */
export function bytes(byteLength: number): Uint8Array {
  const value = new Uint8Array(byteLength);
  for (let start = 0; start < byteLength; start += 65_536)
    crypto.getRandomValues(value.subarray(start, start + 65_536));
  return value;
}

/** What a program that is tested has to work with. */
export interface Place {
  readonly disk: Disk;
  readonly track: Track;
  readonly credential: CredentialOptions;
  /** A new process; each of its calls is a moment at which the power may fail. */
  process(hook?: Hook): Process;
  /** Does something that nobody looks at. */
  unwatched<Result>(action: () => Promise<Result>): Promise<Result>;
  /** Opens a handle in a process, a new one unless given. */
  open(options?: Partial<StashOptions>, process?: Process): Promise<Stash>;
}

/** A moment at which the power may fail. */
interface Moment {
  readonly call: string;
  readonly expected: Expectation;
  readonly folders: readonly FolderMoment[];
}

/** Watches the calls of a program. */
export class Watch implements Place {
  readonly disk: Disk;
  readonly track: Track;
  readonly credential: CredentialOptions;
  readonly moments: Moment[] = [];
  #seen = '';
  #isLooking = true;

  constructor(credential: CredentialOptions = newKey(), disk: Disk = new Disk()) {
    this.credential = credential;
    this.disk = disk;
    this.track = new Track(credential);
  }

  /** Notes the moment, unless it is like the one before. */
  look(call: string): void {
    if (!this.#isLooking) return;
    const seen = `${this.disk.version} ${this.track.version}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.moments.push({ call, expected: this.track.expectation, folders: folderMoments(this.disk, path) });
  }

  process(hook?: Hook): Process {
    return this.disk.process((call, at) => {
      this.look(call);
      return hook?.(call, at);
    });
  }

  async unwatched<Result>(action: () => Promise<Result>): Promise<Result> {
    this.#isLooking = false;
    try {
      return await action();
    } finally {
      this.#isLooking = true;
    }
  }

  async open(options: Partial<StashOptions> = {}, process: Process = this.process()): Promise<Stash> {
    const isNew = !this.disk.names.has(path);
    const stash = await openOn(process, { ...this.credential, create: true, autoCompact: false, ...options });
    // Who opens a file that another process has just made has promised nothing yet.
    if (isNew) this.track.markCreated();
    return stash;
  }
}

/** What came of the power failures of one program. */
export interface Outcome {
  /** Distinct contents of the file, with what else was in the folder. */
  readonly states: number;
  readonly moments: number;
  /** Contents of the file, some of them, for what comes after a crash. */
  readonly samples: readonly { readonly content: Uint8Array; readonly found: string }[];
}

/** The wait of readers for a write that may be going on is slept through together. */
const concurrency = 150;

const further = bytes(20);

async function isRefused(process: Process, credential: CredentialOptions): Promise<boolean> {
  try {
    const stash = await openOn(process, { ...credential, readOnly: true });
    await stash.close();
    return false;
  } catch (error) {
    if (error instanceof StashCryptoError) return true;
    throw error;
  }
}

/** Opens what a crash has left, in all ways, and writes to it; returns what it holds. */
async function examine(
  content: Uint8Array | undefined,
  others: readonly string[],
  credential: CredentialOptions,
  isThorough: boolean,
): Promise<string> {
  const disk = new Disk();
  for (const name of others) disk.put(name, bytes(10));
  let reader: Stash | undefined;
  let found = '[]';
  const options = { ...credential, create: true, upgrade: false };
  if (content !== undefined) {
    const { version } = disk;
    disk.put(path, content);
    reader = await openOn(disk.process(), { ...credential, readOnly: true });
    found = await listing(reader);
    if (disk.version !== version) throw new Error('a handle that only reads has changed the disk');
  }
  const stash = await openOn(disk.process(), options);
  const writable = await listing(stash);
  if (writable !== found) throw new Error(`read-only ${found}, and writable ${writable}`);
  if (isThorough) await stash.verify();
  await stash.write(['further'], further);
  const expected = withEntry(found, ['further'], further);
  const { recovered, values } = await stash.verify();
  if (recovered !== undefined) throw new Error('a torn tail stays');
  const count = (JSON.parse(expected) as unknown[]).length;
  if (values !== count) throw new Error(`verify() counts ${values} values, and not ${count}`);
  const inode = disk.find(path);
  if (inode.pending.length > 0 || disk.durableNames.get(path) !== inode)
    throw new Error('a write is not on the disk');
  const after = reader === undefined ? expected : await listing(reader);
  if (after !== expected) throw new Error(`a reader sees ${after}, and not ${expected}`);
  await reader?.close();
  await stash.close();
  if (!isThorough) return found;
  const again = new Disk();
  again.put(path, inode.durable);
  const reopened = await openOn(again.process(), { ...credential, readOnly: true });
  const reread = await listing(reopened);
  if (reread !== expected) throw new Error(`reopened it has ${reread}, and not ${expected}`);
  await reopened.close();
  return found;
}

/** Looks at everything that may be left at the moments that a watch has seen. Throws at what must not be. */
export async function checkMoments(watch: Watch, detail: Detail, sampleEvery = 0): Promise<Outcome> {
  const results = new Map<string, Promise<string>>();
  const failures: string[] = [];
  const samples: { content: Uint8Array; found: string }[] = [];

  async function check(
    { call, expected }: Moment,
    content: Uint8Array | undefined,
    folder: FolderMoment,
    what: string,
  ): Promise<void> {
    try {
      if (content === undefined && !expected.absent) throw new Error('the file is gone');
      const hash = content === undefined ? '' : createHash('sha1').update(content).digest('base64');
      const id = `${hash} ${folder.others.join(' ')}`;
      const isNew = !results.has(id);
      let opener = expected.every[0];
      if (content !== undefined) {
        const disk = new Disk();
        disk.put(path, content);
        const opens = async (credential: CredentialOptions): Promise<boolean> =>
          !(await isRefused(disk.process(), credential));
        for (const each of expected.one) if (opener === undefined && (await opens(each))) opener = each;
        for (const each of expected.every.slice(1))
          if (!(await opens(each))) throw new Error('a key no longer opens');
        for (const each of expected.none)
          if (await opens(each)) throw new Error('a key that was removed opens');
      } else opener ??= watch.credential;
      if (opener === undefined) throw new Error('no key opens');
      const examined = results.get(id) ?? examine(content, folder.others, opener, results.size % 8 === 0);
      results.set(id, examined);
      const found = await examined;
      if (!expected.listings.includes(found))
        throw new Error(`found ${found}, expected one of ${expected.listings.join('\n')}`);
      if (isNew && content !== undefined && sampleEvery > 0 && results.size % sampleEvery === 0)
        samples.push({ content, found });
    } catch (error) {
      const { name, message } = error as Error;
      failures.push(`power failure before ${call}, ${what}: ${name}: ${message.slice(0, 2000)}`);
    }
  }

  const running = new Set<Promise<void>>();
  for (const moment of watch.moments) {
    for (const folder of moment.folders) {
      const { file } = folder;
      const remains =
        file === undefined ? [{ content: undefined, what: 'no file' }] : remainsOf(file, detail);
      for (const { content, what } of remains) {
        const checking = check(moment, content, folder, what).finally(() => running.delete(checking));
        running.add(checking);
        if (running.size >= concurrency) await Promise.race(running);
        if (failures.length > 3) break;
      }
    }
  }
  await Promise.all(running);
  if (failures.length > 0) throw new Error(failures.slice(0, 4).join('\n'));
  return { states: results.size, moments: watch.moments.length, samples };
}

/** Lets a program run, and looks at what a power failure at each of its calls may leave. */
export async function powerFailures(
  program: (place: Place) => Promise<void>,
  detail: Detail = 'sectors',
  watch: Watch = new Watch(),
  sampleEvery = 0,
): Promise<Outcome> {
  await program(watch);
  watch.look('the end');
  return await checkMoments(watch, detail, sampleEvery);
}
