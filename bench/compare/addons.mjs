/**
 * Addons of the libraries to compare with, built from their source: what they would download otherwise is not there for
 * every system, and installing runs no scripts here.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { npmCommand, runQuietly } from '../../scripts/lib/run.mjs';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

/** @typedef {{ library: string, file: string, packages: string }} Addon `packages`: of Debian, without which it cannot be built */

/** @type {Addon} */
const KEYTAR = {
  library: 'keytar',
  file: 'keytar.node',
  packages: 'libsecret-1-dev g++ make pkg-config python3',
};
/** @type {Addon} */
const BETTER_SQLITE3 = {
  library: 'better-sqlite3',
  file: 'better_sqlite3.node',
  packages: 'g++ make python3',
};

/**
 * Builds an addon, unless it is there.
 * @param {Addon} addon
 * @returns {Promise<boolean>} whether it is there now; if not, the error output says why.
 */
async function ensureAddon({ library, file, packages }) {
  const path = `${FOLDER}node_modules/${library}/build/Release/${file}`;
  if (existsSync(path)) return true;
  console.warn(`Building ${library}, which may take a minute or two …`);
  const { program, parameters } = npmCommand();
  // npm's own node-gyp: an old one among the dependencies comes first where scripts are run, and fails on this Node.
  const explore = ['explore', library, '--', 'node "$npm_config_node_gyp" rebuild --release'];
  const { status, output } = await runQuietly(program, [...parameters, ...explore], { cwd: FOLDER });
  if (status === 0 && existsSync(path)) return true;
  const reason = output.trim().split('\n').slice(-20).join('\n');
  console.warn(
    `${reason}\n!! ${library} is left out: it cannot be built. On Debian: apt-get install ${packages}`,
  );
  return false;
}

export const ensureKeytar = () => ensureAddon(KEYTAR);
export const ensureBetterSqlite3 = () => ensureAddon(BETTER_SQLITE3);
