/** Random match rules, their texts in all the ways they can be written, and messages that some of them match. */
import fc from 'fast-check';
import { MatchRule, type MatchRuleFields } from '../../src/wire/match/match-rule.js';
import type { Message } from '../../src/wire/message/message.js';

/** Few of each, and close to one another, so that rules and messages meet about as often as they miss. */
export const POOLS = {
  interface: ['com.example', 'com.example.One', 'com.example.one'],
  member: ['A', 'Ab', 'a'],
  path: ['/', '/a', '/a/b', '/ab', '/a/b/c', '/a/bc'],
  name: ['com.example.First', 'com.example.Second', ':1.0', 'org.freedesktop.DBus', 'no.such-one'],
  namespace: ['com', 'com.example', 'com.exam', 'com.example.First', ':1', ':1.0', 'a-b'],
  text: [
    '',
    'com',
    'com.example',
    'com.example.First',
    'com.example..First',
    'com.',
    'comb',
    ':1.0',
    '/',
    '/a',
    '/a/',
    '/a/b',
    '/a/b/',
    '/ab',
    'a',
    "it's",
    "'",
    String.raw`a\b`,
    '\\',
    'a,b=c',
    ' ',
    'ü€𝄞',
    '\n',
  ],
  signature: ['s', 'as', '(s)'],
};

const oneOf = (pool: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...pool);

/** One of the pool once in `rarity` times, else nothing. */
const sometimes = <Nothing>(
  pool: readonly string[],
  rarity: number,
  nothing: Nothing,
): fc.Arbitrary<string | Nothing> =>
  fc.oneof(
    { weight: rarity - 1, arbitrary: fc.constant(nothing) },
    { weight: 1, arbitrary: fc.constantFrom(...pool) },
  );

const index = fc.oneof({ weight: 9, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(63) });

interface Tests {
  args: [number, string][];
  argPaths: [number, string][];
  arg0Namespace?: string | undefined;
}

/** One test an argument, of one kind. */
const tests: fc.Arbitrary<Tests> = fc
  .tuple(
    fc.uniqueArray(fc.tuple(index, oneOf(POOLS.text), fc.boolean()), {
      maxLength: 2,
      selector: ([at]) => at,
    }),
    sometimes(POOLS.namespace, 4, undefined),
  )
  .map(([all, arg0Namespace]) => {
    const free = arg0Namespace === undefined ? all : all.filter(([at]) => at !== 0);
    const pick = (paths: boolean): [number, string][] =>
      free.filter(([, , isPath]) => isPath === paths).map(([at, text]) => [at, text]);
    return { args: pick(false), argPaths: pick(true), arg0Namespace };
  });

const option = (pool: readonly string[], rarity = 4): fc.Arbitrary<string | undefined> =>
  sometimes(pool, rarity, undefined);

/** Fields of rules, with names from `names` beside those of the pool. */
export function ruleFields(names: readonly string[] = []): fc.Arbitrary<MatchRuleFields> {
  const name = [...POOLS.name, ...names];
  return fc
    .record({
      type: option(['signal', 'signal', 'signal', 'method_call', 'method_return', 'error'], 2),
      sender: option(name),
      interface: option(POOLS.interface),
      member: option(POOLS.member),
      path: option(POOLS.path),
      pathNamespace: option(POOLS.path),
      destination: option(name, 8),
      tests,
      eavesdrop: fc.constantFrom(undefined, false, true),
    })
    .map(({ tests: { args, argPaths, arg0Namespace }, ...fields }) => {
      const pathNamespace = fields.path === undefined ? fields.pathNamespace : undefined;
      const all = { args: new Map(args), argPaths: new Map(argPaths), arg0Namespace, pathNamespace };
      return Object.assign(fields, all) as MatchRuleFields;
    });
}

/** A value as it may be written: in quotes, without, or both by turns. */
function written(value: string, ways: readonly number[]): string {
  return Array.from(value, (character, at) => {
    const way = (ways[at % ways.length] ?? 0) % 3;
    if (character === "'") return way === 0 ? String.raw`\'` : String.raw`''\'`;
    if (way === 0 && !/[,\\]/.test(character)) return character;
    return `'${character}'`;
  }).join('');
}

const ways = fc.array(fc.nat(2), { minLength: 1, maxLength: 5 });
const space = fc.constantFrom('', '', '', ' ', '\t ', '\r\n');

/** Texts of valid rules: keys in any order, any quoting, white space where it may be. */
export const validRuleText: fc.Arbitrary<string> = ruleFields().chain((fields) => {
  const pairs = new MatchRule(fields)
    .toString()
    .split(/(?<='),(?=[a-z0-9_]+=')/)
    .filter((pair) => pair !== '');
  return fc
    .tuple(
      fc.shuffledSubarray(pairs, { minLength: pairs.length }),
      fc.array(fc.tuple(space, space, ways, fc.boolean()), {
        minLength: pairs.length,
        maxLength: pairs.length,
      }),
      fc.constantFrom('', '', ',', ', '),
    )
    .map(([shuffled, styles, end]) => {
      const text = shuffled.map((pair, at) => {
        const [before, after, how, rewrite] = styles[at] as [string, string, number[], boolean];
        const equals = pair.indexOf('=');
        const value = pair.slice(equals + 2, -1).replaceAll(String.raw`'\''`, "'");
        const rewritten = rewrite ? written(value, how) : pair.slice(equals + 1);
        return `${before}${pair.slice(0, equals)}${after}=${rewritten}`;
      });
      return text.join(',') + (text.length > 0 ? end : '');
    });
});

const TOKENS = [
  "'",
  ',',
  '=',
  '\\',
  String.raw`\'`,
  ' ',
  '\t',
  '\v',
  '\u{a0}',
  "''",
  'arg',
  'arg0',
  'arg63',
  'arg64',
  'path',
  'namespace',
  'arg00=',
  'arg010=',
  'arg0x1=',
  'arg+1=',
  'arg-1=',
  'arg1namespace=',
  'eavesdrop=',
  'true',
  'false',
  'type=',
  'signal',
  'Type=',
  ':',
  '.',
  '/',
  '-',
  '0',
  'a',
  'ü',
  'x'.repeat(300),
  `arg1='`,
  `,arg0='a'`,
  ',,',
  '=,',
  `path='/'`,
  `path_namespace='/a'`,
  `eavesdrop='true',`,
  `,sender='${'a.'.repeat(120)}`,
  `,interface='${'a'.repeat(130)}.${'b'.repeat(130)}'`,
];

/** Texts that are rules nearly: valid ones with a few pieces taken out, put in or doubled. */
export const mutatedRuleText: fc.Arbitrary<string> = fc
  .tuple(
    validRuleText,
    fc.array(fc.tuple(fc.nat(2000), fc.nat(6), fc.constantFrom(...TOKENS), fc.nat(2)), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([text, edits]) => {
    let edited = text;
    for (const [where, length, token, kind] of edits) {
      const at = where % (edited.length + 1);
      const removed = edited.slice(at, at + length);
      const replacement = kind === 0 ? '' : kind === 1 ? token : removed + removed;
      edited = edited.slice(0, at) + replacement + edited.slice(at + length);
    }
    return edited.toWellFormed().replaceAll('\u{fffd}', '?');
  });

const BODY_PARTS: fc.Arbitrary<[string, unknown]> = fc.oneof(
  { weight: 6, arbitrary: oneOf(POOLS.text).map((text): [string, unknown] => ['s', text]) },
  { weight: 3, arbitrary: oneOf(POOLS.path).map((path): [string, unknown] => ['o', path]) },
  { weight: 1, arbitrary: oneOf(POOLS.signature).map((text): [string, unknown] => ['g', text]) },
  { weight: 1, arbitrary: oneOf(POOLS.text).map((text): [string, unknown] => ['as', [text]]) },
  { weight: 1, arbitrary: oneOf(POOLS.text).map((text): [string, unknown] => ['(s)', [text]]) },
  { weight: 1, arbitrary: fc.nat().map((value): [string, unknown] => ['u', value]) },
);

/** Signals, and now and then calls, that rules of the pools match at times. */
export function matchable(destinations: readonly string[] = []): fc.Arbitrary<Omit<Message, 'serial'>> {
  return fc
    .record({
      path: oneOf(POOLS.path),
      interface: oneOf(POOLS.interface),
      member: oneOf(POOLS.member),
      parts: fc.array(BODY_PARTS, { maxLength: 4 }),
      destination: sometimes(['', ...destinations], 4, ''),
      isCall: fc.boolean(),
    })
    .map(({ parts, destination, isCall, ...names }) => {
      const message = {
        type: destination !== '' && isCall ? 1 : 4,
        // A call that wants no reply, so that none comes.
        flags: 1,
        signature: parts.map(([type]) => type).join(''),
        body: parts.map(([, value]) => value),
      };
      return Object.assign(names, message, destination === '' ? {} : { destination });
    });
}
