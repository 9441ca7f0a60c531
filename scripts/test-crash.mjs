/**
 * `npm run test:crash`: kills programs that write to a stash, and lets many of them write at once. `--help` tells the
 * options; other parameters go to vitest.
 */
import { runMain, ScriptError } from './lib/run.mjs';
import { assertNodeVersion, ensureNodePackages } from './lib/setup.mjs';
import { runTests } from './lib/tests.mjs';

const HELP = `npm run test:crash -- [--kills N] [parameters for vitest]
  --kills N  how many writers are killed, at random moments; 100 if not given`;

await runMain(async () => {
  const parameters = process.argv.slice(2);
  if (parameters.includes('--help')) {
    console.log(HELP);
    return 0;
  }
  const at = parameters.findIndex((parameter) => /^--kills(?:=|$)/.test(parameter));
  if (at >= 0) {
    const [option = ''] = parameters.splice(at, 1);
    const kills = option.includes('=') ? option.slice('--kills='.length) : parameters.splice(at, 1)[0];
    if (!/^[1-9]\d{0,6}$/.test(kills ?? '')) throw new ScriptError(`--kills takes a number from 1.\n${HELP}`);
    process.env['CRASH_KILLS'] = kills;
  }
  assertNodeVersion();
  await ensureNodePackages();
  return await runTests('test/crash/vitest.config.ts', parameters);
});
