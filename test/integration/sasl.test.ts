import { execFile } from 'node:child_process';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findProgram, PYTHONS } from '../../scripts/lib/programs.mjs';
import { SaslClient, type SaslMechanism } from '../../src/wire/handshake/sasl-client.js';
import { SaslServer, type SaslServerMechanism } from '../../src/wire/handshake/sasl-server.js';
import { cookieMechanism } from '../../src/wire/transport/cookie-keyring.js';
import { CookieKeyring, type PreparedCookie } from '../../src/wire/transport/cookie-server.js';
import { describeWith, runs } from '../support/external.js';
import {
  askServer,
  GUID,
  listenSasl,
  makeHome,
  type SaslBus,
  type SaslListener,
  sayHello,
  startSaslBus,
} from '../support/sasl-bus.js';

const run = promisify(execFile);
const UID = String(process.getuid?.());
const EXTERNAL: SaslMechanism = { name: 'EXTERNAL', identity: UID };
const NOBODY: SaslMechanism = { name: 'EXTERNAL', identity: '4000000000' };
const REJECTED = { cause: expect.objectContaining({ name: 'AuthError', code: 'rejected' }) };
const ANONYMOUS: SaslMechanism = { name: 'ANONYMOUS', trace: 'us' };

/** Authenticates, and gives what was sent, once the bus has given us a name. */
async function hello(at: SaslBus, client: SaslClient, mechanism: string, early = false): Promise<string> {
  const { result, message, sent } = await sayHello(at.path, client, { early });
  expect(result).toMatchObject({ guid: at.guid, mechanism });
  expect(message.body[0]).toMatch(/^:1\.\d+$/);
  return sent.slice(1);
}

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('our client at a real bus', () => {
  const buses = new Map<string, SaslBus>();
  const bus = (mechanism: string): SaslBus => buses.get(mechanism) as SaslBus;

  beforeAll(async () => {
    await Promise.all(
      ['EXTERNAL', 'ANONYMOUS', 'DBUS_COOKIE_SHA1'].map(async (name) =>
        buses.set(name, await startSaslBus([name])),
      ),
    );
  });

  afterAll(async () => {
    await Promise.all(Array.from(buses.values(), (each) => each.close()));
  });

  it('EXTERNAL, with our uid and without', async () => {
    const at = bus('EXTERNAL');
    await hello(at, new SaslClient({ mechanisms: [EXTERNAL] }), 'EXTERNAL');
    expect(await hello(at, new SaslClient({ mechanisms: [{ name: 'EXTERNAL' }] }), 'EXTERNAL')).toBe(
      'AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n',
    );
  });

  it('asks for file descriptors, which a bus grants', async () => {
    const at = bus('EXTERNAL');
    const client = new SaslClient({ mechanisms: [EXTERNAL], negotiateUnixFd: true });
    const { result, received } = await sayHello(at.path, client);
    expect(result.unixFd).toBe(true);
    expect(received).toBe(`OK ${at.guid}\r\nAGREE_UNIX_FD\r\n`);
  });

  it.each([
    ['EXTERNAL', EXTERNAL],
    ['EXTERNAL', { name: 'EXTERNAL' }],
    ['ANONYMOUS', ANONYMOUS],
  ] as [string, SaslMechanism][])('%s, all in one write with Hello', async (name, mechanism) => {
    await hello(bus(name), new SaslClient({ mechanisms: [mechanism], pipeline: true }), name, true);
  });

  it('tells a pipelined client that it is refused, and it succeeds on a fresh connection', async () => {
    const at = bus('ANONYMOUS');
    const early = new SaslClient({ mechanisms: [EXTERNAL], pipeline: true });
    await expect(sayHello(at.path, early, { early: true })).rejects.toMatchObject(REJECTED);
    await hello(at, new SaslClient({ mechanisms: [EXTERNAL, ANONYMOUS] }), 'ANONYMOUS');
  });

  it('ANONYMOUS, with a trace and without', async () => {
    await hello(bus('ANONYMOUS'), new SaslClient({ mechanisms: [ANONYMOUS] }), 'ANONYMOUS');
    await hello(
      bus('ANONYMOUS'),
      new SaslClient({ mechanisms: [{ name: 'ANONYMOUS', trace: '' }] }),
      'ANONYMOUS',
    );
  });

  it('goes through the mechanisms to the one that the bus takes', async () => {
    const at = bus('EXTERNAL');
    const sent = await hello(at, new SaslClient({ mechanisms: [ANONYMOUS, NOBODY, EXTERNAL] }), 'EXTERNAL');
    expect(sent.match(/AUTH \S+/g)).toEqual(['AUTH ANONYMOUS', 'AUTH EXTERNAL', 'AUTH EXTERNAL']);
    await expect(
      sayHello(at.path, new SaslClient({ mechanisms: [ANONYMOUS, NOBODY] })),
    ).rejects.toMatchObject(REJECTED);
  });

  it('DBUS_COOKIE_SHA1 with the cookie that the bus has put into its keyring', async () => {
    const at = bus('DBUS_COOKIE_SHA1');
    const ours = cookieMechanism({ directory: at.keyring });
    const sent = await hello(at, new SaslClient({ mechanisms: [EXTERNAL, ours] }), 'DBUS_COOKIE_SHA1');
    expect(sent).toContain('\r\nDATA ');
    const file = readFileSync(join(at.keyring, 'org_freedesktop_general'), 'latin1');
    const [, , secret = ''] = file.trim().split(' ');
    expect(secret).toMatch(/^[0-9a-f]{48}$/);
    expect(sent).not.toContain(secret);
  });

  it('DBUS_COOKIE_SHA1 is given up without the cookie, and refused with a wrong response', async () => {
    const at = bus('DBUS_COOKIE_SHA1');
    const elsewhere = cookieMechanism({ directory: join(at.keyring, 'none') });
    await expect(sayHello(at.path, new SaslClient({ mechanisms: [elsewhere] }))).rejects.toMatchObject(
      REJECTED,
    );
    const wrong: SaslMechanism = {
      name: 'DBUS_COOKIE_SHA1',
      user: UID,
      respond: () => `${'0'.repeat(32)} ${'0'.repeat(40)}`,
    };
    await expect(sayHello(at.path, new SaslClient({ mechanisms: [wrong] }))).rejects.toMatchObject(REJECTED);
    const right = cookieMechanism({ directory: at.keyring });
    await hello(at, new SaslClient({ mechanisms: [wrong, elsewhere, right] }), 'DBUS_COOKIE_SHA1');
  });

  it('shares its keyring: a server of ours uses the cookie that the bus made', async () => {
    const at = bus('DBUS_COOKIE_SHA1');
    await hello(
      at,
      new SaslClient({ mechanisms: [cookieMechanism({ directory: at.keyring })] }),
      'DBUS_COOKIE_SHA1',
    );
    const before = readFileSync(join(at.keyring, 'org_freedesktop_general'));
    using prepared = await new CookieKeyring({ directory: at.keyring }).prepare();
    const { mechanism } = prepared;
    const attempt = mechanism.name === 'DBUS_COOKIE_SHA1' ? mechanism.challenge(UID) : undefined;
    expect(before.toString('latin1').startsWith(`${attempt?.id} `)).toBe(true);
    expect(readFileSync(join(at.keyring, 'org_freedesktop_general'))).toEqual(before);
  });
});

/** Programs that connect to an address and call a method there. */
const CALLERS: Readonly<Record<string, (address: string) => [program: string, ...parameters: string[]]>> = {
  'dbus-send': (address) => ['dbus-send', `--peer=${address}`, '--print-reply', '/', 'org.example.Test.Call'],
  gdbus: (address) => [
    'gdbus',
    'call',
    '--address',
    address,
    '--dest',
    'org.example',
    '--object-path',
    '/',
    '--method',
    'org.example.Test.Call',
  ],
  busctl: (address) => [
    'busctl',
    `--address=${address}`,
    'call',
    'org.example',
    '/',
    'org.example.Test',
    'Call',
  ],
};

const external: SaslServerMechanism = {
  name: 'EXTERNAL',
  authorize: (identity) => (identity === undefined || identity === UID ? UID : undefined),
};

/** Listens with mechanisms made for each connection, in a home of its own, while `use` runs. */
async function withServer(
  makeMechanisms: (keyring: string, prepared: PreparedCookie[]) => Promise<SaslServerMechanism[]>,
  use: (listener: SaslListener, env: NodeJS.ProcessEnv) => Promise<void>,
): Promise<void> {
  const { directory, home, env } = makeHome();
  const prepared: PreparedCookie[] = [];
  const listener = await listenSasl(directory, async () => {
    const mechanisms = await makeMechanisms(join(home, '.dbus-keyrings'), prepared);
    return new SaslServer({ guid: GUID, mechanisms });
  });
  try {
    await use(listener, env);
  } finally {
    for (const each of prepared) each.close();
    await listener.close();
    rmSync(directory, { recursive: true });
  }
}

/** Lines of a client, good and bad. What both answer differently, and why, is below. */
const LINES = [
  'AUTH',
  'AUTH EXTERNAL',
  `AUTH EXTERNAL ${Buffer.from(UID).toString('hex')}`,
  'AUTH EXTERNAL 34303030303030303030',
  'AUTH ANONYMOUS',
  'AUTH ANONYMOUS 7573',
  'AUTH ANONYMOUS ff',
  'AUTH EXTERNAL zz',
  'AUTH KERBEROS',
  'AUTH KERBEROS 00',
  `AUTH  EXTERNAL  ${Buffer.from(UID).toString('hex')}`,
  'auth',
  'DATA',
  `DATA ${Buffer.from(UID).toString('hex')}`,
  'DATA 34303030303030303030',
  'DATA zz',
  'CANCEL',
  'CANCEL x',
  'ERROR',
  'ERROR what',
  'NEGOTIATE_UNIX_FD',
  'AGREE_UNIX_FD',
  'BEGIN',
  'OK',
  'REJECTED',
  'WHAT',
  '',
];

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('our server beside the reference', () => {
  it('gives the same answer to every line in every state', { timeout: 60_000 }, async () => {
    const bus = await startSaslBus(['EXTERNAL', 'ANONYMOUS']);
    try {
      await withServer(
        () => Promise.resolve([external, { name: 'ANONYMOUS' }]),
        async ({ path }) => {
          const sequences = LINES.flatMap((one) =>
            LINES.flatMap((two) => [
              [one, two],
              ['AUTH EXTERNAL', one, two],
            ]),
          );
          for (let count = 1; count < 9; count++) sequences.push(Array.from({ length: count }, () => 'AUTH'));
          for (const lines of sequences) {
            const theirs = await askServer(bus.path, lines);
            // It can pass file descriptors, and we cannot.
            const expected = theirs.map((answer) => (answer === 'AGREE_UNIX_FD' ? 'ERROR' : answer));
            expect({ lines, answers: await askServer(path, lines) }).toEqual({ lines, answers: expected });
          }
        },
      );
    } finally {
      await bus.close();
    }
  });
});

/** Runs a caller, which must succeed, and gives the outcome of its one connection. */
async function call(program: string, listener: SaslListener, env: NodeJS.ProcessEnv) {
  const [file, ...parameters] = (CALLERS[program] as (typeof CALLERS)[string])(listener.address);
  await run(file, parameters, { env, timeout: 8_000 });
  expect(listener.outcomes).toHaveLength(1);
  return (await listener.outcomes[0]) as Awaited<(typeof listener.outcomes)[number]>;
}

const cookies = async (keyring: string, prepared: PreparedCookie[]): Promise<SaslServerMechanism[]> => {
  const cookie = await new CookieKeyring({ directory: keyring }).prepare();
  prepared.push(cookie);
  return [cookie.mechanism];
};

for (const program of Object.keys(CALLERS)) {
  describeWith(program, findProgram(program) !== undefined)(`${program} at a server of ours`, () => {
    it('authenticates with EXTERNAL', async () => {
      await withServer(
        () => Promise.resolve([external]),
        async (listener, env) => {
          const { result, message } = await call(program, listener, env);
          expect(result).toMatchObject({ guid: GUID, mechanism: 'EXTERNAL', identity: UID });
          expect(message.member).toBe(program === 'dbus-send' ? 'Call' : 'Hello');
        },
      );
    });

    it('is let in by no other mechanism than the one we offer', async () => {
      await withServer(
        () => Promise.resolve([{ name: 'EXTERNAL', authorize: () => undefined }]),
        async (listener, env) => {
          await expect(call(program, listener, env)).rejects.toThrow(program);
          await expect(listener.outcomes[0]).rejects.toThrow(/REJECTED EXTERNAL/);
        },
      );
    });

    // sd-bus knows no cookies.
    if (program === 'busctl') return;
    it('authenticates with DBUS_COOKIE_SHA1', async () => {
      await withServer(cookies, async (listener, env) => {
        const { result, message } = await call(program, listener, env);
        expect(result).toMatchObject({ guid: GUID, mechanism: 'DBUS_COOKIE_SHA1', identity: UID });
        expect(message.member).toBe(program === 'dbus-send' ? 'Call' : 'Hello');
        const folder = join(env['HOME'] as string, '.dbus-keyrings');
        expect(statSync(folder).mode & 0o777).toBe(0o700);
        expect(statSync(join(folder, 'org_freedesktop_general')).mode & 0o777).toBe(0o600);
      });
    });

    it('is refused with a cookie that is not the one of the server', async () => {
      await withServer(
        async (keyring, prepared) => {
          const mechanisms = await cookies(keyring, prepared);
          const file = join(keyring, 'org_freedesktop_general');
          writeFileSync(file, readFileSync(file, 'latin1').replace(/[0-9a-f]{48}/, 'ab'.repeat(24)));
          return mechanisms;
        },
        async (listener, env) => {
          await expect(call(program, listener, env)).rejects.toThrow(program);
          await expect(listener.outcomes[0]).rejects.toThrow(/DATA [0-9a-f]+\r\nREJECTED DBUS_COOKIE_SHA1/);
        },
      );
    });
  });
}

describeWith('gdbus', findProgram('gdbus') !== undefined)('gdbus at a server of ours', () => {
  it('authenticates with ANONYMOUS', async () => {
    await withServer(
      () => Promise.resolve([{ name: 'ANONYMOUS' }]),
      async (listener, env) => {
        const { result } = await call('gdbus', listener, env);
        expect(result).toMatchObject({ guid: GUID, mechanism: 'ANONYMOUS' });
        expect(result).not.toHaveProperty('identity');
      },
    );
  });
});

const python = PYTHONS.find((name) => runs(name, ['-c', 'import jeepney.io.blocking']));

describeWith('python3 with jeepney', python !== undefined)('jeepney at a server of ours', () => {
  const CODE = `import sys
from jeepney.io.blocking import open_dbus_connection
from jeepney import DBusAddress, new_method_call
connection = open_dbus_connection(sys.argv[1])
assert connection.unique_name == ':1.1'
connection.send_and_get_reply(new_method_call(DBusAddress('/', bus_name='org.example', interface='org.example.Test'), 'Call'), timeout=10)
connection.close()
`;

  it('authenticates with EXTERNAL', async () => {
    await withServer(
      () => Promise.resolve([external]),
      async (listener, env) => {
        await run(python as string, ['-c', CODE, listener.address], { env, timeout: 8_000 });
        const outcome = await listener.outcomes[0];
        expect(outcome?.result).toMatchObject({ guid: GUID, mechanism: 'EXTERNAL', identity: UID });
        expect(outcome?.message.member).toBe('Hello');
      },
    );
  });
});
