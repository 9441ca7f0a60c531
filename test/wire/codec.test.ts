import { describe, expect, it } from 'vitest';
import { marshal, unmarshal, Variant } from '../../src/wire/index.js';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** What a call throws, as an object to match. */
function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('it did not throw');
}

function nested(depth: number): Variant {
  let variant = new Variant<unknown>('y', 7);
  for (let count = 1; count < depth; count++) variant = new Variant('v', variant);
  return variant;
}

describe('marshal', () => {
  it('writes the examples that the layout rules give', () => {
    expect(marshal('yu', [1, 2])).toEqual(hex('01 000000 02000000'));
    expect(marshal('yu', [1, 2], { endian: 'big' })).toEqual(hex('01 000000 00000002'));
    expect(marshal('s', ['foo'])).toEqual(hex('03000000 666f6f 00'));
    expect(marshal('at', [[]])).toEqual(hex('00000000 00000000'));
    expect(marshal('a{ys}', [new Map([[1, '']])])).toEqual(hex('09000000 00000000 01 000000 00000000 00'));
    expect(marshal('', [])).toEqual(new Uint8Array(0));
  });

  it.each([
    ['y', [256], 'body[0]'],
    ['y', [-1], 'body[0]'],
    ['y', ['1'], 'body[0]'],
    ['b', [1], 'body[0]'],
    ['n', [0x8000], 'body[0]'],
    ['q', [-1], 'body[0]'],
    ['i', [2 ** 31], 'body[0]'],
    ['u', [1.5], 'body[0]'],
    ['u', [Number.NaN], 'body[0]'],
    ['x', [2 ** 53], 'body[0]'],
    ['x', [2n ** 63n], 'body[0]'],
    ['t', [-1n], 'body[0]'],
    ['d', [1n], 'body[0]'],
    ['s', [null], 'body[0]'],
    ['o', ['/a/'], 'body[0]'],
    ['g', ['a'], 'body[0]'],
    ['ay', [[1, 2]], 'body[0]'],
    ['v', ['bare'], 'body[0]'],
    ['as', [['a', undefined]], 'body[0][1]'],
    ['a{sv}', [{ Label: 'bare' }], 'body[0].Label'],
    ['a{sv}', [{ 'a b': 'bare' }], 'body[0]["a b"]'],
    ['ua{sv}', [1, { Label: new Variant('s', 5) }], 'body[1].Label.value'],
    ['a{us}', [{ 1: 'x' }], 'body[0]'],
    ['(yy)', [[1]], 'body[0]'],
    ['(y(yu))', [[1, [2, 'x']]], 'body[0][1][1]'],
    ['a{sv}', [new Date()], 'body[0]'],
    ['yy', [1], 'body'],
  ])('%s refuses the value of case %# and names the place', (signature, values, path) => {
    expect(thrown(() => marshal(signature, values))).toMatchObject({
      name: 'MarshalError',
      code: 'invalid-value',
      path,
    });
  });

  it('refuses text that is not Unicode or holds NUL, short and long', () => {
    for (const length of [1, 5000]) {
      expect(thrown(() => marshal('s', [`${'a'.repeat(length)}\ud800`]))).toMatchObject({
        code: 'lone-surrogate',
      });
      expect(thrown(() => marshal('s', [`${'a'.repeat(length)}\0`]))).toMatchObject({
        code: 'nul-in-string',
      });
    }
  });

  it('writes long text of any width', () => {
    for (const text of [
      'a'.repeat(70_000),
      '\u00e9'.repeat(70_000),
      '\u20ac'.repeat(70_000),
      '\u{1f511}'.repeat(70_000),
      `${'a'.repeat(600)}\u20ac`,
    ]) {
      expect(unmarshal('s', marshal('s', [text]))).toEqual([text]);
    }
  });

  it('writes text that only just fits', () => {
    const text = '\u00e9'.repeat(60_000_000);
    expect(marshal('s', [text])).toHaveLength(4 + 120_000_000 + 1);
    expect(thrown(() => marshal('s', [`${text}${'\u20ac'.repeat(5_000_000)}`]))).toMatchObject({
      code: 'message-too-long',
    });
  });

  it('does not show keys that are no keys', () => {
    for (const key of [Uint8Array.of(1, 2), Object.create(null), Symbol('k')]) {
      expect(thrown(() => marshal('a{ss}', [new Map([[key, 'x']])]))).toMatchObject({ path: 'body[0]["?"]' });
    }
    expect(thrown(() => marshal('a{us}', [new Map([[5, 5 as never]])]))).toMatchObject({
      path: 'body[0]["5"]',
    });
  });

  it('keeps a key `__proto__`, from a Map and from an object', () => {
    const object = JSON.parse('{"__proto__": "kept"}') as Record<string, string>;
    for (const dict of [object, new Map([['__proto__', 'kept']])]) {
      expect(unmarshal('a{ss}', marshal('a{ss}', [dict]))).toEqual([new Map([['__proto__', 'kept']])]);
    }
  });

  it('refuses an invalid signature, also in a variant', () => {
    expect(thrown(() => marshal('a', [] as never))).toMatchObject({ code: 'invalid-signature', offset: 1 });
    expect(thrown(() => marshal('v', [new Variant('ss', [])]))).toMatchObject({
      name: 'MarshalError',
      path: 'body[0]',
    });
  });

  it('refuses an offset that is none', () => {
    for (const offset of [-1, 1.5, Number.NaN]) {
      expect(thrown(() => marshal('y', [1], { offset }))).toMatchObject({ code: 'invalid-offset' });
    }
  });

  it('turns what a getter of the caller throws into its own error, with the cause', () => {
    const cause = new Error('mine');
    const dict = {
      get Label(): never {
        throw cause;
      },
    };
    expect(thrown(() => marshal('a{ss}', [dict]))).toMatchObject({ code: 'unreadable-value', cause });
  });

  it('ends at a cycle', () => {
    const cycle: { signature: string; value: unknown } = new Variant('v', undefined);
    cycle.value = cycle;
    expect(thrown(() => marshal('v', [cycle]))).toMatchObject({ code: 'nesting-too-deep' });
  });

  it('refuses an array of more than 2^26 bytes', () => {
    expect(marshal('ay', [new Uint8Array(2 ** 26)])).toHaveLength(2 ** 26 + 4);
    expect(thrown(() => marshal('ay', [new Uint8Array(2 ** 26 + 1)]))).toMatchObject({
      code: 'array-too-long',
    });
  });
});

describe('unmarshal', () => {
  it.each([
    ['b', '02000000', 'bad-boolean', 0],
    ['yu', '01 000100 02000000', 'nonzero-padding', 2],
    ['s', '03000000 666f6f 01', 'missing-nul', 7],
    ['s', '03000000 66006f 00', 'nul-in-string', 4],
    ['s', '02000000 c080 00', 'bad-utf8', 4],
    ['s', '03000000 eda080 00', 'bad-utf8', 4],
    ['s', '04000000 f4908080 00', 'bad-utf8', 4],
    ['s', '01000000 c3 00', 'bad-utf8', 4],
    ['s', '01000000 80 00', 'bad-utf8', 4],
    ['s', '09000000 616161616161616180 00', 'bad-utf8', 4],
    ['s', 'ffffffff 00', 'truncated', 4],
    ['o', '02000000 2f2f 00', 'bad-object-path', 0],
    ['o', '00000000 00', 'bad-object-path', 0],
    ['g', '01 61 00', 'bad-signature', 0],
    ['v', '00 00', 'bad-signature', 0],
    ['v', '02 7373 00', 'bad-signature', 0],
    ['au', '03000000 010000', 'truncated', 4],
    ['au', '05000000 0100000002', 'truncated', 8],
    ['a(yu)', '0c000000 00000000 01 000000 02000000 03 000000 04000000', 'array-length-mismatch', 20],
    ['at', '00000000 00000001', 'nonzero-padding', 7],
    ['ay', '01000004', 'array-too-long', 0],
    ['y', '0102', 'leftover-bytes', 1],
  ])('%s refuses %s', (signature, bytes, code, offset) => {
    expect(thrown(() => unmarshal(signature, hex(bytes)))).toMatchObject({
      name: 'ProtocolError',
      code,
      offset,
    });
  });

  it('names the types on the way to the fault', () => {
    const bytes = marshal('a{sv}', [{ a: new Variant('au', [1]) }]);
    bytes[bytes.length - 5] = 1;
    expect(thrown(() => unmarshal('a{sv}', bytes.subarray(0, -1)))).toMatchObject({ typePath: 'a{sv}' });
    const bad = marshal('a{sv}', [{ a: new Variant('(yb)', [1, true]) }]);
    bad[bad.length - 4] = 9;
    expect(thrown(() => unmarshal('a{sv}', bad))).toMatchObject({
      code: 'bad-boolean',
      typePath: 'a{sv}/v/(yb)',
    });
  });

  it('copies byte arrays out', () => {
    const bytes = marshal('ay', [Uint8Array.of(1, 2, 3)]);
    const [copy] = unmarshal('ay', bytes) as [Uint8Array];
    bytes.fill(9);
    expect(copy).toEqual(Uint8Array.of(1, 2, 3));
    expect(copy.buffer.byteLength).toBe(3);
  });

  it('keeps NaN, infinities and minus zero', () => {
    const doubles = [Number.NaN, Infinity, -Infinity, -0, 5e-324];
    expect(unmarshal('ad', marshal('ad', [doubles]))).toEqual([doubles]);
  });

  it('keeps a leading U+FEFF and noncharacters', () => {
    for (const text of ['\ufeffa', '\ufffe', '\u{10ffff}', `\ufeff${'x'.repeat(100)}`]) {
      expect(unmarshal('s', marshal('s', [text]))).toEqual([text]);
    }
  });

  it('takes 64 nested variants and no more, on both sides', () => {
    const deepest = marshal('v', [nested(64)]);
    expect(unmarshal('v', deepest)).toEqual([nested(64)]);
    expect(thrown(() => marshal('v', [nested(65)]))).toMatchObject({ code: 'nesting-too-deep' });
    const deeper = Uint8Array.of(1, 0x76, 0, ...deepest);
    expect(thrown(() => unmarshal('v', deeper))).toMatchObject({ code: 'nesting-too-deep' });
  });

  it('takes a megabyte of siblings: depth is nesting, not number', () => {
    const siblings = Array.from({ length: 100_000 }, (_, index) => new Variant('v', new Variant('u', index)));
    expect(unmarshal('av', marshal('av', [siblings]))).toEqual([siblings]);
  });

  it('does not allocate for a promise', () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 100; count++) {
      expect(thrown(() => unmarshal('ay', hex('00000004 01')))).toMatchObject({ code: 'truncated' });
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 25);
  });
});

describe('the writer that is kept', () => {
  it('is not shared by what marshals inside a getter', () => {
    const dict = {
      get outer(): string {
        return Buffer.from(marshal('s', ['inner']))
          .toString('latin1')
          .slice(4, 9);
      },
      last: 'x',
    };
    expect(unmarshal('a{ss}', marshal('a{ss}', [dict]))).toEqual([
      new Map([
        ['outer', 'inner'],
        ['last', 'x'],
      ]),
    ]);
  });

  it('leaves nothing behind for the padding of the next message, also after an error', () => {
    for (const offset of [0, 1, 7]) {
      marshal('ay', [new Uint8Array(3000).fill(0xff)]);
      expect(thrown(() => marshal('ayu', [new Uint8Array(3000).fill(0xff), -1]))).toMatchObject({
        path: 'body[1]',
      });
      const padded = marshal('ytytyt', [1, 2n, 3, 4n, 5, 6n], { offset });
      expect(unmarshal('ytytyt', padded, { offset })).toEqual([1, 2n, 3, 4n, 5, 6n]);
    }
  });

  it('gives bytes that later messages do not change, below its size and above', () => {
    const written = [10, 4000, 4096, 5000, 70_000].map((length) =>
      marshal('ay', [new Uint8Array(length).fill(7)]),
    );
    marshal('ay', [new Uint8Array(80_000).fill(9)]);
    marshal('ay', [new Uint8Array(100).fill(9)]);
    for (const bytes of written) {
      expect(bytes.subarray(4).every((byte) => byte === 7)).toBe(true);
      expect(bytes.buffer.byteLength).toBeLessThanOrEqual(Math.max(bytes.length * 2, 8192));
    }
  });
});
