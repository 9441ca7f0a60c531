/**
 * The codec, message by message: the JavaScript libraries and the C program, each in a process of its own, in passes whose
 * ratios are compared pass by pass.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { encodeMessage } from '../../dist/wire/index.js';
import { BODIES, replyOf } from '../lib/messages.mjs';
import { buildProgram } from './c/build.mjs';
import { OURS, PEERS } from './codec.mjs';
import { formatDuration, formatSpread, median } from './statistics.mjs';

const PASSES = 5;
const CHILD = fileURLToPath(new URL('codec-child.mjs', import.meta.url));
const VERBS = /** @type {const} */ (['encode', 'decode']);
/** What is asked of the ratio to the fastest JavaScript library. */
const AT_LEAST = { encode: 4, decode: 1.5 };
const NATIVE = /** @type {const} */ (['libdbus', 'gdbus']);
/** Where there is little to do but to copy one block of memory, as fast as one copy is what is asked. */
const COPIED = '1 MiB of bytes';
const COPY = 'one copy';
/** What libdbus only copies in one piece, and gives as it came: nothing is made of it that a program could hold. */
const BLOCK_OF_NUMBERS = '10,000 doubles';
/** Two measurements of the same copy differ by as much. */
const AS_FAST = 0.9;

/** Nanoseconds of each pass by library, such as `dbus-next`. @typedef {Map<string, number[]>} Series */

/** The C programs on the same messages, one figure a message. @param {string} program @param {string} library @param {number} timeMs @param {string[]} files */
async function runNative(program, library, timeMs, files) {
  const { stdout } = await promisify(execFile)(program, [library, String(timeMs), ...files]);
  return /** @type {{ encode: number, decode: number }[]} */ (JSON.parse(stdout));
}

/** @param {Series} series @param {string} name */
function ratiosTo(series, name) {
  const [theirs, ours] = [series.get(name), series.get(OURS)];
  if (theirs === undefined || ours === undefined) return undefined;
  return theirs.map((value, pass) => value / /** @type {number} */ (ours[pass]));
}

/** The fastest other library in JavaScript. @param {Series} series */
function fastest(series) {
  const apart = new Set([OURS, COPY, ...NATIVE]);
  const others = [...series.keys()].filter((name) => !apart.has(name));
  const cost = (/** @type {string} */ name) => median(/** @type {number[]} */ (series.get(name)));
  return /** @type {string} */ (others.toSorted((one, other) => cost(one) - cost(other))[0]);
}

/**
 * @param {string} what
 * @param {string} peer
 * @param {Series} series
 * @param {number} atLeast
 * @param {string} wanted
 * @returns {import('./report.mjs').Asked}
 */
function judged(what, peer, series, atLeast, wanted = `≥ ${atLeast} ×`) {
  const found = ratiosTo(series, peer);
  return {
    what: `${what}: ${peer} to ours`,
    asked: wanted,
    measured: found === undefined ? 'not measured' : formatSpread(found),
    reached: found === undefined ? undefined : median(found) >= atLeast,
  };
}

/** The figures of one direction. */
class Direction {
  /** @type {Map<string, Series>} */
  byMessage = new Map(Object.keys(BODIES).map((message) => [message, new Map()]));

  /** @param {'encode' | 'decode'} verb */
  constructor(verb) {
    this.verb = verb;
  }

  /** @param {string | undefined} message @param {string} library @param {number} nanoseconds */
  add(message, library, nanoseconds) {
    const series = this.byMessage.get(message ?? '');
    if (series === undefined) throw new Error(`no message is named ${message}`);
    series.set(library, [...(series.get(library) ?? []), nanoseconds]);
  }

  /** @returns {import('./report.mjs').Table} */
  table() {
    /** @type {Set<string>} */
    const all = new Set();
    for (const series of this.byMessage.values()) for (const name of series.keys()) all.add(name);
    all.delete(OURS);
    const names = [...all];
    const rows = Array.from(this.byMessage, ([message, series]) => {
      const ratios = names.map((name) => ratiosTo(series, name));
      const written = ratios.map((found) => (found === undefined ? '–' : formatSpread(found)));
      return [message, formatDuration(median(series.get(OURS) ?? [])), ...written];
    });
    return { title: this.verb === 'encode' ? 'Encode' : 'Decode', columns: ['', OURS, ...names], rows };
  }

  asked() {
    return Array.from(this.byMessage, ([message, series]) => {
      const what = `${this.verb} ${message}`;
      if (message === COPIED) return [judged(what, COPY, series, AS_FAST, `as fast (≥ ${AS_FAST} ×)`)];
      const toScript = judged(what, fastest(series), series, AT_LEAST[this.verb]);
      return message === BLOCK_OF_NUMBERS ? [toScript] : [toScript, judged(what, 'libdbus', series, 1)];
    }).flat();
  }
}

/** One pass of one JavaScript library, in a process of its own. @param {Record<'encode' | 'decode', Direction>} directions @param {string} library @param {number} timeMs */
async function measureJavaScript(directions, library, timeMs) {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [CHILD, library, String(timeMs)]);
  const figures = /** @type {{ encode: number | null, decode: number | null, copy?: number }[]} */ (
    JSON.parse(stdout)
  );
  for (const [index, message] of Object.keys(BODIES).entries()) {
    for (const verb of VERBS) {
      const { [verb]: nanoseconds, copy } = /** @type {(typeof figures)[number]} */ (figures[index]);
      if (nanoseconds !== null) directions[verb].add(message, library, nanoseconds);
      if (copy !== undefined) directions[verb].add(message, COPY, copy);
    }
  }
  return stderr;
}

/** @param {number} timeMs for each figure @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureCodec(timeMs) {
  const directions = { encode: new Direction('encode'), decode: new Direction('decode') };
  const messages = Object.keys(BODIES);
  const program = buildProgram('codec', ['dbus-1', 'gio-2.0']);
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-bench-'));
  try {
    const files = Object.values(BODIES).map(([signature, body], index) => {
      const file = join(folder, String(index));
      writeFileSync(file, encodeMessage(replyOf(signature, body)));
      return file;
    });
    for (let pass = 0; pass < PASSES; pass += 1) {
      for (const library of [OURS, ...PEERS]) {
        const warnings = await measureJavaScript(directions, library, timeMs / PASSES);
        // Each pass says the same.
        if (pass === 0) process.stderr.write(warnings);
      }
      for (const library of program === undefined ? [] : NATIVE) {
        const figures = await runNative(String(program), library, timeMs / PASSES, files);
        for (const [index, figure] of figures.entries()) {
          for (const verb of VERBS) directions[verb].add(messages[index], library, figure[verb]);
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const both = VERBS.map((verb) => directions[verb]);
  return [
    {
      title: 'Messages',
      how: `Whole messages, header and body, encoded and decoded, each library in a process of its own; what each library writes is read by secretbus, and what secretbus writes by each library, before anything is timed. ${PASSES} passes; a ratio is the median over them of what the other took to what secretbus took in the same pass, with the middle half in brackets: 2 × takes twice as long. secretbus validates everything; the JavaScript libraries hardly anything. A dash is a message that a library cannot encode.`,
      tables: both.map((direction) => direction.table()),
      asked: both.flatMap((direction) => direction.asked()),
      data: Object.fromEntries(
        both.map(({ verb, byMessage }) => [
          verb,
          Object.fromEntries(Array.from(byMessage, ([name, series]) => [name, Object.fromEntries(series)])),
        ]),
      ),
    },
  ];
}
