/**
 * The main job of the package in one program for every runtime, with nothing but its public entries: values
 * and messages through the marshaller, a secret through the Secret Service, a value through a stash file.
 * Is copied into a folder where the package is installed, and run there as
 * `slice.mjs FOLDER ATTRIBUTE`: the stash goes into FOLDER, secrets get the attribute `slice: ATTRIBUTE`.
 *
 * Writes one line of JSON to standard output: what it saw, for the test to judge. Leaves one secret and
 * the stash behind, for the test to read with other programs.
 */
import { SecretService } from 'secretbus/secret';
import { copyStash, generateKey, SecureStash, Stash } from 'secretbus/stash';
import { decodeMessage, encodeMessage, MessageParser, marshal, unmarshal, Variant } from 'secretbus/wire';

const [folder = '.', attribute = ''] = process.argv.slice(2);

/** Bytes that neither UTF-8 nor a signed type keeps by accident. */
const BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

/** @param {Uint8Array} bytes */
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

function runWire() {
  const signature = 'ybnqiuxtdsoga{sv}(ia(ss))ayv';
  const values = [
    255,
    true,
    -32768,
    65535,
    -2147483648,
    4294967295,
    -(2n ** 63n),
    2n ** 64n - 1n,
    0.1,
    'Grüße, 世界',
    '/org/freedesktop/secrets',
    'a{sv}',
    new Map([['key', new Variant('ai', [1, 2, 3])]]),
    [7, [['a', 'b']]],
    BYTES,
    new Variant('(xs)', [5n, 'five']),
  ];
  /** @type {Record<string, boolean>} */
  const same = {};
  for (const endian of /** @type {const} */ (['little', 'big'])) {
    const bytes = marshal(signature, /** @type {any} */ (values), { endian });
    const again = marshal(signature, unmarshal(signature, bytes, { endian }), { endian });
    same[endian] = hex(bytes) === hex(again);
  }
  const message = encodeMessage({
    type: 1,
    flags: 0,
    serial: 7,
    path: '/a',
    interface: 'b.c',
    member: 'D',
    destination: 'e.f',
    signature,
    body: values,
  });
  const parser = new MessageParser();
  const parsed = [...message].flatMap((byte) => parser.push(Uint8Array.of(byte)));
  const reencoded = parsed.map((each) => hex(encodeMessage(each)));
  return {
    littleEndianRoundTrip: same['little'],
    bigEndianRoundTrip: same['big'],
    messages: reencoded.length,
    messageRoundTrip: reencoded[0] === hex(message),
    member: decodeMessage(message).member,
    known: hex(marshal('ys', [1, 'A'])),
  };
}

async function runSecretService() {
  const service = await SecretService.connect();
  try {
    const attributes = { slice: attribute, kind: 'deleted' };
    const collection = await service.defaultCollection();
    const item = await collection.createItem({
      label: 'slice',
      attributes,
      secret: BYTES,
      contentType: 'application/octet-stream',
    });
    const found = await service.search(attributes);
    const secret = await found.unlocked[0]?.getSecret();
    await item.delete();
    const after = await service.search(attributes);
    await collection.createItem({
      label: 'slice, kept',
      attributes: { slice: attribute, kind: 'kept' },
      secret: new TextEncoder().encode(`kept by ${attribute}`),
      contentType: 'text/plain',
    });
    return {
      algorithm: service.session.algorithm,
      found: found.unlocked.length,
      lockedFound: found.locked.length,
      secret: secret === undefined ? undefined : hex(secret.value),
      foundAfterDelete: after.unlocked.length + after.locked.length,
    };
  } finally {
    await service.close();
  }
}

async function runStash() {
  const path = `${folder}/slice.sstash`;
  const password = `password of ${attribute}`;
  const created = await SecureStash.open(path, { password, create: true });
  await created.write(['service', 'account'], BYTES);
  await created.close();
  const reopened = await SecureStash.open(path, { password });
  const value = await reopened.read(['service', 'account']);
  await reopened.close();
  return { value: value === undefined ? undefined : hex(value) };
}

/** The native format: all ways to open it, values of both kinds, a compaction, and a copy from the other format. */
async function runNativeStash() {
  const path = `${folder}/slice.stash`;
  const password = `password of ${attribute}`;
  const key = generateKey();
  const large = new Uint8Array(200_000).map((_, index) => index % 251);
  const created = await Stash.open(path, { password, create: true });
  await created.write(['service', 'account'], BYTES);
  await created.write(['large'], large);
  await created.addSlot({ key }, { label: 'slice' });
  const { before, after } = await created.compact();
  await created.close();
  const sstash = await SecureStash.open(`${folder}/slice.sstash`, { password });
  const reopened = await Stash.open(path, { key });
  const { values } = await copyStash(sstash, reopened, { key: ['copy'] });
  await sstash.close();
  const value = await reopened.read(['service', 'account']);
  const read = await reopened.read(['large']);
  const names = await reopened.children([]);
  await reopened.close();
  const isSame = read.length === large.length && read.every((byte, index) => byte === large[index]);
  return { value: hex(value), large: isSame, values, names, compacted: before > 0 && after > 0 };
}

const versions = /** @type {Record<string, string | undefined>} */ (process.versions);
console.log(
  JSON.stringify({
    runtime: versions['bun'] !== undefined ? 'bun' : versions['deno'] !== undefined ? 'deno' : 'node',
    version: versions['bun'] ?? versions['deno'] ?? versions['node'],
    wire: runWire(),
    secret: await runSecretService(),
    stash: await runStash(),
    native: await runNativeStash(),
  }),
);
