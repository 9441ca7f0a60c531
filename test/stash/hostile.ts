/**
 * Run by plain node as `hostile.mjs <case> <byteLength>`, under a small heap: parses one hostile text of
 * about that size and prints what came of it, in how many milliseconds, and the most memory used beside it.
 */
import { StashError } from '../../src/stash/index.js';
import { parseContainer } from '../../src/stash/sstash/container.js';
import { formatContents, parseContents } from '../../src/stash/sstash/contents.js';

const [, , name = '', size = '0'] = process.argv;
const byteLength = Number(size);

/** Returns `head`, then `unit` as often as fits, then `tail`. */
function repeated(head: string, unit: string, tail: string): Uint8Array {
  const room = byteLength - head.length - tail.length;
  const bytes = Buffer.alloc(byteLength, 0x20);
  bytes.write(head, 0, 'latin1');
  const filled = head.length + Math.floor(room / unit.length) * unit.length;
  bytes.fill(unit, head.length, filled, 'latin1');
  bytes.write(tail, filled, 'latin1');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns an object of as many members as fit, each with a name of its own. */
function members(value: string): Uint8Array {
  const bytes = Buffer.alloc(byteLength, 0x20);
  let offset = bytes.write('{', 0);
  for (let index = 0; offset + value.length + 12 < byteLength; index++) {
    offset += bytes.write(`${index === 0 ? '' : ','}"${index.toString(36)}":${value}`, offset, 'latin1');
  }
  bytes.write('}', offset);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns an object of names of 16 KiB that differ only at their end: V8 gives them all one hash. */
function longNames(): Uint8Array {
  const filler = 'n'.repeat(16_384);
  const bytes = Buffer.alloc(byteLength, 0x20);
  let offset = bytes.write('{', 0);
  for (let index = 0; offset + 20_000 < byteLength; index++) {
    const head = index === 0 ? '"' : ',"';
    offset += bytes.write(`${head}${filler}${index}":{"children":{}}`, offset, 'latin1');
  }
  bytes.write('}', offset);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const salt = '{"iterations": 1, "hash": "sha512", "enc_blob": "", "salt": "';
const blob = '{"iterations": 1, "hash": "sha512", "salt": "", "enc_blob": "';
const value = '{"a": {"children": {}, "value": "';

const files: Record<string, () => Uint8Array> = {
  'hash of letters': () => repeated('{"iterations": 1, "salt": "", "enc_blob": "", "hash": "', 'A', '"}'),
  'salt of 0x7F': () => repeated(salt, '\u007f', '"}'),
  'salt of escapes': () => repeated(salt, '\\u0041', '"}'),
  'salt of digits': () => repeated(salt, 'aa', '"}'),
  'blob of 0x7F': () => repeated(blob, '\u007f', '"}'),
  'blob of escapes': () => repeated(blob, '\\u0041', '"}'),
  'a long member name': () => repeated('{"', '\\u0041', '": 1}'),
  'many member names': () => repeated('{"x": 1', ',"\\u0068as":0', '}'),
  'many iterations': () => repeated('{"hash": "", "salt": "", "enc_blob": "", "iterations": 1', '0', '}'),
  'a long fraction': () => repeated('{"hash": 1.', '0', 'e5}'),
  'many numbers': () => repeated('{"hash": [0', ',0', ']}'),
  'many objects': () => repeated('{"hash": [0', ',{}', ']}'),
  'an open string': () => repeated('{"hash": "', '\\n', ''),
};

const contents: Record<string, () => Uint8Array> = {
  'children of one empty name': () => repeated('{"":{"children":{}}', ',"":{"children":{}}', '}'),
  'children of many names': () => members('{"children":{}}'),
  'misfits of many names': () => members('0'),
  'long names of one hash': longNames,
  'a key of letters': () => repeated('{"', 'k', '":{"children":{}}}'),
  'a key of 0x7F': () => repeated('{"', '\u007f', '":{"children":{}}}'),
  'a value of 0x7F': () => repeated(value, '\u007f', '"}}'),
  'a value of escapes': () => repeated(value, '\\u0041', '"}}'),
  'many values of one node': () => repeated('{"a":{"children":{}', `,"value":"${'\u007f'.repeat(80)}"`, '}}'),
  'many children of one node': () => repeated('{"a":{"children":{}', ',"children":{}', '}}'),
  'many texts': () => repeated('{"a":[0', ',"\u00c3\u00a9"', ']}'),
  'deep names': () => {
    const levels = 255;
    const head = '{"k":{"children":'.repeat(levels);
    return repeated(`${head}{"":{"children":{}}`, ',"":{"children":{}}', `}${'}}'.repeat(levels)}`);
  },
};

function parse(bytes: Uint8Array): string {
  try {
    if (name in files) parseContainer(bytes, 2 ** 24);
    else formatContents(parseContents(bytes), bytes.length);
    return 'accepted';
  } catch (error) {
    if (error instanceof StashError && error.message.length < 200) return error.code;
    throw error;
  }
}

const make = files[name] ?? contents[name];
if (make === undefined) throw new Error(`no such case: ${name}`);
const bytes = make();
const before = process.resourceUsage().maxRSS;
const start = performance.now();
const result = parse(bytes);
const ms = performance.now() - start;
const extraBytes = (process.resourceUsage().maxRSS - before) * 1024;
console.log(JSON.stringify({ result, ms, extraBytes }));
