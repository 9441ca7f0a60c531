import { describe, expect, it } from 'vitest';
import { SaslClient, type SaslMechanism } from '../../src/wire/index.js';

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
