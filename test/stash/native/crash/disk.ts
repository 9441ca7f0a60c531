/**
 * A disk in memory that remembers what has reached it and what has not, as strictly as POSIX lets a system be: a file
 * holds what was synced and any part of what was not; a folder has the names that were synced and any of the changes
 * since. Programs on it can be killed, and each of their calls can fail.
 */
import type { FileStatus, OpenFile } from '../../../../src/stash/file-system.js';
import { isSameState } from '../../../../src/stash/file-system.js';
import type { StoreLock } from '../../../../src/stash/lock/store-lock.js';
import type { Environment } from '../../../../src/stash/native/environment.js';
import type { LogAccess, LogFile, LogFileSystem, LogStatus } from '../../../../src/stash/native/log-file.js';
import { SerialQueue } from '../../../../src/stash/serial-queue.js';

/** A change of contents that is not synced. */
export type PendingWrite =
  | { readonly offset: number; readonly bytes: Uint8Array }
  | { readonly byteLength: number };

/** A change of names that is not synced: what is under each name afterwards. */
export type PendingNames = readonly (readonly [name: string, file: Inode | undefined])[];

/** A file. */
export class Inode {
  readonly number: number;
  data: Uint8Array;
  /** What is certain to be on the disk. Never changed in place. */
  durable: Uint8Array;
  pending: PendingWrite[] = [];
  modifiedMs = 0;

  constructor(number: number, data: Uint8Array) {
    this.number = number;
    this.data = data;
    this.durable = data;
  }
}

/** Applies a change to contents. */
export function applied(data: Uint8Array, change: PendingWrite): Uint8Array {
  if ('byteLength' in change) {
    const cut = new Uint8Array(change.byteLength);
    cut.set(data.subarray(0, change.byteLength));
    return cut;
  }
  const { offset, bytes } = change;
  const changed = new Uint8Array(Math.max(data.length, offset + bytes.length));
  changed.set(data);
  changed.set(bytes, offset);
  return changed;
}

/** What a call is to come to instead of its work: so much of the bytes is written, from 0 to 1, and an error if there is a code. */
export interface Fault {
  readonly part?: number;
  readonly code?: string;
}

/** Asked before each call. */
export type Hook = (call: string, path: string) => Fault | undefined;

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** The disk with one folder. */
export class Disk {
  readonly names: Map<string, Inode> = new Map();
  durableNames: ReadonlyMap<string, Inode> = new Map();
  pendingNames: PendingNames[] = [];
  /** Rises with each change. */
  version = 0;
  /** How often files and folders were synced, or it was tried. */
  syncs = 0;
  #inodes = 0;

  /** Puts a file there that is on the disk. */
  put(name: string, data: Uint8Array): Inode {
    const inode = new Inode(++this.#inodes, data);
    this.names.set(name, inode);
    this.durableNames = new Map([...this.durableNames, [name, inode]]);
    return inode;
  }

  find(name: string): Inode {
    const inode = this.names.get(name);
    if (inode === undefined) throw systemError('ENOENT');
    return inode;
  }

  create(name: string): Inode {
    if (this.names.has(name)) throw systemError('EEXIST');
    const inode = new Inode(++this.#inodes, new Uint8Array());
    this.rename([[name, inode]]);
    return inode;
  }

  /** Changes names in one step. */
  rename(change: PendingNames): void {
    this.version++;
    for (const [name, inode] of change) {
      if (inode === undefined) this.names.delete(name);
      else this.names.set(name, inode);
    }
    this.pendingNames.push(change);
  }

  change(inode: Inode, change: PendingWrite): void {
    this.version++;
    inode.modifiedMs = this.version;
    inode.data = applied(inode.data, change);
    inode.pending.push(change);
  }

  /** What was asked to be written before `count` changes is on the disk, or is lost for good. */
  settle(inode: Inode, count: number, kept: boolean): void {
    this.version++;
    const written = inode.pending.splice(0, count);
    if (kept) inode.durable = written.reduce(applied, inode.durable);
  }

  /** Names are not forgotten: systems keep them in a journal, and stop where that fails. */
  settleNames(count: number): void {
    this.version++;
    const names = new Map(this.durableNames);
    for (const [name, inode] of this.pendingNames.slice(0, count).flat()) {
      if (inode === undefined) names.delete(name);
      else names.set(name, inode);
    }
    this.pendingNames.splice(0, count);
    this.durableNames = names;
  }

  /** A process with this disk before it. */
  process(hook: Hook = () => undefined): Process {
    return new Process(this, hook);
  }
}

/** What a process that was killed gets: nothing it does has any effect. */
class Killed extends Error {}

/** The lock of a disk's only store: handles take turns. */
const queues: WeakMap<Disk, SerialQueue> = new WeakMap();

/** A program that uses a disk. It may be killed: then its calls throw, and do nothing. */
export class Process implements Environment {
  readonly disk: Disk;
  readonly fileSystem: LogFileSystem;
  /** Has the lock keep nobody out. */
  lockWorks = true;
  readonly #hook: Hook;
  #killed = false;

  constructor(disk: Disk, hook: Hook) {
    this.disk = disk;
    this.#hook = hook;
    this.fileSystem = this.#makeFileSystem();
  }

  /** Ends it without a chance to do anything. Its lock is free. */
  kill(): void {
    this.#killed = true;
    queues.delete(this.disk);
  }

  openLock(): StoreLock {
    const queue = (): SerialQueue => {
      if (!this.lockWorks) return new SerialQueue();
      const found = queues.get(this.disk) ?? new SerialQueue();
      queues.set(this.disk, found);
      return found;
    };
    return {
      run: (task, { signal }) => queue().run(task, signal),
      tryRun: async (task) => ({ result: await queue().run(task) }),
      replacing: async () => undefined,
      close: () => undefined,
    };
  }

  #faultOf(call: string, path: string): Fault | undefined {
    if (this.#killed) throw new Killed();
    const fault = this.#hook(call, path);
    if (this.#killed) throw new Killed();
    return fault;
  }

  #before(call: string, path: string): void {
    const code = this.#faultOf(call, path)?.code;
    if (code !== undefined) throw systemError(code);
  }

  async #sync(call: string, path: string, begin: () => (kept: boolean) => unknown): Promise<void> {
    this.disk.syncs++;
    // What is written while it is under way is none of its business.
    let settle: (kept: boolean) => unknown;
    try {
      this.#before(call, path);
      settle = begin();
    } catch (error) {
      // The system may have forgotten what it could not write: a second attempt would succeed.
      if (!this.#killed) begin()(false);
      throw error;
    }
    await new Promise(setImmediate);
    if (this.#killed) throw new Killed();
    settle(true);
  }

  #syncFile(call: string, path: string, inode: Inode): Promise<void> {
    return this.#sync(call, path, () => {
      const count = inode.pending.length;
      return (kept) => this.disk.settle(inode, count, kept);
    });
  }

  #write(call: string, path: string, inode: Inode, bytes: Uint8Array, position?: number): number {
    const { code, part = code === undefined ? 1 : 0 } = this.#faultOf(call, path) ?? {};
    const count = Math.floor(bytes.length * part);
    // Who appends does so at the end as it is now.
    const offset = position ?? inode.data.length;
    if (count > 0) this.disk.change(inode, { offset, bytes: bytes.slice(0, count) });
    if (code !== undefined) throw systemError(code);
    return count;
  }

  #openFile(path: string, inode: Inode): OpenFile {
    return {
      status: async () => {
        this.#before('fstat', path);
        return statusOf(inode);
      },
      read: async (target, position) => {
        this.#before('read', path);
        return readInto(inode, target, position);
      },
      write: async (bytes, position) => this.#write('write', path, inode, bytes, position),
      setMode: async () => this.#before('chmod', path),
      setOwner: async () => this.#before('chown', path),
      sync: () => this.#syncFile('sync', path, inode),
      close: async () => this.#before('close', path),
    };
  }

  #makeFileSystem(): LogFileSystem {
    const { disk } = this;
    const call = async <Result>(name: string, path: string, run: () => Result): Promise<Result> => {
      this.#before(name, path);
      return run();
    };
    const rename = (from: string, to: string): void => {
      const inode = disk.find(from);
      disk.rename([
        [to, inode],
        [from, undefined],
      ]);
    };
    const openLock = (): StoreLock => this.openLock();
    return {
      openForReading: (path) => call('open', path, () => this.#openFile(path, disk.find(path))),
      createExclusive: (path) => call('create', path, () => this.#openFile(path, disk.create(path))),
      status: (path) => call('stat', path, () => statusOf(disk.find(path))),
      nameExists: (path) => call('lstat', path, () => disk.names.has(path)),
      checkWritable: (path) => call('access', path, () => void disk.find(path)),
      resolveLinks: (path) => call('realpath', path, () => disk.find(path) && path),
      rename: (from, to) => call('rename', from, () => rename(from, to)),
      renameIfUnchanged: (from, to, expected) =>
        call('rename', from, () => {
          if (!isSameState(statusOf(disk.find(to)), expected)) return false;
          rename(from, to);
          return true;
        }),
      link: (from, to) =>
        call('link', from, () => {
          if (disk.names.has(to)) throw systemError('EEXIST');
          disk.rename([[to, disk.find(from)]]);
        }),
      remove: (path) => call('remove', path, () => disk.find(path) && disk.rename([[path, undefined]])),
      syncFolder: (path) =>
        this.#sync('syncFolder', path, () => {
          const count = disk.pendingNames.length;
          return (kept) => kept && disk.settleNames(count);
        }),
      absolute: (path) => path,
      folderOf: () => '/',
      join: (_folder, name) => `/${name}`,
      shared: {
        openLock,
        list: (folder) => call('list', folder, () => [...disk.names.keys()].map((name) => name.slice(1))),
      },
      openLog: (path, access) => {
        this.#before('openLog', path);
        return this.#openLog(path, disk.find(path), access);
      },
      statusNow: (path) => {
        this.#before('statNow', path);
        return logStatusOf(disk.find(path));
      },
    };
  }

  #openLog(path: string, inode: Inode, access: LogAccess): LogFile {
    const { disk } = this;
    const refuse = (): void => {
      if (access === 'read') throw systemError('EBADF');
    };
    return {
      descriptor: -1,
      status: () => {
        this.#before('fstat', path);
        return logStatusOf(inode);
      },
      read: (target, position) => {
        this.#before('read', path);
        return readInto(inode, target, position);
      },
      append: (bytes) => {
        refuse();
        return this.#write('append', path, inode, bytes);
      },
      write: (bytes, position) => {
        refuse();
        return this.#write('write', path, inode, bytes, position);
      },
      truncate: (byteLength) => {
        refuse();
        this.#before('truncate', path);
        disk.change(inode, { byteLength });
      },
      dataSync: () => this.#syncFile('dataSync', path, inode),
      close: () => this.#before('close', path),
    };
  }
}

function readInto(inode: Inode, target: Uint8Array, position: number): number {
  const chunk = inode.data.subarray(position, position + target.length);
  target.set(chunk);
  return chunk.length;
}

function logStatusOf({ number, data, modifiedMs }: Inode): LogStatus {
  return { device: 1, inode: number, byteLength: data.length, modifiedMs };
}

function statusOf({ number, data, modifiedMs }: Inode): FileStatus {
  return {
    device: 1n,
    inode: BigInt(number),
    byteLength: BigInt(data.length),
    modifiedNs: BigInt(modifiedMs) * 1_000_000n,
    isFile: true,
    owner: 0,
    group: 0,
  };
}
