/** Keys and what leads to them are wiped: the arrays are caught on their way, and read afterwards. */
import { beforeEach, expect, test, vi } from 'vitest';
import { Session } from '../../src/secret/connection/session.js';
import * as cipher from '../../src/secret/crypto/secret-cipher.js';
import { MockService } from './support/mock-service.js';

const caught = vi.hoisted(() => ({ shared: [] as Uint8Array[], keys: [] as Uint8Array[] }));

vi.mock('../../src/secret/crypto/secret-cipher.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/secret/crypto/secret-cipher.js')>();
  const deriveKey = (sharedSecret: Uint8Array): Uint8Array => {
    const key = original.deriveKey(sharedSecret);
    caught.shared.push(sharedSecret);
    caught.keys.push(key);
    return key;
  };
  return { ...original, deriveKey };
});

beforeEach(() => {
  caught.shared.length = 0;
  caught.keys.length = 0;
});

const isZero = (bytes: Uint8Array | undefined): boolean => bytes?.every((byte) => byte === 0) === true;

test('the shared secret is wiped when the session is open, and the key when it ends', async () => {
  const service = new MockService();
  const client = await service.connect();
  const [shared] = caught.shared;
  const [key] = caught.keys;
  expect(shared?.byteLength).toBe(128);
  expect(isZero(shared)).toBe(true);
  expect(key?.byteLength).toBe(16);
  expect(isZero(key)).toBe(false);
  expect(Buffer.from(key ?? []).equals(service.sessions.get(client.session.path) ?? Buffer.alloc(0))).toBe(
    true,
  );
  const closing = client.close();
  // At once, and not when the service has answered.
  expect(isZero(key)).toBe(true);
  await closing;
});

test('a session wipes the very key it was given', () => {
  const key = new Uint8Array(16).fill(1);
  const session = new Session('/session', { bytes: key, cipher });
  session.wipe();
  session.wipe();
  expect(isZero(key)).toBe(true);
  expect(() => session.encode(key, 'text/plain')).toThrow('closed');
  expect(() => session.decode([])).toThrow('closed');
});
