/** A new data key: who can open the stash afterwards, what becomes of old copies, handles and slots; and compaction. */
import { copyFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type CredentialOptions,
  generateKey,
  generateRecoveryKey,
  type Progress,
  type Stash,
} from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, digest, hookedEnvironment, listNodes, Place } from './support.js';

const one = utf8('1');
const big = bytesOf(150_000);

async function opens(place: Place, credential: CredentialOptions, path = place.path): Promise<unknown> {
  const stash = await codeOf(() => place.open({ ...credential, readOnly: true, create: false }, path));
  if (typeof stash === 'string') return stash;
  await (stash as Stash).close();
  return true;
}

async function filled(place: Place, options: Parameters<Place['open']>[0] = {}): Promise<Stash> {
  const stash = await place.open(options);
  await stash.batch([
    { type: 'write', key: ['a'], value: one },
    { type: 'make', key: ['empty'] },
    { type: 'write', key: ['big'], value: big },
  ]);
  return stash;
}

describe('rekeying', () => {
  test('is refused while it would lock others out, and changes nothing then', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const recoveryKey = generateRecoveryKey();
    await stash.addSlot({ password: 'p' });
    await stash.addSlot({ recoveryKey });
    const before = readFileSync(place.path);
    const slots = await stash.slots();
    for (const options of [{}, { keep: [{ password: 'p' }] }, { keep: [{ recoveryKey }, { recoveryKey }] }]) {
      expect(await codeOf(() => stash.rekey(options))).toBe('other-slots');
    }
    for (const [keep, code] of [
      [[{ password: 'wrong' }], 'wrong-password'],
      [[{ recoveryKey }, { key: generateKey() }], 'wrong-key'],
      [[{ password: 'p' }, {}], 'bad-option'],
      [[null], 'bad-option'],
      ['p', 'bad-option'],
    ] as const) {
      expect(
        await codeOf(() => stash.rekey({ keep: keep as unknown as CredentialOptions[], dropOthers: true })),
      ).toBe(code);
    }
    expect(await codeOf(() => stash.rekey({ dropOthers: 1 as unknown as boolean }))).toBe('bad-option');
    expect(readFileSync(place.path).equals(before)).toBe(true);
    // Also in what the handle knows of itself.
    expect(await stash.slots()).toEqual(slots);
    expect(slots.map(({ current }) => current)).toEqual([true, false, false]);
    expect(place.names()).toEqual(['a.stash']);
  });

  test('keeps what is given, with kinds, labels and derivations', async () => {
    await using place = new Place();
    const stash = await filled(place, { password: 'own' });
    const recoveryKey = generateRecoveryKey();
    await stash.addSlot({ password: 'p' }, { label: 'words', derivation: { name: 'pbkdf2', iterations: 5 } });
    await stash.addSlot({ recoveryKey }, { label: 'paper' });
    await stash.addSlot({ key: place.key }, { label: 'machine' });
    const nodes = await listNodes(stash);
    const described = async (): Promise<unknown[]> =>
      (await stash.slots()).map(({ kind, label, derivation, current }) => ({
        kind,
        label,
        derivation,
        current,
      }));
    const before = await described();
    const ids = (await stash.slots()).map(({ id }) => id);
    const { epoch } = await stash.anchor();
    await stash.rekey({ keep: [{ recoveryKey }, { password: () => 'p' }, { key: async () => place.key }] });
    const after = await described();
    expect(after).toHaveLength(4);
    expect(after).toEqual(expect.arrayContaining(before));
    for (const { id } of await stash.slots()) expect(ids).not.toContain(id);
    expect((await stash.anchor()).epoch).toBe(epoch + 1);
    for (const credential of [{ password: 'own' }, { password: 'p' }, { recoveryKey }, {}]) {
      expect(await opens(place, credential)).toBe(true);
    }
    expect(await listNodes(stash)).toEqual(nodes);
    expect(digest(await stash.read(['big']))).toBe(digest(big));
    // The caller's key is as it was.
    expect(place.key.some((byte) => byte !== 0)).toBe(true);
  });

  test('drops what is not given, if that is wished', async () => {
    await using place = new Place();
    const stash = await filled(place);
    await stash.addSlot({ password: 'p' });
    await stash.addSlot({ password: 'q' });
    await stash.rekey({ keep: [{ password: 'q' }], dropOthers: true });
    expect(await opens(place, { password: 'p' })).toBe('wrong-password');
    expect(await opens(place, { password: 'q' })).toBe(true);
    expect(await opens(place, {})).toBe(true);
    expect((await stash.slots()).map(({ kind, current }) => [kind, current])).toEqual([
      ['key', true],
      ['password', false],
    ]);
  });

  test('an old file, its key and its slots are of no use for what is written afterwards', async () => {
    await using place = new Place();
    const stash = await filled(place);
    await stash.addSlot({ password: 'p' });
    const old = readFileSync(place.path);
    await stash.rekey({ dropOthers: true });
    await stash.write(['secret'], utf8('swordfish'));
    // With the header pages of the old file, and its key.
    const now = readFileSync(place.path);
    const mixed = `${place.path} mixed`;
    writeFileSync(mixed, Buffer.concat([old.subarray(0, 8192), now.subarray(8192)]));
    const code = await codeOf(() => place.open({ create: false }, mixed));
    expect(['damaged-frame', 'lost-frames']).toContain(code);
    expect(now.includes(old.subarray(96, 96 + 192))).toBe(false);
    // The frames of the old file are in none of the new one.
    expect(now.includes(old.subarray(8192, 8192 + 72))).toBe(false);
  });

  test('other handles with the same secret follow; those with another do not, and may come back', async () => {
    await using place = new Place();
    const stash = await filled(place);
    await stash.addSlot({ password: 'p' });
    const same = await place.open();
    const dropped = await place.open({ password: 'p' });
    const asked: string[] = [];
    let answer = 'p';
    const asking = await place.open({
      password: () => {
        asked.push(answer);
        return answer;
      },
    });
    expect(asked).toEqual(['p']);
    const peer = await place.peer();
    const old = `${place.path} old`;
    copyFileSync(place.path, old);
    await stash.rekey({ dropOthers: true });
    await stash.write(['b'], one);
    expect(await same.children([])).toEqual(['a', 'empty', 'big', 'b']);
    expect(await peer.call('children', [])).toEqual(['a', 'empty', 'big', 'b']);
    for (const call of [() => dropped.read(['a']), () => dropped.write(['x'], one), () => dropped.verify()]) {
      expect(await codeOf(call)).toBe('wrong-password');
    }
    answer = 'nonsense';
    expect(await codeOf(() => asking.read(['a']))).toBe('wrong-password');
    expect(asked).toEqual(['p', 'nonsense']);
    await stash.addSlot({ password: 'p' });
    answer = 'p';
    expect(await asking.read(['b'])).toEqual(one);
    expect(await dropped.read(['b'])).toEqual(one);
    // Once it has the key, it is not asked again, whatever is written or compacted.
    asked.length = 0;
    await stash.write(['c'], one);
    await stash.compact();
    await same.changePassword('q');
    await peer.call('write', ['d'], one);
    expect(await asking.children([])).toEqual(['a', 'empty', 'big', 'b', 'c', 'd']);
    expect(asked).toEqual([]);
  });

  test('by a function that gives something else now: nothing changes', async () => {
    await using place = new Place();
    let answer = 'p';
    const stash = await filled(place, { password: () => answer });
    answer = 'q';
    const before = readFileSync(place.path);
    expect(await codeOf(() => stash.rekey())).toBe('wrong-password');
    expect(readFileSync(place.path).equals(before)).toBe(true);
    expect(await stash.read(['a'])).toEqual(one);
  });

  test('verifying goes on where another rekeys in between', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const copy = `${place.path} copy`;
    copyFileSync(place.path, copy);
    await (await place.open({}, copy)).rekey();
    const environment = hookedEnvironment((call) => {
      if (call === 'open read' && existsSync(copy)) renameSync(copy, place.path);
    });
    const hooked = await place.openOn(environment);
    expect(await hooked.verify()).toMatchObject({ values: 1 });
    expect(await hooked.read(['a'])).toEqual(one);
  });
});

describe('compaction', () => {
  test('makes the file smaller, and keeps everything', async () => {
    await using place = new Place();
    const stash = await filled(place);
    for (let round = 0; round < 100; round++) await stash.write(['a'], utf8(`${round}`));
    await stash.write(['big'], bytesOf(200_000, 2));
    await stash.remove(['empty']);
    const { storeId, sequence } = await stash.anchor();
    const nodes = await listNodes(stash);
    const slots = await stash.slots();
    const { size, mode } = statSync(place.path);
    const { before, after } = await stash.compact();
    expect(before).toBe(size);
    expect(after).toBe(statSync(place.path).size);
    expect(after).toBeLessThan(before - 150_000);
    expect(statSync(place.path).mode).toBe(mode);
    expect(mode & 0o777).toBe(0o600);
    expect(await listNodes(stash)).toEqual(nodes);
    expect(await stash.slots()).toEqual(slots);
    const anchor = await stash.anchor();
    expect(anchor).toMatchObject({ storeId, epoch: 2 });
    expect(anchor.sequence).toBeGreaterThan(sequence);
    await stash.write(['more'], one);
    expect(await listNodes(await place.open())).toEqual([...nodes, [['more'], digest(one)]]);
    expect(place.names()).toEqual(['a.stash']);
  });

  test('does not put a file in place that cannot be read, and takes away what killed ones have left', async () => {
    await using place = new Place();
    let temporary = '';
    let spoils = true;
    const environment = hookedEnvironment((call, path) => {
      if (call !== 'temporary sync') return;
      temporary = path;
      if (!spoils) return;
      const bytes = readFileSync(path);
      bytes[9000] = (bytes[9000] as number) ^ 1;
      writeFileSync(path, bytes);
    });
    const stash = await place.openOn(environment);
    await stash.write(['a'], bytesOf(5000));
    const before = readFileSync(place.path);
    for (const call of [() => stash.compact(), () => stash.rekey()]) {
      expect(await failure(call)).toMatchObject({ name: 'StashCorruptError' });
      expect(readFileSync(place.path).equals(before)).toBe(true);
      expect(place.names()).toEqual(['a.stash']);
    }
    spoils = false;
    const left = temporary.replace(/[0-9a-f]{32}\.tmp$/, `${'ab'.repeat(16)}.tmp`);
    const other = join(place.folder, '.secretbus-other.tmp');
    for (const path of [left, other]) writeFileSync(path, 'left');
    await stash.compact();
    expect(place.names()).toEqual(['.secretbus-other.tmp', 'a.stash']);
    expect(await stash.read(['a'])).toEqual(bytesOf(5000));
  });

  test('of nothing, and of what was all removed', async () => {
    await using place = new Place();
    const stash = await place.open();
    for (let round = 0; round < 3; round++) {
      expect(await stash.compact()).toEqual({ before: 8192, after: 8192 });
      expect((await stash.anchor()).epoch).toBe(round + 2);
    }
    await stash.write(['a'], big);
    await stash.remove([]);
    const { before, after } = await stash.compact();
    expect(before).toBeGreaterThan(150_000);
    expect(after).toBe(8192);
    await (await place.open()).write(['b'], one);
    expect(await stash.children([])).toEqual(['b']);
  });

  test('of a large value that cannot be read fails, and leaves all as it is', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const bytes = readFileSync(place.path);
    // In the middle of the first chunk: the frames begin after the batch that is none.
    bytes[8192 + 30_000] = (bytes[8192 + 30_000] as number) ^ 1;
    writeFileSync(place.path, bytes);
    const error = await failure(() => stash.compact());
    expect(error).toMatchObject({ name: 'StashCorruptError', code: 'damaged-frame' });
    for (const call of [() => stash.read(['big']), () => stash.verify(), () => stash.rekey()]) {
      expect(await codeOf(call)).toBe('damaged-frame');
    }
    expect(readFileSync(place.path).equals(bytes)).toBe(true);
    expect(place.names()).toEqual(['a.stash']);
    expect(await stash.read(['a'])).toEqual(one);
    await stash.write(['b'], one);
    // It can be removed all the same; only its value cannot be given.
    expect(await codeOf(() => stash.remove(['big']))).toBe('damaged-frame');
    expect(await stash.children([])).toEqual(['a', 'empty', 'b']);
    await stash.compact();
    expect(await (await place.open()).children([])).toEqual(['a', 'empty', 'b']);
  });

  test('unasked, when most of the file is of no more use; and not if it is switched off', async () => {
    for (const autoCompact of [true, false]) {
      await using place = new Place();
      const stash = await place.open({ autoCompact });
      const kept = utf8('kept');
      await stash.write(['kept'], kept);
      const value = bytesOf(100_000);
      let largest = 0;
      for (let round = 0; round < 40; round++) {
        await stash.write(['a'], value);
        largest = Math.max(largest, statSync(place.path).size);
      }
      // Reading waits for what goes on after the write.
      expect(await stash.read(['kept'])).toEqual(kept);
      expect((await stash.anchor()).epoch > 1).toBe(autoCompact);
      expect(largest < 2_000_000).toBe(autoCompact);
      expect(await listNodes(await place.open())).toEqual([
        [['kept'], digest(kept)],
        [['a'], digest(value)],
      ]);
      expect(place.names()).toEqual(['a.stash']);
    }
  });

  test('unasked, a failure of it is no failure of the write, and it is not tried at each', async () => {
    await using place = new Place();
    let attempts = 0;
    const environment = hookedEnvironment((call) => {
      if (call !== 'create' || attempts < 0) return;
      attempts++;
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    });
    const made = await place.open();
    await made.write(['kept'], one);
    const stash = await place.openOn(environment);
    const value = bytesOf(100_000);
    for (let round = 0; round < 30; round++) await stash.write(['a'], value);
    await stash.read(['kept']);
    expect(attempts).toBeGreaterThan(0);
    expect(attempts).toBeLessThan(4);
    expect(await codeOf(() => stash.compact())).toBe('io-failed');
    attempts = -1;
    expect((await stash.compact()).after).toBeLessThan(200_000);
    expect(await stash.children([])).toEqual(['kept', 'a']);
  });

  test('progress is told, from 0 to 1', async () => {
    await using place = new Place();
    const stash = await place.open();
    for (let index = 0; index < 20; index++) await stash.write([`${index}`], bytesOf(1_000_000, index));
    for (const [name, phase, run] of [
      ['compact', 'write', (onProgress: (progress: Progress) => void) => stash.compact({ onProgress })],
      ['verify', 'verify', (onProgress: (progress: Progress) => void) => stash.verify({ onProgress })],
      ['rekey', 'write', (onProgress: (progress: Progress) => void) => stash.rekey({ onProgress })],
    ] as const) {
      const told: Progress[] = [];
      await run((progress) => void told.push(progress));
      const done = told.filter((each) => each.phase === phase).map((each) => each.done);
      expect([name, done.length > 2]).toEqual([name, true]);
      for (const each of done) {
        expect(each).toBeGreaterThanOrEqual(0);
        expect(each).toBeLessThanOrEqual(1);
      }
    }
  });
});
