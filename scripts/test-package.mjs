/**
 * `npm run test:package`: tests of the package as npm packs and installs it, and of `npm start`. Parameters
 * go to vitest.
 */
import { IN_CI, runMain } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages, ensurePrograms } from './lib/setup.mjs';
import { runTests, warnOfMissing } from './lib/tests.mjs';

await runMain(async () => {
  assertNodeVersion();
  await ensureNodePackages();
  const missing = await ensurePrograms(['dbus-daemon', 'dbus-send', 'gnome-keyring-daemon', 'secret-tool']);
  await ensureBuild();
  if (missing !== undefined) warnOfMissing(missing);
  const status = await runTests('test/package/vitest.config.ts', process.argv.slice(2));
  return missing !== undefined && IN_CI ? 1 : status;
});
