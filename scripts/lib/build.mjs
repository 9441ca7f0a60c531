/** Makes `dist/`: JavaScript by tsup, one file a source file, and type declarations by tsc. */
import { packageProgram, runQuietly, ScriptError } from './run.mjs';

/**
 * Builds `dist/` from nothing.
 * @returns {Promise<void>}
 * @throws {ScriptError} with what the compiler said. The declarations are then missing, so that the
 * next look at `dist/` finds it not fresh.
 */
export async function build() {
  // tsup empties dist/, so it comes first.
  await compile('tsup', 'tsup', []);
  await compile('typescript', 'tsc', ['-p', 'tsconfig.json', '--emitDeclarationOnly', '--noEmitOnError']);
}

/**
 * @param {string} name
 * @param {string} bin
 * @param {readonly string[]} parameters
 */
async function compile(name, bin, parameters) {
  const { status, output } = await runQuietly(process.execPath, [packageProgram(name, bin), ...parameters]);
  if (status !== 0) throw new ScriptError(`${bin} failed:\n${output.trim()}`);
}
