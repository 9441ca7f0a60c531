/**
 * `npm run test:providers`: tests of the Secret Service client on KeePassXC and KWallet, which are heavier
 * to install than what `npm test` needs. Parameters go to vitest.
 */
import { PROVIDER_PROGRAMS } from './lib/programs.mjs';
import { IN_CI, runMain, say } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages, ensurePrograms } from './lib/setup.mjs';
import { runTests, warnOfMissing } from './lib/tests.mjs';

await runMain(async () => {
  assertNodeVersion();
  await ensureNodePackages();
  const missing = await ensurePrograms(['dbus-daemon', 'secret-tool', ...PROVIDER_PROGRAMS]);
  await ensureBuild();
  if (missing !== undefined) {
    warnOfMissing(missing);
    if (IN_CI) say('With CI=true that is a failure.');
  }
  const status = await runTests('test/providers/vitest.config.ts', process.argv.slice(2));
  return missing !== undefined && IN_CI ? 1 : status;
});
