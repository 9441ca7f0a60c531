/**
 * Makes JavaScript of the sources and of the fuzzer, one file a file, for processes that Node runs by itself. From the sources
 * and not from `dist/`, so that targets reach what is not exported, and so that there is no build to wait for or to forget; the
 * compiler is the one that makes `dist/`, with the same settings.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SOURCES = ['src', 'test/fuzz', 'test/support'];
const DATA = ['test/fuzz/corpus', 'test/vectors'];

/**
 * @returns {Promise<{ url: (path: string) => string, remove: () => void }>} `url`: that of a module, by its path in the
 * project, such as `test/fuzz/main.js`. `remove` takes everything away again.
 */
export async function transpile() {
  // Here packages are found as they are from the sources.
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'fuzz-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const files = SOURCES.flatMap((source) =>
      readdirSync(join(ROOT, source), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
        .map((name) => join(ROOT, source, name)),
    );
    await build({
      entryPoints: files,
      outbase: ROOT,
      outdir: folder,
      format: 'esm',
      target: 'es2023',
      platform: 'node',
      logLevel: 'silent',
    });
    for (const path of DATA) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  } catch (error) {
    remove();
    throw error;
  }
  return { url: (path) => pathToFileURL(join(folder, path)).href, remove };
}
