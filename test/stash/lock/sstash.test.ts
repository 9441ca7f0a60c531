/** A sstash file with several writers: no acknowledged write is lost, and nothing is left beside the file. */
import * as fs from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hashText } from '../../../src/stash/durable-file.js';
import { SecureStash } from '../../../src/stash/sstash/secure-stash.js';
import { codeOf, failure, temporaryFolder, utf8 } from '../support.js';
import { bundle, modes, Place, sleep, start } from './support.js';

const options = { password: 'p', create: true, iterations: 1 } as const;

let writer = '';
beforeAll(async () => {
  writer = await bundle('sstash-writer');
});

async function valuesOf(path: string): Promise<Map<string, string>> {
  const values = new Map<string, string>();
  await using stash = await SecureStash.open(path, { password: 'p' });
  for await (const { key, value } of stash.entries()) {
    values.set(key.join(' '), Buffer.from(value).toString());
  }
  return values;
}

describe.each(modes)('%s', (mode) => {
  // Each turn with flock costs a program; what is shown is the same.
  const writes = mode === 'flock' ? 50 : 200;

  test.each([2, 10])(`%i processes, ${writes} writes each: every one is there`, async (count) => {
    await using folder = await temporaryFolder();
    const names = Array.from({ length: count }, (_, index) => `writer${index}`);
    const peers = names.map((name) => start(writer, [folder.file, name, String(writes), mode]));
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(names.map(() => 0));
    const values = await valuesOf(folder.file);
    expect(values.size).toBe(count * writes);
    for (const [key, value] of values) expect(value).toBe(key);
    expect(await fs.readdir(folder.path)).toEqual(['store.sstash']);
  });

  test('writers that are killed: what they acknowledged is there, what they left is removed', async () => {
    await using folder = await temporaryFolder();
    await (await SecureStash.open(folder.file, { ...options, lock: mode })).close();
    // Not of this target, or not of ours.
    const others = [
      `.secretbus-${hashText('/another')}-${'0'.repeat(32)}.tmp`,
      `.secretbus-${hashText(`/${basename(folder.file)}`)}-notes.tmp`,
      `.secretbus-${'0'.repeat(32)}.tmp`,
    ];
    for (const name of others) await fs.writeFile(join(folder.path, name), '');
    let left = 0;
    // Until one was killed between making its temporary file and renaming it.
    for (let round = 0; round < 12 || (left === 0 && round < 60); round++) {
      using peer = start(writer, [folder.file, `round${round}`, '100000', mode]);
      using other = start(writer, [folder.file, `other${round}`, '100000', mode]);
      await Promise.all([peer.said(2), other.said(2)]);
      await sleep((round * 7) % 23);
      peer.child.kill('SIGKILL');
      other.child.kill('SIGKILL');
      await Promise.all([peer.ended, other.ended]);
      const values = await valuesOf(folder.file);
      for (const [name, { lines }] of [
        [`round${round}`, peer],
        [`other${round}`, other],
      ] as const) {
        for (const line of lines) expect(values.get(`${name} ${line}`)).toBe(`${name} ${line}`);
      }
      left += (await fs.readdir(folder.path)).length - others.length - 1;
    }
    await fs.writeFile(
      join(folder.path, `.secretbus-${hashText('/store.sstash')}-${'a'.repeat(32)}.tmp`),
      'x',
    );
    expect(left).toBeGreaterThan(0);
    await using stash = await SecureStash.open(folder.file, { ...options, lock: mode });
    await stash.children([]);
    expect((await fs.readdir(folder.path)).length).toBeGreaterThan(others.length + 1);
    await stash.write(['last'], utf8('x'));
    expect((await fs.readdir(folder.path)).toSorted()).toEqual([...others, 'store.sstash'].toSorted());
  });

  test('a change waits no longer than it is told to; reading does not wait', async () => {
    await using folder = await temporaryFolder();
    await using stash = await SecureStash.open(folder.file, { ...options, lock: mode, lockTimeoutMs: 200 });
    await stash.write(['a'], utf8('x'));
    await using peer = Object.assign(start(writer, [folder.file, 'peer', '100000', mode]), {
      [Symbol.asyncDispose]: async () => undefined,
    });
    await peer.said(3);
    // Stopped at some moment, mostly one at which it holds the lock.
    for (let tries = 0; ; tries++) {
      peer.child.kill('SIGSTOP');
      const code = await codeOf(() => stash.write(['a'], utf8('y')));
      if (code === 'locked') break;
      expect(tries).toBeLessThan(50);
      peer.child.kill('SIGCONT');
      await sleep(7);
    }
    expect(await failure(() => stash.remove(['a']))).toMatchObject({ code: 'locked', operation: 'lock' });
    await stash.read(['a']);
    const signal = AbortSignal.timeout(20);
    expect(await codeOf(() => stash.remove(['a'], { signal }))).toBe('cancelled');
    peer.child.kill('SIGKILL');
    await stash.remove(['a']);
  });
});

test('by two paths, one a symbolic link: it is one file', async () => {
  await using folder = await temporaryFolder();
  await (await SecureStash.open(folder.file, options)).close();
  const link = join(folder.path, 'link');
  await fs.symlink(folder.file, link);
  const peers = [folder.file, link].map((path, index) => start(writer, [path, `writer${index}`, '100']));
  await Promise.all(peers.map((peer) => peer.ended));
  expect((await valuesOf(link)).size).toBe(200);
});

test('creating, while the winner removes leftovers: all open it', async () => {
  await using folder = await temporaryFolder();
  for (let round = 0; round < 10; round++) {
    const path = join(folder.path, String(round));
    const peers = Array.from({ length: 4 }, (_, index) => start(writer, [path, `writer${index}`, '3']));
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual([0, 0, 0, 0]);
    expect((await valuesOf(path)).size).toBe(12);
  }
});

test('options are checked', async () => {
  using place = new Place('auto');
  for (const bad of [{ lock: 'none' as 'auto' }, { lockTimeoutMs: 0 }]) {
    expect(await codeOf(() => SecureStash.open(place.path, { ...options, ...bad }))).toBe('bad-option');
  }
});
