import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));

/** Which areas an area may import, always by their index. */
const AREAS: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  secret: ['wire'],
  stash: [],
  keyring: ['secret', 'stash'],
};

/** The folders of `src/wire` and their layers; a file imports its own layer and lower ones. */
const WIRE_LAYERS: Readonly<Record<string, number>> = {
  base: 0,
  types: 1,
  codec: 2,
  message: 3,
  handshake: 4,
  match: 4,
  interface: 4,
  protocol: 5,
  transport: 6,
  connection: 7,
  bus: 8,
  objects: 8,
  diagnostics: 8,
};

/** The highest layer of `src/wire` that touches neither `node:`, timers, the environment nor promises. */
const LAST_PURE_LAYER = 5;
const IMPURE =
  /\b(?:process|setTimeout|setInterval|setImmediate|queueMicrotask|Promise|async|await|Buffer|console)\b/;

const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  secret: ['@noble/ciphers', '@noble/hashes'],
  stash: ['@noble/ciphers', '@noble/hashes'],
  keyring: [],
};

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)\s*import\s*'([^']+)'/g;

interface SourceFile {
  /** From `src`, such as `wire/base/utf8.ts`. */
  name: string;
  text: string;
  imports: string[];
}

function sourceFiles(): SourceFile[] {
  return readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const text = readFileSync(join(SOURCE, name), 'utf8');
      const imports = Array.from(
        text.matchAll(IMPORT),
        (match) => (match[1] ?? match[2] ?? match[3]) as string,
      );
      return { name, text, imports };
    });
}

/** Where a relative import points, from `src`. */
function resolve(file: SourceFile, specifier: string): string {
  return relative(SOURCE, join(SOURCE, dirname(file.name), specifier)).replace(/\.js$/, '.ts');
}

const areaOf = (name: string): string => name.split('/')[0] as string;
const layerOf = (name: string): number =>
  WIRE_LAYERS[name.split('/')[1] as string] ?? Number.POSITIVE_INFINITY;
const withoutComments = (text: string): string => text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');

const files = sourceFiles();
const relativeImports = files.flatMap((file) =>
  file.imports
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => ({ from: file.name, to: resolve(file, specifier) })),
);

describe('the layers', () => {
  it('are read from sources that are there', () => {
    expect(new Set(files.map((file) => areaOf(file.name)))).toEqual(new Set(Object.keys(AREAS)));
    expect(relativeImports.length).toBeGreaterThan(files.length);
    for (const { to } of relativeImports) expect(files.map((file) => file.name)).toContain(to);
    for (const { name } of files) {
      if (areaOf(name) === 'wire' && name !== 'wire/index.ts') expect(layerOf(name)).toBeLessThanOrEqual(8);
    }
  });

  it('an area imports only those below it, and by their index', () => {
    const wrong = relativeImports.filter(({ from, to }) => {
      if (areaOf(from) === areaOf(to)) return false;
      return !(AREAS[areaOf(from)] ?? []).includes(areaOf(to)) || to !== `${areaOf(to)}/index.ts`;
    });
    expect(wrong).toEqual([]);
  });

  it('inside wire no import points upwards', () => {
    const wrong = relativeImports.filter(
      ({ from, to }) => areaOf(from) === 'wire' && from !== 'wire/index.ts' && layerOf(to) > layerOf(from),
    );
    expect(wrong).toEqual([]);
  });

  it('the machines of wire touch neither node:, timers, the environment nor promises', () => {
    const pure = files.filter(
      (file) => areaOf(file.name) === 'wire' && layerOf(file.name) <= LAST_PURE_LAYER,
    );
    expect(pure.length).toBeGreaterThan(10);
    expect(pure.filter((file) => IMPURE.test(withoutComments(file.text))).map((file) => file.name)).toEqual(
      [],
    );
    expect(pure.flatMap((file) => file.imports).filter((specifier) => !specifier.startsWith('.'))).toEqual(
      [],
    );
  });

  it('only one file of wire knows sockets', () => {
    const knowing = files.filter((file) => file.imports.includes('node:net')).map((file) => file.name);
    // The other one binds a name as a lock, and sends nothing.
    expect(knowing).toEqual(['stash/lock/socket-lock.ts', 'wire/transport/socket.ts']);
  });

  it('nothing is imported but node:, our own files and the two packages', () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
        .filter(
          (specifier) =>
            !(PACKAGES[areaOf(file.name)] ?? []).some((name) => specifier.startsWith(`${name}/`)),
        )
        .map((specifier) => `${file.name}: ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('no file is longer than 400 lines', () => {
    expect(files.filter((file) => file.text.split('\n').length > 400).map((file) => file.name)).toEqual([]);
  });
});
