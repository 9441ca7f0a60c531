/**
 * One task against one library: `node child.mjs LIBRARY FILE/TASK PARAMETERS`. Prints `RESULT` and JSON, and ends.
 * Whatever is thrown past the task is the library's doing, and ends the process as it would end a program.
 */
import { ADAPTERS } from './adapters.mjs';

const [library = '', task = '', json = '{}'] = process.argv.slice(2);
const [file, name = ''] = task.split('/');
const parameters = JSON.parse(json);
const adapter = await /** @type {() => Promise<import('./adapters.mjs').Adapter>} */ (ADAPTERS[library])();
const tasks = await import(`./tasks-${file}.mjs`);
const before = process.resourceUsage().maxRSS;

/** @param {object} result */
function finish(result) {
  const grown = (process.resourceUsage().maxRSS - before) * 1024;
  process.stdout.write(`RESULT ${JSON.stringify({ ...result, grown })}\n`, () => {
    if (parameters.stay !== true) process.exit(0);
  });
}

try {
  const value = await tasks[name](adapter, parameters);
  finish(value === adapter.missing ? { outcome: 'missing' } : { outcome: 'value', value: value ?? null });
} catch (error) {
  const { message = String(error), name: kind = '', code = '' } = Object(error);
  finish({ outcome: 'error', text: `${kind} ${code} ${String(message)}`.trim().slice(0, 300) });
}
