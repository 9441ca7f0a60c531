/** The client's part of `values.mjs`, run in a child. */
import { GET } from './tasks-reading.mjs';

/** @typedef {import('./adapters.mjs').Adapter} Adapter */
/** @typedef {{ address: string, name: string }} Parameters */

/** @param {Adapter} adapter @param {string} address */
async function opened(adapter, address) {
  const client = await adapter.open(address);
  // So that what is refused is refused to the caller, and not when the connection comes to be.
  await Promise.race([client.uniqueName(), client.failed]);
  return client;
}

/** @param {Adapter} adapter @param {string} address @param {string} signature @param {any} value */
async function echo(adapter, address, signature, value) {
  const client = await opened(adapter, address);
  const [result] = await Promise.race([client.call({ ...GET, signature, body: [value] }), client.failed]);
  return result;
}

/** @type {Record<string, (adapter: Adapter) => object>} */
const WRONG = {
  '256 y': () => ({ signature: 'y', body: [256] }),
  '-1 y': () => ({ signature: 'y', body: [-1] }),
  '40000 n': () => ({ signature: 'n', body: [40_000] }),
  '-1 q': () => ({ signature: 'q', body: [-1] }),
  '2^31 i': () => ({ signature: 'i', body: [2 ** 31] }),
  '2^32 u': () => ({ signature: 'u', body: [2 ** 32] }),
  '-1 u': () => ({ signature: 'u', body: [-1] }),
  '2^63 x': () => ({ signature: 'x', body: [2n ** 63n] }),
  '2^64 t': () => ({ signature: 't', body: [2n ** 64n] }),
  '-1 t': () => ({ signature: 't', body: [-1n] }),
  '2^53 x': () => ({ signature: 'x', body: [2 ** 53] }),
  '1.5 u': () => ({ signature: 'u', body: [1.5] }),
  'NaN u': () => ({ signature: 'u', body: [Number.NaN] }),
  'NaN x': () => ({ signature: 'x', body: [Number.NaN] }),
  'string u': () => ({ signature: 'u', body: ['7'] }),
  'object d': () => ({ signature: 'd', body: [{}] }),
  'string b': () => ({ signature: 'b', body: ['false'] }),
  '2 b': () => ({ signature: 'b', body: [2] }),
  '5 s': () => ({ signature: 's', body: [5] }),
  'null s': () => ({ signature: 's', body: [null] }),
  'surrogate s': () => ({ signature: 's', body: ['a\ud800b'] }),
  'NUL s': () => ({ signature: 's', body: ['a\0b'] }),
  'path o': () => ({ signature: 'o', body: ['/a//b/'] }),
  'signature g': () => ({ signature: 'g', body: ['a{vs}'] }),
  'two in a variant': ({ variant }) => ({ signature: 'v', body: [variant('yy', [1, 2])] }),
  'too few': () => ({ signature: 'su', body: ['a'] }),
  'too many': () => ({ signature: 's', body: ['a', 'b'] }),
  member: () => ({ member: 'a b' }),
  interface: () => ({ interface: 'no dots' }),
  destination: () => ({ destination: 'no dots' }),
  'path of the call': () => ({ path: '/a/' }),
};

/** Sends what is wrong; the error, if any, is the answer. @param {Adapter} adapter @param {Parameters} parameters */
export async function write(adapter, { address, name }) {
  const client = await opened(adapter, address);
  const wrong = /** @type {(adapter: Adapter) => object} */ (WRONG[name])(adapter);
  const values = await Promise.race([client.call({ ...GET, ...wrong }), client.failed]);
  return values.map(String);
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function integers(adapter, { address }) {
  /** @type {[string, bigint][]} */
  const cases = [
    ['x', -(2n ** 63n)],
    ['x', 2n ** 63n - 1n],
    ['t', 2n ** 64n - 1n],
    ['t', 2n ** 53n + 1n],
  ];
  // The fork takes no bigint: its documents have it as text.
  const given = (/** @type {bigint} */ value) => (adapter.name.startsWith('@') ? String(value) : value);
  for (const [signature, value] of cases) {
    const result = adapter.plain(
      await echo(adapter, address, signature, given(value)).catch(() => undefined),
    );
    if (result === undefined) return value === -(2n ** 63n) ? 'but for −2^63' : `refuses ${value}`;
    if (result !== value) return `${value} becomes ${result}`;
  }
  return true;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function doubles(adapter, { address }) {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 5e-324]) {
    const result = await echo(adapter, address, 'd', value).catch(() => `refused`);
    if (result === 'refused') return `refuses ${value}`;
    if (!Object.is(result, value)) return `${value} becomes ${result}`;
  }
  return true;
}

/** @param {any} dict as a library gives it @returns {[any, any][]} */
function entriesOf(dict) {
  if (dict instanceof Map) return [...dict];
  return Array.isArray(dict) ? dict : Object.entries(dict);
}

/** @param {any} dict */
function keysOf(dict) {
  return entriesOf(dict).map(([key]) => key);
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function proto(adapter, { address }) {
  const keys = keysOf(
    await echo(
      adapter,
      address,
      'a{ss}',
      adapter.dict([
        ['a', 'b'],
        ['__proto__', 'c'],
      ]),
    ),
  );
  return keys.join() === 'a,__proto__' ? true : 'loses it';
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function order(adapter, { address }) {
  const names = ['b', '10', 'a', '2'];
  const dict = adapter.dict(names.map((name) => [name, name]));
  const keys = keysOf(await echo(adapter, address, 'a{ss}', dict));
  return keys.join() === names.join() ? true : 'no';
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function numericKeys(adapter, { address }) {
  const result = await echo(
    adapter,
    address,
    'a{us}',
    adapter.dict([
      [7, 'a'],
      [3, 'b'],
    ]),
  );
  const keys = keysOf(result);
  if (keys[0] === 7 && keys[1] === 3) return true;
  return typeof keys[0] === 'string' ? 'become strings' : 'no';
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function variants(adapter, { address }) {
  const result = await echo(adapter, address, 'v', adapter.variant('q', 7));
  const signature = Array.isArray(result) ? result[0][0].type : result.signature;
  return signature === 'q' ? true : 'no';
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function copied(adapter, { address }) {
  const client = await opened(adapter, address);
  const body = [Buffer.from('abcd'), Buffer.alloc(4_000_000)];
  const [few] = await client.call({ ...GET, signature: 'ayay', body });
  if (!(few instanceof Uint8Array) || few.length !== 4) return 'not bytes';
  return few.buffer.byteLength < 100_000 ? true : 'a view';
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function uint8array(adapter, { address }) {
  const bytes = await echo(adapter, address, 'ay', new Uint8Array([0, 255, 128]));
  return [...bytes].join() === '0,255,128' ? true : `become ${[...bytes].join()}`;
}
