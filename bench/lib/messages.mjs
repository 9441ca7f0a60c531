/**
 * Seeded messages of the kinds that a Secret Service sends.
 */
import { Variant } from '../../dist/wire/index.js';
import { randomBytes, randomText, seededRandom } from './random.mjs';

const random = seededRandom(1);
/** @param {number} length */
const text = (length) => randomText(random, length);
/** @param {number} length @param {(index: number) => unknown} make */
const list = (length, make) => Array.from({ length }, (_, index) => make(index));

const ITEM_PATH = '/org/freedesktop/secrets/collection/login/';
const secret = () => [
  '/org/freedesktop/secrets/session/s1',
  randomBytes(random, 16),
  randomBytes(random, 32),
  'text/plain',
];
/** @returns {[string, Variant][]} */
const properties = () => [
  ['Label', new Variant('s', text(24))],
  ['Locked', new Variant('b', false)],
  ['Created', new Variant('t', 1_700_000_000n)],
  ['Modified', new Variant('t', 1_700_000_001n)],
  [
    'Attributes',
    new Variant(
      'a{ss}',
      new Map([
        ['service', text(12)],
        ['account', text(12)],
      ]),
    ),
  ],
];
const ITEM_INTERFACE = 'org.freedesktop.Secret.Item';

/** Bodies by name: `[signature, body]`. @type {Record<string, [string, unknown[]]>} */
export const BODIES = {
  'call with 2 strings': ['ss', [text(20), text(20)]],
  'GetSecret reply': ['(oayays)', [secret()]],
  'GetAll reply': ['a{sv}', [new Map(properties())]],
  'GetSecrets of 100': [
    'a{o(oayays)}',
    [
      new Map(
        list(100, (index) => [`${ITEM_PATH}${index}`, secret()]).map(
          (pair) => /** @type {[string, unknown]} */ (pair),
        ),
      ),
    ],
  ],
  '40 managed objects': [
    'a{oa{sa{sv}}}',
    [
      new Map(
        Array.from({ length: 40 }, (_, index) => [
          `${ITEM_PATH}${index}`,
          new Map([[ITEM_INTERFACE, new Map(properties())]]),
        ]),
      ),
    ],
  ],
  '1,000 strings': ['as', [list(1000, () => text(16))]],
  '10,000 doubles': ['ad', [list(10_000, () => random() * 1e6)]],
  '1 MiB of bytes': ['ay', [randomBytes(random, 2 ** 20)]],
};

/**
 * The reply that carries a body.
 * @param {string} signature @param {readonly unknown[]} body
 * @returns {import('secretbus/wire').Message}
 */
export function replyOf(signature, body) {
  return {
    type: 2,
    flags: 1,
    serial: 7,
    replySerial: 6,
    sender: ':1.5',
    destination: ':1.9',
    signature,
    body,
  };
}
