/** `npm run fuzz`: looks for inputs that break our parsers. `--help` tells the options; see `test/fuzz/`. */
import { ROOT, runMain } from './lib/run.mjs';
import { assertNodeVersion, ensureNodePackages } from './lib/setup.mjs';

await runMain(async () => {
  assertNodeVersion();
  await ensureNodePackages();
  // Only now is its compiler there.
  const { transpile } = await import('../test/fuzz/engine/transpile.mjs');
  const { url, remove } = await transpile();
  process.once('exit', remove);
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.once(signal, () => process.exit(1));
  try {
    /** @type {typeof import('../test/fuzz/main.js')} */
    const { main } = await import(url('test/fuzz/main.js'));
    return await main(process.argv.slice(2), { root: ROOT, print: (line) => console.log(line) });
  } finally {
    remove();
  }
});
