/** The client's part of `bus.mjs`, run in a child: for each library what its documents have for the purpose. */
import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {import('./adapters.mjs').Adapter} Adapter */
/** @typedef {import('./adapters.mjs').Client} Client */
/** @typedef {{ address: string, name: string, path: string, interface: string, own: string, xml: string }} Parameters */

export const DRIVER = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
};

/** @param {string} line */
export const print = (line) => process.stdout.write(`${line}\n`);

/** @param {() => unknown} condition @param {number} [timeoutMs] */
export async function until(condition, timeoutMs = 3000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(20)) if (condition()) return true;
  return false;
}

/** @param {any} error @param {(value: any) => void} resolve @param {(error: any) => void} reject @param {any} value */
export const settle = (error, value, resolve, reject) => (error ? reject(error) : resolve(value));

/** A proxy in the form that has signals. @param {Adapter} adapter @param {Client} client @param {Parameters} parameters @returns {Promise<any>} */
export async function interfaceOf(adapter, { bus }, { name, path, interface: face }) {
  if (adapter.name === 'dbus-next') return (await bus.getProxyObject(name, path)).getInterface(face);
  if (adapter.name === 'dbus-native') return bus.getService(name).getInterface(path, face);
  return new Promise((resolve, reject) =>
    bus
      .getService(name)
      .getInterface(path, face, (/** @type {any} */ error, /** @type {any} */ value) =>
        settle(error, value, resolve, reject),
      ),
  );
}

/** @param {Adapter} adapter @param {Client} client @param {Parameters} parameters @param {any} proxy @param {(text: string) => void} receive @returns {Promise<() => any>} what ends it */
async function subscribe(adapter, client, { name, path, interface: face }, proxy, receive) {
  if (adapter.name === 'secretbus') {
    const rule = { type: 'signal', sender: name, path, interface: face, member: 'Told' };
    const subscription = client.bus.signals(rule, (/** @type {any} */ message) => receive(message.body[0]));
    await subscription.ready;
    return () => subscription.close();
  }
  if (adapter.name === 'dbus-native') {
    await proxy.$subscribe('Told', receive);
    return () => proxy.$unsubscribe('Told', receive);
  }
  proxy.on('Told', receive);
  return () => proxy.removeListener('Told', receive);
}

/** @param {Adapter} adapter @param {Client} client @param {Parameters} parameters */
const proxyFor = (adapter, client, parameters) =>
  adapter.name === 'secretbus' ? undefined : interfaceOf(adapter, client, parameters);

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function names(adapter, { address, name }) {
  const [first, second] = await Promise.all([adapter.open(address), adapter.open(address)]);
  const [, unique] = await Promise.all([first.uniqueName(), second.uniqueName()]);
  const own = `${name}.Own`;
  const request = (/** @type {Client} */ { bus }, /** @type {number} */ flags) =>
    new Promise((resolve, reject) => {
      if (adapter.name.endsWith('dbus-native'))
        bus.requestName(own, flags, (/** @type {any} */ error, /** @type {any} */ value) =>
          settle(error, value, resolve, reject),
        );
      else if (adapter.name === 'dbus-next') bus.requestName(own, flags).then(resolve, reject);
      else
        bus.requestName(own, { allowReplacement: flags === 1, replace: flags === 2 }).then(resolve, reject);
    });
  await request(first, 1);
  await request(second, 2);
  const [owner] = await first.call({ ...DRIVER, member: 'GetNameOwner', signature: 's', body: [own] });
  return owner === unique;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function presentOwner(adapter, parameters) {
  const client = await adapter.open(parameters.address);
  const unique = await client.uniqueName();
  /** @type {string[]} */
  const seen = [];
  const proxy = await proxyFor(adapter, client, parameters);
  await subscribe(adapter, client, parameters, proxy, (text) => seen.push(text));
  await client.uniqueName();
  await client.call({ ...DRIVER, member: 'GetId' });
  print(`READY ${unique}`);
  await until(() => seen.includes('real'));
  if (!seen.includes('real')) return 'gets none';
  return seen.length === 1 ? true : 'no';
}

/** @param {Client} client @param {string} unique @returns {Promise<number>} */
async function ruleCount(client, unique) {
  const call = { ...DRIVER, interface: 'org.freedesktop.DBus.Debug.Stats', member: 'GetConnectionStats' };
  const [stats] = await client.call({ ...call, signature: 's', body: [unique] });
  const entries = stats instanceof Map ? [...stats] : Array.isArray(stats) ? stats : Object.entries(stats);
  const value = entries.find(([key]) => key === 'MatchRules')?.[1];
  return Number(Array.isArray(value) ? value[1][0] : (value.value ?? value));
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function rules(adapter, parameters) {
  const client = await adapter.open(parameters.address);
  const unique = await client.uniqueName();
  const proxy = await proxyFor(adapter, client, parameters);
  const other = await proxyFor(adapter, client, parameters);
  // What follows owners stays for as long as a subscription does.
  const before = await ruleCount(client, unique);
  let received = '';
  const one = await subscribe(adapter, client, parameters, proxy, () => {});
  const single = await ruleCount(client, unique);
  const two = await subscribe(adapter, client, parameters, other, (text) => (received = text));
  const both = await ruleCount(client, unique);
  await one();
  await client.call({ ...DRIVER, member: 'GetId' });
  print('READY');
  const still = await until(() => received === 'still', 1500);
  await two();
  await client.call({ ...DRIVER, member: 'GetId' });
  const after = await ruleCount(client, unique);
  if (!still) return 'the second gets nothing';
  if (both !== single) return `${both - before} for two`;
  return after === before ? true : `${after - before} left`;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function iterable(adapter, parameters) {
  const { address, name, path, interface: face } = parameters;
  if (!['secretbus', 'dbus-native'].includes(adapter.name)) return adapter.missing;
  const client = await adapter.open(address);
  /** @type {any} */
  let iterator;
  let first;
  if (adapter.name === 'secretbus') {
    iterator = client.bus.signals({ type: 'signal', sender: name, path, interface: face }, { maxQueued: 10 });
    await iterator.ready;
  } else {
    const proxy = await client.bus.proxy(name, path);
    iterator = proxy.$signal('Told', { queue: 10 })[Symbol.asyncIterator]();
    first = iterator.next();
    await sleep(300);
  }
  await client.call({ ...DRIVER, member: 'GetId' });
  print('READY');
  if (!(await until(() => iterator.dropped >= 1980))) return `${iterator.dropped} dropped`;
  const { value } = await (first ?? iterator.next());
  return value === undefined ? 'no value' : true;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function reconnect(adapter, parameters) {
  if (!['secretbus', 'dbus-native'].includes(adapter.name)) return adapter.missing;
  const { reconnecting } = adapter.library;
  const client = await adapter.open(parameters.address, { reconnect: reconnecting?.() ?? true });
  client.bus.connection?.on('error', () => {});
  const unique = await client.uniqueName();
  await (client.bus.ownName ? client.bus.ownName(parameters.own) : client.bus.requestName(parameters.own));
  let received = '';
  const proxy = await proxyFor(adapter, client, parameters);
  await subscribe(adapter, client, parameters, proxy, (text) => (received = text));
  print(`READY ${unique}`);
  if (!(await until(() => received === 'again', 12_000))) return 'gets no signals again';
  const [has] = await client.call({
    ...DRIVER,
    member: 'NameHasOwner',
    signature: 's',
    body: [parameters.own],
  });
  return has ? true : 'without its name';
}
