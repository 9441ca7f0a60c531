/**
 * The main job of the package, step by step and told: a secret in a Secret Service, and one in a stash
 * file. Uses the built package through its own name. Secrets are random, and never shown.
 */
import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatTime, ScriptError, timed } from './run.mjs';

/** @typedef {import('secretbus/secret').SecretService} SecretService */

/** A step went otherwise than it should have; the run has failed. */
class Mismatch extends ScriptError {}

/**
 * Writes one line of the report.
 * @param {string} label
 * @param {string} text
 * @param {number} [ms] how long it took.
 */
export function report(label, text, ms) {
  const line = `  ${label.padEnd(10)} ${text}`;
  process.stdout.write(`${ms === undefined ? line : `${line.padEnd(69)} ${formatTime(ms).padStart(8)}`}\n`);
}

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array} expected
 * @param {string} what
 * @throws {Mismatch}
 */
function assertSame(bytes, expected, what) {
  if (bytes.byteLength !== expected.byteLength || !timingSafeEqual(bytes, expected)) {
    throw new Mismatch(`${what} is not what was stored.`);
  }
}

/**
 * Says which process answers for the service.
 * @param {string | undefined} address
 * @param {AbortSignal} signal
 */
async function reportProvider(address, signal) {
  const { openBus, sessionBus, Variant } = await import('secretbus/wire');
  const bus = await (address === undefined ? sessionBus({ signal }) : openBus(address, { signal }));
  /** @param {string} member a method of the bus about the owner of a name. */
  const ask = async (member) => {
    const [answer] = await bus.call({
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus',
      member,
      signature: 's',
      body: ['org.freedesktop.secrets'],
      signal,
    });
    return answer;
  };
  try {
    const owner = await ask('GetNameOwner');
    const credentials = await ask('GetConnectionCredentials');
    const found = credentials instanceof Map ? credentials.get('ProcessID') : undefined;
    const processId = found instanceof Variant ? Number(found.value) : undefined;
    report('provider', `${await describeProcess(processId)}, on the bus as ${String(owner)}`);
  } finally {
    await bus.close();
  }
}

/**
 * @param {number | undefined} processId
 * @returns {Promise<string>}
 */
async function describeProcess(processId) {
  if (processId === undefined) return 'a process that the bus does not name';
  try {
    const [program = ''] = (await readFile(`/proc/${processId}/cmdline`, 'utf8')).split('\0');
    const name = program.slice(program.lastIndexOf('/') + 1);
    if (name !== '') return `${name}, process ${processId}`;
  } catch {
    // Another user's process, or no /proc.
  }
  return `process ${processId}`;
}

/**
 * Stores a secret in the default collection, finds it, reads it back, compares and deletes it. Whatever
 * happens, the item is gone afterwards.
 * @param {SecretService} service
 * @param {string | undefined} address of its bus; undefined for the session bus.
 * @param {AbortSignal} signal
 */
export async function runSecretService(service, address, signal) {
  await reportProvider(address, signal);
  const { algorithm, encrypted } = service.session;
  report('session', `${algorithm} (${encrypted ? 'encrypted' : 'not encrypted'} on the bus)`);

  const attributes = { application: 'secretbus', run: randomUUID() };
  const secret = randomBytes(48);
  try {
    const collection = await service.defaultCollection({ signal });
    const label = await collection.label({ signal });
    const stored = await timed(() =>
      collection.createItem({ label: 'secretbus: npm start', attributes, secret }, { signal }),
    );
    report('store', `${secret.byteLength} random bytes, in the collection "${label}"`, stored.ms);

    const found = await timed(() => service.search(attributes, { signal }));
    const [item] = found.value.unlocked;
    if (item === undefined || found.value.unlocked.length + found.value.locked.length !== 1) {
      throw new Mismatch('The search did not find exactly the item that was stored.');
    }
    report('find', '1 item, by its attributes', found.ms);

    const read = await timed(() => item.getSecret({ signal }));
    assertSame(read.value.value, secret, 'The secret that was read back');
    report('read', 'the same bytes', read.ms);

    const deleted = await timed(() => item.delete({ signal }));
    if ((await countItems(service, attributes)) !== 0)
      throw new Mismatch('The item is still there after delete.');
    report('delete', 'gone: the same search finds nothing', deleted.ms);
  } finally {
    secret.fill(0);
    await removeItems(service, attributes);
  }
}

/**
 * @param {SecretService} service
 * @param {Record<string, string>} attributes
 */
async function countItems(service, attributes) {
  const { unlocked, locked } = await service.search(attributes);
  return unlocked.length + locked.length;
}

/**
 * Deletes what an interrupted run may have stored: it is not told whether its last call took effect.
 * @param {SecretService} service
 * @param {Record<string, string>} attributes
 */
async function removeItems(service, attributes) {
  const { unlocked } = await service.search(attributes);
  for (const item of unlocked) await item.delete();
}

/**
 * Makes a stash file in a temporary folder, writes a value, opens it again, reads it back, compares and
 * removes it.
 * @param {AbortSignal} signal
 */
export async function runStash(signal) {
  const { Stash } = await import('secretbus/stash');
  const folder = await mkdtemp(join(tmpdir(), 'sb-start-'));
  try {
    const path = join(folder, 'secrets.stash');
    const password = randomBytes(24).toString('base64url');
    const secret = randomBytes(48);
    const key = ['secretbus', 'start'];

    const created = await timed(() => Stash.open(path, { password, create: true, signal }));
    const mode = ((await stat(path)).mode & 0o777).toString(8).padStart(4, '0');
    report('create', `${path}, mode ${mode}`, created.ms);
    const written = await timed(() => created.value.write(key, secret, { signal }));
    report('write', `${secret.byteLength} random bytes, under ${key.join(' / ')}`, written.ms);
    await created.value.close();

    const opened = await timed(() => Stash.open(path, { password, signal }));
    report('open', 'again, with the same password', opened.ms);
    try {
      const read = await timed(() => opened.value.read(key, { signal }));
      if (read.value === undefined) throw new Mismatch('The stash does not have the value that was written.');
      assertSame(read.value, secret, 'The value in the stash');
      report('read', 'the same bytes', read.ms);
      const removed = await timed(() => opened.value.remove(key, { signal }));
      if (await opened.value.has(key)) throw new Mismatch('The value is still in the stash after remove.');
      report('remove', 'gone', removed.ms);
    } finally {
      await opened.value.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
