/** What built files import, found by a real parser. */
import { join } from 'node:path';
import { build, transform } from 'esbuild';

/** The specifiers that a file imports, statically or dynamically. */
export type Imports = readonly string[];

/**
 * Parses built files and collects their imports.
 * @param folder - an absolute path.
 * @param files - paths in that folder.
 * @returns the specifiers as they are written, by file.
 */
export async function collectImports(
  folder: string,
  files: readonly string[],
): Promise<ReadonlyMap<string, Imports>> {
  const imports = new Map<string, Imports>();
  for (const file of files) {
    const specifiers: string[] = [];
    await build({
      entryPoints: [join(folder, file)],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'neutral',
      logLevel: 'silent',
      plugins: [
        {
          name: 'collect',
          setup(builder): void {
            builder.onResolve({ filter: /.*/ }, ({ kind, path }) => {
              if (kind === 'entry-point') return undefined;
              specifiers.push(path);
              return { path, external: true };
            });
          },
        },
      ],
    });
    imports.set(file, specifiers);
  }
  return imports;
}

/**
 * Looks for ways to a module that a parser of imports does not see.
 * @param source - JavaScript.
 * @returns the first one found.
 */
export async function findHiddenImport(source: string): Promise<string | undefined> {
  // Comments are no code; esbuild drops them and brings the rest into one form.
  const { code } = await transform(source, {
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
  });
  const hidden =
    /\bimport\((?!"[^"]*"\))|\bcreateRequire\b|\brequire\(|\bgetBuiltinModule\b|\bprocess\.binding\b/;
  return hidden.exec(code)?.[0];
}
