/**
 * Where a Secret Service of one's own runs: a private bus, a temporary folder with its homes, the daemon in
 * it, and the calls by which one sees how it is. For `private-providers.mjs`.
 *
 * Nothing but `node:` is imported. What calls the services is handed in, for passwords must not be on the
 * command line of `dbus-send`.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, makeFolder, PrivateServiceError } from './daemon.mjs';
import { makeHomes, privateEnvironment, startPrivateBus } from './private-services.mjs';

/** @typedef {import('secretbus/wire').Bus} Bus */
/** @typedef {import('./private-services.mjs').PrivateBus} PrivateBus */
/** @typedef {import('./private-display.mjs').PrivateDisplay} PrivateDisplay */
/**
 * @typedef {object} ProviderOptions
 * @property {(address: string) => Promise<Bus>} openBus `openBus` of `secretbus/wire`.
 * @property {string} [password] of the database; random if not given.
 * @property {PrivateBus} [bus] where to offer the service; if not given, a private bus is started, and closed
 * with the service.
 * @property {PrivateDisplay} [display] where its dialogs are shown; if not given, nobody can answer them.
 * @property {number} [timeoutMs] the time that each step of the start may take, 15 s if not given.
 */
/**
 * @typedef {object} PrivateProviderFields
 * @property {string} address the D-Bus address of the bus it is on.
 * @property {NodeJS.ProcessEnv} env an environment for clients: this bus, and homes inside `directory`.
 * @property {string} directory the temporary folder with its database; it goes with `close()`.
 * @property {number} processId of the service, another one after `restart`.
 * @property {string} password of its database.
 * @property {string} collectionPath of the default collection.
 * @property {() => Promise<void>} lock locks the default collection, as its owner does at the screen.
 * @property {() => Promise<void>} unlock opens it again, without a dialog.
 * @property {() => Promise<void>} restart ends the service in order and starts it again with its database, which
 * is open when it resolves.
 * @property {() => Promise<void>} close stops the service, and the bus if it was started for it.
 */
/** @typedef {PrivateProviderFields & AsyncDisposable} PrivateProvider disposing is the same as `close()`. */

export const SERVICE_NAME = 'org.freedesktop.secrets';
export const SERVICE_PATH = '/org/freedesktop/secrets';
const DEFAULT_TIMEOUT_MS = 15_000;

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv} the same without what the host's desktop tells its programs.
 */
function withoutDesktop(env) {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(?:QT_|KDE_|SESSION_MANAGER$)/.test(name)),
  );
}

/** Where a service runs: a bus that is there or that goes with it, and a folder with its homes. */
export class Place {
  /** @type {PrivateBus} */
  #bus;
  #ownsBus;
  /** @type {Bus} */
  #control;
  /** @type {string} */
  directory;
  /** @type {number} */
  timeoutMs;
  /** @type {NodeJS.ProcessEnv} */
  env;
  /**
   * The daemons that ran here, the last of which runs. Each takes the folder with it when it is closed.
   * @type {Daemon[]}
   */
  #daemons = [];

  /**
   * @param {PrivateBus} bus
   * @param {Bus} control
   * @param {ProviderOptions} options
   */
  constructor(bus, control, options) {
    this.#bus = bus;
    this.#ownsBus = options.bus === undefined;
    this.#control = control;
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const directory = makeFolder();
    this.directory = directory;
    makeHomes(directory);
    this.env = {
      ...withoutDesktop(privateEnvironment(directory, bus.address)),
      // KeePassXC puts a lock and a socket there, which are the same for all.
      TMPDIR: join(directory, 'run'),
      LC_ALL: 'C.UTF-8',
      // A dialog without a display is drawn nowhere, and waits.
      ...(options.display?.env ?? { QT_QPA_PLATFORM: 'offscreen' }),
    };
  }

  /**
   * @param {ProviderOptions} options
   * @returns {Promise<Place>}
   */
  static async prepare(options) {
    const bus = options.bus ?? (await startPrivateBus());
    try {
      return new Place(bus, await options.openBus(bus.address), options);
    } catch (error) {
      if (options.bus === undefined) await bus.close();
      throw error;
    }
  }

  /** Calls a method and gives what it answers. @type {Bus['call']} */
  get call() {
    return this.#control.call.bind(this.#control);
  }

  /**
   * Starts the service, after the one that may run here has ended.
   * @param {string} program
   * @param {readonly string[]} parameters
   * @param {string} [input]
   */
  async start(program, parameters, input = '') {
    const before = this.#daemons.at(-1);
    if (before !== undefined) {
      process.kill(before.processId, 'SIGTERM');
      const deadline = performance.now() + this.timeoutMs;
      while (await this.isOwned()) {
        if (performance.now() > deadline) {
          throw new PrivateServiceError('start-timeout', 'the service before does not end', before.output);
        }
        await sleep(5);
      }
    }
    this.#daemons.push(new Daemon(program, parameters, { directory: this.directory, env: this.env, input }));
  }

  /**
   * Waits until something is so.
   * @param {() => Promise<boolean>} condition what it throws means that it is not so.
   */
  async until(condition) {
    const daemon = this.#daemons.at(-1);
    if (daemon === undefined) throw new Error('nothing was started');
    await daemon.waitUntil(async () => {
      try {
        return (await condition()) ? true : undefined;
      } catch {
        // Not there yet; the deadline ends this.
        return undefined;
      }
    }, this.timeoutMs);
  }

  /** @returns {Promise<boolean>} whether somebody offers the Secret Service. */
  async isOwned() {
    const [isOwned] = await this.call({
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus',
      member: 'NameHasOwner',
      signature: 's',
      body: [SERVICE_NAME],
      replySignature: 'b',
    });
    return isOwned;
  }

  /**
   * @param {string} path of a collection.
   * @returns {Promise<boolean>} whether it is locked.
   */
  async isLocked(path) {
    const [locked] = await this.call({
      destination: SERVICE_NAME,
      path,
      interface: 'org.freedesktop.DBus.Properties',
      member: 'Get',
      signature: 'ss',
      body: ['org.freedesktop.Secret.Collection', 'Locked'],
      replySignature: 'v',
    });
    return locked.value === true;
  }

  async close() {
    for (const daemon of this.#daemons.toReversed()) await daemon.close();
    rmSync(this.directory, { recursive: true, force: true });
    await this.#control.close();
    if (this.#ownsBus) await this.#bus.close();
  }

  /**
   * @param {Pick<PrivateProvider, 'password' | 'collectionPath' | 'lock' | 'unlock' | 'restart'>} fields
   * @returns {PrivateProvider}
   */
  provider(fields) {
    const close = () => this.close();
    const processId = () => this.#daemons.at(-1)?.processId ?? 0;
    return {
      ...fields,
      address: this.#bus.address,
      env: this.env,
      directory: this.directory,
      get processId() {
        return processId();
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }
}
