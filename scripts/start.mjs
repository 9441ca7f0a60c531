/**
 * `npm start`: installs what is missing, builds, and shows the main job: a secret stored in a real Secret
 * Service and read back, then one in a stash file. Exit status 0 only if all was as it should be.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { report, runSecretService, runStash } from './lib/main-job.mjs';
import { startPrivateKeyring } from './lib/private-services.mjs';
import { ROOT, runMain, ScriptError } from './lib/run.mjs';
import { assertNodeVersion, ensureBuild, ensureNodePackages, ensurePrograms } from './lib/setup.mjs';

const HELP = `Usage: npm start [-- --private]

Stores a random secret in the Secret Service of this session, finds it, reads it back,
compares and deletes it; then the same with a stash file in a temporary folder.

Where this session has no Secret Service that is ready, a private dbus-daemon and
gnome-keyring-daemon are started in temporary folders. Nothing is left behind.

  --private  use private daemons in any case
  --help     show this
`;

/** Exit statuses: of a wrong parameter, and of an end by Ctrl-C. */
const BAD_USAGE = 2;
const INTERRUPTED = 130;

/**
 * A signal that comes this long after the first one ends the process at once. One Ctrl-C can give several:
 * the terminal sends one, and npm passes on its own.
 */
const IMPATIENCE_MS = 500;

/** @returns {string} where the session bus is, in words. */
function sessionAddress() {
  const { DBUS_SESSION_BUS_ADDRESS: address, XDG_RUNTIME_DIR: folder } = process.env;
  return `${address || `unix:path=${folder}/bus`} (of this session)`;
}

/**
 * Shows the main job with the Secret Service of one bus, if it can be used without asking anybody.
 * @param {string | undefined} address undefined for the session bus.
 * @param {string | undefined} why it is a private bus.
 * @param {AbortSignal} signal
 * @returns {Promise<string | undefined>} undefined when all was shown, else why it cannot be.
 */
async function tryService(address, why, signal) {
  const { SecretService, SecretServiceError } = await import('secretbus/secret');
  /** @type {import('secretbus/secret').SecretService | undefined} */
  let service;
  try {
    service = await SecretService.connect({ address, signal });
    const collection = await service.defaultCollection({ signal });
    if (await collection.locked({ signal })) return 'the default collection of this session is locked';
    report('bus', (address ?? sessionAddress()).replace(/,guid=.*/, ''));
    if (why !== undefined) report('', `private: ${why}`);
    await runSecretService(service, address, signal);
    return undefined;
  } catch (error) {
    if (error instanceof SecretServiceError) {
      if (error.code === 'not-available') return 'this session has no Secret Service';
      if (error.code === 'no-default-collection') return 'this Secret Service has no default collection';
      if (error.code === 'prompt-required') return 'this Secret Service wants to ask its user first';
    }
    // An address that is none, or a bus that hangs or talks nonsense: whose fault it is, there is a private one to show.
    if (service === undefined && error instanceof Error && !signal.aborted) {
      return `the bus of this session cannot be used (${error.message})`;
    }
    throw error;
  } finally {
    await service?.close();
  }
}

/**
 * Shows the main job with the session's Secret Service, or with a private one.
 * @param {boolean} onlyPrivate
 * @param {AbortSignal} signal
 */
async function showSecretService(onlyPrivate, signal) {
  const why = onlyPrivate ? 'as asked for' : await tryService(undefined, undefined, signal);
  if (why === undefined) return;
  const missing = await ensurePrograms(['dbus-daemon', 'dbus-send', 'gnome-keyring-daemon']);
  if (missing !== undefined) {
    throw new ScriptError(`No Secret Service can be shown: ${why}, and no private one started.\n${missing}`);
  }
  const keyring = await startPrivateKeyring();
  try {
    signal.throwIfAborted();
    const problem = await tryService(keyring.address, why, signal);
    if (problem !== undefined) throw new ScriptError(`The private Secret Service failed: ${problem}.`);
  } finally {
    await keyring.close();
  }
}

await runMain(async () => {
  const parameters = process.argv.slice(2);
  if (parameters.includes('--help') || parameters.includes('-h')) {
    process.stdout.write(HELP);
    return 0;
  }
  const unknown = parameters.find((parameter) => parameter !== '--private');
  if (unknown !== undefined) {
    process.stderr.write(`Unknown parameter ${unknown}\n\n${HELP}`);
    return BAD_USAGE;
  }
  assertNodeVersion();
  await ensureNodePackages();
  await ensureBuild();

  // Whoever reads the report may stop reading; the work is still ended in order.
  process.stdout.on('error', () => {});
  const stop = new AbortController();
  let stoppedAt = 0;
  const onSignal = () => {
    if (!stop.signal.aborted) {
      stoppedAt = performance.now();
      stop.abort(new ScriptError('Interrupted; nothing is left behind.'));
    } else if (performance.now() - stoppedAt > IMPATIENCE_MS) {
      process.exit(INTERRUPTED);
    }
  };
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(name, onSignal);
  try {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    process.stdout.write(`secretbus ${version} on Node ${process.versions.node}\n\nSecret Service\n`);
    await showSecretService(parameters.includes('--private'), stop.signal);
    stop.signal.throwIfAborted();
    process.stdout.write('\nStash file\n');
    await runStash(stop.signal);
    process.stdout.write('\nAll was as it should be.\n');
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.stderr.write(`\n${stop.signal.reason.message}\n`);
    return INTERRUPTED;
  }
});
