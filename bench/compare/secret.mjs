/**
 * Secrets in a GNOME Keyring: secretbus, the addons keytar and @napi-rs/keyring, and SecretStorage of Python.
 *
 * Each client is a process of its own on one private bus, measured as `peers.mjs` says, in several generations of processes.
 * Before anything is measured, each reads what the others have written.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { findProgram } from '../../scripts/lib/programs.mjs';
import { ensureKeytar } from './addons.mjs';
import { fastest, judgeRatios, measureRounds, OURS, Running, ratiosTo, tableOf, toJson } from './peers.mjs';
import { accountOf, attributesForAll, secretOf } from './secret/fixtures.mjs';
import { findSecretStorage } from './secret/secretstorage.mjs';
import { formatBytes, median } from './statistics.mjs';

const GENERATIONS = 3;
const ROUNDS = 5;
/** Long enough for a connection to each account, by the client that opens one, which takes it about a second. */
const WARM_UP_MS = 1500;
const ITEMS = 200;
const SERVICE = 'com.example.bench';
const NODE_CHILD = fileURLToPath(new URL('secret-child.mjs', import.meta.url));
const PYTHON_CHILD = fileURLToPath(new URL('secret/secretstorage_child.py', import.meta.url));
const SECRETS_ALONE = `${OURS}, secrets alone`;
const KEYTAR = 'keytar';
const NAPI = '@napi-rs/keyring';
const NAPI_KEPT = `${NAPI}, entries kept`;
const SECRET_STORAGE = 'SecretStorage';
const SECRET_STORAGE_SESSION = `${SECRET_STORAGE}, one session`;
const NODE_ITSELF = 'nothing';
/** Those that are given a service and an account in each call, as a program asks that has many. */
const BY_ACCOUNT = [KEYTAR, NAPI, SECRET_STORAGE, SECRET_STORAGE_SESSION];

const GET = { command: 'get 1', title: 'Get a secret by service and account, one at a time' };
const GET_MANY = { command: 'get 64', title: 'Get a secret by service and account, 64 at a time' };
const SET = { command: 'set', title: 'Set a secret that is there, one at a time' };
const FIND = { command: 'find', title: `Find ${ITEMS} secrets of a service, with the account of each` };
const READ = {
  command: 'read',
  title: `Search ${ITEMS} items and read label, attributes and secret of each`,
};
const COMMANDS = [GET, GET_MANY, SET, FIND, READ];
const EACH = [GET.command, GET_MANY.command, SET.command];

/** @typedef {import('./peers.mjs').Measured} Measured */
/** `names`: the attribute that it keeps the account in, or any that it is told. @typedef {import('./peers.mjs').Peer & { names?: 'account' | 'username' | 'any' }} Client */

/** The command line of a client in JavaScript. @param {string} library */
function node(library) {
  return [process.execPath, NODE_CHILD, library, SERVICE, String(ITEMS)];
}

/** @param {ReturnType<typeof findSecretStorage>} python @returns {Promise<Client[]>} */
async function findClients(python) {
  /** @type {Client[]} */
  const clients = [
    { name: OURS, argv: node(OURS), names: 'any' },
    { name: SECRETS_ALONE, argv: node(SECRETS_ALONE), only: [FIND.command, READ.command] },
  ];
  if (await ensureKeytar()) {
    clients.push({ name: KEYTAR, argv: node(KEYTAR), names: 'account', only: [...EACH, FIND.command] });
  }
  clients.push(
    // A connection for each call ends GNOME Keyring 42.1 now and then, and all measuring with it.
    { name: NAPI, argv: node(NAPI), names: 'username', only: [FIND.command] },
    { name: NAPI_KEPT, argv: node(NAPI_KEPT), names: 'username', only: EACH },
  );
  if (python !== undefined) {
    /** @param {string} way */
    const child = (way) => [python.program, PYTHON_CHILD, way, SERVICE, String(ITEMS)];
    clients.push(
      { name: SECRET_STORAGE, argv: child('search_items'), names: 'any' },
      { name: SECRET_STORAGE_SESSION, argv: child('collection'), names: 'any' },
    );
  }
  clients.push({ name: NODE_ITSELF, argv: node(NODE_ITSELF), only: [] });
  return clients;
}

/**
 * Lets each read what each has written. The two addons keep the account under names of their own, so neither finds what the
 * other wrote; what the others write has both names.
 * @param {readonly { running: Running, names: NonNullable<Client['names']> }[]} clients
 */
async function crossCheck(clients) {
  for (const writer of clients) {
    const service = `${SERVICE}, written by ${writer.running.peer.name}`;
    const account = 'Grüße an alle';
    const secret = `秘密 of ${writer.running.peer.name}`;
    const attributes = writer.names === 'any' ? attributesForAll(service, account) : undefined;
    await writer.running.ask(`write ${JSON.stringify({ service, account, secret, attributes })}`);
    const name = writer.names === 'username' ? 'username' : 'account';
    for (const reader of clients) {
      if (reader.names !== 'any' && writer.names !== 'any' && reader.names !== writer.names) continue;
      const wanted = reader.names === 'any' ? { service, [name]: account } : undefined;
      const answer = await reader.running.ask(
        `look ${JSON.stringify({ service, account, attributes: wanted })}`,
      );
      if (answer.secret !== secret) {
        throw new Error(`${reader.running.peer.name} does not read what ${writer.running.peer.name} wrote`);
      }
    }
  }
}

/** @param {Running} ours */
async function storeItems(ours) {
  for (let index = 0; index < ITEMS; index += 1) {
    const account = accountOf(index);
    const stored = { attributes: attributesForAll(SERVICE, account), secret: secretOf(account) };
    await ours.ask(`write ${JSON.stringify(stored)}`);
  }
}

/** Nanoseconds that all threads of a process have run; NaN where the system does not say. @param {number} processId */
function cpuTimeOf(processId) {
  try {
    const threads = readdirSync(`/proc/${processId}/task`);
    const times = threads.map((thread) =>
      Number.parseInt(readFileSync(`/proc/${processId}/task/${thread}/schedstat`, 'latin1'), 10),
    );
    return times.reduce((sum, time) => sum + time, 0);
  } catch {
    return Number.NaN;
  }
}

/** Bytes of a process that are in memory; NaN where the system does not say. @param {number | undefined} processId */
function residentByteLength(processId) {
  try {
    const status = readFileSync(`/proc/${processId}/status`, 'latin1');
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
  } catch {
    return Number.NaN;
  }
}

/** What is measured, of all generations: figures of each command, and bytes of each process after the run. @typedef {{ all: Measured[], memory: Map<string, number[]> }} Figures */

/**
 * @param {readonly Client[]} clients @param {import('../../scripts/lib/private-services.mjs').PrivateKeyring} keyring
 * @param {number} timeMs @param {Figures} into @param {boolean} isFirst
 */
async function measureGeneration(clients, keyring, timeMs, { all, memory }, isFirst) {
  const running = clients.map((client) => new Running(client, keyring.env));
  try {
    if (isFirst) {
      await crossCheck(
        clients.flatMap(({ names }, index) =>
          names === undefined ? [] : [{ running: /** @type {Running} */ (running[index]), names }],
        ),
      );
      await storeItems(/** @type {Running} */ (running[0]));
    }
    const serviceCpu = () => cpuTimeOf(keyring.processId);
    await measureRounds(running, all, { timeMs, warmUpMs: WARM_UP_MS, rounds: ROUNDS, serviceCpu });
    for (const { peer, child } of running) {
      const own = memory.get(peer.name) ?? [];
      memory.set(peer.name, own);
      own.push(residentByteLength(child.pid));
    }
  } finally {
    await Promise.all(running.map((one) => one.close()));
  }
}

/** @param {Figures['memory']} memory @returns {import('./report.mjs').Table} */
function memoryTable(memory) {
  const bare = median(memory.get(NODE_ITSELF) ?? []);
  const rows = Array.from(memory, ([name, values]) => {
    const own = median(values);
    if (name === NODE_ITSELF) return ['Node itself', formatBytes(own), ''];
    return [name, formatBytes(own), name.startsWith(SECRET_STORAGE) ? '' : formatBytes(own - bare)];
  });
  return {
    title: 'Memory of each process after the run',
    columns: ['', 'resident', 'more than Node itself'],
    rows,
  };
}

/**
 * @param {Measured} measured @param {readonly string[]} theirs of which the one that takes least counts @param {number} atLeast
 * @param {string} [ours]
 */
function judged(measured, theirs, atLeast, ours = OURS) {
  const name = fastest(measured, 'wall', theirs);
  const what = `${measured.title}: time of ${name} to ${ours === OURS ? 'ours' : ours}`;
  return judgeRatios(what, ratiosTo(measured, 'wall', name, ours), atLeast);
}

/** @param {readonly Measured[]} all @returns {import('./report.mjs').Asked[]} */
function judge(all) {
  const [get, many, , find, read] = /** @type {[Measured, Measured, Measured, Measured, Measured]} */ (all);
  return [
    judged(get, BY_ACCOUNT, 1.3),
    judged(get, [NAPI_KEPT], 1.3),
    judged(many, BY_ACCOUNT, 1.5),
    judged(many, [NAPI_KEPT], 1.5),
    judged(find, BY_ACCOUNT, 15, SECRETS_ALONE),
    judged(find, BY_ACCOUNT, 15),
    judged(read, [SECRET_STORAGE], 150, SECRETS_ALONE),
    judged(read, [SECRET_STORAGE], 150),
  ];
}

/** @param {string | undefined} secretStorage */
function explain(secretStorage) {
  const keyring = spawnSync(findProgram('gnome-keyring-daemon') ?? '', ['--version'], { encoding: 'utf8' });
  const version = /(\d+(?:\.\d+)+)/.exec(keyring.stdout ?? '')?.[1] ?? 'of unknown version';
  return [
    `Each client is a process of its own on one private bus with GNOME Keyring ${version}${secretStorage === undefined ? '' : `; SecretStorage ${secretStorage}`}.`,
    `${GENERATIONS} generations of processes, ${ROUNDS} rounds each, the order turning by one each round. A ratio is the median over the rounds of what the other took to what secretbus took in the same round, with the middle half of the rounds in brackets: 2 × takes twice as long. CPU time is the client's own, of all its threads; that of the service is what GNOME Keyring ran for the client.`,
    `The keyring holds ${ITEMS} items of one service and a few more. Every secret that is read is compared with what was stored, and before anything is measured each client reads what the others wrote, the two addons but for each other's, since they keep the account under different names.`,
    `@napi-rs/keyring opens a connection and a session for each entry: by its functions, which are keytar's, that is for each call, and with entries kept once for each account. The former took 5 ms for a secret, and ended GNOME Keyring 42.1 now and then, so that only its findCredentials is measured, which there is no other way to.`,
    `SecretStorage is used as its documents show, by search_items of the module, whose items each open a session when their secret is read; with one session it is by a collection that has one. It makes its calls one after the other, also where 64 are asked for.`,
    `Secrets alone is one search and the secrets in batches, without calls for each item; the others give the account of each with it, and so does secretbus by findAll, which needs a call for each item, and one more for its label.`,
  ].join(' ');
}

/** @param {number} timeMs of one client in one round @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureSecrets(timeMs) {
  const python = findSecretStorage();
  const clients = await findClients(python);
  const keyring = await startPrivateKeyring();
  /** @type {Figures} */
  const figures = {
    all: COMMANDS.map(({ command, title }) => ({ command, title, series: new Map() })),
    memory: new Map(),
  };
  try {
    for (let generation = 0; generation < GENERATIONS; generation += 1) {
      await measureGeneration(clients, keyring, timeMs, figures, generation === 0);
    }
  } finally {
    await keyring.close();
  }
  const { all, memory } = figures;
  return [
    {
      title: 'Secrets in a GNOME Keyring',
      how: explain(python?.version),
      tables: [...all.map((measured) => tableOf(measured, ['wall', 'cpu', 'service'])), memoryTable(memory)],
      asked: judge(all),
      data: { commands: toJson(all, ['wall', 'cpu', 'service']), memory: Object.fromEntries(memory) },
    },
  ];
}
