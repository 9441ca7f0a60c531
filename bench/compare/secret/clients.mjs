/**
 * The JavaScript libraries as clients of the Secret Service, each in its own ways, behind one interface.
 */
import { createRequire } from 'node:module';
import { labelOf } from './fixtures.mjs';

/** Of packages whose types are not there where the benchmarks have not run. @type {(name: string) => any} */
const load = createRequire(import.meta.url);

/** A library that gives secrets alone leaves out the others. @typedef {{ account?: string | undefined, label?: string | undefined, secret: string }} Found */
/** @typedef {Readonly<Record<string, string>>} Attributes */

/**
 * What a library can; every process closes with its client, so that none has to be closed.
 * @typedef {object} Client
 * @property {(service: string, account: string) => Promise<string | null | undefined> | string | null} [get]
 * @property {(service: string, account: string, secret: string) => unknown} [set]
 * @property {(service: string) => Promise<readonly Found[]>} [find] the secrets of a service, with the account of each
 * @property {(service: string) => Promise<readonly Found[]>} [read] with the label, too
 * @property {(attributes: Attributes, secret: string) => unknown} [store] under attributes of the caller's choice
 * @property {(attributes: Attributes) => Promise<string | undefined>} [lookup] by such attributes
 */

async function connectSecretbus() {
  const entry = new URL('../../../dist/secret/index.js', import.meta.url).href;
  const { SecretService } = /** @type {typeof import('secretbus/secret')} */ (await import(entry));
  return await SecretService.connect();
}

/** @param {(service: string) => Promise<readonly { account: string, password: string }[]>} findCredentials @returns {NonNullable<Client['find']>} */
function finder(findCredentials) {
  return async (service) =>
    (await findCredentials(service)).map(({ account, password }) => ({ account, secret: password }));
}

/** Loads a library and gives its client. @type {Record<string, () => Promise<Client>>} */
export const CLIENTS = {
  async secretbus() {
    const service = await connectSecretbus();
    /** @param {Attributes} attributes */
    const lookup = async (attributes) => (await service.lookup(attributes))?.text();
    /** @param {string} name @param {boolean} labels */
    const findAll = async (name, labels) =>
      (await service.findAll({ service: name }, { labels })).map(({ label, attributes, secret }) => ({
        account: attributes.get('account'),
        label,
        secret: secret.text(),
      }));
    return {
      lookup,
      store: (attributes, secret) => service.set(attributes, secret, { label: labelOf(attributes) }),
      get: (name, account) => lookup({ service: name, account }),
      set: (name, account, secret) => service.set({ service: name, account }, secret),
      find: (name) => findAll(name, false),
      read: (name) => findAll(name, true),
    };
  },
  /** One search and one batch: what a program needs that knows its items, or does not care which is which. */
  async 'secretbus, secrets alone'() {
    const service = await connectSecretbus();
    /** @param {string} name */
    const find = async (name) => {
      const { unlocked } = await service.search({ service: name });
      const secrets = await service.getSecrets(unlocked);
      return Array.from(secrets.values(), (secret) => ({ secret: secret.text() }));
    };
    return { find, read: find };
  },
  async keytar() {
    const keytar = load('keytar');
    return { get: keytar.getPassword, set: keytar.setPassword, find: finder(keytar.findCredentials) };
  },
  /** By its functions, which are keytar's. */
  async '@napi-rs/keyring'() {
    const keyring = load('@napi-rs/keyring/keytar');
    return { get: keyring.getPassword, set: keyring.setPassword, find: finder(keyring.findCredentials) };
  },
  /** By an entry that is kept for each account, with a connection and a session each: its fastest way to read one again. */
  async '@napi-rs/keyring, entries kept'() {
    const { AsyncEntry } = load('@napi-rs/keyring');
    /** @type {Map<string, any>} */
    const entries = new Map();
    /** @param {string} service @param {string} account */
    const entryOf = (service, account) => {
      const key = JSON.stringify([service, account]);
      const entry = entries.get(key) ?? new AsyncEntry(service, account);
      entries.set(key, entry);
      return entry;
    };
    return {
      get: (service, account) => entryOf(service, account).getPassword(),
      set: (service, account, secret) => entryOf(service, account).setPassword(secret),
    };
  },
  /** An empty program, for what Node itself takes. */
  async nothing() {
    return {};
  },
};
