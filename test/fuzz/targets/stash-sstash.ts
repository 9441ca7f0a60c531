/** The two layers of the sstash format: the container, and its contents once decrypted. */
import { isDeepStrictEqual } from 'node:util';
import { containerByteLength, formatContainer, parseContainer } from '../../../src/stash/sstash/container.js';
import { formatContents, parseContents } from '../../../src/stash/sstash/contents.js';
import type { Random } from '../engine/random.js';
import { promise, refusal, type Target } from '../target.js';

const REFUSALS = {
  StashFormatError: [
    'bad-json',
    'bad-members',
    'bad-iterations',
    'bad-hex',
    'truncated-blob',
    'bad-structure',
    'too-deep',
    'too-large',
  ],
  StashCryptoError: ['too-many-iterations'],
};

const MAX_ITERATIONS = 2 ** 24;

function runContainer(bytes: Uint8Array): string {
  let container: ReturnType<typeof parseContainer>;
  try {
    container = parseContainer(bytes, MAX_ITERATIONS);
  } catch (error) {
    return refusal(error, REFUSALS);
  }
  const { parameters, blob } = container;
  promise(parameters.iterations >= 1 && parameters.iterations <= MAX_ITERATIONS, 'too many iterations');
  const text = formatContainer(parameters, blob);
  promise(text.length === containerByteLength(parameters, blob.length - 40), 'the length is another');
  const again = parseContainer(text, MAX_ITERATIONS);
  promise(isDeepStrictEqual(again, container), 'what was written is not what was read');
  promise(isDeepStrictEqual(formatContainer(again.parameters, again.blob), text), 'written twice it differs');
  return `container ${Math.min(parameters.salt.length, 3)}`;
}

function write(tree: ReturnType<typeof parseContents>): Uint8Array {
  const bytes = formatContents(tree, Number.POSITIVE_INFINITY);
  promise(bytes !== undefined, 'what was read is too long to be written');
  return bytes;
}

function runContents(bytes: Uint8Array): string {
  let tree: ReturnType<typeof parseContents>;
  try {
    tree = parseContents(bytes);
  } catch (error) {
    return refusal(error, REFUSALS);
  }
  // A name with escapes takes six bytes a unit at most, and a name that was raw took one at least.
  const text = write(tree);
  promise(text.length <= 12 * bytes.length + 64, 'it grew');
  const again = parseContents(text.slice());
  promise(isDeepStrictEqual(again, parseContents(text.slice())), 'read twice it differs');
  promise(isDeepStrictEqual(write(again), text), 'written twice it differs');
  return `contents ${Math.min(tree.children.size, 4)}`;
}

const NAMES = [
  '',
  'a',
  'b',
  'children',
  'value',
  '__proto__',
  '\\u0061',
  '\\ud83d\\udd11',
  '\\ud800',
  'é',
  '🔑',
  '\\n',
  '\\/',
  '\u007f',
];
const MISFITS = [
  '5',
  '[]',
  'null',
  '"x"',
  '{"children": 5}',
  '{"value": "00"}',
  '{"children": {}, "x": 1}',
  'NaN',
  '1e5',
];

function nodeOf(random: Random, depth: number): string {
  if (random.oneIn(30)) return random.pick(MISFITS);
  const members = [`"children": ${childrenOf(random, depth + 1)}`];
  if (random.oneIn(2)) members.push(`"value": "${random.pick(['', '00', 'Ff', '0', 'zz', '\\u0030'])}"`);
  if (random.oneIn(10)) members.reverse();
  return `{${members.join(random.pick([', ', ',', ' , ']))}}`;
}

function childrenOf(random: Random, depth: number): string {
  const count = depth > 4 ? 0 : random.below(4);
  const nodes = Array.from({ length: count }, () => `"${random.pick(NAMES)}": ${nodeOf(random, depth)}`);
  return `{${nodes.join(random.pick([', ', ',', '\n,']))}}`;
}

function containerOf(random: Random): string {
  const blob = '0f'.repeat(40 + random.below(4));
  const members = [
    `"hash": "${random.pick(['sha512', 'SHA-256', 'sha3_512', '\\u0073ha1', ''])}"`,
    `"salt": "${random.pick(['', '00ff', 'AB', '\\u0030\\u0030'])}"`,
    `"iterations": ${random.pick(['1', '262144', '16777216', '16777217', '0', '-1', '1.0', '01'])}`,
    `"enc_blob": "${random.oneIn(8) ? blob.slice(1) : blob}"`,
  ];
  if (random.oneIn(4)) members.reverse();
  if (random.oneIn(8)) members.push(random.pick(members));
  return `{${members.join(random.pick([', ', ',', ' ,\n']))}}`;
}

const target: Target = {
  name: 'stash-sstash',
  dictionary: [
    '{"children": {}}',
    '"value": "00"',
    '"children": ',
    '"enc_blob": "',
    '"iterations": 1',
    '"salt": ""',
    '\\u',
    '\\ud83d',
    '\\u0000',
    'Infinity',
    '-0',
    '1e5',
    '[[[[[[[[',
  ],
  // The first byte says which of the two it is.
  generate: (random) => {
    const isContainer = random.oneIn(2);
    return Buffer.from(
      `${isContainer ? 'f' : 'c'}${isContainer ? containerOf(random) : childrenOf(random, 0)}`,
    );
  },
  run: (input) => {
    const isContainer = ((input[0] ?? 0) & 4) !== 0;
    return isContainer ? runContainer(input.slice(1)) : runContents(input.slice(1));
  },
};

export default target;
