/**
 * A program of its own for the tests: works on a stash as a job says, and says each thing that was acknowledged.
 * It is killed at some moment, or ends when the job is done.
 */
import { readFileSync, writeSync } from 'node:fs';
import { Stash } from '../../src/stash/native/stash.js';
import { cheap, type Kind, passwordOf, slots, valueOf } from './values.js';

/** What the program is told, as JSON. */
export interface Job {
  readonly path: string;
  /** Hexadecimal. */
  readonly key: string;
  readonly writer: string;
  /**
   * A kind of writer, whose values are counted from `from` to `to`; or one that compacts, changes the password, or reads
   * what so many writers write, until they are done.
   */
  readonly action: Kind | 'compact' | 'change passwords' | 'read';
  readonly from: number;
  readonly to: number;
  readonly writers: number;
}

const job = JSON.parse(process.argv[2] ?? '') as Job;
const { path, writer, action, from, to } = job;
const credential = { key: new Uint8Array(Buffer.from(job.key, 'hex')) };
const utf8 = new TextEncoder();

/** Synchronously: nothing acknowledged may be lost between here and the signal. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

async function write(stash: Stash, kind: Kind): Promise<void> {
  for (let number = from; number <= to; number++) {
    const value = valueOf(kind, writer, number);
    const last = { type: 'write', key: [writer, 'last'], value: utf8.encode(String(number)) } as const;
    const slot = { type: 'write', key: [writer, `slot ${number % slots}`], value } as const;
    if (kind === 'single') {
      await stash.write(slot.key, slot.value);
      await stash.write(last.key, last.value);
    } else if (kind === 'together') {
      await Promise.all([stash.write(slot.key, slot.value), stash.write(last.key, last.value)]);
    } else await stash.batch([slot, last]);
    say(String(number));
    if (kind === 'compacting' && number % 3 === 0) await stash.compact();
    if (kind === 'passwords' && number % 2 === 0) {
      say(`trying ${number}`);
      await stash.changePassword(passwordOf(number), cheap);
      say(`changed ${number}`);
      if (number % 6 === 0) await stash.rekey({ keep: [{ password: passwordOf(number) }] });
    }
  }
}

/** Looks again and again: what was seen never goes back. */
async function read(stash: Stash): Promise<void> {
  const seen = Array.from({ length: job.writers }, () => 0);
  let reads = 0;
  while (seen.some((number) => number < to)) {
    for (let each = 0; each < job.writers; each++) {
      const key = [`writer ${each}`, 'last'];
      const number = (await stash.has(key)) ? Number(Buffer.from(await stash.read(key)).toString()) : 0;
      if (!(number >= (seen[each] ?? 0)))
        throw new Error(`${key.join(' ')} went from ${seen[each]} back to ${number}`);
      seen[each] = number;
      reads++;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  say(`read ${reads}`);
}

/** Whether the test wants no more, which it says in a file. */
function isOver(): boolean {
  try {
    readFileSync(`${path} over`);
    return true;
  } catch {
    return false;
  }
}

const stash = await Stash.open(path, {
  ...credential,
  ...cheap,
  create: true,
  readOnly: action === 'read',
  durability: action === 'unsynced' ? 'none' : 'full',
  lockTimeoutMs: 60_000,
});
let count = 0;
if (action === 'read') await read(stash);
else if (action === 'compact') {
  for (; !isOver(); count++) {
    await stash.compact();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  say(`compacted ${count}`);
} else if (action === 'change passwords') {
  for (; !isOver(); ) {
    await stash.changePassword(passwordOf(++count), cheap);
    say(`changed ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
} else await write(stash, action);
await stash.close();
