/** The package as its users get it: packed, and installed from the tarball into an empty folder. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { npmCommand, ROOT, runQuietly, ScriptError } from './run.mjs';
import { ensureBuild } from './setup.mjs';

/**
 * @typedef {object} InstalledPackage
 * @property {string} folder the user's project; `import('secretbus')` works for files in it.
 * @property {string} packageFolder where the package itself is.
 * @property {() => void} remove removes everything.
 */

/**
 * @param {string} cwd
 * @param {readonly string[]} parameters
 * @returns {Promise<string>} what npm wrote.
 * @throws {ScriptError} if npm fails.
 */
export async function npm(cwd, parameters) {
  const { program, parameters: first } = npmCommand();
  const { status, output } = await runQuietly(program, [...first, ...parameters], { cwd });
  if (status !== 0) throw new ScriptError(`npm ${parameters[0]} failed:\n${output.trim()}`);
  return output;
}

/**
 * Packs the built package and installs the tarball, without install scripts, into a temporary folder that
 * holds nothing but a package.json.
 * @returns {Promise<InstalledPackage>}
 * @throws {ScriptError} if the build or npm fails.
 */
export async function installPackage() {
  await ensureBuild();
  const folder = mkdtempSync(join(tmpdir(), 'sb-package-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    writeFileSync(join(folder, 'package.json'), '{ "name": "user", "private": true, "type": "module" }\n');
    // The build is fresh, and prepack could only find the same.
    await npm(ROOT, ['pack', '--ignore-scripts', `--pack-destination=${folder}`]);
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
    if (tarball === undefined) throw new ScriptError('npm pack made no tarball');
    await npm(folder, [
      'install',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      `./${tarball}`,
    ]);
    rmSync(join(folder, tarball));
    return { folder, packageFolder: join(folder, 'node_modules/secretbus'), remove };
  } catch (error) {
    remove();
    throw error;
  }
}
