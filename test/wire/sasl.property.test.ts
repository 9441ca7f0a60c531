import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AuthError } from '../../src/wire/base/errors.js';
import { isCookieContext } from '../../src/wire/handshake/cookie-context.js';
import { hexOf, isHex, textOfHex } from '../../src/wire/handshake/hex.js';
import type { SaslStep } from '../../src/wire/handshake/sasl.js';
import { SaslClient, type SaslMechanism } from '../../src/wire/handshake/sasl-client.js';
import { SaslServer, type SaslServerMechanism } from '../../src/wire/handshake/sasl-server.js';

const GUID = '0123456789abcdef0123456789abcdef';
const SECRET = 'c0ffee';
const sha1 = (...parts: string[]): string => createHash('sha1').update(parts.join(':')).digest('hex');

/** Client mechanisms, and whether a server with all of `SERVER` takes them. */
const CLIENT: readonly (readonly [mechanism: SaslMechanism, good: boolean])[] = [
  [{ name: 'EXTERNAL' }, true],
  [{ name: 'EXTERNAL', identity: '1000' }, true],
  [{ name: 'EXTERNAL', identity: '7' }, false],
  [{ name: 'ANONYMOUS' }, true],
  [{ name: 'ANONYMOUS', trace: '' }, true],
  [{ name: 'ANONYMOUS', trace: 'a\nb' }, false],
  [
    {
      name: 'DBUS_COOKIE_SHA1',
      user: '1000',
      respond: ({ challenge }) => `x ${sha1(challenge, 'x', SECRET)}`,
    },
    true,
  ],
  [
    {
      name: 'DBUS_COOKIE_SHA1',
      user: '1000',
      respond: ({ challenge }) => `x ${sha1(challenge, 'y', SECRET)}`,
    },
    false,
  ],
  [{ name: 'DBUS_COOKIE_SHA1', user: '1000', respond: () => undefined }, false],
  [{ name: 'DBUS_COOKIE_SHA1', user: '7', respond: () => 'x y' }, false],
];

const SERVER: readonly SaslServerMechanism[] = [
  {
    name: 'EXTERNAL',
    authorize: (identity) => (identity === undefined || identity === '1000' ? '1000' : undefined),
  },
  { name: 'ANONYMOUS' },
  {
    name: 'DBUS_COOKIE_SHA1',
    challenge: (user) =>
      user === '1000'
        ? {
            identity: '1000',
            context: 'c',
            id: 3,
            challenge: 'd',
            hash: (theirs) => sha1('d', theirs, SECRET),
          }
        : undefined,
  },
];

interface Machine {
  start(): Uint8Array;
  receive(chunk: Uint8Array): SaslStep;
}

/** One side of a connection: a machine, what waits for it, and what came of it. */
class Side {
  readonly #machine: Machine;
  readonly #message: string;
  inbox = '';
  /** What was sent: lines, and messages when the machine is done. */
  outbox = '';
  done: SaslStep['done'];
  messages = '';

  constructor(machine: Machine, message: string, early: boolean) {
    this.#machine = machine;
    this.#message = message;
    this.outbox = Buffer.from(machine.start()).toString('latin1') + (early ? message : '');
    if (early) this.#message = '';
  }

  /** Takes `byteLength` of what waits. */
  take(byteLength: number): void {
    const chunk = this.inbox.slice(0, byteLength);
    this.inbox = this.inbox.slice(byteLength);
    if (this.done !== undefined) {
      this.messages += chunk;
      return;
    }
    const { send, done } = this.#machine.receive(Buffer.from(chunk, 'latin1'));
    this.outbox += Buffer.from(send).toString('latin1');
    if (done === undefined) return;
    this.done = done;
    this.messages += Buffer.from(done.rest).toString('latin1');
    this.outbox += this.#message;
  }
}

/** Joins two machines; `sizes` says in what pieces bytes arrive, in turn for ever. */
function wire(client: Machine, server: Machine, sizes: readonly number[], early: boolean): [Side, Side] {
  const one = new Side(client, 'lfrom the client\r\n', early);
  const other = new Side(server, 'lfrom the server\r\n', false);
  for (let turn = 0; one.outbox + one.inbox + other.outbox + other.inbox !== ''; turn++) {
    other.inbox += one.outbox;
    one.outbox = '';
    one.inbox += other.outbox;
    other.outbox = '';
    const side = turn % 2 === 0 ? other : one;
    if (side.inbox !== '') side.take(sizes[turn % sizes.length] as number);
  }
  return [one, other];
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 200 })), {
  minLength: 1,
  maxLength: 7,
});

describe('SaslClient and SaslServer', () => {
  it('agree, whatever the mechanisms, their order, and the chunks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...CLIENT), { minLength: 1, maxLength: 6 }),
        fc.subarray([...SERVER], { minLength: 1 }),
        fc.boolean(),
        sizes,
        (tried, offered, negotiateUnixFd, pieces) => {
          const names = new Set(offered.map(({ name }) => name));
          const fits = tried.find(([{ name }, good]) => good && names.has(name))?.[0];
          const client = new SaslClient({
            mechanisms: tried.map(([mechanism]) => mechanism),
            negotiateUnixFd,
          });
          const server = new SaslServer({ guid: GUID, mechanisms: offered });
          if (fits === undefined) {
            expect(() => wire(client, server, pieces, false)).toThrow(
              expect.objectContaining({ name: 'AuthError', code: 'rejected' }),
            );
            return;
          }
          const [one, other] = wire(client, server, pieces, false);
          expect(one.done).toMatchObject({ guid: GUID, mechanism: fits.name, unixFd: false });
          expect(other.done).toMatchObject({ guid: GUID, mechanism: fits.name });
          expect(other.done?.identity).toBe(fits.name === 'ANONYMOUS' ? undefined : '1000');
          expect([one.messages, other.messages]).toEqual(['lfrom the server\r\n', 'lfrom the client\r\n']);
        },
      ),
    );
  });

  it('agree in one write, or the client is told that it is rejected', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CLIENT.slice(0, 6)),
        fc.subarray([...SERVER], { minLength: 1 }),
        sizes,
        ([mechanism, good], offered, pieces) => {
          const client = new SaslClient({ mechanisms: [mechanism], pipeline: true });
          const server = new SaslServer({ guid: GUID, mechanisms: offered });
          if (good && offered.some(({ name }) => name === mechanism.name)) {
            const [one, other] = wire(client, server, pieces, true);
            expect(one.done?.mechanism).toBe(mechanism.name);
            expect([one.messages, other.messages]).toEqual(['lfrom the server\r\n', 'lfrom the client\r\n']);
            return;
          }
          let unsent: Uint8Array | undefined;
          try {
            server.receive(client.start());
          } catch (error) {
            ({ unsent } = error as AuthError);
          }
          expect(() => client.receive(unsent as Uint8Array)).toThrow(
            expect.objectContaining({ name: 'AuthError', code: 'rejected' }),
          );
        },
      ),
    );
  });
});

/** Pieces of handshakes in any order, whole and damaged. */
const garbage = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom('AUTH', 'DATA', 'BEGIN', 'OK', 'ERROR', 'CANCEL', 'REJECTED', ' '),
    },
    {
      weight: 3,
      arbitrary: fc.constantFrom('EXTERNAL', 'ANONYMOUS', 'DBUS_COOKIE_SHA1', 'NEGOTIATE_UNIX_FD'),
    },
    { weight: 2, arbitrary: fc.constantFrom(GUID, '31303030', '206420', hexOf('c 3 d'), 'AGREE_UNIX_FD') },
    { weight: 8, arbitrary: fc.constant('\r\n') },
    { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii' }) },
    { weight: 1, arbitrary: fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)) }) },
  ),
  { maxLength: 40 },
);

/** Feeds a machine until it is done or refuses, which must be with an AuthError. */
function feed(machine: Machine, text: string, pieces: readonly number[]): string {
  const bytes = Buffer.from(text, 'latin1');
  let sent = Buffer.from(machine.start()).toString('latin1');
  let turn = 0;
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = pieces[turn++ % pieces.length] as number;
      const { send, done } = machine.receive(bytes.subarray(at, at + size));
      sent += Buffer.from(send).toString('latin1');
      at += size;
      if (done !== undefined) {
        const rest = Buffer.concat([done.rest, bytes.subarray(at)]).toString('latin1');
        return JSON.stringify({ sent, ...done, rest });
      }
    }
    return JSON.stringify({ sent });
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return error.code;
  }
}

const makeClient = (negotiateUnixFd: boolean): Machine =>
  new SaslClient({ mechanisms: CLIENT.map(([mechanism]) => mechanism), negotiateUnixFd });
const makePipelined = (): Machine => new SaslClient({ mechanisms: [{ name: 'EXTERNAL' }], pipeline: true });
const makeServer = (): Machine => new SaslServer({ guid: GUID, mechanisms: SERVER });

describe('garbage', () => {
  it('makes either machine throw nothing but an AuthError, and the same one in all chunks', () => {
    fc.assert(
      fc.property(garbage, fc.boolean(), sizes, (words, negotiate, pieces) => {
        const text = words.join('');
        expect(feed(makeClient(negotiate), text, pieces)).toBe(
          feed(makeClient(negotiate), text, [text.length + 1]),
        );
        expect(feed(makePipelined(), text, pieces)).toBe(feed(makePipelined(), text, [text.length + 1]));
        const lines = `\0${text}`;
        expect(feed(makeServer(), lines, pieces)).toBe(feed(makeServer(), lines, [lines.length]));
      }),
    );
  });

  it('gets no answer longer than what was sent, by more than a line for each line', () => {
    fc.assert(
      fc.property(garbage, (words) => {
        const text = words.join('');
        const lines = text.split('\r\n').length;
        const { sent = '' } = JSON.parse(
          feed(makeServer(), `\0${text}`, [1e9]).replace(/^[a-z-]+$/, '{}'),
        ) as {
          sent?: string;
        };
        expect(sent.length).toBeLessThanOrEqual(lines * 64);
      }),
    );
  });
});

describe('the text in lines', () => {
  it('comes back from hexadecimal as it was, unless it holds control characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const hex = hexOf(text);
        expect(isHex(hex)).toBe(true);
        expect(textOfHex(hex)).toBe(/\p{Cc}/u.test(text) ? undefined : text.toWellFormed());
      }),
    );
  });

  it('names no file outside its folder by a context, nor one with an extension', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.oneof(fc.constantFrom('/', '\\', '.', ' ', 'a', '\0'), fc.string()) }),
        (name) => {
          const good =
            name !== '' && name.length <= 200 && /^[\x21-\x7e]+$/.test(name) && !/[/\\.]/.test(name);
          expect(isCookieContext(name)).toBe(good);
        },
      ),
    );
  });
});
