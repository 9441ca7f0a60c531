/** Many writers at once, while another compacts the store and a third changes its password: no write is lost. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { bundleWriter, Store, testFolder } from './support.js';
import { passwordOf, slots, valueOf } from './values.js';

const folder = testFolder();
let program = '';
beforeAll(async () => {
  program = await bundleWriter(folder);
});

const writes = 200;

test.each([2, 10])('%d writers', async (count) => {
  const store = new Store(join(folder, String(count), 'store'), program);
  mkdirSync(dirname(store.path));
  await store.create();
  const begun = performance.now();
  const names = Array.from({ length: count }, (_, index) => `writer ${index}`);
  const others = (['compact', 'change passwords'] as const).map((action) =>
    store.start({ action, writer: action }),
  );
  const readers = [1, 2].map((each) =>
    store.start({ action: 'read', writer: `reader ${each}`, to: writes, writers: count }),
  );
  const kinds = ['single', 'batch', 'together'] as const;
  const kindOf = (index: number): (typeof kinds)[number] => kinds[index % kinds.length] ?? 'single';
  const writers = names.map((writer, index) => store.start({ action: kindOf(index), writer, to: writes }));
  try {
    expect(await Promise.all(writers.map((peer) => peer.ended))).toEqual(writers.map(() => 0));
    const ms = performance.now() - begun;
    writeFileSync(`${store.path} over`, '');
    expect(await Promise.all([...others, ...readers].map((peer) => peer.ended))).toEqual([0, 0, 0, 0]);
    await using stash = await store.open();
    for (const [index, writer] of names.entries()) {
      expect(writers[index]?.lines).toHaveLength(writes);
      expect(Buffer.from(await stash.read([writer, 'last'])).toString()).toBe(String(writes));
      for (let number = writes + 1 - slots; number <= writes; number++) {
        const value = await stash.read([writer, `slot ${number % slots}`]);
        expect(Buffer.compare(value, valueOf(kindOf(index), writer, number))).toBe(0);
      }
    }
    const { values } = await stash.verify();
    expect(values).toBe(count * (slots + 1));
    const [compactor, changer] = others;
    const changes = changer?.lines.length ?? 0;
    const lastLines = [compactor, ...readers].map((peer) => peer?.lines.at(-1) ?? '');
    console.log(
      `${count} writers of ${writes} values: ${Math.round(ms)} ms; ${changes} passwords; ${lastLines.join(', ')}`,
    );
    expect(changes).toBeGreaterThan(1);
    expect(Number(/^compacted (\d+)$/.exec(lastLines[0] ?? '')?.[1])).toBeGreaterThan(1);
    await using other = await store.open({ password: passwordOf(changes) });
    expect(await other.children([])).toHaveLength(count);
    expect(readdirSync(dirname(store.path)).toSorted()).toEqual(['store', 'store over']);
  } finally {
    for (const peer of [...writers, ...readers, ...others]) peer[Symbol.dispose]();
  }
});
