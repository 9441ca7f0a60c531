/** A power failure at every call of programs that change a store: everything acknowledged is there, all else whole or not. */
import { expect } from 'vitest';
import { bytes } from './harness.js';
import { powerTests } from './power-tests.js';

const powerTest = powerTests(31_000);

powerTest('creating a store, its first writes, and closing it', 'bytes', async (place) => {
  const stash = await place.open();
  await place.track.write(stash, ['first'], bytes(20));
  await place.track.write(stash, ['second'], bytes(20));
  await stash.close();
});

powerTest('many writes', 'bytes', async (place) => {
  const stash = await place.open();
  for (let index = 0; index < 24; index++) {
    await place.track.write(stash, ['group', `${index % 7}`], bytes(index * 3));
  }
  await stash.close();
});

powerTest('writes without padding', 'bytes', async (place) => {
  const stash = await place.open({ padding: false });
  for (let index = 0; index < 12; index++) await place.track.write(stash, [`${index}`], bytes(index));
});

powerTest('writes at the same time, which share an append and a sync', 'bytes', async (place) => {
  const { track } = place;
  const stash = await place.open({ padding: false });
  for (const count of [5, 3]) {
    const before = place.disk.syncs;
    const writes = Array.from({ length: count }, (_, index) =>
      track.write(stash, [`${count} ${index}`], bytes(40)),
    );
    await Promise.all(writes);
    if (place.disk.syncs - before > 6) throw new Error('they were synced one by one');
  }
});

powerTest('batches and removals', 'bytes', async (place) => {
  const { track } = place;
  const stash = await place.open();
  await track.batch(stash, [
    { type: 'write', key: ['a'], value: bytes(10) },
    { type: 'write', key: ['a', 'b'], value: bytes(100) },
    { type: 'write', key: ['c'], value: bytes(10) },
  ]);
  await track.batch(stash, [
    { type: 'remove', key: ['a', 'b'] },
    { type: 'write', key: ['d'], value: bytes(300) },
    { type: 'write', key: ['c'], value: bytes(11) },
  ]);
  await track.batch(stash, [{ type: 'remove', key: ['a'] }]);
  await track.batch(stash, [{ type: 'remove', key: [] }]);
  await track.write(stash, ['a'], bytes(1));
});

powerTest('large values over small ones and the reverse', 'sectors', async (place) => {
  const { track } = place;
  const stash = await place.open();
  await track.write(stash, ['a'], bytes(10));
  await track.write(stash, ['a'], bytes(150_000));
  await track.write(stash, ['b'], bytes(32_769));
  await track.write(stash, ['a'], bytes(10));
  await track.batch(stash, [
    { type: 'write', key: ['c'], value: bytes(70_000) },
    { type: 'write', key: ['b'], value: bytes(1) },
    { type: 'write', key: ['d'], value: bytes(40_000) },
  ]);
  await track.batch(stash, [{ type: 'remove', key: ['c'] }]);
});

powerTest(
  'large values of which one does not fit on the disk, and what is written then',
  'sectors',
  async (place) => {
    const { track } = place;
    let appends = Number.NEGATIVE_INFINITY;
    const process = place.process((call) =>
      call === 'append' && ++appends === 2 ? { part: 0.5 } : undefined,
    );
    const stash = await place.open({}, process);
    await track.write(stash, ['a'], bytes(10));
    appends = 0;
    const given = [70_000, 40_000].map(
      (count, index) => ({ type: 'write', key: [`${index}`], value: bytes(count) }) as const,
    );
    // The first of them is on the disk by then.
    await expect(stash.batch(given)).rejects.toMatchObject({ code: 'io-failed' });
    await track.write(stash, ['a'], bytes(11));
    await track.write(stash, ['b'], bytes(50_000));
  },
);

powerTest('writes that do not wait for the disk, sync() and close()', 'sectors', async (place) => {
  const { track } = place;
  const stash = await place.open({ durability: 'none' });
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 4; index++) await track.write(stash, [`${index}`], bytes(200 + round), false);
    await track.settle(() => stash.sync());
  }
  await track.write(stash, ['large'], bytes(70_000), false);
  for (let index = 0; index < 3; index++) await track.write(stash, [`${index}`], bytes(20), false);
  await track.settle(() => stash.close());
});

powerTest('two handles in turn, one of which does not wait for the disk', 'sectors', async (place) => {
  const { track } = place;
  const [one, two] = [await place.open(), await place.open({ durability: 'none' })];
  for (let round = 0; round < 4; round++) {
    await track.write(two, ['two', `${round}`], bytes(30), false);
    // What this one syncs is before it, too.
    await track.write(one, ['one', `${round}`], bytes(30));
    await track.write(two, ['two'], bytes(30), false);
  }
  await track.settle(() => one.close());
  await two.close();
});
