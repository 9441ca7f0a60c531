/**
 * `npm test`: installs what is missing, builds, runs all tests. Parameters go to vitest, for instance
 * `npm test -- test/wire -t unmarshal`. The last line counts the tests.
 */
import { PYTHON_LIBRARIES, TEST_PROGRAMS } from './lib/programs.mjs';
import { IN_CI, runMain, say } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages, ensurePrograms } from './lib/setup.mjs';
import { runTests, warnOfMissing } from './lib/tests.mjs';

await runMain(async () => {
  assertNodeVersion();
  await ensureNodePackages();
  const missing = await ensurePrograms(
    TEST_PROGRAMS,
    /** @type {import('./lib/programs.mjs').PythonLibrary[]} */ (Object.keys(PYTHON_LIBRARIES)),
  );
  await ensureBuild();
  if (missing === undefined) return runTests('vitest.config.ts', process.argv.slice(2));
  warnOfMissing(missing);
  if (IN_CI) say('With CI=true that is a failure.');
  const status = await runTests('vitest.config.ts', process.argv.slice(2));
  return IN_CI ? 1 : status;
});
