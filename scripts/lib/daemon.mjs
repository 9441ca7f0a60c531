/**
 * One daemon in a temporary folder of its own, which goes with it.
 *
 * Each folder has a guardian, a shell that reads from a pipe whose other end only this process holds.
 * When this process ends in any way, SIGKILL included, the pipe closes and the guardian kills the
 * daemon and removes the folder; no signal handler is needed, which would change how the caller ends.
 *
 * Nothing but `node:` is imported: this also runs when nothing is installed or built.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** A private daemon did not start, or not in time; `output` is the end of what it said. */
export class PrivateServiceError extends Error {
  /**
   * @param {'start-failed' | 'start-timeout'} code
   * @param {string} message
   * @param {string} output
   */
  constructor(code, message, output) {
    super(output === '' ? message : `${message}\n${output}`);
    this.name = 'PrivateServiceError';
    /** @readonly */
    this.code = code;
    /** @readonly */
    this.output = output;
  }
}

/** sockaddr_un holds 107 bytes and a NUL; the longest name put under the folder is `/run/keyring/control`. */
const LONGEST_FOLDER = 107 - '/run/keyring/control'.length;

/** What a signal other than SIGKILL is given before SIGKILL follows. */
const STOP_TIMEOUT_MS = 2_000;

/**
 * Kills the process `$1`, if it still is the one that has the folder `$2` in its command line, and
 * removes the folder, once standard input ends without the word that all is done.
 */
const GUARDIAN = `trap '' INT TERM HUP
read -r word && exit 0
if [ -n "$1" ] && tr '\\0' '\\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2"; then
  kill -KILL "$1"
  while [ -e "/proc/$1/cmdline" ] && [ -n "$(tr -d '\\0' <"/proc/$1/cmdline")" ]; do sleep 0.01; done
fi 2>/dev/null
rm -rf -- "$2"`;

/** @returns {string} a new folder that only this user can enter, with a short path. */
export function makeFolder() {
  const prefix = join(tmpdir(), 'sb-');
  // mkdtemp adds six characters.
  return mkdtempSync(Buffer.byteLength(prefix) + 6 <= LONGEST_FOLDER ? prefix : '/tmp/sb-');
}

/** One daemon, its folder and its guardian. */
export class Daemon {
  /** @type {string} */
  #program;
  /** @type {string} */
  #directory;
  /** @type {import('node:child_process').ChildProcessWithoutNullStreams} */
  #process;
  /** @type {import('node:child_process').ChildProcessByStdio<import('node:stream').Writable, null, null>} */
  #guardian;
  /** @type {Promise<void> | undefined} */
  #closing;
  #output = '';
  /** @type {string | undefined} how it ended. */
  #end;
  /** @type {Promise<void>} */
  #ended;

  /**
   * @param {string} program
   * @param {readonly string[]} parameters
   * @param {{ directory: string, env: NodeJS.ProcessEnv, input?: string }} options
   */
  constructor(program, parameters, { directory, env, input = '' }) {
    this.#program = program;
    this.#directory = directory;
    // A session of its own: Ctrl-C in the terminal reaches the caller, which then closes in order.
    const child = spawn(program, parameters, { cwd: directory, env, detached: true, stdio: 'pipe' });
    this.#process = child;
    this.#ended = new Promise((resolve) => {
      const end = (/** @type {string} */ how) => {
        this.#end ??= how;
        resolve();
      };
      child.once('error', (error) => end(error.message));
      child.once('exit', (status, signal) => end(`ended with ${signal ?? `exit status ${status}`}`));
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        this.#output = (this.#output + text).slice(-4_096);
      });
      stream.on('error', () => {});
    }
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    this.#guardian = spawn('/bin/sh', ['-c', GUARDIAN, 'guardian', String(child.pid ?? ''), directory], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#guardian.on('error', () => {});
    this.#guardian.stdin.on('error', () => {});
    this.#release();
  }

  get processId() {
    return this.#process.pid ?? 0;
  }

  get output() {
    return this.#output;
  }

  /** The daemon must not keep a program alive that has forgotten it. */
  #release() {
    const { stdout, stderr, stdin } = this.#process;
    for (const handle of [this.#process, stdout, stderr, stdin, this.#guardian, this.#guardian.stdin]) {
      /** @type {{ unref?: () => void }} */ (handle).unref?.();
    }
  }

  /**
   * Asks `ready` until it gives something, the daemon ends, or the time is over.
   * @template T
   * @param {() => Promise<T | undefined> | T | undefined} ready
   * @param {number} timeoutMs
   * @returns {Promise<T>}
   * @throws {PrivateServiceError}
   */
  async waitUntil(ready, timeoutMs) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const value = await ready();
      if (value !== undefined) return value;
      if (this.#end !== undefined) {
        throw new PrivateServiceError('start-failed', `${this.#program} ${this.#end}`, this.#output.trim());
      }
      if (performance.now() > deadline) {
        const message = `${this.#program} was not ready after ${timeoutMs} ms`;
        throw new PrivateServiceError('start-timeout', message, this.#output.trim());
      }
      await sleep(5);
    }
  }

  /** @returns {Promise<void>} */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    const child = this.#process;
    if (this.#end === undefined) {
      child.ref();
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await this.#ended;
      clearTimeout(timer);
    }
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    const guardian = this.#guardian;
    if (guardian.pid !== undefined && guardian.exitCode === null && guardian.signalCode === null) {
      guardian.ref();
      const exit = once(guardian, 'exit');
      guardian.stdin.end('done\n');
      await exit;
    }
  }
}
