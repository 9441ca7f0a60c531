/** Shared by the tests of transfers: folders as lists of raw names, Python, temporary folders, a stash in memory. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import type { TestContext } from 'vitest';
import type { StashOperation } from '../../../src/stash/index.js';
import type { Files, Folder } from '../../../src/stash/transfer/files.js';
import { nodeFiles } from '../../../src/stash/transfer/node-files.js';
import type { StashTree } from '../../../src/stash/transfer/stash-tree.js';
import { hex, type ListedTree, unhex } from '../support.js';

/** A folder as nested lists, by raw names: contents of a file in hexadecimal, or what is in a folder. */
export type Listed = [name: string, content: string | Listed][];

const slash = Buffer.from('/');

/** Joins a path and a raw name. */
export function joinBytes(folder: Uint8Array | string, name: Uint8Array | string): Buffer {
  return Buffer.concat([Buffer.from(folder as string), slash, Buffer.from(name as string)]);
}

/** Lists what is on the disk, sorted by raw names, which are shown in Latin-1. */
export async function listFolder(path: Uint8Array | string): Promise<Listed> {
  const names = await fs.readdir(Buffer.from(path as string), { encoding: 'buffer' });
  names.sort((a, b) => Buffer.compare(a, b));
  const list: Listed = [];
  for (const name of names) {
    const at = joinBytes(path, name);
    const stats = await fs.lstat(at);
    const content = stats.isDirectory()
      ? await listFolder(at)
      : stats.isFile()
        ? hex(await fs.readFile(at))
        : 'not a file';
    list.push([name.toString('latin1'), content]);
  }
  return list;
}

/** Returns how many files a list has. */
export function countFiles(list: Listed): number {
  return list.reduce((sum, [, content]) => sum + (typeof content === 'string' ? 1 : countFiles(content)), 0);
}

/** Makes what a list says, below a folder that is there. */
export async function makeFolder(path: Uint8Array | string, list: Listed): Promise<void> {
  for (const [name, content] of list) {
    const at = joinBytes(path, Buffer.from(name, 'latin1'));
    if (typeof content === 'string') await fs.writeFile(at, Buffer.from(content, 'hex'));
    else {
      await fs.mkdir(at);
      await makeFolder(at, content);
    }
  }
}

/** Returns all keys of a stash, with values in hexadecimal and `null` for none, in order. */
export async function listNodes(stash: StashTree, key: string[] = []): Promise<[string[], string | null][]> {
  const list: [string[], string | null][] = [];
  for await (const node of stash.nodes(key)) {
    list.push([node.key, node.value === undefined ? null : hex(node.value)]);
  }
  return list;
}

/** Returns the operations that make a tree. */
export function operationsOf(tree: ListedTree, key: string[] = []): StashOperation[] {
  return tree.flatMap(([name, value, children]): StashOperation[] => {
    const at = [...key, name];
    const own: StashOperation =
      value === null ? { type: 'make', key: at } : { type: 'write', key: at, value: unhex(value) };
    return [own, ...operationsOf(children, at)];
  });
}

/** Lists a tree as {@link listNodes} does a stash. */
export function flatten(tree: ListedTree, key: string[] = []): [string[], string | null][] {
  return tree.flatMap(([name, value, children]): [string[], string | null][] => {
    const at = [...key, name];
    return [[at, value], ...flatten(children, at)];
  });
}

/** Runs a Python program with JSON in and out; skips the test loudly where there is no Python. */
export function python(context: TestContext, program: string, input: unknown): unknown {
  try {
    const output = execFileSync('python3', ['-c', `import json, os, sys\n${program}`], {
      input: JSON.stringify(input),
      env: { ...process.env, PYTHONUTF8: '1' },
    });
    return JSON.parse(output.toString());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return skipLoudly(context, 'python3 is missing');
  }
}

/** Skips a test so that it is seen; in CI that is a failure. */
export function skipLoudly(context: TestContext, reason: string): never {
  console.error(`\n*** NOT TESTED: ${reason} ***\n`);
  if (process.env['CI'] === 'true') throw new Error(reason);
  return context.skip(reason);
}

/** Called before each call on a folder, with the call's name and the path of the folder or of what is in it. */
export type Hook = (call: string, path: string) => void | Promise<void>;

function hookedFolder(folder: Folder, hook: Hook): Folder {
  return new Proxy(folder, {
    get(target, property): unknown {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function' || property === 'shown' || property === 'locate') {
        return typeof value === 'function' ? value.bind(target) : value;
      }
      return async (...args: unknown[]): Promise<unknown> => {
        const path = args[0] instanceof Uint8Array ? target.shown(args[0]) : target.path;
        await hook(String(property), path);
        const result: unknown = await Reflect.apply(value, target, args);
        return property === 'open' ? hookedFolder(result as Folder, hook) : result;
      };
    },
  });
}

/** The machine's files, with a hook before each call on a folder. */
export function hookedFiles(hook: Hook, forWindows = false): Files {
  return {
    forWindows,
    openFolder: async (path) => {
      const folder = await nodeFiles.openFolder(path);
      return folder === undefined ? undefined : hookedFolder(folder, hook);
    },
    openParent: async (path) => {
      const { folder, name } = await nodeFiles.openParent(path);
      return { folder: hookedFolder(folder, hook), name };
    },
    readFile: (path, maxByteLength) => nodeFiles.readFile(path, maxByteLength),
  };
}
