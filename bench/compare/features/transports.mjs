/**
 * Addresses and authentication, against a server that speaks no more than is asked for.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bytes } from './frames.mjs';
import { absent, ENVIRONMENT, refused, runTask, succeeded } from './run.mjs';
import { GUID, reply, startServer } from './server.mjs';

const RELAY = fileURLToPath(new URL('relay.mjs', import.meta.url));
const OTHER_GUID = 'f'.repeat(32);

/** @typedef {import('./server.mjs').Script} Script */
/** @typedef {Awaited<ReturnType<typeof startServer>>} Server */

/**
 * @param {string} library @param {Script} script
 * @param {(server: Server) => { address?: string, authMethods?: string[], env?: NodeJS.ProcessEnv }} [how]
 */
async function connected(library, script, how = () => ({})) {
  const server = await startServer({
    call: (call, socket) => reply(socket, call, 'u', new Bytes().u32(7).buffer),
    ...script,
  });
  try {
    const { address = server.address, authMethods, env = ENVIRONMENT } = how(server);
    const outcome = await runTask(library, 'transports/ask', { address, authMethods }, { env });
    return { ...outcome, value: outcome.value === 7 };
  } finally {
    server.close();
  }
}

/** @param {string} feature @param {Script} script @param {Parameters<typeof connected>[2]} [how] @returns {import('./run.mjs').Check} */
function works(feature, script, how) {
  return { feature, run: (library) => connected(library, script, how).then(succeeded) };
}

/**
 * Listens as a program that is not Node: Node 20 fills an abstract name up with NULs, so that its own ends find each other and
 * nobody else.
 */
const ABSTRACT_RELAY = `
import socket, sys, threading
name, path = sys.argv[1:]
server = socket.socket(socket.AF_UNIX)
server.bind("\\0" + name)
server.listen()
print("READY", flush=True)
def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
while True:
    client, _ = server.accept()
    bus = socket.socket(socket.AF_UNIX)
    bus.connect(path)
    for pair in ((client, bus), (bus, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
`;

/** @type {import('./run.mjs').Check} */
const abstract = {
  feature: '`unix:abstract`, of a program in C',
  async run(library) {
    const server = await startServer({
      call: (call, socket) => reply(socket, call, 'u', new Bytes().u32(7).buffer),
    });
    const path = server.address.replace('unix:path=', '');
    const relay = spawn('/usr/bin/python3', ['-c', ABSTRACT_RELAY, `${path}-abstract`, path]);
    try {
      await once(relay.stdout, 'data');
      const outcome = await runTask(library, 'transports/ask', { address: `unix:abstract=${path}-abstract` });
      const needs = /need (Node \d+)/.exec(outcome.text ?? '')?.[1];
      if (needs !== undefined) return { cell: `needs ${needs}`, why: outcome.text };
      return succeeded({ ...outcome, value: outcome.value === 7 });
    } finally {
      relay.kill('SIGKILL');
      server.close();
    }
  },
};

export const TRANSPORTS = {
  title: 'Addresses',
  checks: [
    works('`unix:path`', {}),
    works('a path that needs escapes', {}, ({ address, folder }) => {
      symlinkSync(address.replace('unix:path=', ''), join(folder, 'a b,c'));
      return { address: `unix:path=${folder}/a%20b%2cc` };
    }),
    abstract,
    works('`tcp`', { transport: 'tcp' }),
    works('`nonce-tcp`', { transport: 'nonce-tcp' }),
    works('`unixexec`', {}, ({ address }) => {
      const path = address.replace('unix:path=', '');
      return { address: `unixexec:path=${process.execPath},argv1=${RELAY},argv2=${path}` };
    }),
    works('a list, of which the first is not there', {}, ({ address }) => ({
      address: `unix:path=/nonexistent/bus;${address}`,
    })),
    /** @type {import('./run.mjs').Check} */ ({
      feature: 'another guid than that of the address is refused',
      run: (library) =>
        connected(library, {}, ({ address }) => ({ address: `${address},guid=${OTHER_GUID}` })).then(refused),
    }),
    /** @type {import('./run.mjs').Check} */ ({
      feature: 'Passes file descriptors',
      async run(library) {
        const server = await startServer({});
        try {
          const outcome = await runTask(library, 'transports/descriptors', { address: server.address });
          return outcome.outcome === 'missing' ? absent(library, /UNIX_FD/) : succeeded(outcome);
        } finally {
          server.close();
        }
      },
    }),
    works('the session bus in `XDG_RUNTIME_DIR`', {}, ({ folder }) => {
      const nowhere = { DBUS_SESSION_BUS_ADDRESS: undefined, DISPLAY: undefined };
      return { address: '', env: { ...ENVIRONMENT, ...nowhere, XDG_RUNTIME_DIR: folder } };
    }),
  ],
};

/** @param {string} line */
function externalWithoutIdentity(line) {
  if (line.trim() === 'AUTH EXTERNAL') return 'DATA';
  if (line.startsWith('AUTH')) return 'REJECTED EXTERNAL';
  return line.trim() === 'DATA' ? `OK ${GUID}` : 'ERROR';
}

/** @param {string} line */
function anonymous(line) {
  if (line.startsWith('AUTH ANONYMOUS')) return `OK ${GUID}`;
  return line.startsWith('AUTH') ? 'REJECTED ANONYMOUS' : 'ERROR';
}

const COOKIE = '0123456789abcdef'.repeat(3);
const CHALLENGE = 'c'.repeat(32);

/** @param {string} text */
const hex = (text) => Buffer.from(text).toString('hex');

/** @param {string} line */
function cookie(line) {
  if (line.startsWith('AUTH DBUS_COOKIE_SHA1'))
    return `DATA ${hex(`org_freedesktop_general 42 ${CHALLENGE}`)}`;
  if (line.startsWith('AUTH')) return 'REJECTED DBUS_COOKIE_SHA1';
  const [challenge, answer] = Buffer.from(line.slice('DATA '.length), 'hex').toString().split(' ');
  const wanted = createHash('sha1').update(`${CHALLENGE}:${challenge}:${COOKIE}`).digest('hex');
  return answer === wanted ? `OK ${GUID}` : 'REJECTED DBUS_COOKIE_SHA1';
}

/** @type {import('./run.mjs').Check} */
const cookies = {
  feature: 'DBUS_COOKIE_SHA1',
  async run(library) {
    const home = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
    mkdirSync(join(home, '.dbus-keyrings'), { mode: 0o700 });
    const file = join(home, '.dbus-keyrings/org_freedesktop_general');
    writeFileSync(`${file}.new`, `42 ${Math.floor(Date.now() / 1000)} ${COOKIE}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    try {
      const env = { ...ENVIRONMENT, HOME: home };
      const how = () => ({ authMethods: ['DBUS_COOKIE_SHA1'], env });
      return succeeded(await connected(library, { authenticate: cookie }, how));
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  },
};

export const AUTHENTICATION = {
  title: 'Authentication',
  checks: [
    works('EXTERNAL', {}),
    works('EXTERNAL without a uid, as from another user namespace', {
      authenticate: externalWithoutIdentity,
    }),
    works('ANONYMOUS', { authenticate: anonymous }, () => ({ authMethods: ['ANONYMOUS'] })),
    cookies,
  ],
};
