import { describe, expect, it } from 'vitest';
import {
  isBusName,
  isErrorName,
  isInterfaceName,
  isMemberName,
  isObjectPath,
  isUniqueName,
  isWellKnownName,
} from '../../src/wire/index.js';

const long = (length: number): string => `a.${'b'.repeat(length - 2)}`;

describe.each([
  [
    'isObjectPath',
    isObjectPath,
    ['/', '/a', '/a/b_1/C', `/${'a'.repeat(70_000)}`],
    ['', 'a', '//', '/a/', '/a//b', '/-', '/a b', '/é'],
  ],
  [
    'isInterfaceName',
    isInterfaceName,
    ['a.b', 'org.A_1.b', '_a._b', long(255)],
    ['', 'a', '.a', 'a.', 'a..b', '1.b', 'a.1', 'a-b.c', long(256), ':1.2', 'a.é'],
  ],
  ['isErrorName', isErrorName, ['a.b.C'], ['a', 'a.-b']],
  [
    'isMemberName',
    isMemberName,
    ['A', '_', 'Get2', 'a'.repeat(255)],
    ['', '2a', 'a.b', 'a-b', 'a'.repeat(256), 'é'],
  ],
  [
    'isUniqueName',
    isUniqueName,
    [':1.0', ':a.b-c', ':1.2.3', ':1', ':', ':.1'],
    ['', '1.0', ':1.', ':1..2', ':1:2', ':1.é', `:1.${'2'.repeat(253)}`],
  ],
  [
    'isWellKnownName',
    isWellKnownName,
    ['a.b', 'a-b.c', 'org.freedesktop.DBus'],
    ['', 'a', '1.a', 'a.1', 'a..b', ':1.0', long(256)],
  ],
  ['isBusName', isBusName, [':1.0', 'a.b'], ['', 'a', '/', ':1.']],
] as const)('%s', (_name, isValid, valid, invalid) => {
  it.each(valid)('takes %s', (text) => expect(isValid(text)).toBe(true));
  it.each(invalid)('refuses %j', (text) => expect(isValid(text)).toBe(false));
});

it('what is not text is no name', () => {
  for (const isValid of [isObjectPath, isInterfaceName, isMemberName, isBusName]) {
    for (const value of [undefined, null, 5, ['a.b']] as unknown[])
      expect(isValid(value as string)).toBe(false);
  }
});
