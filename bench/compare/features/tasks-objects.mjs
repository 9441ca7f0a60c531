/** More of the client's part of `bus.mjs`: proxies, caches, and what watches a bus. */
import diagnostics from 'node:diagnostics_channel';
import { DRIVER, interfaceOf, print, settle, until } from './tasks-bus.mjs';
import { GET } from './tasks-reading.mjs';

/** @typedef {import('./adapters.mjs').Adapter} Adapter */
/** @typedef {import('./tasks-bus.mjs').Parameters} Parameters */

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function byProxy(adapter, { address, xml }) {
  const client = await adapter.open(address);
  const parameters = /** @type {any} */ ({ name: GET.destination, path: GET.path, interface: GET.interface });
  if (adapter.name === 'secretbus') {
    const definition = { name: GET.interface, methods: { Get: { out: 'u' } } };
    return (await client.bus.proxy(GET.destination, GET.path, definition).call.Get()) === 7;
  }
  if (adapter.name === 'dbus-next') {
    const object = await client.bus.getProxyObject(GET.destination, GET.path, xml);
    return (await object.getInterface(GET.interface).Get()) === 7;
  }
  const made = await interfaceOf(adapter, client, parameters);
  return new Promise((resolve, reject) =>
    made.Get((/** @type {any} */ error, /** @type {any} */ value) =>
      settle(error, value === 7, resolve, reject),
    ),
  );
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function awaited(adapter, { address, xml }) {
  const client = await adapter.open(address);
  const { bus } = client;
  if (adapter.name === 'secretbus') {
    const { defineInterface, parseIntrospection } = adapter.library;
    const [definition] = parseIntrospection(xml).interfaces;
    await bus.proxy(GET.destination, GET.path, defineInterface(definition));
  } else if (adapter.name === 'dbus-native') await bus.proxy(GET.destination, GET.path);
  else {
    const parameters = /** @type {any} */ ({
      name: GET.destination,
      path: GET.path,
      interface: GET.interface,
    });
    // As an async function returns it.
    await interfaceOf(adapter, client, parameters);
  }
  return true;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function properties(adapter, { address, name, path, interface: face }) {
  const { bus } = await adapter.open(address);
  if (adapter.name === 'secretbus') {
    const definition = { name: face, properties: { Note: { type: 's', access: 'read' } } };
    const cache = await adapter.library.watchProperties(bus.proxy(name, path, definition));
    if (cache.get('Note') !== 'old') return 'not read';
    print('READY');
    return until(() => cache.get('Note') === 'new');
  }
  if (adapter.name !== 'dbus-native') return adapter.missing;
  const objects = await bus.objects(name, '/org/example');
  const note = () => JSON.stringify(objects.get?.(path) ?? [...(objects.objects ?? [])]);
  if (!note()?.includes('old')) return 'not read';
  print('READY');
  return (await until(() => note().includes('new'))) ? 'with an ObjectManager' : false;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function managedObjects(adapter, { address, name }) {
  const { bus } = await adapter.open(address);
  const second = '/org/example/Second';
  if (adapter.name === 'secretbus') {
    const managed = await adapter.library.watchObjects(bus, name, '/org/example');
    print('READY');
    return until(() => managed.objects.has(second));
  }
  if (adapter.name !== 'dbus-native') return adapter.missing;
  const managed = await bus.objects(name, '/org/example');
  print('READY');
  return until(() => managed.get(second) !== undefined);
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function monitor(adapter, { address }) {
  const client = await adapter.open(address);
  await client.uniqueName();
  if (adapter.name === 'secretbus') {
    const messages = client.bus.monitor([{ type: 'method_call', member: 'Ping' }]);
    await messages.ready;
    print('READY');
    const { value } = await messages.next();
    return value.member === 'Ping';
  }
  let seen = false;
  const emitter = adapter.name === 'dbus-next' ? client.bus : client.bus.connection;
  emitter.on('message', (/** @type {any} */ { member }) => (seen ||= member === 'Ping'));
  const call = { ...DRIVER, interface: 'org.freedesktop.DBus.Monitoring', member: 'BecomeMonitor' };
  await client.call({ ...call, signature: 'asu', body: [["type='method_call',member='Ping'"], 0] });
  print('READY');
  return (await until(() => seen)) ? 'by hand' : false;
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function pcap(adapter, { address }) {
  if (adapter.library.Recorder === undefined) return adapter.missing;
  /** @type {Uint8Array[]} */
  const written = [];
  const recorder = new adapter.library.Recorder({
    write: (/** @type {Uint8Array} */ bytes) => written.push(bytes),
  });
  const client = await adapter.open(address, { recorder });
  await client.call({ ...DRIVER, member: 'GetId' });
  await client.close();
  const file = Buffer.concat(written);
  const magic = [0xa1b2c3d4, 0xa1b23c4d].includes(file.readUInt32LE(0));
  return magic && file.readUInt32LE(20) === 231 && file.includes('GetId');
}

/** @param {Adapter} adapter @param {Parameters} parameters */
export async function published(adapter, { address }) {
  const channel = { secretbus: 'secretbus.wire.call', 'dbus-native': 'tracing:dbus:call:start' }[
    adapter.name
  ];
  if (channel === undefined) return adapter.missing;
  adapter.library.publishDiagnostics?.();
  let seen = false;
  diagnostics.subscribe(channel, (message) => (seen ||= /** @type {any} */ (message).member === 'GetId'));
  const client = await adapter.open(address);
  await client.call({ ...DRIVER, member: 'GetId' });
  return seen;
}
