import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Secret } from '../../src/secret/index.js';
import { MAX_SECRET_BYTE_LENGTH, SecretToStore } from '../../src/secret/secret.js';
import { MockService } from './support/mock-service.js';

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const MARKER = 'the-secret-marker';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a secret', () => {
  test('shows its value to those who ask for it only', () => {
    const secret = new Secret(Buffer.from(MARKER), 'text/plain');
    expect(secret.text()).toBe(MARKER);
    expect(Buffer.from(secret.value).toString()).toBe(MARKER);
    const shown = [
      inspect(secret, { depth: Infinity, showHidden: true, getters: true }),
      inspect({ nested: [secret] }, { depth: Infinity }),
      JSON.stringify(secret),
      JSON.stringify({ nested: [secret] }),
      String(secret),
      secret.toString(),
      Object.entries(secret).join(),
      inspect(structuredClone(secret)),
    ].join('\n');
    expect(shown).not.toContain(MARKER);
    expect(shown).not.toContain(Buffer.from(MARKER).join());
    expect(shown).not.toMatch(/74 68 65/);
    expect(shown).toContain('text/plain');
  });

  test('is wiped in place by dispose, once and for all', () => {
    const bytes = Buffer.from(MARKER);
    const secret = new Secret(bytes, 'text/plain');
    expect(secret.value).toBe(bytes);
    secret[Symbol.dispose]();
    secret[Symbol.dispose]();
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(() => secret.value).toThrow(error('disposed'));
    expect(() => secret.text()).toThrow(error('disposed'));
    expect(inspect(secret)).toContain('text/plain');
  });

  test('is text exactly when it is strict UTF-8', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const secret = new Secret(bytes, 'text/plain');
        const expected = Buffer.from(bytes).toString();
        if (Buffer.from(expected).equals(Buffer.from(bytes))) expect(secret.text()).toBe(expected);
        else expect(() => secret.text()).toThrow(error('not-text'));
      }),
    );
    // A byte order mark is a character like others: dropping it would change a password.
    expect(new Secret(Buffer.from('\ufeffx'), 'text/plain').text()).toBe('\ufeffx');
  });
});

describe('a value to store', () => {
  test('keeps every text that has a UTF-8 form, and refuses the others', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 8 }), fc.boolean(), (start, isCut) => {
        // Half of a pair at the end, now and then.
        const text = isCut ? `${start}\ud83d` : start;
        if (/\p{Surrogate}/u.test(text)) {
          expect(() => new SecretToStore(text)).toThrow(error('bad-argument'));
          return;
        }
        const stored = new SecretToStore(text);
        expect(Buffer.from(stored.bytes).toString()).toBe(text);
        // KWallet keeps nothing of a text after a NUL.
        expect(stored.contentType).toBe(text.includes('\0') ? 'application/octet-stream' : 'text/plain');
      }),
    );
  });

  test('is called text or binary by what it is, unless the caller says', () => {
    expect(new SecretToStore(Buffer.from('ü')).contentType).toBe('text/plain');
    expect(new SecretToStore(new Uint8Array(0)).contentType).toBe('text/plain');
    expect(new SecretToStore(Uint8Array.of(0xff)).contentType).toBe('application/octet-stream');
    expect(new SecretToStore(Uint8Array.of(0xff), 'image/png').contentType).toBe('image/png');
  });

  test('is a copy that can be wiped', () => {
    const given = Buffer.from(MARKER);
    const stored = new SecretToStore(given);
    stored.wipe();
    expect(stored.bytes.every((byte) => byte === 0)).toBe(true);
    expect(given.toString()).toBe(MARKER);
  });

  test('has a largest byte length', () => {
    const tooLong = new Uint8Array(MAX_SECRET_BYTE_LENGTH + 1);
    expect(() => new SecretToStore(tooLong)).toThrow(error('bad-argument'));
    const third = 'ä'.repeat(MAX_SECRET_BYTE_LENGTH / 2 + 1);
    expect(() => new SecretToStore(third)).toThrow(error('bad-argument'));
  });
});

describe('a connection', () => {
  test('shows no key and no secret, and wipes both', async () => {
    const drawn: Uint8Array[] = [];
    const getRandomValues = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
    vi.spyOn(globalThis.crypto, 'getRandomValues').mockImplementation((array) => {
      const filled = getRandomValues(array);
      drawn.push(filled as unknown as Uint8Array);
      return filled;
    });
    const service = new MockService();
    const client = await service.connect();
    const [key] = [...service.sessions.values()] as [Buffer];
    const exponents = drawn.filter((bytes) => bytes.byteLength === 32);
    expect(exponents).toHaveLength(1);
    expect(exponents[0]?.every((byte) => byte === 0)).toBe(true);

    const item = await client.set({ a: 'b' }, MARKER);
    const secret = await client.lookup({ a: 'b' });
    expect(secret?.text()).toBe(MARKER);
    const options = { depth: Infinity, showHidden: true, getters: true, maxArrayLength: Infinity };
    const shown = inspect([client, client.session, item, secret], options);
    expect(shown).not.toContain(MARKER);
    expect(shown).not.toContain(key.toString('hex'));
    expect(shown).not.toContain(key.join(', '));
    const sent = inspect(service.calls, { ...options, showHidden: false });
    expect(sent).not.toContain(Buffer.from(MARKER).join(', '));
    await client.close();
    const { encode } = client.session as unknown as { encode: (...values: unknown[]) => unknown };
    expect(() => encode.call(client.session, Buffer.from('x'), 'x')).toThrow(error('closed'));
  });

  test('wipes its copy of a value, whether storing it works or not', async () => {
    const copies: Uint8Array[] = [];
    const service = new MockService();
    const client = await service.connect({ session: 'plain' });
    const { encode } = client.session as unknown as { encode: (value: Uint8Array, type: string) => unknown };
    Object.assign(client.session, {
      encode(value: Uint8Array, contentType: string) {
        copies.push(value);
        return encode.call(client.session, value, contentType);
      },
    });
    const item = await client.set({ a: 'b' }, MARKER);
    await client.set({ a: 'b' }, MARKER);
    await item.setSecret(MARKER);
    const collection = await client.defaultCollection();
    await collection.createItem({ label: 'x', attributes: {}, secret: MARKER });
    service.override('SetSecret', { error: 'org.freedesktop.DBus.Error.Failed' });
    await expect(item.setSecret(MARKER)).rejects.toEqual(error('failed'));
    expect(copies).toHaveLength(5);
    for (const copy of copies) expect(copy.every((byte) => byte === 0)).toBe(true);
    expect(service.item(item.path).value.toString()).toBe(MARKER);
    await client.close();
  });

  test('puts no secret into errors, their causes or their stacks', async () => {
    const service = new MockService();
    const client = await service.connect();
    const collection = await client.defaultCollection();
    const failures: unknown[] = [];
    for (const name of ['Failed', 'InvalidArgs', 'NoMemory']) {
      service.override('CreateItem', { error: `org.freedesktop.DBus.Error.${name}` });
      const item = { label: 'x', attributes: { a: 'b' }, secret: MARKER };
      failures.push(await collection.createItem(item).catch((caught: unknown) => caught));
      failures.push(await client.set({ a: 'b' }, MARKER).catch((caught: unknown) => caught));
    }
    const badType = { contentType: '\0' };
    failures.push(await client.set({ a: 'b' }, MARKER, badType).catch((caught: unknown) => caught));
    expect(failures).toHaveLength(7);
    for (const failure of failures) {
      expect(failure).toMatchObject({ name: 'SecretServiceError' });
      const shown = inspect(failure, { depth: Infinity, showHidden: true });
      expect(shown).not.toContain(MARKER);
      expect(shown).not.toContain(Buffer.from(MARKER).join(', '));
    }
    await client.close();
  });
});
