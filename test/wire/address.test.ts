import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DBusError } from '../../src/wire/base/errors.js';
import { MAX_ADDRESS_LENGTH } from '../../src/wire/base/limits.js';
import {
  type Address,
  escapeAddressValue,
  formatAddress,
  parseAddress,
} from '../../src/wire/handshake/address.js';

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
    ['\ud800:path=a', 0],
    [`unix:path=/${'a'.repeat(MAX_ADDRESS_LENGTH)}`, MAX_ADDRESS_LENGTH],
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

const entry = (transport: string, parameters: Record<string, string> = {}): Address => ({
  transport,
  parameters: new Map(Object.entries(parameters)),
});

describe('formatAddress', () => {
  it('writes what the specification shows', () => {
    expect(
      formatAddress([
        entry('unix', { path: '/tmp/a b', guid: '0123' }),
        entry('tcp', { host: '::1', port: '0' }),
      ]),
    ).toBe('unix:path=/tmp/a%20b,guid=0123;tcp:host=%3a%3a1,port=0');
    expect(formatAddress([entry('autolaunch')])).toBe('autolaunch:');
  });

  it.each([
    ['no address', []],
    ['no transport', [entry('')]],
    ['a colon in the transport', [entry('a:b')]],
    ['a semicolon in the transport', [entry('a;b')]],
    ['a lone surrogate in the transport', [entry('\udfff')]],
    ['an empty key', [entry('a', { '': 'b' })]],
    ['a comma in the key', [entry('a', { 'b,': 'c' })]],
    ['a semicolon in the key', [entry('a', { 'b;': 'c' })]],
    ['an equals sign in the key', [entry('a', { 'b=': 'c' })]],
    ['an empty value', [entry('a', { b: '' })]],
    ['a lone surrogate in the value', [entry('a', { b: '\ud800' })]],
    ['a text that would not be read', [entry('a', { b: 'c'.repeat(MAX_ADDRESS_LENGTH) })]],
  ])('refuses %s', (_what, addresses) => {
    expect(() => formatAddress(addresses)).toThrow(expect.objectContaining({ code: 'invalid-address' }));
  });

  it('is the inverse of parseAddress, for every list that it takes', () => {
    const text = fc.string({ unit: 'binary', maxLength: 6 });
    const list = fc.array(
      fc.record({
        transport: fc.oneof(text, fc.constantFrom('unix', 'tcp')),
        parameters: fc
          .array(fc.tuple(fc.oneof(text, fc.constantFrom('path', 'guid')), text), { maxLength: 3 })
          .map((pairs): ReadonlyMap<string, string> => new Map(pairs)),
      }),
      { maxLength: 3 },
    );
    let formatted = 0;
    fc.assert(
      fc.property(list, (addresses) => {
        let written: string;
        try {
          written = formatAddress(addresses);
        } catch (error) {
          assert(error instanceof DBusError && error.code === 'invalid-address', String(error));
          return;
        }
        formatted++;
        assert.deepEqual(
          parseAddress(written),
          addresses.map((address) => ({ ...address })),
        );
        assert.equal(formatAddress(parseAddress(written)), written);
      }),
    );
    expect(formatted).toBeGreaterThan(100);
  });

  it('escapes a value to characters that need no escape, and no further', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (value) => {
        const escaped = escapeAddressValue(value);
        assert.match(escaped, /^(?:[-0-9A-Za-z_/.\\*]|%[0-9a-f]{2})*$/);
        assert.equal(parseAddress(`x:k=${escaped}`)[0]?.parameters.get('k'), value);
        if (/^[-0-9A-Za-z_/.\\*]*$/.test(value)) assert.equal(escaped, value);
      }),
    );
  });
});
