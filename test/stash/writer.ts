/**
 * A program of its own for the tests: writes counted values to a stash and says each that was acknowledged.
 * Arguments: path, name of the writer, how many values.
 */
import { writeSync } from 'node:fs';
import { SecureStash } from '../../src/stash/index.js';

const [path = '', name = '', count = '0'] = process.argv.slice(2);
const stash = await SecureStash.open(path, { password: 'p', create: true, iterations: 1 });
for (let value = 1; value <= Number(count); value++) {
  const bytes = new TextEncoder().encode(String(value).repeat(1 + (value % 50)));
  await stash.batch([
    { type: 'write', key: [name, 'last'], value: new TextEncoder().encode(String(value)) },
    { type: 'write', key: [name, `value ${value % 20}`], value: bytes },
  ]);
  // Synchronously: nothing acknowledged may be lost between here and the signal.
  writeSync(1, `${value}\n`);
}
await stash.close();
