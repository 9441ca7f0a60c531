/** Conversations with real peers, had again whole, cut at every byte, and byte by byte: the same comes of them. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { parseAddress } from '../../src/wire/handshake/address.js';
import {
  accept,
  type Bus,
  type Connection,
  implement,
  MethodError,
  openBus,
  type Transport,
  Variant,
} from '../../src/wire/index.js';
import { connectTransport } from '../../src/wire/transport/connect.js';
import { listenTransport } from '../../src/wire/transport/listen.js';
import { describeWith, runs } from '../support/external.js';
import { GUID } from '../support/hostile-peer.js';
import { byteByByte, cutAt, Recording, Replay, whole } from '../support/hostile-replay.js';
import { startPrivateBroker } from '../support/private-broker.js';

const NAME = 'org.example.Recorded';
const DEFINITION = {
  name: NAME,
  methods: { Echo: { in: 'a{sv}ay', out: 'a{sv}ay' }, Fail: {} },
  signals: { Ticked: { signature: 'us' } },
} as const;

/** A client that does one thing after the other, and tells what came of each. */
async function speak(transport: Transport): Promise<unknown[]> {
  const bus: Bus = await openBus(transport, { connectTimeoutMs: 8000, callTimeoutMs: 8000 });
  const results: unknown[] = [bus.uniqueName, bus.guid];
  const note = async (promise: Promise<unknown>): Promise<void> => {
    results.push(
      await promise.catch((error: Error & { code: string }) => [error.name, error.code, error.message]),
    );
  };
  bus.export('/o', [
    implement(DEFINITION, {
      methods: {
        Echo: (dict, bytes) => [dict, bytes],
        Fail: () => {
          throw new MethodError('org.example.Error.Wanted', 'as was wished');
        },
      },
    }),
  ]);
  await note(bus.requestName(NAME));
  const call = { destination: bus.uniqueName, path: '/o', interface: NAME } as const;
  const dict = new Map<string, Variant>([
    ['', new Variant('(ixv)', [-1, -(2n ** 63n), new Variant('as', ['é', ''])])],
    ['__proto__', new Variant('d', Number.NEGATIVE_INFINITY)],
  ]);
  await note(
    bus.call({ ...call, member: 'Echo', signature: 'a{sv}ay', body: [dict, new Uint8Array([1, 2, 3])] }),
  );
  await note(bus.call({ ...call, member: 'Fail' }));
  await note(bus.call({ ...call, member: 'None' }));
  await note(bus.nameOwner('org.example.Nobody'));
  const ticks = bus.signals({ interface: NAME });
  await note(ticks.ready);
  await bus.send({
    type: 4,
    flags: 0,
    path: '/o',
    interface: NAME,
    member: 'Ticked',
    signature: 'us',
    body: [7, 'tick'],
  });
  await note(ticks.next().then(({ value }) => [value?.sender, value?.member, value?.body]));
  await bus.close();
  return results;
}

/** Has the conversation of `recording` again, cut in every way. */
async function repeat(
  recording: Recording,
  have: (transport: Replay) => Promise<unknown>,
  wanted: unknown,
): Promise<void> {
  const { length } = recording.received;
  const cuts = [whole, byteByByte, ...Array.from({ length }, (_value, at) => cutAt(at))];
  expect(length).toBeGreaterThan(500);
  for (const cut of cuts) {
    const replay = new Replay(recording.arrivals, cut);
    expect(await have(replay)).toEqual(wanted);
    expect(replay.isDone).toBe(true);
    expect(replay.sent.equals(recording.sent)).toBe(true);
  }
}

for (const [program, present, start] of [
  ['dbus-daemon', runs('dbus-daemon', ['--version']), () => startPrivateBus()],
  [
    'dbus-broker',
    runs('dbus-broker', ['--version']) && runs('/usr/bin/python3', ['--version']),
    startPrivateBroker,
  ],
] as const) {
  describeWith(program, present)(`a conversation with ${program}`, () => {
    it('gives the same results, and the same bytes, however it is cut', async () => {
      const daemon: { address: string; close(): Promise<void> } = await start();
      const recording = new Recording();
      const [address] = parseAddress(daemon.address);
      const transport = await connectTransport(
        address as NonNullable<typeof address>,
        new AbortController().signal,
      );
      const results = await speak(recording.of(transport));
      await daemon.close();
      expect(results.slice(2)).toMatchObject([
        'owner',
        [expect.any(Map), new Uint8Array([1, 2, 3])],
        ['org.example.Error.Wanted', 'error-reply', 'as was wished'],
        ['org.freedesktop.DBus.Error.UnknownMethod', 'error-reply', expect.any(String)],
        undefined,
        undefined,
        [results[0], 'Ticked', [7, 'tick']],
      ]);
      await repeat(recording, speak, results);
    }, 60_000);
  });
}

const script = fileURLToPath(new URL('conformance-peer.py', import.meta.url));
const PEER = {
  name: 'org.example.Peer',
  methods: {
    Many: { in: 'ybnqiuxtdsog', out: 'ybnqiuxtdsog' },
    Nested: { in: 'a{s(iv)}aaaay', out: 'a{s(iv)}aaaay' },
    Order: { out: 's' },
    Fail: {},
    Tick: { in: 'u' },
  },
  signals: { Ticked: { signature: 'us' } },
  properties: { Version: { type: 'u', access: 'read' } },
} as const;

/** A server for one peer, until that has gone; gives the calls it got. */
async function answer(transport: Transport, isOver?: () => boolean): Promise<unknown[]> {
  const calls: unknown[] = [];
  const connection: Connection = await accept(transport, {
    guid: GUID,
    onConnection: (peer) => {
      const object = peer.export('/o', [
        implement(PEER, {
          methods: {
            Many: (...values) => {
              calls.push(values.slice(0, 12));
              return values.slice(0, 12) as never;
            },
            Nested: (dict, arrays) => {
              calls.push([dict, arrays]);
              return [dict, arrays] as never;
            },
            Order: () => 'answered',
            Fail: () => {
              throw new MethodError('org.example.Error.Wanted', 'as was wished');
            },
            Tick: (count) => {
              for (let index = 0; index < count; index++) object.emit(PEER.name, 'Ticked', [index, 'tick']);
            },
          },
          properties: { Version: 3 },
        }),
      ]);
    },
  });
  if (isOver !== undefined) {
    while (!isOver()) await new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    await connection.close();
  }
  await connection.closed;
  return calls;
}

for (const [library, module] of [
  ['gdbus', 'gi.repository.Gio'],
  ['jeepney', 'jeepney'],
] as const) {
  describeWith(`python3 with ${module}`, runs('/usr/bin/python3', ['-c', `import ${module}`]))(
    `a conversation with ${library} as our client`,
    () => {
      it('is answered with the same bytes, however it is cut', async () => {
        const recording = new Recording();
        let take!: (calls: Promise<unknown[]>) => void;
        const taken = new Promise<unknown[]>((resolve) => (take = resolve));
        const [address] = parseAddress('unix:tmpdir=/tmp');
        const listener = await listenTransport(
          address as NonNullable<typeof address>,
          (transport) => take(answer(recording.of(transport))),
          {},
        );
        await promisify(execFile)('/usr/bin/python3', [script, library, listener.address], {
          timeout: 20_000,
        });
        const calls = await taken;
        await listener.close();
        expect(calls).toHaveLength(4);
        await repeat(
          recording,
          (replay) => answer(replay, () => replay.isDone && replay.sent.length >= recording.sent.length),
          calls,
        );
      }, 60_000);
    },
  );
}
