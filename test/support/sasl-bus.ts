/** Real peers of the authentication protocol: a bus with mechanisms of one's choice, and bare sockets on either side. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Daemon, makeFolder } from '../../scripts/lib/daemon.mjs';
import { requireProgram } from '../../scripts/lib/programs.mjs';
import { AuthError } from '../../src/wire/base/errors.js';
import type { SaslResult, SaslStep } from '../../src/wire/handshake/sasl.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import { type Message, MessageType } from '../../src/wire/message/message.js';
import { MessageParser } from '../../src/wire/message/parser.js';

export const GUID = '0123456789abcdef0123456789abcdef';

interface Machine {
  start(): Uint8Array;
  receive(chunk: Uint8Array): SaslStep;
}

/** A new folder with a home in it, and the environment of programs that are to live there. */
export function makeHome(): { directory: string; home: string; env: NodeJS.ProcessEnv } {
  const directory = makeFolder();
  const home = join(directory, 'home');
  mkdirSync(home, { mode: 0o700 });
  chmodSync(home, 0o700);
  const env: NodeJS.ProcessEnv = {
    HOME: home,
    XDG_RUNTIME_DIR: home,
    PATH: process.env['PATH'],
    LC_ALL: 'C',
  };
  return { directory, home, env };
}

export interface SaslBus {
  readonly path: string;
  readonly guid: string;
  /** Where it keeps its cookies. */
  readonly keyring: string;
  close(): Promise<void>;
}

/** Starts a dbus-daemon that takes nothing but `mechanisms`. */
export async function startSaslBus(mechanisms: readonly string[]): Promise<SaslBus> {
  const { directory, home, env } = makeHome();
  let daemon: Daemon | undefined;
  try {
    const path = join(directory, 'bus');
    const configuration = join(directory, 'bus.conf');
    writeFileSync(
      configuration,
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${path}</listen>
  ${mechanisms.map((name) => `<auth>${name}</auth>`).join('')}
  ${mechanisms.includes('ANONYMOUS') ? '<allow_anonymous/>' : ''}
  <policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`,
    );
    const parameters = [
      `--config-file=${configuration}`,
      '--nofork',
      '--nopidfile',
      '--nosyslog',
      '--print-address',
    ];
    const started = new Daemon(requireProgram('dbus-daemon'), parameters, { directory, env });
    daemon = started;
    const guid = await started.waitUntil(
      () => /^unix:\S+guid=([0-9a-f]{32})\n/m.exec(started.output)?.[1],
      10_000,
    );
    return { path, guid, keyring: join(home, '.dbus-keyrings'), close: () => started.close() };
  } catch (error) {
    await daemon?.close();
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

const HELLO = {
  type: MessageType.methodCall,
  flags: 0,
  serial: 1,
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'Hello',
  signature: '',
  body: [],
};

/** What came of one side of a connection. */
export interface Outcome {
  result: SaslResult;
  /** All lines sent by the machine. */
  sent: string;
  /** All lines received before the messages. */
  received: string;
  /** The first message that came. */
  message: Message;
}

/** Runs a machine on a socket until the first message; `authenticated` may give bytes to send before it. */
function drive(
  socket: Socket,
  machine: Machine,
  afterStart: Uint8Array,
  authenticated: () => Uint8Array,
  answer: (message: Message) => Uint8Array | undefined,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const parser = new MessageParser();
    let sent = '';
    let received = '';
    let result: SaslResult | undefined;
    const send = (bytes: Uint8Array): void => {
      sent += Buffer.from(bytes).toString('latin1');
      socket.write(bytes);
    };
    const take = (bytes: Uint8Array): void => {
      for (const message of parser.push(bytes)) {
        const reply = answer(message);
        if (reply !== undefined) socket.write(reply);
        resolve({ result: result as SaslResult, sent, received, message });
      }
    };
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`closed; sent ${sent}, received ${received}`)));
    socket.on('data', (chunk) => {
      try {
        if (result !== undefined) return take(chunk);
        const { send: bytes, done } = machine.receive(chunk);
        send(bytes);
        received += chunk.toString('latin1', 0, chunk.length - (done?.rest.length ?? 0));
        result = done;
        if (done === undefined) return undefined;
        socket.write(authenticated());
        return take(done.rest);
      } catch (error) {
        if (error instanceof AuthError && error.unsent !== undefined) {
          sent += Buffer.from(error.unsent).toString('latin1');
          socket.write(error.unsent);
        }
        socket.destroySoon();
        return reject(new Error(`failed; sent ${sent}, received ${received}`, { cause: error }));
      }
    });
    const first = machine.start();
    sent += Buffer.from(first).toString('latin1');
    // In one write: a server that refuses hangs up at once, and a second write could fail before its answer is read.
    socket.write(Buffer.concat([first, afterStart]));
  });
}

const NOTHING = new Uint8Array(0);

/** Authenticates at a bus and says Hello; with `early`, Hello goes out with the first bytes. */
export async function sayHello(
  path: string,
  machine: Machine,
  options: { early?: boolean } = {},
): Promise<Outcome> {
  const hello = encodeMessage(HELLO);
  const socket = connect({ path });
  try {
    const early = options.early === true;
    return await drive(
      socket,
      machine,
      early ? hello : NOTHING,
      () => (early ? NOTHING : hello),
      () => undefined,
    );
  } finally {
    socket.destroy();
  }
}

export interface SaslListener {
  /** `unix:path=…`. */
  readonly address: string;
  readonly path: string;
  /** One for each connection that came so far, in order; each settles at the first message or the end. */
  readonly outcomes: Promise<Outcome>[];
  close(): Promise<void>;
}

/** Answers every call: Hello with a name, anything else with nothing. */
function answerCall(message: Message): Uint8Array | undefined {
  if (message.type !== MessageType.methodCall) return undefined;
  const hello = message.member === 'Hello';
  return encodeMessage({
    type: MessageType.methodReturn,
    flags: 0,
    serial: message.serial,
    replySerial: message.serial,
    sender: 'org.freedesktop.DBus',
    signature: hello ? 's' : '',
    body: hello ? [':1.1'] : [],
  });
}

/** Listens in `directory` with a machine of its own for each connection. */
export async function listenSasl(
  directory: string,
  makeMachine: () => Promise<Machine>,
): Promise<SaslListener> {
  const path = join(directory, `s${Math.random().toString(36).slice(2, 10)}`);
  const outcomes: Promise<Outcome>[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.pause();
    const outcome = makeMachine().then((machine) => {
      const driven = drive(socket, machine, NOTHING, () => NOTHING, answerCall);
      socket.resume();
      return driven;
    });
    outcome.catch(() => {});
    outcomes.push(outcome);
  });
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  };
  return { address: `unix:path=${path}`, path, outcomes, close };
}

const SILENCE_MS = 5000;

/**
 * What the server at `path` says to each line, as the first word of its answer, `messages` when it went on to messages, and
 * `closed` when it hung up, and `silent` when it said nothing for a while. It is asked one line at a time.
 */
export async function askServer(path: string, lines: readonly string[]): Promise<string[]> {
  const socket = connect({ path });
  socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error('silent')));
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const answers: string[] = [];
  let arrived = '';
  try {
    for (const [index, line] of lines.entries()) {
      // Without a message behind it, a BEGIN that is taken has no answer.
      const message = line === 'BEGIN' ? encodeMessage(HELLO) : NOTHING;
      socket.write(Buffer.concat([Buffer.from(`${index === 0 ? '\0' : ''}${line}\r\n`, 'latin1'), message]));
      while (!arrived.includes('\r\n') && !arrived.startsWith('l')) {
        const { done, value } = await chunks.next();
        if (done === true) return [...answers, 'closed'];
        arrived += value.toString('latin1');
      }
      if (arrived.startsWith('l')) return [...answers, 'messages'];
      answers.push(/^\S*/.exec(arrived)?.[0] ?? '');
      arrived = arrived.slice(arrived.indexOf('\n') + 1);
    }
    return answers;
  } catch (error) {
    return [...answers, error instanceof Error && error.message === 'silent' ? 'silent' : 'closed'];
  } finally {
    socket.destroy();
  }
}
