/**
 * Run by plain node as `hostile-limits.mjs <case> <mebibytes>`, under a small heap: reads one hostile file of about that size and
 * prints what came of it, in how many milliseconds of the processor, and the most memory used beside it.
 */
import { StashError } from '../../../src/stash/errors.js';
import { BodyWriter } from '../../../src/stash/native/body-writer.js';
import { deriveSubkey, frameType } from '../../../src/stash/native/frame.js';
import { formatPage, framesOffset, pageByteLength } from '../../../src/stash/native/header-page.js';
import { LoadedLog } from '../../../src/stash/native/loaded-log.js';
import { BytesLogFile, FrameMaker } from '../../support/stash-file.js';

const [, , name = '', size = '0'] = process.argv;
const byteLength = Number(size) * 2 ** 20;

const dataKey = new Uint8Array(32).fill(1);
const storeId = new Uint8Array(16).fill(2);

function file(...parts: readonly Uint8Array[]): Uint8Array {
  const pages = new Uint8Array(framesOffset);
  const headerKey = deriveSubkey(dataKey, storeId, 'header pages');
  const floor = { sequence: 0, tag: new Uint8Array(16) };
  for (let generation = 0; generation < 2; generation++) {
    pages.set(
      formatPage({ storeId, generation, epoch: 1, floor, base: 0, slots: [] }, headerKey),
      generation * pageByteLength,
    );
  }
  return Buffer.concat([pages, ...parts]);
}

function repeated(...unit: number[]): Uint8Array {
  return Buffer.alloc(byteLength, Uint8Array.from(unit));
}

/** A frame of one body: `head`, and behind it `unit` as often as fits. */
function framed(head: Uint8Array, ...unit: number[]): Uint8Array {
  const room = byteLength - 16 - head.length;
  const body = Buffer.alloc(head.length + Math.floor(room / unit.length) * unit.length);
  body.set(head);
  body.fill(Uint8Array.from(unit), head.length);
  return new FrameMaker(dataKey, storeId, 1).frame({ type: frameType.batch, body });
}

/** Keys, each new, by a function of their number. */
function keys(make: (index: number) => string[]): Uint8Array {
  const writer = new BodyWriter();
  for (let index = 0; writer.byteLength < byteLength - 70_000; index++) writer.make(make(index));
  return new FrameMaker(dataKey, storeId, 1).frame({ type: frameType.batch, body: writer.take() });
}

const filler = 'n'.repeat(16_377);

const cases: Record<string, () => Uint8Array> = {
  'a tail of zeros': () => file(repeated(0)),
  'a tail of random bytes': () => {
    const bytes = new Uint8Array(byteLength);
    for (let at = 0; at < byteLength; at += 2 ** 16) crypto.getRandomValues(bytes.subarray(at, at + 2 ** 16));
    return file(bytes);
  },
  // Every second offset has fields in range.
  'a tail of what looks like headers': () => file(repeated(1, 0)),
  // A type, and nothing else of a header, at each offset.
  'a tail of types': () => file(repeated(1, 2, 3, 9)),
  'frames that were there before': () => {
    const maker = new FrameMaker(dataKey, storeId, 1);
    const frames = Buffer.concat(
      Array.from({ length: 1000 }, () => maker.frame({ type: frameType.chunk, body: new Uint8Array(1) })),
    );
    return file(...Array.from({ length: Math.floor(byteLength / frames.length) }, () => frames));
  },
  'a body that makes one key': () => file(framed(new Uint8Array(), 4, 0, 1, 0)),
  'a body that sets one value': () => file(framed(new Uint8Array(), 1, 0, 1, 0, 0)),
  'a body of one deep key': () =>
    file(framed(Uint8Array.from([4, 0, 64, ...Array.from({ length: 64 }, () => [1, 97]).flat()]), 4, 64, 0)),
  'a body of keys': () => file(keys((index) => [index.toString(36)])),
  'a body of deep keys': () =>
    file(keys((index) => [index.toString(36), ...Array.from({ length: 63 }, () => 'a')])),
  'a body of names of one hash': () =>
    file(keys((index) => [`${filler}${index.toString().padStart(6, '0')}`])),
  'a body of padding': () => file(framed(new Uint8Array(), 0)),
};

const make = cases[name];
if (make === undefined) throw new Error(`no such case: ${name}`);
const bytes = make();
const before = process.resourceUsage().maxRSS;
const start = process.cpuUsage();
let result: string;
try {
  const log = await LoadedLog.load(new BytesLogFile(bytes), {
    path: '/memory',
    unlock: async () => dataKey.slice(),
  });
  result = log.tornTail === undefined ? 'read' : 'torn';
} catch (error) {
  if (!(error instanceof StashError)) throw error;
  result = error.code;
}
const { user, system } = process.cpuUsage(start);
const extraBytes = (process.resourceUsage().maxRSS - before) * 1024;
console.log(JSON.stringify({ result, ms: (user + system) / 1000, extraBytes }));
