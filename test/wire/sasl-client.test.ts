import { describe, expect, it } from 'vitest';
import {
  type CookieChallenge,
  SaslClient,
  type SaslMechanism,
} from '../../src/wire/handshake/sasl-client.js';

const GUID = '0123456789abcdef0123456789ABCDEF';
const EXTERNAL: SaslMechanism[] = [{ name: 'EXTERNAL', identity: '1000' }];

/** Feeds `chunks` to a client and gives all it sent, with what it ended in. */
function run(
  mechanisms: SaslMechanism[],
  chunks: Iterable<string>,
): { sent: string; guid?: string; rest?: string } {
  const client = new SaslClient({ mechanisms });
  let sent = Buffer.from(client.start()).toString('latin1');
  for (const chunk of chunks) {
    const { send, done } = client.receive(Buffer.from(chunk, 'latin1'));
    sent += Buffer.from(send).toString('latin1');
    if (done !== undefined) return { sent, guid: done.guid, rest: Buffer.from(done.rest).toString('latin1') };
  }
  return { sent };
}

/** Runs the lines of a server whole, cut in two at every byte, and byte by byte: the outcome must be one and the same. */
function runAllWays(mechanisms: SaslMechanism[], server: string): ReturnType<typeof run> {
  const whole = run(mechanisms, [server]);
  for (let cut = 1; cut < server.length; cut++) {
    const { sent, guid } = run(mechanisms, [server.slice(0, cut), server.slice(cut)]);
    expect({ sent, guid }).toEqual({ sent: whole.sent, guid: whole.guid });
  }
  expect(run(mechanisms, server)).toMatchObject({ sent: whole.sent });
  return whole;
}

describe('SaslClient', () => {
  it('authenticates with EXTERNAL and its uid', () => {
    const { sent, guid, rest } = runAllWays(EXTERNAL, `OK ${GUID}\r\n`);
    expect(sent).toBe('\0AUTH EXTERNAL 31303030\r\nBEGIN\r\n');
    expect(guid).toBe(GUID.toLowerCase());
    expect(rest).toBe('');
  });

  it('keeps the bytes after the last line', () => {
    expect(run(EXTERNAL, [`OK ${GUID}\r\nl\x01\x00OK\r\n`]).rest).toBe('l\x01\x00OK\r\n');
  });

  it('gives an empty identity when the server is to take the credentials', () => {
    expect(runAllWays([{ name: 'EXTERNAL' }], `DATA\r\nOK ${GUID}\r\n`).sent).toBe(
      '\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n',
    );
  });

  it('goes on to the next mechanism when one is rejected', () => {
    const mechanisms: SaslMechanism[] = [
      ...EXTERNAL,
      { name: 'EXTERNAL' },
      { name: 'ANONYMOUS', trace: 'us' },
    ];
    expect(runAllWays(mechanisms, `REJECTED EXTERNAL\r\nDATA\r\nOK ${GUID}\r\n`).sent).toBe(
      '\0AUTH EXTERNAL 31303030\r\nAUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n',
    );
    expect(runAllWays(mechanisms, `REJECTED ANONYMOUS\r\nOK ${GUID}\r\n`).sent).toBe(
      '\0AUTH EXTERNAL 31303030\r\nAUTH ANONYMOUS 7573\r\nBEGIN\r\n',
    );
    expect(runAllWays(mechanisms, `REJECTED\r\nOK ${GUID}\r\n`).sent).toContain('AUTH EXTERNAL\r\n');
  });

  it('cancels what it cannot answer, and answers a command it does not know with ERROR', () => {
    const both: SaslMechanism[] = [...EXTERNAL, { name: 'ANONYMOUS', trace: 'us' }];
    for (const odd of ['DATA 00', 'ERROR "what"']) {
      expect(runAllWays(both, `${odd}\r\nREJECTED ANONYMOUS\r\nOK ${GUID}\r\n`).sent).toBe(
        '\0AUTH EXTERNAL 31303030\r\nCANCEL\r\nAUTH ANONYMOUS 7573\r\nBEGIN\r\n',
      );
    }
    expect(runAllWays(EXTERNAL, `AGREE_UNIX_FD\r\nOK ${GUID}\r\n`).sent).toContain('ERROR\r\n');
  });

  it.each([
    ['no mechanism left', 'REJECTED EXTERNAL\r\n', 'rejected'],
    ['a guid that is none', 'OK xyz\r\n', 'protocol'],
    ['no guid', 'OK\r\n', 'protocol'],
    ['a line without CR', `OK ${GUID}\n`, 'protocol'],
    ['a NUL', `OK\0 ${GUID}\r\n`, 'protocol'],
    ['DEL', '\x7f\r\n', 'protocol'],
    ['a byte that is not ASCII', `\xff\r\n`, 'protocol'],
    ['an endless line', 'A'.repeat(16_385), 'protocol'],
    ['endless lines', 'NOISE\r\n'.repeat(65), 'protocol'],
    ['OK where only REJECTED may follow', `DATA 00\r\nOK ${GUID}\r\n`, 'protocol'],
  ])('refuses %s', (_what, server, code) => {
    expect(() => run(EXTERNAL, [server])).toThrow(expect.objectContaining({ name: 'AuthError', code }));
    expect(() => run(EXTERNAL, server)).toThrow(expect.objectContaining({ name: 'AuthError', code }));
  });

  it('takes nothing before it starts, nor after it has ended', () => {
    const ok = Buffer.from(`OK ${GUID}\r\n`);
    const early = new SaslClient({ mechanisms: EXTERNAL });
    expect(() => early.receive(ok)).toThrow(expect.objectContaining({ code: 'protocol' }));
    const done = new SaslClient({ mechanisms: EXTERNAL });
    done.start();
    done.receive(ok);
    expect(() => done.receive(ok)).toThrow(expect.objectContaining({ code: 'protocol' }));
    const failed = new SaslClient({ mechanisms: EXTERNAL });
    failed.start();
    expect(() => failed.receive(Buffer.from('REJECTED\r\n'))).toThrow(
      expect.objectContaining({ code: 'rejected' }),
    );
    expect(() => failed.receive(ok)).toThrow(expect.objectContaining({ code: 'protocol' }));
  });

  it('copies the bytes after the last line, also out of a Buffer', () => {
    const client = new SaslClient({ mechanisms: EXTERNAL });
    client.start();
    const chunk = Buffer.from(`OK ${GUID}\r\nabc`);
    const { done } = client.receive(chunk);
    chunk.fill(0);
    expect(done?.rest).toEqual(Uint8Array.from(Buffer.from('abc')));
  });

  it('refuses to begin without a mechanism', () => {
    expect(() => run([], [])).toThrow(expect.objectContaining({ code: 'no-mechanism' }));
  });
});

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

const COOKIE: SaslMechanism = {
  name: 'DBUS_COOKIE_SHA1',
  user: '1000',
  respond: ({ context, id, challenge }) => (id !== 8 ? `${context}-${id}-${challenge} hash` : undefined),
};

/** How to bring a client into each state of the specification, by the lines of the server. */
const STATES = {
  'waiting for data, with EXTERNAL': { mechanisms: [{ name: 'EXTERNAL' }], lines: '' },
  'waiting for data, with a cookie': { mechanisms: [COOKIE], lines: '' },
  'waiting for OK': { mechanisms: [{ name: 'EXTERNAL', identity: '1000' }], lines: '' },
  'waiting for OK, after data': { mechanisms: [{ name: 'EXTERNAL' }], lines: 'DATA\r\n' },
  'waiting for REJECTED': { mechanisms: [{ name: 'EXTERNAL' }], lines: 'ERROR\r\n' },
  'waiting for AGREE_UNIX_FD': {
    mechanisms: [{ name: 'EXTERNAL', identity: '1000' }],
    lines: `OK ${GUID}\r\n`,
    negotiateUnixFd: true,
  },
  'pipelined, waiting for OK': {
    mechanisms: [{ name: 'EXTERNAL', identity: '1000' }],
    lines: '',
    pipeline: true,
  },
  'pipelined, waiting for data': { mechanisms: [{ name: 'EXTERNAL' }], lines: '', pipeline: true },
} as const satisfies Record<
  string,
  { mechanisms: SaslMechanism[]; lines: string; negotiateUnixFd?: boolean; pipeline?: boolean }
>;

const SECOND: SaslMechanism = { name: 'ANONYMOUS', trace: 'x' };
const CHALLENGE = `DATA ${hex('context 7 c')}`;
const ANSWERED = `DATA ${hex('context-7-c hash')}\r\n`;
const NEXT = 'AUTH ANONYMOUS 78\r\n';
const CANCEL = 'CANCEL\r\n';
const ERROR = 'ERROR\r\n';

/** What each line of the server is answered with in each state; a code where it is an error. `BEGIN` ends. */
const OK_GOOD = `OK ${GUID}`;
const TABLE: Record<keyof typeof STATES, Record<string, string>> = {
  'waiting for data, with EXTERNAL': {
    [OK_GOOD]: 'BEGIN\r\n',
    OK: 'protocol',
    [`${OK_GOOD} x`]: 'protocol',
    DATA: 'DATA\r\n',
    [CHALLENGE]: CANCEL,
    REJECTED: NEXT,
    'REJECTED ANONYMOUS EXTERNAL': NEXT,
    'REJECTED KERBEROS': 'rejected',
    ERROR: CANCEL,
    AGREE_UNIX_FD: ERROR,
    BEGIN: ERROR,
    '': ERROR,
  },
  'waiting for data, with a cookie': {
    [OK_GOOD]: 'BEGIN\r\n',
    DATA: CANCEL,
    [CHALLENGE]: ANSWERED,
    [CHALLENGE.toUpperCase()]: ANSWERED,
    'DATA 0': CANCEL,
    'DATA xx': CANCEL,
    'DATA ff': CANCEL,
    [`DATA ${hex('context 8 c')}`]: CANCEL,
    [`DATA ${hex('context 7')}`]: CANCEL,
    [`DATA ${hex('context 7 ')}`]: CANCEL,
    [`DATA ${hex('context 7 c d')}`]: CANCEL,
    [`DATA ${hex('context  7 c')}`]: CANCEL,
    [`DATA ${hex('context -7 c')}`]: CANCEL,
    [`DATA ${hex('context 7x c')}`]: CANCEL,
    [`DATA ${hex('context 2147483648 c')}`]: CANCEL,
    [`DATA ${hex('../context 7 c')}`]: CANCEL,
    [`DATA ${hex('con.text 7 c')}`]: CANCEL,
    [`DATA ${hex('con\\text 7 c')}`]: CANCEL,
    [`DATA ${hex('con\ntext 7 c')}`]: CANCEL,
    [`DATA ${hex(' 7 c')}`]: CANCEL,
    REJECTED: NEXT,
    ERROR: CANCEL,
    WHAT: ERROR,
  },
  'waiting for OK': {
    [OK_GOOD]: 'BEGIN\r\n',
    DATA: CANCEL,
    [CHALLENGE]: CANCEL,
    REJECTED: NEXT,
    ERROR: CANCEL,
    'ERROR what it was': CANCEL,
    AGREE_UNIX_FD: ERROR,
  },
  'waiting for OK, after data': {
    [OK_GOOD]: 'BEGIN\r\n',
    DATA: CANCEL,
    REJECTED: NEXT,
    ERROR: CANCEL,
    WHAT: ERROR,
  },
  'waiting for REJECTED': {
    [OK_GOOD]: 'protocol',
    DATA: 'protocol',
    REJECTED: NEXT,
    'REJECTED EXTERNAL': 'rejected',
    ERROR: 'protocol',
    AGREE_UNIX_FD: 'protocol',
    WHAT: 'protocol',
  },
  'waiting for AGREE_UNIX_FD': {
    AGREE_UNIX_FD: 'BEGIN\r\n',
    ERROR: 'BEGIN\r\n',
    'ERROR not here': 'BEGIN\r\n',
    [OK_GOOD]: ERROR,
    DATA: ERROR,
    REJECTED: ERROR,
    WHAT: ERROR,
  },
  'pipelined, waiting for OK': {
    [OK_GOOD]: '',
    OK: 'protocol',
    DATA: 'rejected',
    REJECTED: 'rejected',
    'REJECTED ANONYMOUS': 'rejected',
    ERROR: 'rejected',
    WHAT: 'rejected',
  },
  'pipelined, waiting for data': {
    [OK_GOOD]: '',
    DATA: '',
    [CHALLENGE]: 'rejected',
    REJECTED: 'rejected',
    ERROR: 'rejected',
  },
};

describe('SaslClient, line by line', () => {
  const cases = Object.entries(TABLE).flatMap(([state, lines]) =>
    Object.entries(lines).map(([line, answer]) => [state as keyof typeof STATES, line, answer] as const),
  );

  it.each(cases)('%s, takes %j', (state, line, answer) => {
    const { mechanisms, lines, ...options } = STATES[state];
    const attempts = state.startsWith('pipelined') ? [...mechanisms] : [...mechanisms, SECOND];
    const client = new SaslClient({ mechanisms: attempts, ...options });
    client.start();
    if (lines !== '') client.receive(Buffer.from(lines));
    const bytes = Buffer.from(`${line}\r\n`, 'latin1');
    if (answer === 'protocol' || answer === 'rejected') {
      expect(() => client.receive(bytes)).toThrow(
        expect.objectContaining({ name: 'AuthError', code: answer }),
      );
      expect(() => client.receive(bytes)).toThrow(expect.objectContaining({ code: 'protocol' }));
      return;
    }
    const { send, done } = client.receive(bytes);
    expect(Buffer.from(send).toString('latin1')).toBe(answer);
    const ends = answer === 'BEGIN\r\n' || (answer === '' && line === OK_GOOD);
    expect(done).toEqual(
      ends
        ? {
            guid: GUID.toLowerCase(),
            rest: new Uint8Array(0),
            mechanism: mechanisms[0].name,
            unixFd: line === 'AGREE_UNIX_FD',
          }
        : undefined,
    );
  });
});

const pipelined = (mechanism: SaslMechanism): string =>
  Buffer.from(new SaslClient({ mechanisms: [mechanism], pipeline: true }).start()).toString('latin1');

const longLine = (byteLength: number): string => `${'A'.repeat(byteLength - 2)}\r\n`;

describe('SaslClient, its options', () => {
  it('sends everything at once when it is to', () => {
    expect(pipelined({ name: 'EXTERNAL', identity: '0' })).toBe('\0AUTH EXTERNAL 30\r\nBEGIN\r\n');
    expect(pipelined({ name: 'EXTERNAL' })).toBe('\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n');
    expect(pipelined({ name: 'ANONYMOUS' })).toBe('\0AUTH ANONYMOUS 736563726574627573\r\nBEGIN\r\n');
    expect(pipelined({ name: 'ANONYMOUS', trace: '' })).toBe('\0AUTH ANONYMOUS\r\nBEGIN\r\n');
  });

  it.each([
    ['two mechanisms', { mechanisms: [...EXTERNAL, SECOND] }],
    ['a cookie', { mechanisms: [COOKIE] }],
    ['file descriptors', { mechanisms: EXTERNAL, negotiateUnixFd: true }],
  ])('cannot send %s at once', (_what, options) => {
    const client = new SaslClient({ ...options, pipeline: true });
    expect(() => client.start()).toThrow(
      expect.objectContaining({ name: 'AuthError', code: 'cannot-pipeline' }),
    );
  });

  it('keeps the messages that follow the answer to a pipelined handshake', () => {
    for (const answer of [`OK ${GUID}\r\n`, `DATA\r\nOK ${GUID}\r\n`]) {
      const client = new SaslClient({ mechanisms: [{ name: 'EXTERNAL' }], pipeline: true });
      client.start();
      const { done, send } = client.receive(Buffer.from(`${answer}lmessage`));
      expect(send).toHaveLength(0);
      expect(Buffer.from(done?.rest ?? []).toString()).toBe('lmessage');
    }
  });

  it('hands the challenge of a cookie to whoever can answer it, and only a good one', () => {
    const seen: CookieChallenge[] = [];
    const respond = (challenge: CookieChallenge): string => {
      seen.push(challenge);
      return 'a b';
    };
    const { sent } = runAllWays([{ ...COOKIE, respond }], `${CHALLENGE}\r\nOK ${GUID}\r\n`);
    expect(sent).toBe(`\0AUTH DBUS_COOKIE_SHA1 31303030\r\nDATA ${hex('a b')}\r\nBEGIN\r\n`);
    expect(seen[0]).toEqual({ context: 'context', id: 7, challenge: 'c' });
  });

  it('says what a function of a mechanism threw, and takes no answer that is too long', () => {
    const cause = new Error('no');
    const throwing: SaslMechanism = {
      ...COOKIE,
      respond: () => {
        throw cause;
      },
    };
    const failed = { name: 'AuthError', code: 'mechanism-failed' };
    expect(() => run([throwing], [`${CHALLENGE}\r\n`])).toThrow(
      expect.objectContaining({ ...failed, cause }),
    );
    const long: SaslMechanism = { ...COOKIE, respond: () => 'x'.repeat(10_000) };
    expect(() => run([long], [`${CHALLENGE}\r\n`])).toThrow(expect.objectContaining(failed));
    expect(() => run([{ name: 'EXTERNAL', identity: '1'.repeat(10_000) }], [])).toThrow(
      expect.objectContaining(failed),
    );
  });

  it('sends no mechanism that there is not: its name could hold lines of its own', () => {
    const name = 'EXTERNAL 30\r\nBEGIN' as 'EXTERNAL';
    expect(() => run([{ name }], [])).toThrow(expect.objectContaining({ code: 'unknown-mechanism' }));
  });

  it('takes a line of 16 KiB with its end, and not one byte more', () => {
    expect(run(EXTERNAL, [longLine(16_384)]).sent).toContain('ERROR\r\n');
    expect(() => run(EXTERNAL, [longLine(16_385)])).toThrow(/16384/);
  });

  it('takes 64 lines, and not one more', () => {
    expect(run(EXTERNAL, ['WHAT\r\n'.repeat(63), `OK ${GUID}\r\n`]).guid).toBe(GUID.toLowerCase());
    expect(() => run(EXTERNAL, ['WHAT\r\n'.repeat(64), `OK ${GUID}\r\n`])).toThrow(/end/);
  });
});
