import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Cookie,
  formatCookies,
  isCookieCurrent,
  newestUsableCookie,
  parseCookies,
} from '../../src/wire/handshake/cookie-file.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const parse = (file: string): [number, number, string][] =>
  parseCookies(Buffer.from(file, 'latin1')).map(({ id, createdAt, secret }) => [id, createdAt, text(secret)]);
const at = (createdAt: number, id = 1): Cookie => ({ id, createdAt, secret: Buffer.from('aa') });

const plain = ({ id, createdAt, secret }: Cookie): unknown[] => [id, createdAt, text(secret)];

describe('a cookie file', () => {
  it('is one cookie a line', () => {
    expect(parse('1 1700000000 00ffAB\n2147483647 1 aa\n0 0 bb\n')).toEqual([
      [1, 1700000000, '00ffAB'],
      [2147483647, 1, 'aa'],
      [0, 0, 'bb'],
    ]);
  });

  it.each([
    '',
    '\n',
    '1 2 aa',
    '1 2 \n',
    '1 2\n',
    '1  2 aa\n',
    ' 1 2 aa\n',
    '1 2 aa \n',
    '1 2 aa\r\n',
    '1 2 a\n',
    '1 2 ag\n',
    '-1 2 aa\n',
    '+1 2 aa\n',
    '1 -2 aa\n',
    '2147483648 2 aa\n',
    '99999999999 2 aa\n',
    '1 1234567890123456 aa\n',
    '1 2x aa\n',
    '0x1 2 aa\n',
    '1 2 aa 3\n',
    '1\t2\taa\n',
    '1 2 aa\0\n',
    '1 2 \xe9\xe9\n',
  ])('%j holds none, and does not hide its neighbours', (line) => {
    expect(parse(line)).toEqual([]);
    if (line.endsWith('\n')) expect(parse(`7 8 bb\n${line}9 8 cc\n`)).toHaveLength(2);
  });

  it('keeps the first of two with one number', () => {
    expect(parse('1 2 aa\n1 3 bb\n')).toEqual([[1, 2, 'aa']]);
  });

  it('is read back as it was written, and shares no bytes with what it was written from', () => {
    const cookie = fc.record({
      id: fc.integer({ min: 0, max: 0x7fff_ffff }),
      createdAt: fc.integer({ min: 0, max: 1e11 }),
      secret: fc
        .uint8Array({ minLength: 1, maxLength: 40 })
        .map((bytes) => Buffer.from(Buffer.from(bytes).toString('hex'))),
    });
    fc.assert(
      fc.property(fc.uniqueArray(cookie, { selector: ({ id }) => id, maxLength: 8 }), (cookies) => {
        const file = formatCookies(cookies);
        expect(text(file)).toBe(
          cookies.map((one) => `${one.id} ${one.createdAt} ${text(one.secret)}\n`).join(''),
        );
        const read = parseCookies(file);
        expect(read.map(plain)).toEqual(cookies.map(plain));
        for (const one of cookies) one.secret.fill(0);
        expect(parseCookies(file)).toHaveLength(cookies.length);
      }),
    );
  });

  it('makes nothing but cookies of any bytes at all', () => {
    const piece = fc.oneof(
      fc.constantFrom('1', '42', ' ', '\n', 'aa', '0f', '1 2 aa\n').map((part) => Buffer.from(part)),
      fc.uint8Array({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const file = Buffer.concat(pieces);
        const lines = text(file).split('\n').slice(0, -1);
        for (const { id, createdAt, secret } of parseCookies(file)) {
          const line = lines.find(
            (one) => /^(\d+) (\d+) ((?:[0-9a-fA-F]{2})+)$/.test(one) && Number.parseInt(one, 10) === id,
          );
          expect(line?.replace(/^0+(?=\d)/, '').replace(/ 0+(?=\d+ )/, ' ')).toBe(
            `${id} ${createdAt} ${text(secret)}`,
          );
        }
      }),
    );
  });
});

const NOW = 1_700_000_000;

const pick = (...ages: number[]): number | undefined =>
  newestUsableCookie(
    ages.map((age, id) => at(NOW + age, id)),
    NOW,
  )?.id;

describe('the age of cookies', () => {
  it('ends after 7 minutes, and begins no more than 5 minutes from now', () => {
    expect([-420, -419, 0, 300, 301].map((age) => isCookieCurrent(at(NOW + age), NOW))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  it('lets a handshake begin with the newest of those younger than 5 minutes', () => {
    expect(pick()).toBeUndefined();
    expect(pick(-300)).toBeUndefined();
    expect(pick(-299)).toBe(0);
    expect(pick(-299, -10, -200)).toBe(1);
    expect(pick(-10, 301)).toBe(0);
    expect(pick(-10, 300)).toBe(1);
    expect(pick(301)).toBeUndefined();
  });
});
