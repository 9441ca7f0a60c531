/**
 * Builds keytar from its source: what it would download otherwise is not there for every system, and installing runs no
 * scripts here.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { npmCommand, runQuietly } from '../../../scripts/lib/run.mjs';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));
const ADDON = `${FOLDER}node_modules/keytar/build/Release/keytar.node`;

/**
 * Builds keytar's addon, unless it is there.
 * @returns {Promise<boolean>} whether it is there now; if not, the error output says why.
 */
export async function ensureKeytar() {
  if (existsSync(ADDON)) return true;
  console.warn('Building keytar …');
  const { program, parameters } = npmCommand();
  // npm's own node-gyp: an old one among the dependencies comes first where scripts are run, and fails on this Node.
  const explore = ['explore', 'keytar', '--', 'node "$npm_config_node_gyp" rebuild'];
  const { status, output } = await runQuietly(program, [...parameters, ...explore], { cwd: FOLDER });
  if (status === 0 && existsSync(ADDON)) return true;
  console.warn(
    `${output.trim().split('\n').slice(-20).join('\n')}\n!! keytar is left out: it cannot be built. On Debian: apt-get install libsecret-1-dev g++ make pkg-config python3`,
  );
  return false;
}
