/** Shared by the tests of the stash: trees as plain lists, generators, hexadecimal, temporary folders. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { FileSystem } from '../../src/stash/file-system.js';
import { StashError } from '../../src/stash/index.js';
import type { SecureStashOptions } from '../../src/stash/options.js';
import { formatContainer, sealBlob } from '../../src/stash/sstash/container.js';
import { deriveKey } from '../../src/stash/sstash/pbkdf2.js';
import { SecureStash } from '../../src/stash/sstash/secure-stash.js';
import { StashStore } from '../../src/stash/sstash/store.js';
import type { TreeNode } from '../../src/stash/sstash/tree.js';
import { MemoryFileSystem } from './memory-file-system.js';

/** A tree as nested lists: name, text of the value or null, children. Comparable with `toEqual`, in order. */
export type ListedTree = [name: string, value: string | null, children: ListedTree][];

/** Returns bytes as lower-case hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Returns the bytes of well-formed hexadecimal. */
export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** Returns the UTF-8 of a text. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Lists a tree of the implementation. */
export function listTree(node: TreeNode): ListedTree {
  return [...node.children].map(([name, child]) => [
    name,
    child.value === undefined ? null : Buffer.from(child.value).toString('latin1'),
    listTree(child),
  ]);
}

/** Makes a tree of the implementation; names must not repeat. */
export function buildTree(list: ListedTree): TreeNode {
  return {
    value: undefined,
    valueFirst: false,
    children: new Map(
      list.map(([name, value, children]) => [
        name,
        {
          ...buildTree(children),
          value: value === null ? undefined : new Uint8Array(Buffer.from(value, 'latin1')),
        },
      ]),
    ),
  };
}

/** Names that have tripped programs, and any run of UTF-16 code units, lone surrogates included. */
export const nameArbitrary: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', 'children', 'value', '', '10', '2', 'toString'),
  fc.constantFrom(
    '\u007f',
    '"\\/',
    '\b\f\n\r\t',
    'é',
    '🔑',
    '\ud800',
    '\udc80',
    '\ufeff',
    '\u2028',
    '\udd11\ud83d',
  ),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 4 })
    .map((units) => String.fromCharCode(...units)),
);

const valueArbitrary: fc.Arbitrary<string | null> = fc.option(fc.uint8Array({ maxLength: 8 }).map(hex));

/** Trees with distinct names on each level. */
export const treeArbitrary: fc.Arbitrary<ListedTree> = fc.letrec<{ tree: ListedTree; none: ListedTree }>(
  (tie) => ({
    none: fc.constant([]),
    tree: fc.uniqueArray(
      fc.tuple(nameArbitrary, valueArbitrary, fc.oneof({ depthSize: 'small' }, tie('none'), tie('tree'))),
      { maxLength: 4, selector: (entry: ListedTree[number]) => entry[0] },
    ),
  }),
).tree;

/** Returns the JSON of a node that only has a value. */
export function nodeText(value: string): string {
  return `{"children": {}, "value": "${value}"}`;
}

/** Where the stash lies in a memory file system, and how it is opened. */
export const memoryPath = '/store';
export const memoryOptions = { password: 'correct horse', create: true, iterations: 1 };

/** Makes an empty stash in memory. */
export async function emptyStash(): Promise<{ fileSystem: MemoryFileSystem; stash: SecureStash }> {
  const fileSystem = new MemoryFileSystem();
  return { fileSystem, stash: await openOn(fileSystem, memoryPath, memoryOptions) };
}

/** Puts a file with the given contents there, as another program would. */
export async function plant(fileSystem: MemoryFileSystem, contents: string, salt = 'salt'): Promise<void> {
  const parameters = { hash: 'SHA-256', salt: utf8(salt), iterations: 2 };
  const key = await deriveKey(utf8(memoryOptions.password), parameters);
  const nonce = crypto.getRandomValues(new Uint8Array(24));
  fileSystem.writeNow(memoryPath, formatContainer(parameters, sealBlob(key, nonce, utf8(contents))));
}

/** Returns a new temporary folder, gone at the end of the block: `await using folder = await ...`. */
export async function temporaryFolder(): Promise<{ path: string; file: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'secretbus-stash-'));
  return {
    path,
    file: join(path, 'store.sstash'),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** Opens a stash on any file system. */
export async function openOn(
  fileSystem: FileSystem,
  path: string,
  options: SecureStashOptions,
): Promise<SecureStash> {
  return new SecureStash(await StashStore.open(fileSystem, path, options));
}

/** Returns all entries as pairs of key and hexadecimal, in order. */
export async function listEntries(stash: SecureStash): Promise<[string[], string][]> {
  const list: [string[], string][] = [];
  for await (const { key, value } of stash.entries()) list.push([key, hex(value)]);
  return list;
}

/** Returns what `action` returned, or the code of the StashError it failed with; anything else is thrown. */
export async function codeOf(action: () => unknown): Promise<unknown> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof StashError) return error.code;
    throw error;
  }
}

/** Runs `action`, which has to fail with a StashError, and returns that. */
export async function failure(action: () => unknown): Promise<StashError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof StashError) return error;
    throw error;
  }
  throw new Error('nothing failed');
}

/** One change to a document's bytes. */
export type Mutation = { at: number; drop: number; insert: Uint8Array };

/** Changes to bytes at places given as fractions, of the kinds that break parsers. */
export const mutationsArbitrary: fc.Arbitrary<Mutation[]> = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    drop: fc.integer({ min: 0, max: 3 }),
    insert: fc.oneof(
      fc.constant(new Uint8Array()),
      fc.uint8Array({ maxLength: 2 }),
      fc
        .constantFrom(
          '"',
          '\\',
          '\\u00e9',
          '\\uD83D',
          '{',
          '}',
          '[',
          ']',
          ',',
          ':',
          ' ',
          '\n',
          '-',
          '0',
          '1e5',
        )
        .map(utf8),
      fc
        .constantFrom(
          '{"children": {}}',
          '"children": {}, ',
          '"value": "ff", ',
          '"value": 5, ',
          'NaN',
          'null',
          '\u00e9',
        )
        .map(utf8),
    ),
  }),
  { maxLength: 3 },
);

/** Applies mutations one after another. */
export function mutate(bytes: Uint8Array, mutations: readonly Mutation[]): Uint8Array {
  let result = bytes;
  for (const { at, drop, insert } of mutations) {
    const start = Math.floor(at * result.length);
    const rest = result.subarray(Math.min(result.length, start + drop));
    const next = new Uint8Array(start + insert.length + rest.length);
    next.set(result.subarray(0, start));
    next.set(insert, start);
    next.set(rest, start + insert.length);
    result = next;
  }
  return result;
}
