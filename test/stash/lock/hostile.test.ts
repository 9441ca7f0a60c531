/** Others on the machine who know the name of the socket and mean no good: they cost time, and no more. */
import { readdirSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { codeOf } from '../support.js';
import { addressOf, isLinux, modes, Place, sleep } from './support.js';

/** Binds the name before anybody else does, and treats who connects in its own way. */
async function bound(name: string, onConnection: (socket: Socket) => void): Promise<Server & Disposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(addressOf(name), resolve));
  return Object.assign(server, {
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  });
}

function flood(socket: Socket): void {
  const chunk = new Uint8Array(65_536);
  const timer = setInterval(() => socket.write(chunk), 1);
  socket.on('close', () => clearInterval(timer));
}

/** Waits for the lock for half a second in vain; returns how much of that time this process was busy. */
async function waitInVain(place: Place): Promise<number> {
  const [start, used] = [performance.now(), process.cpuUsage()];
  const lock = place.open();
  expect(await codeOf(() => lock.run(async () => 1, { timeoutMs: 500 }))).toBe('locked');
  const elapsed = performance.now() - start;
  expect(elapsed).toBeLessThan(1500);
  const { user, system } = process.cpuUsage(used);
  return (user + system) / 1000 / elapsed;
}

describe.skipIf(!modes.includes('socket'))('who has bound the name first', () => {
  test.each<[string, (socket: Socket) => void]>([
    ['keeps connections', () => undefined],
    ['ends each at once', (socket) => socket.destroy()],
    ['ends each politely', (socket) => socket.end()],
    ['sends without end', flood],
    ['sends one byte', (socket) => void socket.write('x')],
  ])('and %s: waiting ends, and is not busy', async (_what, onConnection) => {
    using place = new Place('socket');
    using server = await bound(place.name, onConnection);
    expect(await waitInVain(place)).toBeLessThan(0.6);
    expect(server.listening).toBe(true);
  });

  test('and lets go later: who waits gets in', async () => {
    using place = new Place('socket');
    const server = await bound(place.name, (socket) => socket.destroy());
    const waiting = place.open().run(async () => 'in', { timeoutMs: 5000 });
    await sleep(100);
    server[Symbol.dispose]();
    expect(await waiting).toBe('in');
  });
});

function connected(place: Place): Socket {
  return connect(addressOf(place.name)).on('error', () => undefined);
}

/** How many descriptors this process has open. */
function descriptors(): number {
  return isLinux ? readdirSync('/proc/self/fd').length : 0;
}

describe.skipIf(!modes.includes('socket'))('who connects', () => {
  test('and never ends, or writes: the holder goes on, with few connections, and so do others', async () => {
    using place = new Place('socket');
    const [lock, other] = [place.open(), place.openApart()];
    const before = descriptors();
    const peers: Socket[] = [];
    try {
      await lock.run(
        async () => {
          for (let count = 0; count < 300; count++) {
            peers.push(connected(place));
            // Not more at once than may wait to be accepted.
            if (count % 20 === 0) await sleep(2);
          }
          for (const peer of peers) peer.write(new Uint8Array(100_000));
          await sleep(200);
          // Those of the peers, which are in this process as well, and at most 64 of the holder.
          const open = peers.filter((peer) => !peer.destroyed).length;
          expect(descriptors() - before - open).toBeLessThan(80);
          expect(open).toBeLessThan(80);
        },
        { timeoutMs: 1000 },
      );
      const start = performance.now();
      for (let round = 0; round < 50; round++) {
        const peer = connected(place);
        peers.push(peer);
        await lock.run(() => sleep(1), { timeoutMs: 1000 });
        expect(await other.run(async () => 'in', { timeoutMs: 1000 })).toBe('in');
      }
      expect(performance.now() - start).toBeLessThan(3000);
    } finally {
      for (const peer of peers) peer.destroy();
    }
  });

  test('again and again, while others are waiting: nobody is kept out', async () => {
    using place = new Place('socket');
    const locks = [place.open(), place.openApart()];
    let open = true;
    const peers = new Set<Socket>();
    const again = (): void => {
      if (!open) return;
      const peer = connected(place);
      peers.add(peer);
      peer.on('close', () => {
        peers.delete(peer);
        setImmediate(again);
      });
    };
    for (let count = 0; count < 20; count++) again();
    let runs = 0;
    const end = performance.now() + 1000;
    const busy = locks.map(async (lock) => {
      let mine = 0;
      for (; performance.now() < end; mine++) await lock.run(async () => void runs++, { timeoutMs: 5000 });
      return mine;
    });
    for (const mine of await Promise.all(busy)) expect(mine).toBeGreaterThan(10);
    open = false;
    for (const peer of peers) peer.destroy();
  });
});
