/**
 * Values and trees of a stash out to files and folders.
 *
 * A tree is written into a new folder of mode 0700 under a name nobody can guess, on the file system it is for. That
 * folder is then renamed, if it is the target; or the files in it are moved, one by one, if the target was there. What
 * fails before that leaves nothing; a process killed before that leaves that folder. The tree is in memory for all that
 * time, and a folder in the target that is another file system cannot be moved to.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromAscii, wipe } from '../bytes.js';
import { StashIOError } from '../errors.js';
import { parseKey, type StashKey } from '../key.js';
import { parsePath } from '../options.js';
import { escapeJsonString } from '../text.js';
import { bytesFromName, unsafeNameReason } from './file-names.js';
import type { Files, Folder } from './files.js';
import {
  parseFlag,
  parseTransfer,
  type ReadFileOptions,
  type Transfer,
  type TransferSummary,
} from './options.js';
import type { StashTree } from './stash-tree.js';

/** A file, or a folder with what is to be in it. */
interface Item {
  readonly name: Uint8Array;
  /** The contents of a file; a folder has none. */
  readonly value: Uint8Array | undefined;
  readonly items: Item[];
}

/**
 * Writes the value of `key` to a file; see `SecureStash.readFile`.
 * @throws {StashError} any.
 */
export async function readFile(
  files: Files,
  stash: StashTree,
  key: StashKey,
  path: string,
  options: ReadFileOptions | undefined,
): Promise<TransferSummary> {
  const transfer = parseTransfer(options);
  const overwrite = parseFlag('overwrite', options?.overwrite);
  const target = parsePath(path);
  const bytes = await stash.read(key, transfer);
  try {
    const { folder, name } = await files.openParent(target);
    await inFolder(Promise.resolve(folder), async () => {
      await requireFree(folder, name, overwrite);
      transfer.step('read', 1);
      const temporary = temporaryName();
      await folder.create(temporary, bytes);
      try {
        await moveFile(folder, temporary, folder, name, overwrite);
      } catch (error) {
        await folder.remove(temporary).catch(() => undefined);
        throw error;
      }
      await settle(folder);
    });
    transfer.report('write', 1);
    return { files: 1, byteLength: bytes.length };
  } finally {
    wipe([bytes]);
  }
}

/**
 * Writes what is below `key` into a folder; see `SecureStash.readDirectory`.
 * @throws {StashError} any.
 */
export async function readDirectory(
  files: Files,
  stash: StashTree,
  key: StashKey,
  path: string,
  options: ReadFileOptions | undefined,
): Promise<TransferSummary> {
  const transfer = parseTransfer(options);
  const overwrite = parseFlag('overwrite', options?.overwrite);
  const target = parsePath(path);
  const plan = new Plan(target, files.forWindows);
  try {
    await plan.read(stash, parseKey(key), transfer);
    transfer.step('read', 1);
    const folder = await files.openFolder(target);
    if (folder === undefined) await writeWhole(files, target, plan, transfer);
    else await writeInto(folder, plan, overwrite, transfer);
    transfer.report('write', 1);
    return plan.summary();
  } finally {
    wipe(plan.values);
  }
}

/** A tree to be written: its names are those of files, and no file has others below it. */
class Plan {
  readonly items: Item[] = [];
  /** What its user has to wipe. */
  readonly values: Uint8Array[] = [];
  /** Files and folders. */
  count = 0;
  readonly #path: string;
  readonly #forWindows: boolean;

  constructor(path: string, forWindows: boolean) {
    this.#path = path;
    this.#forWindows = forWindows;
  }

  /** @throws {StashIOError} `unsafe-name`. */
  async read(stash: StashTree, key: StashKey, { signal }: Transfer): Promise<void> {
    // From the folder of `key` down to the node before.
    const open: Item[] = [{ name: new Uint8Array(), value: undefined, items: this.items }];
    for await (const node of stash.nodes(key, { signal })) {
      if (node.value !== undefined) this.values.push(node.value);
      const level = node.key.length - key.length;
      if (level === 0) {
        if (node.value !== undefined) throw this.#unsafe(node.key, 'it has a value, and so is a file');
        continue;
      }
      open.length = level;
      const parent = open[level - 1] as Item;
      if (parent.value !== undefined) {
        throw this.#unsafe(
          node.key.slice(0, -1),
          'it has a value and other keys below it: file and folder at once',
        );
      }
      const name = node.key[node.key.length - 1] as string;
      const reason = unsafeNameReason(name, this.#forWindows);
      if (reason !== undefined) throw this.#unsafe(node.key, reason);
      const item: Item = { name: bytesFromName(name), value: node.value, items: [] };
      parent.items.push(item);
      open.push(item);
      this.count++;
    }
  }

  summary(): TransferSummary {
    const byteLength = this.values.reduce((sum, value) => sum + value.length, 0);
    return { files: this.values.length, byteLength };
  }

  #unsafe(key: StashKey, reason: string): StashIOError {
    const shown = key.map((name) => `"${escapeJsonString(name.slice(0, 64))}"`).join(', ');
    const message = `the key [${shown.slice(0, 200)}] cannot be a file or a folder: ${reason}`;
    return new StashIOError('unsafe-name', message, { path: this.#path, operation: 'create' });
  }
}

async function writeWhole(files: Files, path: string, plan: Plan, transfer: Transfer): Promise<void> {
  const { folder: parent, name } = await files.openParent(path);
  await inFolder(Promise.resolve(parent), async () => {
    if ((await parent.kind(name)) === 'link') throw refused('symbolic-link', parent, name);
    let done = 0;
    const tick = (): void => transfer.step('write', done++ / plan.count);
    const temporary = await stage(parent, plan.items, parent.shown(name), tick);
    try {
      // Over an empty folder at most, which somebody has just made.
      await parent.rename(temporary, parent.locate(name));
    } catch (error) {
      await discard(parent, temporary, plan.items);
      throw error;
    }
    await settle(parent);
  });
}

async function writeInto(target: Folder, plan: Plan, overwrite: boolean, transfer: Transfer): Promise<void> {
  await inFolder(Promise.resolve(target), async () => {
    await checkItems(target, plan.items, overwrite);
    let done = 0;
    const tick = (): void => transfer.step('write', done++ / plan.count / 2);
    const temporary = await stage(target, plan.items, target.path, tick);
    let moved = 0;
    const tickMove = (isFile: boolean): void => {
      if (isFile) moved++;
      transfer.report('write', done++ / plan.count / 2);
    };
    try {
      await inFolder(target.open(temporary, target.path), async (folder) => {
        await moveItems(folder, target, plan.items, overwrite, tickMove);
      });
    } catch (error) {
      if (!(error instanceof StashIOError)) throw error;
      const message = `${error.message}; ${moved} of ${plan.values.length} files had been written`;
      throw new StashIOError(error.code, message, {
        path: error.path,
        operation: error.operation,
        cause: error,
        ...(error.systemCode === undefined ? {} : { systemCode: error.systemCode }),
      });
    } finally {
      await discard(target, temporary, plan.items);
    }
  });
}

/**
 * Refuses what is in the way of the items, before anything is written.
 * @throws {StashIOError} `already-exists`, `symbolic-link`, `not-a-file` or `not-a-folder`.
 */
async function checkItems(folder: Folder, items: readonly Item[], overwrite: boolean): Promise<void> {
  for (const { name, value, items: below } of items) {
    if (value !== undefined) await requireFree(folder, name, overwrite);
    else if ((await folder.kind(name)) !== undefined) {
      await inFolder(folder.open(name), async (inner) => await checkItems(inner, below, overwrite));
    }
  }
}

/** @throws {StashIOError} unless there is nothing, or a regular file that may be replaced. */
async function requireFree(folder: Folder, name: Uint8Array, overwrite: boolean): Promise<void> {
  const kind = await folder.kind(name);
  if (kind === undefined || (kind === 'file' && overwrite)) return;
  if (kind === 'file') throw refused('already-exists', folder, name);
  throw refused(kind === 'link' ? 'symbolic-link' : 'not-a-file', folder, name);
}

const refusals = {
  'already-exists': 'is there, and was not to be replaced',
  'symbolic-link': 'is a symbolic link',
  'not-a-file': 'is not a regular file',
};

function refused(code: keyof typeof refusals, folder: Folder, name: Uint8Array): StashIOError {
  const path = folder.shown(name);
  return new StashIOError(code, `"${path}" ${refusals[code]}`, { path, operation: 'create' });
}

/**
 * Writes the items into a new folder.
 * @param shownPath - The folder's path in messages.
 * @returns The folder's name in `parent`. After an error there is none.
 */
async function stage(
  parent: Folder,
  items: readonly Item[],
  shownPath: string,
  tick: () => void,
): Promise<Uint8Array> {
  const name = temporaryName();
  await parent.makeFolder(name);
  try {
    await inFolder(parent.open(name, shownPath), async (folder) => await fill(folder, items, tick));
    return name;
  } catch (error) {
    await discard(parent, name, items);
    throw error;
  }
}

async function fill(folder: Folder, items: readonly Item[], tick: () => void): Promise<void> {
  for (const { name, value, items: below } of items) {
    tick();
    // Names that are one to a file system without case fail here, and nothing is overwritten.
    if (value !== undefined) await folder.create(name, value);
    else {
      await folder.makeFolder(name);
      await inFolder(folder.open(name), async (inner) => await fill(inner, below, tick));
    }
  }
  await folder.sync();
}

/** Moves the items to where no others are, or only files that may be replaced. */
async function moveItems(
  from: Folder,
  to: Folder,
  items: readonly Item[],
  overwrite: boolean,
  tick: (isFile: boolean) => void,
): Promise<void> {
  for (const { name, value, items: below } of items) {
    if (value !== undefined) await moveFile(from, name, to, name, overwrite);
    else {
      if ((await to.kind(name)) === undefined) await to.makeFolder(name);
      await inFolder(from.open(name), async (source) => {
        await inFolder(to.open(name), async (target) => {
          await moveItems(source, target, below, overwrite, tick);
        });
      });
    }
    tick(value !== undefined);
  }
  await settle(to);
}

/** Moves a file to a name that nothing has, or only a regular file that may be replaced. */
async function moveFile(
  from: Folder,
  fromName: Uint8Array,
  to: Folder,
  name: Uint8Array,
  overwrite: boolean,
): Promise<void> {
  const replaces = overwrite && (await to.kind(name)) === 'file';
  // `rename` would replace anything: an empty file holds the name against all others.
  if (!replaces) await to.claim(name);
  try {
    await from.rename(fromName, to.locate(name));
  } catch (error) {
    if (!replaces) await to.remove(name).catch(() => undefined);
    throw error;
  }
}

/** Removes a folder with what `items` say may be in it; what fails stays. */
async function discard(parent: Folder, name: Uint8Array, items: readonly Item[]): Promise<void> {
  const emptied = inFolder(parent.open(name), async (folder) => {
    for (const item of items) {
      if (item.value === undefined) await discard(folder, item.name, item.items);
      else await folder.remove(item.name).catch(() => undefined);
    }
  });
  await emptied.catch(() => undefined);
  await parent.removeFolder(name).catch(() => undefined);
}

/** Runs `task` with a folder and closes that. */
async function inFolder<Result>(
  opening: Promise<Folder>,
  task: (folder: Folder) => Promise<Result>,
): Promise<Result> {
  const folder = await opening;
  try {
    return await task(folder);
  } finally {
    await folder.close();
  }
}

function temporaryName(): Uint8Array {
  const random = crypto.getRandomValues(new Uint32Array(4));
  return bytesFromAscii(
    `.secretbus-${Array.from(random, (word) => word.toString(16).padStart(8, '0')).join('')}.tmp`,
  );
}

/**
 * Waits until names that were changed are on the disk.
 * @throws {StashIOError} `not-durable`.
 */
async function settle(folder: Folder): Promise<void> {
  try {
    await folder.sync();
  } catch (cause) {
    const message = `the files were written, but "${folder.path}" failed to sync`;
    throw new StashIOError('not-durable', message, { path: folder.path, operation: 'sync', cause });
  }
}
