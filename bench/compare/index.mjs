/**
 * `npm run bench:compare`: the same work done by secretbus and by other libraries, in one run. Installs those libraries into
 * this folder the first time. `--time MS` as in `npm run bench`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatResults, runGroup } from '../lib/run.mjs';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

const { values } = parseArgs({ options: { time: { type: 'string', default: '300' } } });
const timeMs = Number(values.time);
if (!(timeMs > 0)) throw new Error('--time takes a positive number of milliseconds');

if (!existsSync(`${FOLDER}/node_modules/.package-lock.json`)) {
  console.log('Installing the libraries to compare with …');
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: FOLDER,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('npm ci failed');
}

const { groups } = await import('./codec.mjs');
console.log(
  `Node ${process.version}. Ratios are speeds relative to secretbus: 0.25 × takes four times as long.`,
);
for (const group of groups()) console.log(`\n${group.name}\n${formatResults(await runGroup(group, timeMs))}`);
