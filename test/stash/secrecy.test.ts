/** Nothing secret stays behind or shows: wiped buffers, quiet errors, quiet inspection, encrypted temporaries. */
import { inspect } from 'node:util';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { FileSystem } from '../../src/stash/file-system.js';
import { hooked, MemoryFileSystem } from './memory-file-system.js';
import { codeOf, failure, listEntries, memoryPath, nodeText, openOn, plant, utf8 } from './support.js';

/** Every buffer that held a password, a key or decrypted contents. */
const seen: { passwords: Uint8Array[]; keys: Uint8Array[]; contents: Uint8Array[] } = {
  passwords: [],
  keys: [],
  contents: [],
};

vi.mock('../../src/stash/sstash/pbkdf2.js', async (original) => {
  const real = await original<typeof import('../../src/stash/sstash/pbkdf2.js')>();
  return {
    ...real,
    deriveKey: async (...args: Parameters<typeof real.deriveKey>) => {
      seen.passwords.push(args[0]);
      const key = await real.deriveKey(...args);
      seen.keys.push(key);
      return key;
    },
  };
});

vi.mock('../../src/stash/sstash/container.js', async (original) => {
  const real = await original<typeof import('../../src/stash/sstash/container.js')>();
  return {
    ...real,
    openBlob: (...args: Parameters<typeof real.openBlob>) => {
      const contents = real.openBlob(...args);
      seen.contents.push(contents);
      return contents;
    },
    sealBlob: (...args: Parameters<typeof real.sealBlob>) => {
      seen.contents.push(args[2]);
      return real.sealBlob(...args);
    },
  };
});

const secret = 'swordfish';
const secretHex = Buffer.from(secret).toString('hex');
const options = { password: 'correct horse', create: true, iterations: 1 };

function isWiped(buffer: Uint8Array): boolean {
  return buffer.every((byte) => byte === 0);
}

/** Where, among all buffers seen, the secret still stands. */
function remains(): number {
  return seen.contents.filter((buffer) => Buffer.from(buffer).includes(secretHex)).length;
}

async function filled(fileSystem: FileSystem): ReturnType<typeof openOn> {
  const stash = await openOn(fileSystem, memoryPath, options);
  await stash.write(['a'], utf8(secret));
  return stash;
}

beforeEach(() => {
  for (const list of Object.values(seen)) list.length = 0;
});

describe('wiping', () => {
  test('closing wipes the key and every value; passwords are wiped once the key is there', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await filled(fileSystem);
    const stash = await openOn(fileSystem, memoryPath, options);
    expect(seen.passwords).toHaveLength(2);
    expect(seen.passwords.every(isWiped)).toBe(true);
    expect(seen.keys.some(isWiped)).toBe(false);
    expect(remains()).toBe(1);
    await stash.close();
    await first.close();
    expect(seen.keys.every(isWiped)).toBe(true);
    expect(remains()).toBe(0);
  });

  test('what is overwritten, removed or reloaded is wiped at once', async () => {
    const fileSystem = new MemoryFileSystem();
    const writer = await filled(fileSystem);
    for (const change of ['write', 'remove', 'reload', 'batch']) {
      seen.contents.length = 0;
      const stash = await openOn(fileSystem, memoryPath, options);
      expect(remains()).toBe(1);
      if (change === 'write') await stash.write(['a'], utf8('x'));
      if (change === 'remove') await stash.remove([]);
      if (change === 'batch') await stash.batch([{ type: 'remove', key: ['a'] }]);
      if (change === 'reload') {
        await writer.write(['a'], utf8('y'));
        await stash.children([]);
      }
      expect([change, remains()]).toEqual([change, 0]);
      await writer.write(['a'], utf8(secret));
    }
  });

  test('a failed opening leaves no key and no contents', async () => {
    const fileSystem = new MemoryFileSystem();
    await filled(fileSystem);
    seen.keys.length = 0;
    expect(await codeOf(() => openOn(fileSystem, memoryPath, { password: 'wrong' }))).toBe(
      'wrong-password-or-damaged',
    );
    await plant(fileSystem, `{"a": ${nodeText(secretHex)}, "b": 5}`);
    seen.contents.length = 0;
    expect(await codeOf(() => openOn(fileSystem, memoryPath, options))).toBe('bad-structure');
    expect(seen.contents).toHaveLength(1);
    expect(seen.contents.every(isWiped)).toBe(true);
    // Keys but the one that the test itself made.
    expect(seen.keys.filter((key) => !isWiped(key)).length).toBeLessThanOrEqual(1);
  });

  test('a failed change leaves the tree as it was, value included', async () => {
    const memory = new MemoryFileSystem();
    let armed = false;
    const fileSystem = hooked(memory, (call) => {
      if (armed && call === 'sync') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await filled(fileSystem);
    armed = true;
    expect(await codeOf(() => stash.remove(['a']))).toBe('io-failed');
    expect(await codeOf(() => stash.write(['a'], utf8('x')))).toBe('io-failed');
    expect(await codeOf(() => stash.remove(['missing']))).toBe('key-not-found');
    expect(await stash.read(['a'])).toEqual(utf8(secret));
  });
});

describe('showing', () => {
  test('no inspection of a handle or an error shows a password or a value', async () => {
    const memory = new MemoryFileSystem();
    let armed = false;
    const fileSystem = hooked(memory, (call) => {
      if (armed && call === 'rename') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await filled(fileSystem);
    const shown: unknown[] = [stash, stash.entries()];
    shown.push(await failure(() => stash.read(['a', secret.slice(1)])));
    shown.push(await failure(() => stash.read([])));
    shown.push(await failure(() => stash.write(['a'], secret as unknown as Uint8Array)));
    shown.push(await failure(() => openOn(fileSystem, memoryPath, { password: `${options.password}!` })));
    shown.push(
      await failure(() => openOn(fileSystem, memoryPath, { password: `${options.password}\ud800` })),
    );
    armed = true;
    shown.push(await failure(() => stash.write(['a'], utf8(`${secret} again`))));
    armed = false;
    await plant(memory, `{"a": ${nodeText(`${secretHex}!`)}}`);
    shown.push(await failure(() => stash.read(['a'])));
    await plant(memory, `{"a": ${nodeText(secretHex)}`);
    shown.push(await failure(() => stash.read(['a'])));
    for (const value of shown) {
      const text =
        inspect(value, { depth: 10, showHidden: true, getters: true }) +
        JSON.stringify(value) +
        String(value);
      for (const hidden of [options.password, secret, secretHex]) expect(text).not.toContain(hidden);
    }
  });

  test('no file, temporary or not, ever holds a value in the clear', async () => {
    const memory = new MemoryFileSystem();
    const disks: MemoryFileSystem[] = [];
    const fileSystem = hooked(memory, () => void disks.push(memory.afterPowerCut(true)), 64);
    const stash = await filled(fileSystem);
    expect(await listEntries(stash)).toEqual([[['a'], secretHex]]);
    for (const disk of disks) {
      for (const name of disk.list()) {
        const text = Buffer.from(disk.readNow(name)).toString('latin1');
        for (const hidden of [secret, secretHex, Buffer.from(secretHex).toString('hex')])
          expect(text).not.toContain(hidden);
      }
    }
  });

  test('errors have their own names and are errors', async () => {
    const stash = await filled(new MemoryFileSystem());
    const error = await failure(() => stash.read(['missing']));
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe('StashKeyError');
    expect(error.stack).toMatch(/^StashKeyError: no such key: \["missing"\]/);
    const long = await failure(() => stash.read(Array.from({ length: 500 }, () => '\u202e long name')));
    expect(long.message.length).toBeLessThan(300);
    expect(long.message).toMatch(/^[\x20-\x7e]*$/);
  });
});
