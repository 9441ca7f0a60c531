/** Looking at the whole file, and saving what can be read of a damaged one. */
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type SalvageReport, Stash } from '../../../src/stash/index.js';
import { Credential } from '../../../src/stash/native/credentials.js';
import { salvageStore } from '../../../src/stash/native/maintenance.js';
import { parseStashOptions } from '../../../src/stash/native/stash-options.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, digest, hookedEnvironment, listNodes, Place } from './support.js';

const one = utf8('1');
const framesOffset = 8192;

/** Where the frames of a file begin, by their lengths. */
function framesOf(bytes: Buffer): { offset: number; end: number; type: number }[] {
  const frames: { offset: number; end: number; type: number }[] = [];
  for (let offset = framesOffset; offset < bytes.length; ) {
    const end = offset + 72 + bytes.readUInt32LE(offset);
    frames.push({ offset, end, type: bytes.readUInt8(offset + 4) });
    offset = end;
  }
  return frames;
}

function flip(bytes: Buffer, at: number): void {
  bytes[at] = (bytes[at] as number) ^ 0x40;
}

function salvage(place: Place, target: string): Promise<SalvageReport> {
  return Stash.salvage(place.path, target, place.options());
}

/** A store with a frame a value. */
async function written(place: Place): Promise<Stash> {
  const stash = await place.open();
  for (const name of ['a', 'b', 'c', 'd']) await stash.write([name], utf8(`value of ${name}`));
  await stash.write(['big'], bytesOf(150_000));
  for (const name of ['e', 'f']) await stash.write([name, 'below'], utf8(`value of ${name}`));
  return stash;
}

describe('verify', () => {
  test('counts frames, values and bytes, and finds nothing in a file that is whole', async () => {
    await using place = new Place();
    const stash = await written(place);
    const { size } = statSync(place.path);
    const report = { values: 7, byteLength: size, recovered: undefined };
    expect(await stash.verify()).toEqual({ ...report, frames: 6 + 3 + 1 });
    const reader = await place.open({ readOnly: true });
    expect(await reader.verify()).toEqual({ ...report, frames: 10 });
    await stash.compact();
    expect(await reader.verify()).toMatchObject({
      values: 7,
      frames: 4,
      byteLength: statSync(place.path).size,
    });
    expect(await (await place.open({}, `${place.path} empty`)).verify()).toMatchObject({
      frames: 0,
      values: 0,
    });
  });

  test('finds every damaged byte of frames, also in what only this looks at', async () => {
    await using place = new Place();
    const stash = await written(place);
    const good = readFileSync(place.path);
    const frames = framesOf(good);
    expect(frames.map(({ type }) => type)).toEqual([1, 1, 1, 1, 3, 3, 3, 1, 1, 1]);
    for (const [index, { offset, end }] of frames.entries()) {
      for (const at of [offset, offset + 20, offset + 60, offset + 80, end - 1]) {
        const bytes = Buffer.from(good);
        flip(bytes, at);
        writeFileSync(place.path, bytes);
        const error = await failure(() => stash.verify());
        // The last one looks like a torn tail, but for the handle's own position.
        const codes = index === frames.length - 1 ? ['damaged-frame', 'rolled-back'] : ['damaged-frame'];
        expect([at, codes.includes(error.code)]).toEqual([at, true]);
        expect(error.name).toBe('StashCorruptError');
      }
    }
    const headers = Buffer.from(good);
    for (const at of [4000, 4096 + 4000]) flip(headers, at);
    writeFileSync(place.path, headers);
    expect(await codeOf(() => stash.verify())).toBe('damaged-header');
    writeFileSync(place.path, good);
    expect(await stash.verify()).toMatchObject({ frames: 10 });
  });
});

describe('salvage', () => {
  test('of a whole file is a copy, at a later epoch, that opens with the same', async () => {
    await using place = new Place();
    const stash = await written(place);
    await stash.addSlot({ password: 'p' }, { label: 'words' });
    const before = readFileSync(place.path);
    const anchor = await stash.anchor();
    const target = join(place.folder, 'saved');
    expect(await stash.salvage(target)).toEqual({ values: 7, skipped: [], unreadable: [] });
    expect(readFileSync(place.path).equals(before)).toBe(true);
    expect(statSync(target).mode & 0o777).toBe(0o600);
    for (const options of [{}, { password: 'p' }]) {
      const saved = await place.open({ ...options, atLeast: anchor }, target);
      expect(await listNodes(saved)).toEqual(await listNodes(stash));
      expect(await saved.slots()).toHaveLength(2);
      await saved.verify();
    }
    const saved = await place.open({}, target);
    await saved.write(['more'], one);
    expect(await (await place.open({ password: 'p' }, target)).read(['more'])).toEqual(one);
    expect(await codeOf(() => Stash.salvage(place.path, target, { key: new Uint8Array(32) }))).toBe(
      'wrong-key',
    );
  });

  test('of a frame that is damaged in the middle: those before and after are saved, the place is told', async () => {
    await using place = new Place();
    await (await written(place)).close();
    const good = readFileSync(place.path);
    const frames = framesOf(good);
    const names = ['a', 'b', 'c', 'd', undefined, undefined, undefined, 'big', 'e', 'f'];
    const expected = await listNodes(await place.open({ readOnly: true }));
    for (const [index, { offset, end, type }] of frames.entries()) {
      if (type === 3) continue;
      for (const at of [offset + 2, offset + 30, offset + 100]) {
        const bytes = Buffer.from(good);
        flip(bytes, at);
        writeFileSync(place.path, bytes);
        const target = join(place.folder, `saved ${at}`);
        if (index < frames.length - 1) expect(await codeOf(() => place.open())).toBe('damaged-frame');
        const report = await salvage(place, target);
        expect(report).toEqual({
          values: 6,
          skipped: [{ offset, byteLength: end - offset }],
          unreadable: [],
        });
        const saved = await place.open({}, target);
        const lost = names[index];
        expect(await listNodes(saved)).toEqual(expected.filter(([key]) => key[0] !== lost));
        expect((await saved.verify()).values).toBe(6);
        expect(readFileSync(place.path).equals(bytes)).toBe(true);
      }
    }
  });

  test('of a large value whose chunk is damaged: its key is told, all else is saved', async () => {
    await using place = new Place();
    const stash = await written(place);
    await stash.write(['second'], bytesOf(40_000, 2));
    await stash.close();
    const good = readFileSync(place.path);
    const chunks = framesOf(good).filter(({ type }) => type === 3);
    const expected = await listNodes(await place.open({ readOnly: true }));
    for (const [index, { offset, end }] of chunks.entries()) {
      const bytes = Buffer.from(good);
      // In the contents: then the frame looks whole until it is read.
      flip(bytes, end - 1000);
      writeFileSync(place.path, bytes);
      const target = join(place.folder, `saved ${offset}`);
      const lost = index < 3 ? 'big' : 'second';
      expect(await salvage(place, target)).toEqual({ values: 7, skipped: [], unreadable: [[lost]] });
      const saved = await place.open({}, target);
      expect(await listNodes(saved)).toEqual(expected.filter(([key]) => key[0] !== lost));
      await saved.verify();
      // In its header: then the value refers to nothing.
      flip(bytes, end - 1000);
      flip(bytes, offset + 10);
      writeFileSync(place.path, bytes);
      const report = await salvage(place, `${target} header`);
      expect(report.skipped).toEqual([{ offset, byteLength: end - offset }]);
      expect(await (await place.open({}, `${target} header`)).has([lost])).toBe(false);
    }
  });

  test('of several places, holes that are written over, frames cut out, and a cut end', async () => {
    await using place = new Place();
    await (await written(place)).close();
    const good = readFileSync(place.path);
    const frames = framesOf(good);
    const [second, third, last] = [frames[1], frames[2], frames.at(-1)] as [
      (typeof frames)[0],
      (typeof frames)[0],
      (typeof frames)[0],
    ];
    const bytes = Buffer.from(good);
    bytes.fill(0xaa, (second?.offset ?? 0) + 5, (third?.end ?? 0) - 5);
    const cut = bytes.subarray(0, (last?.end ?? 0) - 3);
    writeFileSync(place.path, cut);
    const report = await salvage(place, join(place.folder, 'saved'));
    expect(report).toEqual({
      values: 4,
      skipped: [
        { offset: second?.offset, byteLength: (third?.end ?? 0) - (second?.offset ?? 0) },
        { offset: last?.offset, byteLength: cut.length - (last?.offset ?? 0) },
      ],
      unreadable: [],
    });
    expect(await (await place.open({}, join(place.folder, 'saved'))).children([])).toEqual([
      'a',
      'd',
      'big',
      'e',
    ]);
    // Without its frame a later removal is of a key that is not there.
    const without = Buffer.concat([good.subarray(0, second?.offset), good.subarray(second?.end)]);
    writeFileSync(place.path, without);
    expect(await codeOf(() => place.open())).toBe('damaged-frame');
    expect(await salvage(place, join(place.folder, 'without'))).toEqual({
      values: 6,
      skipped: [],
      unreadable: [],
    });
  });

  test('changes that refer to what is lost are made as far as they can be', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['kept'], one);
    await stash.batch([
      { type: 'write', key: ['lost', 'a'], value: one },
      { type: 'write', key: ['lost', 'b'], value: one },
    ]);
    await stash.batch([
      { type: 'write', key: ['first'], value: one },
      { type: 'remove', key: ['lost', 'a'] },
      { type: 'write', key: ['lost', 'c'], value: one },
    ]);
    await stash.remove(['lost', 'b']);
    await stash.write(['last'], one);
    await stash.close();
    const bytes = readFileSync(place.path);
    flip(bytes, (framesOf(bytes)[1]?.offset ?? 0) + 90);
    writeFileSync(place.path, bytes);
    await salvage(place, join(place.folder, 'saved'));
    const saved = await place.open({}, join(place.folder, 'saved'));
    expect((await listNodes(saved)).map(([key]) => key.join('/'))).toEqual([
      'kept',
      'first',
      'lost',
      'lost/c',
      'last',
    ]);
  });

  test('by a handle that was open when the damage came', async () => {
    await using place = new Place();
    const stash = await written(place);
    const bytes = readFileSync(place.path);
    flip(bytes, (framesOf(bytes)[2]?.offset ?? 0) + 90);
    writeFileSync(place.path, bytes);
    expect(await stash.salvage(join(place.folder, 'saved'))).toMatchObject({ values: 6 });
  });

  test('never over something that is there, whatever it is', async () => {
    await using place = new Place();
    const stash = await written(place);
    const target = join(place.folder, 'target');
    writeFileSync(target, 'mine');
    const folder = join(place.folder, 'folder');
    mkdirSync(folder);
    const dangling = join(place.folder, 'dangling');
    symlinkSync(join(place.folder, 'nothing'), dangling);
    for (const path of [target, folder, dangling, place.path]) {
      expect(await failure(() => stash.salvage(path))).toMatchObject({ code: 'already-exists', path });
    }
    expect(readFileSync(target, 'utf8')).toBe('mine');
    expect(existsSync(join(place.folder, 'nothing'))).toBe(false);
    expect(await codeOf(() => stash.salvage(join(folder, 'none', 'x')))).toBe('not-found');
    expect(await codeOf(() => stash.salvage(''))).toBe('bad-option');
    expect(await codeOf(() => Stash.salvage('', target, place.options()))).toBe('bad-option');
    const missing = place.options({ create: true });
    expect(await codeOf(() => Stash.salvage(join(place.folder, 'none'), `${target}2`, missing))).toBe(
      'not-found',
    );
    expect(place.names()).toEqual(['a.stash', 'dangling', 'folder', 'target']);
    expect((await stash.verify()).values).toBe(7);
  });

  test('of what has no header page left, or of nothing at all, is an error', async () => {
    await using place = new Place();
    await (await written(place)).close();
    const bytes = readFileSync(place.path);
    const target = join(place.folder, 'saved');
    for (const at of [100, 4096 + 100]) flip(bytes, at);
    writeFileSync(place.path, bytes);
    expect(await codeOf(() => salvage(place, target))).toBe('damaged-header');
    flip(bytes, 100);
    writeFileSync(place.path, bytes);
    expect(await salvage(place, target)).toMatchObject({ values: 7 });
    writeFileSync(place.path, '');
    expect(await codeOf(() => salvage(place, `${target}2`))).toBe('not-a-stash');
    expect(place.names()).toEqual(['a.stash', 'saved']);
  });

  test('a target that cannot be written is an error and no unreadable value, and nothing is left of it', async () => {
    await using place = new Place();
    await (await written(place)).close();
    for (let failing = 0; failing < 8; failing++) {
      let writes = 0;
      const environment = hookedEnvironment((call) => {
        if (call === 'temporary write' && writes++ === failing)
          throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
      });
      const options = place.options();
      const target = join(place.folder, 'saved');
      const run = salvageStore(
        environment,
        place.path,
        target,
        new Credential(options),
        parseStashOptions(options),
      );
      const result = await codeOf(() => run);
      if (failing < writes) expect(result).toBe('io-failed');
      else expect(result).toMatchObject({ values: 7 });
      if (failing < writes) expect(place.names()).toEqual(['a.stash']);
      else break;
    }
    expect(place.names()).toEqual(['a.stash', 'saved']);
    expect(digest(await (await place.open({}, join(place.folder, 'saved'))).read(['big']))).toBe(
      digest(bytesOf(150_000)),
    );
  });
});
