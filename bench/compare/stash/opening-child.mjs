/**
 * Makes a store of many values, or opens it twice, in a process of its own:
 *
 *   opening-child.mjs build KIND PATH COUNT
 *   opening-child.mjs open KIND PATH COUNT       with --expose-gc
 *
 * Opening prints one line of JSON: nanoseconds of the first and of the second time, without loading the code; and the bytes
 * that it holds while it is open, of the heap and beside it (`held`) and of the process (`rss`), more than before.
 */
import { KINDS } from './stores.mjs';

/** What is in use once all that can be collected has been. */
async function inUse() {
  for (let times = 0; times < 3; times += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { held: heapUsed + external, rss };
}

const [command, name = '', path = '', countText] = process.argv.slice(2);
const kind = KINDS[name];
const count = Number(countText);
if (kind === undefined || !(count > 0) || (command !== 'build' && globalThis.gc === undefined))
  throw new Error(
    'usage: opening-child.mjs build KIND PATH COUNT, or --expose-gc opening-child.mjs open KIND PATH COUNT',
  );

if (command === 'build') {
  await kind.build(path, count);
} else {
  const before = await inUse();
  const open = await kind.load();
  const timed = async () => {
    const start = process.hrtime.bigint();
    const opened = await open(path, count);
    return { opened, time: Number(process.hrtime.bigint() - start) };
  };
  const first = await timed();
  const after = await inUse();
  await first.opened.check();
  await first.opened.close();
  const second = await timed();
  await second.opened.close();
  const memory = { held: after.held - before.held, rss: after.rss - before.rss };
  console.log(JSON.stringify({ first: first.time, second: second.time, ...memory }));
}
