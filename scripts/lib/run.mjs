/**
 * Running other programs from the scripts, and saying what is going on.
 * Nothing but `node:` is imported: this runs before anything is installed.
 *
 * Progress goes to standard error, so that `npm pack --json` and the like keep a clean standard output.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

/** The project's folder, an absolute path without a final slash. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');

/** True in continuous integration, where nothing may be left out quietly. */
export const IN_CI = process.env['CI'] === 'true';

/** A script cannot go on; the message says all there is to say, without a stack. */
export class ScriptError extends Error {
  /** @override */
  name = 'ScriptError';
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * @param {number} ms
 * @returns {string} such as `1.2 ms`, `12 ms` or `3.4 s`.
 */
export function formatTime(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/**
 * Runs a program in the project's folder with this process's standard output and error.
 * @param {string} program
 * @param {readonly string[]} parameters
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>} its exit status; 1 if a signal ended it.
 */
export async function runShown(program, parameters, { env = process.env } = {}) {
  const child = spawn(program, parameters, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const [status] = /** @type {[number | null]} */ (await once(child, 'exit'));
  return status ?? 1;
}

/**
 * Runs a program in the project's folder and keeps what it says.
 * @param {string} program
 * @param {readonly string[]} parameters
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string }} [options]
 * @returns {Promise<{ status: number, output: string }>} `output` holds standard output and error as
 * they came; `status` is 1 if a signal ended it, 127 if it could not be started.
 */
export async function runQuietly(program, parameters, { env = process.env, cwd = ROOT } = {}) {
  const child = spawn(program, parameters, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      output += text;
    });
  }
  try {
    const [status] = /** @type {[number | null]} */ (await once(child, 'close'));
    return { status: status ?? 1, output };
  } catch (error) {
    return { status: 127, output: String(error) };
  }
}

/**
 * @param {string} name a package in node_modules.
 * @param {string} [bin] one of its programs, if it has several.
 * @returns {string} the absolute path of that program, JavaScript to be run by Node.
 * @throws {ScriptError} if the package has no such program.
 */
export function packageProgram(name, bin = name) {
  const folder = join(ROOT, 'node_modules', name);
  /** @type {{ bin?: string | Record<string, string> }} */
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const path = typeof manifest.bin === 'string' ? manifest.bin : manifest.bin?.[bin];
  if (path === undefined) throw new ScriptError(`${name} has no program ${bin}`);
  return join(folder, path);
}

/**
 * @returns {{ program: string, parameters: string[] }} how to run npm: the one that runs this script,
 * else the one on PATH.
 */
export function npmCommand() {
  const path = process.env['npm_execpath'];
  if (path !== undefined && /npm-cli\.[cm]?js$/.test(path))
    return { program: process.execPath, parameters: [path] };
  return { program: 'npm', parameters: [] };
}

/** Codes of the errors of the other files here, whose messages say all there is to say. */
const OWN_CODES = new Set(['missing-program', 'start-failed', 'start-timeout']);

/**
 * Runs the main function of a script: its result is the exit status. A `ScriptError`, or an error with
 * a `code` of the scripts' own, is told in one line; anything else with its stack.
 * @param {() => Promise<number>} main
 * @returns {Promise<void>}
 */
export async function runMain(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    const isOurs =
      error instanceof ScriptError || (error instanceof Error && OWN_CODES.has(Reflect.get(error, 'code')));
    say(isOurs ? `\n${error.message}` : String(error instanceof Error ? error.stack : error));
    process.exitCode = 1;
  }
}

/**
 * Measures an action.
 * @template T
 * @param {() => Promise<T> | T} action
 * @returns {Promise<{ value: T, ms: number }>}
 */
export async function timed(action) {
  const start = performance.now();
  const value = await action();
  return { value, ms: performance.now() - start };
}
