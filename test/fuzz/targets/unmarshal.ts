/** Signatures, and values of them in bytes, at any offset and in both byte orders. */
import { isDeepStrictEqual } from 'node:util';
import { marshal } from '../../../src/wire/codec/marshal.js';
import { unmarshal } from '../../../src/wire/codec/unmarshal.js';
import { Variant } from '../../../src/wire/codec/variant.js';
import { parseSignature } from '../../../src/wire/types/signature.js';
import { promise, refusal, type Target } from '../target.js';
import { signatureOf, valuesOf } from '../values.js';

const CODES = 'ybnqiuxtdsogvah(){}';

/** The first byte says how long the signature is, the second how to read; any byte is a type code. */
function partsOf(input: Uint8Array): {
  signature: string;
  body: Uint8Array;
  endian: 'little' | 'big';
  offset: number;
} {
  const [length = 0, how = 0] = input;
  const codes = input.subarray(2, 2 + length);
  const signature = Array.from(codes, (byte) => {
    const character = String.fromCharCode(byte);
    return CODES.includes(character) || byte === 0x21 ? character : CODES[byte % CODES.length];
  }).join('');
  return {
    signature,
    body: input.slice(2 + codes.length),
    endian: (how & 1) === 0 ? 'little' : 'big',
    offset: (how >> 1) & 15,
  };
}

/** Whether equal values have equal bytes: not with NaN, which comes in many, nor with dicts, where the last of equal keys counts. */
function isOneToOne(signature: string, values: readonly unknown[]): boolean {
  if (/[d{]/.test(signature)) return false;
  if (!signature.includes('v')) return true;
  return values.every(function hasNone(value: unknown): boolean {
    if (value instanceof Variant) return isOneToOne(value.signature, [value.value]);
    return !Array.isArray(value) || value.every(hasNone);
  });
}

const target: Target = {
  name: 'unmarshal',
  dictionary: [
    'a{sv}',
    'a(v)',
    '(',
    ')',
    '{',
    '}',
    'aaaaaaaa',
    '\u{1}v\0',
    '\u{2}av\0',
    '\u{3}(v)\0',
    '\u{ff}',
  ],
  generate: (random) => {
    const signature = signatureOf(random);
    const how = random.below(32);
    const options = { endian: (how & 1) === 0 ? ('little' as const) : ('big' as const), offset: how >> 1 };
    const body = marshal(signature, valuesOf(signature, random), options);
    return Buffer.concat([Uint8Array.of(signature.length, how), Buffer.from(signature), body]);
  },
  run: (input) => {
    const { signature, body, ...options } = partsOf(input);
    let values: unknown[];
    try {
      values = unmarshal(signature, body, options);
    } catch (error) {
      return refusal(error, { InvalidTextError: ['invalid-signature'], ProtocolError: /^[a-z0-9-]+$/ });
    }
    promise(values.length === parseSignature(signature).length, 'not one value a type');
    const bytes = marshal(signature, values, options);
    promise(
      isDeepStrictEqual(unmarshal(signature, bytes, options), values),
      'what was written is not what was read',
    );
    if (isOneToOne(signature, values))
      promise(Buffer.compare(bytes, body) === 0, 'it was accepted in two ways of writing');
    return `accepted ${signature.slice(0, 2)}`;
  },
};

export default target;
