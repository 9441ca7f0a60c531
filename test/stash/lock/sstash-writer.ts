/**
 * A program of its own for the tests: writes values to a stash, each under a key of its own, and says which were
 * acknowledged. Arguments: path, name of the writer, how many values, the kind of lock.
 */
import { writeSync } from 'node:fs';
import { SecureStash } from '../../../src/stash/sstash/secure-stash.js';

const [path = '', name = '', count = '0', lock = 'auto'] = process.argv.slice(2);
const stash = await SecureStash.open(path, {
  password: 'p',
  create: true,
  iterations: 1,
  lock: lock as 'auto' | 'flock',
});
for (let value = 0; value < Number(count); value++) {
  await stash.write([name, String(value)], new TextEncoder().encode(`${name} ${value}`));
  writeSync(1, `${value}\n`);
}
await stash.close();
