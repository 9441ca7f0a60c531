/**
 * secretbus on a file of the sstash format: `node sstash-child.mjs PATH PASSWORD`. Reads lines from its input and answers each
 * with one line of JSON, as `sstash_child.py` does:
 *
 *   write MS     writes one value again and again for about MS milliseconds; answers `{count, wall, cpu}`
 *   written      answers `{written}`, how often in all: the value is that number, 32 bytes, the highest first
 */
import { SecureStash } from '../../../dist/stash/index.js';
import { answerLines, measured } from '../child.mjs';
import { keyOf } from './fixtures.mjs';

const [path = '', password = ''] = process.argv.slice(2);
const stash = await SecureStash.open(path, { password });
let written = 0;

/** @param {number} timeMs */
async function writeFor(timeMs) {
  const end = performance.now() + timeMs;
  const before = written;
  do {
    written += 1;
    await stash.write(keyOf(0), Buffer.from(written.toString(16).padStart(64, '0'), 'hex'));
  } while (performance.now() < end);
  return { count: written - before };
}

await answerLines(async (line) => {
  const [command, timeMs] = line.split(' ');
  if (command === 'written') return { written };
  if (command !== 'write') throw new Error(`unknown command: ${line}`);
  return measured(() => writeFor(Number(timeMs)));
});
process.exit(0);
