/** `npm run bench`: measures the built package. `--help` tells the options. */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { runCommandLine } from './lib/command-line.mjs';
import { formatResults, runGroup } from './lib/run.mjs';

const AREAS = ['wire', 'secret', 'stash'];
const HELP = `npm run bench -- [options]

  --only AREA    one of ${AREAS.join(', ')}; may be given several times
  --time MS      time for each figure, in milliseconds (default 300)
  --json         the results as JSON
  --help         this text

Each figure stands beside a reference that was measured in the same run: compare ratios, not times.`;

/** @returns {Promise<number>} the exit code */
async function main() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: AREAS },
      time: { type: 'string', default: '300' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const timeMs = Number(values.time);
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const unknown = values.only.find((area) => !AREAS.includes(area));
  if (unknown !== undefined || !(timeMs > 0)) {
    console.error(HELP);
    return 2;
  }
  const results = [];
  if (!values.json)
    console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`);
  for (const area of values.only) {
    const { groups } = await import(`./${area}.mjs`);
    for (const group of await groups()) {
      const measured = await runGroup(group, timeMs);
      await group.close?.();
      results.push(...measured);
      if (!values.json) console.log(`\n${group.name}\n${formatResults(measured)}`);
    }
  }
  if (values.json) console.log(JSON.stringify(results, null, 2));
  return 0;
}

await runCommandLine(main, HELP);
