/**
 * The contents of a sstash file, once decrypted: JSON of nodes `{"children": {…}, "value": "<hex>"}`, as
 * Python's `json.loads` reads and `json.dumps` writes it. Whatever is accepted is rewritten as Python would.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { StashFormatError, StashValueError } from '../errors.js';
import { escapedByteLength, writeEscaped } from '../text.js';
import { JsonReader, type JsonSpan } from './json-reader.js';
import { createNode, maxReadLevels, type TreeNode } from './tree.js';

/**
 * The most UTF-16 code units of a name. V8 gives all longer strings of one length the same hash, so that a map of
 * many of them takes quadratic time.
 */
export const maxNameLength = 16_383;

/** The most nodes. Each costs some 400 bytes of memory, and as few as 20 in the file. */
export const maxNodes: number = 2 ** 20;

/** The most names of all keys together: a list of the keys repeats those of the levels above. */
export const maxKeyNames: number = 2 ** 23;

/** How much longer all values may become by their escapes. Only damaged values do. */
const maxValueGrowth = 2 ** 20;

/** Counts what a tree costs beyond its text, alike on reading and on writing: what is written can be read. */
class Extent {
  #nodes = 0;
  #names = 0;

  /** Counts a node that is `level` names below the top; returns what there is too much of, if so. */
  add(level: number): string | undefined {
    this.#names += level;
    if (++this.#nodes > maxNodes) return `more than ${maxNodes} nodes`;
    return this.#names > maxKeyNames ? `more than ${maxKeyNames} names in its keys` : undefined;
  }
}

const longName = `a name of more than ${maxNameLength} UTF-16 code units`;

/**
 * A value that is JSON but no node. It is not thrown at once: where a name is repeated the last one counts,
 * so that Python accepts anything in the place of the earlier ones.
 */
class Misfit {
  readonly reason: string;
  readonly offset: number;

  constructor(reason: string, offset: number) {
    this.reason = reason;
    this.offset = offset;
  }
}

/** In the place of a misfit, which is either thrown or replaced. */
const placeholder: TreeNode = createNode();

/**
 * Returns the tree that `bytes` hold. Its values are views of `bytes`, which the tree owns from now on;
 * after an error the caller should wipe them.
 * @throws {StashFormatError} `bad-json`, `bad-structure`, `too-deep`, or `too-large` beyond {@link maxNodes},
 * {@link maxKeyNames} or {@link maxNameLength}, or by damaged values.
 */
export function parseContents(bytes: Uint8Array): TreeNode {
  return new ContentsParser(bytes).parse();
}

/** The members of a node as far as they were read. */
interface NodeMembers {
  children: Map<string, TreeNode> | Misfit;
  value: JsonSpan | undefined;
  first: 'children' | 'value' | undefined;
  extra: Misfit | undefined;
}

class ContentsParser {
  readonly #reader: JsonReader;
  readonly #extent: Extent = new Extent();
  #growth = 0;

  constructor(bytes: Uint8Array) {
    this.#reader = new JsonReader(bytes, 'contents', 2 * maxReadLevels + 1);
  }

  parse(): TreeNode {
    const children = this.#children(1);
    this.#reader.end();
    if (children instanceof Misfit) {
      throw new StashFormatError('bad-structure', children.reason, 'contents', children.offset);
    }
    return { children, value: undefined, valueFirst: false };
  }

  /** @param level - That of the children. */
  #children(level: number): Map<string, TreeNode> | Misfit {
    const reader = this.#reader;
    if (reader.peek() !== 0x7b) {
      return new Misfit('the children are not an object', reader.skip().start);
    }
    const children = new Map<string, TreeNode>();
    const misfits = new Map<string, Misfit>();
    reader.object((span) => {
      // Repeated names and misfits too: their time is spent.
      const excess = this.#extent.add(level);
      if (excess !== undefined) throw tooLarge(excess, span);
      const name = reader.text(span, maxNameLength);
      if (name === undefined) throw tooLarge(longName, span);
      const node = this.#node(level);
      // A misfit holds the place too: a repeated name stays where it first stood.
      children.set(name, node instanceof Misfit ? placeholder : node);
      if (node instanceof Misfit) misfits.set(name, node);
      else if (misfits.size > 0) misfits.delete(name);
    });
    for (const misfit of misfits.values()) return misfit;
    return children;
  }

  #node(level: number): TreeNode | Misfit {
    const reader = this.#reader;
    if (reader.peek() !== 0x7b) return new Misfit('a node is not an object', reader.skip().start);
    const children = new Misfit('a node has no children', reader.offset);
    const members: NodeMembers = { children, value: undefined, first: undefined, extra: undefined };
    reader.object((span) => {
      const isValue = reader.isText(span, 'value');
      if (isValue || reader.isText(span, 'children')) members.first ??= isValue ? 'value' : 'children';
      else members.extra ??= new Misfit('a node has an unknown member', span.start);
      if (isValue) members.value = reader.skip();
      else if (members.extra === undefined) members.children = this.#children(level + 1);
      else reader.skip();
    });
    const { value } = members;
    if (members.extra !== undefined) return members.extra;
    if (members.children instanceof Misfit) return members.children;
    if (value !== undefined && value.kind !== 'string') {
      return new Misfit('a value is not a string', value.start);
    }
    return {
      children: members.children,
      value: value === undefined ? undefined : this.#text(value),
      valueFirst: members.first === 'value',
    };
  }

  #text(span: JsonSpan): Uint8Array {
    const reader = this.#reader;
    this.#growth += Math.max(0, reader.canonicalByteLength(span) - (span.end - span.start));
    if (this.#growth > maxValueGrowth) throw tooLarge('too many escapes in damaged values', span);
    return reader.canonical(span);
  }
}

function tooLarge(excess: string, { start }: JsonSpan): StashFormatError {
  return new StashFormatError('too-large', `the stash has ${excess}`, 'contents', start);
}

/**
 * Returns the JSON of the tree, ASCII, in a buffer of exactly its size that the caller should wipe.
 * @param maxByteLength - Returns `undefined` instead of anything larger.
 * @throws {StashValueError} `store-too-large` beyond {@link maxNodes}, {@link maxKeyNames} or
 * {@link maxNameLength}.
 */
export function formatContents(top: TreeNode, maxByteLength: number): Uint8Array | undefined {
  // Measured first, so that no outgrown buffer with secrets is left behind, and no text of a name is made.
  const byteLength = measure(top, 1, new Extent());
  if (byteLength > maxByteLength) return undefined;
  const bytes = new Uint8Array(byteLength);
  writeChildren(top, bytes, 0);
  return bytes;
}

/** Returns the byte length of the JSON of a node's children, which are `level` names below the top. */
function measure(node: TreeNode, level: number, extent: Extent): number {
  // A bracket, a comma and a space before each but the first, and a bracket.
  let byteLength = Math.max(2, 2 * node.children.size);
  for (const [name, child] of node.children) {
    const excess = name.length > maxNameLength ? longName : extent.add(level);
    if (excess !== undefined) throw new StashValueError('store-too-large', `the stash would have ${excess}`);
    const valueByteLength = child.value === undefined ? 0 : valueFrame.length + child.value.length;
    byteLength += escapedByteLength(name) + nodeFrame.length + valueByteLength;
    byteLength += measure(child, level + 1, extent);
  }
  return byteLength;
}

/** What stands around the name and the children of a node, and around its value. */
const nodeFrame = '"": {"children": }';
const valueFrame = '"value": "", ';

/** Writes the JSON of a node's children into `target` at `offset`; returns the offset after it. */
function writeChildren(node: TreeNode, target: Uint8Array, offset: number): number {
  let end = offset;
  const put = (text: string): void => {
    for (let index = 0; index < text.length; index++) target[end++] = text.charCodeAt(index);
  };
  const putValue = (value: Uint8Array): void => {
    put('"value": "');
    target.set(value, end);
    end += value.length;
    put('"');
  };
  let separator = '{"';
  for (const [name, child] of node.children) {
    const { value, valueFirst } = child;
    put(separator);
    separator = ', "';
    end = writeEscaped(name, target, end);
    put('": {');
    if (value !== undefined && valueFirst) {
      putValue(value);
      put(', ');
    }
    put('"children": ');
    end = writeChildren(child, target, end);
    if (value !== undefined && !valueFirst) {
      put(', ');
      putValue(value);
    }
    put('}');
  }
  put(node.children.size === 0 ? '{}' : '}');
  return end;
}
