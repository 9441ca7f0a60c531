/** What the inference of types costs the compiler, and whether it agrees with the parser on many signatures. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packageProgram } from '../../scripts/lib/run.mjs';
import { isSignature, parseSignature, type Type } from '../../src/wire/types/signature.js';
import { signature } from '../support/arbitraries.js';

const SOURCES = fileURLToPath(new URL('../../src/wire/', import.meta.url));

interface Compiled {
  errors: string[];
  instantiations: number;
  types: number;
}

/** Runs the compiler over one file. */
function compile(source: string): Compiled {
  const folder = mkdtempSync(join(tmpdir(), 'sb-types-'));
  try {
    const file = join(folder, 'generated.ts');
    writeFileSync(file, source);
    const options =
      '--noEmit --strict --pretty false --target es2023 --module nodenext --extendedDiagnostics';
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [packageProgram('typescript', 'tsc'), ...options.split(' '), '--types', '', file],
      { encoding: 'utf8', cwd: folder },
    );
    const figure = (name: string): number => {
      const found = new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(stdout);
      if (found === null) throw new Error(`the compiler says nothing of ${name}: ${stdout}${stderr}`);
      return Number(found[1]);
    };
    return {
      errors: stdout.split('\n').filter((line) => line.includes('error TS')),
      instantiations: figure('Instantiations'),
      types: figure('Types'),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const BASIC: Readonly<Record<string, string>> = {
  b: 'boolean',
  s: 'string',
  o: 'string',
  g: 'string',
  v: 'Variant',
};

/** The type of a value as source text, made from the parsed signature. */
function typeText(type: Type, write: boolean): string {
  const readonly = write ? 'readonly ' : '';
  const of = (child: Type): string => typeText(child, write);
  const [element] = type.children;
  if (type.code === '(') return `${readonly}[${type.children.map(of).join(', ')}]`;
  if (type.code === 'x' || type.code === 't') return write ? '(bigint | number)' : 'bigint';
  if (element === undefined) return BASIC[type.code] ?? 'number';
  if (element.code === 'y') return 'Uint8Array';
  if (element.code !== '{') return `${readonly}(${of(element)})[]`;
  const [key, value] = element.children as [Type, Type];
  if (!write) return `Map<${of(key)}, ${of(value)}>`;
  // An alias, since text that names the value twice would double with every level.
  return `${'sog'.includes(key.code) ? 'PlainDict' : 'ReadonlyMap'}<${of(key)}, ${of(value)}>`;
}

function tupleText(text: string, write: boolean): string {
  const types = parseSignature(text).map((type) => typeText(type, write));
  return `${write ? 'readonly ' : ''}[${types.join(', ')}]`;
}

const PATHOLOGICAL = [
  'y'.repeat(255),
  'ay'.repeat(127),
  'a{sv}'.repeat(51),
  '(y)'.repeat(85),
  `${'a'.repeat(32)}y`,
  `${'a{s'.repeat(32)}v${'}'.repeat(32)}`,
  `${'('.repeat(32)}y${')'.repeat(32)}`,
  `${'a'.repeat(32)}${'('.repeat(32)}y${')'.repeat(32)}`,
  `${'a('.repeat(32)}y${')'.repeat(32)}`,
  `${'a(s'.repeat(32)}ay${'u)'.repeat(32)}`,
  `${'(yyy'.repeat(31)}${'x)'.repeat(31)}`,
  `${'a'.repeat(31)}s`.repeat(7),
  `(${'s'.repeat(253)})`,
];

const HOPELESS = [
  'a'.repeat(255),
  '('.repeat(255),
  'a{s'.repeat(85),
  '()'.repeat(127),
  `${'y'.repeat(254)}z`,
  'y'.repeat(256),
  'a{sv}'.repeat(2000),
  `${'('.repeat(33)}y${')'.repeat(33)}`,
  `${'a'.repeat(33)}y`,
  `${'a(y'.repeat(33)}${')'.repeat(33)}`,
];

/** Random valid ones, and the same with a character changed, inserted or left out. */
function sampled(): string[] {
  const valid = fc.sample(signature, { numRuns: 400, seed: 3 });
  const edits = fc.sample(fc.tuple(fc.nat(), fc.constantFrom(...'ayusv(){}z'.split(''), ''), fc.boolean()), {
    numRuns: valid.length,
    seed: 4,
  });
  const changed = valid.map((text, index) => {
    const [where, put, insert] = edits[index] as [number, string, boolean];
    const at = where % (text.length + 1);
    return text.slice(0, at) + put + text.slice(insert ? at : at + 1);
  });
  return [...new Set([...valid, ...changed, ...PATHOLOGICAL, ...HOPELESS])];
}

const PRELUDE = `
type PlainDict<K, V> = ReadonlyMap<K, V> | { readonly [key: string]: V };
interface Variant { readonly signature: string; readonly value: unknown }
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
`;
const IMPORT = `
import type { ArgumentsOf, InvalidSignature, ValuesOf } from ${JSON.stringify(join(SOURCES, 'types/infer.js'))};
`;

describe('the compiler', () => {
  const signatures = sampled();

  it('infers the types that the parser makes, and refuses what it refuses', () => {
    const lines = signatures.map((text, index) => {
      const literal = JSON.stringify(text);
      if (!isSignature(text)) {
        return `export const no${index}: ValuesOf<${literal}> extends [InvalidSignature<string>] ? ArgumentsOf<${literal}> extends readonly [InvalidSignature<string>] ? true : false : false = true;`;
      }
      const read = `Same<ValuesOf<${literal}>, ${tupleText(text, false)}>`;
      const write = `Same<ArgumentsOf<${literal}>, ${tupleText(text, true)}>`;
      return `export const yes${index}: ${read} & ${write} = true;`;
    });
    const invalid = signatures.filter((text) => !isSignature(text));
    expect(invalid.length).toBeGreaterThan(100);
    expect(signatures.length - invalid.length).toBeGreaterThan(300);
    const head = (IMPORT + PRELUDE).split('\n').length;
    const { errors } = compile(IMPORT + PRELUDE + lines.join('\n'));
    const wrong = errors.map((error) => [error, signatures[Number(/\((\d+)/.exec(error)?.[1]) - head]]);
    expect(wrong).toEqual([]);
  });

  it('takes work in proportion to the length of the signatures', () => {
    const valid = signatures.filter(isSignature);
    const hopeless = signatures.filter((text) => !isSignature(text));
    const characters = signatures.join('').length;
    const inferred = compile(
      IMPORT +
        [...valid, ...hopeless]
          .map(
            (text, index) => `export declare const v${index}: ValuesOf<${JSON.stringify(text)}>['length'];`,
          )
          .join('\n'),
    );
    const plain = compile(
      PRELUDE +
        valid
          .map((text, index) => `export declare const v${index}: ${tupleText(text, false)}['length'];`)
          .join('\n'),
    );
    expect([inferred.errors, plain.errors]).toEqual([[], []]);
    const perCharacter = (inferred.instantiations - plain.instantiations) / characters;
    console.info(`${perCharacter.toFixed(1)} instantiations a character`);
    expect(perCharacter).toBeGreaterThan(0);
    expect(perCharacter).toBeLessThan(30);
  });
});
