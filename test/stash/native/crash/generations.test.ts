/** Crashes after crashes: of what a power failure has left, and of what a process that was killed has left to others. */
import { describe, expect, test } from 'vitest';
import type { Stash } from '../../../../src/stash/native/stash.js';
import { Disk } from './disk.js';
import { bytes, checkMoments, newKey, type Place, path, powerFailures, Watch } from './harness.js';
import { listing } from './track.js';

/** The calls that change the disk: a process that is killed before another one leaves what it leaves before the next of these. */
const changing: ReadonlySet<string> = new Set([
  'append',
  'write',
  'truncate',
  'dataSync',
  'sync',
  'create',
  'link',
  'rename',
  'remove',
  'syncFolder',
]);

/** Goes on with a store that may have been left in the middle of something. */
async function goOn(place: Place): Promise<Stash> {
  const stash = await place.open();
  const found = await listing(stash);
  if (found !== place.track.latest) place.track.recover(found);
  return stash;
}

async function writeSome(place: Place): Promise<void> {
  const { track } = place;
  const stash = await goOn(place);
  await track.write(stash, ['new'], bytes(40));
  await Promise.all(['x', 'y'].map((name) => track.write(stash, ['new', name], bytes(40))));
  await track.write(stash, ['large'], bytes(40_000));
  await stash.close();
}

/** What others do behind a process that was killed. */
const heirs: Record<string, (place: Place) => Promise<void>> = {
  writes: writeSome,
  'a key slot first': async (place) => {
    const stash = await goOn(place);
    await stash.addSlot(newKey());
    await place.track.write(stash, ['new'], bytes(40));
    await stash.close();
  },
  'writes that do not wait': async (place) => {
    const { track } = place;
    const stash = await place.open({ durability: 'none' });
    track.recover(await listing(stash));
    for (const name of ['x', 'y']) await track.write(stash, ['new', name], bytes(40), false);
    await track.settle(() => stash.sync());
    await track.write(stash, ['new', 'x'], bytes(40), false);
    await track.settle(() => stash.close());
  },
  compaction: async (place) => {
    const stash = await goOn(place);
    await place.track.settle(() => stash.compact());
    await place.track.write(stash, ['new'], bytes(40));
    await stash.close();
  },
};

test('a second power failure, after writing on what the first one has left', async () => {
  const credential = newKey();
  const first = await powerFailures(
    async (place) => {
      const { track } = place;
      const stash = await place.open({ durability: 'none' });
      for (const name of ['a', 'b']) await track.write(stash, [name], bytes(40), false);
      await track.settle(() => stash.sync());
      for (const name of ['a', 'c', 'd']) await track.write(stash, [name], bytes(40), false);
      await track.write(stash, ['large'], bytes(70_000), false);
      await track.write(stash, ['e'], bytes(40), false);
    },
    'sectors',
    new Watch(credential),
    8,
  );
  let states = 0;
  for (const { content, found } of first.samples) {
    const disk = new Disk();
    disk.put(path, content);
    const watch = new Watch(credential, disk);
    watch.track.adopt(found);
    const second = await powerFailures(writeSome, 'coarse', watch);
    states += second.states;
  }
  console.log(
    `${states} states after a second power failure, of ${first.samples.length} that a first one had left`,
  );
  expect(first.samples.length).toBeGreaterThan(40);
  expect(states).toBeGreaterThan(3_000);
});

/** What is done by a process that is killed in the middle. */
const doomed: Record<string, (place: Place, open: Place['open']) => Promise<void>> = {
  writes: async ({ track }, open) => {
    const stash = await open();
    await track.write(stash, ['a'], bytes(40));
    await Promise.all(['b', 'c'].map((name) => track.write(stash, [name], bytes(40))));
    await track.write(stash, ['large'], bytes(40_000));
    await stash.close();
  },
  'writes that do not wait': async ({ track }, open) => {
    const stash = await open({ durability: 'none' });
    for (const name of ['a', 'b', 'c']) await track.write(stash, [name], bytes(40), false);
    await track.settle(() => stash.close());
  },
  'key slots': async (_place, open) => {
    const stash = await open();
    const id = await stash.addSlot(newKey());
    await stash.removeSlot(id);
    await stash.close();
  },
  compaction: async ({ track }, open) => {
    const stash = await open();
    await track.write(stash, ['a'], bytes(40));
    await stash.compact();
    await track.write(stash, ['b'], bytes(40));
    await stash.rekey();
    await stash.close();
  },
};

describe('a process killed at any change, and the power that fails later', () => {
  let statesOfKills = 0;
  test.each(Object.keys(heirs))('others go on with: %s', async (heir) => {
    let states = 0;
    let kills = 0;
    for (const [name, program] of Object.entries(doomed)) {
      for (let killAt = 0, killed = true; killed; killAt++) {
        const watch = new Watch();
        let changes = 0;
        killed = false;
        const victim = watch.disk.process((call) => {
          if (changing.has(call) && changes++ === killAt) {
            killed = true;
            victim.kill();
          }
          return undefined;
        });
        try {
          await program(watch, (options) => watch.open(options, victim));
        } catch (error) {
          if (!killed) throw error;
        }
        kills += Number(killed);
        try {
          await heirs[heir]?.(watch);
          // What the one who was killed had not finished is gone.
          expect([...watch.disk.names.keys()]).toEqual([path]);
          watch.look('the end');
          const outcome = await checkMoments(watch, 'coarse');
          states += outcome.states;
        } catch (error) {
          throw new Error(`${name}, killed at change ${killAt}: ${String(error)}`, { cause: error });
        }
      }
    }
    console.log(`${states} states after ${kills} kills and a power failure`);
    statesOfKills += states;
    expect(kills).toBeGreaterThan(80);
    expect(states).toBeGreaterThan(2_300);
  });

  test('all of them together', () => {
    expect(statesOfKills).toBeGreaterThan(15_500);
  });
});
