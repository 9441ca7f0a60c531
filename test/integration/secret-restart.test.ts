/**
 * A real GNOME Keyring that is killed, restarted on the same keyring files, or stopped, while it is used: every operation
 * ends with a right answer or a typed error within its time, and afterwards everything works.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  type PrivateBus,
  type PrivateKeyring,
  startPrivateBus,
  startPrivateKeyring,
} from '../../scripts/lib/private-services.mjs';
import { createCollectionWithPassword, type Item, SecretService } from '../../src/secret/index.js';
import { openBus } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';
import { type Load, Worker } from './keyring-load.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));

/** The timers of this process that run. */
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describeWith('gnome-keyring-daemon', present)('a real keyring that ends and comes back', () => {
  const TIMEOUT_MS = 4000;
  let directory: string;
  let bus: PrivateBus;
  let daemon: PrivateKeyring;
  let service: SecretService;

  const start = async (): Promise<PrivateKeyring> =>
    await startPrivateKeyring({ bus, dataDirectory: directory, password: 'the same' });

  /** Ends the daemon as a crash does, and the rest of it. */
  async function kill(): Promise<void> {
    process.kill(daemon.processId, 'SIGKILL');
    await daemon.close();
  }

  async function restart(): Promise<void> {
    await kill();
    daemon = await start();
  }

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sb-'));
    bus = await startPrivateBus();
    daemon = await start();
    service = await SecretService.connect({ address: bus.address, timeoutMs: TIMEOUT_MS, prompt: 'never' });
  });

  afterEach(async () => {
    await service?.close();
    await daemon?.close();
    await bus?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('goes on with the same objects, over a new session', async () => {
    const collection = await service.defaultCollection();
    const item = await service.set({ a: 'b' }, 'before');
    const { path } = service.session;
    await restart();
    expect((await item.getSecret()).text()).toBe('before');
    expect(service.session.encrypted).toBe(true);
    const second = service.session.path;
    await item.setSecret('after');
    expect(service.session.path).toBe(second);
    for (const run of [
      async () => (await service.lookup({ a: 'b' }))?.text(),
      async () => [...(await service.getSecrets([item])).values()][0]?.text(),
      async () => (await service.findAll({ a: 'b' }))[0]?.secret.text(),
    ]) {
      await restart();
      expect(await run()).toBe('after');
    }
    await restart();
    expect(await collection.items()).toMatchObject([{ path: item.path }]);
    await restart();
    expect(await service.search({ a: 'b' })).toMatchObject({ unlocked: [{ path: item.path }] });
    await restart();
    expect((await collection.createItem({ label: 'x', attributes: { c: 'd' }, secret: 'x' })).path).not.toBe(
      item.path,
    );
    await restart();
    expect(await service.clear({ c: 'd' })).toBe(1);
    await restart();
    expect((await service.set({ a: 'b' }, 'last')).path).toBe(item.path);
    await restart();
    await item.setLabel('läbel');
    await restart();
    expect(await item.label()).toBe('läbel');
    await restart();
    await item.delete();
    await restart();
    expect(await service.lookup({ a: 'b' })).toBeUndefined();
    expect(path).toMatch(/^\/org\/freedesktop\/secrets\/session\//);
  });

  it('opens one new session for many operations at once', async () => {
    const items = await Promise.all([1, 2, 3].map((index) => service.set({ index: `${index}` }, `${index}`)));
    await restart();
    await using watcher = await openBus(bus.address);
    const seen: string[] = [];
    const monitor = watcher.monitor(["type='method_call'"]);
    await monitor.ready;
    const counting = (async () => {
      for await (const { member } of monitor) seen.push(member ?? '');
    })();
    const texts = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => (await (items[index % 3] as Item).getSecret()).text()),
    );
    expect(texts).toEqual(Array.from({ length: 60 }, (_, index) => `${(index % 3) + 1}`));
    await vi.waitFor(() =>
      expect(seen.filter((member) => member === 'GetSecret').length).toBeGreaterThan(59),
    );
    await monitor.close();
    await counting;
    // One in 256 key agreements has to be made again.
    expect(seen.filter((member) => member === 'OpenSession').length).toBeLessThanOrEqual(2);
  });

  it('says that it is not there while it is not, at once', async () => {
    const item = await service.set({ a: 'b' }, 'x');
    await kill();
    const started = performance.now();
    for (const run of [
      () => item.getSecret(),
      () => service.lookup({ a: 'b' }),
      () => service.set({ a: 'b' }, 'y'),
      () => service.unlock([item]),
      () => service.collections(),
    ]) {
      await expect(run()).rejects.toMatchObject({ code: 'not-available', isAbsent: true });
    }
    expect(await service.probe()).toEqual({ state: 'no-service' });
    expect(performance.now() - started).toBeLessThan(1000);
    daemon = await start();
    expect((await item.getSecret()).text()).toBe('x');
  });

  it('keeps to the time of each operation when the service hangs, and works when it goes on', async () => {
    const collection = await service.defaultCollection();
    const item = await service.set({ a: 'b' }, 'x');
    const timeoutMs = 300;
    const operations: ((options: { timeoutMs: number }) => Promise<unknown>)[] = [
      (options) => service.lookup({ a: 'b' }, options),
      (options) => service.set({ a: 'b' }, 'x', options),
      (options) => service.clear({ a: 'c' }, options),
      (options) => service.findAll({ a: 'b' }, options),
      (options) => service.listValues({ a: 'b' }, 'c', options),
      (options) => service.search({ a: 'b' }, options),
      (options) => service.collections(options),
      (options) => service.defaultCollection(options),
      (options) => service.anyCollection(options),
      (options) => service.lock([item], options),
      (options) => service.unlock([item], options),
      (options) => service.getSecrets([item], options),
      (options) => service.getProperties([item], options),
      (options) => service.setAlias('default', collection, options),
      (options) => service.createCollection('x', options),
      (options) => createCollectionWithPassword(service, 'x', 'y', options),
      (options) => service.probe(options),
      (options) => service.watch(options).ready,
      (options) => item.getSecret(options),
      (options) => item.properties(options),
      (options) => item.setLabel('x', options),
      (options) => collection.properties(options),
      (options) => collection.items(options),
      (options) => SecretService.connect({ address: bus.address, ...options }),
    ];
    process.kill(daemon.processId, 'SIGSTOP');
    try {
      const started = performance.now();
      const results = await Promise.allSettled(operations.map((run) => run({ timeoutMs })));
      expect(performance.now() - started).toBeLessThan(timeoutMs + 1200);
      for (const [index, result] of results.entries()) {
        expect(result, String(operations[index])).toMatchObject({
          reason: { name: 'DeadlineError', deadline: 'call', timeoutMs },
        });
      }
    } finally {
      process.kill(daemon.processId, 'SIGCONT');
    }
    // What it was asked meanwhile it does now, also to lock.
    await vi.waitFor(async () => expect(await service.probe()).toMatchObject({ state: 'locked' }));
    await restart();
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('x');
  });

  it('ends every operation rightly or with a typed error when killed at random, and works afterwards', async () => {
    const client = service.context.bus;
    const rules = async (): Promise<unknown> =>
      (await client.stats(client.uniqueName)).get('MatchRules')?.value;
    const [rulesBefore, timersBefore] = [await rules(), timers()];
    const load: Load = {
      service,
      collection: await service.defaultCollection(),
      timeoutMs: TIMEOUT_MS,
      generation: 0,
      isDown: false,
      isOver: false,
      failures: [],
      endings: new Map(),
    };
    const workers = Array.from({ length: 8 }, (_, index) => new Worker(load, `worker ${index}`));
    const working = workers.map((worker) => worker.run());
    for (let kills = 0; kills < 12; kills++) {
      await sleep(Math.random() * 200);
      load.isDown = true;
      load.generation++;
      await kill();
      // Now and then it is away for longer than it takes to start.
      if (kills % 3 === 0) await sleep(Math.random() * 100);
      daemon = await start();
      load.generation++;
      load.isDown = false;
    }
    await sleep(200);
    load.isOver = true;
    await Promise.all(working);
    const endings = [...load.endings].map(([what, times]) => `${what} ${times}`);
    console.info(`what ended how: ${endings.toSorted().join(', ')}`);

    for (const worker of workers) {
      const { unlocked, locked } = await service.search(worker.attributes);
      expect(unlocked.length + locked.length).toBeLessThanOrEqual(1);
      worker.check((await service.lookup(worker.attributes))?.text());
      await service.set(worker.attributes, 'after all');
      expect((await service.lookup(worker.attributes))?.text()).toBe('after all');
      expect(await service.clear(worker.attributes)).toBe(1);
    }
    expect(load.failures).toEqual([]);
    expect(await service.probe()).toMatchObject({ state: 'ready' });
    await vi.waitFor(async () => expect(await rules()).toBe(rulesBefore));
    await service.close();
    expect(timers()).toBeLessThanOrEqual(timersBefore);
    await using observer = await openBus(bus.address);
    const connections = (await observer.listNames()).filter((name) => name.startsWith(':'));
    const owner = await observer.nameOwner('org.freedesktop.secrets');
    expect(new Set(connections)).toEqual(new Set([observer.uniqueName, owner]));
  });
});
