/** `npm run build`: makes `dist/` from nothing; with `--if-needed`, only when the sources are newer. */
import { build } from './lib/build.mjs';
import { formatTime, runMain, say, timed } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages } from './lib/setup.mjs';

await runMain(async () => {
  assertNodeVersion();
  await ensureNodePackages();
  if (process.argv.includes('--if-needed')) {
    await ensureBuild();
  } else {
    const { ms } = await timed(build);
    say(`Built dist/ in ${formatTime(ms)}`);
  }
  return 0;
});
