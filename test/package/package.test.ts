/** What users get: the package as npm packs it, installed into an empty folder without install scripts. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type InstalledPackage, installPackage, npm } from '../../scripts/lib/installed-package.mjs';
import { packageProgram, ROOT } from '../../scripts/lib/run.mjs';
import { collectImports, findHiddenImport, type Imports } from './imports.js';

const run = promisify(execFile);

/** The files that may import Node's own modules, and which. */
const NODE_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  'stash/hashing.js': ['node:crypto'],
  'stash/lock/choose-lock.js': ['node:fs/promises'],
  'stash/lock/file-lock.js': ['node:child_process', 'node:fs', 'node:fs/promises'],
  'stash/lock/socket-lock.js': ['node:net'],
  'stash/native/cipher.js': ['node:crypto'],
  'stash/native/kdf-native.js': ['node:crypto'],
  'stash/native/node-log-file.js': ['node:fs'],
  'stash/native/password-sources.js': ['node:fs', 'node:fs/promises', 'node:path', 'node:tty'],
  'stash/native/watch.js': ['node:fs', 'node:path'],
  'stash/node-file-system.js': ['node:fs', 'node:fs/promises', 'node:path'],
  'stash/sstash/pbkdf2.js': ['node:crypto'],
  'stash/transfer/node-files.js': ['node:fs', 'node:fs/promises', 'node:path'],
  'wire/bus/discovery.js': ['node:fs'],
  'wire/connection/channels.js': ['node:diagnostics_channel'],
  'wire/transport/autolaunch.js': ['node:fs', 'node:os'],
  'wire/transport/connect.js': ['node:fs', 'node:fs/promises'],
  'wire/transport/cookie-keyring.js': ['node:crypto', 'node:fs', 'node:os', 'node:path'],
  'wire/transport/cookie-server.js': [
    'node:crypto',
    'node:fs/promises',
    'node:os',
    'node:path',
    'node:perf_hooks',
    'node:timers/promises',
  ],
  'wire/transport/listen.js': ['node:crypto', 'node:dns/promises', 'node:path'],
  'wire/transport/machine-id.js': ['node:fs'],
  'wire/transport/nonce.js': ['node:crypto', 'node:fs/promises', 'node:os', 'node:path'],
  'wire/transport/process.js': ['node:child_process'],
  'wire/transport/socket.js': ['node:net'],
  'wire/transport/socket-file.js': ['node:fs/promises', 'node:path', 'node:timers/promises'],
};

const ENTRIES = ['secretbus', 'secretbus/wire', 'secretbus/secret', 'secretbus/stash'];

let installed: InstalledPackage;
/** Paths in the package. */
let files: string[];
/** By path in `dist`. */
let imports: ReadonlyMap<string, Imports>;

beforeAll(async () => {
  installed = await installPackage();
  files = readdirSync(installed.packageFolder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.packageFolder.length + 1));
  const scripts = files.filter((file) => file.startsWith('dist/') && file.endsWith('.js'));
  imports = await collectImports(
    join(installed.packageFolder, 'dist'),
    scripts.map((file) => file.slice('dist/'.length)),
  );
});

afterAll(() => installed?.remove());

/** Bundles a few lines of a user's program for no platform in particular. */
async function bundle(source: string): Promise<string> {
  const result = await build({
    stdin: { contents: source, resolveDir: installed.folder },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    logLevel: 'silent',
    external: ['node:*'],
  });
  return result.outputFiles[0]?.text ?? '';
}

describe('the installed package', () => {
  test('brings the two noble packages and nothing else', async () => {
    interface Tree {
      readonly dependencies?: Readonly<Record<string, Tree>>;
    }
    const output = await npm(installed.folder, ['ls', '--omit=dev', '--all', '--json']);
    const tree = JSON.parse(output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1)) as Tree;
    expect(Object.keys(tree.dependencies ?? {})).toEqual(['secretbus']);
    const dependencies = tree.dependencies?.['secretbus']?.dependencies ?? {};
    expect(Object.keys(dependencies).toSorted()).toEqual(['@noble/ciphers', '@noble/hashes']);
    expect(Object.values(dependencies).flatMap((each) => Object.keys(each.dependencies ?? {}))).toEqual([]);
    const folders = readdirSync(join(installed.folder, 'node_modules')).filter(
      (name) => !name.startsWith('.'),
    );
    expect(folders.toSorted()).toEqual(['@noble', 'secretbus']);
  });

  test('holds dist, docs and the documents, and nothing else', () => {
    const top = new Set(files.map((file) => file.split('/')[0] ?? ''));
    for (const needed of ['dist', 'package.json', 'LICENSE', 'README.md']) expect(top).toContain(needed);
    for (const optional of [
      'dist',
      'docs',
      'package.json',
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
    ]) {
      top.delete(optional);
    }
    expect([...top]).toEqual([]);
    expect(files.filter((file) => file.startsWith('dist/') && !/\.(?:js|d\.ts)$/.test(file))).toEqual([]);
  });

  test('has declarations for every file of code, and each entry exists', () => {
    const code = files.filter((file) => file.endsWith('.js'));
    expect(code.length).toBeGreaterThan(20);
    for (const file of code) expect(files).toContain(file.replace(/js$/, 'd.ts'));
    const manifest = JSON.parse(readFileSync(join(installed.packageFolder, 'package.json'), 'utf8')) as {
      exports: Record<string, string | { types: string; default: string }>;
    };
    for (const target of Object.values(manifest.exports)) {
      for (const path of typeof target === 'string' ? [target] : [target.types, target.default]) {
        expect(existsSync(join(installed.packageFolder, path)), path).toBe(true);
      }
    }
  });

  test('names no machine path and no source map', () => {
    for (const file of files.filter((each) => each.startsWith('dist/') || each === 'package.json')) {
      const text = readFileSync(join(installed.packageFolder, file), 'utf8');
      expect(/sourceMappingURL=|\/(?:home|root|Users|work)\/[a-z]/.exec(text)?.[0], file).toBeUndefined();
    }
  });
});

describe('imports of the built files', () => {
  test('under dist/wire are of node: and of relative files alone', () => {
    const wire = [...imports].filter(([file]) => file.startsWith('wire/'));
    expect(wire.length).toBeGreaterThan(10);
    for (const [file, specifiers] of wire) {
      for (const specifier of specifiers) expect(specifier, file).toMatch(/^(?:node:|\.\.?\/)/);
    }
  });

  test('of node: are in the files that are meant to have them', () => {
    const found: Record<string, readonly string[]> = {};
    for (const [file, specifiers] of imports) {
      const builtins = specifiers.filter((specifier) => specifier.startsWith('node:'));
      if (builtins.length > 0) found[file] = [...new Set(builtins)].toSorted();
    }
    expect(found).toEqual(NODE_IMPORTS);
  });

  test('from elsewhere are of the noble packages', () => {
    for (const [file, specifiers] of imports) {
      for (const specifier of specifiers) {
        expect(specifier, file).toMatch(
          /^(?:node:[a-z_/]+|\.\.?\/.+\.js|@noble\/(?:ciphers|hashes)\/.+\.js)$/,
        );
      }
    }
  });

  test('are all in sight: no computed import, no require', async () => {
    for (const file of imports.keys()) {
      const source = readFileSync(join(installed.packageFolder, 'dist', file), 'utf8');
      expect(await findHiddenImport(source), file).toBeUndefined();
    }
    expect(await findHiddenImport('const name = "node:" + "net"; await import(name);')).toBe('import(');
    expect(await findHiddenImport('await import("node:net"); // import(name)')).toBeUndefined();
  });
});

describe('a bundle of one function', () => {
  test('unmarshal has no net and no other module of Node in it, and works', async () => {
    const text = await bundle(`export { unmarshal } from 'secretbus/wire';`);
    expect(text).not.toMatch(/node:|\brequire\(|\bimport\(|^import\b/m);
    expect(text).not.toMatch(/["']net["']/);
    const module = (await import(`data:text/javascript;base64,${Buffer.from(text).toString('base64')}`)) as {
      unmarshal: (signature: string, bytes: Uint8Array) => unknown[];
    };
    expect(module.unmarshal('us', Uint8Array.of(7, 0, 0, 0, 2, 0, 0, 0, 104, 105, 0))).toEqual([7, 'hi']);
  });

  test('the session bus has: the test above can fail', async () => {
    const text = await bundle(`export { sessionBus } from 'secretbus/wire';`);
    expect(text).toMatch(/["']node:net["']/);
  });
});

describe('users in other ways', () => {
  test.each(ENTRIES)('%s is loaded by require()', async (entry) => {
    const program = `const loaded = require(${JSON.stringify(entry)}); console.log(JSON.stringify(Object.keys(loaded)))`;
    const { stdout } = await run(process.execPath, ['--input-type=commonjs', '-e', program], {
      cwd: installed.folder,
    });
    const names = JSON.parse(stdout) as string[];
    const imported = (await import(
      pathToFileURL(join(installed.packageFolder, 'dist', `${entry.split('/')[1] ?? 'keyring'}/index.js`))
        .href
    )) as object;
    expect(names.filter((name) => name !== '__esModule').toSorted()).toEqual(
      Object.keys(imported).toSorted(),
    );
    expect(names.length).toBeGreaterThan(0);
  });

  test('TypeScript finds the declarations of every entry sound, under the strictest settings', async () => {
    const source = ENTRIES.map((entry, index) => `export * as entry${index} from '${entry}';`).join('\n');
    writeFileSync(join(installed.folder, 'user.ts'), source);
    const settings = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noEmit'];
    const platform = ['--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable'];
    const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
    await run(
      process.execPath,
      [
        packageProgram('typescript', 'tsc'),
        ...settings,
        ...platform,
        ...types,
        '--skipLibCheck',
        'false',
        'user.ts',
      ],
      { cwd: installed.folder },
    );
  });

  test('inner files cannot be imported', async () => {
    const program = `await import('secretbus/dist/wire/codec/unmarshal.js')`;
    await expect(
      run(process.execPath, ['--input-type=module', '-e', program], { cwd: installed.folder }),
    ).rejects.toMatchObject({ stderr: expect.stringContaining('ERR_PACKAGE_PATH_NOT_EXPORTED') });
  });
});
