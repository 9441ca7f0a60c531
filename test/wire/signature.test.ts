import { describe, expect, it } from 'vitest';
import { isSignature, parseSignature } from '../../src/wire/index.js';

describe('parseSignature', () => {
  it('gives the tree', () => {
    const [dict, struct] = parseSignature('a{sv}(yt)');
    expect(dict).toMatchObject({ code: 'a', signature: 'a{sv}', alignment: 4 });
    expect(dict?.children[0]).toMatchObject({ code: '{', signature: '{sv}', alignment: 8 });
    expect(struct?.children.map((field) => [field.code, field.alignment, field.fixedByteLength])).toEqual([
      ['y', 1, 1],
      ['t', 8, 8],
    ]);
    expect(parseSignature('')).toEqual([]);
  });

  it.each([
    'a',
    'aa',
    '(',
    ')',
    '()',
    '(y',
    'y)',
    'a()',
    '{sv}',
    '({sv})',
    'a{sv',
    'a{s}',
    'a{svv}',
    'a{vs}',
    'a{(y)s}',
    'a{}',
    'z',
    'r',
    'e',
    'a{sv}}',
    'Y',
    ' ',
    'y y',
    '\0',
    'm',
    '*',
    'a{s',
    'a{',
  ])('refuses %j', (text) => {
    expect(isSignature(text)).toBe(false);
    expect(() => parseSignature(text)).toThrow(expect.objectContaining({ code: 'invalid-signature' }));
  });

  it('refuses what is not a string', () => {
    for (const value of [undefined, null, 5, ['y']] as unknown[])
      expect(isSignature(value as string)).toBe(false);
  });

  it('takes 32 nested arrays and 32 nested structs, and not 33', () => {
    expect(isSignature(`${'a'.repeat(32)}y`)).toBe(true);
    expect(isSignature(`${'a'.repeat(33)}y`)).toBe(false);
    expect(isSignature(`${'('.repeat(32)}y${')'.repeat(32)}`)).toBe(true);
    expect(isSignature(`${'('.repeat(33)}y${')'.repeat(33)}`)).toBe(false);
    expect(isSignature(`${'a'.repeat(32)}${'('.repeat(32)}y${')'.repeat(32)}`)).toBe(true);
    expect(isSignature(`${'a'.repeat(20)}(${'a'.repeat(13)}y)`)).toBe(false);
    expect(isSignature(`(${'ay'.repeat(100)})`)).toBe(true);
  });

  it('takes 255 characters, and not 256', () => {
    expect(isSignature('y'.repeat(255))).toBe(true);
    expect(isSignature('y'.repeat(256))).toBe(false);
  });
});
