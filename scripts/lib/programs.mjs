/**
 * Which outside programs the scripts and tests use, where they are, and what to install when one is
 * missing. Nothing but `node:` is imported: this runs before anything is installed.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** @typedef {'debian' | 'fedora' | 'arch' | 'alpine'} Distribution */
/** @typedef {{ readonly purpose: string, readonly packages: Readonly<Record<Distribution, readonly string[]>> }} ProgramHint */

/** Programs by the name they are run by, with the packages that hold them. */
export const PROGRAMS = /** @type {const} */ ({
  'dbus-daemon': {
    purpose: 'a private message bus',
    packages: { debian: ['dbus'], fedora: ['dbus-daemon'], arch: ['dbus'], alpine: ['dbus'] },
  },
  'dbus-send': {
    purpose: 'asking that bus who is on it',
    packages: { debian: ['dbus'], fedora: ['dbus-tools'], arch: ['dbus'], alpine: ['dbus'] },
  },
  'gnome-keyring-daemon': {
    purpose: 'a private Secret Service',
    packages: {
      debian: ['gnome-keyring'],
      fedora: ['gnome-keyring'],
      arch: ['gnome-keyring'],
      alpine: ['gnome-keyring'],
    },
  },
  'secret-tool': {
    purpose: 'checking the Secret Service client against libsecret',
    packages: {
      debian: ['libsecret-tools'],
      fedora: ['libsecret'],
      arch: ['libsecret'],
      alpine: ['libsecret'],
    },
  },
  'dbus-broker-launch': {
    purpose: 'a message bus of another make',
    packages: {
      debian: ['dbus-broker'],
      fedora: ['dbus-broker'],
      arch: ['dbus-broker'],
      alpine: ['dbus-broker'],
    },
  },
  busctl: {
    purpose: 'calling and inspecting services of ours',
    packages: { debian: ['systemd'], fedora: ['systemd'], arch: ['systemd'], alpine: ['elogind'] },
  },
  gdbus: {
    purpose: 'calling and inspecting services of ours',
    packages: { debian: ['libglib2.0-bin'], fedora: ['glib2'], arch: ['glib2'], alpine: ['glib'] },
  },
  tshark: {
    purpose: 'reading recordings of messages',
    packages: {
      debian: ['tshark'],
      fedora: ['wireshark-cli'],
      arch: ['wireshark-cli'],
      alpine: ['tshark'],
    },
  },
  keepassxc: {
    purpose: 'a private Secret Service of KeePassXC',
    packages: { debian: ['keepassxc'], fedora: ['keepassxc'], arch: ['keepassxc'], alpine: ['keepassxc'] },
  },
  'keepassxc-cli': {
    purpose: 'making a database for KeePassXC',
    packages: { debian: ['keepassxc'], fedora: ['keepassxc'], arch: ['keepassxc'], alpine: ['keepassxc'] },
  },
  kwalletd5: {
    purpose: 'a private Secret Service of KWallet',
    packages: {
      // QCA's plugin for OpenSSL is what the encrypted session needs; it comes by itself elsewhere.
      debian: ['libkf5wallet-bin', 'libqca-qt5-2-plugins'],
      fedora: ['kf5-kwallet', 'qca-qt5-ossl'],
      arch: ['kwallet5', 'qca-qt5'],
      alpine: ['kwallet5', 'qca-qt5'],
    },
  },
  Xvfb: {
    purpose: 'a display for the dialogs of those services',
    packages: {
      debian: ['xvfb'],
      fedora: ['xorg-x11-server-Xvfb'],
      arch: ['xorg-server-xvfb'],
      alpine: ['xvfb'],
    },
  },
  xdotool: {
    purpose: 'answering those dialogs',
    packages: { debian: ['xdotool'], fedora: ['xdotool'], arch: ['xdotool'], alpine: ['xdotool'] },
  },
});

/** @typedef {keyof typeof PROGRAMS} ProgramName */

/**
 * What `npm run test:providers` uses beside a bus.
 * @type {readonly ProgramName[]}
 */
export const PROVIDER_PROGRAMS = ['keepassxc', 'keepassxc-cli', 'kwalletd5', 'Xvfb', 'xdotool'];

/**
 * What `npm test` uses: all but the services that come with a graphical desktop.
 * @type {readonly ProgramName[]}
 */
export const TEST_PROGRAMS = /** @type {ProgramName[]} */ (Object.keys(PROGRAMS)).filter(
  (name) => !PROVIDER_PROGRAMS.includes(name),
);

/** What tests use through Python as an independent implementation; `code` fails where it is missing. */
export const PYTHON_LIBRARIES = /** @type {const} */ ({
  PyNaCl: {
    code: 'import nacl.secret',
    purpose: 'checking the sstash format',
    packages: {
      debian: ['python3', 'python3-nacl'],
      fedora: ['python3', 'python3-pynacl'],
      arch: ['python', 'python-pynacl'],
      alpine: ['python3', 'py3-pynacl'],
    },
  },
  libdbus: {
    code: 'import ctypes; ctypes.CDLL("libdbus-1.so.3")',
    purpose: 'checking which messages are valid',
    packages: {
      debian: ['python3', 'libdbus-1-3'],
      fedora: ['python3', 'dbus-libs'],
      arch: ['python', 'dbus'],
      alpine: ['python3', 'dbus-libs'],
    },
  },
  GLib: {
    code: 'from gi.repository import Gio',
    purpose: 'checking messages, introspection data and objects',
    packages: {
      debian: ['python3-gi', 'gir1.2-glib-2.0'],
      fedora: ['python3-gobject'],
      arch: ['python-gobject'],
      alpine: ['py3-gobject3'],
    },
  },
  jeepney: {
    code: 'import jeepney',
    purpose: 'calling services of ours',
    packages: {
      debian: ['python3-jeepney'],
      fedora: ['python3-jeepney'],
      arch: ['python-jeepney'],
      alpine: ['py3-jeepney'],
    },
  },
  SecretStorage: {
    code: 'import secretstorage',
    purpose: 'checking the Secret Service client against SecretStorage',
    packages: {
      debian: ['python3-secretstorage'],
      fedora: ['python3-secretstorage'],
      arch: ['python-secretstorage'],
      alpine: ['py3-secretstorage'],
    },
  },
  libsecret: {
    code: 'import gi; gi.require_version("Secret", "1"); from gi.repository import Secret',
    purpose: 'checking the Secret Service client against libsecret',
    packages: {
      debian: ['python3-gi', 'gir1.2-secret-1'],
      fedora: ['python3-gobject', 'libsecret'],
      arch: ['python-gobject', 'libsecret'],
      alpine: ['py3-gobject3', 'libsecret'],
    },
  },
});

/** @typedef {keyof typeof PYTHON_LIBRARIES} PythonLibrary */

/** A Python of one's own may come first on PATH and not see what the system has installed. */
export const PYTHONS = ['python3', '/usr/bin/python3'];

/** @type {Readonly<Record<Distribution, string>>} */
const INSTALL_COMMANDS = {
  debian: 'apt-get install',
  fedora: 'dnf install',
  arch: 'pacman -S',
  alpine: 'apk add',
};

/**
 * Says what to install for the given programs, one line a distribution.
 * @param {readonly ProgramHint[]} hints
 * @returns {string}
 */
export function installationAdvice(hints) {
  const distributions = /** @type {Distribution[]} */ (Object.keys(INSTALL_COMMANDS));
  return distributions
    .map((distribution) => {
      const packages = new Set(hints.flatMap((hint) => hint.packages[distribution]));
      const name = distribution[0]?.toUpperCase() + distribution.slice(1);
      return `  ${`${name}:`.padEnd(8)} ${INSTALL_COMMANDS[distribution]} ${[...packages].join(' ')}`;
    })
    .join('\n');
}

/** A program that is needed is not installed; `packages` names what holds it, by distribution. */
export class MissingProgramError extends Error {
  /** @param {ProgramName} program */
  constructor(program) {
    const hint = PROGRAMS[program];
    super(
      `${program} is not installed (needed for ${hint.purpose}); install it with\n${installationAdvice([hint])}`,
    );
    this.name = 'MissingProgramError';
    /** @readonly */
    this.code = 'missing-program';
    /** @readonly */
    this.program = program;
    /** @readonly */
    this.packages = hint.packages;
  }
}

/**
 * Finds a program on PATH, or in the folders where daemons are kept that PATH often leaves out.
 * @param {string} name
 * @returns {string | undefined} its absolute path.
 */
export function findProgram(name) {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, '/usr/bin', '/usr/local/bin', '/usr/sbin', '/sbin']) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not here; the next folder may have it.
    }
  }
  return undefined;
}

/**
 * @param {ProgramName} program
 * @returns {string} its absolute path.
 * @throws {MissingProgramError}
 */
export function requireProgram(program) {
  const path = findProgram(program);
  if (path === undefined) throw new MissingProgramError(program);
  return path;
}
