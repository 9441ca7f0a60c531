/**
 * `npm run bench:compare`: the same work done by secretbus and by other libraries, in one run. Installs those libraries into
 * this folder the first time. `--help` tells the options.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ensureNodePackages } from '../../scripts/lib/setup.mjs';
import { runCommandLine } from '../lib/command-line.mjs';
import { describeMachine, formatGroup, formatReport } from './report.mjs';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const RESULTS = fileURLToPath(new URL('../RESULTS.md', import.meta.url));

/** Each loads what it measures only when it is asked to. @type {Record<string, (timeMs: number) => Promise<import('./report.mjs').Group[]>>} */
const AREAS = {
  codec: async (timeMs) => (await import('./codec-groups.mjs')).measureCodec(timeMs),
  calls: async (timeMs) => (await import('./calls.mjs')).measureCalls(timeMs),
  memory: async () => (await import('./memory.mjs')).measureMemory(),
  secrets: async (timeMs) => (await import('./secret.mjs')).measureSecrets(timeMs),
  'cold-start': async (timeMs) => (await import('./cold-start.mjs')).measureColdStart(timeMs),
  stash: async (timeMs) => (await import('./stash.mjs')).measureStash(timeMs),
  size: async () => (await import('./size.mjs')).measureSizes(),
  features: async () => (await import('./features.mjs')).features(),
};

const HELP = `npm run bench:compare -- [options]

  --only AREA    one of ${Object.keys(AREAS).join(', ')}; may be given several times
  --time MS      time for each figure, in milliseconds (default 300)
  --json         the figures as JSON
  --write        writes bench/RESULTS.md; not with --only
  --help         this text

All of it takes about twenty minutes. Ratios are of one run: compare those, not times.`;

function installedLibraries() {
  const { dependencies } = JSON.parse(readFileSync(`${FOLDER}/package.json`, 'utf8'));
  return Object.entries(dependencies).map(([name, version]) => ({ name, version: String(version) }));
}

/** @returns {Promise<number>} the exit code */
async function main() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      time: { type: 'string', default: '300' },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const timeMs = Number(values.time);
  // The table of features has a place of its own, and a minute and a half of checks behind it.
  const areas = values.only ?? Object.keys(AREAS).filter((area) => area !== 'features');
  const known = areas.every((area) => Object.hasOwn(AREAS, area));
  if (!known || !(timeMs > 0) || !Number.isFinite(timeMs) || (values.write && values.only !== undefined)) {
    console.error(HELP);
    return 2;
  }
  await ensureNodePackages(FOLDER, 'the libraries to compare with');
  const libraries = installedLibraries();
  if (!values.json) console.log(describeMachine(libraries));
  const groups = [];
  for (const area of areas) {
    for (const group of await /** @type {NonNullable<(typeof AREAS)[string]>} */ (AREAS[area])(timeMs)) {
      groups.push(group);
      if (!values.json) console.log(`\n${formatGroup(group)}`);
    }
  }
  if (values.json)
    console.log(
      JSON.stringify(
        groups.map(({ title, asked, data }) => ({ title, asked, data })),
        null,
        2,
      ),
    );
  if (values.write) writeFileSync(RESULTS, formatReport(groups, libraries, new Date()));
  return 0;
}

await runCommandLine(main, HELP);
