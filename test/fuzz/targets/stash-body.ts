/** Bodies of batches and pages of a native stash, decrypted. */
import { isDeepStrictEqual } from 'node:util';
import { applyBody, BodyFault } from '../../../src/stash/native/body-reader.js';
import { BodyWriter } from '../../../src/stash/native/body-writer.js';
import { isLarge, Tree, type TreeNode, valueByteLength, walk } from '../../../src/stash/native/tree.js';
import type { Random } from '../engine/random.js';
import { promise, type Target } from '../target.js';

const NAMES = ['a', 'b', 'c', '', 'ü', '€', '\u{1d11e}', '\ud800', '\udc00', '__proto__', 'n'.repeat(200)];

/** Where chunks are that the bodies may refer to: each sequence below 64 but some. */
function chunkOffset(sequence: number): number | undefined {
  return sequence < 64 && sequence % 9 !== 5 ? 8192 + sequence : undefined;
}

/** What a tree holds, in order. */
function listed(tree: Tree): unknown[] {
  return Array.from(walk(tree.root), ([key, node]) => [key, valueOf(node)]);
}

function valueOf({ source, start, end }: TreeNode): unknown {
  if (source === undefined || isLarge(source)) return source;
  return Buffer.from(source.subarray(start, end)).toString('hex');
}

/** Writes a tree as a page would hold it. */
function rewritten(tree: Tree): Uint8Array {
  const writer = new BodyWriter();
  for (const [key, { source, start, end }] of walk(tree.root)) {
    if (source === undefined) writer.make(key);
    else if (isLarge(source)) writer.setLarge(key, source.byteLength, (source.offsets[0] as number) - 8192);
    else writer.set(key, source.subarray(start, end));
  }
  return writer.take().slice();
}

/** What the tree says of itself, counted again. */
function checkCounts(tree: Tree): void {
  let nodes = 0;
  let byteLength = 0;
  for (const [key, node] of walk(tree.root)) {
    nodes++;
    byteLength += (key.at(-1) as string).length + 6 + valueByteLength(node);
    promise(key.length <= 64, 'a key is deeper than 64');
  }
  promise(nodes === tree.nodes, 'nodes are counted wrongly');
  promise(byteLength === tree.byteLength, 'bytes are counted wrongly');
}

function keyOf(random: Random): string[] {
  const length = random.oneIn(30) ? 60 + random.below(6) : 1 + random.below(3);
  return Array.from({ length }, () => random.pick(NAMES));
}

/** A body that makes sense, but for what it removes. */
export function bodyOf(random: Random): Uint8Array {
  const writer = new BodyWriter();
  const made: string[][] = [[]];
  for (let count = random.below(6); count >= 0; count--) {
    const key = keyOf(random);
    const choice = random.below(8);
    if (choice < 4)
      writer.set(
        key,
        Uint8Array.from({ length: random.below(12) }, () => random.below(256)),
      );
    else if (choice === 4) writer.make(key);
    else if (choice === 5) writer.remove(random.pick(made));
    else if (choice === 6) writer.setLarge(key, 32_769 + random.below(200_000), random.below(60));
    else writer.set(key, new Uint8Array(random.oneIn(20) ? 32_766 + random.below(4) : random.below(200)));
    made.push(key);
  }
  return writer.take(random.oneIn(3) ? 256 : 0);
}

const target: Target = {
  name: 'stash-body',
  maxByteLength: 40_000,
  dictionary: [
    '\u{1}\0\u{1}\u{1}a\u{1}x',
    '\u{2}\0\0',
    '\u{2}\0\u{1}\u{1}a',
    '\u{4}\u{1}\u{1}\u{1}b',
    '\u{3}\0\u{1}\u{1}a',
    '\0\0\0',
    '\u{1d11e}',
  ],
  generate: (random) => {
    const bodies = Array.from({ length: 1 + random.below(2) }, () => bodyOf(random));
    const [first = new Uint8Array()] = bodies;
    const head = Uint8Array.of(random.below(4), first.length & 255, first.length >> 8);
    return Buffer.concat([head, ...bodies]);
  },
  // The first byte says how to read, the next two how long the first of two bodies is.
  run: (input) => {
    const [how = 0, low = 0, high = 0] = input;
    const isPage = (how & 1) !== 0;
    const lenient = (how & 2) !== 0;
    const length = low | (high << 8);
    const tree = new Tree();
    let applied = 0;
    let fault = '';
    const changed: string[][] = [];
    try {
      for (const body of [input.slice(3, 3 + length), input.slice(3 + length)]) {
        applyBody(tree, body, { isPage, lenient, chunkOffset, changed });
        applied++;
      }
    } catch (error) {
      if (!(error instanceof BodyFault)) throw error;
      promise(/^[a-zA-Z0-9 -]+$/.test(error.message), 'a fault says more than what is wrong');
      fault = error.message;
    }
    checkCounts(tree);
    promise(changed.length >= tree.nodes / 64 || lenient, 'keys changed and nobody was told');
    const again = new Tree();
    applyBody(again, rewritten(tree), { isPage: true, chunkOffset });
    promise(isDeepStrictEqual(listed(again), listed(tree)), 'what was written is not what was read');
    return `${applied} ${fault} ${Math.min(tree.nodes, 4)}`;
  },
};

export default target;
