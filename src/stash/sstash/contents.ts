/**
 * The contents of a sstash file, once decrypted: JSON of nodes `{"children": {…}, "value": "<hex>"}`, as
 * Python's `json.loads` reads and `json.dumps` writes it. Whatever is accepted is rewritten as Python would.
 *
 * Must not import `node:` or anything outside `src/stash`.
 */

import { bytesFromAscii } from '../bytes.js';
import { StashFormatError } from '../errors.js';
import { escapeJsonString } from '../text.js';
import { JsonReader } from './json-reader.js';
import { createNode, maxReadLevels, type TreeNode } from './tree.js';

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

/**
 * Returns the tree that `bytes` hold. Its values are views of `bytes`, which the tree owns from now on;
 * after an error the caller should wipe them.
 * @throws {StashFormatError} `bad-json`, `bad-structure` or `too-deep`.
 */
export function parseContents(bytes: Uint8Array): TreeNode {
  const reader = new JsonReader(bytes, 'contents', 2 * maxReadLevels + 1);
  const children = readChildren(reader);
  reader.end();
  if (children instanceof Misfit) {
    throw new StashFormatError('bad-structure', children.reason, 'contents', children.offset);
  }
  return { children, value: undefined, valueFirst: false };
}

function readChildren(reader: JsonReader): Map<string, TreeNode> | Misfit {
  if (reader.peek() !== 0x7b) {
    return new Misfit('the children are not an object', reader.skip().start);
  }
  const children = new Map<string, TreeNode>();
  const misfits = new Map<string, Misfit>();
  reader.object((span) => {
    const name = reader.text(span);
    const node = readNode(reader);
    // A misfit holds the place too: a repeated name stays where it first stood.
    children.set(name, node instanceof Misfit ? createNode() : node);
    if (node instanceof Misfit) misfits.set(name, node);
    else if (misfits.size > 0) misfits.delete(name);
  });
  for (const misfit of misfits.values()) return misfit;
  return children;
}

/** The members of a node as far as they were read. */
interface NodeMembers {
  children: Map<string, TreeNode> | Misfit;
  value: Uint8Array | Misfit | undefined;
  first: string | undefined;
  extra: Misfit | undefined;
}

function readNode(reader: JsonReader): TreeNode | Misfit {
  if (reader.peek() !== 0x7b) return new Misfit('a node is not an object', reader.skip().start);
  const children = new Misfit('a node has no children', reader.offset);
  const members: NodeMembers = { children, value: undefined, first: undefined, extra: undefined };
  reader.object((span) => {
    const name = reader.text(span);
    members.first ??= name;
    if (name === 'children') members.children = readChildren(reader);
    else {
      const at = reader.skip();
      if (name !== 'value') members.extra ??= new Misfit('a node has an unknown member', span.start);
      else if (at.kind === 'string') members.value = reader.canonical(at);
      else members.value = new Misfit('a value is not a string', at.start);
    }
  });
  if (members.extra !== undefined) return members.extra;
  if (members.children instanceof Misfit) return members.children;
  if (members.value instanceof Misfit) return members.value;
  return { children: members.children, value: members.value, valueFirst: members.first === 'value' };
}

/**
 * Returns the JSON of the tree, ASCII, in a buffer of exactly its size that the caller should wipe.
 * @param maxByteLength - Returns `undefined` instead of anything larger.
 */
export function formatContents(top: TreeNode, maxByteLength: number): Uint8Array | undefined {
  // Collected first, so that no outgrown buffer with secrets is left behind.
  const pieces: (string | Uint8Array)[] = [];
  addChildren(top, pieces);
  let byteLength = 0;
  for (const piece of pieces) byteLength += piece.length;
  if (byteLength > maxByteLength) return undefined;
  const bytes = new Uint8Array(byteLength);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(typeof piece === 'string' ? bytesFromAscii(piece) : piece, offset);
    offset += piece.length;
  }
  return bytes;
}

function addChildren(node: TreeNode, pieces: (string | Uint8Array)[]): void {
  let separator = '{"';
  for (const [name, child] of node.children) {
    pieces.push(`${separator}${escapeJsonString(name)}": `);
    separator = ', "';
    if (child.value === undefined) {
      pieces.push('{"children": ');
      addChildren(child, pieces);
      pieces.push('}');
    } else if (child.valueFirst) {
      pieces.push('{"value": "', child.value, '", "children": ');
      addChildren(child, pieces);
      pieces.push('}');
    } else {
      pieces.push('{"children": ');
      addChildren(child, pieces);
      pieces.push(', "value": "', child.value, '"}');
    }
  }
  pieces.push(node.children.size === 0 ? '{}' : '}');
}
