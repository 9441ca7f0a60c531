/** Operations that are given up: at every call to the system, while they wait, while keys are derived. */
import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Stash } from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { bytesOf, cheap, hookedEnvironment, listNodes, Place, sleep } from './support.js';

const one = utf8('1');
const slow = { name: 'scrypt', N: 2 ** 16 } as const;
const reason = new Error('enough');
const password = async (): Promise<string> => 'p';
const long = bytesOf(8_000_000);

/** All that can be seen of a store. */
async function stateOf(stash: Stash): Promise<unknown> {
  const { epoch, sequence, tip } = await stash.anchor();
  const slots = (await stash.slots()).map(({ id, current }) => ({ id, current }));
  return { nodes: await listNodes(stash), slots, epoch, sequence, tip };
}

/** Each operation that takes a signal, and whether it changes something. */
const operations: Record<
  string,
  { changes: boolean; run: (stash: Stash, signal: AbortSignal, place: Place) => Promise<unknown> }
> = {
  read: { changes: false, run: (stash, signal) => stash.read(['a'], { signal }) },
  'read large': { changes: false, run: (stash, signal) => stash.read(['big'], { signal }) },
  nodes: {
    changes: false,
    run: async (stash, signal) => {
      for await (const node of stash.nodes([], { signal })) node.value?.fill(0);
    },
  },
  write: { changes: true, run: (stash, signal) => stash.write(['a'], utf8('2'), { signal }) },
  'write large': { changes: true, run: (stash, signal) => stash.write(['a'], long, { signal }) },
  remove: { changes: true, run: (stash, signal) => stash.remove([], { signal }) },
  batch: {
    changes: true,
    run: (stash, signal) =>
      stash.batch(
        [
          { type: 'write', key: ['x'], value: one },
          { type: 'write', key: ['y'], value: bytesOf(50_000) },
          { type: 'remove', key: ['big'] },
        ],
        { signal },
      ),
  },
  compact: { changes: true, run: (stash, signal) => stash.compact({ signal }) },
  rekey: {
    changes: true,
    run: (stash, signal) => stash.rekey({ keep: [{ password: 'p' }], signal }),
  },
  addSlot: { changes: true, run: (stash, signal) => stash.addSlot({ password: 'q' }, { signal }) },
  changePassword: { changes: true, run: (stash, signal) => stash.changePassword('q', { signal }) },
  removeSlot: {
    changes: true,
    run: async (stash, signal) => {
      const [first] = await stash.slots();
      await stash.removeSlot(first?.id ?? '', { signal });
    },
  },
  verify: { changes: false, run: (stash, signal) => stash.verify({ signal }) },
  salvage: {
    changes: false,
    run: (stash, signal, place) => stash.salvage(join(place.folder, `saved ${Math.random()}`), { signal }),
  },
};

/** A store with some values, two slots, and a hook. */
async function filled(
  place: Place,
  hook: { call(name: string): void },
  big: Uint8Array = bytesOf(2_500_000),
): Promise<Stash> {
  const stash = await place.openOn(hookedEnvironment((call) => hook.call(call)));
  const values = Array.from({ length: 40 }, (_none, index) => ({
    type: 'write' as const,
    key: ['many', `${index}`],
    value: one,
  }));
  await stash.batch([
    { type: 'write', key: ['a'], value: one },
    { type: 'write', key: ['big'], value: big },
    ...values,
  ]);
  await stash.addSlot({ password: 'p' });
  return stash;
}

describe('a signal', () => {
  test.each(Object.keys(operations))(
    'at every call of %s: it is not made, or made as if nothing were',
    async (name) => {
      const { changes, run } = operations[name] as (typeof operations)[string];
      let calls = 0;
      {
        await using place = new Place();
        const hook = { call: () => undefined };
        const stash = await filled(place, hook);
        hook.call = () => void calls++;
        await run(stash, new AbortController().signal, place);
      }
      expect(calls).toBeGreaterThan(0);
      let cancelled = 0;
      await using place = new Place();
      const hook = { call: (_name: string) => undefined as void };
      const stash = await filled(place, hook);
      const other = await place.open();
      for (let at = 0; at < calls; at += calls > 60 ? 7 : 1) {
        const before = await stateOf(stash);
        const controller = new AbortController();
        let seen = 0;
        hook.call = () => {
          if (seen++ === at) controller.abort(reason);
        };
        const error = await run(stash, controller.signal, place).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        hook.call = () => undefined;
        if (error === undefined) {
          if (!changes) expect(await stateOf(stash)).toEqual(before);
          // From the beginning.
          else break;
          continue;
        }
        cancelled++;
        expect(error).toMatchObject({ code: 'cancelled', cause: reason });
        for (const handle of [stash, other])
          expect(await stateOf(handle)).toMatchObject({ nodes: expect.anything() });
        expect(await stateOf(stash)).toEqual(before);
        expect(await listNodes(other)).toEqual((before as { nodes: unknown }).nodes);
        expect(place.names().filter((file) => file.endsWith('.tmp'))).toEqual([]);
      }
      if (changes) expect(cancelled).toBeGreaterThan(0);
      await stash.write(['still'], utf8('works'));
      expect(await other.read(['still'])).toEqual(utf8('works'));
    },
  );

  test('at random moments', async () => {
    for (const name of [
      'write large',
      'compact',
      'rekey',
      'addSlot',
      'changePassword',
      'verify',
      'salvage',
      'read large',
    ]) {
      const { run } = operations[name] as (typeof operations)[string];
      await using place = new Place();
      // Long enough that it is not done before others have their turn.
      const onlyReads = name === 'verify' || name === 'read large';
      const large = new Uint8Array(onlyReads ? 60_000_000 : 10_000_000);
      const stash = await filled(place, { call: () => undefined }, large);
      const other = await place.open();
      let cancelled = 0;
      for (let round = 0; round < 8; round++) {
        const before = await stateOf(stash);
        const controller = new AbortController();
        setTimeout(() => controller.abort(reason), 2 * round);
        const code = await codeOf(() => run(stash, controller.signal, place).then(() => 'made'));
        if (code === 'made') continue;
        cancelled++;
        expect([name, code]).toEqual([name, 'cancelled']);
        expect(await stateOf(stash)).toEqual(before);
        expect(await listNodes(other)).toEqual((before as { nodes: unknown }).nodes);
      }
      expect([name, cancelled]).not.toEqual([name, 0]);
      expect(place.names().filter((file) => file.endsWith('.tmp'))).toEqual([]);
    }
  });

  test('that has fired already: nothing is looked at, no lock waited for', async () => {
    await using place = new Place();
    const hook = { call: (_name: string) => undefined as void };
    const stash = await filled(place, hook);
    const release = await place.holdLock();
    const calls: string[] = [];
    hook.call = (call) => void calls.push(call);
    for (const [name, { run }] of Object.entries(operations)) {
      if (name === 'removeSlot') continue;
      const error = await failure(() => run(stash, AbortSignal.abort(reason), place));
      expect([name, error.code, error.cause]).toEqual([name, 'cancelled', reason]);
    }
    expect(calls).toEqual([]);
    release();
  });

  test('that fires after the end does nothing', async () => {
    await using place = new Place();
    const stash = await place.open();
    const controller = new AbortController();
    const { signal } = controller;
    await stash.write(['a'], one, { signal });
    await stash.compact({ signal });
    await stash.read(['a'], { signal });
    controller.abort();
    await sleep(1);
    expect(await listNodes(stash)).toHaveLength(1);
    // Nothing listens any more.
    const counted = new AbortController().signal;
    await stash.write(['a'], one, { signal: counted });
    await codeOf(() => stash.remove(['none'], { signal: counted }));
    await stash.compact({ signal: counted });
    await stash.addSlot({ password }, { signal: counted });
    await stash.rekey({ keep: [{ password }], signal: counted });
    const changes = stash.watch({ signal: counted });
    expect(getEventListeners(counted, 'abort')).toHaveLength(1);
    await changes.return?.();
    await place.open({ password, signal: counted });
    expect(getEventListeners(counted, 'abort')).toEqual([]);
  });
});

describe('waiting', () => {
  test('behind other operations of the handle', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const controller = new AbortController();
    const { signal } = controller;
    const running = stash.write(['large'], bytesOf(5_000_000));
    const waiting = [
      failure(() => stash.write(['b'], one, { signal })),
      failure(() => stash.read(['a'], { signal })),
      failure(() => stash.compact({ signal })),
      failure(() => stash.addSlot({ password: 'p' }, { signal })),
      failure(() => stash.remove(['a'], { signal })),
    ];
    const behind = stash.write(['c'], one);
    controller.abort(reason);
    for (const error of await Promise.all(waiting))
      expect(error).toMatchObject({ code: 'cancelled', cause: reason });
    await running;
    await behind;
    expect(await stash.children([])).toEqual(['a', 'large', 'c']);
  });

  test('for the lock: a write that is given up takes no other with it', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const release = await place.holdLock();
    const first = new AbortController();
    const second = new AbortController();
    const cancelled = failure(() => stash.write(['first'], one, { signal: first.signal }));
    const kept = stash.write(['kept'], one, { signal: second.signal });
    await sleep(20);
    first.abort(reason);
    expect(await cancelled).toMatchObject({ code: 'cancelled', cause: reason });
    release();
    await kept;
    expect(await stash.children([])).toEqual(['a', 'kept']);
    second.abort();
    expect(await stash.children([])).toEqual(['a', 'kept']);
  });

  test('for the lock: when all are given up, what is called next is made all the same', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    for (const wait of [false, true]) {
      const release = await place.holdLock();
      const controller = new AbortController();
      const cancelled = failure(() => stash.write(['given up'], one, { signal: controller.signal }));
      if (wait) await sleep(20);
      controller.abort(reason);
      const next = stash.write([`next ${wait}`], one);
      expect(await cancelled).toMatchObject({ code: 'cancelled', cause: reason });
      release();
      await next;
    }
    expect(await stash.children([])).toEqual(['a', 'next false', 'next true']);
  });

  test('for the lock: what is given up holds nothing up', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const release = await place.holdLock();
    const controller = new AbortController();
    const cancelled = failure(() => stash.write(['given up'], one, { signal: controller.signal }));
    const behind = stash.read(['a']);
    await sleep(20);
    controller.abort(reason);
    expect(await cancelled).toMatchObject({ code: 'cancelled', cause: reason });
    expect(await behind).toEqual(one);
    release();
  });

  test('behind a large value that is being written together with it', async () => {
    await using place = new Place();
    const controller = new AbortController();
    const { signal } = controller;
    let appends = 0;
    const environment = hookedEnvironment((call) => {
      if (call === 'append' && ++appends === 2) controller.abort(reason);
    });
    const stash = await place.openOn(environment);
    const large = stash.write(['large'], long);
    const cancelled = failure(() => stash.write(['small'], one, { signal }));
    const kept = stash.write(['kept'], one);
    expect(await cancelled).toMatchObject({ code: 'cancelled', cause: reason });
    await Promise.all([large, kept]);
    expect(await (await place.open()).children([])).toEqual(['large', 'kept']);
  });

  test('for the lock: slots, compaction and rekeying', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    await stash.addSlot({ password: 'p' });
    const [slot] = await stash.slots();
    const before = readFileSync(place.path);
    const release = await place.holdLock();
    for (const call of [
      (signal: AbortSignal) => stash.compact({ signal }),
      (signal: AbortSignal) => stash.rekey({ dropOthers: true, signal }),
      (signal: AbortSignal) => stash.addSlot({ password: 'q' }, { signal }),
      (signal: AbortSignal) => stash.changePassword('q', { signal }),
      (signal: AbortSignal) => stash.removeSlot(slot?.id ?? '', { signal }),
    ]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 30);
      expect(await failure(() => call(controller.signal))).toMatchObject({
        code: 'cancelled',
        cause: reason,
      });
    }
    expect(readFileSync(place.path).equals(before)).toBe(true);
    release();
    await stash.write(['b'], one);
  });
});

describe('opening', () => {
  test('before it begins, also where there is nothing to derive', async () => {
    await using place = new Place();
    for (let round = 0; round < 2; round++) {
      const error = await failure(() => place.open({ signal: AbortSignal.abort(reason) }));
      expect(error).toMatchObject({ code: 'cancelled', cause: reason });
      expect(place.names()).toEqual(round === 0 ? [] : ['a.stash']);
      await place.open();
    }
  });

  test('while a password is asked for, and while a key is derived', async () => {
    await using place = new Place();
    await place.open({ password: 'p', derivation: slow });
    const asking = new AbortController();
    const never = (): Promise<string> => {
      setTimeout(() => asking.abort(reason), 5);
      return new Promise(() => undefined);
    };
    const asked = await failure(() => place.open({ password: never, signal: asking.signal }));
    expect(asked).toMatchObject({ code: 'cancelled', cause: reason });
    const begun = performance.now();
    const signal = AbortSignal.timeout(20);
    expect(await codeOf(() => place.open({ password: 'p', signal }))).toBe('cancelled');
    expect(performance.now() - begun).toBeLessThan(1000);
    const other = { password: 'p', derivation: slow, signal: AbortSignal.timeout(20) };
    expect(await codeOf(() => place.open(other, join(place.folder, 'other')))).toBe('cancelled');
    expect(place.names()).toEqual(['a.stash']);
  });

  test('while a long file is read', async () => {
    await using place = new Place();
    const stash = await place.open({ padding: false });
    const value = bytesOf(50);
    for (let round = 0; round < 4; round++) {
      const writes = Array.from({ length: 5000 }, (_none, index) =>
        stash.write([`${round}`, `${index}`], value),
      );
      await Promise.all(writes);
    }
    await stash.close();
    const controller = new AbortController();
    let told = 0;
    const onProgress = ({ phase, done }: { phase: string; done: number }): void => {
      if (phase !== 'read') return;
      expect(done).toBeGreaterThanOrEqual(0);
      expect(done).toBeLessThanOrEqual(1);
      if (++told === 2) controller.abort(reason);
    };
    const error = await failure(() => place.open({ signal: controller.signal, onProgress }));
    expect(error).toMatchObject({ code: 'cancelled', cause: reason });
    expect(await (await place.open()).children(['0'])).toHaveLength(5000);
  });

  test('a handle whose reading was given up in the middle reads again', async () => {
    await using place = new Place();
    const reader = await place.open({ readOnly: false });
    const stash = await place.open({ padding: false });
    await stash.write(['gone'], one);
    expect(await reader.children([])).toEqual(['gone']);
    // What cannot be done twice comes first.
    await stash.remove(['gone']);
    const writes = Array.from({ length: 5000 }, (_none, index) => stash.write([`${index}`], one));
    await Promise.all(writes);
    const controller = new AbortController();
    setImmediate(() => controller.abort(reason));
    expect(await codeOf(() => reader.children([], { signal: controller.signal }))).toBe('cancelled');
    expect(await reader.children([])).toHaveLength(5000);
    expect(await listNodes(reader)).toEqual(await listNodes(stash));
  });

  test('a handle that a function password is asked for anew, and given up, works with the next answer', async () => {
    await using place = new Place();
    const asked = { answer: async (): Promise<string> => 'p' };
    const stash = await place.open({ password: () => asked.answer(), derivation: cheap });
    await stash.write(['a'], one);
    const other = await place.open({ password: 'p' });
    await other.rekey();
    const { answer } = asked;
    asked.answer = () => new Promise(() => undefined);
    const signal = AbortSignal.timeout(20);
    expect(await codeOf(() => stash.read(['a'], { signal }))).toBe('cancelled');
    asked.answer = answer;
    expect(await stash.read(['a'])).toEqual(one);
  });
});
