/** A program of its own for the tests: opens a stash and does what the lines of its input say, one answer a line. */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { StashError } from '../../../src/stash/errors.js';
import { nodeEnvironment } from '../../../src/stash/native/environment.js';
import { openStore } from '../../../src/stash/native/open-store.js';
import { Stash } from '../../../src/stash/native/stash.js';
import type { StashOptions } from '../../../src/stash/native/stash-options.js';

type Call = { name: string; args: unknown[] };

const { path, options } = revive(process.argv[2] ?? '') as { path: string; options: StashOptions };

function revive(text: string): unknown {
  return JSON.parse(text, (name, value: unknown) => {
    if (name === 'key' && typeof value === 'string') return new Uint8Array(Buffer.from(value, 'hex'));
    if (typeof value !== 'object' || value === null || !('hex' in value)) return value;
    return new Uint8Array(Buffer.from(String(value.hex), 'hex'));
  });
}

function say(answer: object): void {
  const line = JSON.stringify(answer, (_name, value: unknown) =>
    value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value,
  );
  writeSync(1, `${line}\n`);
}

function described(error: unknown): object {
  return error instanceof StashError ? { code: error.code } : { message: String(error) };
}

const store = await openStore(nodeEnvironment, path, options);
const stash = new Stash(store);

const functions: Record<string, (...args: never[]) => unknown> = {
  /** So many changes one after another: each counts on, in keys of this writer's own. */
  count: async (name: string, count: number) => {
    for (let value = 1; value <= count; value++) {
      await stash.write([name, `${value % 50}`], new TextEncoder().encode(`${value}`));
    }
  },
  /** Takes the lock and holds it for so many milliseconds, from the answer on. */
  hold: async (ms: number) => {
    await new Promise<void>((resolve, reject) => {
      store
        .exclusively(async () => {
          resolve();
          await new Promise((end) => setTimeout(end, ms));
        }, undefined)
        .catch(reject);
    });
  },
  /** Whether values of the keys only grow while others write, in so many reads each. */
  follow: async (keys: string[][], reads: number) => {
    const last = keys.map(() => 0);
    for (let read = 0; read < reads; read++) {
      for (const [index, key] of keys.entries()) {
        const value = (await stash.has(key)) ? Number(Buffer.from(await stash.read(key)).toString()) : 0;
        if (value < (last[index] as number)) return `${key.join()} went from ${last[index]} to ${value}`;
        last[index] = value;
      }
      if (read % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return last;
  },
  /** What keeps the process alive beside its pipes. */
  resources: () => process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY/.test(name)),
  /** Starts to watch; the changes come with `watched`. */
  watch: () => {
    const changes = stash.watch();
    functions['watched'] = async () => (await changes.next()).value;
  },
};

say({});
for await (const line of createInterface({ input: process.stdin })) {
  const { name, args } = revive(line) as Call;
  try {
    const own = functions[name];
    const method: unknown = Reflect.get(stash, name);
    const call = own ?? (typeof method === 'function' ? method.bind(stash) : undefined);
    say({ result: await (call as (...given: unknown[]) => unknown)(...args) });
  } catch (error) {
    say({ error: described(error) });
  }
}
await stash.close();
