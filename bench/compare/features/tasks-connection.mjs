/** The client's part of `connection.mjs`, run in a child. */
import { ask, GET } from './tasks-reading.mjs';

/** @typedef {import('./adapters.mjs').Adapter} Adapter */
/** @typedef {{ address: string }} Parameters */

export { ask };

/** The call alone must reject: no event counts. @param {Adapter} adapter @param {Parameters} parameters */
export async function askOnly(adapter, { address }) {
  const client = await adapter.open(address);
  return client.call(GET);
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function askAfterEnd(adapter, { address }) {
  const client = await adapter.open(address);
  const first = client.call(GET).catch(() => {});
  await Promise.race([first, new Promise((resolve) => setTimeout(resolve, 1000))]);
  return client.call(GET);
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function askAndClose(adapter, { address }) {
  const client = await adapter.open(address);
  await Promise.race([client.uniqueName(), client.failed]);
  const call = client.call(GET);
  call.catch(() => {});
  await client.close();
  return call;
}

const WITH_DEADLINES = new Set(['secretbus', 'dbus-native']);

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function askWithDeadline(adapter, { address }) {
  if (!WITH_DEADLINES.has(adapter.name)) return adapter.missing;
  const client = await adapter.open(address, { timeoutMs: 700 });
  return Promise.race([client.call(GET), client.failed]);
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function callDeadline(adapter, { address }) {
  if (!WITH_DEADLINES.has(adapter.name)) return adapter.missing;
  const client = await adapter.open(address);
  return client.call(GET, { timeoutMs: 700 });
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function abort(adapter, { address }) {
  if (!WITH_DEADLINES.has(adapter.name)) return adapter.missing;
  const client = await adapter.open(address);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 300);
  return client.call(GET, { signal: controller.signal });
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function errorReply(adapter, { address }) {
  const client = await adapter.open(address);
  try {
    await client.call(GET);
  } catch (error) {
    const { name, dbusName, type, message } = /** @type {any} */ (error);
    const named = [name, dbusName, type].includes('org.example.Error.No');
    if (!named) return 'without its name';
    if (!(error instanceof Error)) return 'no Error, but an object';
    return message.includes('not today') ? true : 'without its text';
  }
  return 'no error';
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function closed(adapter, { address }) {
  const client = await adapter.open(address);
  await client.call(GET);
  await client.close();
  return true;
}
