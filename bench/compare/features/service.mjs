/**
 * Objects that a library exports, as `busctl` and `dbus-send` see them, and connections without a bus.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sharedBus } from './bus.mjs';
import { Bytes } from './frames.mjs';
import { absent, CHILD, ENVIRONMENT, runTask, succeeded } from './run.mjs';
import { reply, startServer } from './server.mjs';

const WIRE = '../../../dist/wire/index.js';
const execute = promisify(execFile);
const PATH = '/org/example/Thing';
const INTERFACE = 'org.example.Thing';
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const PEER = 'org.freedesktop.DBus.Peer';

/** @typedef {import('./run.mjs').Check} Check */
/** @typedef {import('./run.mjs').Verdict} Verdict */

/** Starts a task that goes on until it is ended. @param {string} library @param {string} task @param {object} parameters @returns {Promise<{ line: string, end: () => Promise<void> }>} */
export async function startTask(library, task, parameters) {
  const args = [CHILD, library, task, JSON.stringify(parameters)];
  const child = spawn(process.execPath, ['--no-warnings', ...args], { env: ENVIRONMENT });
  const ended = new Promise((resolve) => child.on('close', resolve));
  let output = '';
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += chunk));
  const line = await new Promise((resolve) => {
    const timer = setTimeout(() => resolve('RESULT {"outcome":"hangs"}'), 6000);
    child.stdout.on('data', (chunk) => {
      output += chunk;
      if (!output.includes('\n')) return;
      clearTimeout(timer);
      resolve(output.split('\n')[0]);
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve(`CRASHED ${errors.slice(0, 300)}`);
    });
  });
  const end = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return { line, end };
}

/** @typedef {(...args: string[]) => Promise<string>} Busctl gives what it prints; rejects with what it says went wrong */

/** @param {string} feature @param {(busctl: Busctl, name: string, address: string) => Promise<Verdict | boolean | string>} ask @returns {Check} */
function served(feature, ask) {
  return {
    feature,
    async run(library) {
      const { address } = await sharedBus();
      const name = `org.example.Service${(served.count += 1)}`;
      const service = await startTask(library, 'service/serve', { address, name });
      try {
        if (!service.line.startsWith('READY')) return { cell: '?', why: service.line };
        const busctl = async (/** @type {string[]} */ ...args) => {
          const all = [`--address=${address}`, '--timeout=3', '--expect-reply=yes', ...args];
          return (await execute('busctl', all, { timeout: 5000 })).stdout;
        };
        const value = await ask(busctl, name, address);
        return typeof value === 'object' ? value : succeeded({ outcome: 'value', value });
      } catch (error) {
        const text = String(/** @type {any} */ (error).stderr ?? error);
        return { cell: /timed out|Timeout/i.test(text) ? 'hangs' : 'no', why: text };
      } finally {
        await service.end();
      }
    },
  };
}
served.count = 0;

/** The error that a call is answered with; `call` is as dbus-send takes it. @param {string} address @param {string} name @param {string[]} call */
async function errorOf(address, name, call) {
  const start = [`--bus=${address}`, '--print-reply', '--reply-timeout=3000', `--dest=${name}`];
  try {
    await execute('dbus-send', [...start, ...call], { timeout: 5000 });
    return { error: '', text: '' };
  } catch (error) {
    const text = String(/** @type {any} */ (error).stderr);
    return { error: /^Error ([\w.]+)/.exec(text)?.[1] ?? '?', text };
  }
}

/** @param {string} feature @param {string[]} call @param {string | RegExp} wanted @returns {Check} */
function answeredWith(feature, call, wanted) {
  return served(feature, async (busctl, name, address) => {
    const { error, text } = await errorOf(address, name, call);
    // Whatever it said, it must still be there.
    const alive = await busctl('call', name, PATH, INTERFACE, 'Add', 'u', '1').catch(() => '');
    if (!alive.startsWith('u ')) return { cell: 'crashes', why: text };
    if (error.endsWith('.NoReply')) return { cell: 'hangs', why: text };
    const right = typeof wanted === 'string' ? error === wanted : wanted.test(error);
    if (right) return { cell: 'yes', why: text };
    return { cell: error === '' ? 'no' : `answers ${error.split('.').at(-1)}`, why: text };
  });
}

const ERROR = 'org.freedesktop.DBus.Error.';

export const SERVICE = {
  title: 'Objects exported',
  checks: [
    served(
      'Methods, async ones too',
      async (busctl, name) => (await busctl('call', name, PATH, INTERFACE, 'Add', 'u', '7')) === 'u 7\n',
    ),
    served('`Introspectable`', async (busctl, name) => {
      const xml = await busctl('call', name, PATH, 'org.freedesktop.DBus.Introspectable', 'Introspect');
      return xml.includes('org.example.Thing') && xml.includes('Add');
    }),
    served('Paths above an object list it', async (busctl, name) =>
      (await busctl('call', name, '/org', 'org.freedesktop.DBus.Introspectable', 'Introspect')).includes(
        'example',
      ),
    ),
    served('`Peer`: Ping and GetMachineId', async (busctl, name) => {
      await busctl('call', name, PATH, PEER, 'Ping');
      return /"[0-9a-f]{32}"/.test(await busctl('call', name, PATH, PEER, 'GetMachineId')) || 'no machine id';
    }),
    served('`Properties`: Get, GetAll, Set', async (busctl, name) => {
      await busctl('set-property', name, PATH, INTERFACE, 'Note', 's', 'new');
      const note = await busctl('get-property', name, PATH, INTERFACE, 'Note');
      const all = await busctl('call', name, PATH, PROPERTIES, 'GetAll', 's', INTERFACE);
      return note === 's "new"\n' && all.includes('"Total" u 0');
    }),
    served('PropertiesChanged', async (busctl, name, address) => {
      const { openBus } = await import(WIRE);
      const bus = await openBus(address);
      const changes = bus.signals({ type: 'signal', sender: name, path: PATH, member: 'PropertiesChanged' });
      await changes.ready;
      await busctl('set-property', name, PATH, INTERFACE, 'Note', 's', 'new');
      const timer = setTimeout(() => void changes.close(), 1500);
      const { value } = await changes.next();
      clearTimeout(timer);
      await bus.close();
      return value !== undefined && value.body[1].get('Note')?.value === 'new';
    }),
    answeredWith(
      'A property that is only read cannot be set',
      [PATH, `${PROPERTIES}.Set`, `string:${INTERFACE}`, 'string:Total', 'variant:uint32:5'],
      /./,
    ),
    answeredWith(
      'A property refuses a value of another type',
      [PATH, `${PROPERTIES}.Set`, `string:${INTERFACE}`, 'string:Note', 'variant:uint32:5'],
      /./,
    ),
    served('`ObjectManager`', async (busctl, name) =>
      (
        await busctl('call', name, '/org/example', 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
      ).includes(PATH),
    ),
    answeredWith(
      'Arguments of other types: InvalidArgs',
      [PATH, `${INTERFACE}.Add`, 'string:text'],
      `${ERROR}InvalidArgs`,
    ),
    answeredWith('Unknown method: UnknownMethod', [PATH, `${INTERFACE}.Nothing`], `${ERROR}UnknownMethod`),
    answeredWith(
      'Unknown object: UnknownObject',
      ['/nowhere', `${INTERFACE}.Add`, 'uint32:1'],
      /UnknownObject|UnknownMethod/,
    ),
    answeredWith('Errors with a name', [PATH, `${INTERFACE}.Fail`], 'org.example.Error.No'),
    answeredWith('A result of the wrong type is an error to the caller', [PATH, `${INTERFACE}.Wrong`], /./),
    served('What a handler throws stays private', async (_, name, address) => {
      const { error, text } = await errorOf(address, name, [PATH, `${INTERFACE}.Throw`]);
      if (error === '') return 'no error';
      if (/ at .*:\d+/.test(text)) return { cell: 'tells the stack', why: text };
      return text.includes('hunter2') ? { cell: 'tells the text', why: text } : true;
    }),
  ],
};

/** @type {Check} */
const listens = {
  feature: 'Listens; GDBus calls an object',
  async run(library) {
    const folder = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
    const server = await startTask(library, 'service/listens', { path: join(folder, 'socket') });
    try {
      if (server.line.startsWith('RESULT {"outcome":"missing"'))
        return absent(library, /createServer|\blisten\(/);
      const address = /^READY (\S+)/.exec(server.line)?.[1];
      if (address === undefined) return { cell: '?', why: server.line };
      const outcome = await runTask('GDBus', '', { address, peer: true });
      return succeeded({ ...outcome, value: outcome.value === 7 });
    } finally {
      await server.end();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** @type {Check} */
const connects = {
  feature: 'Connects to a peer: no Hello',
  async run(library) {
    const server = await startServer({
      call: (call, socket) => reply(socket, call, 'u', new Bytes().u32(7).buffer),
    });
    try {
      const outcome = await runTask(library, 'service/connects', { address: server.address });
      if (server.calls.some(({ fields }) => fields['member'] === 'Hello'))
        return { cell: 'no', why: 'it says Hello' };
      return outcome.outcome === 'missing' ? absent(library, /\bdirect\b/) : succeeded(outcome);
    } finally {
      server.close();
    }
  },
};

/** @type {Check} */
const broker = {
  feature: 'A bus of its own, for tests',
  async run(library) {
    const folder = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
    try {
      const outcome = await runTask(library, 'service/broker', { socket: join(folder, 'socket') });
      return outcome.outcome === 'missing' ? absent(library, /createBroker|startBroker/) : succeeded(outcome);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

export const PEERS = { title: 'Without a bus', checks: [listens, connects, broker] };
