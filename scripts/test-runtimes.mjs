/**
 * `npm run test:runtimes`: the main job of the installed package on several Nodes, Bun and Deno, which come
 * from npm. Parameters go to vitest.
 */
import { join } from 'node:path';
import { IN_CI, ROOT, runMain } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages, ensurePrograms, ownLibc } from './lib/setup.mjs';
import { runTests, warnOfMissing } from './lib/tests.mjs';

await runMain(async () => {
  assertNodeVersion();
  if (process.platform !== 'linux' || process.arch !== 'x64' || ownLibc() !== 'glibc') {
    const here = `${process.platform}-${process.arch}`;
    warnOfMissing(`The runtimes come as programs for linux-x64 with glibc; this is ${here}.`);
    return 0;
  }
  await ensureNodePackages();
  await ensureNodePackages(join(ROOT, 'test/runtimes'), 'Node 20 to 26, Bun and Deno, about 1 GB');
  const missing = await ensurePrograms(['dbus-daemon', 'dbus-send', 'gnome-keyring-daemon', 'secret-tool']);
  await ensureBuild();
  if (missing !== undefined) {
    warnOfMissing(missing);
    return IN_CI ? 1 : 0;
  }
  return runTests('test/runtimes/vitest.config.ts', process.argv.slice(2));
});
