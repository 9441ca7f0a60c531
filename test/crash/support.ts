/** Shared by the tests of crashes: the writer as a program of its own, and a place for a store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll } from 'vitest';
import type { CredentialOptions } from '../../src/stash/native/credentials.js';
import { Stash } from '../../src/stash/native/stash.js';
import { type Peer, start } from '../stash/lock/support.js';
import { cheap, passwordOf } from './values.js';
import type { Job } from './writer.js';

/** A folder for one test file, removed when it is over. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-crash-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Bundles the writer into a folder, so that plain node runs it; returns its path. */
export async function bundleWriter(folder: string): Promise<string> {
  const outfile = join(folder, 'writer.mjs');
  const entry = fileURLToPath(new URL('writer.ts', import.meta.url));
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'silent',
  });
  return outfile;
}

/** A store that a key opens, and passwords. */
export class Store {
  readonly path: string;
  readonly key: Uint8Array = crypto.getRandomValues(new Uint8Array(32));
  readonly #program: string;

  constructor(path: string, program: string) {
    this.path = path;
    this.#program = program;
  }

  /** Makes it, empty, with the first password. */
  async create(): Promise<void> {
    await using stash = await Stash.open(this.path, { key: this.key, create: true });
    await stash.addSlot({ password: passwordOf(0) }, cheap);
  }

  async open(credential: CredentialOptions = { key: this.key }): Promise<Stash> {
    // Who was killed has left no lock.
    return await Stash.open(this.path, { ...credential, upgrade: false, lockTimeoutMs: 1_000 });
  }

  /** Starts a program that works on it. */
  start(job: Partial<Job> & Pick<Job, 'action' | 'writer'>): Peer {
    const { path } = this;
    const key = Buffer.from(this.key).toString('hex');
    return start(this.#program, [JSON.stringify({ path, key, from: 1, to: 1, writers: 0, ...job })]);
  }
}
