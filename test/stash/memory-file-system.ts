/**
 * A file system in memory that remembers what has reached the disk and what has not: after a power cut a
 * file holds what was synced, and a folder some mixture of its old and its new names.
 *
 * Its clock stands still unless told, as one with coarse ticks does.
 */
import {
  type FileIdentity,
  type FileStatus,
  type FileSystem,
  isSameState,
  type OpenFile,
} from '../../src/stash/file-system.js';

interface Inode {
  readonly number: bigint;
  data: Uint8Array;
  synced: Uint8Array;
  mode: number;
  owner: number;
  modifiedNs: bigint;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export class MemoryFileSystem implements FileSystem {
  readonly names: Map<string, Inode> = new Map();
  syncedNames: Map<string, Inode> = new Map();
  linksAllowed = true;
  nowNs: bigint = BigInt(Date.now()) * 1_000_000n;
  #inodes = 0n;

  #find(path: string): Inode {
    const inode = this.names.get(path);
    if (inode === undefined) throw systemError('ENOENT');
    return inode;
  }

  #status(inode: Inode): FileStatus {
    const { number, data, modifiedNs, owner } = inode;
    return {
      device: 1n,
      inode: number,
      byteLength: BigInt(data.length),
      modifiedNs,
      isFile: true,
      owner,
      group: 0,
    };
  }

  #open(inode: Inode): OpenFile {
    return {
      status: async () => this.#status(inode),
      read: async (target, position) => {
        const chunk = inode.data.subarray(position, position + target.length);
        target.set(chunk);
        return chunk.length;
      },
      write: async (bytes, position) => {
        const data = new Uint8Array(Math.max(inode.data.length, position + bytes.length));
        data.set(inode.data);
        data.set(bytes, position);
        inode.data = data;
        inode.modifiedNs = this.nowNs;
        return bytes.length;
      },
      setMode: async (mode) => void (inode.mode = mode),
      setOwner: async (owner) => void (inode.owner = owner),
      sync: async () => void (inode.synced = inode.data.slice()),
      close: async () => undefined,
    };
  }

  async openForReading(path: string): Promise<OpenFile> {
    return this.#open(this.#find(path));
  }

  async createExclusive(path: string, mode: number): Promise<OpenFile> {
    if (this.names.has(path)) throw systemError('EEXIST');
    const inode: Inode = {
      number: ++this.#inodes,
      data: new Uint8Array(),
      synced: new Uint8Array(),
      mode,
      owner: 1000,
      modifiedNs: this.nowNs,
    };
    this.names.set(path, inode);
    return this.#open(inode);
  }

  async status(path: string): Promise<FileStatus> {
    return this.#status(this.#find(path));
  }

  async nameExists(path: string): Promise<boolean> {
    return this.names.has(path);
  }

  async checkWritable(path: string): Promise<void> {
    this.#find(path);
  }

  async resolveLinks(path: string): Promise<string> {
    this.#find(path);
    return path;
  }

  async rename(from: string, to: string): Promise<void> {
    this.names.set(to, this.#find(from));
    this.names.delete(from);
  }

  async renameIfUnchanged(from: string, to: string, expected: FileIdentity): Promise<boolean> {
    if (!isSameState(this.#status(this.#find(to)), expected)) return false;
    await this.rename(from, to);
    return true;
  }

  async link(from: string, to: string): Promise<void> {
    if (!this.linksAllowed) throw systemError('EPERM');
    if (this.names.has(to)) throw systemError('EEXIST');
    this.names.set(to, this.#find(from));
  }

  async remove(path: string): Promise<void> {
    this.#find(path);
    this.names.delete(path);
  }

  async syncFolder(): Promise<void> {
    this.syncedNames = new Map(this.names);
  }

  absolute(path: string): string {
    return path.startsWith('/') ? path : `/${path}`;
  }

  folderOf(): string {
    return '/';
  }

  join(_folder: string, name: string): string {
    return `/${name}`;
  }

  /** The names in the folder, sorted. */
  list(): string[] {
    return [...this.names.keys()].toSorted();
  }

  /** Returns a copy of a file's bytes. */
  readNow(path: string): Uint8Array {
    return this.#find(path).data.slice();
  }

  /** Puts a file there as another program would: in place if it exists, with the time of the clock. */
  writeNow(path: string, bytes: Uint8Array): void {
    const inode: Inode = this.names.get(path) ?? {
      number: ++this.#inodes,
      data: bytes,
      synced: bytes,
      mode: 0o644,
      owner: 1000,
      modifiedNs: this.nowNs,
    };
    inode.data = bytes.slice();
    inode.synced = bytes.slice();
    inode.modifiedNs = this.nowNs;
    this.names.set(path, inode);
    this.syncedNames.set(path, inode);
  }

  /** Returns what may be on the disk after a power cut now: with the names that were synced, or with all. */
  afterPowerCut(keepNewNames: boolean): MemoryFileSystem {
    const after = new MemoryFileSystem();
    for (const [name, inode] of keepNewNames ? this.names : this.syncedNames) {
      after.writeNow(name, inode.synced);
    }
    return after;
  }
}

/** What a hook may do before a call: throw the system's error, or return to let the call happen. */
export type Hook = (call: string, path: string) => void | Promise<void>;

/** Wraps a file system so that `hook` sees each call first; writes take at most `maxWrite` bytes, reads 64. */
export function hooked(inner: FileSystem, hook: Hook, maxWrite = Number.POSITIVE_INFINITY): FileSystem {
  const before = async <Result>(call: string, path: string, run: () => Promise<Result>): Promise<Result> => {
    await hook(call, path);
    return await run();
  };
  const wrap = (path: string, file: OpenFile): OpenFile => ({
    status: () => before('fstat', path, () => file.status()),
    read: (target, position) => before('read', path, () => file.read(target.subarray(0, 64), position)),
    write: (bytes, position) =>
      before('write', path, () => file.write(bytes.subarray(0, Math.min(bytes.length, maxWrite)), position)),
    setMode: (mode) => before('chmod', path, () => file.setMode(mode)),
    setOwner: (owner, group) => before('chown', path, () => file.setOwner(owner, group)),
    sync: () => before('sync', path, () => file.sync()),
    close: async () => {
      // A close that fails has closed all the same.
      await file.close();
      await hook('close', path);
    },
  });
  return {
    openForReading: (path) => before('open', path, async () => wrap(path, await inner.openForReading(path))),
    createExclusive: (path, mode) =>
      before('create', path, async () => wrap(path, await inner.createExclusive(path, mode))),
    status: (path) => before('stat', path, () => inner.status(path)),
    nameExists: (path) => before('lstat', path, () => inner.nameExists(path)),
    checkWritable: (path) => before('access', path, () => inner.checkWritable(path)),
    resolveLinks: (path) => before('realpath', path, () => inner.resolveLinks(path)),
    rename: (from, to) => before('rename', from, () => inner.rename(from, to)),
    renameIfUnchanged: (from, to, expected) =>
      before('rename', from, () => inner.renameIfUnchanged(from, to, expected)),
    link: (from, to) => before('link', from, () => inner.link(from, to)),
    remove: (path) => before('remove', path, () => inner.remove(path)),
    syncFolder: (path) => before('syncFolder', path, () => inner.syncFolder(path)),
    absolute: (path) => inner.absolute(path),
    folderOf: (path) => inner.folderOf(path),
    join: (folder, name) => inner.join(folder, name),
  };
}
