/**
 * The JavaScript libraries as clients of a bus behind one interface, each used as its documents say, with the options that
 * keep most of a value.
 */
import { createRequire } from 'node:module';

/**
 * @typedef {object} Call
 * @property {string} destination
 * @property {string} path
 * @property {string} interface
 * @property {string} member
 * @property {string} [signature]
 * @property {any[]} [body]
 */

/**
 * @typedef {object} Client
 * @property {any} bus of the library
 * @property {(call: Call, options?: { timeoutMs?: number, signal?: AbortSignal }) => Promise<any[]>} call
 * @property {Promise<never>} failed rejects with the first 'error' event
 * @property {() => Promise<string>} uniqueName
 * @property {() => unknown} close
 */

/**
 * @typedef {object} Adapter
 * @property {string} name
 * @property {any} library its exports
 * @property {typeof MISSING} missing what a task returns where a library has no way to do it
 * @property {(address: string, options?: any) => Promise<Client>} open
 * @property {(signature: string, value: any) => any} variant
 * @property {(entries: [any, any][]) => any} dict in the form that the library writes
 * @property {(value: any) => any} plain a 64-bit integer as a bigint, or what it is
 */

const MISSING = Symbol('missing');
/** Untyped, as the others are. @returns {Promise<any>} */
const WIRE = () => import('../../../dist/wire/index.js');

/** @param {any} emitter */
function firstError(emitter) {
  const failed = new Promise((_, reject) => emitter.on('error', reject));
  failed.catch(() => {});
  return /** @type {Promise<never>} */ (failed);
}

/** @param {string} name @param {object} defaults @returns {Promise<Adapter>} */
async function native(name, defaults) {
  const library = createRequire(import.meta.url)(name);
  const isFork = name.startsWith('@');
  return {
    name,
    library,
    missing: MISSING,
    variant: (signature, value) => (isFork ? [signature, value] : new library.Variant(signature, value)),
    dict: (entries) => entries,
    plain: (value) =>
      value !== null && typeof value === 'object' && 'low' in value ? BigInt(value.toString()) : value,
    async open(address, { timeoutMs, authMethods, ...options } = {}) {
      const bus = library.createClient({
        busAddress: address,
        ...defaults,
        ...(authMethods === undefined ? {} : { authMethods }),
        ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
        ...options,
      });
      return {
        bus,
        failed: firstError(bus.connection),
        uniqueName: async () => {
          await new Promise((resolve, reject) =>
            bus.getId((/** @type {any} */ error) => (error ? reject(error) : resolve(undefined))),
          );
          return bus.name;
        },
        call: (call, { timeoutMs: timeout, signal } = {}) =>
          new Promise((resolve, reject) => {
            const receive = (/** @type {any} */ error, /** @type {any[]} */ ...values) =>
              error ? reject(error) : resolve(values);
            if (isFork) bus.invoke({ ...call }, receive);
            else
              bus.invoke(
                { ...call },
                { ...(timeout ? { timeout } : {}), ...(signal ? { signal } : {}) },
                receive,
              );
          }),
        close: () => (isFork ? bus.connection.end() : bus.close()),
      };
    },
  };
}

/** @type {Record<string, () => Promise<Adapter>>} */
export const ADAPTERS = {
  async secretbus() {
    const library = await WIRE();
    return {
      name: 'secretbus',
      library,
      missing: MISSING,
      variant: (signature, value) => new library.Variant(signature, value),
      dict: (entries) => new Map(entries),
      plain: (value) => value,
      async open(address, { timeoutMs, authMethods, ...options } = {}) {
        const mechanisms = authMethods?.map((/** @type {string} */ method) => {
          const name = method;
          if (name === 'DBUS_COOKIE_SHA1') return library.cookieMechanism();
          return { name };
        });
        const bus = await library.openBus(address, {
          ...(mechanisms === undefined ? {} : { mechanisms }),
          ...(timeoutMs === undefined ? {} : { connectTimeoutMs: timeoutMs, callTimeoutMs: timeoutMs }),
          ...options,
        });
        return {
          bus,
          failed: new Promise(() => {}),
          uniqueName: async () => bus.uniqueName,
          call: (call, { timeoutMs: limit, signal } = {}) => bus.call({ ...call, timeoutMs: limit, signal }),
          close: () => bus.close(),
        };
      },
    };
  },
  'dbus-native': () => native('dbus-native', { variants: 'wrap' }),
  async 'dbus-next'() {
    const library = createRequire(import.meta.url)('dbus-next');
    const { sessionBus, Message, Variant } = library;
    return {
      name: 'dbus-next',
      library,
      missing: MISSING,
      variant: (signature, value) => new Variant(signature, value),
      dict: (entries) => Object.fromEntries(entries),
      plain: (value) => value,
      async open(address, { authMethods, negotiateUnixFd } = {}) {
        const bus = sessionBus({ busAddress: address, authMethods, negotiateUnixFd });
        return {
          bus,
          failed: firstError(bus),
          uniqueName: async () => {
            if (bus.name === null)
              await new Promise((resolve) => bus.on('connect', () => resolve(undefined)));
            return bus.name;
          },
          call: async (call) => (await bus.call(new Message(call))).body,
          close: () => bus.disconnect(),
        };
      },
    };
  },
  '@homebridge/dbus-native': () => native('@homebridge/dbus-native', { ReturnLongjs: true }),
};
