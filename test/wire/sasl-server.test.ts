import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { AuthError } from '../../src/wire/base/errors.js';
import { SaslServer, type SaslServerMechanism } from '../../src/wire/handshake/sasl-server.js';

const GUID = '0123456789abcdef0123456789ABCDEF';
const OK = `OK ${GUID.toLowerCase()}\r\n`;
const hex = (text: string): string => Buffer.from(text).toString('hex');

const EXTERNAL: SaslServerMechanism = {
  name: 'EXTERNAL',
  authorize: (identity) => (identity === undefined || identity === '1000' ? '1000' : undefined),
};
const ANONYMOUS: SaslServerMechanism = { name: 'ANONYMOUS' };
const COOKIE: SaslServerMechanism = {
  name: 'DBUS_COOKIE_SHA1',
  challenge: (user) =>
    user === '1000' || user === 'me'
      ? { identity: '1000', context: 'context', id: 7, challenge: 'ab', hash: (theirs) => `00${hex(theirs)}` }
      : undefined,
};
const ALL = [EXTERNAL, ANONYMOUS, COOKIE];
const REJECTED = 'REJECTED EXTERNAL ANONYMOUS DBUS_COOKIE_SHA1\r\n';
const CHALLENGE = `DATA ${hex('context 7 ab')}\r\n`;

interface Outcome {
  sent: string;
  code?: string;
  mechanism?: string;
  identity?: string;
  rest?: string;
}

/** Feeds `chunks` to a server, and gives all it sent, with what it ended in. */
function run(chunks: Iterable<string>, mechanisms: SaslServerMechanism[] = ALL, maxLines?: number): Outcome {
  const server = new SaslServer({ guid: GUID, mechanisms, maxLines });
  let sent = Buffer.from(server.start()).toString('latin1');
  let rest: string | undefined;
  let outcome: Outcome | undefined;
  for (const chunk of chunks) {
    if (rest !== undefined) {
      rest += chunk;
      continue;
    }
    try {
      const { send, done } = server.receive(Buffer.from(chunk, 'latin1'));
      sent += Buffer.from(send).toString('latin1');
      if (done === undefined) continue;
      expect(done.guid).toBe(GUID.toLowerCase());
      rest = Buffer.from(done.rest).toString('latin1');
      outcome = { sent, mechanism: done.mechanism };
      if ('identity' in done) outcome.identity = done.identity;
    } catch (error) {
      expect(error).toBeInstanceOf(AuthError);
      const { code, unsent } = error as AuthError;
      return { sent: sent + Buffer.from(unsent ?? []).toString('latin1'), code };
    }
  }
  return rest === undefined ? { sent } : { ...(outcome as Outcome), rest };
}

/** Runs the lines of a client whole, cut in two at every byte, and byte by byte: the outcome must be one and the same. */
function runAllWays(client: string, mechanisms?: SaslServerMechanism[]): Outcome {
  const whole = run([client], mechanisms);
  for (let cut = 1; cut < client.length; cut++) {
    expect(run([client.slice(0, cut), client.slice(cut)], mechanisms)).toEqual(whole);
  }
  expect(run(client, mechanisms)).toEqual(whole);
  return whole;
}

const longLine = (byteLength: number): string => `\0AUTH X ${'A'.repeat(byteLength - 9)}\r\n`;

const once = (response: string): string => `AUTH DBUS_COOKIE_SHA1 30\r\nDATA ${hex(response)}\r\n`;

describe('SaslServer', () => {
  it.each([
    ['EXTERNAL with a uid', `AUTH EXTERNAL ${hex('1000')}\r\n`, OK, 'EXTERNAL', '1000'],
    ['EXTERNAL without one', 'AUTH EXTERNAL\r\nDATA\r\n', `DATA\r\n${OK}`, 'EXTERNAL', '1000'],
    [
      'EXTERNAL with a late one',
      `AUTH EXTERNAL\r\nDATA ${hex('1000')}\r\n`,
      `DATA\r\n${OK}`,
      'EXTERNAL',
      '1000',
    ],
    ['ANONYMOUS', 'AUTH ANONYMOUS\r\n', OK, 'ANONYMOUS', undefined],
    ['ANONYMOUS with a trace', `AUTH ANONYMOUS ${hex('me é')}\r\n`, OK, 'ANONYMOUS', undefined],
    [
      'DBUS_COOKIE_SHA1',
      `AUTH DBUS_COOKIE_SHA1 ${hex('me')}\r\nDATA ${hex(`cd 00${hex('cd')}`)}\r\n`,
      CHALLENGE + OK,
      'DBUS_COOKIE_SHA1',
      '1000',
    ],
    [
      'DBUS_COOKIE_SHA1 with a late user, and a hash in capitals',
      `AUTH DBUS_COOKIE_SHA1\r\nDATA ${hex('1000')}\r\nDATA ${hex(`jk 00${hex('jk').toUpperCase()}`)}\r\n`,
      `DATA\r\n${CHALLENGE}${OK}`,
      'DBUS_COOKIE_SHA1',
      '1000',
    ],
  ])('takes %s', (_what, client, sent, mechanism, identity) => {
    expect(runAllWays(`\0${client}BEGIN\r\nlBEGIN\r\n`)).toEqual({
      sent,
      mechanism,
      rest: 'lBEGIN\r\n',
      ...(identity === undefined ? {} : { identity }),
    });
  });

  it('is guided through all mechanisms, and refuses file descriptors', () => {
    const lines = `\0AUTH\r\nAUTH KERBEROS 00\r\nAUTH EXTERNAL ${hex('7')}\r\nAUTH EXTERNAL\r\nCANCEL\r\nAUTH ANONYMOUS\r\n`;
    const { sent } = runAllWays(`${lines}NEGOTIATE_UNIX_FD\r\nBEGIN\r\n`);
    expect(sent.replaceAll(/ERROR [^\r]*/g, 'ERROR')).toBe(
      `${REJECTED.repeat(3)}DATA\r\n${REJECTED}${OK}ERROR\r\n`,
    );
  });

  /** What brings a server into each state of the specification, and what each line is answered with there. */
  const TABLE: Record<string, [before: string, answers: Record<string, string>]> = {
    'waiting for AUTH': [
      '',
      {
        AUTH: 'REJECTED',
        'AUTH KERBEROS': 'REJECTED',
        'AUTH external 31303030': 'REJECTED',
        'AUTH EXTERNAL': 'DATA',
        'AUTH EXTERNAL 31303030': 'OK',
        'AUTH EXTERNAL 31': 'REJECTED',
        'AUTH EXTERNAL 3': 'ERROR',
        'AUTH EXTERNAL 31 30': 'ERROR',
        'AUTH EXTERNAL ff': 'REJECTED',
        'AUTH EXTERNAL 00': 'REJECTED',
        'AUTH EXTERNAL 313030300a': 'REJECTED',
        'AUTH ANONYMOUS ff': 'REJECTED',
        'AUTH DBUS_COOKIE_SHA1 31': 'REJECTED',
        'AUTH DBUS_COOKIE_SHA1 6d65': 'DATA',
        BEGIN: 'protocol',
        ERROR: 'REJECTED',
        CANCEL: 'ERROR',
        DATA: 'ERROR',
        NEGOTIATE_UNIX_FD: 'ERROR',
        OK: 'ERROR',
        'auth external': 'ERROR',
        '': 'ERROR',
      },
    ],
    'waiting for data, of EXTERNAL': [
      'AUTH EXTERNAL\r\n',
      {
        DATA: 'OK',
        'DATA 31303030': 'OK',
        'DATA 31': 'REJECTED',
        'DATA zz': 'ERROR',
        BEGIN: 'protocol',
        CANCEL: 'REJECTED',
        ERROR: 'REJECTED',
        AUTH: 'ERROR',
        'AUTH ANONYMOUS': 'ERROR',
        NEGOTIATE_UNIX_FD: 'ERROR',
        WHAT: 'ERROR',
      },
    ],
    'waiting for data, of a cookie': [
      `AUTH DBUS_COOKIE_SHA1 ${hex('me')}\r\n`,
      {
        [`DATA ${hex(`cd 00${hex('cd')}`)}`]: 'OK',
        [`DATA ${hex(`cd 01${hex('cd')}`)}`]: 'REJECTED',
        [`DATA ${hex(`cd 00${hex('cd')}0`)}`]: 'REJECTED',
        [`DATA ${hex(`cd 00${hex('c')}`)}`]: 'REJECTED',
        [`DATA ${hex(`cd00${hex('cd')}`)}`]: 'REJECTED',
        [`DATA ${hex('cd ')}`]: 'REJECTED',
        [`DATA ${hex(' 00')}`]: 'REJECTED',
        [`DATA ${hex(`cd 00${hex('cd')} x`)}`]: 'REJECTED',
        DATA: 'REJECTED',
        'DATA 6d65': 'REJECTED',
        'DATA ff': 'REJECTED',
        'DATA z': 'ERROR',
        BEGIN: 'protocol',
        CANCEL: 'REJECTED',
        ERROR: 'REJECTED',
        AUTH: 'ERROR',
      },
    ],
    'waiting for BEGIN': [
      'AUTH ANONYMOUS\r\n',
      {
        'BEGIN x': 'protocol',
        CANCEL: 'REJECTED',
        'ERROR why': 'REJECTED',
        NEGOTIATE_UNIX_FD: 'ERROR',
        AUTH: 'ERROR',
        DATA: 'ERROR',
        WHAT: 'ERROR',
      },
    ],
  };
  const cases = Object.entries(TABLE).flatMap(([state, [before, answers]]) =>
    Object.entries(answers).map(([line, answer]) => [state, line, before, answer] as const),
  );

  it.each(cases)('%s, takes %j', (_state, line, before, answer) => {
    const { sent: first } = run([`\0${before}`]);
    const { sent, code } = runAllWays(`\0${before}${line}\r\n`);
    if (answer === 'protocol') expect({ sent, code }).toEqual({ sent: first, code: 'protocol' });
    else expect(sent.slice(first.length)).toMatch(new RegExp(`^${answer}[^\\r\\n]*\\r\\n$`));
    // Nothing but an OK lets anybody in.
    const { mechanism } = run([`\0${before}${line}\r\nBEGIN\r\n`]);
    const lets = answer === 'OK' || (before.includes('ANONYMOUS') && answer === 'ERROR');
    expect(mechanism !== undefined).toBe(lets);
  });

  it.each([
    ['no NUL first', 'AUTH\r\n', 'protocol'],
    ['two NULs', '\0\0AUTH\r\n', 'protocol'],
    ['a NUL in a line', '\0AUTH \0\r\n', 'protocol'],
    ['a line without CR', '\0AUTH\n', 'protocol'],
    ['a CR inside a line', '\0AUTH\rx\r\n', 'protocol'],
    ['two CRs', '\0AUTH\r\r\n', 'protocol'],
    ['a byte that is not ASCII', '\0AUTH \x80\r\n', 'protocol'],
    ['DEL', '\0AUTH \x7f\r\n', 'protocol'],
    ['a control character', '\0AUTH\tEXTERNAL\r\n', 'protocol'],
    ['an endless line', `\0${'A'.repeat(16_384)}`, 'protocol'],
    ['endless lines', `\0${'DATA\r\n'.repeat(65)}`, 'protocol'],
    ['endless tries', `\0${'AUTH\r\n'.repeat(7)}`, 'rejected'],
  ])('refuses %s', (_what, client, code) => {
    expect(run([client])).toMatchObject({ code });
    expect(run(client)).toEqual(run([client]));
  });

  it('says REJECTED six times, whatever was wrong, and not a seventh time', () => {
    const tries = [
      'AUTH',
      'ERROR',
      'AUTH X',
      'AUTH EXTERNAL 31',
      'AUTH ANONYMOUS\r\nCANCEL',
      'AUTH EXTERNAL\r\nERROR',
    ];
    const all = `\0${tries.join('\r\n')}\r\n`;
    expect(run([`${all}AUTH ANONYMOUS\r\nBEGIN\r\n`]).mechanism).toBe('ANONYMOUS');
    expect(run([`${all}AUTH\r\n`])).toMatchObject({ code: 'rejected' });
    expect(run([`${all}AUTH\r\n`]).sent.match(/REJECTED/g)).toHaveLength(6);
  });

  it('takes a line of 16 KiB with its end, and not one byte more; and as many lines as it is told to', () => {
    expect(run([longLine(16_384)])).toEqual({ sent: REJECTED });
    expect(run([longLine(16_385)])).toMatchObject({ code: 'protocol' });
    expect(run(['\0WHAT\r\nWHAT\r\nWHAT\r\n'], ALL, 3)).not.toHaveProperty('code');
    expect(run(['\0WHAT\r\nWHAT\r\nWHAT\r\n'], ALL, 2)).toMatchObject({ code: 'protocol' });
  });

  it('gives what it still owes to a client that began without being let in', () => {
    const outcome = run([`\0AUTH EXTERNAL ${hex('7')}\r\nBEGIN\r\n`], [EXTERNAL]);
    expect(outcome).toEqual({ sent: 'REJECTED EXTERNAL\r\n', code: 'protocol' });
  });

  it('forgets the identity of whoever cancels', () => {
    const { identity, mechanism } = run([
      `\0AUTH EXTERNAL ${hex('1000')}\r\nCANCEL\r\nAUTH ANONYMOUS\r\nBEGIN\r\n`,
    ]);
    expect({ identity, mechanism }).toEqual({ identity: undefined, mechanism: 'ANONYMOUS' });
  });

  it('makes a new challenge for each try, and takes no response to an old one', () => {
    let count = 0;
    const attempts: SaslServerMechanism = {
      name: 'DBUS_COOKIE_SHA1',
      challenge: () => {
        const challenge = String(++count);
        return { identity: '0', context: 'c', id: 1, challenge, hash: () => `right${challenge}` };
      },
    };
    expect(
      run([`\0${once('x right2')}${once('x right1')}${once('x right3')}BEGIN\r\n`], [attempts]),
    ).toMatchObject({
      identity: '0',
    });
    expect(count).toBe(3);
  });

  it.each([undefined, ''])('rejects where the cookie is gone, and its hash %j', (hash) => {
    const gone: SaslServerMechanism = {
      name: 'DBUS_COOKIE_SHA1',
      challenge: () => ({ identity: '0', context: 'c', id: 1, challenge: 'd', hash: () => hash }),
    };
    const { sent } = run([`\0AUTH DBUS_COOKIE_SHA1 30\r\nDATA ${hex('x ')}\r\n`], [gone]);
    expect(sent).toMatch(/REJECTED/);
  });

  it('says what a function of a mechanism threw', () => {
    const cause = new Error('no');
    const throwing: SaslServerMechanism = {
      name: 'EXTERNAL',
      authorize: () => {
        throw cause;
      },
    };
    const server = new SaslServer({ guid: GUID, mechanisms: [throwing] });
    expect(() => server.receive(Buffer.from('\0AUTH EXTERNAL 30\r\n'))).toThrow(
      expect.objectContaining({ name: 'AuthError', code: 'mechanism-failed', cause }),
    );
    expect(() => server.receive(Buffer.from('AUTH\r\n'))).toThrow(
      expect.objectContaining({ code: 'protocol' }),
    );
  });

  it('takes nothing after it has ended, and copies the bytes after the last line', () => {
    const server = new SaslServer({ guid: GUID, mechanisms: ALL });
    const chunk = Buffer.from('\0AUTH ANONYMOUS\r\nBEGIN\r\nabc');
    const { done } = server.receive(chunk);
    chunk.fill(0);
    expect(done?.rest).toEqual(Uint8Array.from(Buffer.from('abc')));
    expect(() => server.receive(chunk)).toThrow(expect.objectContaining({ code: 'protocol' }));
  });

  it('shows nothing of a handshake when it is inspected', () => {
    const server = new SaslServer({ guid: GUID, mechanisms: [COOKIE] });
    server.receive(Buffer.from('\0AUTH DBUS_COOKIE_SHA1 6d65\r\nDATA 1234'));
    expect(inspect(server, { depth: 9, showHidden: true })).not.toMatch(/context|1234/);
  });

  it('is not made without a guid or a mechanism', () => {
    for (const guid of ['', 'x'.repeat(32), GUID.slice(1), `${GUID}0`, `${GUID}\n`]) {
      expect(() => new SaslServer({ guid, mechanisms: ALL })).toThrow(
        expect.objectContaining({ name: 'InvalidTextError', code: 'invalid-guid' }),
      );
    }
    expect(() => new SaslServer({ guid: GUID, mechanisms: [] })).toThrow(
      expect.objectContaining({ name: 'AuthError', code: 'no-mechanism' }),
    );
  });
});
