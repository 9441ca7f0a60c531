/** Key slots: those that Python made, every damage of one, which secret opens which, and what is wiped. */
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Secret } from '../../../src/stash/native/credentials.js';
import { parseHeader } from '../../../src/stash/native/header-page.js';
import type { Derivation, Progress } from '../../../src/stash/native/kdf.js';
import {
  formatSlot,
  isWeaker,
  makeSlot,
  openSlots,
  parseLabel,
  parseSlot,
  type Slot,
  type SlotKind,
} from '../../../src/stash/native/slots.js';
import { propertyRuns } from '../../support/property-runs.js';
import { codeOf, failure, hex, utf8 } from '../support.js';
import {
  defaultLimits,
  isWiped,
  joined,
  passwordDerivationArbitrary,
  readVector,
  slotArbitrary,
} from './header-support.js';

/** Every key that was derived: from secrets, and for slots. */
const derived: Uint8Array[] = [];

vi.mock('../../../src/stash/hashing.js', async (original) => {
  const real = await original<typeof import('../../../src/stash/hashing.js')>();
  return {
    ...real,
    hkdfSha256: (...args: Parameters<typeof real.hkdfSha256>) => {
      const key = real.hkdfSha256(...args);
      derived.push(key);
      return key;
    },
  };
});

vi.mock('../../../src/stash/native/kdf.js', async (original) => {
  const real = await original<typeof import('../../../src/stash/native/kdf.js')>();
  return {
    ...real,
    derive: async (...args: Parameters<typeof real.derive>) => {
      const key = await real.derive(...args);
      derived.push(key);
      return key;
    },
  };
});

beforeEach(() => {
  derived.length = 0;
});

const vector = readVector();
const { slots } = parseHeader(joined(...vector.pages));
const [scryptSlot, argon2Slot, pbkdf2Slot, recoverySlot, keySlot] = slots as [Slot, Slot, Slot, Slot, Slot];

function secretOf(kind: SlotKind, bytes: Uint8Array): Secret {
  return { kind, bytes };
}

const password = secretOf('password', utf8(vector.password));
const recovery = secretOf('recovery', vector.recoveryBytes);
const key = secretOf('key', vector.key);

function open(
  from: readonly Slot[],
  secret: Secret,
  limits = defaultLimits,
  progress: Parameters<typeof openSlots>[4] = {},
): ReturnType<typeof openSlots> {
  return openSlots(from, vector.storeId, secret, limits, progress);
}

const cheap = { name: 'scrypt', N: 2, r: 1, p: 1 } as const;

function make(secret: Secret, label = '', dataKey = vector.dataKey): Promise<Slot> {
  return makeSlot(dataKey, vector.storeId, secret, { derivation: cheap, label }, {});
}

function scrypt(N: number, r = 8, p = 1): Derivation {
  return { name: 'scrypt', N, r, p };
}

function argon2(memoryKiB: number, passes = 3, lanes = 4): Derivation {
  return { name: 'argon2id', memoryKiB, passes, lanes };
}

function pbkdf2(iterations: number): Derivation {
  return { name: 'pbkdf2', iterations };
}

function weaker(derivation: Derivation, wanted: Derivation): boolean {
  return isWeaker({ ...scryptSlot, derivation }, wanted);
}

describe('the slots of the vector', () => {
  test.each<[string, Slot, Secret]>([
    ['scrypt', scryptSlot, password],
    ['Argon2id', argon2Slot, password],
    ['PBKDF2', pbkdf2Slot, password],
    ['a recovery key', recoverySlot, recovery],
    ['a key', keySlot, key],
  ])('one of %s opens', async (_name, slot, secret) => {
    expect(await open([slot], secret)).toEqual({ dataKey: vector.dataKey, slot });
  });

  test('the first that fits is taken', async () => {
    expect((await open(slots, password))?.slot).toBe(scryptSlot);
    expect((await open(slots.toReversed(), password))?.slot).toBe(pbkdf2Slot);
    expect((await open(slots, recovery))?.slot).toBe(recoverySlot);
    expect((await open(slots, key))?.slot).toBe(keySlot);
  });

  test('nothing else opens any', async () => {
    const others = ['', 'password', `${vector.password} `, 'x'.repeat(200)].map((text) =>
      secretOf('password', utf8(text)),
    );
    others.push(
      secretOf('recovery', vector.recoveryBytes.toReversed()),
      secretOf('key', vector.key.subarray(1)),
    );
    for (const secret of others) expect(await open(slots, secret)).toBeUndefined();
    expect(await open([], password)).toBeUndefined();
  });

  test('no secret opens a slot of another kind', async () => {
    for (const bytes of [password.bytes, recovery.bytes, key.bytes]) {
      const fitting: SlotKind[] = [];
      for (const kind of ['password', 'recovery', 'key'] as const) {
        if ((await open(slots, secretOf(kind, bytes))) !== undefined) fitting.push(kind);
      }
      expect(fitting).toHaveLength(1);
    }
    derived.length = 0;
    expect(await open([recoverySlot, keySlot], password)).toBeUndefined();
    expect(derived).toEqual([]);
  });

  test('nor one of another store', async () => {
    const other = vector.storeId.slice();
    other[0] = (other[0] ?? 0) ^ 1;
    expect(await openSlots(slots, other, key, defaultLimits, {})).toBeUndefined();
  });
});

describe('bytes', () => {
  test('what is written is what is read', () => {
    fc.assert(
      fc.property(slotArbitrary, (slot) => {
        const bytes = formatSlot(slot);
        expect(bytes).toHaveLength(192);
        expect(parseSlot(bytes, 0)).toEqual(slot);
      }),
      { numRuns: propertyRuns() },
    );
  });

  test('what is read is written again the same', async () => {
    const changes = fc.array(fc.tuple(fc.nat(191), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...slots), changes, async (slot, changed) => {
        const bytes = formatSlot(slot);
        for (const [at, byte] of changed) bytes[at] = byte;
        const before = hex(bytes);
        const result = await codeOf(() => parseSlot(bytes, 0));
        if (typeof result === 'object') expect(hex(formatSlot(result as Slot))).toBe(before);
        else expect(result).toBe('damaged-slot');
        seen.add(typeof result);
      }),
      { numRuns: propertyRuns() },
    );
    expect([...seen].toSorted()).toEqual(['object', 'string']);
  });

  test('a slot keeps no bytes of the page', () => {
    const bytes = formatSlot(keySlot);
    const slot = parseSlot(bytes, 0);
    bytes.fill(0xff);
    expect(slot).toEqual(keySlot);
  });

  test('zeros are a free slot', () => {
    expect(parseSlot(new Uint8Array(192), 0)).toBeUndefined();
  });

  test.each<[string, number, readonly number[]]>([
    ['no kind', 0, [0]],
    ['kind 4', 0, [4]],
    ['kind 255', 0, [255]],
    ['derivation 4', 1, [4]],
    ['a password without derivation', 1, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a key with scrypt', 0, [3]],
    ['a recovery key with scrypt', 0, [2]],
    ['something after the derivation', 2, [1]],
    ['something more after the derivation', 3, [1]],
    ['N of 1', 4, [0]],
    ['N of 2^64', 4, [64]],
    ['N beyond all', 4, [255, 255, 255, 255]],
    ['r of 0', 8, [0]],
    ['p of 0', 12, [0]],
    ['r of 1 with N of 2^16', 4, [16, 0, 0, 0, 1]],
    ['Argon2id without passes', 1, [2, 0, 0, 255, 0, 0, 0, 0]],
    ['Argon2id without lanes', 1, [2, 0, 0, 255, 0, 0, 0, 1, 0, 0, 0, 0]],
    ['Argon2id with less than 8 KiB a lane', 1, [2, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0, 2]],
    ['PBKDF2 without iterations', 1, [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['PBKDF2 with a second parameter', 1, [3, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]],
    ['PBKDF2 with a third parameter', 1, [3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]],
    ['a label that goes on after a zero', 168 + 23, [0x61]],
    ['a label that is no UTF-8', 168, [0xff]],
    ['a label cut within a character', 168 + 5, [0xc3]],
    ['a label with a surrogate', 168, [0xed, 0xa0, 0x80]],
  ])('%s is damage', async (_name, at, bytes) => {
    const changed = formatSlot(scryptSlot);
    changed.set(bytes, at);
    expect(await failure(() => parseSlot(changed, 288))).toMatchObject({ code: 'damaged-slot', offset: 288 });
  });

  test('a parameter of a slot without derivation is damage', async () => {
    for (const at of [4, 8, 12]) {
      const changed = formatSlot(keySlot);
      changed[at] = 1;
      expect(await codeOf(() => parseSlot(changed, 0))).toBe('damaged-slot');
    }
  });

  test('costs that are merely too much are not: the other slots may open', () => {
    const bytes = formatSlot(scryptSlot);
    bytes[4] = 63;
    bytes[8] = 200;
    expect(parseSlot(bytes, 0)?.derivation).toEqual({ name: 'scrypt', N: 2 ** 63, r: 200, p: 3 });
  });
});

describe('damage', () => {
  test('of any bit is told from a wrong secret as far as can be', async () => {
    for (let bit = 0; bit < 192 * 8; bit++) {
      const bytes = formatSlot(keySlot);
      const at = bit >> 3;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      const result = await codeOf(async () => {
        const slot = parseSlot(bytes, 0);
        const opened = await open([recoverySlot, slot as Slot], key);
        return opened && hex(opened.dataKey);
      });
      const where =
        at < 16
          ? 'what it is'
          : at < 96
            ? 'what the key comes from'
            : at < 168
              ? 'what is wrapped'
              : 'the label';
      const expected = {
        'what it is': ['damaged-slot'],
        'what the key comes from': [undefined],
        'what is wrapped': ['damaged-slot'],
        // Bound by the MAC of the page alone.
        'the label': ['damaged-slot', hex(vector.dataKey)],
      }[where];
      // A flip can turn kind 3 into kind 2, which is a slot too, and not of this secret.
      if (bit === 0) expect(result).toBeUndefined();
      else expect([bit, expected]).toEqual([bit, expect.arrayContaining([result])]);
    }
  });

  test('says where', async () => {
    const spoilt = { ...keySlot, wrapped: keySlot.wrapped.slice().fill(0) };
    const error = await failure(() => open([recoverySlot, spoilt], key));
    expect(error).toMatchObject({ name: 'StashCorruptError', code: 'damaged-slot', offset: 96 + 192 });
    // The same secret opens another, but somebody changed this file.
    expect(await codeOf(() => open([spoilt, keySlot], key))).toBe('damaged-slot');
  });

  test('a wrapped key does not fit another slot, or a slot with other costs', async () => {
    const [first, second] = [await make(key), await make(key)];
    const mixed = { ...first, nonce: second.nonce, wrapped: second.wrapped };
    expect(await codeOf(() => open([mixed], key))).toBe('damaged-slot');
    const [plain] = [await make(password)];
    const relabelled = { ...plain, derivation: { ...cheap, p: 2 } };
    expect(await open([relabelled], password)).toBeUndefined();
  });
});

describe('costs', () => {
  const costly: Slot = { ...scryptSlot, derivation: { name: 'scrypt', N: 2 ** 20, r: 32, p: 1 } };

  test('beyond the limits matter only if nothing else opens', async () => {
    expect((await open([costly, pbkdf2Slot], password))?.slot).toBe(pbkdf2Slot);
    expect((await open([pbkdf2Slot, costly], password))?.slot).toBe(pbkdf2Slot);
    const wrong = secretOf('password', utf8('wrong'));
    for (const from of [[costly], [costly, pbkdf2Slot], [pbkdf2Slot, costly]]) {
      const error = await failure(() => open(from, wrong));
      expect(error).toMatchObject({ code: 'derivation-too-costly', maximum: 2 ** 30 });
    }
    // It is of another kind.
    expect(await open([costly], key)).toBeUndefined();
  });

  test('are those of the limits given', async () => {
    const limits = { ...defaultLimits, maxIterations: 999 };
    expect(await failure(() => open([pbkdf2Slot], password, limits))).toMatchObject({
      code: 'derivation-too-costly',
      maximum: 999,
    });
  });

  test('progress goes from 0 to 1 over all that are tried', async () => {
    const seen: Progress[] = [];
    const wrong = secretOf('password', utf8('wrong'));
    await open(slots, wrong, defaultLimits, { onProgress: (progress) => seen.push(progress) });
    const steps = seen.map(({ done }) => done);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect([steps[0], steps.at(-1)]).toEqual([0, 1]);
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['derive']));
  });

  test('cancelling ends it, whatever slots there still are', async () => {
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const opening = open(slots, password, defaultLimits, { signal: controller.signal, onProgress });
    expect(await codeOf(() => opening)).toBe('cancelled');
  });
});

describe('making', () => {
  test('a slot that its secret opens, through its bytes, and nothing else', async () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 100 });
    const kind = fc.constantFrom<SlotKind>('password', 'recovery', 'key');
    await fc.assert(
      fc.asyncProperty(kind, bytes, bytes, async (of, secret, other) => {
        const slot = await make(secretOf(of, secret), 'tag');
        const read = parseSlot(formatSlot(slot), 0) as Slot;
        expect(read).toEqual(slot);
        expect(await open([read], secretOf(of, secret))).toEqual({ dataKey: vector.dataKey, slot: read });
        if (hex(secret) !== hex(other)) expect(await open([read], secretOf(of, other))).toBeUndefined();
      }),
      { numRuns: Math.min(propertyRuns(), 1000) },
    );
  });

  test('has its derivation for passwords alone', async () => {
    expect((await make(password)).derivation).toEqual(cheap);
    expect((await make(key)).derivation).toEqual({ name: 'none' });
    expect((await make(recovery)).derivation).toEqual({ name: 'none' });
  });

  test('never gives the same twice', async () => {
    const made = [await make(key), await make(key)];
    for (const part of ['id', 'salt', 'commitment', 'nonce', 'wrapped'] as const) {
      expect(new Set(made.map((slot) => hex(slot[part]))).size).toBe(2);
    }
  });

  test('has room for 24 bytes of label', async () => {
    for (const label of ['', 'x'.repeat(24), 'ü'.repeat(12), '🔑'.repeat(6), '\ufeffbom']) {
      expect(parseLabel(label)).toBe(label);
      const slot = await make(key, label);
      expect(parseSlot(formatSlot(slot), 0)?.label).toBe(label);
    }
    const bad = ['x'.repeat(25), 'ü'.repeat(13), 'a\0', '\0', '\ud800', 5, null, undefined, {}];
    for (const label of bad) {
      expect([label, await codeOf(() => parseLabel(label))]).toEqual([label, 'bad-option']);
    }
    expect(await codeOf(() => make(key, 'x'.repeat(25)))).toBe('bad-option');
  });
});

describe('wiping', () => {
  test('all keys but the one asked for, whatever comes of it', async () => {
    const spoilt = { ...keySlot, nonce: keySlot.nonce.slice().fill(0) };
    const actions: (() => Promise<unknown>)[] = [
      () => open(slots, password),
      () => open(slots, secretOf('password', utf8('wrong'))),
      () => open(slots, key),
      () => codeOf(() => open([spoilt], key)),
      () => make(password),
      () => make(key),
    ];
    for (const action of actions) {
      derived.length = 0;
      await action();
      expect(derived.length).toBeGreaterThan(1);
      expect(derived.map(isWiped)).toEqual(derived.map(() => true));
    }
  });

  test('neither the secret nor the data key of the caller', async () => {
    const [secret, dataKey] = [key.bytes.slice(), vector.dataKey.slice()];
    const slot = await make(secretOf('key', secret), '', dataKey);
    await open([slot], secretOf('key', secret));
    expect([secret, dataKey]).toEqual([key.bytes, vector.dataKey]);
  });
});

describe('weaker', () => {
  test.each<[Derivation, Derivation, boolean]>([
    [scrypt(2 ** 16), scrypt(2 ** 17), true],
    [scrypt(2 ** 17), scrypt(2 ** 17), false],
    [scrypt(2 ** 18), scrypt(2 ** 17), false],
    [scrypt(2 ** 17, 8, 1), scrypt(2 ** 17, 8, 2), true],
    [scrypt(2 ** 17, 4), scrypt(2 ** 17), true],
    [argon2(2 ** 16), argon2(2 ** 17), true],
    [argon2(2 ** 16, 2), argon2(2 ** 16, 3), true],
    [argon2(2 ** 16, 3, 1), argon2(2 ** 16, 3, 4), false],
    [argon2(2 ** 17, 1), argon2(2 ** 16, 2), false],
    [pbkdf2(10), pbkdf2(11), true],
    [pbkdf2(11), pbkdf2(10), false],
    [pbkdf2(2 ** 24), scrypt(2 ** 10), true],
    [pbkdf2(2 ** 24), argon2(64), true],
    [scrypt(2), pbkdf2(2 ** 24), false],
    [argon2(8, 1, 1), pbkdf2(2 ** 24), false],
    [argon2(8, 1, 1), scrypt(2 ** 20), false],
    // The default of one and the default of the other.
    [scrypt(2 ** 17), argon2(2 ** 16), true],
    [scrypt(2 ** 20), argon2(2 ** 16), false],
  ])('%j than %j: %s', (derivation, wanted, expected) => {
    expect(weaker(derivation, wanted)).toBe(expected);
  });

  test('never both ways', () => {
    fc.assert(
      fc.property(passwordDerivationArbitrary, passwordDerivationArbitrary, (one, other) => {
        expect(weaker(one, one)).toBe(false);
        expect(weaker(one, other) && weaker(other, one)).toBe(false);
      }),
      { numRuns: propertyRuns() },
    );
  });

  test('is no slot of another kind', () => {
    expect(isWeaker(keySlot, scrypt(2 ** 20))).toBe(false);
    expect(isWeaker(recoverySlot, scrypt(2 ** 20))).toBe(false);
  });
});
