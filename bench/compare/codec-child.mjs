/**
 * One library's figures for every message of `../lib/messages.mjs`: `codec-child.mjs LIBRARY MILLISECONDS`.
 *
 * A process for each library, since what one leaves behind — garbage, code compiled for its objects — makes another up to
 * twice as slow. Prints one line of JSON as the C program does, an array of `{"encode": ns, "decode": ns}`: medians, null
 * where the library cannot encode the message; for ours and bytes also `"copy"`, of one copy of them.
 */
import assert from 'node:assert/strict';
import { decodeMessage, encodeMessage } from '../../dist/wire/index.js';
import { BODIES, replyOf } from '../lib/messages.mjs';
import { loadCodec, OURS } from './codec.mjs';
import { median } from './statistics.mjs';

/** Least duration of a sample, in nanoseconds: long beside what reading the clock takes. */
const SAMPLE_TIME = 2e5;
/** Time for the compiler to come to its last word, for each task, in nanoseconds. */
const WARM_UP_TIME = 1.5e8;

const [, , library = '', milliseconds = ''] = process.argv;
const time = Number(milliseconds) * 1e6;
const codec = loadCodec(library);

const now = () => Number(process.hrtime.bigint());

/** @param {() => unknown} run @param {number} count */
function sample(run, count) {
  const start = now();
  for (let index = 0; index < count; index++) run();
  return (now() - start) / count;
}

/**
 * Medians of tasks, their samples taken in turn.
 * @template {string} Name
 * @param {Record<Name, (() => unknown) | undefined>} tasks
 * @returns {Record<Name, number | null>}
 */
function measure(tasks) {
  const series = Object.entries(tasks).map(([name, task]) => {
    const run = /** @type {(() => unknown) | undefined} */ (task);
    let count = 1;
    if (run !== undefined) {
      for (const end = now() + WARM_UP_TIME; now() < end; ) {
        const perRun = sample(run, count);
        count = Math.max(1, Math.ceil(SAMPLE_TIME / perRun));
      }
    }
    return { name, run, count, samples: /** @type {number[]} */ ([]) };
  });
  const running = series.filter(({ run }) => run !== undefined);
  for (const end = now() + time * running.length; now() < end; ) {
    for (const { run, count, samples } of running)
      samples.push(sample(/** @type {() => unknown} */ (run), count));
  }
  const medians = series.map(({ name, run, samples }) => [name, run === undefined ? null : median(samples)]);
  return Object.fromEntries(medians);
}

const figures = Object.entries(BODIES).map(([name, [signature, body]]) => {
  const message = replyOf(signature, body);
  const bytes = Buffer.from(encodeMessage(message));
  const decoded = codec.decode(bytes);
  assert.equal(decoded.replySerial, 6);
  assert.equal(decoded.body?.length, body.length);
  const theirs = { ...message, body: codec.take(body) };
  /** @type {(() => unknown) | undefined} */
  let encode = () => codec.encode(theirs);
  try {
    assert.deepEqual(decodeMessage(codec.encode(theirs)).body, body);
  } catch (error) {
    console.warn(
      `!! ${library} does not encode ${name}: ${/** @type {Error} */ (error).message.split('\n')[0]}`,
    );
    encode = undefined;
  }
  const decode = () => codec.decode(bytes);
  const [only] = body;
  if (library !== OURS || !(only instanceof Uint8Array)) return measure({ encode, decode });
  return measure({ encode, decode, copy: () => only.slice() });
});
console.log(JSON.stringify(figures));
