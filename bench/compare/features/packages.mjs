/**
 * What comes with a package: its size, and what it depends on.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { measureSizes } from '../size.mjs';
import { FOLDER, packageFolder } from './run.mjs';
import { TYPES } from './types.mjs';

const ROOT = join(FOLDER, '../..');

/** @typedef {import('./run.mjs').Check} Check */

/** The packages that installing it brings. @param {string} library @returns {Set<string>} */
function closure(library) {
  /** @type {Set<string>} */
  const found = new Set();
  const visit = (/** @type {string} */ folder) => {
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    );
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      for (let at = folder; at.length >= ROOT.length; at = join(at, '..')) {
        const candidate = join(at, 'node_modules', name);
        if (!existsSync(join(candidate, 'package.json'))) continue;
        if (!found.has(candidate)) {
          found.add(candidate);
          visit(candidate);
        }
        break;
      }
    }
  };
  visit(packageFolder(library));
  return found;
}

/** @param {string} folder @param {(name: string) => boolean} [keep] @returns {number} bytes of the files in it, other packages left out */
function sizeOf(folder, keep = (name) => name !== 'node_modules') {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => keep(name))
    .reduce((sum, entry) => {
      const path = join(folder, entry.name);
      return sum + (entry.isDirectory() ? sizeOf(path) : statSync(path).size);
    }, 0);
}

/** @type {Check} */
const dependencies = {
  feature: 'Packages that an installation brings along',
  async run(library) {
    const all = closure(library);
    if (library !== 'secretbus') return { cell: String(all.size), why: [...all].join() };
    const { build } = await import('esbuild');
    const { metafile } = await build({
      entryPoints: [join(ROOT, 'dist/wire/index.js')],
      bundle: true,
      write: false,
      metafile: true,
      platform: 'node',
      format: 'esm',
    });
    const foreign = Object.keys(metafile.inputs).filter((name) => name.includes('node_modules'));
    return { cell: `${all.size}; wire uses ${foreign.length}`, why: [...all].join() };
  },
};

/** @type {Check} */
const installed = {
  feature: 'Size of the installation, with those',
  async run(library) {
    const own = library === 'secretbus' ? sizeOf(join(ROOT, 'dist')) : sizeOf(packageFolder(library));
    const bytes = [...closure(library)].reduce((sum, folder) => sum + sizeOf(folder), own);
    return { cell: `${(bytes / 1e6).toFixed(1)} MB` };
  },
};

/** @type {Check} */
const native = {
  feature: 'No native parts, no scripts on installation',
  async run(library) {
    const parts = [packageFolder(library), ...closure(library)].filter((folder) => {
      const { scripts = {}, gypfile } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      return (
        gypfile === true || existsSync(join(folder, 'binding.gyp')) || scripts.install || scripts.postinstall
      );
    });
    const names = parts.map((folder) => folder.split('/').at(-1)).join(', ');
    return parts.length === 0 ? { cell: 'yes' } : { cell: names, why: parts.join() };
  },
};

/** @type {Promise<any> | undefined} */
let sizes;
/** @type {Check} */
const bundled = {
  feature: 'In a bundle of a client, minified and gzipped',
  async run(library) {
    sizes ??= measureSizes().then(([group]) => group?.data);
    const data = await sizes;
    const { gzipped } = data[library === 'secretbus' ? 'secretbus/wire, client only' : library];
    return { cell: `${(gzipped / 1000).toFixed(1)} kB` };
  },
};

/** @type {Check} */
const modules = {
  feature: 'ES modules',
  async run(library) {
    const { type } = JSON.parse(readFileSync(join(packageFolder(library), 'package.json'), 'utf8'));
    if (type === 'module') return { cell: 'yes' };
    const url = createRequire(join(FOLDER, 'x.js')).resolve(library);
    const named = 'sessionBus' in (await import(url));
    return { cell: named ? 'CommonJS, with named imports' : 'CommonJS' };
  },
};

export const PACKAGE = {
  title: 'The package',
  checks: [...TYPES, dependencies, installed, native, bundled, modules],
};
