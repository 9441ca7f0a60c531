/** Buses that refuse, fall silent, or go away at the worst moment: every wait ends, and nothing of one subscription harms another. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  type Bus,
  type BusOptions,
  connect,
  listen,
  type Message,
  openBus,
  type ReconnectOptions,
  reconnecting,
  watchObjects,
} from '../../src/wire/index.js';
import {
  BUS_NAME,
  busReply,
  frame,
  type HostileServer,
  hostileSocket,
  type RawSide,
  serveBus,
  serveSasl,
} from '../support/hostile-peer.js';
import { closeAfterEach } from '../support/opened.js';
import { type Answer, openScriptedBus } from '../support/scripted-peer.js';

const CALL = { destination: ':1.9', path: '/', member: 'Get' };
const REFUSED = { errorName: 'org.freedesktop.DBus.Error.LimitsExceeded' };
const SIGNAL = { type: 4, flags: 1, path: '/', interface: 'a.b', member: 'M', sender: ':1.5' };

/** What a bus that refuses nothing answers. */
function agree({ member = '' }: Message): Exclude<Answer, undefined> {
  if (member === 'GetNameOwner') return { signature: 's', body: [':1.5'] };
  if (member === 'RequestName' || member === 'ReleaseName') return { signature: 'u', body: [1] };
  if (member === 'GetManagedObjects') return { signature: 'a{oa{sa{sv}}}', body: [new Map()] };
  return { signature: '', body: [] };
}
const isOwnerRule = ({ body }: Message): boolean => String(body[0]).includes('NameOwnerChanged');

/** What became of a promise, or `hangs`. */
async function outcome(promise: Promise<unknown>, withinMs = 500): Promise<unknown> {
  return await Promise.race([
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    delay(withinMs).then(() => 'hangs'),
  ]);
}

const open = closeAfterEach();

/** A bus that can be lost; it comes back unless it `refuses`. */
class LostBus {
  /** Calls by connection. */
  readonly calls: Message[][] = [];
  refuses = false;
  back = 0;
  bus!: Bus;
  #server!: HostileServer;

  static async open(
    answer: (call: Message, round: number, side: RawSide) => Answer = agree,
    options: BusOptions = {},
    reconnect: ReconnectOptions = {},
  ): Promise<LostBus> {
    const lost = new LostBus();
    lost.#server = await hostileSocket((side) => lost.#serve(side, answer));
    const onReconnect = (): void => void lost.back++;
    lost.bus = await openBus(lost.#server.target(), {
      reconnect: reconnecting({ initialDelayMs: 5, maxDelayMs: 10, onReconnect, ...reconnect }),
      ...options,
    });
    open.push(lost.bus, lost.#server);
    return lost;
  }

  get address(): string {
    return this.#server.target() as string;
  }

  #serve(side: RawSide, answer: (call: Message, round: number, side: RawSide) => Answer): void {
    if (this.refuses) {
      side.destroy();
      return;
    }
    const calls: Message[] = [];
    const round = this.calls.push(calls) - 1;
    serveBus(side, (call) => {
      calls.push(call);
      const reply = answer(call, round, side);
      if (reply === undefined) return;
      if ('errorName' in reply) {
        side.write(
          frame({
            type: 3,
            flags: 1,
            replySerial: call.serial,
            sender: BUS_NAME,
            errorName: reply.errorName,
          }),
        );
      } else {
        side.write(busReply(call, reply.signature, reply.body, { sender: call.destination ?? BUS_NAME }));
      }
    });
  }

  drop(): void {
    this.#server.sides.at(-1)?.destroy();
  }

  async dropForGood(): Promise<void> {
    this.refuses = true;
    this.drop();
    await delay(20);
  }

  async dropAndReturn(): Promise<void> {
    const before = this.back;
    this.drop();
    await expect.poll(() => this.back).toBe(before + 1);
    await delay(10);
  }

  /** First arguments of the calls of `member` on connection `round`. */
  asked(member: string, round: number): unknown[] {
    return (this.calls[round] ?? []).filter((call) => call.member === member).map(({ body }) => body[0]);
  }
}

describe('a match rule that the bus refuses', () => {
  it('is not removed later in the place of another subscription that got it', async () => {
    let refuses = true;
    const { bus, peer } = await openScriptedBus((call) => (refuses ? REFUSED : agree(call)));
    open.push(bus);
    const one = bus.signals({ interface: 'a.b' });
    await expect(one.ready).rejects.toMatchObject({ code: 'error-reply' });
    refuses = false;
    const two = bus.signals({ interface: 'a.b' });
    await two.ready;
    await one.close();
    expect(peer.calls.map(({ member }) => member)).toEqual(['AddMatch', 'AddMatch']);
  });

  it('of a name that is followed may be tried again', async () => {
    let refuses = true;
    const { bus } = await openScriptedBus((call) =>
      refuses && call.member === 'AddMatch' ? REFUSED : agree(call),
    );
    open.push(bus);
    const loop = async (): Promise<void> => {
      for await (const signal of bus.signals({ sender: 'a.b' })) expect(signal).toBeUndefined();
    };
    await expect(loop()).rejects.toMatchObject({ code: 'error-reply' });
    refuses = false;
    await bus.signals({ sender: 'a.b' }).ready;
  });

  it('leaves nothing of its subscription on the bus, though nobody closes it', async () => {
    const { bus, peer } = await openScriptedBus((call) =>
      call.member === 'AddMatch' && !isOwnerRule(call) ? REFUSED : agree(call),
    );
    open.push(bus);
    const loop = async (): Promise<void> => {
      for await (const signal of bus.signals({ sender: 'a.b', member: 'M' })) expect(signal).toBeUndefined();
    };
    await expect(loop()).rejects.toMatchObject({ code: 'error-reply' });
    await delay(5);
    expect(peer.calls.map(({ member }) => member)).toEqual([
      'AddMatch',
      'GetNameOwner',
      'AddMatch',
      'RemoveMatch',
    ]);
  });

  it('on the next connection ends the subscription', async () => {
    const lost = await LostBus.open((call, round) =>
      call.member === 'AddMatch' && round > 0 ? REFUSED : agree(call),
    );
    const one = lost.bus.signals({ interface: 'a.b' });
    await one.ready;
    await lost.dropAndReturn();
    expect(await outcome(one.next())).toMatchObject({ error: { code: 'error-reply' } });
  });

  it('by silence is removed, since the bus may have it', async () => {
    const { bus, peer } = await openScriptedBus(() => undefined, { callTimeoutMs: 10 });
    open.push(bus);
    const one = bus.signals({ interface: 'a.b' });
    await expect(one.ready).rejects.toMatchObject({ code: 'deadline' });
    await delay(5);
    expect(peer.calls.map(({ member }) => member)).toEqual(['AddMatch', 'RemoveMatch']);
  });
});

describe('while the bus is lost', () => {
  it.each(['close', 'abort'] as const)(
    'a subscription that ends by %s is no longer getting ready',
    async (how) => {
      const lost = await LostBus.open();
      await lost.dropForGood();
      const controller = new AbortController();
      const one = lost.bus.signals({ interface: 'a.b' }, { signal: controller.signal });
      const ready = outcome(one.ready);
      if (how === 'close') await one.close();
      else controller.abort();
      expect(await ready).not.toBe('hangs');
    },
  );

  it('a subscription by a well-known name waits like every other, longer than a call may', async () => {
    const lost = await LostBus.open(agree, { callTimeoutMs: 30 });
    await lost.dropForGood();
    const both = [{}, { sender: 'a.b' }].map((rule) => outcome(lost.bus.signals(rule).ready, 2000));
    await delay(100);
    lost.refuses = false;
    expect(await Promise.all(both)).toEqual([{ value: undefined }, { value: undefined }]);
  });

  it('a call waits, also when it is made at once by who learns of the loss', async () => {
    const lost = await LostBus.open((call, round) =>
      call.member === 'Get' && round === 0 ? undefined : agree(call),
    );
    const { bus } = lost;
    const waiting = bus.call(CALL).catch(() => bus.call(CALL));
    await delay(5);
    lost.drop();
    expect(await outcome(waiting, 1000)).toEqual({ value: [] });
  });

  it('a call that runs out of time on the next connection names its own timeout', async () => {
    const lost = await LostBus.open((call) => (call.member === 'Get' ? undefined : agree(call)));
    lost.drop();
    await delay(3);
    await expect(lost.bus.call({ ...CALL, timeoutMs: 100 })).rejects.toMatchObject({ timeoutMs: 100 });
  });

  it('attempts end in time: each within `connectTimeoutMs`, all within `giveUpAfterMs`', async () => {
    let isMute = false;
    let attempts = 0;
    const server = await hostileSocket((side) => {
      attempts++;
      if (!isMute) serveBus(side);
    });
    const reconnect = reconnecting({ initialDelayMs: 5, maxDelayMs: 5, giveUpAfterMs: 300 });
    const bus = await openBus(server.target(), { connectTimeoutMs: 50, reconnect });
    open.push(bus, server);
    isMute = true;
    server.sides[0]?.destroy();
    expect(await outcome(bus.closed, 2000)).toMatchObject({
      value: { code: 'deadline', deadline: 'connect' },
    });
    expect(attempts).toBeGreaterThan(3);
  });

  it('an attempt that the end of the time cuts short does not hide why those before it failed', async () => {
    const refused = new Error('refused');
    let attempts = 0;
    const failingThenHanging = (): Promise<void> =>
      attempts++ === 0 ? Promise.reject(refused) : new Promise(() => {});
    const run = reconnecting({ initialDelayMs: 1, maxDelayMs: 1, giveUpAfterMs: 500 })
      .attempts({ signal: new AbortController().signal, timeoutMs: 10_000 })
      .run(new Error('lost'), failingThenHanging);
    expect(await run).toBe(refused);
    expect(attempts).toBe(2);
  });

  it('a delay longer than a timer can hold is no storm of attempts', async () => {
    const endless = { initialDelayMs: Number.POSITIVE_INFINITY, maxDelayMs: Number.POSITIVE_INFINITY };
    const lost = await LostBus.open(agree, {}, endless);
    lost.drop();
    await delay(50);
    expect(lost.calls).toHaveLength(1);
  });
});

describe('on the next connection', () => {
  it('the owner of a name is asked for before signals come for it', async () => {
    const lost = await LostBus.open((call, round, side) => {
      // The owner sends as soon as the bus has the rule.
      if (round === 1 && call.member === 'AddMatch' && !isOwnerRule(call)) side.write(frame(SIGNAL));
      return agree(call);
    });
    const one = lost.bus.signals({ sender: 'a.b', member: 'M' });
    await one.ready;
    lost.drop();
    expect(await outcome(one.next(), 1000)).toMatchObject({ value: { done: false } });
  });

  it('a name released while it was being requested is not requested', async () => {
    const lost = await LostBus.open();
    await Promise.all([lost.bus.requestName('a.b'), lost.bus.releaseName('a.b')]);
    await lost.dropAndReturn();
    expect(lost.asked('RequestName', 1)).toEqual([]);
  });

  it('a name is not requested whose queue was left', async () => {
    let code = 2;
    const lost = await LostBus.open((call) =>
      call.member === 'RequestName' ? { signature: 'u', body: [code] } : agree(call),
    );
    expect(await lost.bus.requestName('a.b', { queue: true })).toBe('in-queue');
    code = 3;
    expect(await lost.bus.requestName('a.b')).toBe('exists');
    await lost.dropAndReturn();
    expect(lost.asked('RequestName', 1)).toEqual([]);
  });

  it('a monitor is no longer one, and says so; signals arrive again', async () => {
    const lost = await LostBus.open((call, _round, side) => {
      if (call.member === 'Emit') side.write(frame(SIGNAL));
      return agree(call);
    });
    const one = lost.bus.signals({ interface: 'a.b' });
    const monitor = lost.bus.monitor();
    await Promise.all([one.ready, monitor.ready]);
    await lost.dropAndReturn();
    expect(await outcome(monitor.next())).toMatchObject({
      error: { code: 'closed', cause: { code: 'disconnected' } },
    });
    await lost.bus.call({ ...CALL, member: 'Emit' });
    expect(await outcome(one.next())).toMatchObject({ value: { done: false } });
  });

  it('of another bus too the same `reconnecting()` serves, or is refused', async () => {
    const lost = await LostBus.open();
    const reconnect = reconnecting({ initialDelayMs: 5, maxDelayMs: 10 });
    await (await openBus(lost.address, { reconnect })).close();
    const second = await openBus(lost.address, { reconnect }).catch((error: unknown) => error as Error);
    if (second instanceof Error) {
      expect(second).toMatchObject({ code: 'invalid-option' });
      return;
    }
    open.unshift(second);
    lost.drop();
    await delay(5);
    expect(await outcome(second.call(CALL), 1000)).toEqual({ value: [] });
  });

  it('what is not made by `reconnecting()` is refused at the beginning', async () => {
    const lost = await LostBus.open();
    for (const reconnect of [{}, true, 'yes'] as never[]) {
      await expect(openBus(lost.address, { reconnect })).rejects.toMatchObject({ code: 'invalid-option' });
    }
  });
});

describe('a connection that ends right after Hello', () => {
  it('is refused with the reason', async () => {
    const garbage = Buffer.from('garbage '.repeat(4));
    const server = await hostileSocket((side) =>
      serveSasl(side, (call) => side.write(Buffer.concat([busReply(call, 's', [':1.7']), garbage]))),
    );
    open.push(server);
    expect(await outcome(openBus(server.target()))).toMatchObject({
      error: { code: 'closed', cause: { code: 'bad-endian' } },
    });
  });
});

describe('a monitor', () => {
  it('whose subscription is closed still answers no call', async () => {
    const { bus, peer } = await openScriptedBus(agree);
    open.push(bus);
    const monitor = bus.monitor();
    await monitor.ready;
    await monitor.close();
    const call = { type: 1, flags: 0, path: '/', member: 'Unlock', sender: ':1.5', signature: '', body: [] };
    peer.send({ ...call, destination: 'org.freedesktop.secrets' });
    await delay(5);
    expect(peer.others).toEqual([]);
  });
});

describe('the reply to a sensitive call', () => {
  it.each(['deadline', 'cancelled'])(
    'is sensitive, though it comes when the call has ended by %s',
    async (code) => {
      const seen: [number, boolean][] = [];
      const record = (_frame: Uint8Array, { type }: Message, sensitive: boolean): void =>
        void seen.push([type, sensitive]);
      const { bus, peer } = await openScriptedBus(() => undefined, { recorder: { record } });
      open.push(bus);
      const controller = new AbortController();
      const timeoutMs = code === 'deadline' ? 5 : undefined;
      const waiting = bus.call({ ...CALL, sensitive: true, timeoutMs, signal: controller.signal });
      setTimeout(() => code === 'cancelled' && controller.abort(), 5);
      await expect(waiting).rejects.toMatchObject({ code });
      peer.reply(peer.calls[0] as Message, { signature: 's', body: ['correct horse'] });
      await delay(5);
      expect(seen.slice(-2)).toEqual([
        [1, true],
        [2, true],
      ]);
    },
  );
});

describe('objects below the root', () => {
  it('are followed by a rule that every bus takes for all paths', async () => {
    const { bus, peer } = await openScriptedBus(agree);
    open.push(bus);
    await watchObjects(bus, 'org.bluez', '/');
    expect(peer.calls.map(({ body }) => body[0]).join()).not.toContain("path_namespace='/'");
  });
});

async function noMechanisms(): Promise<{ mechanisms: [] }> {
  return { mechanisms: [] };
}

describe('a server', () => {
  it('that is closed in `onConnection` ends all in order, and keeps no connection', async () => {
    const errors: unknown[] = [];
    const server = await listen('unix:tmpdir=/tmp', {
      onConnection: (peer) => {
        void peer.send({ ...SIGNAL, signature: '', body: [] });
        void server.close();
      },
      onError: (error) => errors.push(error),
    });
    const peer = await connect(server.address).catch(() => undefined);
    await peer?.closed;
    await server.close();
    await delay(10);
    expect(errors).toEqual([]);
    expect(server.connections.size).toBe(0);
  });

  it.each([Number.NaN, -1, 0, 1.5, '5' as never])(
    'refuses a maxConnections of %s',
    async (maxConnections) => {
      const listening = listen('unix:tmpdir=/tmp', { onConnection: () => {}, maxConnections });
      await expect(listening.then((server) => server.close())).rejects.toMatchObject({
        code: 'invalid-option',
      });
    },
  );

  it('refuses a guid that is none, also when its mechanisms are made for each peer', async () => {
    const listening = listen('unix:tmpdir=/tmp', {
      onConnection: () => {},
      guid: 'zz',
      mechanisms: noMechanisms,
    });
    await expect(listening.then((server) => server.close())).rejects.toMatchObject({ code: 'invalid-guid' });
  });
});
