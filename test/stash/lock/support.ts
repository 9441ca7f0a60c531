/** Shared by the tests of the locks: programs of their own that hold, wait for and use a lock. */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll } from 'vitest';
import { type LockWaitOptions, openLock, type StoreLock } from '../../../src/stash/lock/store-lock.js';
import { runs } from '../../support/external.js';
import type { Job } from './locker.js';

export const isLinux: boolean = process.platform === 'linux';

/** The kinds of lock that this machine has. */
export const modes: ('socket' | 'flock')[] = [
  ...(isLinux || process.platform === 'win32' ? (['socket'] as const) : []),
  ...(process.platform !== 'win32' ? (['flock'] as const) : []),
];

/** Whether network namespaces can be made here. */
export const hasNamespaces: boolean = isLinux && runs('unshare', ['-n', 'true']);

const programs: string = mkdtempSync(join(tmpdir(), 'secretbus-lock-'));

afterAll(() => rmSync(programs, { recursive: true, force: true }));

/** Bundles a program that lies beside this file, so that plain node runs it; returns its path. */
export async function bundle(name: string): Promise<string> {
  const outfile = join(programs, `${name}.mjs`);
  const entry = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'silent',
  });
  return outfile;
}

/** A program that was started: killed at the end of the block. */
export interface Peer extends Disposable {
  readonly child: ChildProcess;
  /** What it has said so far, by line. */
  readonly lines: string[];
  /** Waits until it has said so many lines, and returns the last of them. */
  said(count: number): Promise<string>;
  /** Waits for its end; the exit code or the signal. */
  readonly ended: Promise<number | string>;
}

/** Starts a bundled program. */
export function start(program: string, args: readonly string[], wrapper: readonly string[] = []): Peer {
  const [command = '', ...rest] = [...wrapper, process.execPath, program, ...args];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  let text = '';
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
    const whole = text.split('\n');
    text = whole.pop() ?? '';
    lines.push(...whole);
    child.emit('said');
  });
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  return {
    child,
    lines,
    ended,
    said: async (count) => {
      while (lines.length < count) {
        if ((await Promise.race([once(child, 'said'), ended])) !== undefined && child.exitCode !== null)
          break;
      }
      const line = lines[count - 1];
      if (line === undefined) throw new Error(`the program ended and said only: ${lines.join(', ')}`);
      return line;
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}

/** A store to lock: a file of its own and a name of its own. */
export class Place implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'secretbus-lock-'));
  readonly path: string = join(this.folder, 'store');
  readonly counter: string = join(this.folder, 'counter');
  readonly name: string = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex');
  readonly mode: 'auto' | 'socket' | 'flock';
  readonly #locks: StoreLock[] = [];

  constructor(mode: 'auto' | 'socket' | 'flock') {
    this.mode = mode;
    writeFileSync(this.path, 'store');
    writeFileSync(this.counter, '0');
  }

  /** A handle in this process. */
  open(mode: 'auto' | 'socket' | 'flock' = this.mode): StoreLock {
    return this.#open(mode, this.path);
  }

  /** A handle of the same store that shares nothing with the others in this process but the lock of the system. */
  openApart(mode: 'auto' | 'socket' | 'flock' = this.mode): StoreLock {
    return this.#open(mode, `${this.folder}${sep}.${sep}store`);
  }

  #open(mode: 'auto' | 'socket' | 'flock', path: string): StoreLock {
    const lock = openLock({ mode, path, name: this.name });
    this.#locks.push(lock);
    return lock;
  }

  /** What the program `locker` is to be told, as its argument. */
  job(job: Partial<Job>): string[] {
    const { path, name, mode, counter } = this;
    return [JSON.stringify({ path, name, mode, counter, timeoutMs: 20_000, ...job })];
  }

  [Symbol.dispose](): void {
    for (const lock of this.#locks) lock.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits for so many milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The address that the lock of a name has on this system. */
export function addressOf(name: string): string {
  return process.platform === 'win32'
    ? `\\\\.\\pipe\\secretbus-${name}`
    : `\0secretbus-${name}`.padEnd(108, '-');
}

/** How long a task of a test waits that is to get in. */
export const options: LockWaitOptions = { timeoutMs: 5000 };

/** Runs a task that lasts until the function that is returned is called; that waits for its end. */
export async function holding(lock: StoreLock): Promise<() => Promise<void>> {
  const events = new EventEmitter();
  const inside = once(events, 'inside');
  const done = lock.run(async () => {
    events.emit('inside');
    await once(events, 'end');
  }, options);
  await Promise.race([inside, done]);
  return async () => {
    events.emit('end');
    await done;
  };
}
