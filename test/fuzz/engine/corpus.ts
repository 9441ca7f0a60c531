/** Folders of seeds: one file an input. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Target } from '../target.js';

const CORPUS = fileURLToPath(new URL('../corpus', import.meta.url));

/** Every seed of a target: its files by their names, then what it makes itself. */
export function seedsOf(target: Target): Uint8Array[] {
  const folder = join(CORPUS, target.name);
  const files = existsSync(folder) ? readdirSync(folder).toSorted() : [];
  return [
    ...files.map((file) => new Uint8Array(readFileSync(join(folder, file)))),
    ...(target.seeds?.() ?? []),
  ];
}

/** Writes inputs into a folder, each under a name that follows from it. Gives the paths. */
export function saveInputs(folder: string, inputs: readonly Uint8Array[]): string[] {
  mkdirSync(folder, { recursive: true });
  return inputs.map((input) => {
    const path = join(folder, createHash('sha256').update(input).digest('hex').slice(0, 16));
    writeFileSync(path, input);
    return path;
  });
}
