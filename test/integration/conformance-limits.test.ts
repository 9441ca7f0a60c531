/** Every limit of the wire, and one more: ours are libdbus's, and those that real buses pass on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import {
  connect,
  decodeMessage,
  encodeMessage,
  implement,
  listen,
  type Message,
  MessageParser,
  marshal,
  openBus,
  ProtocolError,
  Variant,
} from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';
import { startPrivateBroker } from '../support/private-broker.js';

const MAX_MESSAGE = 0x800_0000;
const MAX_ARRAY = 0x400_0000;
const NONE = new Uint8Array(0);
const ORACLE = fileURLToPath(new URL('conformance-oracle.py', import.meta.url));

/** A message of which nothing is checked. `signature` may be any text. */
function raw(
  fields: Record<number, [string, string]>,
  signature: string,
  body: Uint8Array,
  type = 4,
): Uint8Array {
  const rows = Object.entries(fields).map(([code, [kind, value]]): [number, Variant] => [
    Number(code),
    new Variant(kind, value),
  ]);
  // What is no signature would not be marshalled: one as long stands in for it.
  const placeholder = 'y'.repeat(signature.length);
  if (signature !== '') rows.push([8, new Variant('g', placeholder)]);
  const header = Buffer.from(marshal('yyyyuua(yv)', [0x6c, type, 0, 1, body.length, 1, rows]));
  if (signature !== '') header.write(signature, header.lastIndexOf(placeholder), 'latin1');
  return Buffer.concat([header, Buffer.alloc(-header.length & 7), body]);
}

const SIGNAL: Record<number, [string, string]> = { 1: ['o', '/'], 2: ['s', 'a.b'], 3: ['s', 'M'] };

/** `depth` variants in one another, the innermost a byte. */
function variants(depth: number): Uint8Array {
  const levels = Array.from({ length: depth - 1 }, () => Buffer.from([1, 0x76, 0]));
  return Buffer.concat([...levels, Buffer.from([1, 0x79, 0, 1])]);
}

/** An empty array, with the padding before its first element. */
const emptyArray = (padding: number): Uint8Array => Buffer.alloc(4 + padding);

/** Two byte arrays which make the message `byteLength` long. */
function filled(byteLength: number): Uint8Array {
  const make = (second: number): Uint8Array => {
    const body = Buffer.alloc(8 + MAX_ARRAY + second);
    body.writeUInt32LE(MAX_ARRAY, 0);
    body.writeUInt32LE(second, 4 + MAX_ARRAY);
    return raw(SIGNAL, 'ayay', body);
  };
  const rest = byteLength - raw(SIGNAL, 'ayay', Buffer.alloc(0)).length - 8 - MAX_ARRAY;
  return make(rest);
}

function byteArray(byteLength: number): Uint8Array {
  const body = Buffer.alloc(4 + byteLength);
  body.writeUInt32LE(byteLength, 0);
  return raw(SIGNAL, 'ay', body);
}

const element = (byteLength: number): string => `a.${'b'.repeat(byteLength - 2)}`;
const withField = (code: number, text: string): Uint8Array =>
  raw({ ...SIGNAL, [code]: ['s', text] }, '', Buffer.alloc(0));
const errorNamed = (text: string): Uint8Array => {
  const bytes = Buffer.from(raw({ 4: ['s', text], 5: ['u', 7 as never] }, '', Buffer.alloc(0), 3));
  return bytes;
};

/** What is at a limit, and what is past it. */
const CASES: readonly (readonly [string, () => Uint8Array, boolean])[] = [
  ['32 arrays in one another', () => raw(SIGNAL, `${'a'.repeat(32)}y`, emptyArray(0)), true],
  ['33 arrays in one another', () => raw(SIGNAL, `${'a'.repeat(33)}y`, emptyArray(0)), false],
  [
    '32 structs in one another',
    () => raw(SIGNAL, `${'('.repeat(32)}y${')'.repeat(32)}`, Buffer.alloc(1)),
    true,
  ],
  [
    '33 structs in one another',
    () => raw(SIGNAL, `${'('.repeat(33)}y${')'.repeat(33)}`, Buffer.alloc(1)),
    false,
  ],
  [
    '32 arrays of 32 structs',
    () => raw(SIGNAL, `${'a'.repeat(32)}${'('.repeat(32)}y${')'.repeat(32)}`, emptyArray(0)),
    true,
  ],
  ['64 variants in one another', () => raw(SIGNAL, 'v', variants(64)), true],
  ['65 variants in one another', () => raw(SIGNAL, 'v', variants(65)), false],
  ['1,000 variants in one another', () => raw(SIGNAL, 'v', variants(1000)), false],
  ['a signature of 255', () => raw(SIGNAL, 'y'.repeat(255), Buffer.alloc(255)), true],
  ['an interface of 255', () => withField(2, element(255)), true],
  ['an interface of 256', () => withField(2, element(256)), false],
  ['a member of 255', () => withField(3, 'M'.repeat(255)), true],
  ['a member of 256', () => withField(3, 'M'.repeat(256)), false],
  ['a destination of 255', () => withField(6, element(255)), true],
  ['a destination of 256', () => withField(6, element(256)), false],
  ['a unique sender of 255', () => withField(7, `:${'1.'.repeat(126)}11`), true],
  ['a unique sender of 256', () => withField(7, `:${'1.'.repeat(127)}1`), false],
  ['an error name of 255', () => errorNamed(element(255)), true],
  ['an error name of 256', () => errorNamed(element(256)), false],
  [
    'a path of 10,001',
    () => raw({ ...SIGNAL, 1: ['o', `/${'p'.repeat(10_000)}`] }, '', Buffer.alloc(0)),
    true,
  ],
  ['an array of 2^26', () => byteArray(MAX_ARRAY), true],
  ['an array of 2^26 + 1', () => byteArray(MAX_ARRAY + 1), false],
  ['a message of 2^27', () => filled(MAX_MESSAGE), true],
  ['a message of 2^27 + 1', () => filled(MAX_MESSAGE + 1), false],
];

/** Whether we take the message, whole; whatever else happens is thrown. */
function accepted(bytes: Uint8Array): boolean {
  try {
    decodeMessage(bytes);
    return true;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

it.each(CASES)('%s is taken, or refused', (_name, make, wanted) => {
  const bytes = make();
  expect(accepted(bytes)).toBe(wanted);
  const parser = new MessageParser();
  const push = (): number => {
    // In large pieces: byte by byte is for small ones.
    let count = 0;
    const step = bytes.length > 100_000 ? 1_000_003 : 1;
    for (let at = 0; at < bytes.length; at += step)
      count += parser.push(bytes.subarray(at, at + step)).length;
    return count;
  };
  if (wanted) expect(push()).toBe(1);
  else expect(push).toThrow(ProtocolError);
});

const deep = (depth: number): Variant => {
  let value: Variant = new Variant('y', 1);
  for (let level = 1; level < depth; level++) value = new Variant('v', value);
  return value;
};

it('what is at a limit is encoded, and what is past it is not', () => {
  const signal: Message = {
    type: 4,
    flags: 0,
    serial: 1,
    path: '/',
    interface: 'a.b',
    member: 'M',
    signature: '',
    body: [],
  };
  const room =
    MAX_MESSAGE - encodeMessage({ ...signal, signature: 'ayay', body: [NONE, NONE] }).length - MAX_ARRAY;
  const array = new Uint8Array(MAX_ARRAY + 1);
  const two = (second: number): Message => ({
    ...signal,
    signature: 'ayay',
    body: [array.subarray(1), array.subarray(0, second)],
  });
  expect(encodeMessage(two(room)).length).toBe(MAX_MESSAGE);
  expect(() => encodeMessage(two(room + 1))).toThrow(expect.objectContaining({ name: 'MarshalError' }));
  expect(encodeMessage({ ...signal, signature: 'ay', body: [array.subarray(1)] }).length).toBeGreaterThan(
    MAX_ARRAY,
  );
  expect(() => encodeMessage({ ...signal, signature: 'ay', body: [array] })).toThrow(
    expect.objectContaining({ name: 'MarshalError', path: 'body[0]' }),
  );
  for (const [field, make] of [
    ['interface', element],
    ['destination', element],
    ['member', (length: number) => 'M'.repeat(length)],
  ] as const) {
    expect(encodeMessage({ ...signal, [field]: make(255) }).length).toBeGreaterThan(255);
    expect(() => encodeMessage({ ...signal, [field]: make(256) })).toThrow(
      expect.objectContaining({ name: 'MarshalError' }),
    );
  }
  expect(decodeMessage(encodeMessage({ ...signal, signature: 'v', body: [deep(64)] })).body).toEqual([
    deep(64),
  ]);
  expect(() => encodeMessage({ ...signal, signature: 'v', body: [deep(65)] })).toThrow(
    expect.objectContaining({ name: 'MarshalError' }),
  );
  expect(() => encodeMessage({ ...signal, signature: `${'a'.repeat(33)}y`, body: [[]] })).toThrow();
  expect(() =>
    encodeMessage({ ...signal, signature: 'y'.repeat(256), body: Array.from({ length: 256 }, () => 1) }),
  ).toThrow();
}, 60_000);

describeWith('python3 with libdbus', runs('python3', ['-c', 'import ctypes; ctypes.CDLL("libdbus-1.so.3")']))(
  'libdbus',
  () => {
    it('has the same limits', async () => {
      const oracle = spawn('python3', [ORACLE], { stdio: ['pipe', 'pipe', 'inherit'] });
      const verdicts = readText(oracle.stdout);
      for (const [, make] of CASES) {
        const bytes = make();
        const length = Buffer.alloc(4);
        length.writeUInt32LE(bytes.length);
        oracle.stdin.write(length);
        if (!oracle.stdin.write(bytes)) await once(oracle.stdin, 'drain');
      }
      oracle.stdin.end();
      const found = await verdicts;
      expect(found).toHaveLength(CASES.length);
      expect(CASES.map(([name], index) => [name, found[index] === '1'])).toEqual(
        CASES.map(([name, , wanted]) => [name, wanted]),
      );
    }, 60_000);
  },
);

/** Two byte arrays; the longest that two can be in a call with a header of `headerByteLength`. */
const BIG = { name: 'org.example.Big', methods: { Length: { in: 'ayay', out: 'tt' } } } as const;
const big = () =>
  implement(BIG, { methods: { Length: (one, two) => [BigInt(one.length), BigInt(two.length)] } });
const call = {
  path: '/',
  interface: BIG.name,
  member: 'Length',
  signature: 'ayay',
  replySignature: 'tt',
  timeoutMs: 50_000,
} as const;

it('a message of 2^27 bytes goes over a socket of ours; one of a byte more is not sent, and hurts nobody', async () => {
  const server = await listen('unix:tmpdir=/tmp', { onConnection: (peer) => void peer.export('/', [big()]) });
  const peer = await connect(server.address);
  const array = new Uint8Array(MAX_ARRAY);
  const { signature, replySignature: _, timeoutMs: _timeout, ...fields } = call;
  const empty = encodeMessage({
    type: 1,
    flags: 0,
    serial: 1,
    ...fields,
    signature,
    body: [NONE, NONE],
  }).length;
  const room = MAX_MESSAGE - empty - MAX_ARRAY;
  expect(await peer.call({ ...call, body: [array, array.subarray(0, room)] })).toEqual([
    BigInt(MAX_ARRAY),
    BigInt(room),
  ]);
  await expect(peer.call({ ...call, body: [array, array.subarray(0, room + 1)] })).rejects.toMatchObject({
    name: 'MarshalError',
  });
  expect(await peer.call({ ...call, body: [NONE, NONE] })).toEqual([0n, 0n]);
  await peer.close();
  await server.close();
}, 60_000);

for (const [program, present, start] of [
  ['dbus-daemon', runs('dbus-daemon', ['--version']), () => startPrivateBus()],
  [
    'dbus-broker',
    runs('dbus-broker', ['--version']) && runs('/usr/bin/python3', ['--version']),
    startPrivateBroker,
  ],
] as const) {
  describeWith(program, present)(program, () => {
    it('passes on a call of 2^27 bytes less its sender, which it adds', async () => {
      const daemon: { address: string; close(): Promise<void> } = await start();
      const [service, client] = await Promise.all([openBus(daemon.address), openBus(daemon.address)]);
      service.export('/', [big()]);
      const array = new Uint8Array(MAX_ARRAY);
      const second = array.subarray(0, MAX_ARRAY - 256);
      expect(await client.call({ ...call, destination: service.uniqueName, body: [array, second] })).toEqual([
        BigInt(MAX_ARRAY),
        BigInt(second.length),
      ]);
      await Promise.all([client.close(), service.close()]);
      await daemon.close();
    }, 60_000);
  });
}
