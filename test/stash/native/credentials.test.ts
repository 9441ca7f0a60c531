/** What opens a stash, as callers give it; and recovery keys as people type them. */
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  Credential,
  type CredentialOptions,
  generateKey,
  generateRecoveryKey,
  parseRecoveryKey,
} from '../../../src/stash/native/credentials.js';
import { propertyRuns } from '../../support/property-runs.js';
import { codeOf, failure, hex, unhex, utf8 } from '../support.js';
import { isWiped, readVector } from './header-support.js';

const vector = readVector();
const key32 = new Uint8Array(32).fill(9);

/** Reads what the options stand for. */
async function read(options: CredentialOptions): Promise<[string, string]> {
  const { kind, bytes } = await new Credential(options).read(undefined);
  return [kind, hex(bytes)];
}

/** Spies on how buffers are filled; `wiped` gives the lengths of those that were filled with zeros. */
function watchFills(): { wiped: () => number[] } & Disposable {
  const spy = vi.spyOn(Uint8Array.prototype, 'fill');
  return {
    wiped: () =>
      spy.mock.contexts
        .filter((_, index) => spy.mock.calls[index]?.[0] === 0)
        .map((buffer) => (buffer as Uint8Array).length),
    [Symbol.dispose]: () => spy.mockRestore(),
  };
}

/** Reads a recovery key. */
function parse(text: string): Uint8Array {
  return parseRecoveryKey(utf8(text));
}

describe('a credential', () => {
  test.each<[string, CredentialOptions, string, string]>([
    ['a password as text', { password: 'pässword' }, 'password', hex(utf8('pässword'))],
    ['a password as bytes', { password: Uint8Array.of(0, 255) }, 'password', '00ff'],
    ['the empty password', { password: '' }, 'password', ''],
    ['a password by a function', { password: () => 'p' }, 'password', '70'],
    ['a password by a promise', { password: async () => utf8('p') }, 'password', '70'],
    ['a key', { key: key32 }, 'key', hex(key32)],
    ['a key in a Buffer', { key: Buffer.from(key32) }, 'key', hex(key32)],
    ['the longest key', { key: new Uint8Array(2 ** 20) }, 'key', '00'.repeat(2 ** 20)],
    ['a key by a function', { key: () => key32 }, 'key', hex(key32)],
    ['a key by a promise', { key: async () => vector.key }, 'key', hex(vector.key)],
    ['a recovery key', { recoveryKey: vector.recoveryKey }, 'recovery', hex(vector.recoveryBytes)],
    ['its bytes', { recoveryKey: utf8(vector.recoveryKey) }, 'recovery', hex(vector.recoveryBytes)],
    ['its function', { recoveryKey: () => vector.recoveryKey }, 'recovery', hex(vector.recoveryBytes)],
    ['members that are undefined', { password: 'p', key: undefined }, 'password', '70'],
  ])('%s', async (_name, options, kind, bytes) => {
    expect(await read(options)).toEqual([kind, bytes]);
    expect(new Credential(options).kind).toBe(kind);
  });

  test('of another realm', async () => {
    const foreign = runInNewContext('new Uint8Array(32).fill(9)') as Uint8Array;
    expect(foreign).not.toBeInstanceOf(Uint8Array);
    expect(await read({ key: foreign })).toEqual(['key', hex(key32)]);
    expect(await read({ key: () => foreign })).toEqual(['key', hex(key32)]);
  });

  test('is one thing', async () => {
    const none = [{}, { password: undefined }, undefined, null, 'password', 5, []];
    const several = [
      { password: 'p', key: key32 },
      { key: key32, recoveryKey: vector.recoveryKey },
      { password: 'p', key: key32, recoveryKey: vector.recoveryKey },
    ];
    for (const options of [...none, ...several]) {
      const make = (): unknown => new Credential(options as CredentialOptions);
      expect([options, await codeOf(make)]).toEqual([options, 'bad-option']);
    }
  });

  test.each<[string, unknown]>([
    ['a password that is no text', { password: 5 }],
    ['a password of null', { password: null }],
    ['a password with a lone surrogate', { password: '\ud800' }],
    ['a password that is an object', { password: {} }],
    ['a short key', { key: new Uint8Array(31) }],
    ['an empty key', { key: new Uint8Array() }],
    ['a long key', { key: new Uint8Array(2 ** 20 + 1) }],
    ['a key as text', { key: 'k'.repeat(32) }],
    ['a key of null', { key: null }],
    ['an ArrayBuffer', { key: new ArrayBuffer(32) }],
    ['words', { key: new Uint16Array(32) }],
    ['no recovery key', { recoveryKey: '' }],
    ['a recovery key that is a number', { recoveryKey: 5 }],
    ['the bytes of a recovery key', { recoveryKey: vector.recoveryBytes }],
  ])('%s is refused at once, and when a function gives it', async (_name, options) => {
    expect(await codeOf(() => new Credential(options as CredentialOptions))).toBe('bad-password');
    const entries = Object.entries(options as object).map(([name, value]) => [name, () => value as unknown]);
    const asked = new Credential(Object.fromEntries(entries) as CredentialOptions);
    expect(await codeOf(() => asked.read(undefined))).toBe('bad-password');
  });

  test('a function that throws is password-failed, and is asked each time', async () => {
    for (const name of ['password', 'key', 'recoveryKey'] as const) {
      let calls = 0;
      const cause = new Error('no card in the reader');
      const credential = new Credential({
        [name]: () => {
          calls++;
          throw cause;
        },
      });
      expect(calls).toBe(0);
      for (const count of [1, 2]) {
        expect(await failure(() => credential.read(undefined))).toMatchObject({
          code: 'password-failed',
          cause,
        });
        expect(calls).toBe(count);
      }
    }
  });

  test('no error shows what it is about', async () => {
    const marker = 'tr0ub4dor';
    for (const options of [
      { key: utf8(marker) },
      { key: marker as unknown as Uint8Array },
      { key: () => utf8(marker) },
      { recoveryKey: marker },
      { recoveryKey: `${marker}u` },
      { recoveryKey: () => marker },
      { password: `${marker}\ud800` },
    ]) {
      const error = await failure(() => new Credential(options).read(undefined));
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(marker);
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(hex(utf8(marker)).slice(0, 8));
    }
    const shown = inspect(new Credential({ password: marker }), { depth: 9, showHidden: true });
    expect(shown).not.toContain(marker);
    expect(JSON.stringify(new Credential({ password: marker }))).toBe('{"kind":"password"}');
  });

  test('cancelling does not wait for the function, and wipes what comes late', async () => {
    const user = new EventTarget();
    const asked = new Promise<string>((resolve) => {
      user.addEventListener('answer', () => resolve('late password'));
    });
    const controller = new AbortController();
    const reading = codeOf(() => new Credential({ password: () => asked }).read(controller.signal));
    controller.abort();
    expect(await reading).toBe('cancelled');
    const encode = vi.spyOn(TextEncoder.prototype, 'encode');
    try {
      user.dispatchEvent(new Event('answer'));
      await vi.waitFor(() => expect(encode.mock.results).toHaveLength(1));
      await vi.waitFor(() => expect(isWiped(encode.mock.results[0]?.value as Uint8Array)).toBe(true));
    } finally {
      encode.mockRestore();
    }
  });
});

describe('ownership', () => {
  test('bytes of the caller are copied and never changed', async () => {
    for (const name of ['password', 'key'] as const) {
      const bytes = key32.slice();
      const credential = new Credential({ [name]: bytes });
      bytes.fill(1);
      const first = await credential.read(undefined);
      expect(first.bytes).toEqual(key32);
      first.bytes.fill(2);
      expect((await credential.read(undefined)).bytes).toEqual(key32);
      credential.wipe();
      expect(bytes).toEqual(new Uint8Array(32).fill(1));
    }
  });

  test('so are those from functions', async () => {
    const bytes = key32.slice();
    const { bytes: copy } = await new Credential({ key: () => bytes }).read(undefined);
    copy.fill(2);
    expect(bytes).toEqual(key32);
  });

  test('wiping leaves zeros, and nothing to be read', async () => {
    for (const options of [
      { password: 'correct horse' },
      { key: key32 },
      { recoveryKey: vector.recoveryKey },
      { password: () => 'p' },
    ]) {
      const credential = new Credential(options);
      const { bytes } = await credential.read(undefined);
      using watch = watchFills();
      credential.wipe();
      const isFunction = typeof options.password === 'function';
      expect(watch.wiped()).toEqual(isFunction ? [] : [bytes.length]);
      expect(isWiped(bytes)).toBe(false);
      expect(await codeOf(() => credential.read(undefined))).toBe('closed');
      credential.wipe();
    }
  });

  test('the text of a recovery key is wiped, also if it is mistyped', async () => {
    const text = vector.recoveryKey;
    for (const recoveryKey of [text, text.replace('A', 'B')]) {
      for (const given of [recoveryKey, () => recoveryKey]) {
        using watch = watchFills();
        await codeOf(() => new Credential({ recoveryKey: given }).read(undefined));
        expect(watch.wiped()).toEqual(expect.arrayContaining([text.length, 35]));
      }
    }
  });

  test('a key of the wrong length is wiped', async () => {
    using watch = watchFills();
    expect(await codeOf(() => new Credential({ key: key32.subarray(1) }))).toBe('bad-password');
    expect(watch.wiped()).toEqual([31]);
  });
});

describe('recovery keys', () => {
  test('the one that Python wrote down', () => {
    expect(hex(parse(vector.recoveryKey))).toBe(hex(vector.recoveryBytes));
  });

  test('are 14 groups of four, and another each time', () => {
    const made = Array.from({ length: 100 }, () => generateRecoveryKey());
    for (const text of made) {
      expect(text).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){13}$/);
      expect(parse(text)).toHaveLength(32);
    }
    expect(new Set(made.map((text) => hex(parse(text)))).size).toBe(100);
  });

  test('are all of what the generator gave', () => {
    const spy = vi.spyOn(crypto, 'getRandomValues');
    try {
      for (const bytes of [
        new Uint8Array(32),
        new Uint8Array(32).fill(255),
        unhex('0123456789abcdef'.repeat(4)),
      ]) {
        spy.mockImplementationOnce((array) => {
          (array as Uint8Array).set(bytes);
          return array;
        });
        expect(hex(parse(generateRecoveryKey()))).toBe(hex(bytes));
        expect(isWiped(spy.mock.results.at(-1)?.value as Uint8Array)).toBe(true);
      }
    } finally {
      spy.mockRestore();
    }
  });

  test('are read however they are typed', () => {
    const separator = fc.constantFrom('', ' ', '-', '\n', '\r\n', '\t', '\u2013', '\u00a0', '.', '\ufeff');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(separator, fc.boolean(), fc.nat(2)), { minLength: 56, maxLength: 56 }),
        (habits) => {
          const digits = generateRecoveryKey().replaceAll('-', '');
          const typed = habits.map(([before, isLower, choice], index) => {
            const digit = digits[index] ?? '';
            const like =
              digit === '0' ? ['0', 'O', 'O'] : digit === '1' ? ['1', 'I', 'L'] : [digit, digit, digit];
            const picked = like[choice] ?? '';
            return before + (isLower ? picked.toLowerCase() : picked);
          });
          expect(hex(parse(`${typed.join('')}\n`))).toBe(hex(parse(digits)));
        },
      ),
      { numRuns: Math.min(propertyRuns(), 1000) },
    );
  });

  test('mistyped in one place, or with two swapped, are seen', async () => {
    const text = vector.recoveryKey;
    const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    let count = 0;
    for (let index = 0; index < text.length; index++) {
      const before = text[index] ?? '';
      if (before === '-') continue;
      for (const other of alphabet) {
        if (other === before) continue;
        const error = await failure(() => parse(text.slice(0, index) + other + text.slice(index + 1)));
        expect(error.code).toBe('bad-password');
        expect(error.message).toContain('checksum');
        count++;
      }
    }
    expect(count).toBe(56 * 31);
    const digits = text.replaceAll('-', '');
    for (let index = 1; index < digits.length; index++) {
      const [one = '', two = ''] = digits.slice(index - 1, index + 1);
      if (one === two) continue;
      const swapped = digits.slice(0, index - 1) + two + one + digits.slice(index + 1);
      expect((await failure(() => parse(swapped))).message).toContain('checksum');
    }
  });

  test('of another length say so', async () => {
    const digits = vector.recoveryKey.replaceAll('-', '');
    for (const [text, count] of [
      ['', 0],
      ['----', 0],
      [digits.slice(1), 55],
      [`${digits}0`, 57],
      [digits.repeat(1000), 56_000],
      // Cyrillic, and so not there.
      [digits.replace('A', '\u0410'), 55],
    ] as const) {
      const error = await failure(() => parse(text));
      expect(error.code).toBe('bad-password');
      expect(error.message).toContain(`this one ${count}`);
    }
    expect((await failure(() => parse(digits.replace('A', 'u')))).message).toContain('U');
  });

  test('nothing else comes of any bytes', async () => {
    const digit = fc.constantFrom(...utf8('0123456789ABCDEFGHJKMNPQRSTVWXYZoilu- '));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.array(digit, { minLength: 50, maxLength: 80 }).map((list) => Uint8Array.from(list)),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (text) => {
        expect(await codeOf(() => parseRecoveryKey(text))).toBe('bad-password');
      }),
      { numRuns: propertyRuns() },
    );
  });
});

test('generated keys are 32 random bytes', () => {
  const made = Array.from({ length: 100 }, () => generateKey());
  expect(made.every((bytes) => bytes.length === 32)).toBe(true);
  expect(new Set(made.map(hex)).size).toBe(100);
});
