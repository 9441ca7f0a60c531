/**
 * A message bus and a GNOME Keyring of one's own, in temporary folders, that share nothing with the
 * host: no service files, no home folder, no display. For `npm start`, tests and benchmarks.
 * Nothing but `node:` is imported: this also runs when nothing is installed or built.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Daemon, makeFolder } from './daemon.mjs';
import { requireProgram } from './programs.mjs';

const run = promisify(execFile);

/**
 * @typedef {object} PrivateBusFields
 * @property {string} address the D-Bus address that the daemon printed, with its guid.
 * @property {NodeJS.ProcessEnv} env an environment for clients: this bus, and homes inside `directory`.
 * @property {string} directory the temporary folder; it goes with `close()`.
 * @property {number} processId of dbus-daemon.
 * @property {() => Promise<void>} close stops the daemon, waits until it is gone, removes the folder.
 */

/**
 * @typedef {object} PrivateKeyringFields
 * @property {string} address the D-Bus address of the bus it is on.
 * @property {NodeJS.ProcessEnv} env an environment for clients such as secret-tool.
 * @property {string} directory the temporary folder with its keyring files; it goes with `close()`.
 * @property {number} processId of gnome-keyring-daemon.
 * @property {string} password of the login keyring, which is the default collection.
 * @property {() => Promise<void>} close stops the daemon, and the bus if it was started for it.
 */

/** @typedef {PrivateBusFields & AsyncDisposable} PrivateBus disposing is the same as `close()`. */
/** @typedef {PrivateKeyringFields & AsyncDisposable} PrivateKeyring disposing is the same as `close()`. */

/**
 * @param {string} text
 * @returns {string} the text as a D-Bus address value (D-Bus specification, "Server Addresses").
 */
function escapeAddressValue(text) {
  let escaped = '';
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    escaped += /[-0-9A-Za-z_/.\\*]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }
  return escaped;
}

/** @param {string} text */
function escapeXml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

/**
 * The policy and the limits of the session.conf that comes with the reference implementation, without
 * its service folders and includes: nothing is started by a message but what a folder given here says.
 * @param {string} socketPath
 * @param {string | undefined} serviceDirectory
 */
function busConfiguration(socketPath, serviceDirectory) {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${escapeAddressValue(socketPath)}</listen>
  <auth>EXTERNAL</auth>${
    serviceDirectory === undefined ? '' : `\n  <servicedir>${escapeXml(serviceDirectory)}</servicedir>`
  }
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_incoming_unix_fds">250000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_outgoing_unix_fds">250000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="auth_timeout">240000</limit>
  <limit name="pending_fd_timeout">150000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_pending_service_starts">10000</limit>
  <limit name="max_names_per_connection">50000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
`;
}

/**
 * The caller's environment, with every way to the host's session taken out and all homes in `directory`.
 * @param {string} directory
 * @param {string | undefined} address
 * @returns {NodeJS.ProcessEnv}
 */
export function privateEnvironment(directory, address) {
  /** @type {NodeJS.ProcessEnv} */
  const env = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(?:DISPLAY|WAYLAND_|DBUS_|GNOME_|XDG_|SSH_AUTH_SOCK$|GTK_|G_MESSAGES_)/.test(name)) continue;
    env[name] = value;
  }
  env['HOME'] = join(directory, 'home');
  env['XDG_DATA_HOME'] = join(directory, 'home/data');
  env['XDG_CONFIG_HOME'] = join(directory, 'home/config');
  env['XDG_CACHE_HOME'] = join(directory, 'home/cache');
  env['XDG_RUNTIME_DIR'] = join(directory, 'run');
  if (address !== undefined) env['DBUS_SESSION_BUS_ADDRESS'] = address;
  return env;
}

/** Makes the homes that {@link privateEnvironment} names. @param {string} directory */
export function makeHomes(directory) {
  for (const name of ['home', 'home/data', 'home/config', 'home/cache', 'run']) {
    mkdirSync(join(directory, name), { mode: 0o700 });
    // A umask could have taken bits away that the daemon needs.
    chmodSync(join(directory, name), 0o700);
  }
}

/**
 * Starts a dbus-daemon of one's own that listens on one socket in a new temporary folder.
 * @param {{ timeoutMs?: number, socketPath?: string, serviceDirectory?: string }} [options] `timeoutMs`: the time to start
 * in, 10 s if not given; `socketPath`: where to listen, in a folder that is there, so that another can follow at the same
 * place; `serviceDirectory`: a folder with service files, which say how to start who is asked for and is not there.
 * @returns {Promise<PrivateBus>}
 * @throws {MissingProgramError} `missing-program`
 * @throws {PrivateServiceError} `start-failed`, `start-timeout`
 */
export async function startPrivateBus({ timeoutMs = 10_000, socketPath, serviceDirectory } = {}) {
  const program = requireProgram('dbus-daemon');
  const directory = makeFolder();
  /** @type {Daemon | undefined} */
  let daemon;
  try {
    makeHomes(directory);
    const configuration = join(directory, 'bus.conf');
    const text = busConfiguration(socketPath ?? join(directory, 'bus'), serviceDirectory);
    writeFileSync(configuration, text, { mode: 0o600 });
    const started = new Daemon(
      program,
      [`--config-file=${configuration}`, '--nofork', '--nopidfile', '--nosyslog', '--print-address'],
      { directory, env: privateEnvironment(directory, undefined) },
    );
    daemon = started;
    const address = await started.waitUntil(() => /^(unix:\S+)\n/m.exec(started.output)?.[1], timeoutMs);
    const close = () => started.close();
    return {
      address,
      env: privateEnvironment(directory, address),
      directory,
      processId: started.processId,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await daemon?.close();
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Starts a gnome-keyring-daemon of one's own, with an unlocked login keyring as default collection.
 * @param {object} [options]
 * @param {string} [options.password] of the login keyring; random if not given.
 * @param {PrivateBus} [options.bus] where to offer the service; if not given, a private bus is
 * started, and closed with the keyring.
 * @param {string} [options.dataDirectory] a folder of the caller's for the keyring files, so that another
 * daemon can follow with them; it must have the same password.
 * @param {boolean} [options.login] false: no login keyring and so no default collection, where the folder has none.
 * @param {number} [options.timeoutMs] the time that each daemon may take to start, 10 s if not given.
 * @returns {Promise<PrivateKeyring>}
 * @throws {MissingProgramError} `missing-program`
 * @throws {PrivateServiceError} `start-failed`, `start-timeout`
 */
export async function startPrivateKeyring(options = {}) {
  const { password = randomBytes(18).toString('base64url'), timeoutMs = 10_000, login = true } = options;
  const program = requireProgram('gnome-keyring-daemon');
  const dbusSend = requireProgram('dbus-send');
  const bus = options.bus ?? (await startPrivateBus({ timeoutMs }));
  const directory = makeFolder();
  /** @type {Daemon | undefined} */
  let daemon;
  const close = async () => {
    await daemon?.close();
    rmSync(directory, { recursive: true, force: true });
    if (options.bus === undefined) await bus.close();
  };
  try {
    makeHomes(directory);
    const env = privateEnvironment(directory, bus.address);
    if (options.dataDirectory !== undefined) env['XDG_DATA_HOME'] = options.dataDirectory;
    const control = join(directory, 'run/keyring');
    mkdirSync(control, { mode: 0o700 });
    const started = new Daemon(
      program,
      [
        '--foreground',
        ...(login ? ['--unlock'] : []),
        '--components=secrets',
        `--control-directory=${control}`,
      ],
      { directory, env, input: login ? password : '' },
    );
    daemon = started;
    await started.waitUntil(() => isReady(dbusSend, env, bus.address, login), timeoutMs);
    return {
      address: bus.address,
      env,
      directory,
      processId: started.processId,
      password,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * @param {string} dbusSend
 * @param {NodeJS.ProcessEnv} env
 * @param {string} address
 * @param {boolean} needsDefault
 * @returns {Promise<true | undefined>} true once org.freedesktop.secrets is owned and answers, with a
 * default collection if that is needed, which is a little later.
 */
async function isReady(dbusSend, env, address, needsDefault) {
  const start = [`--bus=${address}`, '--print-reply=literal', '--reply-timeout=2000'];
  try {
    const owned = await run(
      dbusSend,
      [
        ...start,
        '--dest=org.freedesktop.DBus',
        '/org/freedesktop/DBus',
        'org.freedesktop.DBus.NameHasOwner',
        'string:org.freedesktop.secrets',
      ],
      { env },
    );
    if (!owned.stdout.includes('true')) return undefined;
    const alias = await run(
      dbusSend,
      [
        ...start,
        '--dest=org.freedesktop.secrets',
        '/org/freedesktop/secrets',
        'org.freedesktop.Secret.Service.ReadAlias',
        'string:default',
      ],
      { env },
    );
    return !needsDefault || alias.stdout.includes('/org/freedesktop/secrets/collection/') ? true : undefined;
  } catch {
    // Not there yet; the caller's deadline ends this.
    return undefined;
  }
}
