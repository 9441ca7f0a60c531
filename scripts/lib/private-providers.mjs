/**
 * A KeePassXC and a KWallet of one's own, in temporary folders, as Secret Services on a private bus. They
 * need no person: their databases are made, opened and locked here. For tests and benchmarks.
 * Nothing but `node:` is imported.
 */
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, makeFolder, PrivateServiceError } from './daemon.mjs';
import { requireProgram } from './programs.mjs';
import { Place, SERVICE_NAME, SERVICE_PATH } from './provider-place.mjs';
import { runTool } from './tool.mjs';

/** @typedef {import('./provider-place.mjs').ProviderOptions} ProviderOptions */
/** @typedef {import('./provider-place.mjs').PrivateProvider} PrivateProvider */

/**
 * The database as XML, for `keepassxc-cli import`. KeePassXC offers the group that the database's own
 * data names, here the root.
 */
const DATABASE_XML = `<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile>
<Meta><DatabaseName>Passwords</DatabaseName><CustomData><Item>
<Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{00000000-0000-0000-0000-000000000001}</Value>
</Item></CustomData></Meta>
<Root><Group><UUID>AAAAAAAAAAAAAAAAAAAAAQ==</UUID><Name>Root</Name></Group></Root>
</KeePassFile>
`;

/**
 * @param {boolean} confirmAccess
 * @param {boolean} unlockBeforeSearch
 */
function keepassxcSettings(confirmAccess, unlockBeforeSearch) {
  return `[General]
ConfigVersion=2
SingleInstance=false
UpdateCheckMessageShown=true
AutoSaveAfterEveryChange=false
AutoSaveOnExit=true
[FdoSecrets]
Enabled=true
ShowNotification=false
ConfirmAccessItem=${confirmAccess}
ConfirmDeleteItem=false
UnlockBeforeSearch=${unlockBeforeSearch}
[GUI]
CheckForUpdates=false
ShowTrayIcon=false
[Browser]
Enabled=false
`;
}

/**
 * Starts a KeePassXC of one's own with one database, open, whose items are the default collection.
 * @param {ProviderOptions & {
 *   confirmAccess?: boolean, unlockBeforeSearch?: boolean, isOpen?: boolean
 * }} options `confirmAccess`: a client that has not made an item has to be let in to it by the person;
 * `unlockBeforeSearch`: a search in a locked database waits for the person to unlock it. Both are what KeePassXC does by
 * itself, and off if not told. `isOpen`: false for a KeePassXC without a collection until `unlock`.
 * @returns {Promise<PrivateProvider>}
 * @throws {MissingProgramError} `missing-program`
 * @throws {PrivateServiceError} `start-failed`, `start-timeout`
 */
export async function startPrivateKeePassXC(options) {
  const { password = randomBytes(18).toString('base64url') } = options;
  const { confirmAccess = false, unlockBeforeSearch = false, isOpen = true } = options;
  const program = requireProgram('keepassxc');
  const tool = requireProgram('keepassxc-cli');
  const place = await Place.prepare(options);
  try {
    const { directory } = place;
    const database = join(directory, 'passwords.kdbx');
    const xml = join(directory, 'database.xml');
    const settings = join(directory, 'keepassxc.ini');
    writeFileSync(xml, DATABASE_XML, { mode: 0o600 });
    writeFileSync(settings, keepassxcSettings(confirmAccess, unlockBeforeSearch), { mode: 0o600 });
    // The shortest time there is for deriving the key: it is taken at each start, saving and unlocking.
    const made = ['import', '--set-password', '--decryption-time', '100', xml, database];
    const input = `${password}\n${password}\n`;
    const { status, errors } = await runTool(tool, made, { env: place.env, input, timeoutMs: 60_000 });
    if (status !== 0) throw new PrivateServiceError('start-failed', `${tool} failed`, errors.trim());
    const parameters = ['--config', settings, '--localconfig', join(directory, 'local.ini')];
    const collectionPath = `${SERVICE_PATH}/collection/passwords`;
    const becomes = (/** @type {boolean} */ locked) =>
      place.until(async () => (await place.isLocked(collectionPath)) === locked);
    const window = {
      destination: 'org.keepassxc.KeePassXC.MainWindow',
      path: '/keepassxc',
      interface: 'org.keepassxc.KeePassXC.MainWindow',
      replySignature: '',
    };
    const open = { ...window, member: 'openDatabase', signature: 'ss', body: [database, password] };
    const start = async () => {
      await place.start(program, [...parameters, '--pw-stdin', database], `${password}\n`);
      // The collection is there, and locked, before the database is.
      await becomes(false);
    };
    if (isOpen) {
      await start();
    } else {
      await place.start(program, parameters);
      await place.until(() => place.isOwned());
    }
    return place.provider({
      password,
      collectionPath,
      lock: async () => {
        await place.call({ ...window, member: 'lockAllDatabases' });
        await becomes(true);
      },
      unlock: async () => {
        await place.call(open);
        await becomes(false);
      },
      restart: start,
    });
  } catch (error) {
    await place.close();
    throw error;
  }
}

/** No wizard at the first use, no question for each program, and no closing by itself. */
const KWALLET_SETTINGS = `[Wallet]
Enabled=true
First Use=false
Prompt on Open=false
Use One Wallet=true
Launch Manager=false
Leave Open=true
Close When Idle=false
Close on Screensaver=false
Default Wallet=kdewallet
[org.freedesktop.secrets]
apiEnabled=true
`;

/** How kwalletd makes its key of a password: rounds, and byte lengths of salt and key. */
const KWALLET_ROUNDS = 50_000;
const KWALLET_SALT_BYTE_LENGTH = 56;
const KWALLET_KEY_BYTE_LENGTH = 56;

/**
 * Starts a kwalletd5 of one's own with one wallet, open, as the default collection.
 * @param {ProviderOptions} options a wallet whose password is empty is opened without a dialog at any time.
 * @returns {Promise<PrivateProvider>}
 * @throws {MissingProgramError} `missing-program`
 * @throws {PrivateServiceError} `start-failed`, `start-timeout`
 */
export async function startPrivateKWallet(options) {
  const { password = randomBytes(18).toString('base64url') } = options;
  const program = requireProgram('kwalletd5');
  const place = await Place.prepare(options);
  try {
    const { directory } = place;
    const data = join(directory, 'home/data/kwalletd');
    const salt = randomBytes(KWALLET_SALT_BYTE_LENGTH);
    mkdirSync(data, { mode: 0o700 });
    writeFileSync(join(data, 'kdewallet.salt'), salt, { mode: 0o600 });
    writeFileSync(join(directory, 'home/config/kwalletrc'), KWALLET_SETTINGS, { mode: 0o600 });
    const key = pbkdf2Sync(password, salt, KWALLET_ROUNDS, KWALLET_KEY_BYTE_LENGTH, 'sha512');
    // A wallet that is made while the daemon runs is no collection until the next start.
    const folder = makeFolder();
    const first = new Daemon(program, kwalletParameters(folder), { directory: folder, env: place.env });
    try {
      await first.waitUntil(async () => ((await place.isOwned()) ? true : undefined), place.timeoutMs);
      await openWallet(place, key);
    } finally {
      await first.close();
    }

    const collectionPath = `${SERVICE_PATH}/collection/kdewallet`;
    const unlock = async () => {
      await openWallet(place, key);
      await showPrompt(place, collectionPath);
      await place.until(async () => !(await place.isLocked(collectionPath)));
    };
    const lock = async () => {
      await place.call({ ...WALLETS, member: 'close', signature: 'sb', body: ['kdewallet', true] });
      await place.until(() => place.isLocked(collectionPath));
    };
    const start = async () => {
      await place.start(program, kwalletParameters(directory));
      await place.until(() => place.isOwned());
      await unlock();
    };
    await start();
    return place.provider({
      password,
      collectionPath,
      lock,
      unlock,
      restart: async () => {
        // What was changed in the last seconds is lost when an open wallet's daemon ends.
        await lock();
        await start();
      },
    });
  } catch (error) {
    await place.close();
    throw error;
  }
}

/**
 * @param {string} folder of the daemon, for which its guardian looks in the command line. There is no such file.
 * @returns {string[]}
 */
function kwalletParameters(folder) {
  return ['--desktopfile', join(folder, 'kwalletd')];
}

/** The interface that KDE's own programs use. */
const WALLETS = {
  destination: 'org.kde.kwalletd5',
  path: '/modules/kwalletd5',
  interface: 'org.kde.KWallet',
};

/**
 * Opens the wallet as logging in does, or makes it.
 * @param {Place} place
 * @param {Uint8Array} key
 */
async function openWallet(place, key) {
  await place.call({ ...WALLETS, member: 'pamOpen', signature: 'sayi', body: ['kdewallet', key, 0] });
}

/**
 * Makes the collection of an open wallet unlocked, which takes a prompt, but then no dialog.
 * @param {Place} place
 * @param {string} collectionPath
 */
async function showPrompt(place, collectionPath) {
  const [, promptPath] = await place.call({
    destination: SERVICE_NAME,
    path: SERVICE_PATH,
    interface: 'org.freedesktop.Secret.Service',
    member: 'Unlock',
    signature: 'ao',
    body: [[collectionPath]],
    replySignature: 'aoo',
  });
  if (promptPath === '/') return;
  await place.call({
    destination: SERVICE_NAME,
    path: promptPath,
    interface: 'org.freedesktop.Secret.Prompt',
    member: 'Prompt',
    signature: 's',
    body: [''],
  });
}
