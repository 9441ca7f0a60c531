/**
 * Clients on a real bus: a dbus-daemon of our own, with a service on it that does what a check needs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPrivateBus } from '../../../scripts/lib/private-services.mjs';
import { Bytes } from './frames.mjs';
import { absent, runTask, succeeded } from './run.mjs';
import { reply, startServer } from './server.mjs';

const WIRE = '../../../dist/wire/index.js';
const INTERFACE = 'org.example.Thing';
/** @param {string[]} names of methods */
function introspection(...names) {
  const methods = names.map((name) => `<method name="${name}"><arg type="u" direction="out"/></method>`);
  return `<node><interface name="org.example.Test">${methods.join('')}</interface></node>`;
}

let count = 0;

/** A name that no other check has, so that they can share a bus. */
function freshName() {
  count += 1;
  return `org.example.Name${count}`;
}

/** A path that no other has: some libraries take a signal from whoever sends it. @param {string} name */
function pathOf(name) {
  return `/${name.replaceAll('.', '/')}`;
}

/** A service with a signal, a property and an ObjectManager. @param {string} address @param {string} name */
async function startService(address, name) {
  const path = pathOf(name);
  const { implement, objectManager, openBus } = await import(WIRE);
  const bus = await openBus(address);
  let note = 'old';
  const definition = {
    name: INTERFACE,
    methods: {},
    signals: { Told: { signature: 's' } },
    properties: { Note: { type: 's', access: 'read' } },
  };
  const parts = { properties: { Note: { get: () => note } } };
  const thing = bus.export(path, [implement(definition, parts)]);
  bus.export('/org/example', [objectManager]);
  await bus.requestName(name);
  return {
    tell: (/** @type {string} */ text) => thing.emit(INTERFACE, 'Told', [text]),
    change: (/** @type {string} */ text) => {
      note = text;
      thing.changed(INTERFACE, ['Note']);
    },
    add: () => bus.export('/org/example/Second', [implement(definition, parts)]),
    /** The same signal from another than the owner of the name, sent to one client alone. @param {string} client */
    async forge(client) {
      const impostor = await openBus(address);
      const what = { path, interface: INTERFACE, member: 'Told', signature: 's', body: ['forged'] };
      await impostor.send({ type: 4, flags: 1, destination: client, ...what });
      await impostor.call({
        destination: 'org.freedesktop.DBus',
        path: '/org/freedesktop/DBus',
        member: 'GetId',
      });
      await impostor.close();
    },
    call: () =>
      bus.call({ destination: bus.uniqueName, path, interface: 'org.freedesktop.DBus.Peer', member: 'Ping' }),
    close: () => bus.close(),
  };
}

/** @typedef {Awaited<ReturnType<typeof startService>>} Service */

/** @type {ReturnType<typeof startPrivateBus> | undefined} */
let shared;
/** The bus that checks share. */
export function sharedBus() {
  shared ??= startPrivateBus();
  return shared;
}

export async function closeSharedBus() {
  await (await shared)?.close();
  shared = undefined;
}

/**
 * @param {string} feature @param {string} task
 * @param {(line: string, service: Service) => unknown} act on a line that the task prints
 * @param {RegExp} [lacks] the word that the files of a library without the feature do not have
 * @returns {import('./run.mjs').Check}
 */
function onBus(feature, task, act, lacks) {
  return {
    feature,
    async run(library) {
      const { address } = await sharedBus();
      const name = freshName();
      const service = await startService(address, name);
      try {
        const parameters = { address, name, path: pathOf(name), interface: INTERFACE };
        /** @type {Promise<unknown>[]} */
        const acts = [];
        const started = (/** @type {string} */ line) => void acts.push((async () => act(line, service))());
        const outcome = await runTask(library, task, parameters, { started });
        await Promise.all(acts);
        return outcome.outcome === 'missing' && lacks ? absent(library, lacks) : succeeded(outcome);
      } finally {
        await service.close();
      }
    },
  };
}

/** @param {string} line @param {Service} service */
async function forgeThenTell(line, service) {
  const client = /^READY (\S+)/.exec(line)?.[1];
  if (client === undefined) return;
  await service.forge(client);
  service.tell('real');
}

/** @param {string} line @param {Service} service */
function tellMany(line, service) {
  if (line.startsWith('READY')) for (let index = 0; index < 2000; index += 1) service.tell(`number ${index}`);
}

/** @type {import('./run.mjs').Check} */
const reconnects = {
  feature: 'Reconnects, and has its names and match rules again',
  async run(library) {
    const folder = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
    const socketPath = join(folder, 'bus');
    let bus = await startPrivateBus({ socketPath });
    const address = `unix:path=${socketPath}`;
    const name = freshName();
    const own = freshName();
    let service = await startService(address, name);
    const restart = async () => {
      await service.close();
      await bus.close();
      bus = await startPrivateBus({ socketPath });
      service = await startService(address, name);
      for (let index = 0; index < 40; index += 1) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        service.tell('again');
      }
    };
    /** @type {Promise<void> | undefined} */
    let restarting;
    try {
      const outcome = await runTask(
        library,
        'bus/reconnect',
        { address, name, own, path: pathOf(name), interface: INTERFACE },
        { timeoutMs: 15_000, started: (line) => void (line.startsWith('READY') && (restarting = restart())) },
      );
      return outcome.outcome === 'missing' ? absent(library, /reconnect/i) : succeeded(outcome);
    } finally {
      await restarting;
      await service.close();
      await bus.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** @param {string} library @param {string} task @param {string} xml that it answers Introspect with */
async function withObject(library, task, xml) {
  const server = await startServer({
    call: (call, socket) => {
      if (call.fields['member'] === 'Introspect') reply(socket, call, 's', new Bytes().string(xml).buffer);
      else reply(socket, call, 'u', new Bytes().u32(7).buffer);
    },
  });
  try {
    const outcome = await runTask(library, `objects/${task}`, { address: server.address, xml });
    return { outcome, asked: server.calls.some(({ fields }) => fields['member'] === 'Introspect') };
  } finally {
    server.close();
  }
}

/** @type {import('./run.mjs').Check} */
const withoutIntrospection = {
  feature: 'A proxy from a definition, without asking the object',
  async run(library) {
    const { outcome, asked } = await withObject(library, 'byProxy', introspection('Get'));
    const verdict = succeeded(outcome);
    return verdict.cell === 'yes' && asked ? { cell: 'no', why: 'it called Introspect' } : verdict;
  },
};

/** @type {import('./run.mjs').Check} */
const awaitProxy = {
  feature: '`await` on a proxy whose object has a method `then`',
  run: async (library) =>
    succeeded((await withObject(library, 'awaited', introspection('Get', 'then'))).outcome),
};

/** @param {string} line @param {(line: string) => unknown} then */
const ready = (line, then) => line.startsWith('READY') && then(line);

export const BUS = {
  title: 'On a bus',
  checks: [
    onBus('Names with flags: replacing an owner that allows it', 'bus/names', () => {}),
    onBus('Signals of a name only from its present owner', 'bus/presentOwner', forgeThenTell),
    onBus('One match rule on the bus, however many subscribe, and none left', 'bus/rules', (line, service) =>
      ready(line, () => service.tell('still')),
    ),
    onBus('Signals as an async iterable with a bounded queue', 'bus/iterable', tellMany, /asyncIterator/),
    reconnects,
    withoutIntrospection,
    awaitProxy,
    onBus(
      'Properties read without a round trip, kept up to date',
      'objects/properties',
      (line, service) => ready(line, () => service.change('new')),
      /^(?!\s*\*).*\bon\(\s*['"]PropertiesChanged|member='PropertiesChanged/m,
    ),
    onBus(
      'Objects of an ObjectManager followed',
      'objects/managedObjects',
      (line, service) => ready(line, () => service.add()),
      /InterfacesAdded|GetManagedObjects/,
    ),
    onBus('Monitor: a copy of every message', 'objects/monitor', (line, service) =>
      ready(line, () => service.call()),
    ),
    onBus('Recording as pcap', 'objects/pcap', () => {}, /pcap/i),
    onBus('`node:diagnostics_channel`', 'objects/published', () => {}, /diagnostics_channel/),
  ],
};
