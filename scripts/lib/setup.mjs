/**
 * Makes a clone ready: npm packages, Debian packages, `dist/`. Each part looks first and does nothing
 * when there is nothing to do. Nothing but `node:` is imported: this runs before anything is installed.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { findProgram, installationAdvice, PROGRAMS, PYTHON_LIBRARIES, PYTHONS } from './programs.mjs';
import { formatTime, npmCommand, ROOT, runQuietly, ScriptError, say, timed } from './run.mjs';

/** @typedef {import('./programs.mjs').ProgramName} ProgramName */
/** @typedef {import('./programs.mjs').ProgramHint} ProgramHint */
/** @typedef {import('./programs.mjs').PythonLibrary} PythonLibrary */
/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {string} [integrity]
 * @property {boolean} [optional]
 * @property {readonly string[]} [os]
 * @property {readonly string[]} [cpu]
 * @property {readonly string[]} [libc]
 */

/** What Node must have; the same as `engines.node` in package.json. */
const NODE_VERSION = [20, 19];

/** @throws {ScriptError} if this Node is too old. */
export function assertNodeVersion() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [neededMajor = 0, neededMinor = 0] = NODE_VERSION;
  if (major < neededMajor || (major === neededMajor && minor < neededMinor)) {
    throw new ScriptError(
      `This is Node ${process.versions.node}; secretbus needs ${NODE_VERSION.join('.')} or newer.`,
    );
  }
}

/**
 * @param {string} path
 * @returns {Record<string, LockedPackage> | undefined} undefined if there is no such file, or no sense in it.
 */
function readLock(path) {
  try {
    /** @type {{ packages?: Record<string, LockedPackage> }} */
    const lock = JSON.parse(readFileSync(path, 'utf8'));
    return lock.packages;
  } catch {
    return undefined;
  }
}

/** @returns {'glibc' | 'musl'} the C library that this Node is linked with, on Linux. */
export function ownLibc() {
  // Without this the report looks up the name of every network address.
  Object.assign(process.report, { excludeNetwork: true });
  /** @type {{ header?: { glibcVersionRuntime?: string } }} */
  const report = process.report.getReport();
  return report.header?.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

/**
 * @param {LockedPackage} locked
 * @returns {boolean} whether npm may leave it out here: an optional package that is made for another
 * machine, or one without a machine of its own, which then only such packages depend on.
 */
function mayBeLeftOut({ optional, os, cpu, libc }) {
  if (optional !== true) return false;
  if (os === undefined && cpu === undefined && libc === undefined) return true;
  return (
    os?.includes(process.platform) === false ||
    cpu?.includes(process.arch) === false ||
    (process.platform === 'linux' && libc?.includes(ownLibc()) === false)
  );
}

/**
 * Compares package-lock.json with the record that npm leaves in node_modules.
 * @param {string} folder the folder of the package-lock.json.
 * @returns {boolean} whether everything in the lock file is installed, in that version, and nothing else.
 */
function nodePackagesMatch(folder) {
  const wanted = readLock(join(folder, 'package-lock.json'));
  const installed = readLock(join(folder, 'node_modules/.package-lock.json'));
  if (wanted === undefined || installed === undefined) return false;
  for (const path of Object.keys(installed)) {
    if (wanted[path] === undefined) return false;
  }
  return Object.entries(wanted).every(([path, locked]) => {
    if (path === '') return true;
    const found = installed[path];
    if (found === undefined) return mayBeLeftOut(locked);
    return (
      found.version === locked.version &&
      (locked.integrity === undefined || found.integrity === locked.integrity) &&
      existsSync(join(folder, path, 'package.json'))
    );
  });
}

/**
 * Runs `npm ci`, without install scripts, when node_modules does not match package-lock.json.
 * @param {string} [folder] the folder of the package-lock.json.
 * @param {string} [what] what is installed, for the progress line.
 * @throws {ScriptError} if npm fails.
 */
export async function ensureNodePackages(folder = ROOT, what = 'npm packages') {
  if (nodePackagesMatch(folder)) return;
  say(`Installing ${what} (npm ci) …`);
  const { program, parameters } = npmCommand();
  const { value, ms } = await timed(() =>
    runQuietly(program, [...parameters, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
    }),
  );
  if (value.status !== 0) throw new ScriptError(`npm ci failed:\n${value.output.trim()}`);
  say(`Installing ${what}: done in ${formatTime(ms)}`);
}

/**
 * @param {PythonLibrary} library
 * @returns {Promise<boolean>} whether one of the Pythons has it.
 */
async function hasPythonLibrary(library) {
  for (const python of PYTHONS) {
    const { status } = await runQuietly(python, ['-c', PYTHON_LIBRARIES[library].code]);
    if (status === 0) return true;
  }
  return false;
}

/**
 * @param {readonly ProgramName[]} programs
 * @param {readonly PythonLibrary[]} libraries
 * @returns {Promise<(ProgramHint & { name: string })[]>} what is not installed.
 */
async function findMissing(programs, libraries) {
  /** @type {(ProgramHint & { name: string })[]} */
  const missing = [];
  for (const name of programs) {
    if (findProgram(name) === undefined) missing.push({ name, ...PROGRAMS[name] });
  }
  for (const library of libraries) {
    if (await hasPythonLibrary(library)) continue;
    missing.push({ name: `${library} for Python`, ...PYTHON_LIBRARIES[library] });
  }
  return missing;
}

/** @returns {boolean} whether this process may install packages here with apt-get. */
function canInstallPackages() {
  if (process.getuid?.() !== 0 || findProgram('apt-get') === undefined) return false;
  try {
    return /^ID(?:_LIKE)?=.*\bdebian\b/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

/**
 * Sees to it that outside programs are there: as root on Debian they are installed.
 * @param {readonly ProgramName[]} programs
 * @param {readonly PythonLibrary[]} [libraries]
 * @returns {Promise<string | undefined>} undefined if all is there, else what is missing, what for, and
 * how to install it.
 */
export async function ensurePrograms(programs, libraries = []) {
  let missing = await findMissing(programs, libraries);
  if (missing.length === 0) return undefined;
  let failure = '';
  if (canInstallPackages()) {
    failure = await installDebianPackages([...new Set(missing.flatMap((hint) => hint.packages.debian))]);
    missing = await findMissing(programs, libraries);
    if (missing.length === 0) return undefined;
  }
  const list = missing.map(({ name, purpose }) => `  ${name}, for ${purpose}`).join('\n');
  return `Not installed here:\n${list}\nInstall with\n${installationAdvice(missing)}${failure}`;
}

/**
 * @param {readonly string[]} packages
 * @returns {Promise<string>} empty, or what apt-get said when it failed.
 */
async function installDebianPackages(packages) {
  say(`Installing Debian packages: ${packages.join(' ')} …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Another apt-get at work on the machine is waited for.
  const options = ['-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=3'];
  const { value, ms } = await timed(async () => {
    const update = await runQuietly('apt-get', [...options, 'update'], { env });
    const install = await runQuietly(
      'apt-get',
      [...options, 'install', '-y', '--no-install-recommends', ...packages],
      { env },
    );
    return install.status === 0 ? '' : `${update.output.trim()}\n${install.output.trim()}`;
  });
  if (value !== '') return `\napt-get could not install them:\n${value.split('\n').slice(-15).join('\n')}`;
  say(`Installing Debian packages: done in ${formatTime(ms)}`);
  return '';
}

/**
 * @param {string} folder
 * @returns {string[]} the paths of all files in it, relative to it; none if there is no such folder.
 */
function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/**
 * @param {string} path in the project's folder.
 * @returns {number} when it was last written, in milliseconds.
 */
function modified(path) {
  return statSync(join(ROOT, path)).mtimeMs;
}

/** @returns {boolean} whether `dist/` holds exactly what the sources make, and is newer than all of them. */
function distIsFresh() {
  const sources = filesIn(join(ROOT, 'src')).filter((path) => path.endsWith('.ts'));
  const wanted = sources.flatMap((path) => [path.replace(/ts$/, 'js'), path.replace(/ts$/, 'd.ts')]);
  const made = new Set(filesIn(join(ROOT, 'dist')));
  if (made.size !== wanted.length || wanted.some((path) => !made.has(path))) return false;
  const inputs = [
    ...sources.map((path) => join('src', path)),
    'tsup.config.ts',
    'tsconfig.json',
    'package-lock.json',
  ];
  return Math.max(...inputs.map(modified)) < Math.min(...wanted.map((path) => modified(join('dist', path))));
}

/**
 * Builds `dist/` if it is not fresh.
 * @throws {ScriptError} if the build fails.
 */
export async function ensureBuild() {
  if (distIsFresh()) return;
  say('Building …');
  const { ms } = await timed(build);
  say(`Building: done in ${formatTime(ms)}`);
}
