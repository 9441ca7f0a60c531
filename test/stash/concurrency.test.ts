/** Order, closing, cancelling, and other programs that change the file. */
import { describe, expect, test } from 'vitest';
import { type SecureStash } from '../../src/stash/index.js';
import { hooked, MemoryFileSystem } from './memory-file-system.js';
import {
  codeOf,
  emptyStash,
  failure,
  hex,
  listEntries,
  memoryOptions,
  memoryPath,
  openOn,
  plant,
  utf8,
} from './support.js';

describe('order, closing, cancelling', () => {
  test('calls run in the order they were made, and close waits for them', async () => {
    const { fileSystem, stash } = await emptyStash();
    const results = [
      stash.write(['a'], utf8('1')),
      stash.read(['a']),
      stash.write(['a'], utf8('2')),
      stash.read(['a']),
      stash.remove(['a']),
      codeOf(() => stash.read(['a'])),
      stash.write(['b'], utf8('3')),
      stash.close(),
    ];
    expect(await codeOf(() => stash.read(['b']))).toBe('closed');
    expect(await Promise.all(results)).toEqual([
      undefined,
      utf8('1'),
      undefined,
      utf8('2'),
      utf8('2'),
      'key-not-found',
      undefined,
      undefined,
    ]);
    const again = await openOn(fileSystem, memoryPath, memoryOptions);
    expect(await listEntries(again)).toEqual([[['b'], '33']]);
  });

  test('a closed handle does nothing more, and closing again is no error', async () => {
    const { fileSystem, stash } = await emptyStash();
    await stash.write(['a'], utf8('1'));
    await stash.write(['b'], utf8('2'));
    const iterator = stash.entries();
    await iterator.next();
    await stash.close();
    await stash.close();
    const calls = [
      () => stash.read(['a']),
      () => stash.has(['a']),
      () => stash.children([]),
      () => stash.write(['a'], utf8('2')),
      () => stash.remove(['a']),
      () => stash.batch([]),
      () => iterator.next(),
      () => stash.entries().next(),
    ];
    for (const call of calls) expect(await codeOf(call)).toBe('closed');
    await using disposed = await openOn(fileSystem, memoryPath, memoryOptions);
    expect(await disposed.read(['a'])).toEqual(utf8('1'));
  });

  test('a failing call does not stop those behind it', async () => {
    const { stash } = await emptyStash();
    const first = codeOf(() => stash.read(['missing']));
    await stash.write(['a'], utf8('1'));
    expect(await first).toBe('key-not-found');
  });

  test('entries are those of the first step, and those not asked for can be given up', async () => {
    const { stash } = await emptyStash();
    for (const name of ['a', 'b', 'c']) await stash.write([name], utf8(name));
    const entries = stash.entries();
    expect((await entries.next()).value).toEqual({ key: ['a'], value: utf8('a') });
    await stash.remove(['b']);
    expect((await entries.next()).value).toEqual({ key: ['b'], value: utf8('b') });
    expect(await entries.return?.()).toEqual({ done: true, value: undefined });
    expect(await entries.next()).toEqual({ done: true, value: undefined });
  });

  test('a cancelled call changes nothing, whether it waits or runs, unless it has been made', async () => {
    const memory = new MemoryFileSystem();
    let controller = new AbortController();
    let abortAt = '';
    const calls: string[] = [];
    const fileSystem = hooked(memory, (call) => {
      calls.push(call);
      if (call === abortAt) controller.abort(new Error('enough'));
    });
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    await stash.write(['a'], utf8('0'));
    calls.length = 0;
    await stash.write(['a'], utf8('1'));
    const seen = [...new Set(calls)];
    expect(seen).toContain('rename');
    for (abortAt of seen) {
      controller = new AbortController();
      const value = utf8(abortAt);
      const result = await codeOf(() => stash.write(['a'], value, { signal: controller.signal }));
      const made = Buffer.from(await stash.read(['a'])).toString() === abortAt;
      expect([abortAt, result, made]).toEqual([abortAt, made ? undefined : 'cancelled', made]);
      expect(made).toBe(['rename', 'syncFolder'].includes(abortAt));
      expect(memory.list()).toEqual([memoryPath]);
    }
    abortAt = '';
    controller = new AbortController();
    const running = stash.write(['a'], utf8('last'));
    const waiting = failure(() => stash.write(['a'], utf8('never'), { signal: controller.signal }));
    const cause = new Error('changed my mind');
    controller.abort(cause);
    expect(await waiting).toMatchObject({ code: 'cancelled', cause });
    await running;
    expect(await stash.read(['a'])).toEqual(utf8('last'));
    expect(await codeOf(() => stash.read(['a'], { signal: AbortSignal.abort() }))).toBe('cancelled');
  });

  test('opening can be cancelled while the password is asked for, and while the key is derived', async () => {
    const { fileSystem } = await emptyStash();
    const controller = new AbortController();
    const { signal } = controller;
    const password = (): Promise<string> => {
      setTimeout(() => controller.abort(), 5);
      return new Promise(() => undefined);
    };
    expect(await codeOf(() => openOn(fileSystem, memoryPath, { password, signal }))).toBe('cancelled');
    const slow = { password: '', create: true, iterations: 2 ** 22, signal: AbortSignal.timeout(20) };
    const start = performance.now();
    expect(await codeOf(() => openOn(fileSystem, '/slow', slow))).toBe('cancelled');
    expect(performance.now() - start).toBeLessThan(1000);
    expect(fileSystem.list()).toEqual([memoryPath]);
  });
});

describe('other writers', () => {
  test('a change of another program is seen by the next call, even one that keeps size and time', async () => {
    const { fileSystem, stash } = await emptyStash();
    await stash.write(['a'], utf8('1'));
    const other = await openOn(fileSystem, memoryPath, memoryOptions);
    await other.write(['a'], utf8('2'));
    fileSystem.writeNow(memoryPath, fileSystem.readNow(memoryPath));
    expect(await stash.read(['a'])).toEqual(utf8('2'));
    await stash.write(['b'], utf8('3'));
    expect(await listEntries(other)).toEqual([
      [['a'], '32'],
      [['b'], '33'],
    ]);
  });

  test('an old file is not read again for every call, a young one is', async () => {
    const memory = new MemoryFileSystem();
    const calls: string[] = [];
    const fileSystem = hooked(memory, (call) => void calls.push(call));
    await openOn(memory, memoryPath, memoryOptions);
    const young = await openOn(fileSystem, memoryPath, memoryOptions);
    calls.length = 0;
    await young.children([]);
    expect(calls).toContain('read');
    memory.nowNs -= 4_000_000_000n;
    memory.writeNow(memoryPath, memory.readNow(memoryPath));
    const old = await openOn(fileSystem, memoryPath, memoryOptions);
    calls.length = 0;
    await old.children([]);
    expect(calls).toEqual(['stat']);
  });

  test('a new salt means a new key, and the password function is asked again', async () => {
    const { fileSystem } = await emptyStash();
    let asked = 0;
    const password = (): string => {
      asked++;
      return memoryOptions.password;
    };
    const stash = await openOn(fileSystem, memoryPath, { password });
    await plant(fileSystem, '{"a": {"children": {}, "value": "aa"}}');
    expect(hex(await stash.read(['a']))).toBe('aa');
    await plant(fileSystem, '{"a": {"children": {}, "value": "bb"}}', 'another');
    expect(hex(await stash.read(['a']))).toBe('bb');
    await plant(fileSystem, '{"a": {"children": {}, "value": "cc"}}', 'another');
    expect(hex(await stash.read(['a']))).toBe('cc');
    expect(asked).toBe(3);
  });

  test('a file that is gone, damaged or of another password fails every call, is left alone, and may come back', async () => {
    const { fileSystem, stash } = await emptyStash();
    await stash.write(['a'], utf8('1'));
    const good = fileSystem.readNow(memoryPath);
    const other = await openOn(fileSystem, '/other', { ...memoryOptions, password: 'other' });
    await other.write(['a'], utf8('2'));
    const cases: [string, Uint8Array | undefined][] = [
      ['not-found', undefined],
      ['bad-json', new Uint8Array()],
      ['bad-json', good.subarray(0, 100)],
      ['wrong-password-or-damaged', fileSystem.readNow('/other')],
    ];
    for (const [code, bytes] of cases) {
      if (bytes === undefined) await fileSystem.remove(memoryPath);
      else fileSystem.writeNow(memoryPath, bytes);
      expect(await codeOf(() => stash.read(['a']))).toBe(code);
      expect(await codeOf(() => stash.has(['a']))).toBe(code);
      expect(await codeOf(() => stash.write(['a'], utf8('3')))).toBe(code);
      if (bytes === undefined) expect(fileSystem.list()).toEqual(['/other']);
      else expect(fileSystem.readNow(memoryPath)).toEqual(bytes);
      fileSystem.writeNow(memoryPath, good);
      expect(await stash.read(['a'])).toEqual(utf8('1'));
    }
  });

  test('a change made at any call before the rename is not lost', async () => {
    const memory = new MemoryFileSystem();
    let armed = '';
    let count = 0;
    let other: SecureStash | undefined;
    const fileSystem = hooked(memory, async (call) => {
      if (call !== armed) return;
      armed = '';
      await other?.write([`other ${++count}`], utf8('theirs'));
    });
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    other = await openOn(memory, memoryPath, memoryOptions);
    // The last look is a reading while the file is young; what comes after the `close` of it is the gap.
    for (const call of ['stat', 'open', 'realpath', 'access', 'create', 'chmod', 'write', 'sync', 'fstat']) {
      armed = call;
      await stash.write([`mine at ${call}`], utf8('mine'));
      expect(armed).toBe('');
    }
    const names = await other.children([]);
    expect(names.filter((name) => name.startsWith('mine'))).toHaveLength(9);
    expect(names.filter((name) => name.startsWith('other'))).toHaveLength(9);
    expect(memory.list()).toEqual([memoryPath]);
  });

  test('handles of one process never lose each other’s writes', async () => {
    const { fileSystem, stash } = await emptyStash();
    const handles = [stash];
    // More than the attempts that a change has: they take turns and do not race.
    while (handles.length < 100) handles.push(await openOn(fileSystem, memoryPath, memoryOptions));
    await Promise.all(handles.map((handle, owner) => handle.write([`${owner}`], utf8('x'))));
    expect(await listEntries(stash)).toHaveLength(100);
  });

  test('a file changed while it is read is read again, whatever its size becomes', async () => {
    for (const size of [100, 200, 20]) {
      const memory = new MemoryFileSystem();
      const writer = await openOn(memory, memoryPath, memoryOptions);
      await writer.write(['a'], new Uint8Array(100).fill(1));
      const old = memory.readNow(memoryPath);
      await writer.write(['a'], new Uint8Array(size).fill(2));
      const changed = memory.readNow(memoryPath);
      memory.writeNow(memoryPath, old);
      let reads = 0;
      const fileSystem = hooked(memory, (call) => {
        if (call !== 'read' || ++reads !== 3) return;
        memory.nowNs += 4_000_000n;
        memory.writeNow(memoryPath, changed);
      });
      const stash = await openOn(fileSystem, memoryPath, memoryOptions);
      expect(await stash.read(['a'])).toEqual(new Uint8Array(size).fill(2));
    }
  });

  test('a file changed at every reading ends in an error', async () => {
    const { fileSystem: memory, stash } = await emptyStash();
    const bytes = memory.readNow(memoryPath);
    const fileSystem = hooked(memory, (call) => {
      if (call !== 'read') return;
      memory.nowNs += 4_000_000n;
      memory.writeNow(memoryPath, bytes);
    });
    expect(await codeOf(() => openOn(fileSystem, memoryPath, memoryOptions))).toBe('contended');
    expect(await stash.children([])).toEqual([]);
  });

  test('a file that changes at every look ends in an error, not in a loop', async () => {
    const memory = new MemoryFileSystem();
    let other: SecureStash | undefined;
    const fileSystem = hooked(memory, async (call) => {
      if (call === 'sync') await other?.write(['x'], utf8('again'));
    });
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    other = await openOn(memory, memoryPath, memoryOptions);
    expect(await codeOf(() => stash.write(['a'], utf8('1')))).toBe('contended');
    expect(memory.list()).toEqual([memoryPath]);
    expect(await other.children([])).toEqual(['x']);
  });
});
