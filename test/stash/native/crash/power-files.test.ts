/** A power failure at every call of programs that put another file in the place of a store, or change who can open it. */
import { expect } from 'vitest';
import { bytes, newKey, type Place } from './harness.js';
import { powerTests } from './power-tests.js';

const powerTest = powerTests(3_700);

const cheap = { derivation: { name: 'scrypt', N: 2, r: 1 } } as const;

async function fill(place: Place, count: number, byteLength = 30): Promise<void> {
  await place.unwatched(async () => {
    const stash = await place.open();
    for (let index = 0; index < count; index++)
      await place.track.write(stash, ['group', `${index % 3}`], bytes(byteLength));
    await stash.close();
  });
}

powerTest('compaction', 'sectors', async (place) => {
  await fill(place, 6);
  const { track } = place;
  const stash = await place.open();
  await track.write(stash, ['before'], bytes(20));
  await track.write(stash, ['large'], bytes(70_000));
  await stash.compact();
  await track.write(stash, ['after'], bytes(20));
  await track.write(stash, ['large'], bytes(40_000));
  await stash.compact();
  await stash.compact();
  await track.batch(stash, [{ type: 'remove', key: [] }]);
  await stash.compact();
  await track.write(stash, ['after'], bytes(20));
  await stash.close();
});

powerTest('compaction of what is not on the disk yet', 'sectors', async (place) => {
  await fill(place, 2);
  const { track } = place;
  const stash = await place.open({ durability: 'none' });
  for (const name of ['a', 'b', 'c']) await track.write(stash, [name], bytes(20), false);
  await track.settle(() => stash.compact());
  for (const name of ['a', 'b', 'c']) await track.write(stash, [name], bytes(20), false);
  await track.settle(() => stash.close());
});

powerTest('compaction that nobody asked for', 'coarse', async (place) => {
  await fill(place, 4, 250_000);
  const { track, disk } = place;
  const [, inode] = [...disk.names][0] ?? [];
  const stash = await place.open({ autoCompact: true });
  await track.write(stash, ['small'], bytes(250_000));
  await track.batch(stash, [{ type: 'remove', key: ['small'] }]);
  await track.batch(stash, [{ type: 'remove', key: ['group'] }]);
  await track.write(stash, ['small'], bytes(20));
  await track.write(stash, ['small'], bytes(20));
  await stash.close();
  const [, now] = [...disk.names][0] ?? [];
  expect(now?.number).not.toBe(inode?.number);
  expect(now?.data.length).toBeLessThan(100_000);
});

powerTest('compaction by one handle, and another that goes on', 'sectors', async (place) => {
  await fill(place, 3);
  const { track } = place;
  const [one, two] = [await place.open(), await place.open()];
  for (let round = 0; round < 3; round++) {
    await track.write(one, ['one', `${round}`], bytes(20));
    await two.compact();
    await track.write(one, ['one', `again ${round}`], bytes(20));
    await track.write(two, ['two', `${round}`], bytes(20));
  }
  await two.close();
  await one.close();
});

powerTest('rekeying', 'sectors', async (place) => {
  await fill(place, 3);
  const { track } = place;
  const other = newKey();
  const stash = await place.open();
  await stash.addSlot(other);
  track.setOpeners({ every: [place.credential, other] });
  await track.write(stash, ['large'], bytes(40_000));
  await track.write(stash, ['before'], bytes(20));
  await stash.rekey({ keep: [other] });
  await track.write(stash, ['after'], bytes(20));
  track.setOpeners({ every: [place.credential] });
  await stash.rekey({ dropOthers: true });
  track.setOpeners({ none: [other] });
  await track.write(stash, ['after'], bytes(21));
  await stash.close();
});

powerTest('key slots', 'sectors', async (place) => {
  await fill(place, 3);
  const { track, credential } = place;
  const stash = await place.open(cheap);
  const [one, two] = [newKey(), newKey()];
  const id = await stash.addSlot(one, { label: 'one' });
  track.setOpeners({ every: [credential, one] });
  await track.write(stash, ['a'], bytes(20));
  await stash.addSlot(two);
  track.setOpeners({ every: [credential, one, two] });
  await track.write(stash, ['b'], bytes(20));
  track.setOpeners({ every: [credential, two] });
  await stash.removeSlot(id);
  track.setOpeners({ none: [one] });
  await track.write(stash, ['c'], bytes(20));
  track.setOpeners({ one: [] });
  await stash.close();
});

powerTest('passwords', 'sectors', async (place) => {
  await fill(place, 3);
  const { track, credential } = place;
  const stash = await place.open(cheap);
  await stash.addSlot({ password: 'first' }, cheap);
  let password = 'first';
  track.setOpeners({ every: [credential, { password }] });
  for (const next of ['second', 'third']) {
    track.setOpeners({ every: [credential], one: [{ password }, { password: next }] });
    await stash.changePassword(next, cheap);
    track.setOpeners({ every: [credential, { password: next }], one: [], none: [{ password }] });
    password = next;
    await track.write(stash, ['after'], bytes(20));
  }
  await stash.close();
});

powerTest('a password that is the only key', 'sectors', async (place) => {
  const { track } = place;
  await fill(place, 1);
  const key = place.credential;
  const stash = await place.unwatched(() => place.open(cheap));
  await place.unwatched(async () => {
    await stash.addSlot({ password: 'first' }, cheap);
    const [slot] = await stash.slots();
    const other = await place.open({ ...cheap, key: undefined, password: 'first', upgrade: false });
    await other.removeSlot(slot?.id ?? '');
    await other.close();
  });
  track.setOpeners({ every: [], one: [{ password: 'first' }, { password: 'second' }], none: [key] });
  const own = await place.open({ ...cheap, key: undefined, password: 'first', upgrade: false });
  await own.changePassword('second', cheap);
  track.setOpeners({ every: [{ password: 'second' }], one: [], none: [key, { password: 'first' }] });
  await track.write(own, ['after'], bytes(20));
  await own.rekey();
  await track.write(own, ['after'], bytes(21));
  await own.close();
  await stash.close();
});
