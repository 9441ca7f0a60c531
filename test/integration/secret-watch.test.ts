/** Watching a real GNOME Keyring that other programs change, and that restarts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  type PrivateBus,
  type PrivateKeyring,
  startPrivateBus,
  startPrivateKeyring,
} from '../../scripts/lib/private-services.mjs';
import {
  createCollectionWithPassword,
  SecretService,
  type ServiceChange,
  unlockWithPassword,
  type Watch,
} from '../../src/secret/index.js';
import { describeWith, runs } from '../support/external.js';
import { libsecret, pythonWith, SecretTool, secretStorage } from './foreign-clients.js';

const present =
  ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) => runs('which', [program])) &&
  pythonWith('SecretStorage') !== undefined &&
  pythonWith('libsecret') !== undefined;

/** A change as a line of text, without the path before the collection. */
function textOf(change: ServiceChange): string {
  if (change.type === 'resynchronized') return change.type;
  const { path } = 'item' in change ? change.item : change.collection;
  return `${change.type} ${path.replace('/org/freedesktop/secrets/collection/', '')}`;
}

/** Writes down what a watch tells. */
class Diary {
  readonly lines: string[] = [];
  readonly ended: Promise<unknown>;

  constructor(watch: Watch) {
    this.ended = (async () => {
      for await (const change of watch) this.lines.push(textOf(change));
    })().catch((error: unknown) => error);
  }

  /** Waits for a line, and forgets all that came until it. */
  async until(line: string): Promise<string[]> {
    await vi.waitFor(() => expect(this.lines).toContain(line), 5000);
    return this.lines.splice(0, this.lines.indexOf(line) + 1);
  }
}

describeWith('gnome-keyring-daemon with secret-tool, SecretStorage and libsecret', present)(
  'watching a real keyring',
  () => {
    const password = 'the same';
    let dataDirectory: string;
    let bus: PrivateBus;
    let daemon: PrivateKeyring;
    let service: SecretService;
    let watch: Watch;
    let diary: Diary;

    beforeEach(async () => {
      dataDirectory = mkdtempSync(join(tmpdir(), 'sb-'));
      bus = await startPrivateBus();
      daemon = await startPrivateKeyring({ bus, dataDirectory, password });
      service = await SecretService.connect({ address: bus.address });
      watch = service.watch();
      await watch.ready;
      diary = new Diary(watch);
    });

    afterEach(async () => {
      await service?.close();
      await diary?.ended;
      await daemon?.close();
      await bus?.close();
      rmSync(dataDirectory, { recursive: true, force: true });
    });

    /** Does something with the keyring files while the service is away, by another service on another bus. */
    async function elsewhere(work: (other: SecretService) => Promise<unknown>): Promise<void> {
      await using otherBus = await startPrivateBus();
      await using there = await startPrivateKeyring({ bus: otherBus, dataDirectory, password });
      await using client = await SecretService.connect({ address: there.address });
      await work(client);
    }

    it('tells what secret-tool, SecretStorage and libsecret do to items', async () => {
      const tool = new SecretTool(daemon.env);
      await using storage = secretStorage(daemon.env);
      await using library = libsecret(daemon.env);
      for (const client of [tool, storage, library]) {
        const attributes = { client: client.name };
        const item = { label: 'one', attributes, secret: Buffer.from('x'), contentType: 'text/plain' };
        await client.store([item]);
        const [found] = (await service.search(attributes)).unlocked;
        const path = found?.path.replace('/org/freedesktop/secrets/collection/', '') ?? '';
        expect(await diary.until(`item-created ${path}`)).not.toContain(`item-deleted ${path}`);
        await storage.ask('relabel', { path: found?.path, label: 'two' });
        await diary.until(`item-changed ${path}`);
        await client.clear(attributes);
        expect(await diary.until(`item-deleted ${path}`)).not.toContain(`item-created ${path}`);
      }
    });

    it('tells what others do to collections, and to what is in them', async () => {
      await using other = await SecretService.connect({ address: bus.address });
      await using storage = secretStorage(daemon.env);
      const collection = await createCollectionWithPassword(other, 'new', 'p');
      await diary.until('collection-created new');
      await other.set({ a: 'b' }, 'x', { collection });
      await diary.until('item-created new/1');
      await collection.setLabel('newer');
      await diary.until('collection-changed new');
      await storage.ask('lock', { path: collection.path });
      await diary.until('collection-changed new');
      // SecretStorage deletes no collection that is locked.
      await unlockWithPassword(collection, 'p');
      await storage.ask('remove', { path: collection.path });
      await diary.until('collection-deleted new');
    });

    it('gives collections and items that can be used at once', async () => {
      await using other = await SecretService.connect({ address: bus.address });
      const second = service.watch();
      await second.ready;
      await other.set({ a: 'b' }, 'the secret', { label: 'the label' });
      for await (const change of second) {
        if (change.type !== 'item-created') continue;
        expect(await change.item.label()).toBe('the label');
        expect((await change.item.getSecret()).text()).toBe('the secret');
        expect(await change.collection.items()).toMatchObject([{ path: change.item.path }]);
        break;
      }
      expect(await second.next()).toEqual({ done: true, value: undefined });
    });

    /** Until everything is told: an item of ours comes after all there was. */
    async function rest(): Promise<string[]> {
      await vi.waitFor(async () => expect(await service.probe()).toMatchObject({ state: 'ready' }));
      const item = await service.set({ last: `${Math.random()}` }, 'x');
      const line = `item-created ${item.path.replace('/org/freedesktop/secrets/collection/', '')}`;
      return (await diary.until(line)).slice(0, -1);
    }

    it('tells after a restart what has come and gone meanwhile', async () => {
      const temporary = await createCollectionWithPassword(service, 'temporary', 'p');
      const inside = await service.set({ inside: '1' }, 'x', { collection: temporary });
      const kept = await service.set({ kept: '1' }, 'x');
      const deleted = await service.set({ deleted: '1' }, 'y');
      expect((await rest()).toSorted()).toEqual([
        'collection-created temporary',
        'item-created login/1',
        'item-created login/2',
        'item-created temporary/1',
      ]);
      process.kill(daemon.processId, 'SIGKILL');
      await daemon.close();
      await elsewhere(async (other) => {
        await other.set({ added: '1' }, 'z');
        await other.clear({ deleted: '1' });
        await (await other.collection(temporary.path)).delete();
        const collection = await createCollectionWithPassword(other, 'added', '');
        await other.set({ inside: '1' }, 'z', { collection });
      });
      daemon = await startPrivateKeyring({ bus, dataDirectory, password });
      const told = await rest();
      expect(told).toContain('resynchronized');
      // What is read from the files after the comparison is told by signals, and then perhaps once more.
      expect([...new Set(told)].toSorted()).toEqual([
        'collection-created added',
        'collection-deleted temporary',
        'item-created added/1',
        'item-created login/4',
        'item-deleted login/2',
        'resynchronized',
      ]);
      expect(await kept.locked()).toBe(false);
      await expect(deleted.getSecret()).rejects.toMatchObject({ code: 'not-found' });
      await expect(inside.getSecret()).rejects.toMatchObject({ code: 'not-found' });
    });

    it('tells nothing but that, after a restart that has changed nothing', async () => {
      await service.set({ kept: '1' }, 'x');
      await rest();
      for (let count = 0; count < 3; count++) {
        process.kill(daemon.processId, 'SIGKILL');
        await daemon.close();
        daemon = await startPrivateKeyring({ bus, dataDirectory, password });
        expect([...new Set(await rest())]).toEqual(['resynchronized']);
      }
    });

    it('takes nothing for deleted that comes back locked', async () => {
      const item = await service.set({ kept: '1' }, 'x');
      await rest();
      await daemon.close();
      daemon = await startPrivateKeyring({ bus, dataDirectory, login: false });
      expect(await diary.until('resynchronized')).toEqual(['resynchronized']);
      expect(await service.probe()).toMatchObject({ state: 'locked' });
      await expect(service.lookup({ kept: '1' }, { prompt: 'never' })).rejects.toMatchObject({
        code: 'locked',
      });
      await unlockWithPassword(await service.defaultCollection(), password);
      expect((await item.getSecret()).text()).toBe('x');
      expect((await rest()).filter((line) => line.includes('deleted'))).toEqual([]);
    });

    it('ends with its signal, its loop, its close() and the client, and not with the service', async () => {
      const controller = new AbortController();
      const watches = [
        service.watch({ signal: controller.signal }),
        service.watch(),
        service.watch(),
      ] as const;
      const diaries = watches.map((one) => new Diary(one));
      await Promise.all(watches.map((one) => one.ready));
      await daemon.close();
      daemon = await startPrivateKeyring({ bus, dataDirectory, password });
      for (const one of diaries) await one.until('resynchronized');
      controller.abort();
      await expect(diaries[0]?.ended).resolves.toMatchObject({ name: 'CancelledError' });
      await watches[1].close();
      await expect(diaries[1]?.ended).resolves.toBeUndefined();
      await service.set({ a: 'b' }, 'x');
      await diaries[2]?.until('item-created login/1');
      await service.close();
      await expect(diaries[2]?.ended).resolves.toBeUndefined();
      await expect(diary.ended).resolves.toBeUndefined();
    });
  },
);
