/** Writers that are killed at any moment: what they had said to be done is there, and the next one goes on at once. */
import { mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StashCryptoError } from '../../src/stash/errors.js';
import type { Stash } from '../../src/stash/native/stash.js';
import { bundleWriter, Store, testFolder } from './support.js';
import { type Kind, kinds, passwordOf, slots, valueOf } from './values.js';

const kills = Number(process.env['CRASH_KILLS'] ?? 100);
const folder = testFolder();
let program = '';
let killed = 0;
let acknowledged = 0;
let torn = 0;
let unfinished = 0;
beforeAll(async () => {
  program = await bundleWriter(folder);
});
afterAll(() => {
  console.log(
    `${killed} kills, ${acknowledged} acknowledged changes; ${torn} torn tails, ${unfinished} temporary files left`,
  );
});

async function opens(store: Store, password: number): Promise<boolean> {
  try {
    const stash = await store.open({ password: passwordOf(password) });
    await stash.close();
    return true;
  } catch (error) {
    if (error instanceof StashCryptoError) return false;
    throw error;
  }
}

async function numberOf(stash: Stash, writer: string): Promise<number> {
  return (await stash.has([writer, 'last']))
    ? Number(Buffer.from(await stash.read([writer, 'last'])).toString())
    : 0;
}

/** Every value that was written up to a number, and not one of another; the one after may be there or not. */
async function checkValues(stash: Stash, kind: Kind, writer: string, said: number): Promise<number> {
  const last = await numberOf(stash, writer);
  expect([said, said + 1]).toContain(last);
  for (let number = Math.max(1, said + 2 - slots); number <= said; number++) {
    const value = await stash.read([writer, `slot ${number % slots}`]);
    expect(Buffer.compare(value, valueOf(kind, writer, number))).toBe(0);
  }
  const next = [writer, `slot ${(said + 1) % slots}`];
  const old = said + 1 - slots;
  const found = (await stash.has(next)) ? Buffer.from(await stash.read(next)) : undefined;
  const isNew = found?.equals(valueOf(kind, writer, said + 1)) === true;
  // Only without a batch may one of the two values be there.
  if (last === said + 1) expect(isNew).toBe(true);
  else if (!isNew) expect(found ?? null).toEqual(old > 0 ? Buffer.from(valueOf(kind, writer, old)) : null);
  else expect(['single', 'together']).toContain(kind);
  return last;
}

describe('a writer that is killed', () => {
  test.concurrent.each(
    kinds.map((kind, index) => [kind, Math.ceil((kills - index) / kinds.length)] as const),
  )('of the kind %s, %d times', async (kind, times) => {
    const store = new Store(join(folder, kind, 'store'), program);
    mkdirSync(dirname(store.path));
    await store.create();
    let from = 1;
    let password = 0;
    for (let round = 0; round < times; round++) {
      const writer = `writer of round ${round - (round % 4)}`;
      if (round % 4 === 0) from = 1;
      using peer = store.start({ action: kind, writer, from, to: 1_000_000 });
      // Some are killed while they open the store.
      if (round % 10 !== 9) await peer.said(1);
      await sleep(Math.random() * 100);
      peer.child.kill('SIGKILL');
      expect(await peer.ended).toBe('SIGKILL');
      killed++;

      unfinished += readdirSync(dirname(store.path)).length - 1;
      const stash = await store.open();
      if (stash.recovered !== undefined) torn++;
      const numbers = peer.lines.filter((line) => /^\d+$/.test(line)).map(Number);
      acknowledged += numbers.length;
      from = 1 + (await checkValues(stash, kind, writer, numbers.at(-1) ?? from - 1));
      // No lock was left, or this would wait for it in vain.
      await stash.write(['between'], Buffer.from(String(round)));
      expect(readdirSync(dirname(store.path))).toEqual(['store']);
      const { recovered, values } = await stash.verify();
      expect(recovered).toBeUndefined();
      expect(values).toBeGreaterThan(0);

      for (const line of peer.lines) {
        const changed = /^changed (\d+)$/.exec(line);
        if (changed === null) continue;
        password = Number(changed[1]);
      }
      const tried = Number(/^trying (\d+)$/.exec(peer.lines.at(-1) ?? '')?.[1] ?? password);
      if (tried !== password && (await opens(store, tried))) password = tried;
      expect(await opens(store, password)).toBe(true);
      expect(await opens(store, password + 1)).toBe(false);
      await stash.close();
    }
  });
});
