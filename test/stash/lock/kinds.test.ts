/** Each kind of lock: how often the system is asked, files that are replaced, what is refused, which is chosen. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createServer, Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { StashIOError } from '../../../src/stash/errors.js';
import { runs } from '../../support/external.js';
import { codeOf, failure } from '../support.js';
import { addressOf, holding, isLinux, modes, options, Place, sleep } from './support.js';

const faked = vi.hoisted(() => ({ type: undefined as number | undefined }));
vi.mock('node:fs/promises', async (importOriginal) => {
  const original = await importOriginal<typeof fs>();
  const statfs = async (path: string): Promise<{ type: number }> => ({
    type: faked.type ?? (await original.statfs(path)).type,
  });
  return { ...original, statfs };
});

afterEach(() => {
  faked.type = undefined;
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** Puts another file in the place of the store, as a writer does. */
async function replace(place: Place): Promise<void> {
  await fs.writeFile(`${place.path}.new`, 'new');
  await fs.rename(`${place.path}.new`, place.path);
}

async function isFileLocked(place: Place): Promise<boolean> {
  return (await place.openApart('flock').tryRun(async () => 1)) === undefined;
}

describe.skipIf(!modes.includes('socket'))('the socket', () => {
  test('is bound once for many tasks, one after another or at the same time', async () => {
    using place = new Place('socket');
    const lock = place.open();
    const listen = vi.spyOn(Server.prototype, 'listen');
    for (let done = 0; done < 5000; done++) await lock.run(async () => undefined, options);
    await Promise.all(Array.from({ length: 5000 }, () => lock.run(async () => undefined, options)));
    // More often only if something else kept this process busy for longer than the lock is kept.
    expect(listen.mock.calls.length).toBeLessThan(10);
  });

  test('is let go of when another waits, and not only after a while', async () => {
    using place = new Place('socket');
    const [lock, elsewhere] = [place.open(), place.openApart()];
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      await lock.run(async () => undefined, options);
      expect(await elsewhere.tryRun(async () => 1)).toBeUndefined();
      expect(await elsewhere.run(async () => 1, options)).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test('is bound by each of two who are busy, in turn, however short their tasks are', async () => {
    using place = new Place('socket');
    const elsewhere = place.openApart();
    const locks = [place.open(), elsewhere];
    const order: number[] = [];
    const busy = locks.map(async (lock, owner) => {
      while (order.length < 20_000) await lock.run(async () => void order.push(owner), options);
    });
    await Promise.all(busy);
    const changes = order.filter((owner, index) => index > 0 && owner !== order[index - 1]);
    expect(changes.length).toBeGreaterThan(10);
  });

  test.skipIf(!isLinux)('has a name of full length, which all versions of Node make the same', async () => {
    using place = new Place('socket');
    const lock = place.open();
    await lock.run(async () => {
      const bound = (await fs.readFile('/proc/net/unix', 'latin1')).split('\n');
      const names = bound.map((line) => line.split(' ').at(-1) ?? '');
      expect(names.filter((name) => name.includes(place.name))).toEqual([
        addressOf(place.name).replace('\0', '@'),
      ]);
    }, options);
  });

  test.skipIf(!isLinux)(
    'that a sandbox forbids: auto takes the lock on the file, socket says so',
    async () => {
      using place = new Place('auto');
      vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server) {
        const error = Object.assign(new Error('EPERM'), { code: 'EPERM' });
        process.nextTick(() => this.emit('error', error));
        return this;
      });
      const explicit = await failure(() => place.open('socket').run(async () => 1, options));
      expect(explicit).toMatchObject({ code: 'lock-unavailable', systemCode: 'EPERM' });
      const end = await holding(place.open());
      const other = place.openApart('flock');
      expect(await other.tryRun(async () => 1)).toBeUndefined();
      await end();
      expect(await other.run(async () => 1, options)).toBe(1);
    },
  );

  test('other errors of the system are told as they are', async () => {
    using place = new Place('socket');
    vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server) {
      const error = Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
      process.nextTick(() => this.emit('error', error));
      return this;
    });
    const lock = place.open();
    expect(await failure(() => lock.run(async () => 1, options))).toMatchObject({
      code: 'io-failed',
      systemCode: 'EMFILE',
    });
    expect(await codeOf(() => lock.tryRun(async () => 1))).toBe('io-failed');
    vi.restoreAllMocks();
    expect(await lock.run(async () => 1, options)).toBe(1);
  });
});

test.skipIf(!isLinux)('the address in these tests is the one that is bound', async () => {
  using place = new Place('socket');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(addressOf(place.name), resolve));
  expect(await place.open().tryRun(async () => 1)).toBeUndefined();
  server.close();
});

describe.skipIf(!modes.includes('flock'))('the lock on the file', () => {
  test('is one of the file that is there now, for those who waited for an older one too', async () => {
    using place = new Place('flock');
    const elsewhere = place.openApart();
    const lock = place.open();
    let inside = 0;
    const task = async (): Promise<void> => {
      expect(++inside).toBe(1);
      await sleep(20);
      inside--;
      await replace(place);
    };
    const turns = [lock, elsewhere, lock, elsewhere, lock].map((each) => each.run(task, options));
    await Promise.all(turns);
    for (let times = 0; times < 5; times++) {
      await lock.run(task, options);
      await elsewhere.run(task, options);
    }
    // What is kept for the next task must not be a lock on the file that was there before.
    await lock.run(task, options);
    const end = await holding(lock);
    expect(await elsewhere.tryRun(async () => 1)).toBeUndefined();
    await end();
  });

  test('covers the new file from before it takes the place, if it was told', async () => {
    for (const renamed of [true, false]) {
      using place = new Place('flock');
      const elsewhere = place.openApart();
      const lock = place.open();
      const temporary = `${place.path}.new`;
      await fs.writeFile(temporary, 'new');
      await lock.run(async () => {
        await lock.replacing(temporary);
        if (renamed) await fs.rename(temporary, place.path);
        expect(await elsewhere.tryRun(async () => 1)).toBeUndefined();
        expect(await codeOf(() => elsewhere.run(async () => 1, { timeoutMs: 100 }))).toBe('locked');
      }, options);
      // It is kept for the next task like any other.
      expect(await elsewhere.tryRun(async () => 1)).toBeUndefined();
      expect(await elsewhere.run(async () => 1, options)).toBe(1);
    }
    using place = new Place('flock');
    const lock = place.open();
    await lock.run(async () => {
      expect(await codeOf(() => lock.replacing(`${place.path}.none`))).toBe('not-found');
    }, options);
  });

  test('asks the system once for many tasks, and lets go after a while though there is more to do', async () => {
    using place = new Place('flock');
    const elsewhere = place.openApart();
    const lock = place.open();
    let times = 0;
    let others = 0;
    const end = performance.now() + 1000;
    const other = elsewhere.run(async () => void others++, options);
    for (; performance.now() < end; times++) await lock.run(async () => undefined, options);
    await other;
    expect(others).toBe(1);
    expect(times).toBeGreaterThan(200);
  });

  test('of a file that is gone, or may not be opened, is an error', async () => {
    using place = new Place('flock');
    await fs.rm(place.path);
    expect(await failure(() => place.open().run(async () => 1, options))).toMatchObject({
      code: 'not-found',
      systemCode: 'ENOENT',
    });
    await fs.mkdir(place.path);
    expect(await codeOf(() => place.open().run(async () => 1, options))).toBe('not-a-file');
  });

  test.skipIf(!isLinux)('needs a program, and says which if it is not there', async () => {
    using place = new Place('flock');
    vi.stubEnv('PATH', place.folder);
    const error = await failure(() => place.open().run(async () => 1, options));
    expect(error).toBeInstanceOf(StashIOError);
    expect(error).toMatchObject({ code: 'lock-unavailable', systemCode: 'ENOENT' });
    expect(error.message).toContain('install util-linux or busybox');
  });

  test.skipIf(!isLinux)('tells what the program says, and never takes an error for the lock', async () => {
    for (const status of [1, 2, 71]) {
      using place = new Place('flock');
      const program = join(place.folder, 'flock');
      await fs.writeFile(program, `#!/bin/sh\necho "flock: 3: No locks available" >&2\nexit ${status}\n`);
      await fs.chmod(program, 0o755);
      vi.stubEnv('PATH', place.folder);
      const lock = place.open();
      for (const run of [() => lock.run(async () => 1, options), () => lock.tryRun(async () => 1)]) {
        const error = await failure(run);
        expect(error.code).toBe('lock-unavailable');
        expect(String(error.cause)).toContain('No locks available');
      }
    }
  });

  test.skipIf(!isLinux)('is freed if the waiting is given up at the very moment it was taken', async () => {
    using place = new Place('flock');
    const real = execFileSync('sh', ['-c', 'command -v flock']).toString().trim();
    const slow = `#!/bin/sh\n${real} "$@" 2>/dev/null\nexec 3>&-\nexec sleep 1\n`;
    await fs.writeFile(join(place.folder, 'flock'), slow, { mode: 0o755 });
    const path = process.env['PATH'] ?? '';
    for (let times = 0; times < 3; times++) {
      vi.stubEnv('PATH', `${place.folder}:${path}`);
      expect(await codeOf(() => place.open().run(async () => 1, { timeoutMs: 200 }))).toBe('locked');
      vi.stubEnv('PATH', path);
      expect(await place.openApart().run(async () => 1, { timeoutMs: 1000 })).toBe(1);
    }
  });
});

const hasBusybox = isLinux && runs('busybox', ['flock', '/dev/null', 'true']);
// Not an error in CI: the busybox of Debian is built without it, that of Alpine with it.
if (!hasBusybox) console.warn('\n!! There is no busybox with flock here: the test with it is skipped.\n');

describe.skipIf(!hasBusybox)('flock of busybox', () => {
  test('keeps others out, lets them wait, and is released', async () => {
    using place = new Place('flock');
    const elsewhere = place.openApart();
    await fs.writeFile(join(place.folder, 'flock'), '#!/bin/sh\nexec busybox flock "$@"\n', { mode: 0o755 });
    vi.stubEnv('PATH', `${place.folder}:${process.env['PATH']}`);
    const lock = place.open();
    const end = await holding(lock);
    expect(await elsewhere.tryRun(async () => 1)).toBeUndefined();
    expect(await codeOf(() => elsewhere.run(async () => 1, { timeoutMs: 100 }))).toBe('locked');
    const waiting = elsewhere.run(async () => 1, options);
    await end();
    expect(await waiting).toBe(1);
    lock.close();
  });
});

describe.skipIf(!isLinux)('auto', () => {
  test('is the socket on a local file system', async () => {
    using place = new Place('auto');
    const end = await holding(place.open());
    expect(await place.open('socket').tryRun(async () => 1)).toBeUndefined();
    expect(await isFileLocked(place)).toBe(false);
    await end();
  });

  test.each([
    ['NFS', 0x6969],
    ['9p', 0x0102_1997],
    ['FUSE', 0x6573_5546],
    ['Ceph', 0x00c3_6400],
  ])('is the lock on the file where other machines or containers may share it: %s', async (_name, type) => {
    faked.type = type;
    using place = new Place('auto');
    const end = await holding(place.open());
    expect(await place.open('socket').tryRun(async () => 1)).toEqual({ result: 1 });
    expect(await isFileLocked(place)).toBe(true);
    await end();
  });

  test.each([0x517b, 0xff53_4d42, 0xfe53_4d42, -11_317_950])(
    'is refused on an SMB share: %i',
    async (type) => {
      faked.type = type;
      using place = new Place('auto');
      const error = await failure(() => place.open().run(async () => 1, options));
      expect(error).toMatchObject({ code: 'lock-unavailable', path: place.path });
      expect(await place.open('socket').run(async () => 1, options)).toBe(1);
    },
  );

  test('is an error where the file is not', async () => {
    using place = new Place('auto');
    await fs.rm(place.path);
    expect(await codeOf(() => place.open().run(async () => 1, options))).toBe('not-found');
    expect(existsSync(place.path)).toBe(false);
  });
});
