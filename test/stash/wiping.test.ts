/** What is wiped, or let go, where something fails or nobody waits any more; and owners that cannot be kept. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { FileStatus, FileSystem } from '../../src/stash/file-system.js';
import { exclusively } from '../../src/stash/process-lock.js';
import { SerialQueue } from '../../src/stash/serial-queue.js';
import { hooked, MemoryFileSystem } from './memory-file-system.js';
import { codeOf, memoryOptions, memoryPath, openOn, plant, utf8 } from './support.js';

const seen: { keys: Uint8Array[]; texts: Uint8Array[]; queues: number; gate: Promise<void> | undefined } = {
  keys: [],
  texts: [],
  queues: 0,
  gate: undefined,
};

vi.mock('../../src/stash/sstash/pbkdf2.js', async (original) => {
  const real = await original<typeof import('../../src/stash/sstash/pbkdf2.js')>();
  return {
    ...real,
    deriveKey: async (...args: Parameters<typeof real.deriveKey>) => {
      const key = await real.deriveKey(...args);
      seen.keys.push(key);
      await seen.gate;
      return key;
    },
  };
});

vi.mock('../../src/stash/bytes.js', async (original) => {
  const real = await original<typeof import('../../src/stash/bytes.js')>();
  return {
    ...real,
    hexFromBytes: (bytes: Uint8Array) => {
      const text = real.hexFromBytes(bytes);
      seen.texts.push(text);
      return text;
    },
  };
});

vi.mock('../../src/stash/serial-queue.js', async (original) => {
  const real = await original<typeof import('../../src/stash/serial-queue.js')>();
  return {
    ...real,
    SerialQueue: class extends real.SerialQueue {
      constructor() {
        super();
        seen.queues++;
      }
    },
  };
});

function isWiped(buffer: Uint8Array): boolean {
  return buffer.length > 0 && buffer.every((byte) => byte === 0);
}

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => {
  seen.keys.length = 0;
  seen.texts.length = 0;
  seen.gate = undefined;
});

/** A file system on which the stash has another owner or group, which may not be given. */
function foreign(memory: MemoryFileSystem, change: Partial<FileStatus>): FileSystem {
  const inner = hooked(memory, (call) => {
    if (call === 'chown') throw Object.assign(new Error('EPERM'), { code: 'EPERM' });
  });
  return {
    ...inner,
    status: async (path) => ({ ...(await inner.status(path)), ...change }),
  };
}

describe('wiped', () => {
  test('the texts of a change that fails, but not of one that is kept', async () => {
    let armed = '';
    const fileSystem = hooked(new MemoryFileSystem(), (call) => {
      if (call === armed) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    const tooDeep = Array.from({ length: 65 }, () => 'k');
    const failing: [string, string, () => Promise<unknown>][] = [
      ['sync', 'io-failed', () => stash.write(['a'], utf8('secret'))],
      ['rename', 'io-failed', () => stash.write(['a'], utf8('secret'))],
      ['realpath', 'io-failed', () => stash.write(['a'], utf8('secret'))],
      ['', 'key-too-deep', () => stash.write(tooDeep, utf8('secret'))],
      ['', 'cancelled', () => stash.write(['a'], utf8('secret'), { signal: AbortSignal.abort() })],
      [
        '',
        'key-not-found',
        () =>
          stash.batch([
            { type: 'write', key: ['a'], value: utf8('secret') },
            { type: 'remove', key: ['missing'] },
            { type: 'write', key: ['b'], value: utf8('secret') },
          ]),
      ],
    ];
    for (const [call, code, change] of failing) {
      armed = call;
      seen.texts.length = 0;
      expect([call, await codeOf(change)]).toEqual([call, code]);
      expect([call, code, seen.texts.map(isWiped)]).toEqual([call, code, seen.texts.map(() => true)]);
      expect(seen.texts.length).toBeGreaterThan(0);
      armed = '';
    }
    seen.texts.length = 0;
    await stash.write(['a'], utf8('secret'));
    expect(seen.texts.map(isWiped)).toEqual([false]);
    await stash.close();
    expect(seen.texts.map(isWiped)).toEqual([true]);
    expect(await codeOf(() => stash.write(['a'], utf8('secret')))).toBe('closed');
    expect(seen.texts.map(isWiped)).toEqual([true, true]);
  });

  test('the old key once the file has a new salt', async () => {
    const fileSystem = new MemoryFileSystem();
    const stash = await openOn(fileSystem, memoryPath, memoryOptions);
    const [old] = [...seen.keys];
    if (old === undefined) throw new Error('no key was derived');
    expect(isWiped(old)).toBe(false);
    await plant(fileSystem, '{}', 'another');
    await stash.children([]);
    const now = seen.keys.at(-1);
    if (now === undefined || now === old) throw new Error('no second key was derived');
    expect([isWiped(old), isWiped(now)]).toEqual([true, false]);
    await stash.close();
    expect(isWiped(now)).toBe(true);
  });

  test('a key that comes after the call was cancelled', async () => {
    const fileSystem = new MemoryFileSystem();
    await openOn(fileSystem, memoryPath, memoryOptions);
    seen.keys.length = 0;
    const gate = new EventTarget();
    seen.gate = new Promise((resolve) => gate.addEventListener('open', () => resolve()));
    const controller = new AbortController();
    const opening = codeOf(() =>
      openOn(fileSystem, memoryPath, { ...memoryOptions, signal: controller.signal }),
    );
    await vi.waitFor(() => expect(seen.keys).toHaveLength(1));
    controller.abort();
    expect(await opening).toBe('cancelled');
    expect(seen.keys.map(isWiped)).toEqual([false]);
    gate.dispatchEvent(new Event('open'));
    await settle();
    expect(seen.keys.map(isWiped)).toEqual([true]);
  });

  test('a password that comes after the call was cancelled', async () => {
    const fileSystem = new MemoryFileSystem();
    await openOn(fileSystem, memoryPath, memoryOptions);
    const controller = new AbortController();
    const user = new EventTarget();
    const asked = new Promise<string>((resolve) => {
      user.addEventListener('answer', () => resolve('late password'));
    });
    let isAsked = false;
    const password = (): Promise<string> => {
      isAsked = true;
      return asked;
    };
    const opening = codeOf(() => openOn(fileSystem, memoryPath, { password, signal: controller.signal }));
    await vi.waitFor(() => expect(isAsked).toBe(true));
    controller.abort();
    expect(await opening).toBe('cancelled');
    const encode = vi.spyOn(TextEncoder.prototype, 'encode');
    try {
      user.dispatchEvent(new Event('answer'));
      await settle();
      const copies = encode.mock.results.map((result) => result.value as Uint8Array);
      expect(copies.map(isWiped)).toEqual([true]);
    } finally {
      encode.mockRestore();
    }
  });
});

describe('locks', () => {
  test('one queue for all who wait, and none once they are done', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.writeNow(memoryPath, utf8('x'));
    seen.queues = 0;
    for (let round = 1; round <= 3; round++) {
      const order: number[] = [];
      const tasks = [1, 2, 3].map((task) =>
        exclusively(
          fileSystem,
          memoryPath,
          async () => {
            order.push(task);
            await settle();
            order.push(task);
            if (task === 2) throw new Error('fails');
          },
          { lock: 'auto', lockTimeoutMs: 1, signal: undefined },
        ),
      );
      const results = await Promise.allSettled(tasks);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(order).toEqual([1, 1, 2, 2, 3, 3]);
      expect(seen.queues).toBe(round);
    }
    expect(new SerialQueue()).toBeInstanceOf(SerialQueue);
    expect(seen.queues).toBe(4);
  });
});

describe('an owner that cannot be kept', () => {
  test('of a group nobody hears: it has no rights to the file', async () => {
    const memory = new MemoryFileSystem();
    await openOn(memory, memoryPath, memoryOptions);
    const stash = await openOn(foreign(memory, { group: 7 }), memoryPath, memoryOptions);
    await stash.write(['a'], utf8('x'));
    expect(await stash.read(['a'])).toEqual(utf8('x'));
    expect(memory.list()).toEqual([memoryPath]);
  });

  test.each<Partial<FileStatus>>([{ owner: 7 }, { owner: 7, group: 7 }])(
    'of a user ends the change: %j',
    async (change) => {
      const memory = new MemoryFileSystem();
      await openOn(memory, memoryPath, memoryOptions);
      const before = memory.readNow(memoryPath);
      const stash = await openOn(foreign(memory, change), memoryPath, memoryOptions);
      expect(await codeOf(() => stash.write(['a'], utf8('x')))).toBe('permission-denied');
      expect(memory.readNow(memoryPath)).toEqual(before);
      expect(memory.list()).toEqual([memoryPath]);
    },
  );
});
