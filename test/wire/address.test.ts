import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DBusError, parseAddress } from '../../src/wire/index.js';

const parse = (text: string): unknown =>
  parseAddress(text).map(({ transport, parameters }) => [transport, Object.fromEntries(parameters)]);

describe('parseAddress', () => {
  it('takes lists, escapes and parameters of every transport', () => {
    expect(parse('unix:path=/run/user/1000/bus')).toEqual([['unix', { path: '/run/user/1000/bus' }]]);
    expect(parse('unix:path=/a,')).toEqual([['unix', { path: '/a' }]]);
    expect(parse('unix:abstract=%2ftmp%2Fa%20b,guid=0123;tcp:host=%3a%3a1,port=1;')).toEqual([
      ['unix', { abstract: '/tmp/a b', guid: '0123' }],
      ['tcp', { host: '::1', port: '1' }],
    ]);
  });

  it.each([
    ['', 0],
    [':', 0],
    ['unix', 0],
    [':path=/a', 0],
    [';', 0],
    ['unix:path', 5],
    ['unix:=x', 5],
    ['unix:path=', 5],
    ['unix:path=/a,path=/b', 13],
    ['unix:path=a b', 11],
    ['unix:path=%2', 10],
    ['unix:path=%zz', 10],
    ['unix:path=%ff', 10],
    ['unix:path=a;;', 12],
  ])('refuses %j at %i', (text, offset) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'invalid-address', offset }));
  });

  it('takes or refuses any text with an error of its own', () => {
    const pieces = fc.array(
      fc.constantFrom('unix', ':', 'path', '=', '/a', ',', ';', '%2f', '%', 'é', 'guid'),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          pieces.map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            assert(parseAddress(text).length > 0);
          } catch (error) {
            assert(error instanceof DBusError && error.code === 'invalid-address', String(error));
          }
        },
      ),
    );
  });
});
