/**
 * Adds to package-lock.json the packages for other platforms that npm left out, to be run after every
 * `npm install` that changed it: `node scripts/complete-lockfile.mjs [folder]`. With `--check` it only
 * looks, and fails if something is left out.
 *
 * npm records an optional package only when it could read its manifest, so a registry mirror that lacks
 * it, or an installed tree of one platform, leaves it out; `npm ci` then refuses the whole file, on every
 * platform. The exact version is known from the package that asks for it, and the platform from the name.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, runMain, ScriptError, say } from './lib/run.mjs';

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {readonly string[]} [cpu]
 * @property {boolean} [dev]
 * @property {readonly string[]} [libc]
 * @property {boolean} [optional]
 * @property {readonly string[]} [os]
 * @property {Record<string, string>} [optionalDependencies]
 */
/** @typedef {{ packages: Record<string, LockedPackage> }} Lock */

const PLATFORM_NAME =
  /[/-](?<os>aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-(?<cpu>arm64|arm|ia32|loong64|mips64el|ppc64|riscv64|s390x|x64)(?:-(?<abi>eabi|gnueabihf|musleabihf|gnu|musl|msvc))?$/;

/**
 * @param {string} name
 * @param {string} version
 * @param {boolean} dev
 * @returns {LockedPackage}
 * @throws {ScriptError} if the name does not say the platform, or the version is a range.
 */
function lockedPlatformPackage(name, version, dev) {
  const { os, cpu, abi } = PLATFORM_NAME.exec(name)?.groups ?? {};
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+/.test(version)) {
    throw new ScriptError(`Cannot tell the platform and the version of ${name}@${version}`);
  }
  const libc = os === 'linux' && abi !== undefined ? [abi.startsWith('musl') ? 'musl' : 'glibc'] : undefined;
  return {
    version,
    cpu: [cpu],
    ...(dev ? { dev } : {}),
    ...(libc === undefined ? {} : { libc }),
    optional: true,
    os: [os],
  };
}

/**
 * @param {Lock} lock
 * @returns {Map<string, LockedPackage>} what is left out, by its path in the lock file.
 */
function findLeftOut(lock) {
  /** @type {Map<string, LockedPackage>} */
  const leftOut = new Map();
  for (const [path, locked] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(locked.optionalDependencies ?? {})) {
      const candidates = [`${path}/node_modules/${name}`, `node_modules/${name}`];
      if (candidates.some((candidate) => lock.packages[candidate] !== undefined)) continue;
      leftOut.set(`node_modules/${name}`, lockedPlatformPackage(name, version, locked.dev === true));
    }
  }
  return leftOut;
}

await runMain(async () => {
  const parameters = process.argv.slice(2);
  const folder = parameters.find((parameter) => !parameter.startsWith('--')) ?? ROOT;
  const path = join(folder, 'package-lock.json');
  /** @type {Lock} */
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const leftOut = findLeftOut(lock);
  if (leftOut.size === 0) return 0;
  if (parameters.includes('--check')) {
    say(`${path} leaves out ${leftOut.size} packages, for instance ${[...leftOut.keys()][0]}`);
    say('Complete it with node scripts/complete-lockfile.mjs');
    return 1;
  }
  const sorted = [...Object.entries(lock.packages), ...leftOut].toSorted(([a], [b]) =>
    a.localeCompare(b, 'en'),
  );
  lock.packages = Object.fromEntries(sorted);
  writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
  say(`Added ${leftOut.size} packages to ${path}`);
  return 0;
});
