/**
 * Runs one task of a check against one library, in a process of its own with a time limit: a hang is a result, and so are a
 * crash and the memory that it took.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const FOLDER = fileURLToPath(new URL('..', import.meta.url));
export const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url));
export const JAVASCRIPT = ['secretbus', 'dbus-native', 'dbus-next', '@homebridge/dbus-native'];
export const PYTHON = ['libdbus', 'GDBus', 'jeepney'];

/**
 * @typedef {object} Outcome
 * @property {'value' | 'error' | 'hangs' | 'crashes' | 'missing'} outcome
 * @property {any} [value]
 * @property {string} [text] of the error
 * @property {number} [grown] resident memory that the task took at its peak, in bytes
 */

/**
 * A row of a table: what is asked, and what finds the answer out for one library.
 * @typedef {object} Check
 * @property {string} feature
 * @property {(library: string) => Promise<Verdict>} run
 * @property {boolean} [foreign] whether it can be run against the libraries that are not JavaScript
 */

/** @typedef {{ cell: string, why?: string | undefined }} Verdict */

/** Long for a loaded machine, since it tells a hang from a slow answer. */
export const TIME_LIMIT_MS = 6000;

/** Nobody's home: some libraries look for cookies in it. */
/** @type {NodeJS.ProcessEnv} */
export const ENVIRONMENT = { ...process.env, HOME: '/nonexistent' };

/**
 * @param {string} library @param {string} task `file/name`, in `tasks-FILE.mjs`
 * @param {Record<string, unknown>} parameters handed to it
 * @param {{ timeoutMs?: number, env?: NodeJS.ProcessEnv, heapMb?: number, started?: (line: string) => void }} [options]
 * @returns {Promise<Outcome>}
 */
export async function runTask(library, task, parameters, options = {}) {
  const { timeoutMs = TIME_LIMIT_MS, env = ENVIRONMENT, heapMb = 1024, started } = options;
  const json = JSON.stringify(parameters);
  const child = PYTHON.includes(library)
    ? spawn('/usr/bin/python3', [`${FOLDER}/features/foreign.py`, library, json], { env })
    : spawn(
        process.execPath,
        [`--max-old-space-size=${heapMb}`, '--no-warnings', CHILD, library, task, json],
        { env },
      );
  let output = '';
  let errors = '';
  let last = 0;
  child.stdout.on('data', (chunk) => {
    output += chunk;
    for (let end = output.indexOf('\n', last); end >= 0; end = output.indexOf('\n', last)) {
      started?.(output.slice(last, end));
      last = end + 1;
    }
  });
  child.stderr.on('data', (chunk) => (errors += chunk));
  child.stdin.on('error', () => {});
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(-1));
    child.on('close', resolve);
  });
  clearTimeout(timer);
  const result = /^RESULT (.*)$/m.exec(output)?.[1];
  if (result !== undefined) {
    const outcome = JSON.parse(result);
    // A result and then no end: the caller asked whether the process ends.
    return late ? { ...outcome, lingers: true } : outcome;
  }
  if (late) return { outcome: 'hangs' };
  // 13: nothing is left to wait for, and the call has not settled.
  if (code === 0 || code === 13) return { outcome: 'hangs', text: 'what was awaited never settles' };
  const text = /^.*(?:Error|ERROR|heap out of memory).*$/m.exec(errors)?.[0] ?? `exit code ${String(code)}`;
  return { outcome: 'crashes', text: text.slice(0, 160) };
}

/** @param {string} library @returns {string} the folder of its package */
export function packageFolder(library) {
  return library === 'secretbus' ? join(FOLDER, '../..') : join(FOLDER, 'node_modules', library);
}

/** @param {string} folder @returns {string[]} all JavaScript and declarations in it, its own dependencies left out */
function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules' || entry.name === 'test') return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.(?:m?js|d\.ts)$/.test(entry.name) ? [path] : [];
  });
}

/** Whether a word that a feature cannot do without is anywhere in a library's own files. @param {string} library @param {RegExp} word */
export function mentions(library, word) {
  const folder = library === 'secretbus' ? join(FOLDER, '../../dist/wire') : packageFolder(library);
  return sources(folder).some((file) => word.test(readFileSync(file, 'utf8')));
}

/** The verdict where a task says that a library has no such thing: believed only if its files lack the word for it. @param {string} library @param {RegExp} word @returns {Verdict} */
export function absent(library, word) {
  return mentions(library, word)
    ? { cell: '?', why: `no way found, but its files have ${String(word)}` }
    : { cell: 'no', why: `its files have no ${String(word)}` };
}

/** What refuses is right. @param {Outcome} outcome @returns {Verdict} */
export function refused(outcome) {
  if (outcome.outcome === 'error') return { cell: 'yes', why: outcome.text };
  if (outcome.outcome === 'value') return { cell: 'no', why: `took ${JSON.stringify(outcome.value)}` };
  return { cell: outcome.outcome, why: outcome.text };
}

/** What gives `true` is right; any other value is the cell. @param {Outcome} outcome @returns {Verdict} */
export function succeeded(outcome) {
  if (outcome.outcome === 'error') return { cell: 'no', why: outcome.text };
  if (outcome.outcome !== 'value') return { cell: outcome.outcome, why: outcome.text };
  if (outcome.value === true) return { cell: 'yes' };
  if (typeof outcome.value === 'string') return { cell: outcome.value };
  return { cell: 'no', why: JSON.stringify(outcome.value) };
}
