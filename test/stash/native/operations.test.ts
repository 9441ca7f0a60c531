/** What each operation of a handle does and returns, with which errors, in which order, and what it costs. */
import { describe, expect, test } from 'vitest';
import type { StashKey, StashOperation } from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, digest, hookedEnvironment, listNodes, Place } from './support.js';

const one = utf8('1');
const two = utf8('2');
const big = bytesOf(100_000);

/** Keys that stay: a value and a key below it, one without a value, and a large one. */
const start: StashOperation[] = [
  { type: 'write', key: ['a'], value: one },
  { type: 'write', key: ['a', 'b'], value: two },
  { type: 'make', key: ['empty'] },
  { type: 'write', key: ['big'], value: big },
];

const startNodes = [
  [['a'], digest(one)],
  [['a', 'b'], digest(two)],
  [['empty'], null],
  [['big'], digest(big)],
];

async function filled(place: Place): Promise<Awaited<ReturnType<Place['open']>>> {
  const stash = await place.open();
  await stash.batch(start);
  return stash;
}

describe('verbs', () => {
  test('reading, listing, asking', async () => {
    await using place = new Place();
    const stash = await filled(place);
    expect(await stash.read(['a'])).toEqual(one);
    expect(await stash.read(['a', 'b'])).toEqual(two);
    expect(digest(await stash.read(['big']))).toBe(digest(big));
    expect(await stash.has(['a'])).toBe(true);
    expect(await stash.has(['big'])).toBe(true);
    for (const key of [[], ['empty'], ['none'], ['a', 'none'], ['none', 'none']]) {
      expect([key, await stash.has(key)]).toEqual([key, false]);
    }
    expect(await stash.children([])).toEqual(['a', 'empty', 'big']);
    expect(await stash.children(['a'])).toEqual(['b']);
    expect(await stash.children(['empty'])).toEqual([]);
    expect(await listNodes(stash)).toEqual(startNodes);
    expect(await listNodes(stash, ['a'])).toEqual(startNodes.slice(0, 2));
    expect(await listNodes(stash, ['empty'])).toEqual([[['empty'], null]]);
    const entries: [string[], string][] = [];
    for await (const { key, value } of stash.entries()) entries.push([key, digest(value)]);
    expect(entries).toEqual(startNodes.filter(([, value]) => value !== null));
    expect([stash.path, stash.readOnly, stash.recovered]).toEqual([place.path, false, undefined]);
  });

  test('what is returned belongs to the caller', async () => {
    await using place = new Place();
    const stash = await filled(place);
    await stash.write(['more'], bytesOf(5000));
    await stash.compact();
    const nodes = [...startNodes, [['more'], digest(bytesOf(5000))]];
    for (const handle of [stash, await place.open()]) {
      for (const key of [['a'], ['big'], ['more']]) (await handle.read(key)).fill(0);
      for await (const { key, value } of handle.nodes([])) {
        key.push('x');
        value?.fill(0);
      }
      (await handle.children([])).push('x');
      expect(await listNodes(handle)).toEqual(nodes);
    }
  });

  test('what is given is copied at the call, keys, values and operations', async () => {
    await using place = new Place();
    const stash = await place.open();
    const key = ['k'];
    const value = utf8('value');
    const operations: StashOperation[] = [{ type: 'write', key, value }];
    const large = bytesOf(70_000);
    const before = digest(large);
    // Whose own methods make views where those of others copy.
    const buffer = Buffer.from('buffer');
    const done = [
      stash.write(key, value),
      stash.batch(operations),
      stash.write(['large'], large),
      stash.write(['buffer'], buffer),
      stash.remove(key),
      stash.write(key, value),
    ];
    key[0] = 'other';
    value.fill(0);
    large.fill(0);
    buffer.fill(0);
    operations.push({ type: 'remove', key: ['none'] });
    await Promise.all(done);
    expect(await listNodes(stash)).toEqual([
      [['large'], before],
      [['buffer'], digest(utf8('buffer'))],
      [['k'], digest(utf8('value'))],
    ]);
  });

  test('removing gives the value, takes what is below, and leaves what is above', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const large = await stash.remove(['big']);
    expect(large === undefined ? undefined : digest(large)).toBe(digest(big));
    expect(await stash.remove(['empty'])).toBeUndefined();
    expect(await stash.remove(['a', 'b'], { recursive: false })).toEqual(two);
    await stash.write(['a', 'c', 'd'], two);
    expect(await stash.remove(['a', 'c', 'd'])).toEqual(two);
    expect(await listNodes(stash)).toEqual([
      [['a'], digest(one)],
      [['a', 'c'], null],
    ]);
    expect(await stash.remove([])).toBeUndefined();
    expect(await stash.children([])).toEqual([]);
    expect(await stash.remove([], { recursive: false })).toBeUndefined();
    expect(
      await stash.batch([...start, { type: 'remove', key: ['a'] }, { type: 'remove', key: ['big'] }]),
    ).toEqual([undefined, undefined, undefined, undefined, one, big]);
  });

  test('a batch of nothing, and the top that is made, are no errors', async () => {
    await using place = new Place();
    const stash = await place.open();
    expect(await stash.batch([])).toEqual([]);
    expect(await stash.batch([{ type: 'make', key: [] }])).toEqual([undefined]);
    expect(await stash.batch([{ type: 'make', key: [], empty: true }])).toEqual([undefined]);
    await stash.write(['a'], one);
    const error = await failure(() => stash.batch([{ type: 'make', key: [], empty: true }]));
    expect(error).toMatchObject({ code: 'has-children', key: [], hasValue: false, operationIndex: 0 });
    await place.open();
  });

  test('odd names are names', async () => {
    await using place = new Place();
    const stash = await place.open();
    const names = [
      '',
      '__proto__',
      'constructor',
      '10',
      '2',
      '\0',
      '\ud800',
      '\udc80\ud83d',
      '\ufeff',
      'é',
      'e\u0301',
      '🔑',
    ];
    await Promise.all(names.map((name) => stash.write([name, name], utf8(`value ${name.length}`))));
    for (const handle of [stash, await place.open()]) {
      expect(await handle.children([])).toEqual(names);
      for (const name of names) expect(await handle.children([name])).toEqual([name]);
    }
    const long = 'x'.repeat(16_383);
    await stash.write([long], one);
    expect(await codeOf(() => stash.write([`${long}x`], one))).toBe('store-too-large');
    expect(await codeOf(() => stash.write(['fresh', `${long}x`], one))).toBe('store-too-large');
    expect((await (await place.open()).children([])).at(-1)).toBe(long);
    expect(await stash.children([])).not.toContain('fresh');
  });
});

describe('errors', () => {
  const deep = Array.from({ length: 65 }, () => 'd');

  test('of keys', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const bad = [undefined, 'a', [1], [['a']], { length: 1 }] as unknown as StashKey[];
    for (const key of bad) {
      for (const call of [
        () => stash.read(key),
        () => stash.has(key),
        () => stash.children(key),
        () => stash.write(key, one),
        () => stash.remove(key),
        () => stash.nodes(key).next(),
      ]) {
        expect(await codeOf(async () => await call())).toBe('bad-key');
      }
    }
    for (const call of [() => stash.read([]), () => stash.write([], one)]) {
      expect(await failure(call)).toMatchObject({ code: 'empty-key', key: [] });
    }
    const key = ['a', 'x', 'y'];
    for (const call of [
      () => stash.read(key),
      () => stash.children(key),
      () => stash.remove(key),
      () => stash.nodes(key).next(),
    ]) {
      const error = await failure(call);
      expect(error).toMatchObject({ name: 'StashKeyError', code: 'key-not-found', key, missing: ['a', 'x'] });
      expect(error.operationIndex).toBeUndefined();
    }
    expect(await failure(() => stash.read(['empty']))).toMatchObject({ code: 'no-value', key: ['empty'] });
    expect(await codeOf(() => stash.write(deep, one))).toBe('key-too-deep');
    await stash.write(deep.slice(1), one);
    for (const [at, hasValue] of [
      [['a'], true],
      [['d'], false],
      [[], false],
    ] as const) {
      const error = await failure(() => stash.remove(at, { recursive: false }));
      expect(error).toMatchObject({ code: 'has-children', key: at, hasValue });
    }
    await stash.remove(['d']);
    expect(await listNodes(stash)).toEqual(startNodes);
  });

  test('of values and operations, which change nothing', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const values = [
      undefined,
      'text',
      [1],
      new Uint16Array(1),
      new ArrayBuffer(1),
    ] as unknown as Uint8Array[];
    for (const value of values) {
      expect(await failure(() => stash.write(['a'], value))).toMatchObject({ code: 'bad-value', key: ['a'] });
    }
    // Not even looked at, so that this takes no memory.
    const tooLong = new Uint8Array(2 ** 28 + 1);
    expect(await failure(() => stash.write(['a'], tooLong))).toMatchObject({
      code: 'store-too-large',
      key: ['a'],
    });
    const batches = [
      undefined,
      {},
      [undefined],
      [{}],
      [{ type: 'read', key: ['a'] }],
      [{ type: 'make', key: ['a'], empty: 1 }],
    ];
    for (const batch of [...batches, [{ type: 'remove', key: ['a'], recursive: 1 }]]) {
      expect(await codeOf(() => stash.batch(batch as StashOperation[]))).toBe('bad-option');
    }
    const recursive = 'yes' as unknown as boolean;
    expect(await codeOf(() => stash.remove(['a'], { recursive }))).toBe('bad-option');
    expect(await listNodes(stash)).toEqual(startNodes);
  });

  test('the operation at fault is told, and the others of its batch are not made', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const good: StashOperation[] = [
      { type: 'remove', key: [] },
      { type: 'write', key: ['new', 'x'], value: big },
    ];
    const faults: [StashOperation, object][] = [
      [
        { type: 'remove', key: ['new', 'y', 'z'] },
        { code: 'key-not-found', missing: ['new', 'y'] },
      ],
      [
        { type: 'remove', key: ['new'], recursive: false },
        { code: 'has-children', hasValue: false },
      ],
      [
        { type: 'make', key: ['new'], empty: true },
        { code: 'has-children', hasValue: false },
      ],
      [{ type: 'make', key: deep }, { code: 'key-too-deep' }],
      [{ type: 'write', key: deep, value: one }, { code: 'key-too-deep' }],
      [{ type: 'write', key: [], value: one }, { code: 'empty-key' }],
      [{ type: 'write', key: ['new', 'x'.repeat(16_384)], value: one }, { code: 'store-too-large' }],
      [{ type: 'write', key: ['x'], value: 'x' as unknown as Uint8Array }, { code: 'bad-value' }],
      [{ type: 'write', key: 'x' as unknown as string[], value: one }, { code: 'bad-key' }],
    ];
    for (const [fault, fields] of faults) {
      const error = await failure(() => stash.batch([...good, fault, ...good]));
      expect(error).toMatchObject({ ...fields, operationIndex: 2 });
      expect(await listNodes(stash)).toEqual(startNodes);
    }
    expect(await listNodes(await place.open())).toEqual(startNodes);
  });

  test('a batch that fails among others that are written with it leaves every value whole', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const results = await Promise.all([
      stash.write(['before'], one),
      codeOf(() =>
        stash.batch([
          { type: 'write', key: ['a'], value: utf8('other') },
          { type: 'remove', key: ['a'] },
          { type: 'remove', key: [] },
          { type: 'remove', key: ['none'] },
        ]),
      ),
      stash.write(['after'], two),
    ]);
    expect(results).toEqual([undefined, 'key-not-found', undefined]);
    const nodes = [...startNodes, [['before'], digest(one)], [['after'], digest(two)]];
    expect(await listNodes(stash)).toEqual(nodes);
    await stash.compact();
    expect(await listNodes(await place.open())).toEqual(nodes);
  });

  test('a batch that is too long for a frame is refused, and those behind it are made', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const value = new Uint8Array(32_768);
    const operations = Array.from({ length: 2100 }, (_none, index) => ({
      type: 'write' as const,
      key: [`${index}`],
      value,
    }));
    const refused = codeOf(() => stash.batch([{ type: 'remove', key: ['a'] }, ...operations]));
    const made = stash.write(['after'], one);
    expect(await refused).toBe('store-too-large');
    await made;
    const nodes = [...startNodes, [['after'], digest(one)]];
    expect(await listNodes(stash)).toEqual(nodes);
    expect(await listNodes(await place.open())).toEqual(nodes);
  });
});

describe('values of any length', () => {
  const lengths = [0, 1, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 98_304, 131_072, 131_073, 200_000];

  test.each([true, false])('in every order over each other, padding %s', async (padding) => {
    await using place = new Place();
    const stash = await place.open({ padding });
    const reader = await place.open({ readOnly: true });
    for (const [index, byteLength] of [...lengths, ...lengths.toReversed(), 7, 100_000, 7].entries()) {
      const value = bytesOf(byteLength, index);
      await stash.write(['value'], value);
      for (const handle of [stash, reader]) expect(digest(await handle.read(['value']))).toBe(digest(value));
    }
    await Promise.all(
      lengths.map((byteLength) => stash.write([`${byteLength}`], bytesOf(byteLength, byteLength))),
    );
    await stash.remove(['value']);
    const nodes = lengths.map((byteLength) => [[`${byteLength}`], digest(bytesOf(byteLength, byteLength))]);
    for (const handle of [stash, reader, await place.open()]) expect(await listNodes(handle)).toEqual(nodes);
    await stash.compact();
    for (const handle of [stash, reader, await place.open()]) expect(await listNodes(handle)).toEqual(nodes);
  });

  test('several in one batch, the same key twice, written and removed', async () => {
    await using place = new Place();
    const stash = await place.open();
    const shared = bytesOf(40_000, 3);
    const removed = await stash.batch([
      { type: 'write', key: ['a'], value: bytesOf(70_000, 1) },
      { type: 'write', key: ['a'], value: bytesOf(80_000, 2) },
      { type: 'write', key: ['b'], value: shared },
      { type: 'write', key: ['c'], value: shared },
      { type: 'write', key: ['d'], value: shared },
      { type: 'write', key: ['d'], value: one },
      { type: 'write', key: ['gone'], value: bytesOf(90_000, 4) },
      { type: 'remove', key: ['gone'] },
    ]);
    expect(removed.map((value) => value && digest(value)).at(-1)).toBe(digest(bytesOf(90_000, 4)));
    const nodes = [
      [['a'], digest(bytesOf(80_000, 2))],
      [['b'], digest(shared)],
      [['c'], digest(shared)],
      [['d'], digest(one)],
    ];
    for (const handle of [stash, await place.open()]) expect(await listNodes(handle)).toEqual(nodes);
  });
});

describe('order', () => {
  test('operations that are not waited for take effect as they were called', async () => {
    await using place = new Place();
    const stash = await place.open();
    const seen: unknown[] = [];
    const results = [
      stash.write(['a'], one),
      stash.read(['a']),
      stash.write(['a'], two),
      stash.write(['b'], big),
      stash.children([]),
      stash.read(['a']),
      stash.compact().then(() => 'compacted'),
      stash.write(['c'], one),
      stash.read(['b']).then(digest),
      stash.remove(['a']),
      stash.has(['a']),
      stash.batch([{ type: 'remove', key: [] }]),
      stash.children([]),
      stash.rekey().then(() => 'rekeyed'),
      stash.write(['d'], one),
      codeOf(() => stash.read(['c'])),
      stash.children([]),
    ].map(async (promise, index) => {
      const result = await promise;
      seen.push(index);
      return result;
    });
    expect(await Promise.all(results)).toEqual([
      undefined,
      one,
      undefined,
      undefined,
      ['a', 'b'],
      two,
      'compacted',
      undefined,
      digest(big),
      two,
      false,
      [undefined],
      [],
      'rekeyed',
      undefined,
      'key-not-found',
      ['d'],
    ]);
    expect(seen).toEqual(results.map((_result, index) => index));
  });

  test('a hundred writes and reads, each read sees the write before it and none after', async () => {
    await using place = new Place();
    const stash = await place.open({ durability: 'none' });
    const reads: Promise<string>[] = [];
    const writes: Promise<void>[] = [];
    for (let value = 0; value < 100; value++) {
      const bytes = value % 10 === 0 ? bytesOf(40_000, value) : utf8(`${value}`);
      writes.push(stash.write(['a'], bytes));
      if (value % 3 === 0) reads.push(stash.read(['a']).then(digest));
    }
    await Promise.all(writes);
    const expected = Array.from({ length: 34 }, (_none, index) => {
      const value = index * 3;
      return digest(value % 10 === 0 ? bytesOf(40_000, value) : utf8(`${value}`));
    });
    expect(await Promise.all(reads)).toEqual(expected);
  });

  test('a call that fails does not stop those behind it', async () => {
    await using place = new Place();
    const stash = await place.open();
    const results = await Promise.all([
      codeOf(() => stash.read(['none'])),
      stash.write(['a'], one),
      codeOf(() => stash.remove(['none'])),
      codeOf(() => stash.removeSlot('00')),
      stash.read(['a']),
    ]);
    expect(results).toEqual(['key-not-found', undefined, 'key-not-found', 'no-such-slot', one]);
  });

  test('entries are those of the first step; those not asked for can be given up', async () => {
    await using place = new Place();
    const stash = await filled(place);
    const entries = stash.entries();
    expect((await entries.next()).value).toEqual({ key: ['a'], value: one });
    await stash.remove(['a', 'b']);
    await stash.write(['z'], one);
    expect((await entries.next()).value).toEqual({ key: ['a', 'b'], value: two });
    // A large one is looked for when its turn comes.
    await stash.remove(['big']);
    expect(await entries.next()).toEqual({ done: true, value: undefined });
    const given = stash.nodes([]);
    await given.next();
    expect(await given.return?.()).toEqual({ done: true, value: undefined });
    expect(await given.next()).toEqual({ done: true, value: undefined });
    const never = stash.nodes([]);
    await never.return?.();
    expect(await never.next()).toEqual({ done: true, value: undefined });
    await stash.write(['big'], big);
    const changed = stash.nodes(['big']);
    await stash.write(['big'], one);
    expect((await changed.next()).value).toEqual({ key: ['big'], value: one });
  });
});

describe('what it costs', () => {
  test('writes that are called together are synced together', async () => {
    await using place = new Place();
    let syncs = 0;
    let appends = 0;
    const environment = hookedEnvironment((call) => {
      if (call === 'dataSync') syncs++;
      if (call === 'append') appends++;
    });
    const stash = await place.openOn(environment);
    await stash.write(['first'], one);
    [syncs, appends] = [0, 0];
    await Promise.all(Array.from({ length: 100 }, (_none, index) => stash.write([`${index}`], one)));
    expect(syncs).toBeLessThanOrEqual(2);
    expect(appends).toBeLessThanOrEqual(2);
    expect(await stash.children([])).toHaveLength(101);
    [syncs, appends] = [0, 0];
    for (let index = 0; index < 10; index++) await stash.write(['one after another'], one);
    expect([syncs, appends]).toEqual([10, 10]);
    [syncs, appends] = [0, 0];
    await stash.write(['large'], bytesOf(200_000));
    expect([syncs, appends]).toEqual([2, 2]);
  });

  test('more writes than are written at once are made all, in order', async () => {
    await using place = new Place();
    const stash = await place.open();
    const value = bytesOf(20_000);
    const writes = Array.from({ length: 1000 }, (_none, index) =>
      stash.write([`${index}`], index % 4 === 0 ? value : one),
    );
    await Promise.all(writes);
    const names = writes.map((_write, index) => `${index}`);
    expect(await stash.children([])).toEqual(names);
    expect(await (await place.open()).children([])).toEqual(names);
  });

  test('without durability nothing is synced before sync() or close(), but for large values', async () => {
    await using place = new Place();
    let syncs = 0;
    const environment = hookedEnvironment((call) => {
      if (call === 'dataSync') syncs++;
    });
    const stash = await place.openOn(environment, { durability: 'none' });
    for (let index = 0; index < 10; index++) await stash.write([`${index}`], one);
    expect(syncs).toBe(0);
    await stash.sync();
    expect(syncs).toBe(1);
    await stash.write(['x'], one);
    await stash.close();
    expect(syncs).toBeGreaterThan(1);
    expect(await (await place.open()).children([])).toHaveLength(11);
  });

  test('reading what nobody has changed asks the system once, and reads nothing', async () => {
    await using place = new Place();
    const calls: string[] = [];
    const stash = await place.openOn(hookedEnvironment((call) => void calls.push(call)));
    await stash.write(['a'], one);
    calls.length = 0;
    await stash.read(['a']);
    await stash.has(['a']);
    await stash.children([]);
    expect(calls).toEqual(['stat', 'stat', 'stat']);
  });
});
