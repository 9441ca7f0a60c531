/**
 * One library calling GetId on a bus, in a process of its own: `node calls-child.mjs LIBRARY ADDRESS [ENTRY]`, where ENTRY is
 * another build of secretbus to measure. Reads lines from its input and answers each with one line of JSON, as the C
 * programs in `c/` do:
 *
 *   calls WINDOW MS     calls with WINDOW in flight, for about MS milliseconds
 *   connect MS          connects, says Hello and calls once, again and again; the time is without the closing
 *
 * The answer is `{count, wall, cpu}`: operations, and nanoseconds of time and of the process's own CPU time, user and
 * system, of all its threads. The process ends with its input.
 */
import { answerLines, measured } from './child.mjs';
import { fail, GET_ID, LIBRARIES } from './libraries.mjs';

/** @typedef {import('./libraries.mjs').Client} Client */

/** @param {unknown} id undefined from what reads no values */
function checkId(id) {
  if (id === undefined || (typeof id === 'string' && /^[0-9a-f]{32}$/.test(id))) return;
  fail(new Error('the reply holds no id'));
}

/** @param {Client} client @param {number} window @param {number} timeMs @returns {Promise<{ count: number }>} */
function callFor(client, window, timeMs) {
  const end = performance.now() + timeMs;
  return new Promise((resolve) => {
    let count = 0;
    let inFlight = 0;
    let stopping = false;
    const send = () => {
      inFlight += 1;
      client.call(GET_ID, received);
    };
    /** @param {unknown} id */
    const received = (id) => {
      checkId(id);
      count += 1;
      inFlight -= 1;
      if (!stopping && (count & 15) === 0) stopping = performance.now() >= end;
      if (!stopping) send();
      else if (inFlight === 0) resolve({ count });
    };
    for (let index = 0; index < window; index += 1) send();
  });
}

/** @param {import('./libraries.mjs').Open} open @param {string} address @param {number} timeMs */
async function connectFor(open, address, timeMs) {
  const end = performance.now() + timeMs;
  let count = 0;
  let wall = 0;
  do {
    const before = process.hrtime.bigint();
    const client = await open(address);
    checkId(
      await new Promise((/** @type {(id: unknown) => void} */ resolve) => client.call(GET_ID, resolve)),
    );
    wall += Number(process.hrtime.bigint() - before);
    count += 1;
    await client.close();
  } while (performance.now() < end);
  return { count, wall };
}

const [library, address, entry] = process.argv.slice(2);
const load = LIBRARIES[library ?? ''];
if (load === undefined || address === undefined)
  throw new Error('usage: calls-child.mjs LIBRARY ADDRESS [ENTRY]');
const open = await load(entry);
const client = await open(address);
await answerLines((line) => {
  const [command, ...numbers] = line.split(' ');
  const [one = 0, two = 0] = numbers.map(Number);
  if (command !== 'calls' && command !== 'connect') throw new Error(`unknown command: ${line}`);
  return measured(() => (command === 'calls' ? callFor(client, one, two) : connectFor(open, address, one)));
});
await client.close();
