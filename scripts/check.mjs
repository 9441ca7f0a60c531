/**
 * `npm run check`: everything that must hold before a commit. All steps are run, also after one has
 * failed; the failed ones are named at the end. The build comes early, since benchmarks are type-checked
 * against it. `--no-tests` leaves the tests out, for a caller that has just run them.
 */
import { formatTime, packageProgram, runMain, runQuietly, runShown, say, timed } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages } from './lib/setup.mjs';

/** @typedef {{ status: number, output: string }} StepResult */

/**
 * @param {string} name a package in node_modules.
 * @param {string} bin its program.
 * @param {readonly string[]} parameters
 * @returns {() => Promise<StepResult>}
 */
function program(name, bin, parameters) {
  return () => runQuietly(process.execPath, [packageProgram(name, bin), ...parameters]);
}

/** @type {readonly [name: string, run: () => Promise<StepResult>][]} */
const STEPS = [
  ['lock file', () => runQuietly(process.execPath, ['scripts/complete-lockfile.mjs', '--check'])],
  [
    'build',
    async () => {
      await ensureBuild();
      return { status: 0, output: '' };
    },
  ],
  ['types', program('typescript', 'tsc', ['-p', 'tsconfig.dev.json'])],
  ['lint', program('oxlint', 'oxlint', ['--type-aware', '--deny-warnings'])],
  ['format', program('@biomejs/biome', 'biome', ['check', '--error-on-warnings'])],
  ['tests', async () => ({ status: await runShown(process.execPath, ['scripts/test.mjs']), output: '' })],
  ['package: publint', program('publint', 'publint', ['run', '--strict'])],
  [
    'package: attw',
    program('@arethetypeswrong/cli', 'attw', ['--pack', '.', '--profile', 'esm-only', '--no-emoji']),
  ],
  ['package: knip', program('knip', 'knip', ['--no-progress', '--treat-config-hints-as-errors'])],
  ['size', program('size-limit', 'size-limit', [])],
];

await runMain(async () => {
  assertNodeVersion();
  await ensureNodePackages();
  const leaveOut = process.argv.includes('--no-tests') ? 'tests' : undefined;
  /** @type {string[]} */
  const failed = [];
  for (const [name, run] of STEPS) {
    if (name === leaveOut) continue;
    const { value, ms } = await timed(async () => {
      try {
        return await run();
      } catch (error) {
        return { status: 1, output: error instanceof Error ? error.message : String(error) };
      }
    });
    const ok = value.status === 0;
    if (!ok) failed.push(name);
    say(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(18)} ${formatTime(ms)}`);
    if (!ok && value.output !== '') say(value.output.trimEnd());
  }
  say(failed.length === 0 ? 'check: all passed' : `check: failed: ${failed.join(', ')}`);
  return failed.length === 0 ? 0 : 1;
});
