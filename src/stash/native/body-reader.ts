/**
 * Reads the bodies of batches and pages into a tree (docs/stash-format.md, "Bodies"). Bodies are authenticated, but
 * the key may be in the hands of a program with a fault: nothing is taken on trust.
 * Must not import `node:` or anything outside `src/stash`.
 */

import { chunkByteLength, maxInlineByteLength, opcode } from './body-writer.js';
import { type LargeValue, maxLevels, maxNameLength, type Tree, type TreeNode, wipeValues } from './tree.js';

/** No value is longer: 256 MiB. */
export const maxValueByteLength: number = 2 ** 28;

/** A body does not say what a body may. Internal: becomes a `damaged-frame` with its place. */
export class BodyFault extends Error {}

/** What the operations of a body need to know, and what they tell. */
export interface BodyContext {
  /** Pages have no `remove`. */
  readonly isPage: boolean;
  /** Where the chunk frame of a sequence begins, if there is one that came before. */
  chunkOffset(sequence: number): number | undefined;
  /** Gets each key that changes. */
  readonly changed?: string[][] | undefined;
  /** Goes on where an operation cannot be done, as after a loss of frames. */
  readonly lenient?: boolean | undefined;
}

/**
 * Does the operations of a body to a tree, which owns the bytes from now on, as far as they are values.
 * @throws {BodyFault} The tree is then of no more use.
 */
export function applyBody(tree: Tree, body: Uint8Array, context: BodyContext): void {
  new BodyReader(tree, body, context).run();
}

class BodyReader {
  readonly #tree: Tree;
  readonly #bytes: Uint8Array;
  readonly #text: Buffer;
  readonly #context: BodyContext;
  #offset = 0;
  /** The key of the operation before, and the nodes of as many of its levels as are known, from the top. */
  readonly #names: string[] = [];
  readonly #nodes: TreeNode[];

  constructor(tree: Tree, bytes: Uint8Array, context: BodyContext) {
    this.#tree = tree;
    this.#bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#context = context;
    this.#nodes = [tree.root];
  }

  run(): void {
    const bytes = this.#bytes;
    while (this.#offset < bytes.length) {
      const code = bytes[this.#offset++];
      if (code === opcode.padding) {
        for (let offset = this.#offset; offset < bytes.length; offset++) {
          if (bytes[offset] !== 0) throw new BodyFault('padding is not zero');
        }
        return;
      }
      this.#key();
      const names = this.#names;
      this.#context.changed?.push([...names]);
      if (code === opcode.remove && !this.#context.isPage) this.#remove();
      else if (names.length === 0) throw new BodyFault('an operation on the top');
      else if (code === opcode.set) this.#set();
      else if (code === opcode.setLarge) this.#setLarge();
      else if (code === opcode.make) this.#node();
      else throw new BodyFault('an unknown operation');
    }
  }

  #set(): void {
    const byteLength = this.#number();
    const start = this.#offset;
    this.#offset += byteLength;
    if (byteLength > maxInlineByteLength || this.#offset > this.#bytes.length)
      throw new BodyFault('a value too long');
    this.#assign({ source: this.#bytes, start, end: this.#offset });
  }

  #setLarge(): void {
    const byteLength = this.#number();
    const first = this.#number();
    if (byteLength <= maxInlineByteLength || byteLength > maxValueByteLength)
      throw new BodyFault('no large value');
    const offsets: number[] = [];
    for (let index = 0; index * chunkByteLength < byteLength; index++) {
      const offset = this.#context.chunkOffset(first + index);
      if (offset !== undefined) offsets.push(offset);
      else if (this.#context.lenient === true) return;
      else throw new BodyFault('a missing chunk');
    }
    const source: LargeValue = { byteLength, first, offsets };
    this.#assign({ source, start: 0, end: 0 });
  }

  #assign(value: { source: Uint8Array | LargeValue; start: number; end: number }): void {
    const node = this.#node();
    const { source, start, end } = node;
    this.#tree.setValue(node, value);
    if (source instanceof Uint8Array) source.fill(0, start, end);
  }

  #remove(): void {
    const level = this.#names.length - 1;
    if (level < 0) {
      wipeValues(this.#tree.clear());
      this.#nodes.splice(0, Number.POSITIVE_INFINITY, this.#tree.root);
      return;
    }
    // The parent only: what is not there is not made.
    while (this.#nodes.length <= level) {
      const next = (this.#nodes.at(-1) as TreeNode).children?.get(
        this.#names[this.#nodes.length - 1] as string,
      );
      if (next === undefined) return this.#missing();
      this.#nodes.push(next);
    }
    this.#nodes.length = level + 1;
    const removed = this.#tree.removeChild(this.#nodes[level] as TreeNode, this.#names[level] as string);
    if (removed === undefined) return this.#missing();
    wipeValues(removed);
  }

  #missing(): void {
    if (this.#context.lenient !== true) throw new BodyFault('a key that is not there is removed');
  }

  /** The node of the current key, made if it is not there. */
  #node(): TreeNode {
    const nodes = this.#nodes;
    let node = nodes[nodes.length - 1] as TreeNode;
    for (let level = nodes.length - 1; level < this.#names.length; level++) {
      const child = this.#tree.child(node, this.#names[level] as string);
      if (child === undefined) throw new BodyFault('too many keys');
      nodes.push(child);
      node = child;
    }
    return node;
  }

  #key(): void {
    const shared = this.#number();
    const count = this.#number();
    if (shared > this.#names.length || shared + count > maxLevels) throw new BodyFault('a key too deep');
    this.#names.length = shared;
    if (this.#nodes.length > shared + 1) this.#nodes.length = shared + 1;
    for (let index = 0; index < count; index++) this.#names.push(this.#name());
  }

  #number(): number {
    const bytes = this.#bytes;
    let value = 0;
    for (let factor = 1, index = 0; index < 8; index++, factor *= 0x80) {
      const byte = bytes[this.#offset++];
      if (byte === undefined) throw new BodyFault('the body ends within a number');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        if ((byte === 0 && index > 0) || value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    throw new BodyFault('a number too long');
  }

  #name(): string {
    const byteLength = this.#number();
    const start = this.#offset;
    const end = start + byteLength;
    if (end > this.#bytes.length || byteLength > 3 * maxNameLength) throw new BodyFault('a name too long');
    this.#offset = end;
    for (let offset = start; offset < end; offset++) {
      if ((this.#bytes[offset] as number) >= 0x80) return decodeWtf8(this.#bytes.subarray(start, end));
    }
    if (byteLength > maxNameLength) throw new BodyFault('a name too long');
    return this.#text.toString('latin1', start, end);
  }
}

/** Decodes WTF-8 as strictly as UTF-8 is: in one way only, and with no surrogate that has its other half beside it. */
function decodeWtf8(bytes: Uint8Array): string {
  const units: number[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const first = bytes[offset] as number;
    const more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let point = more === 0 ? first : first & (0x3f >> more);
    for (let index = 1; index <= more; index++) {
      const byte = bytes[offset + index] ?? 0;
      if ((byte & 0xc0) !== 0x80) throw new BodyFault('a name is not WTF-8');
      point = (point << 6) | (byte & 0x3f);
    }
    offset += more + 1;
    const least = [0, 0x80, 0x800, 0x10000][more] as number;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || point < least || point > 0x10ffff) {
      throw new BodyFault('a name is not WTF-8');
    }
    if (point >= 0x10000) {
      units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + (point & 0x3ff));
      continue;
    }
    const before = units.at(-1) ?? 0;
    // After a whole pair `before` is a low surrogate, so that only two lone halves meet here.
    if ((point & 0xfc00) === 0xdc00 && (before & 0xfc00) === 0xd800)
      throw new BodyFault('a name is not WTF-8');
    units.push(point);
  }
  if (units.length > maxNameLength) throw new BodyFault('a name too long');
  return String.fromCharCode(...units);
}
