/** What hostile files cost: in a process of its own with a small heap, and the limits to the unit. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StashFormatError, StashValueError } from '../../src/stash/index.js';
import { formatContainer, parseContainer } from '../../src/stash/sstash/container.js';
import {
  formatContents,
  maxKeyNames,
  maxNameLength,
  maxNodes,
  parseContents,
} from '../../src/stash/sstash/contents.js';
import { parseHashName } from '../../src/stash/sstash/hashes.js';
import { isUtf8 } from '../../src/stash/sstash/json-string.js';
import { createNode, type TreeNode } from '../../src/stash/sstash/tree.js';
import { failure, hex, nodeText, temporaryFolder, utf8 } from './support.js';

const run = promisify(execFile);

const byteLength = 2 ** 25;

function escaped(text: string): string {
  return Array.from(text, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
}

function format(top: TreeNode): Uint8Array {
  const bytes = formatContents(top, Number.POSITIVE_INFINITY);
  if (bytes === undefined) throw new Error('no limit was given');
  return bytes;
}

/** Returns the text with one node more on the last level, as another program might write it. */
function withOneMore(bytes: Uint8Array, level: number): Uint8Array {
  const tail = `${'}}'.repeat(level - 1)}}`;
  const text = Buffer.from(bytes).toString('latin1');
  return utf8(`${text.slice(0, text.length - tail.length)}, "more": {"children": {}}${tail}`);
}

describe('32 MiB that are', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let script: string;

  beforeAll(async () => {
    folder = await temporaryFolder();
    script = `${folder.path}/hostile.mjs`;
    await build({
      entryPoints: [fileURLToPath(new URL('hostile.ts', import.meta.url))],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: script,
      logLevel: 'silent',
    });
  });

  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  /** Parses one case under a heap of so many MiB; Node ends with an error beyond it. */
  async function parse(
    name: string,
    heapMiB: number,
  ): Promise<{ result: string; ms: number; extraBytes: number }> {
    const { stdout } = await run(process.execPath, [
      `--max-old-space-size=${heapMiB}`,
      script,
      name,
      String(byteLength),
    ]);
    return JSON.parse(stdout) as { result: string; ms: number; extraBytes: number };
  }

  test.each<[string, string]>([
    ['hash of letters', 'too-large'],
    ['salt of 0x7F', 'too-large'],
    ['salt of escapes', 'too-large'],
    ['salt of digits', 'too-large'],
    ['blob of 0x7F', 'bad-hex'],
    ['blob of escapes', 'accepted'],
    ['a long member name', 'bad-members'],
    ['many member names', 'bad-members'],
    ['many iterations', 'too-many-iterations'],
    ['a long fraction', 'bad-members'],
    ['many numbers', 'bad-members'],
    ['many objects', 'bad-members'],
    ['an open string', 'bad-json'],
  ])('a file, not authenticated: %s', async (name, expected) => {
    const { result, ms, extraBytes } = await parse(name, 48);
    expect(result).toBe(expected);
    // Measured: at most 12 ns a byte on an idle machine, and one and a half times the file.
    expect(ms).toBeLessThan((100 * byteLength) / 1e6);
    expect(extraBytes).toBeLessThan(2 * byteLength + 2 ** 24);
  });

  test.each<[string, string]>([
    ['children of one empty name', 'too-large'],
    ['children of many names', 'too-large'],
    ['misfits of many names', 'too-large'],
    ['long names of one hash', 'too-large'],
    ['a key of letters', 'too-large'],
    ['a key of 0x7F', 'too-large'],
    ['a value of 0x7F', 'too-large'],
    ['a value of escapes', 'accepted'],
    ['many values of one node', 'accepted'],
    ['many children of one node', 'accepted'],
    ['many texts', 'bad-structure'],
    ['deep names', 'too-large'],
  ])('contents, by someone who knows the password: %s', async (name, expected) => {
    const { result, ms, extraBytes } = await parse(name, 640);
    expect(result).toBe(expected);
    // Measured: 3.5 s and 340 bytes a node where all nodes are used up, else as for files.
    const nodes = name.includes('many names') ? maxNodes : 0;
    expect(ms).toBeLessThan((100 * byteLength + 10_000 * nodes) / 1e6);
    expect(extraBytes).toBeLessThan(2 * byteLength + 2 ** 24 + 512 * nodes);
  });
});

describe('the limits of a file', () => {
  const members = { hash: 'sha512', salt: '00ff', iterations: '7', blob: 'ab'.repeat(40) };

  function container(changed: Partial<typeof members>): Uint8Array {
    const { hash, salt, iterations, blob } = { ...members, ...changed };
    return utf8(`{"hash": "${hash}", "salt": "${salt}", "iterations": ${iterations}, "enc_blob": "${blob}"}`);
  }

  test.each([
    ['as it is', (text: string) => text],
    ['escaped', escaped],
  ])('hash and salt are cut to the unit, %s', async (_what, write) => {
    const hash = 'x'.repeat(64);
    expect(parseContainer(container({ hash: write(hash) }), 7).parameters.hash).toBe(hash);
    const longHash = await failure(() => parseContainer(container({ hash: write(`${hash}x`) }), 7));
    expect(longHash).toBeInstanceOf(StashFormatError);
    expect(longHash).toMatchObject({ code: 'too-large', part: 'file', offset: 10 });
    const salt = 'aB'.repeat(65_536);
    expect(parseContainer(container({ salt: write(salt) }), 7).parameters.salt).toEqual(
      new Uint8Array(65_536).fill(0xab),
    );
    const longSalt = await failure(() => parseContainer(container({ salt: write(`${salt}a`) }), 7));
    expect(longSalt).toMatchObject({ code: 'too-large', part: 'file', offset: 28 });
  });

  test('a blob and the member names may be escaped as a whole', () => {
    let text = Buffer.from(container({ blob: escaped(members.blob) })).toString();
    for (const name of ['hash', 'salt', 'iterations', 'enc_blob']) text = text.replace(name, escaped(name));
    const { parameters, blob } = parseContainer(utf8(text), 7);
    expect(parameters).toEqual({ hash: 'sha512', salt: Uint8Array.of(0, 255), iterations: 7 });
    expect(hex(blob)).toBe(members.blob);
  });

  test('what begins as a member name, or goes on behind one, is unknown', async () => {
    for (const name of ['has', 'hashh', 'hash\\u0000', '']) {
      const text = Buffer.from(container({})).toString().replace('"hash"', `"${name}"`);
      expect((await failure(() => parseContainer(utf8(text), 7))).code).toBe('bad-members');
    }
  });

  test('escapes beyond ASCII are no digits, nor are those that look so in their last bits', async () => {
    for (const unit of ['0130', '0661', 'ff10', '0061\\u0100', 'd83d']) {
      const salt = await failure(() => parseContainer(container({ salt: `0\\u${unit}` }), 7));
      expect(salt.code).toBe('bad-hex');
      const blob = `${members.blob}0\\u${unit}`;
      expect((await failure(() => parseContainer(container({ blob }), 7))).code).toBe('bad-hex');
    }
  });

  test('as many iterations as allowed are allowed, and one more is not', async () => {
    for (const limit of [1, 7, 2 ** 24, 2 ** 31 - 1]) {
      const iterations = String(limit);
      expect(parseContainer(container({ iterations }), limit).parameters.iterations).toBe(limit);
      const more = await failure(() => parseContainer(container({ iterations: String(limit + 1) }), limit));
      expect(more).toMatchObject({ code: 'too-many-iterations', maximum: limit });
    }
    const negative = container({ iterations: `-9${'0'.repeat(400)}` });
    expect((await failure(() => parseContainer(negative, 7))).code).toBe('bad-iterations');
  });

  test('0x7F is ASCII: it is read as text, and refused only where digits must be', async () => {
    expect((await failure(() => parseContainer(container({ salt: '0\u007f' }), 7))).code).toBe('bad-hex');
    expect((await failure(() => parseContainer(container({ blob: '\u007f' }), 7))).code).toBe('bad-hex');
    const named = utf8('{"\u007f": 1}');
    expect((await failure(() => parseContainer(named, 7))).code).toBe('bad-members');
    const { parameters, blob } = parseContainer(container({ hash: 'sha\u007f' }), 7);
    expect(parameters.hash).toBe('sha\u007f');
    expect(Buffer.from(formatContainer(parameters, blob)).toString()).toContain('"hash": "sha\\u007f"');
    expect((await failure(() => parseContainer(container({ hash: 'sha\u0080' }), 7))).code).toBe('bad-json');
  });

  test('no message carries a long name', async () => {
    for (const letter of ['A', '\u007f']) {
      const name = letter.repeat(20_000_000);
      const start = performance.now();
      const error = await failure(() => parseHashName(name));
      expect(performance.now() - start).toBeLessThan(500);
      expect(error.code).toBe('unsupported-hash');
      expect(error.message.length).toBeLessThan(400);
    }
  });

  test('numbers are those of JSON', () => {
    const numbers = fc.oneof(
      fc.double().map((value) => JSON.stringify(value)),
      fc
        .array(fc.constantFrom('0', '1', '9', '-', '+', '.', 'e', 'E', ' '), { maxLength: 8 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(numbers, (number) => {
        let isJson = true;
        try {
          JSON.parse(number);
        } catch {
          isJson = false;
        }
        // An object without the members is found out only after the whole text has been read.
        let code: unknown;
        try {
          parseContainer(utf8(`{"hash": ${number}}`), 7);
        } catch (error) {
          code = error instanceof StashFormatError ? error.code : error;
        }
        expect(code).toBe(isJson ? 'bad-members' : 'bad-json');
      }),
    );
  });
});

describe('the limits of the contents', () => {
  const leaf = createNode();

  /** Returns a tree whose last level has so many nodes. */
  function wide(count: number, level: number): TreeNode {
    const names = Array.from({ length: count }, (_, index) => index.toString(36));
    let node: TreeNode = { ...createNode(), children: new Map(names.map((name) => [name, leaf])) };
    for (let above = 1; above < level; above++) {
      node = { ...createNode(), children: new Map([['k', node]]) };
    }
    return node;
  }

  test.each<[string, number, number]>([
    ['nodes', maxNodes, 1],
    // The levels above have 1 + 2 + … + 63 names.
    ['names in all keys', Math.floor((maxKeyNames - (63 * 64) / 2) / 64), 64],
  ])('as many %s as can be read are written, and no more', async (_what, count, level) => {
    const bytes = format(wide(count, level));
    const tree = parseContents(bytes.slice());
    expect(Buffer.compare(format(tree), bytes)).toBe(0);
    const written = await failure(() => format(wide(count + 1, level)));
    expect(written).toBeInstanceOf(StashValueError);
    expect(written.code).toBe('store-too-large');
    const read = await failure(() => parseContents(withOneMore(bytes, level)));
    expect(read).toMatchObject({ code: 'too-large', part: 'contents' });
  });

  test.each([
    ['a letter', 'k', 'k'],
    ['0x7F', '\u007f', '\u007f'],
    ['a letter in UTF-8', 'é', 'é'],
    ['an escape', 'é', '\\u00E9'],
  ])('a name may have 16,383 units: %s', async (_what, unit, spelling) => {
    const name = unit.repeat(maxNameLength);
    const tree = parseContents(utf8(`{"${spelling.repeat(maxNameLength)}": {"children": {}}}`));
    expect([...tree.children.keys()]).toEqual([name]);
    expect([...parseContents(format(tree)).children.keys()]).toEqual([name]);
    const long = utf8(`{"${spelling.repeat(maxNameLength + 1)}": {"children": {}}}`);
    expect(await failure(() => parseContents(long))).toMatchObject({ code: 'too-large', offset: 2 });
    const longer: TreeNode = { ...createNode(), children: new Map([[`${name}${unit}`, leaf]]) };
    expect((await failure(() => format(longer))).code).toBe('store-too-large');
  });

  test('damaged values may grow by 1 MiB in all', async () => {
    const half = '\u007f'.repeat(104_857);
    const rest = '\u007f'.repeat(Math.floor(2 ** 20 / 5) - 104_857);
    const both = (second: string): Uint8Array =>
      utf8(`{"a": ${nodeText(half)}, "b": ${nodeText(second)}, "c": ${nodeText('\\u0061'.repeat(99_999))}}`);
    const tree = parseContents(both(rest));
    expect(tree.children.get('b')?.value?.length).toBe(6 * rest.length);
    expect((await failure(() => parseContents(both(`${rest}\u007f`)))).code).toBe('too-large');
  });

  test('UTF-8 is what the decoder of the platform takes', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc
        .array(
          fc.constantFrom(
            0x7f,
            0x80,
            0x8f,
            0x90,
            0x9f,
            0xa0,
            0xbf,
            0xc0,
            0xc1,
            0xc2,
            0xdf,
            0xe0,
            0xe1,
            0xec,
            0xed,
            0xee,
            0xef,
            0xf0,
            0xf1,
            0xf3,
            0xf4,
            0xf5,
            0xff,
          ),
          { maxLength: 6 },
        )
        .map((list) => Uint8Array.from(list)),
      fc
        .tuple(fc.string({ unit: 'binary', maxLength: 3 }), fc.nat(12))
        .map(([text, cut]) => utf8(text).subarray(0, cut)),
    );
    const decoder = new TextDecoder('utf-8', { fatal: true });
    fc.assert(
      fc.property(bytes, (sequence) => {
        let expected = true;
        try {
          decoder.decode(sequence);
        } catch {
          expected = false;
        }
        // What stands behind the end must not help.
        const padded = new Uint8Array([...sequence, 0x80, 0x80, 0x80]);
        expect(isUtf8(padded, 0, sequence.length)).toBe(expected);
      }),
    );
  });
});
