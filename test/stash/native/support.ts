/** Shared by the tests of `Stash`: stores in folders of their own, a model, file systems with hooks, other processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll } from 'vitest';
import { Stash, type StashNode, type StashOptions } from '../../../src/stash/index.js';
import type { Environment } from '../../../src/stash/native/environment.js';
import { nodeEnvironment } from '../../../src/stash/native/environment.js';
import type { LogFile } from '../../../src/stash/native/log-file.js';
import { nodeLogFileSystem } from '../../../src/stash/native/node-log-file.js';
import { openStore } from '../../../src/stash/native/open-store.js';
import { Model, ModelFailure } from '../model.js';

/** A derivation that takes a millisecond. */
export const cheap = { name: 'scrypt', N: 1024 } as const;

/** Waits for so many milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Returns bytes that look random and are the same each time, so many, different for each seed. */
export function bytesOf(byteLength: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let state = (seed * 0x9e37_79b9) >>> 0 || 1;
  for (let index = 0; index < byteLength; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state;
  }
  return bytes;
}

/** Returns a short text that stands for bytes. */
export function digest(bytes: Uint8Array): string {
  return `${bytes.length}:${createHash('sha1').update(bytes).digest('hex')}`;
}

/** All nodes below a key, in order: the key, and the digest of its value or null. */
export async function listNodes(stash: Stash, key: string[] = []): Promise<[string[], string | null][]> {
  const list: [string[], string | null][] = [];
  for await (const node of stash.nodes(key) as AsyncIterable<StashNode>) {
    list.push([node.key, node.value === undefined ? null : digest(node.value)]);
  }
  return list;
}

/** Something that is waited for. */
export class Gate {
  readonly opened: Promise<void>;
  #open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }
}

type OpenOptions = { [Name in keyof StashOptions]?: StashOptions[Name] };

/** A store in a folder of its own: what was opened is closed, and all of it removed, at the end of the block. */
export class Place implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'sb-native-'));
  readonly path: string = join(this.folder, 'a.stash');
  readonly key: Uint8Array = crypto.getRandomValues(new Uint8Array(32));
  readonly #opened: AsyncDisposable[] = [];

  /** The options given, with the key of the place unless they have another secret. */
  options(options: OpenOptions = {}): StashOptions {
    const { password, recoveryKey } = options;
    const credential = password === undefined && recoveryKey === undefined ? { key: this.key } : {};
    return { ...credential, create: true, derivation: cheap, ...options };
  }

  async open(options: OpenOptions = {}, path: string = this.path): Promise<Stash> {
    const stash = await Stash.open(path, this.options(options));
    this.#opened.push(stash);
    return stash;
  }

  /** Opens on another environment. */
  async openOn(environment: Environment, options: OpenOptions = {}): Promise<Stash> {
    const stash = new Stash(await openStore(environment, this.path, this.options(options)));
    this.#opened.push(stash);
    return stash;
  }

  /** Starts a process that opens the store. */
  async peer(options: PeerOptions = {}): Promise<Peer> {
    const secret = options.password === undefined ? { key: Buffer.from(this.key).toString('hex') } : {};
    const peer = await Peer.start(this.path, { create: true, derivation: cheap, ...secret, ...options });
    this.#opened.push(peer);
    return peer;
  }

  /** Takes the lock of the store, until the function that is returned is called. */
  async holdLock(): Promise<() => void> {
    const store = await openStore(nodeEnvironment, this.path, this.options());
    const inside = new Gate();
    const end = new Gate();
    const done = store.exclusively(async () => {
      inside.open();
      await end.opened;
    }, undefined);
    await Promise.race([inside.opened, done]);
    const release = (): void => {
      end.open();
      void done.finally(() => store.release());
    };
    this.#opened.push({ [Symbol.asyncDispose]: async () => release() });
    return release;
  }

  names(): string[] {
    return readdirSync(this.folder).toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#opened.map((each) => each[Symbol.asyncDispose]()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Called before each call on files, with its name and the path; what it throws the call throws. */
export type Hook = (call: string, path: string) => void;

function hookedLog(file: LogFile, path: string, hook: Hook): LogFile {
  const before = (call: string): LogFile => {
    hook(call, path);
    return file;
  };
  return {
    descriptor: file.descriptor,
    status: () => before('fstat').status(),
    read: (target, position) => before('read').read(target, position),
    append: (bytes) => before('append').append(bytes),
    write: (bytes, position) => before('write').write(bytes, position),
    truncate: (byteLength) => before('truncate').truncate(byteLength),
    dataSync: async () => await before('dataSync').dataSync(),
    close: () => before('close').close(),
  };
}

/** The machine's own files and locks, with a hook before each call that changes or syncs something, or looks. */
export function hookedEnvironment(hook: Hook): Environment {
  const system = nodeLogFileSystem;
  const fileSystem = {
    ...system,
    openLog: (path: string, access: Parameters<typeof system.openLog>[1]): LogFile => {
      hook(`open ${access}`, path);
      return hookedLog(system.openLog(path, access), path, hook);
    },
    statusNow: (path: string): ReturnType<typeof system.statusNow> => {
      hook('stat', path);
      return system.statusNow(path);
    },
    createExclusive: async (path: string, mode: number): ReturnType<typeof system.createExclusive> => {
      hook('create', path);
      const file = await system.createExclusive(path, mode);
      return new Proxy(file, {
        get: (target, property) => {
          const method: unknown = Reflect.get(target, property, target);
          if (typeof method !== 'function') return method;
          return async (...args: unknown[]): Promise<unknown> => {
            hook(`temporary ${String(property)}`, path);
            return await Reflect.apply(method, target, args);
          };
        },
      });
    },
    renameIfUnchanged: async (...args: Parameters<typeof system.renameIfUnchanged>): Promise<boolean> => {
      hook('rename', args[1]);
      return await system.renameIfUnchanged(...args);
    },
    syncFolder: async (path: string): Promise<void> => {
      hook('syncFolder', path);
      await system.syncFolder(path);
    },
  };
  return { ...nodeEnvironment, fileSystem };
}

/** The model of a stash with `make`, and with the keys that have no value. */
export class NativeModel extends Model {
  make(key: readonly string[], empty = false): void {
    const found = this.#find(key);
    if (empty && found !== undefined && found.below.size > 0) throw new ModelFailure('has-children');
    if (key.length > 64) throw new ModelFailure('key-too-deep');
    let node = this.top;
    for (const name of key) {
      const next = node.below.get(name) ?? { value: null, below: new Map() };
      node.below.set(name, next);
      node = next;
    }
  }

  #find(key: readonly string[]): Model['top'] | undefined {
    let node: Model['top'] | undefined = this.top;
    for (const name of key) node = node?.below.get(name);
    return node;
  }

  nodes(): [string[], string | null][] {
    const list: [string[], string | null][] = [];
    const walk = ({ below }: Model['top'], key: string[]): void => {
      for (const [name, next] of below) {
        const nextKey = [...key, name];
        list.push([nextKey, next.value]);
        walk(next, nextKey);
      }
    };
    walk(this.top, []);
    return list;
  }

  override copy(): NativeModel {
    const model = new NativeModel();
    model.top = structuredClone(this.top);
    return model;
  }
}

/** What a process that opens a store is given: options as JSON has them, the key in hexadecimal. */
export type PeerOptions = Omit<OpenOptions, 'key' | 'password'> & { key?: string; password?: string };

let programs: string | undefined;
afterAll(() => {
  if (programs !== undefined) rmSync(programs, { recursive: true, force: true });
});

let program: Promise<string> | undefined;

async function bundle(): Promise<string> {
  programs = mkdtempSync(join(tmpdir(), 'sb-native-programs-'));
  const outfile = join(programs, 'peer.mjs');
  const entry = fileURLToPath(new URL('peer.ts', import.meta.url));
  const common = { bundle: true, platform: 'node', format: 'esm', logLevel: 'silent' } as const;
  await build({ ...common, entryPoints: [entry], outfile });
  return outfile;
}

/** A process that does what it is told with a stash. */
export class Peer implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #waiting: { resolve(value: unknown): void; reject(error: unknown): void }[] = [];
  #closed = false;
  /** Waits for its end; the exit code or the signal. */
  readonly ended: Promise<number | string>;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#closed = true;
        for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error('the program ended'));
        resolve(code ?? signal ?? '');
      });
    });
    if (child.stdout === null) throw new Error('no pipe');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { result, error } = JSON.parse(line) as { result?: unknown; error?: object };
      const waiting = this.#waiting.shift();
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(Object.assign(new Error('the other process failed'), error));
    });
  }

  static async start(path: string, options: PeerOptions): Promise<Peer> {
    program ??= bundle();
    const args = [await program, JSON.stringify({ path, options })];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const peer = new Peer(child);
    await peer.#answer();
    return peer;
  }

  #answer(): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Error('the program ended'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Calls a function of `peer.ts`, or a method of its stash; bytes are given and returned as `{ hex }`. */
  async call(name: string, ...args: unknown[]): Promise<unknown> {
    const line = JSON.stringify({ name, args }, (_name, value: unknown) =>
      value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value,
    );
    const answer = this.#answer();
    this.child.stdin?.write(`${line}\n`);
    return await answer;
  }

  /** Ends its input; it closes the stash and has nothing more to do. */
  async end(): Promise<number | string> {
    this.child.stdin?.end();
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
