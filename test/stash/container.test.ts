/** The outer layer of a sstash file and its cryptography: fixtures, published vectors, Python, mutations. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesFromHex, hexFromBytes } from '../../src/stash/bytes.js';
import { StashCryptoError, StashError, StashFormatError } from '../../src/stash/index.js';
import {
  containerByteLength,
  formatContainer,
  openBlob,
  parseContainer,
  sealBlob,
} from '../../src/stash/sstash/container.js';
import { formatContents, parseContents } from '../../src/stash/sstash/contents.js';
import { deriveKey } from '../../src/stash/sstash/pbkdf2.js';
import { useOracle } from './oracle.js';
import { failure, hex, type ListedTree, listTree, mutate, mutationsArbitrary, utf8 } from './support.js';

const jsonOracle = useOracle('json');

const folder = new URL('../vectors/sstash/', import.meta.url);

interface ListedNode {
  readonly key: readonly string[];
  readonly value: string | null;
  readonly children: readonly ListedNode[];
}

const fixtures = JSON.parse(readFileSync(new URL('index.json', folder), 'utf8')) as {
  name: string;
  file: string;
  password: string;
  tree: ListedNode[];
}[];

function expectedTree(nodes: readonly ListedNode[]): ListedTree {
  return nodes.map(({ key, value, children }) => [
    JSON.parse(`"${key.at(-1) ?? ''}"`) as string,
    value,
    expectedTree(children),
  ]);
}

const limit = 2 ** 24;

function file(members: string): Uint8Array {
  return utf8(`{${members}}`);
}

const sound = `"hash": "sha512", "salt": "00ff", "iterations": 7, "enc_blob": "${'ab'.repeat(40)}"`;

describe('files of the Python program', () => {
  test.each(fixtures)(
    '$name: reads as listed and is rewritten byte for byte',
    async ({ file: name, password, tree }) => {
      const bytes = new Uint8Array(readFileSync(new URL(name, folder)));
      const { parameters, blob } = parseContainer(bytes, limit);
      expect(hex(formatContainer(parameters, blob))).toBe(hex(bytes));
      expect(containerByteLength(parameters, blob.length - 40)).toBe(bytes.length);
      const key = await deriveKey(utf8(password), parameters);
      const contents = openBlob(key, blob);
      const before = hex(contents);
      const parsed = parseContents(contents);
      expect(listTree(parsed)).toEqual(expectedTree(tree));
      const again = formatContents(parsed, Number.POSITIVE_INFINITY) ?? new Uint8Array();
      expect(hex(again)).toBe(before);
      expect(hex(sealBlob(key, blob.subarray(0, 24), again))).toBe(hex(blob));
    },
  );
});

describe('hexadecimal', () => {
  test('is what Buffer writes, in both directions and both cases', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const text = hexFromBytes(bytes);
        expect(Buffer.from(text).toString('latin1')).toBe(Buffer.from(bytes).toString('hex'));
        expect(bytesFromHex(text)).toEqual(bytes);
        expect(bytesFromHex(utf8(Buffer.from(text).toString('latin1').toUpperCase()))).toEqual(bytes);
      }),
    );
  });

  test('each byte that is no digit is refused where it stands', () => {
    for (let byte = 0; byte < 256; byte++) {
      const isDigit = /[0-9a-fA-F]/.test(String.fromCharCode(byte));
      const result = bytesFromHex(Uint8Array.of(0x61, 0x62, 0x63, byte));
      expect(typeof result === 'number' ? result : 'digit').toBe(isDigit ? 'digit' : 3);
    }
    expect(bytesFromHex(utf8('abc'))).toBe(3);
    expect(bytesFromHex(utf8('ab '))).toBe(2);
  });
});

describe('container', () => {
  test.each<[string, string, string]>([
    ['an empty file', '', 'bad-json'],
    ['half a file', '{"hash": "sha5', 'bad-json'],
    ['a byte order mark', `\ufeff{${sound}}`, 'bad-json'],
    ['trailing junk', `{${sound}}x`, 'bad-json'],
    ['two documents', `{${sound}}{}`, 'bad-json'],
    ['a byte beyond ASCII', `{${sound.replace('sha512', 'shá512')}}`, 'bad-json'],
    ['an array', '[1]', 'bad-members'],
    ['an extra member', `{${sound}, "x": 1}`, 'bad-members'],
    ['no hash', `{${sound.replace('"hash": "sha512", ', '')}}`, 'bad-members'],
    ['no blob', `{${sound.replace(/, "enc_blob.*/, '')}}`, 'bad-members'],
    ['a salt that is a number', `{${sound.replace('"00ff"', '0')}}`, 'bad-members'],
    ['a hash that is null', `{${sound.replace('"sha512"', 'null')}}`, 'bad-members'],
    ['no iterations', `{${sound.replace(' 7', ' 0')}}`, 'bad-iterations'],
    ['minus zero iterations', `{${sound.replace(' 7', ' -0')}}`, 'bad-iterations'],
    ['negative iterations', `{${sound.replace(' 7', ' -7')}}`, 'bad-iterations'],
    ['fractional iterations', `{${sound.replace(' 7', ' 7.0')}}`, 'bad-iterations'],
    ['exponential iterations', `{${sound.replace(' 7', ' 7e0')}}`, 'bad-iterations'],
    ['boolean iterations', `{${sound.replace(' 7', ' true')}}`, 'bad-iterations'],
    ['iterations in a string', `{${sound.replace(' 7', ' "7"')}}`, 'bad-iterations'],
    ['a salt that is not hexadecimal', `{${sound.replace('00ff', '00fg')}}`, 'bad-hex'],
    ['a salt of odd length', `{${sound.replace('00ff', '00f')}}`, 'bad-hex'],
    ['a blob with white space', `{${sound.replace('abab', 'ab ab')}}`, 'bad-hex'],
    ['a short blob', `{${sound.replace('abab', 'ab')}}`, 'truncated-blob'],
    ['a deep member', `{"hash": ${'['.repeat(100_000)}`, 'too-deep'],
    ['more iterations than allowed', `{${sound.replace(' 7', ' 16777217')}}`, 'too-many-iterations'],
    ['very many iterations', `{${sound.replace(' 7', ` 9${'0'.repeat(400)}`)}}`, 'too-many-iterations'],
  ])('%s is refused', async (_what, text, code) => {
    const error = await failure(() => parseContainer(utf8(text), limit));
    expect(error.code).toBe(code);
    expect(error).toBeInstanceOf(code === 'too-many-iterations' ? StashCryptoError : StashFormatError);
  });

  test('errors say where', async () => {
    const bytes = file(sound.replace('00ff', '00fg'));
    const error = await failure(() => parseContainer(bytes, limit));
    expect(error).toMatchObject({ part: 'file', offset: Buffer.from(bytes).indexOf('g"') });
    expect(await failure(() => parseContainer(file(sound), 6))).toMatchObject({ maximum: 6 });
  });

  test.each<[string, string]>([
    ['as it should be', sound],
    [
      'in any order, with white space',
      ` "enc_blob"\t:"${'ab'.repeat(40)}",\r\n"iterations": 7 ,"salt":"00ff","hash":"sha512" `,
    ],
    ['in capitals', sound.replace('00ff', '00FF').replaceAll('ab', 'Ab')],
    ['with escapes', sound.replace('sha512', '\\u0073ha512').replace('00ff', '0\\u0030f\\u0066')],
    ['with repeated members, of which the last counts', `"hash": [1, {}], "salt": 5, ${sound}`],
  ])('what Python accepts is accepted: %s', (_what, members) => {
    const { parameters, blob } = parseContainer(utf8(`\n {${members}} \t`), limit);
    expect(parameters).toEqual({ hash: 'sha512', salt: Uint8Array.of(0, 255), iterations: 7 });
    expect(hex(blob)).toBe('ab'.repeat(40));
  });

  test('a million brackets cost no memory worth speaking of', async () => {
    const bytes = utf8(`{"hash": [${'[],'.repeat(3_000_000)}[]], ${sound}, "x": 1}`);
    const before = process.memoryUsage().heapUsed;
    expect((await failure(() => parseContainer(bytes, limit))).code).toBe('bad-members');
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 2 ** 20);
  });

  test('mutated files are accepted or refused as by Python, and only with typed errors', async (context) => {
    const oracle = jsonOracle(context);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.boolean(), mutationsArbitrary, async (repeated, mutations) => {
        const bytes = mutate(file(repeated ? `"salt": NaN, ${sound}` : sound), mutations);
        let ours: Record<string, string>;
        try {
          const { parameters, blob } = parseContainer(bytes, Number.MAX_SAFE_INTEGER);
          const { hash, salt, iterations } = parameters;
          ours = { hash, salt: hex(salt), iterations: String(iterations), blob: hex(blob) };
          accepted++;
        } catch (error) {
          if (!(error instanceof StashError)) throw error;
          ours = { code: error.code };
        }
        const theirs = await oracle.ask({ op: 'container', file: hex(bytes) });
        if ('error' in theirs) expect(ours).toHaveProperty('code');
        else expect(ours).toEqual(theirs);
      }),
    );
    expect(accepted).toBeGreaterThan(10);
  });
});

describe('layers', () => {
  test('the codec bundles without any import of the system', async () => {
    const codec = ['container', 'contents', 'tree', 'hashes'].map((name) => `export * from './${name}.js';`);
    const resolveDir = fileURLToPath(new URL('../../src/stash/sstash', import.meta.url));
    const result = await build({
      stdin: { contents: codec.join('\n'), resolveDir, loader: 'ts' },
      bundle: true,
      platform: 'neutral',
      format: 'esm',
      write: false,
      metafile: true,
      logLevel: 'silent',
    });
    const imports = Object.values(result.metafile.outputs).flatMap((output) => output.imports);
    expect(imports).toEqual([]);
    expect(Object.keys(result.metafile.inputs).filter((name) => name.includes('node-file-system'))).toEqual(
      [],
    );
  });
});
