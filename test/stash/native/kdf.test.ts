/** Key derivation: published vectors, the system's functions against noble's and Python's, bounds, cancelling. */
import { argon2id } from '@noble/hashes/argon2.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { hardLimits, type PasswordDerivation } from '../../../src/stash/native/derivation.js';
import {
  type Derivation,
  type DerivationLimitOptions,
  type DerivationOptions,
  derive,
  type Progress,
  parseDerivation,
  parseDerivationLimits,
} from '../../../src/stash/native/kdf.js';
import { deriveNatively } from '../../../src/stash/native/kdf-native.js';
import { derivePortably } from '../../../src/stash/native/kdf-portable.js';
import { propertyRuns } from '../../support/property-runs.js';
import { codeOf, failure, hex, utf8 } from '../support.js';
import { defaultLimits, deriveInPython, isWiped } from './header-support.js';

type Callback = (error: Error | null, key: Buffer) => void;

/** What `node:crypto` does now, and which of its functions were called with what. */
const system: {
  mode: 'real' | 'throws' | 'calls back' | 'waits';
  calls: { name: string; parameters: unknown[]; finish: Callback }[];
  hasArgon2: boolean;
} = { mode: 'real', calls: [], hasArgon2: false };

const { isArgon2Native } = vi.hoisted(() => ({ isArgon2Native: { now: false } }));

vi.mock('node:crypto', async (original) => {
  const real = await original<Record<string, unknown>>();
  isArgon2Native.now = typeof real['argon2'] === 'function';
  const replaced = (name: string): ((...args: unknown[]) => void) => {
    return (...args) => {
      const finish = args.at(-1) as Callback;
      system.calls.push({ name, parameters: args.slice(0, -1), finish });
      if (system.mode === 'real') (real[name] as (...all: unknown[]) => void)(...args);
      if (system.mode === 'throws') throw new RangeError('Invalid scrypt params: memory limit exceeded');
      if (system.mode === 'calls back')
        setImmediate(() => finish(new Error('malloc failure'), Buffer.alloc(0)));
    };
  };
  return {
    ...real,
    scrypt: replaced('scrypt'),
    pbkdf2: replaced('pbkdf2'),
    get argon2(): unknown {
      return system.hasArgon2 ? replaced('argon2') : undefined;
    },
  };
});

/** How often noble was asked for PBKDF2, which it cannot be stopped in. */
const portable = { calls: 0 };

vi.mock('@noble/hashes/pbkdf2.js', async (original) => {
  const real = await original<typeof import('@noble/hashes/pbkdf2.js')>();
  return {
    ...real,
    pbkdf2Async: (...args: Parameters<typeof real.pbkdf2Async>) => {
      portable.calls++;
      return real.pbkdf2Async(...args);
    },
  };
});

beforeEach(() => {
  portable.calls = 0;
  system.mode = 'real';
  system.calls.length = 0;
  system.hasArgon2 = isArgon2Native.now;
});

const silent = (): void => undefined;

const cheap: readonly PasswordDerivation[] = [
  { name: 'scrypt', N: 16, r: 1, p: 1 },
  { name: 'argon2id', memoryKiB: 16, passes: 1, lanes: 2 },
  { name: 'pbkdf2', iterations: 3 },
];
const [cheapScrypt, cheapArgon2] = cheap as [PasswordDerivation, PasswordDerivation];

const secret = utf8('correct horse');
const salt = new Uint8Array(32).fill(7);

describe('published vectors', () => {
  test.each<[string, string, string, PasswordDerivation, string]>([
    // The first 32 bytes, which is what a shorter key is.
    [
      'RFC 7914, section 12',
      '',
      '',
      { name: 'scrypt', N: 16, r: 1, p: 1 },
      '77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442',
    ],
    [
      'RFC 7914, section 12',
      'password',
      'NaCl',
      { name: 'scrypt', N: 1024, r: 8, p: 16 },
      'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162',
    ],
    [
      'RFC 7914, section 12',
      'pleaseletmein',
      'SodiumChloride',
      { name: 'scrypt', N: 16_384, r: 8, p: 1 },
      '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2',
    ],
    [
      'the reference implementation of Argon2',
      'password',
      'somesalt',
      { name: 'argon2id', memoryKiB: 256, passes: 2, lanes: 1 },
      '9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe',
    ],
    [
      'the reference implementation of Argon2',
      'password',
      'somesalt',
      { name: 'argon2id', memoryKiB: 256, passes: 2, lanes: 2 },
      '6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037',
    ],
    [
      'the reference implementation of Argon2',
      'password',
      'somesalt',
      { name: 'argon2id', memoryKiB: 65_536, passes: 2, lanes: 1 },
      '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7',
    ],
    [
      'those of RFC 6070, with SHA-512',
      'password',
      'salt',
      { name: 'pbkdf2', iterations: 1 },
      '867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252',
    ],
    [
      'those of RFC 6070, with SHA-512',
      'password',
      'salt',
      { name: 'pbkdf2', iterations: 2 },
      'e1d9c16aa681708a45f5c7c4e215ceb66e011a2e9f0040713f18aefdb866d53c',
    ],
    [
      'those of RFC 6070, with SHA-512',
      'password',
      'salt',
      { name: 'pbkdf2', iterations: 4096 },
      'd197b1b33db0143e018b12f3d1d1479e6cdebdcc97c5c0f87f6902e072f457b5',
    ],
  ])('%s: "%s", "%s", %j', async (_source, password, saltText, derivation, key) => {
    const [bytes, saltBytes] = [utf8(password), utf8(saltText)];
    expect(hex(await derive(bytes, saltBytes, derivation, defaultLimits, {}))).toBe(key);
    expect(hex(await derivePortably(bytes, saltBytes, derivation, silent))).toBe(key);
    if (derivation.name !== 'argon2id' || isArgon2Native.now) {
      expect(hex(await deriveNatively(bytes, saltBytes, derivation))).toBe(key);
    }
  });

  test('RFC 9106, section 5.3, whose secret and associated data no slot has', () => {
    const tag = argon2id(new Uint8Array(32).fill(1), new Uint8Array(16).fill(2), {
      key: new Uint8Array(8).fill(3),
      personalization: new Uint8Array(12).fill(4),
      m: 32,
      t: 3,
      p: 4,
    });
    expect(hex(tag)).toBe('0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659');
  });

  test('none is HKDF', async () => {
    const info = utf8('secretbus stash 1 secret');
    const key = await derive(secret, salt, { name: 'none' }, defaultLimits, {});
    expect(hex(key)).toBe(hex(hkdf(sha256, secret, salt, info, 32)));
  });
});

const derivationArbitrary: fc.Arbitrary<PasswordDerivation> = fc.oneof(
  fc.record({
    name: fc.constant('scrypt' as const),
    N: fc.integer({ min: 1, max: 8 }).map((log) => 2 ** log),
    r: fc.integer({ min: 1, max: 9 }),
    p: fc.integer({ min: 1, max: 3 }),
  }),
  fc
    .tuple(fc.nat(40), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }))
    .map(([more, passes, lanes]) => ({
      name: 'argon2id' as const,
      memoryKiB: 8 * lanes + more,
      passes,
      lanes,
    })),
  fc.record({ name: fc.constant('pbkdf2' as const), iterations: fc.integer({ min: 1, max: 50 }) }),
);

describe('peers', () => {
  test('the system and noble derive the same', async () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(
        bytes,
        fc.uint8Array({ minLength: 8, maxLength: 80 }),
        derivationArbitrary,
        async (password, saltBytes, derivation) => {
          fc.pre(derivation.name !== 'argon2id' || isArgon2Native.now);
          const key = await deriveNatively(password, saltBytes, derivation);
          expect(hex(key)).toBe(hex(await derivePortably(password, saltBytes, derivation, silent)));
        },
      ),
      { numRuns: Math.min(propertyRuns(), 1000) },
    );
  });

  test('Python derives the same', async (context) => {
    const cases = fc
      .sample(
        fc.tuple(
          fc.uint8Array({ maxLength: 200 }),
          fc.uint8Array({ minLength: 16, maxLength: 16 }),
          derivationArbitrary,
        ),
        { numRuns: 100, seed: 1 },
      )
      .map(([password, saltBytes, derivation]) => ({
        secret: hex(password),
        salt: hex(saltBytes),
        derivation: derivation.name === 'argon2id' ? { ...derivation, lanes: 1 } : derivation,
      }));
    const keys = deriveInPython(context, cases);
    expect(new Set(cases.map(({ derivation }) => derivation.name)).size).toBe(3);
    for (const [index, { secret: password, salt: saltText, derivation }] of cases.entries()) {
      const key = derive(
        Buffer.from(password, 'hex'),
        Buffer.from(saltText, 'hex'),
        derivation,
        hardLimits,
        {},
      );
      expect([derivation, hex(await key)]).toEqual([derivation, keys[index]]);
    }
  });
});

describe('the system', () => {
  test.each(cheap)('is asked first: $name', async (derivation) => {
    system.hasArgon2 = true;
    system.mode = 'waits';
    const key = derive(secret, salt, derivation, defaultLimits, {});
    await vi.waitFor(() => expect(system.calls).toHaveLength(1));
    system.calls[0]?.finish(null, Buffer.alloc(32, 5));
    expect(hex(await key)).toBe('05'.repeat(32));
  });

  test('gets the parameters of crypto.argon2', async () => {
    system.hasArgon2 = true;
    system.mode = 'waits';
    const derivation = { name: 'argon2id', memoryKiB: 96, passes: 5, lanes: 3 } as const;
    const key = derive(secret, salt, derivation, defaultLimits, {});
    await vi.waitFor(() => expect(system.calls).toHaveLength(1));
    expect(system.calls[0]).toMatchObject({
      name: 'argon2',
      parameters: [
        'argon2id',
        { message: secret, nonce: salt, parallelism: 3, tagLength: 32, memory: 96, passes: 5 },
      ],
    });
    system.calls[0]?.finish(null, Buffer.alloc(32, 5));
    await key;
  });

  test('may use the memory that the default costs', async () => {
    const derivation = parseDerivation(undefined, defaultLimits);
    expect(derivation).toEqual({ name: 'scrypt', N: 2 ** 17, r: 8, p: 1 });
    const seen: number[] = [];
    await derive(secret, salt, derivation, defaultLimits, { onProgress: ({ done }) => seen.push(done) });
    // Without a step between them: noble would have made thousands.
    expect(seen).toEqual([0, 1]);
  });

  for (const mode of ['throws', 'calls back'] as const) {
    test.each(cheap)(`noble does it where it ${mode}: $name`, async (derivation) => {
      const expected = hex(await derivePortably(secret, salt, derivation, silent));
      system.hasArgon2 = true;
      system.mode = mode;
      const seen: Progress[] = [];
      const options = { onProgress: (progress: Progress) => seen.push(progress) };
      expect(hex(await derive(secret, salt, derivation, defaultLimits, options))).toBe(expected);
      expect(system.calls).toHaveLength(1);
      expect(seen.every(({ phase }) => phase === 'derive')).toBe(true);
      const steps = seen.map(({ done }) => done);
      expect(steps).toEqual(steps.toSorted((a, b) => a - b));
      expect([steps[0], steps.at(-1)]).toEqual([0, 1]);
      if (derivation.name !== 'pbkdf2') expect(steps.length).toBeGreaterThan(10);
    });
  }

  test('noble does Argon2id where there is no crypto.argon2', async () => {
    system.hasArgon2 = false;
    const key = await derive(secret, salt, cheapArgon2, defaultLimits, {});
    expect(hex(key)).toBe(hex(await derivePortably(secret, salt, cheapArgon2, silent)));
  });

  test('nothing can do it: derivation-failed', async () => {
    // noble takes no salt of less than 8 bytes for Argon2; no slot has one.
    system.hasArgon2 = false;
    const error = await failure(() => derive(secret, utf8('short'), cheapArgon2, defaultLimits, {}));
    expect(error.code).toBe('derivation-failed');
    expect(error.cause).toBeInstanceOf(Error);
  });
});

describe('bounds', () => {
  test.each<[Derivation, number]>([
    [{ name: 'scrypt', N: 2 ** 20, r: 16, p: 1 }, 2 ** 30],
    [{ name: 'scrypt', N: 2 ** 24, r: 1, p: 1 }, 2 ** 30],
    [{ name: 'scrypt', N: 2 ** 25, r: 1, p: 1 }, 2 ** 24],
    [{ name: 'scrypt', N: 2 ** 63, r: 2 ** 32 - 1, p: 2 ** 32 - 1 }, 2 ** 24],
    [{ name: 'scrypt', N: 2, r: 33, p: 1 }, 32],
    [{ name: 'scrypt', N: 2, r: 1, p: 17 }, 16],
    [{ name: 'argon2id', memoryKiB: 2 ** 20 + 1, passes: 1, lanes: 1 }, 2 ** 30],
    [{ name: 'argon2id', memoryKiB: 8, passes: 17, lanes: 1 }, 16],
    [{ name: 'argon2id', memoryKiB: 2 ** 10, passes: 1, lanes: 17 }, 16],
    [{ name: 'pbkdf2', iterations: 2 ** 24 + 1 }, 2 ** 24],
  ])('%j is too costly', async (derivation, maximum) => {
    system.mode = 'throws';
    const seen: Progress[] = [];
    const options = { onProgress: (progress: Progress) => seen.push(progress) };
    const error = await failure(() => derive(secret, salt, derivation, defaultLimits, options));
    expect(error).toMatchObject({ code: 'derivation-too-costly', maximum });
    expect([system.calls, seen]).toEqual([[], []]);
  });

  test('what is just within them is done', async () => {
    system.mode = 'waits';
    system.hasArgon2 = true;
    for (const derivation of [
      { name: 'scrypt', N: 2 ** 20, r: 8, p: 16 },
      { name: 'scrypt', N: 2 ** 18, r: 32, p: 1 },
      { name: 'argon2id', memoryKiB: 2 ** 20, passes: 16, lanes: 16 },
      { name: 'pbkdf2', iterations: 2 ** 24 },
    ] as const) {
      system.calls.length = 0;
      const key = derive(secret, salt, derivation, defaultLimits, {});
      await vi.waitFor(() => expect(system.calls).toHaveLength(1));
      system.calls[0]?.finish(null, Buffer.alloc(32));
      await key;
    }
  });

  test('they move with the options', async () => {
    const limits = parseDerivationLimits({
      maxMemoryBytes: 2 ** 20,
      maxPasses: 2,
      maxLanes: 1,
      maxIterations: 4,
    });
    const maximumOf = async (derivation: Derivation): Promise<unknown> => {
      const error = await failure(() => derive(secret, salt, derivation, limits, {}));
      return 'maximum' in error ? error.maximum : undefined;
    };
    expect(await maximumOf({ name: 'scrypt', N: 2 ** 13, r: 2, p: 1 })).toBe(2 ** 20);
    expect(await maximumOf({ name: 'argon2id', memoryKiB: 1025, passes: 1, lanes: 1 })).toBe(2 ** 20);
    expect(await maximumOf({ name: 'argon2id', memoryKiB: 8, passes: 3, lanes: 1 })).toBe(2);
    expect(await maximumOf({ name: 'argon2id', memoryKiB: 16, passes: 1, lanes: 2 })).toBe(1);
    expect(await maximumOf({ name: 'scrypt', N: 2, r: 1, p: 2 })).toBe(1);
    expect(await maximumOf({ name: 'pbkdf2', iterations: 5 })).toBe(4);
    expect(await derive(secret, salt, { name: 'pbkdf2', iterations: 4 }, limits, {})).toHaveLength(32);
  });
});

describe('cancelling', () => {
  test.each(cheap)('before: nothing is done for $name', async (derivation) => {
    system.hasArgon2 = true;
    const signal = AbortSignal.abort();
    expect(await codeOf(() => derive(secret, salt, derivation, defaultLimits, { signal }))).toBe('cancelled');
    expect(system.calls).toEqual([]);
  });

  test('while the system works: at once, and what comes late is wiped', async () => {
    system.mode = 'waits';
    const controller = new AbortController();
    const reason = new Error('enough');
    const key = failure(() =>
      derive(secret, salt, cheapScrypt, defaultLimits, { signal: controller.signal }),
    );
    await vi.waitFor(() => expect(system.calls).toHaveLength(1));
    controller.abort(reason);
    expect(await key).toMatchObject({ code: 'cancelled', cause: reason });
    const late = Buffer.alloc(32, 5);
    system.calls[0]?.finish(null, late);
    await vi.waitFor(() => expect(isWiped(late)).toBe(true));
  });

  test.each([
    { name: 'scrypt', N: 2 ** 17, r: 8, p: 1 },
    { name: 'argon2id', memoryKiB: 2 ** 17, passes: 4, lanes: 1 },
  ] as const)('while noble works: it stops ($name)', async (derivation) => {
    system.mode = 'throws';
    system.hasArgon2 = false;
    const controller = new AbortController();
    const seen: number[] = [];
    const key = codeOf(() =>
      derive(secret, salt, derivation, defaultLimits, {
        signal: controller.signal,
        onProgress: ({ done }) => seen.push(done),
      }),
    );
    await vi.waitFor(() => expect(seen.at(-1)).toBeGreaterThan(0));
    controller.abort();
    expect(await key).toBe('cancelled');
    const count = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(seen).toHaveLength(count);
    expect(seen.at(-1)).toBeLessThan(0.9);
  });

  test('while the system works, which then fails: noble does not begin', async () => {
    system.mode = 'waits';
    const controller = new AbortController();
    const { signal } = controller;
    const key = codeOf(() =>
      derive(secret, salt, { name: 'pbkdf2', iterations: 9 }, defaultLimits, { signal }),
    );
    await vi.waitFor(() => expect(system.calls).toHaveLength(1));
    controller.abort();
    system.calls[0]?.finish(new Error('malloc failure'), Buffer.alloc(0));
    expect(await key).toBe('cancelled');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(portable.calls).toBe(0);
  });

  test('at the very end: the key is wiped', async () => {
    system.mode = 'waits';
    const controller = new AbortController();
    const onProgress = ({ done }: Progress): void => {
      if (done === 1) controller.abort();
    };
    const { signal } = controller;
    const result = codeOf(() => derive(secret, salt, cheapScrypt, defaultLimits, { signal, onProgress }));
    await vi.waitFor(() => expect(system.calls).toHaveLength(1));
    const key = Buffer.alloc(32, 5);
    system.calls[0]?.finish(null, key);
    expect(await result).toBe('cancelled');
    await vi.waitFor(() => expect(isWiped(key)).toBe(true));
  });

  test('by a listener that throws: its error is the cause, and the key is wiped', async () => {
    for (const at of [0, 1]) {
      system.mode = 'waits';
      system.calls.length = 0;
      const thrown = new Error('of the listener');
      const onProgress = ({ done }: Progress): void => {
        if (done === at) throw thrown;
      };
      const error = failure(() => derive(secret, salt, cheapScrypt, defaultLimits, { onProgress }));
      if (at === 1) await vi.waitFor(() => expect(system.calls).toHaveLength(1));
      const key = Buffer.alloc(32, 5);
      system.calls[0]?.finish(null, key);
      expect(await error).toMatchObject({ code: 'derivation-failed', cause: thrown });
      expect(isWiped(key)).toBe(at === 1);
    }
  });

  test('the secret is never changed', async () => {
    for (const derivation of [...cheap, { name: 'none' } as const]) {
      await derive(secret, salt, derivation, defaultLimits, {});
    }
    expect(secret).toEqual(utf8('correct horse'));
  });
});

describe('options', () => {
  test('have defaults', () => {
    expect(parseDerivation({ name: 'argon2id' }, defaultLimits)).toEqual({
      name: 'argon2id',
      memoryKiB: 65_536,
      passes: 3,
      lanes: 4,
    });
    expect(parseDerivation({ name: 'pbkdf2' }, defaultLimits)).toEqual({
      name: 'pbkdf2',
      iterations: 2 ** 19,
    });
    expect(parseDerivation({ name: 'scrypt', N: 4, r: undefined }, defaultLimits)).toEqual({
      name: 'scrypt',
      N: 4,
      r: 8,
      p: 1,
    });
    expect(parseDerivationLimits({})).toEqual({
      maxMemoryBytes: 2 ** 30,
      maxPasses: 16,
      maxLanes: 16,
      maxIterations: 2 ** 24,
    });
    expect(parseDerivationLimits({ ...hardLimits })).toEqual(hardLimits);
  });

  const noIntegers = [0, -1, 1.5, Number.NaN, Infinity, -Infinity, 2 ** 53, '8', 8n, null, {}, true];
  const parameters: [DerivationOptions['name'], string][] = [
    ['scrypt', 'N'],
    ['scrypt', 'r'],
    ['scrypt', 'p'],
    ['argon2id', 'memoryKiB'],
    ['argon2id', 'passes'],
    ['argon2id', 'lanes'],
    ['pbkdf2', 'iterations'],
  ];

  test.each(parameters)('%s: %s is a positive integer', async (name, parameter) => {
    for (const value of noIntegers) {
      const options = { name, [parameter]: value } as DerivationOptions;
      expect([value, await codeOf(() => parseDerivation(options, hardLimits))]).toEqual([
        value,
        'bad-option',
      ]);
    }
  });

  test.each<DerivationOptions>([
    { name: 'scrypt', N: 1 },
    { name: 'scrypt', N: 3 },
    { name: 'scrypt', N: 2 ** 24 - 1 },
    { name: 'scrypt', N: 2 ** 25, r: 1 },
    { name: 'scrypt', N: 2 ** 16, r: 1 },
    { name: 'scrypt', r: 33 },
    { name: 'scrypt', p: 17 },
    { name: 'scrypt', N: 2 ** 21 },
    { name: 'argon2id', memoryKiB: 31 },
    { name: 'argon2id', memoryKiB: 2 ** 20 + 1 },
    { name: 'argon2id', passes: 17 },
    { name: 'argon2id', lanes: 17 },
    { name: 'pbkdf2', iterations: 2 ** 24 + 1 },
  ])('%j cannot be wanted', async (options) => {
    expect(await codeOf(() => parseDerivation(options, defaultLimits))).toBe('bad-option');
  });

  test('nothing but the three functions', async () => {
    for (const options of [null, 'scrypt', 5, [], {}, { name: 'none' }, { name: 'toString' }, { name: 1 }]) {
      const parse = (): unknown => parseDerivation(options as DerivationOptions, defaultLimits);
      expect([options, await codeOf(parse)]).toEqual([options, 'bad-option']);
    }
  });

  test.each(Object.entries(hardLimits))(
    'the limit %s is a positive integer of at most %i',
    async (name, most) => {
      for (const value of [...noIntegers, most + 1]) {
        const options = { [name]: value } as DerivationLimitOptions;
        expect([value, await codeOf(() => parseDerivationLimits(options))]).toEqual([value, 'bad-option']);
      }
      expect(parseDerivationLimits({ [name]: most })).toMatchObject({ [name]: most });
      expect(await codeOf(() => parseDerivationLimits('all' as DerivationLimitOptions))).toBe('bad-option');
    },
  );
});
