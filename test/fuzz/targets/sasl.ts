/** Both machines of authentication, with whatever the other side may say. */
import { isDeepStrictEqual } from 'node:util';
import { MAX_SASL_LINE_BYTE_LENGTH, MAX_SASL_LINES } from '../../../src/wire/base/limits.js';
import { SaslClient, type SaslMechanism } from '../../../src/wire/handshake/sasl-client.js';
import { SaslServer, type SaslServerMechanism } from '../../../src/wire/handshake/sasl-server.js';
import { chunksOf, promise, refusal, type Target } from '../target.js';

const GUID = '0123456789abcdef0123456789abcdef';

interface Machine {
  start(): Uint8Array;
  receive(chunk: Uint8Array): { send: Uint8Array; done?: object | undefined };
}

interface Outcome {
  sent: string;
  /** What the machine calls the result, with the bytes that followed; absent as long as there is none. */
  done?: unknown;
  code: string;
}

/** Feeds a machine until it is done or refuses; what comes after that is not for it. */
function talk(machine: Machine, chunks: readonly Uint8Array[]): Outcome {
  let sent = Buffer.from(machine.start()).toString('latin1');
  for (const [index, chunk] of chunks.entries()) {
    try {
      const step = machine.receive(chunk);
      sent += Buffer.from(step.send).toString('latin1');
      if (step.done === undefined) continue;
      const { rest, ...done } = step.done as { rest: Uint8Array };
      const all = Buffer.concat([rest, ...chunks.slice(index + 1)]).toString('hex');
      return { sent, done: { ...done, rest: all }, code: 'done' };
    } catch (error) {
      sent += Buffer.from((error as { unsent?: Uint8Array }).unsent ?? []).toString('latin1');
      // A client that was let down has nothing more to say; what it would have said to lines of the same chunk is lost.
      if (!(machine instanceof SaslServer)) sent = '';
      const code = refusal(error, { AuthError: ['protocol', 'rejected', 'mechanism-failed'] });
      promise(throwsAgain(machine), 'it goes on after an error');
      return { sent, code };
    }
  }
  return { sent, code: '' };
}

function throwsAgain(machine: Machine): boolean {
  try {
    machine.receive(Uint8Array.of(0x0d));
    return false;
  } catch (error) {
    return refusal(error, { AuthError: ['protocol'] }) !== '';
  }
}

/** The same whole, chunked and byte by byte, and never more to say than there are lines for. */
function run(make: () => Machine, input: Uint8Array): string {
  const whole = talk(make(), [input]);
  promise(isDeepStrictEqual(talk(make(), chunksOf(input)), whole), 'chunks change the outcome');
  const bytes = Array.from(input, (byte) => Uint8Array.of(byte));
  promise(isDeepStrictEqual(talk(make(), bytes), whole), 'single bytes change the outcome');
  promise(whole.sent.length <= (MAX_SASL_LINES + 2) * MAX_SASL_LINE_BYTE_LENGTH, 'it says too much');
  promise(/^[\0\r\n\u{20}-\u{7e}]*$/u.test(whole.sent), 'it says what is not ASCII');
  const commands = whole.sent.split('\r\n').map((line) => line.slice(0, 6));
  return `${whole.code} ${commands.slice(-4).join()}`;
}

const respond = (): string => 'ours 0123456789abcdef0123456789abcdef01234567';
const CLIENTS: readonly (readonly SaslMechanism[])[] = [
  [{ name: 'EXTERNAL', identity: '1000' }, { name: 'EXTERNAL' }],
  [{ name: 'DBUS_COOKIE_SHA1', user: '1000', respond }, { name: 'ANONYMOUS' }],
  [
    { name: 'DBUS_COOKIE_SHA1', user: '1000', respond: () => undefined },
    { name: 'EXTERNAL' },
    { name: 'ANONYMOUS' },
  ],
];
const ATTEMPT = {
  identity: '1000',
  context: 'org_freedesktop_general',
  id: 7,
  challenge: 'abcdef',
  hash: respond,
};
const SERVERS: readonly (readonly SaslServerMechanism[])[] = [
  [{ name: 'EXTERNAL', authorize: (identity) => identity ?? '1000' }, { name: 'ANONYMOUS' }],
  [
    { name: 'EXTERNAL', authorize: () => undefined },
    { name: 'DBUS_COOKIE_SHA1', challenge: () => ATTEMPT },
  ],
];

const WORDS = [
  'OK ',
  'DATA',
  'DATA ',
  'REJECTED',
  'REJECTED ',
  'ERROR',
  'AGREE_UNIX_FD',
  'CANCEL',
  'BEGIN',
  '\r\n',
  '\r',
  '\n',
  '\0',
  ' ',
];
const MORE_WORDS = [
  'AUTH ',
  'NEGOTIATE_UNIX_FD',
  'EXTERNAL',
  'ANONYMOUS',
  'DBUS_COOKIE_SHA1',
  '31303030',
  GUID,
];
const dictionary = [...WORDS, ...MORE_WORDS, Buffer.from('org_freedesktop_general 7 abcdef').toString('hex')];

export const saslClient: Target = {
  name: 'sasl-client',
  dictionary,
  maxByteLength: 1024,
  run: (input) => {
    const [how = 0] = input;
    const mechanisms = CLIENTS[how % CLIENTS.length] as readonly SaslMechanism[];
    const pipeline = (how & 0x20) !== 0;
    const options = {
      mechanisms: pipeline ? [{ name: 'EXTERNAL' } as const] : mechanisms,
      pipeline,
      negotiateUnixFd: !pipeline && (how & 0x10) !== 0,
    };
    return run(() => new SaslClient(options), input.subarray(1));
  },
};

export const saslServer: Target = {
  name: 'sasl-server',
  dictionary,
  maxByteLength: 1024,
  run: (input) => {
    const [how = 0] = input;
    const mechanisms = SERVERS[how % SERVERS.length] as readonly SaslServerMechanism[];
    return run(() => new SaslServer({ guid: GUID, mechanisms }), input.subarray(1));
  },
};
