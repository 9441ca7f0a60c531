/** Keys, passwords and values are overwritten when they are of no more use; what belongs to callers is left alone. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { generateRecoveryKey, type Stash } from '../../../src/stash/index.js';
import type { Credential } from '../../../src/stash/native/credentials.js';
import { codeOf, utf8 } from '../support.js';
import { bytesOf, hookedEnvironment, Place } from './support.js';

/** Every buffer that held a body, a value that was given, a secret, or a key; and all that keeps a secret. */
const seen = {
  bodies: [] as Uint8Array[],
  values: [] as Uint8Array[],
  secrets: [] as Uint8Array[],
  keys: [] as Uint8Array[],
  credentials: [] as Credential[],
};

vi.mock('../../../src/stash/native/credentials.js', async (original) => {
  const real = await original<typeof import('../../../src/stash/native/credentials.js')>();
  class SeenCredential extends real.Credential {
    constructor(...args: ConstructorParameters<typeof real.Credential>) {
      super(...args);
      seen.credentials.push(this);
    }
  }
  return { ...real, Credential: SeenCredential };
});

vi.mock('../../../src/stash/native/frame.js', async (original) => {
  const real = await original<typeof import('../../../src/stash/native/frame.js')>();
  class SeenCipher extends real.FrameCipher {
    override seal(...args: Parameters<InstanceType<typeof real.FrameCipher>['seal']>): Uint8Array {
      seen.bodies.push(args[1]);
      return super.seal(...args);
    }

    override open(frame: Uint8Array): Uint8Array | undefined {
      const body = super.open(frame);
      if (body !== undefined) seen.bodies.push(body);
      return body;
    }
  }
  return {
    ...real,
    FrameCipher: SeenCipher,
    deriveSubkey: (...args: Parameters<typeof real.deriveSubkey>) => {
      seen.keys.push(args[0]);
      const key = real.deriveSubkey(...args);
      seen.keys.push(key);
      return key;
    },
  };
});

vi.mock('../../../src/stash/native/changes.js', async (original) => {
  const real = await original<typeof import('../../../src/stash/native/changes.js')>();
  return {
    ...real,
    parseOperations: (...args: Parameters<typeof real.parseOperations>) => {
      const checked = real.parseOperations(...args);
      seen.values.push(...real.valuesOf(checked));
      return checked;
    },
  };
});

vi.mock('../../../src/stash/native/kdf.js', async (original) => {
  const real = await original<typeof import('../../../src/stash/native/kdf.js')>();
  return {
    ...real,
    derive: async (...args: Parameters<typeof real.derive>) => {
      seen.secrets.push(args[0]);
      const key = await real.derive(...args);
      seen.keys.push(key);
      return key;
    },
  };
});

const secret = 'swordfish';
const big = utf8(secret.repeat(10_000));

function isWiped(buffer: Uint8Array): boolean {
  return buffer.every((byte) => byte === 0);
}

/** How many of those that keep a secret have not been wiped. */
async function kept(): Promise<number> {
  const codes = await Promise.all(
    seen.credentials.map((credential) => codeOf(() => credential.read(undefined))),
  );
  return codes.filter((code) => code !== 'closed').length;
}

/** In how many buffers a text still stands. */
function remains(text: string): number {
  const buffers = new Set([...seen.bodies, ...seen.values].filter(({ length }) => length > 0));
  return [...buffers].filter((buffer) =>
    Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length).includes(text),
  ).length;
}

function forget(): void {
  for (const list of Object.values(seen)) list.length = 0;
}

beforeEach(forget);

describe('values', () => {
  test('of a handle that is closed are gone, those written and those read', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.batch([
      { type: 'write', key: ['a'], value: utf8(secret) },
      { type: 'write', key: ['big'], value: big },
      { type: 'write', key: ['b', 'c'], value: utf8(secret) },
    ]);
    const other = await place.open({ readOnly: true });
    await other.read(['big']);
    await stash.read(['big']);
    await stash.compact();
    await other.children([]);
    await stash.rekey();
    await other.verify();
    for await (const { value } of other.entries()) value.fill(0);
    const iterator = other.nodes([]);
    await iterator.next();
    await iterator.return?.();
    expect(seen.bodies.length).toBeGreaterThan(10);
    expect(remains(secret)).toBeGreaterThan(0);
    await stash.close();
    await other.close();
    expect(remains(secret)).toBe(0);
  });

  test('that are overwritten, removed or replaced by others go at once; those that stay, stay', async () => {
    const changes: Record<string, (stash: Stash, other: Stash) => Promise<unknown>> = {
      write: (stash) => stash.write(['a'], utf8('x')),
      'write large': (stash) => stash.write(['a'], new Uint8Array(50_000)),
      remove: (stash) => stash.remove(['a']),
      'remove all': (stash) => stash.remove([]),
      'remove above': (stash) => stash.batch([{ type: 'remove', key: [] }]),
      batch: (stash) =>
        stash.batch([
          { type: 'write', key: ['a'], value: utf8(secret) },
          { type: 'write', key: ['a'], value: utf8(`${secret} again`) },
          { type: 'write', key: ['b'], value: utf8(secret) },
          { type: 'remove', key: ['b'] },
          { type: 'write', key: ['a'], value: utf8('x') },
        ]),
      'another handle': async (stash, other) => {
        await other.write(['a'], utf8('x'));
        await stash.children([]);
      },
      'another handle removes': async (stash, other) => {
        await other.remove(['a']);
        await stash.children([]);
      },
      'another handle compacts': async (stash, other) => {
        await other.write(['a'], utf8('x'));
        await other.compact();
        await stash.children([]);
      },
    };
    for (const [name, change] of Object.entries(changes)) {
      await using place = new Place();
      const stash = await place.open();
      const other = await place.open();
      await stash.batch([
        { type: 'write', key: ['a'], value: utf8(secret) },
        { type: 'write', key: ['kept'], value: utf8('keep me') },
      ]);
      await other.children([]);
      expect(remains(secret)).toBe(2);
      const removed = await change(stash, other);
      // What is returned is the caller's.
      if (name === 'remove') expect(removed).toEqual(utf8(secret));
      await other.children([]);
      expect([name, remains(secret)]).toEqual([name, 0]);
      if (!name.startsWith('remove a')) {
        for (const handle of [stash, other]) expect(await handle.read(['kept'])).toEqual(utf8('keep me'));
        expect(remains('keep me')).toBe(2);
      }
      await stash.close();
      await other.close();
      forget();
    }
  });

  test('of a large value are nowhere once it is written, or read', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['big'], big);
    expect(seen.values).toHaveLength(1);
    expect(remains(secret)).toBe(0);
    const value = await stash.read(['big']);
    expect(Buffer.from(value).equals(Buffer.from(big))).toBe(true);
    await stash.verify();
    await stash.compact();
    await stash.salvage(join(place.folder, 'saved'));
    expect(remains(secret)).toBe(0);
    // Neither when it cannot be read.
    const bytes = readFileSync(place.path);
    bytes[8192 + 72 + 65_536 + 88 + 100] = (bytes[8192 + 72 + 65_536 + 88 + 100] as number) ^ 1;
    writeFileSync(place.path, bytes);
    for (const call of [() => stash.read(['big']), () => stash.verify(), () => stash.compact()]) {
      expect(await codeOf(call)).toBe('damaged-frame');
    }
    expect(remains(secret)).toBe(0);
  });

  test('of changes that fail go, and those before them stay', async () => {
    await using place = new Place();
    let fails = '';
    const environment = hookedEnvironment((call) => {
      if (call === fails) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await place.openOn(environment, { lockTimeoutMs: 50 });
    await stash.write(['a'], utf8('the first'));
    const deep = Array.from({ length: 65 }, () => 'd');
    const write = (): Promise<unknown> => stash.write(['a'], utf8(secret));
    const failing: [string, string, () => Promise<unknown>][] = [
      ['append', 'io-failed', write],
      ['append', 'io-failed', () => stash.write(['a'], big)],
      ['stat', 'io-failed', write],
      ['', 'key-too-deep', () => stash.write(deep, utf8(secret))],
      ['', 'cancelled', () => stash.write(['a'], utf8(secret), { signal: AbortSignal.abort() })],
      ['', 'bad-option', () => stash.write(['a'], utf8(secret), { signal: {} as AbortSignal })],
      [
        '',
        'key-not-found',
        () =>
          stash.batch([
            { type: 'write', key: ['a'], value: utf8(secret) },
            { type: 'remove', key: ['a'] },
            { type: 'write', key: ['b'], value: big },
            { type: 'remove', key: ['missing'] },
          ]),
      ],
      [
        '',
        'bad-value',
        () =>
          stash.batch([
            { type: 'write', key: ['a'], value: utf8(secret) },
            { type: 'write', key: ['a'], value: 5 as never },
          ]),
      ],
    ];
    for (const [call, code, change] of failing) {
      fails = call;
      expect([call, await codeOf(change)]).toEqual([call, code]);
      fails = '';
      expect([call, code, remains(secret)]).toEqual([call, code, 0]);
      expect(await stash.read(['a'])).toEqual(utf8('the first'));
    }
    const release = await place.holdLock();
    expect(await codeOf(write)).toBe('locked');
    release();
    expect(remains(secret)).toBe(0);
    await stash.write(['a'], utf8('the second'));
    expect(remains('the second')).toBe(1);
    await stash.close();
    expect(await codeOf(write)).toBe('closed');
    expect([remains(secret), remains('the')]).toEqual([0, 0]);
  });

  test('that an iterator has and nobody asked for go with it, and those that were given do not', async () => {
    await using place = new Place();
    const stash = await place.open();
    for (const name of ['a', 'b', 'c']) await stash.write([name], utf8(secret));
    for (const ends of ['return', 'close']) {
      const slice = vi.spyOn(Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array, 'slice');
      let copies: Uint8Array[];
      const entries = stash.entries();
      try {
        await entries.next();
        copies = slice.mock.results.map(({ value }) => value as Uint8Array);
      } finally {
        slice.mockRestore();
      }
      const whole = (): number => copies.filter((copy) => Buffer.from(copy).includes(secret)).length;
      expect(whole()).toBe(3);
      if (ends === 'return') await entries.return?.();
      else {
        await stash.close();
        expect(await codeOf(() => entries.next())).toBe('closed');
      }
      expect([ends, whole()]).toEqual([ends, 1]);
    }
  });

  test('and what callers gave or got is left alone', async () => {
    await using place = new Place();
    const stash = await place.open();
    const given = [utf8(secret), big.slice()];
    await stash.write(['a'], given[0] as Uint8Array);
    await stash.write(['big'], given[1] as Uint8Array);
    const got = [
      await stash.read(['a']),
      await stash.read(['big']),
      await stash.remove(['a']),
      await stash.remove(['big']),
    ];
    await stash.close();
    expect([...given, ...got]).toEqual([utf8(secret), big, utf8(secret), big, utf8(secret), big]);
  });
});

describe('keys and passwords', () => {
  test('of a handle that is closed are gone; secrets as soon as the key is there', async () => {
    await using at = new Place();
    const password = utf8('the password');
    const recoveryKey = utf8(generateRecoveryKey());
    const key = at.key.slice();
    const before = [password.slice(), recoveryKey.slice(), key.slice()];
    const stash = await at.open({ password });
    await stash.addSlot({ recoveryKey });
    await stash.addSlot({ key: () => key });
    const others = [await at.open({ recoveryKey }), await at.open({ key, readOnly: true })];
    await stash.write(['a'], utf8('x'));
    await stash.compact();
    await stash.rekey({ keep: [{ recoveryKey }, { key }] });
    for (const other of others) await other.children([]);
    await stash.changePassword(() => 'new');
    await stash.verify();
    expect(await codeOf(() => at.open({ password: 'wrong' }))).toBe('wrong-password');
    expect(seen.secrets.length).toBeGreaterThan(8);
    expect(seen.secrets.filter((each) => !isWiped(each))).toEqual([]);
    expect(seen.credentials.length).toBeGreaterThan(7);
    expect(await kept()).toBe(3);
    await stash.close();
    for (const other of others) await other.close();
    expect(await kept()).toBe(0);
    expect(seen.keys.length).toBeGreaterThan(20);
    expect(seen.keys.filter((each) => !isWiped(each))).toEqual([]);
    expect([password, recoveryKey, key]).toEqual(before);
  });

  test('of an opening that fails are gone', async () => {
    await using at = new Place();
    const stash = await at.open({ password: 'p' });
    await stash.write(['a'], utf8(secret));
    await stash.write(['b'], utf8(secret));
    const atLeast = { ...(await stash.anchor()), sequence: 100 };
    await stash.close();
    const bytes = readFileSync(at.path);
    forget();
    expect(await codeOf(() => at.open({ password: 'q' }))).toBe('wrong-password');
    expect(await codeOf(() => at.open({ password: 'p', atLeast }))).toBe('rolled-back');
    bytes[8192 + 72 + 256 + 16 + 80] = (bytes[8192 + 72 + 256 + 16 + 80] as number) ^ 1;
    writeFileSync(at.path, bytes);
    expect(await codeOf(() => at.open({ password: 'p' }))).toBe('lost-frames');
    expect(await codeOf(() => at.open({ password: 'p', signal: AbortSignal.abort() }))).toBe('cancelled');
    expect(seen.keys.length).toBeGreaterThan(4);
    expect([...seen.keys, ...seen.secrets].filter((each) => !isWiped(each))).toEqual([]);
    expect(await kept()).toBe(0);
    expect(remains(secret)).toBe(0);
  });

  test('of slots that are not made, and of rekeying that fails, are gone; those of the handle are not', async () => {
    await using at = new Place();
    const stash = await at.open();
    await stash.addSlot({ password: 'p' });
    const alive = seen.keys.filter((each) => !isWiped(each)).length;
    expect(await codeOf(() => stash.addSlot({ password: 'q' }, { label: 'x'.repeat(25) }))).toBe(
      'bad-option',
    );
    expect(await codeOf(() => stash.rekey())).toBe('other-slots');
    expect(await codeOf(() => stash.rekey({ keep: [{ password: 'wrong' }] }))).toBe('wrong-password');
    expect(await codeOf(() => stash.changePassword('q', { slot: '00' }))).toBe('no-such-slot');
    expect(await codeOf(() => stash.salvage(at.path))).toBe('already-exists');
    expect(await codeOf(() => stash.rekey({ keep: [{ password: 'p' }, {}] }))).toBe('bad-option');
    expect(await kept()).toBe(1);
    expect(seen.keys.filter((each) => !isWiped(each))).toHaveLength(alive);
    expect(seen.secrets.filter((each) => !isWiped(each))).toEqual([]);
    await stash.write(['a'], bytesOf(10));
    expect(await stash.read(['a'])).toEqual(bytesOf(10));
  });
});
