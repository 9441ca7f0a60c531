/** A hostile bus or peer, and our client: a typed error, nothing that escapes, nothing that stays, others untouched. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  accept,
  type Bus,
  type BusOptions,
  Connection,
  connect,
  createMemoryPair,
  implement,
  type Message,
  openBus,
  reconnecting,
  Variant,
} from '../../src/wire/index.js';
import {
  BUS_NAME,
  busReply,
  Escapes,
  frame,
  GUID,
  type HostileServer,
  hostileMemory,
  hostileSocket,
  type RawSide,
  serveBus,
  serveSasl,
  UNIQUE_NAME,
} from '../support/hostile-peer.js';

const ECHO = { name: 'org.example.Echo', methods: { Echo: { in: 's', out: 's' } } } as const;
const echo = () => implement(ECHO, { methods: { Echo: (text) => text } });
const CALL = { destination: 'org.example.Peer', path: '/', interface: 'a.b', member: 'Do' } as const;
const SIGNAL = { type: 4, path: '/', interface: 'a.b', member: 'Ticked', sender: ':1.9' } as const;

/** Two of ours in the same process, which nothing that happens elsewhere may touch. */
let bystander: { near: Connection; far: Connection };
let escapes: Escapes;
const servers: HostileServer[] = [];
const opened: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  const [ours, theirs] = createMemoryPair();
  const [far, near] = await Promise.all([
    accept(theirs, { onConnection: (connection) => void connection.export('/', [echo()]) }),
    connect(ours),
  ]);
  bystander = { near, far };
});
afterAll(async () => {
  await Promise.all([bystander.near.close(), bystander.far.close()]);
});
beforeEach(() => {
  escapes = new Escapes();
});
afterEach(async () => {
  const call = {
    path: '/',
    interface: ECHO.name,
    member: 'Echo',
    signature: 's',
    body: ['still here'],
  } as const;
  expect(await bystander.near.call(call)).toEqual(['still here']);
  await Promise.all(opened.splice(0).map((one) => one.close()));
  await Promise.all(servers.splice(0).map((server) => server.close()));
  expect(await escapes.leaks()).toEqual([]);
  expect(escapes.errors).toEqual([]);
});

/** A message in which `bytes` stand at `offset`. */
function patched(message: Uint8Array, offset: number, ...bytes: number[]): Uint8Array {
  const copy = Uint8Array.from(message);
  copy.set(bytes, offset);
  return copy;
}

/** Many variants, one in the other. */
function nested(depth: number): Variant {
  let value: Variant = new Variant('y', 1);
  for (let level = 1; level < depth; level++) value = new Variant('v', value);
  return value;
}

/** A signal of `depth` variants in one another, which our own encoder would refuse. */
function deep(depth: number): Uint8Array {
  const whole = frame({ ...SIGNAL, signature: 'v', body: [nested(1)] });
  const header = whole.subarray(0, whole.length - 4);
  const body = Buffer.concat([
    ...Array.from({ length: depth - 1 }, () => Buffer.from([1, 0x76, 0])),
    Buffer.from([1, 0x79, 0, 1]),
  ]);
  const message = Buffer.concat([header, body]);
  message.writeUInt32LE(body.length, 4);
  return message;
}

const valid = frame({ ...SIGNAL, signature: 'as', body: [['one', 'two']] });
const bodyAt = valid.length - 24;

/** What no peer may send, and the code of the error that the connection ends with. */
const FORGED: readonly (readonly [string, Uint8Array, string | RegExp])[] = [
  ['garbage', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), /./],
  ['random bytes', Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 197 + 31) & 0xff)), /./],
  ['zeros', Buffer.alloc(4096), /./],
  [
    'a message of 2^27 + 1 bytes',
    patched(valid.subarray(0, 16), 4, 0xff, 0xff, 0xff, 0x07),
    /too-(?:long|large|big)/,
  ],
  [
    'lengths whose sum wraps',
    patched(valid.subarray(0, 16), 4, 0xf0, 0xff, 0xff, 0xff),
    /too-(?:long|large|big)/,
  ],
  [
    'header fields longer than any array',
    patched(valid.subarray(0, 16), 12, 0xff, 0xff, 0xff, 0xff),
    /too-(?:long|large|big)/,
  ],
  ['an array longer than its body', patched(valid, bodyAt, 0xff, 0xff, 0xff, 0x03), /./],
  ['an array longer than any', patched(valid, bodyAt, 0xff, 0xff, 0xff, 0xff), /./],
  ['a string longer than its array', patched(valid, bodyAt + 4, 0xff), /./],
  ['65 variants in one another', deep(65), /./],
  ['50,000 variants in one another', deep(50_000), /./],
  ['serial 0', patched(valid, 8, 0, 0, 0, 0), /./],
  ['message type 0', patched(valid, 1, 0), /./],
  ['version 2', patched(valid, 3, 2), /./],
  ['version 0', patched(valid, 3, 0), /./],
  ['no such byte order', patched(valid, 0, 0x6d), /./],
  ['the byte order swapped alone', patched(valid, 0, 0x42), /./],
];

const answerPing = (call: Message, side: RawSide): void => {
  if (call.member === 'Ping')
    side.write(busReply(call, 's', ['pong'], { sender: call.destination ?? BUS_NAME }));
};

describe.each([
  ['a socket', hostileSocket],
  ['memory', hostileMemory],
])('over %s, a bus', (_, hostile) => {
  async function serve(run: (side: RawSide) => void): Promise<HostileServer> {
    const server = await hostile(run);
    servers.push(server);
    return server;
  }

  /** How opening a bus that is served so ends. */
  async function failure(run: (side: RawSide) => void, options: BusOptions = {}): Promise<unknown> {
    const server = await serve(run);
    const result = await openBus(server.target(), { connectTimeoutMs: 5000, ...options }).then(
      (bus) => {
        opened.push(bus);
        return undefined;
      },
      (error: unknown) => error,
    );
    // We have let go of it too.
    await Promise.race([
      server.sides[0]?.closed,
      delay(2000, undefined, { ref: false }).then(() => expect.unreachable('still connected')),
    ]);
    return result;
  }

  /** A bus that is open, and the side that serves it. */
  async function open(
    take: (call: Message, side: RawSide) => void = () => {},
    options: BusOptions = {},
  ): Promise<{ bus: Bus; side: RawSide; calls: Message[] }> {
    const calls: Message[] = [];
    const server = await serve((side) =>
      serveBus(side, (message) => {
        calls.push(message);
        take(message, side);
      }),
    );
    const bus = await openBus(server.target(), { connectTimeoutMs: 5000, ...options });
    opened.push(bus);
    return { bus, side: server.sides[0] as RawSide, calls };
  }

  describe('that is no good while it authenticates', () => {
    it.each<[string, (side: RawSide) => void]>([
      ['sends garbage at once', (side) => side.write(Buffer.alloc(1024, 0xfe))],
      ['sends garbage as lines', (side) => side.write('\xff\xfe\x00\r\nOK\r\n')],
      ['sends NULs', (side) => side.write('\0'.repeat(100_000))],
      ['sends a line without an end', (side) => side.write('OK '.padEnd(1_000_000, 'a'))],
      ['sends 100,000 lines', (side) => side.write('ERROR\r\n'.repeat(100_000))],
      ['rejects for ever', (side) => serveSasl(side, () => {}, 'REJECTED EXTERNAL\r\n'.repeat(1000))],
      ['sends DATA for ever', (side) => serveSasl(side, () => {}, 'DATA\r\n'.repeat(1000))],
      ['gives no guid', (side) => serveSasl(side, () => {}, 'OK\r\n')],
      ['gives no valid guid', (side) => serveSasl(side, () => {}, `OK ${'x'.repeat(32)}\r\n`)],
      ['rejects all', (side) => serveSasl(side, () => {}, 'REJECTED\r\n')],
    ])('%s', async (_name, run) => {
      // A line that never ends may also just not be one yet.
      const error = await failure(run, { connectTimeoutMs: 300 });
      expect(error).toMatchObject({ code: expect.stringMatching(/^(?:protocol|rejected|deadline)$/) });
    });

    it.each<[string, (side: RawSide) => void]>([
      ['sends a line of 16 KiB without an end', (side) => side.write('OK '.padEnd(16_385, 'a'))],
      ['sends 65 lines', (side) => side.write('ERROR\r\n'.repeat(65))],
    ])('%s: told at once, not at the deadline', async (_name, run) => {
      expect(await failure(run)).toMatchObject({ name: 'AuthError' });
    });

    it.each<[string, (side: RawSide) => void]>([
      ['hangs up at once', (side) => side.destroy()],
      ['ends its half at once', (side) => side.end()],
      ['hangs up right after OK', (side) => serveSasl(side, () => {}, `OK ${GUID}\r\n`)],
    ])('%s', async (name, run) => {
      const error = await failure((side) => {
        run(side);
        if (name.includes('OK')) {
          const { onData } = side;
          side.onData = (bytes) => {
            onData(bytes);
            if (bytes.includes('AUTH')) setImmediate(() => side.destroy());
          };
        }
      });
      expect(error).toMatchObject({ code: 'closed', cause: { code: 'disconnected' } });
    });

    it.each<[string, string]>([
      ['nothing', ''],
      ['OK byte by byte, and stops before its end', `OK ${GUID}\r`],
    ])('says %s: the deadline ends it', async (_name, text) => {
      const error = await failure(
        (side) => {
          void (async () => {
            for (const character of text) {
              side.write(character);
              await delay(1);
            }
          })();
        },
        { connectTimeoutMs: 150 },
      );
      expect(error).toMatchObject({ code: 'deadline', deadline: 'connect' });
    });

    it('trickles lines for ever: the deadline ends it', async () => {
      let timer: NodeJS.Timeout | undefined;
      const error = await failure(
        (side) => {
          timer = setInterval(() => side.write('a'), 5);
          void side.closed.then(() => clearInterval(timer));
        },
        { connectTimeoutMs: 150 },
      );
      expect(error).toMatchObject({ code: 'deadline', deadline: 'connect' });
    });
  });

  describe('that is no good at Hello', () => {
    it.each(FORGED)('sends %s right behind OK', async (_name, bytes, code) => {
      const error = await failure((side) =>
        serveSasl(side, () => {}, `OK ${GUID}\r\n${Buffer.from(bytes).toString('latin1')}`),
      ).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'closed', cause: { name: 'ProtocolError' } });
      if (code !== undefined)
        expect((error as { cause: unknown }).cause).toMatchObject({ code: expect.stringMatching(code) });
    });

    it('never answers', async () => {
      const error = await failure((side) => serveSasl(side, () => {}), { connectTimeoutMs: 100 });
      expect(error).toMatchObject({ code: 'deadline', deadline: 'connect' });
    });

    it('sends signals for ever instead of the answer', async () => {
      let timer: NodeJS.Timeout | undefined;
      const error = await failure(
        (side) => {
          serveSasl(side, () => {
            timer = setInterval(() => side.write(valid), 1);
          });
          void side.closed.then(() => clearInterval(timer));
        },
        { connectTimeoutMs: 150 },
      );
      expect(error).toMatchObject({ code: 'deadline', deadline: 'connect' });
    });

    it.each<[string, (call: Message) => Uint8Array, object]>([
      [
        'an error',
        (call) => frame({ type: 3, replySerial: call.serial, errorName: 'a.b', sender: BUS_NAME }),
        { code: 'error-reply' },
      ],
      ['nothing', (call) => busReply(call, '', []), { code: 'unexpected-signature' }],
      ['a number', (call) => busReply(call, 'u', [1]), { code: 'unexpected-signature' }],
      ['two names', (call) => busReply(call, 'ss', [':1.1', ':1.2']), { code: 'unexpected-signature' }],
      ['an empty name', (call) => busReply(call, 's', ['']), { code: 'connect-failed' }],
      ['a well-known name', (call) => busReply(call, 's', ['org.example.You']), { code: 'connect-failed' }],
      ['no name at all', (call) => busReply(call, 's', ['\u202e; rm -rf']), { code: 'connect-failed' }],
      [
        'a name too long',
        (call) => busReply(call, 's', [`:${'1.'.repeat(200)}1`]),
        { code: 'connect-failed' },
      ],
    ])('answers with %s', async (_name, answer, expected) => {
      const error = await failure((side) => serveSasl(side, (call) => side.write(answer(call))));
      expect(error).toMatchObject(expected);
    });

    it('answers in the other byte order, in one chunk with more: it is taken', async () => {
      const server = await serve((side) =>
        serveSasl(side, (call) => {
          if (call.member !== 'Hello')
            return side.write(
              frame(
                { type: 2, replySerial: call.serial, sender: ':1.5', serial: 9, signature: 'x', body: [-5n] },
                'big',
              ),
            );
          const hello = {
            type: 2,
            replySerial: call.serial,
            sender: BUS_NAME,
            signature: 's',
            body: [UNIQUE_NAME],
          };
          return side.write(
            Buffer.concat([
              frame({ ...SIGNAL }, 'big'),
              frame(hello, 'big'),
              frame(SIGNAL),
              frame({ type: 7 }),
            ]),
          );
        }),
      );
      const bus = await openBus(server.target());
      opened.push(bus);
      expect(bus.uniqueName).toBe(UNIQUE_NAME);
      expect(await bus.call(CALL)).toEqual([-5n]);
    });
  });

  describe('that turns bad', () => {
    it.each(FORGED)('by sending %s', async (_name, bytes, code) => {
      const { bus, side } = await open();
      const calls = [bus.call(CALL), bus.call(CALL)].map((call) => call.catch((error: unknown) => error));
      const ticks = bus.signals({ interface: 'a.b' });
      ticks.ready.catch(() => {});
      const next = ticks.next().catch((error: unknown) => error);
      side.write(bytes);
      const cause = { name: 'ProtocolError', code: expect.stringMatching(code) };
      for (const call of calls) expect(await call).toMatchObject({ code: 'closed', cause });
      expect(await next).toMatchObject({ code: 'closed', cause });
      expect(await bus.closed).toMatchObject(cause);
      await expect(bus.call(CALL)).rejects.toMatchObject({ code: 'closed', cause });
      await side.closed;
    });

    it('by hanging up, with calls waiting', async () => {
      const { bus } = await open((_call, side) => side.destroy());
      await expect(bus.call(CALL)).rejects.toMatchObject({ code: 'closed', cause: { code: 'disconnected' } });
    });

    it.each([1, 8, 15, 16, 17, 40, valid.length - 1])(
      'by ending its half after %i bytes of a message',
      async (byteLength) => {
        const { bus, side } = await open();
        side.write(valid.subarray(0, byteLength));
        side.end();
        expect(await bus.closed).toMatchObject({ name: 'ProtocolError', code: 'truncated' });
        await side.closed;
      },
    );

    it('by sending a message too long, byte by byte: refused at its 16th', async () => {
      const { bus, side } = await open();
      const bytes = patched(valid.subarray(0, 16), 4, 0xff, 0xff, 0xff, 0x07);
      for (const byte of bytes.subarray(0, 15)) side.write(Uint8Array.of(byte));
      await delay(5);
      expect(await Promise.race([bus.closed, delay(20, 'open')])).toBe('open');
      side.write(bytes.subarray(15));
      expect(await bus.closed).toMatchObject({ name: 'ProtocolError', code: expect.stringMatching(/too/) });
    });

    it('by never answering: the deadline of the call ends the wait, and the connection goes on', async () => {
      const { bus } = await open((call, side) => {
        if (call.member === 'GetId') side.write(busReply(call, 's', ['an id']));
      });
      await expect(bus.call({ ...CALL, timeoutMs: 20 })).rejects.toMatchObject({
        code: 'deadline',
        deadline: 'call',
      });
      expect(await bus.call({ ...CALL, destination: BUS_NAME, member: 'GetId' })).toEqual(['an id']);
    });
  });

  describe('that lies', () => {
    const ping = { destination: ':1.5', path: '/', member: 'Ping', replySignature: 's' } as const;

    it('with 70,000 replies to calls never made', async () => {
      const { bus, side } = await open(answerPing);
      for (let serial = 2; serial < 70_000; serial += 1000) {
        const replies = Array.from({ length: 1000 }, (_value, index) =>
          frame({
            type: index % 2 === 0 ? 2 : 3,
            errorName: 'a.b',
            replySerial: serial + index + 100_000,
            sender: ':1.5',
          }),
        );
        side.write(Buffer.concat(replies));
      }
      expect(await bus.call(ping)).toEqual(['pong']);
    });

    it('with replies of others, whose serials were guessed: the one who was asked is waited for', async () => {
      const { bus } = await open((call, side) => {
        for (const sender of [':1.6', 'org.example.Other', BUS_NAME, ':1.55']) {
          side.write(frame({ type: 2, replySerial: call.serial, sender, signature: 's', body: ['forged'] }));
          if (sender !== BUS_NAME)
            side.write(frame({ type: 3, replySerial: call.serial, sender, errorName: 'a.b' }));
        }
        answerPing(call, side);
      });
      expect(await bus.call(ping)).toEqual(['pong']);
    });

    it('with replies in the name of others to a call of the bus itself', async () => {
      const { bus } = await open((call, side) => {
        side.write(busReply(call, 's', [':1.66'], { sender: ':1.66' }));
        side.write(busReply(call, 's', [':1.1'], { sender: BUS_NAME }));
      });
      expect(await bus.nameOwner('org.example.Name')).toBe(':1.1');
    });

    it('with the same reply twice, and with an error behind the reply', async () => {
      const { bus } = await open((call, side) => {
        answerPing(call, side);
        answerPing(call, side);
        side.write(frame({ type: 3, replySerial: call.serial, errorName: 'a.b', sender: ':1.5' }));
      });
      expect(await bus.call(ping)).toEqual(['pong']);
      expect(await bus.call(ping)).toEqual(['pong']);
    });

    it('with an error in place of the reply, whatever its arguments', async () => {
      const bodies: [string, unknown[]][] = [
        ['', []],
        ['u', [7]],
        ['s', ['a\u001b[31m\r\nb'.repeat(1000)]],
        ['a{sv}', [new Map()]],
      ];
      const { bus } = await open((call, side) => {
        const [signature, body] = bodies[Number(call.member?.slice(1))] as [string, unknown[]];
        side.write(
          frame({
            type: 3,
            replySerial: call.serial,
            errorName: 'org.example.Bad',
            sender: ':1.5',
            signature,
            body,
          }),
        );
      });
      for (const index of bodies.keys()) {
        const error = (await bus
          .call({ ...ping, member: `M${index}` })
          .catch((thrown: unknown) => thrown)) as Error;
        expect(error).toMatchObject({ code: 'error-reply', name: 'org.example.Bad' });
        expect(error.message).toMatch(/^[^\p{Cc}]{0,512}$/u);
      }
    });

    it.each<[string, string, unknown[]]>([
      ['nothing', '', []],
      ['another type', 'u', [1]],
      ['one value more', 'ss', ['a', 'b']],
      ['a variant around it', 'v', [new Variant('s', 'a')]],
    ])('with a reply of %s', async (_name, signature, body) => {
      const { bus } = await open((call, side) => {
        if (call.member === 'Ask') side.write(busReply(call, signature, body, { sender: ':1.5' }));
        answerPing(call, side);
      });
      await expect(bus.call({ ...ping, member: 'Ask' })).rejects.toMatchObject({
        code: 'unexpected-signature',
        actual: signature,
      });
      expect(await bus.call(ping)).toEqual(['pong']);
    });

    it('about match rules, by refusing them', async () => {
      const { bus } = await open((call, side) => {
        side.write(
          frame({
            type: 3,
            replySerial: call.serial,
            errorName: 'org.freedesktop.DBus.Error.LimitsExceeded',
            sender: BUS_NAME,
          }),
        );
      });
      const ticks = bus.signals({ interface: 'a.b' });
      await expect(ticks.ready).rejects.toMatchObject({ code: 'error-reply' });
      await expect(ticks.next()).rejects.toMatchObject({ code: 'error-reply' });
      const errors: unknown[] = [];
      bus.signals({ interface: 'a.b' }, () => {}, { onError: (error) => errors.push(error) });
      await expect.poll(() => errors).toMatchObject([{ code: 'error-reply' }]);
      // Nobody looks at the error of this one.
      bus.signals({ interface: 'a.c', sender: 'org.example.Named' }, () => {});
      await delay(10);
    });

    it('about match rules, by never saying a word of them', async () => {
      const { bus } = await open(() => {}, { callTimeoutMs: 30 });
      const ticks = bus.signals({ interface: 'a.b', sender: 'org.example.Named' });
      await expect(ticks.ready).rejects.toMatchObject({ code: 'deadline' });
      await ticks.close();
      const other = bus.signals({ interface: 'a.c' });
      await other.close();
      await expect(other.ready).rejects.toMatchObject({ code: 'closed' });
    });

    it('about owners: only the bus itself tells who owns a name', async () => {
      const { bus, side } = await open((call, peer) => {
        if (call.member === 'GetNameOwner') peer.write(busReply(call, 's', [':1.9']));
        else peer.write(busReply(call, '', []));
      });
      const ticks = bus.signals({ sender: 'org.example.Named', interface: 'a.b' });
      const changes = bus.watchName('org.example.Named');
      await Promise.all([ticks.ready, changes.ready]);
      const change = {
        type: 4,
        path: '/org/freedesktop/DBus',
        interface: BUS_NAME,
        member: 'NameOwnerChanged',
        signature: 'sss',
        body: ['org.example.Named', ':1.9', ':1.66'],
      };
      for (const sender of [':1.66', 'org.example.Named', undefined]) {
        side.write(frame(sender === undefined ? change : { ...change, sender }));
      }
      // Nor from the bus when they are not of the form that it has.
      side.write(
        frame({ ...change, sender: BUS_NAME, signature: 'ss', body: ['org.example.Named', ':1.66'] }),
      );
      side.write(frame({ ...change, sender: BUS_NAME, interface: 'org.example.Bus' }));
      side.write(frame({ ...SIGNAL, sender: ':1.66', signature: 's', body: ['forged'] }));
      side.write(frame({ ...SIGNAL, signature: 's', body: ['true'] }));
      expect((await ticks.next()).value?.body).toEqual(['true']);
      expect(changes.queued).toBe(0);
    });

    it('about whom a call is for: only what is for us is answered', async () => {
      const { bus, side, calls } = await open();
      bus.export('/', [echo()]);
      const call = {
        type: 1,
        path: '/',
        interface: ECHO.name,
        member: 'Echo',
        signature: 's',
        body: ['x'],
        sender: ':1.9',
      };
      side.write(frame({ ...call, serial: 1, destination: ':1.8' }));
      side.write(frame({ ...call, serial: 2, destination: ':1.77' }));
      side.write(frame({ ...call, serial: 3, flags: 1, destination: UNIQUE_NAME }));
      side.write(frame({ ...call, serial: 4, destination: UNIQUE_NAME }));
      await expect.poll(() => calls).toHaveLength(1);
      await delay(10);
      expect(calls).toMatchObject([{ type: 2, replySerial: 4, destination: ':1.9', body: ['x'] }]);
    });

    it('with signals for somebody else', async () => {
      const { bus, side } = await open((call, peer) => peer.write(busReply(call, '', [])));
      const ticks = bus.signals({ interface: 'a.b' });
      await ticks.ready;
      side.write(frame({ ...SIGNAL, destination: ':1.8', signature: 's', body: ['not ours'] }));
      side.write(frame({ ...SIGNAL, destination: UNIQUE_NAME, signature: 's', body: ['ours'] }));
      expect((await ticks.next()).value?.body).toEqual(['ours']);
    });

    it('with every message in pieces of one byte: it is read all the same', async () => {
      const { bus } = await open((call, side) => {
        const reply = busReply(call, 's', ['in pieces'], { sender: ':1.5' });
        void (async () => {
          for (const byte of reply) {
            side.write(Uint8Array.of(byte));
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
      });
      expect(await bus.call(ping)).toEqual(['in pieces']);
    });
  });
});

describe('over a socket alone, a bus', () => {
  it.each(['AUTH', 'Hello', 'Do'])('that resets the connection at %s', async (phase) => {
    const server = await hostileSocket((side) => {
      // Bytes that were not read make a reset of the end of a Unix socket.
      const reset = (): void => {
        side.socket?.pause();
        setTimeout(() => side.destroy(), 5);
      };
      if (phase === 'AUTH') reset();
      else if (phase === 'Hello') serveSasl(side, reset);
      else serveBus(side, reset);
    });
    servers.push(server);
    const act = async (): Promise<void> => {
      const bus = await openBus(server.target());
      opened.push(bus);
      const first = bus.call(CALL);
      first.catch(() => {});
      await delay(2);
      await Promise.all([first, bus.call(CALL)]);
    };
    const error = await act().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'closed', cause: { code: 'disconnected' } });
  });

  it('that resets a connection over TCP', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.resetAndDestroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await expect(openBus(`tcp:host=127.0.0.1,port=${port}`)).rejects.toMatchObject({
      code: 'closed',
      cause: { code: 'disconnected' },
    });
    server.close();
    await once(server, 'close');
  });

  it('that is connected to again and again, and is bad each time: given up in time, without a loop', async () => {
    let served = 0;
    const server = await hostileSocket((side) => {
      if (served++ > 0) side.write('garbage\r\n'.repeat(100));
      else serveBus(side, () => side.destroy());
    });
    servers.push(server);
    const bus = await openBus(server.target(), {
      reconnect: reconnecting({ initialDelayMs: 5, maxDelayMs: 10, giveUpAfterMs: 200 }),
    });
    opened.push(bus);
    await expect(bus.call(CALL)).rejects.toMatchObject({ code: 'closed' });
    expect(await bus.closed).toMatchObject({ name: 'AuthError' });
    expect(served).toBeGreaterThan(2);
    expect(served).toBeLessThan(60);
  });

  it('that is good until Hello, and hangs up, each time: it is not hammered', async () => {
    let served = 0;
    const server = await hostileSocket((side) => {
      served++;
      serveSasl(side, (call) => {
        side.write(busReply(call, 's', [UNIQUE_NAME]));
        setImmediate(() => side.destroy());
      });
    });
    servers.push(server);
    const bus = await openBus(server.target(), {
      reconnect: reconnecting({ initialDelayMs: 5, maxDelayMs: 1000 }),
    });
    opened.push(bus);
    await delay(500);
    await bus.close();
    // Each attempt succeeds, so that only what it waits at first keeps it from being a loop.
    expect(served).toBeLessThan(200);
    expect(await bus.closed).toBeUndefined();
  });
});
