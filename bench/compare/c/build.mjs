/**
 * Builds the C programs beside this file with the host's compiler, into a temporary folder that goes with the process.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What to install where a library's headers are missing, on Debian. @type {Record<string, string>} */
const PACKAGES = { 'dbus-1': 'libdbus-1-dev', 'gio-2.0': 'libglib2.0-dev' };

/** @type {string | undefined} */
let folder;

function makeFolder() {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'secretbus-bench-'));
    process.on('exit', () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return folder;
}

/**
 * Compiles `NAME.c` with the libraries that pkg-config knows by the names `libraries`.
 * @param {string} name
 * @param {string[]} libraries
 * @returns {string | undefined} path of the program; undefined, said on the error output, where a compiler or headers are
 * missing.
 * @throws {Error} when the source does not compile: that is a fault of ours
 */
export function buildProgram(name, libraries) {
  const config = spawnSync('pkg-config', ['--cflags', '--libs', ...libraries], { encoding: 'utf8' });
  if (config.error !== undefined || config.status !== 0) {
    const packages = ['gcc', 'pkg-config', ...libraries.map((library) => PACKAGES[library] ?? library)];
    console.warn(
      `!! ${name} is left out: the headers of ${libraries.join(' and ')} are missing. On Debian: apt-get install ${packages.join(' ')}`,
    );
    return undefined;
  }
  const program = join(makeFolder(), name);
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
  const flags = config.stdout.trim().split(/\s+/);
  const compiled = spawnSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, source, ...flags], {
    encoding: 'utf8',
  });
  if (compiled.error !== undefined) {
    console.warn(`!! ${name} is left out: gcc is missing. On Debian: apt-get install gcc`);
    return undefined;
  }
  if (compiled.status !== 0) throw new Error(`${name}.c does not compile:\n${compiled.stderr}`);
  return program;
}
