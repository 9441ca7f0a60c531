/** The service's part of `service.mjs`, run in a child. */
import { createRequire } from 'node:module';
import { GET } from './tasks-reading.mjs';

/** @typedef {import('./adapters.mjs').Adapter} Adapter */

const PATH = '/org/example/Thing';
const INTERFACE = 'org.example.Thing';
const forever = () => new Promise((resolve) => setTimeout(resolve, 2 ** 30));

/** @param {Adapter} adapter @param {any} bus */
function exportOurs({ library }, bus) {
  const { implement, MethodError, objectManager } = library;
  const definition = {
    name: INTERFACE,
    methods: { Add: { in: 'u', out: 'u' }, Fail: {}, Throw: {}, Wrong: { out: 'u' } },
    properties: { Total: { type: 'u', access: 'read' }, Note: { type: 's', access: 'readwrite' } },
  };
  let note = 'old';
  const methods = {
    Add: async (/** @type {number} */ amount) => amount,
    Fail: () => {
      throw new MethodError('org.example.Error.No', 'not today');
    },
    Throw: () => {
      throw new Error('hunter2');
    },
    Wrong: () => /** @type {any} */ ('text'),
  };
  const Note = {
    get: () => note,
    set: (/** @type {string} */ value) => {
      note = value;
      object.changed(INTERFACE, ['Note']);
    },
  };
  const object = bus.export(PATH, [
    implement(definition, { methods, properties: { Total: { get: () => 0 }, Note } }),
  ]);
  bus.export('/org/example', [objectManager]);
}

/** @param {Adapter} adapter @param {any} bus */
async function exportNative({ library }, bus) {
  const thing = library.defineInterface({
    name: INTERFACE,
    methods: {
      Add: {
        in: { amount: 'u' },
        out: { total: 'u' },
        handler: async (/** @type {any} */ { amount }) => amount,
      },
      Fail: {
        handler: () => {
          throw Object.assign(new Error('not today'), { dbusName: 'org.example.Error.No' });
        },
      },
      Throw: {
        handler: () => {
          throw new Error('hunter2');
        },
      },
      Wrong: { out: { total: 'u' }, handler: () => 'text' },
    },
    properties: { Total: { type: 'u', access: 'read', value: 0 }, Note: { type: 's', value: 'old' } },
  });
  await bus.export(PATH, thing);
  bus.exportObjectManager('/org/example');
}

/** @param {any} bus */
function exportFork(bus) {
  const thing = {
    Total: 0,
    Note: 'old',
    Add: async (/** @type {number} */ amount) => amount,
    Fail: () => {
      throw Object.assign(new Error('not today'), { dbusName: 'org.example.Error.No' });
    },
    Throw: () => {
      throw new Error('hunter2');
    },
    Wrong: () => 'text',
  };
  bus.exportInterface(thing, PATH, {
    name: INTERFACE,
    methods: {
      Add: ['u', 'u', ['amount'], ['total']],
      Fail: ['', ''],
      Throw: ['', ''],
      Wrong: ['', 'u', [], ['total']],
    },
    properties: { Total: 'u', Note: 's' },
    signals: {},
  });
}

/** @param {Adapter} adapter @param {any} bus */
function exportNext({ library }, bus) {
  const { DBusError, interface: parts } = library;
  class Thing extends parts.Interface {
    Total = 0;
    note = 'old';
    get Note() {
      return this.note;
    }
    set Note(value) {
      this.note = value;
      parts.Interface.emitPropertiesChanged(this, { Note: value });
    }
    async Add(/** @type {number} */ amount) {
      return amount;
    }
    Fail() {
      throw new DBusError('org.example.Error.No', 'not today');
    }
    Throw() {
      throw new Error('hunter2');
    }
    Wrong() {
      return 'text';
    }
  }
  /** @type {any} */ (Thing).configureMembers({
    methods: {
      Add: { inSignature: 'u', outSignature: 'u' },
      Fail: {},
      Throw: {},
      Wrong: { outSignature: 'u' },
    },
    properties: { Total: { signature: 'u', access: 'read' }, Note: { signature: 's' } },
  });
  bus.export(PATH, Reflect.construct(Thing, [INTERFACE]));
}

/** @param {Adapter} adapter @param {{ address: string, name: string }} parameters */
export async function serve(adapter, { address, name }) {
  const client = await adapter.open(address);
  await client.uniqueName();
  const { bus } = client;
  if (adapter.name === 'secretbus') exportOurs(adapter, bus);
  else if (adapter.name === 'dbus-next') exportNext(adapter, bus);
  else if (adapter.name === 'dbus-native') await exportNative(adapter, bus);
  else exportFork(bus);
  if (adapter.name.startsWith('@')) await new Promise((resolve) => bus.requestName(name, 0, resolve));
  else await bus.requestName(name, adapter.name === 'secretbus' ? {} : 0);
  process.stdout.write('READY\n');
  await forever();
}

/** @param {Adapter} adapter @param {{ path: string }} parameters */
export async function listens(adapter, { path }) {
  const { library } = adapter;
  const test = { name: GET.interface, methods: { Get: { out: 'u' } } };
  let address = `unix:path=${path}`;
  if (adapter.name === 'secretbus') {
    const methods = { Get: () => 7 };
    const onConnection = (/** @type {any} */ peer) =>
      peer.export(GET.path, [library.implement(test, { methods })]);
    ({ address } = await library.listen(address, { onConnection }));
  } else {
    if (library.createServer === undefined) return adapter.missing;
    const MessageBus = createRequire(import.meta.url)(`${adapter.name}/lib/bus`);
    const server = library.createServer((/** @type {any} */ connection) => {
      connection.on('error', () => {});
      const peer = new MessageBus(connection, { direct: true });
      const methods = { Get: ['', 'u', [], ['value']] };
      peer.exportInterface({ Get: () => 7 }, GET.path, {
        name: GET.interface,
        methods,
        properties: {},
        signals: {},
      });
    });
    await new Promise((resolve) => server.server.listen(path, () => resolve(undefined)));
  }
  process.stdout.write(`READY ${address}\n`);
  return forever();
}

/** @param {Adapter} adapter @param {{ address: string }} parameters */
export async function connects(adapter, { address }) {
  if (adapter.name === 'secretbus') {
    const peer = await adapter.library.connect(address);
    const [value] = await peer.call({ path: GET.path, interface: GET.interface, member: GET.member });
    return value === 7;
  }
  const client = await adapter.open(address, { direct: true });
  const [value] = await client.call({ ...GET, destination: /** @type {any} */ (undefined) });
  return value === 7;
}

/** @param {Adapter} adapter @param {{ socket: string }} parameters */
export async function broker(adapter, { socket }) {
  const { createBroker } = adapter.library;
  if (createBroker === undefined) return adapter.missing;
  const bus = createBroker();
  await new Promise((resolve, reject) =>
    bus.listen({ socket }, (/** @type {any} */ error) => (error ? reject(error) : resolve(undefined))),
  );
  const client = await adapter.open(bus.address());
  const name = await client.uniqueName();
  return name.startsWith(':');
}
