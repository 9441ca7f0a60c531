/**
 * The JavaScript libraries as clients of a bus, each in the way that is fastest in it, behind one interface.
 */
import { createRequire } from 'node:module';
import { openRawBusClient } from '../lib/raw-bus-client.mjs';

/**
 * @typedef {object} Call
 * @property {string} destination
 * @property {string} path
 * @property {string} interface
 * @property {string} member
 */

/**
 * @typedef {object} Client
 * @property {(call: Call, receive: (value: unknown) => void) => void} call `receive` gets the first value of the reply
 * @property {() => unknown} close
 */

/** @typedef {(address: string) => Promise<Client>} Open */

/** @type {Call} */
export const GET_ID = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'GetId',
};

/** An error of a call or a connection ends the process, and with it the run. @param {unknown} error */
export function fail(error) {
  process.nextTick(() => {
    throw error instanceof Error ? error : new Error(String(error));
  });
}

/** Nothing to wait for: this one begins to connect, and queues calls until it has. @param {any} bus @param {Client['call']} call @returns {Client} */
function nativeClient(bus, call) {
  bus.connection.on('error', fail);
  return { call, close: () => bus.connection.end() };
}

/** The two of one origin, whose fastest form is the callback. @param {string} name @returns {Open} */
function byCallback(name) {
  const { createClient } = createRequire(import.meta.url)(name);
  return async (address) => {
    const bus = createClient({ busAddress: address });
    return nativeClient(bus, (call, receive) =>
      bus.invoke({ ...call }, (/** @type {unknown} */ error, /** @type {unknown} */ value) => {
        if (error) fail(error);
        else receive(value);
      }),
    );
  };
}

/** Loads a library; gives what opens a client. @type {Record<string, (entry?: string) => Promise<Open>>} */
export const LIBRARIES = {
  async secretbus(entry = '../../dist/wire/index.js') {
    const { openBus } = /** @type {typeof import('secretbus/wire')} */ (await import(entry));
    return async (address) => {
      const bus = await openBus(address);
      return {
        call: (call, receive) => void bus.call(call).then(([value]) => receive(value), fail),
        close: () => bus.close(),
      };
    };
  },
  'dbus-native': async () => byCallback('dbus-native'),
  /** By the promise that it gives since 0.16, which is what its documents show. */
  async 'dbus-native, await'() {
    const { createClient } = createRequire(import.meta.url)('dbus-native');
    return async (address) => {
      const bus = createClient({ busAddress: address });
      return nativeClient(bus, (call, receive) => void bus.invoke({ ...call }).then(receive, fail));
    };
  },
  async 'dbus-next'() {
    const { sessionBus, Message } = createRequire(import.meta.url)('dbus-next');
    return async (address) => {
      const bus = sessionBus({ busAddress: address });
      bus.on('error', fail);
      return {
        call: (call, receive) =>
          void bus
            .call(new Message(call))
            .then((/** @type {{ body: unknown[] }} */ { body }) => receive(body[0]), fail),
        close: () => bus.disconnect(),
      };
    };
  },
  '@homebridge/dbus-native': async () => byCallback('@homebridge/dbus-native'),
  /** Prepared bytes, and a count of those of the reply: it cannot tell replies apart, so it has one in flight. */
  async 'raw socket'() {
    return async (address) => {
      const path = /** @type {RegExpExecArray} */ (/unix:path=([^,]+)/.exec(address))[1];
      const raw = await openRawBusClient(/** @type {string} */ (path), GET_ID.member);
      return {
        call: (_, receive) => void raw.call().then(() => receive(undefined)),
        close: () => raw.close(),
      };
    };
  },
};
