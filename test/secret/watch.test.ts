/** Watching: each change is told, in order, and after a gap what has come and gone meanwhile. */
import { describe, expect, test } from 'vitest';
import { SecretService } from '../../src/secret/index.js';
import { openBus, reconnecting } from '../../src/wire/index.js';
import { listen, transportOf } from '../keyring/support/socket-server.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { LOGIN, MockService, OTHER } from './support/mock-service.js';
import { type BusPeer, failed, returned, type Signal } from './support/scripted-bus.js';
import { end, itemSignal, pending, settle, told, watching } from './support/watching.js';

watchEachTest();

describe('changes', () => {
  test('of items and collections are told, with the objects', async () => {
    const all = await watching();
    const { service, watch } = all;
    const path = service.add({ a: 'b' }, 'x');
    const created = await watch.next();
    expect(created).toMatchObject({
      value: { type: 'item-created', item: { path }, collection: { path: LOGIN } },
    });
    if (created.done !== true && 'item' in created.value) {
      expect((await created.value.item.getSecret()).text()).toBe('x');
    }
    service.setLocked(path, true);
    const collection = service.addCollection('new');
    service.setLocked(collection, true);
    service.remove(path);
    service.remove(collection);
    expect(await told(watch)).toEqual([
      `item-changed ${path}`,
      `collection-created ${collection}`,
      `collection-changed ${collection}`,
      `item-deleted ${path}`,
      `collection-deleted ${collection}`,
    ]);
    await end(all);
  });

  test('keep the order in which they happened', async () => {
    const all = await watching();
    const { service, peer, watch } = all;
    // In one piece, as a busy service sends them.
    const collection = `${LOGIN}2`;
    const serviceSignal = (member: string): Signal => ({
      ...itemSignal(service, member, collection),
      path: '/org/freedesktop/secrets',
      interface: 'org.freedesktop.Secret.Service',
    });
    const items = Array.from({ length: 10 }, (_, index) => `${collection}/${index}`);
    service.collections.set(collection, { label: 'x', isLocked: false });
    service.override('GetAll', (call, proper) =>
      call.path === collection ? returned('a{sv}', new Map()) : proper(),
    );
    service.overrides.clear();
    peer.emitAll([
      ...items.map((path) => itemSignal(service, 'ItemCreated', path, { path: LOGIN })),
      ...items.map((path) => itemSignal(service, 'ItemDeleted', path, { path: LOGIN })),
      serviceSignal('CollectionDeleted'),
      itemSignal(service, 'ItemCreated', `${LOGIN}/last`),
      serviceSignal('CollectionCreated'),
    ]);
    expect(await told(watch)).toEqual([
      ...items.map((path) => `item-created ${path}`),
      ...items.map((path) => `item-deleted ${path}`),
      `item-created ${LOGIN}/last`,
      `collection-created ${collection}`,
    ]);
    await end(all);
  });

  test('that happen while everything is listed are not missed', async () => {
    const service = new MockService();
    const client = await service.connect({ session: 'plain' });
    let path = '';
    service.override('GetAll', (_call, proper) => {
      service.overrides.clear();
      const reply = proper();
      path = service.add({ a: 'b' }, 'x');
      return reply;
    });
    const watch = client.watch();
    await watch.ready;
    expect(await told(watch)).toEqual([`item-created ${path}`]);
    await end({ service, client, watch, peer: undefined as never });
  });

  test('are told to each of several watches', async () => {
    const all = await watching();
    const { service, client, watch } = all;
    const other = client.watch();
    await other.ready;
    const first = service.add({ a: 'b' }, 'x');
    expect(await told(watch)).toEqual([`item-created ${first}`]);
    expect(await told(other)).toEqual([`item-created ${first}`]);
    await watch.close();
    const second = service.add({ a: 'b' }, 'x');
    expect(await told(other)).toEqual([`item-created ${second}`]);
    expect(await told(watch)).toEqual([]);
    await other.close();
    await pending.get(other);
    await end(all);
  });

  test.each<[string, (service: MockService) => Partial<Signal>]>([
    ['from another sender', () => ({ sender: ':1.66' })],
    ['of another interface', () => ({ interface: 'org.freedesktop.Secret.Service' })],
    ['of no known name', () => ({ member: 'ItemTouched' })],
    ['of a name that is longer', () => ({ member: 'ItemCreatedTwice' })],
    ['with no path in it', () => ({ signature: 's', body: ['/x'] })],
    ['with nothing in it', () => ({ signature: '', body: [] })],
    ['with more in it', () => ({ signature: 'os', body: ['/x', ''] })],
    ['of no object', () => ({ body: ['/'] })],
    ['of another place', () => ({ path: '/org/example' })],
    ['of an alias', () => ({ path: '/org/freedesktop/secrets/aliases/default' })],
  ])('are not made of a signal %s', async (_name, change) => {
    const all = await watching();
    const { service, peer, watch } = all;
    peer.emit(itemSignal(service, 'ItemCreated', `${LOGIN}/forged`, change(service)));
    expect(await told(watch)).toEqual([]);
    const path = service.add({ a: 'b' }, 'x');
    expect(await told(watch)).toEqual([`item-created ${path}`]);
    await end(all);
  });

  test('come once, where the service says them several times', async () => {
    const all = await watching();
    const { service, peer, watch } = all;
    const path = service.add({ a: 'b' }, 'x');
    for (let index = 0; index < 3; index++) peer.emit(itemSignal(service, 'ItemCreated', path));
    service.remove(path);
    for (let index = 0; index < 3; index++) peer.emit(itemSignal(service, 'ItemDeleted', path));
    expect(await told(watch)).toEqual([`item-created ${path}`, `item-deleted ${path}`]);
    await end(all);
  });
});

describe('after a gap', () => {
  test('what came and went while the service was away is told', async () => {
    const all = await watching((service) => {
      service.add({ stays: '1' }, 'x');
      service.add({ goes: '2' }, 'x');
      service.add({ goes: '3' }, 'x', { collection: OTHER });
    });
    const { service, watch } = all;
    const [stays, goes] = [...service.items.keys()];
    service.stop();
    service.remove(goes ?? '');
    service.remove(OTHER);
    const came = service.add({ comes: '4' }, 'x');
    const collection = service.addCollection('new');
    const inside = service.add({ comes: '5' }, 'x', { collection });
    service.start();
    const changes = await told(watch);
    expect(changes.at(-1)).toBe('resynchronized');
    expect(changes.slice(0, -1).toSorted()).toEqual(
      [
        `collection-deleted ${OTHER}`,
        `item-deleted ${goes}`,
        `item-created ${came}`,
        `collection-created ${collection}`,
        `item-created ${inside}`,
      ].toSorted(),
    );
    expect(changes.indexOf(`collection-created ${collection}`)).toBeLessThan(
      changes.indexOf(`item-created ${inside}`),
    );
    service.remove(stays ?? '');
    expect(await told(watch)).toEqual([`item-deleted ${stays}`]);
    await end(all);
  });

  test('several restarts end in what there is', async () => {
    const all = await watching();
    const { service, watch } = all;
    const present = new Set<string>();
    for (let round = 0; round < 5; round++) {
      service.stop();
      present.add(service.add({ round: String(round) }, 'x'));
      service.start();
      if (round % 2 === 0) await settle(2);
    }
    const changes = await told(watch);
    expect(changes.filter((change) => change.startsWith('item-created')).toSorted()).toEqual(
      [...present].map((path) => `item-created ${path}`).toSorted(),
    );
    expect(changes.at(-1)).toBe('resynchronized');
    await end(all);
  });

  test('a collection that is locked and shows nothing has lost nothing', async () => {
    const all = await watching((service) => {
      service.add({ a: '1' }, 'x');
      service.add({ a: '2' }, 'x', { collection: OTHER });
    });
    const { service, watch } = all;
    const hides = (path: string): void => {
      service.override('GetAll', (call, proper) =>
        call.path === path ? failed('org.freedesktop.Secret.Error.IsLocked') : proper(),
      );
    };
    hides(LOGIN);
    service.restart();
    expect(await told(watch)).toEqual(['resynchronized']);
    service.overrides.clear();
    service.restart();
    expect(await told(watch)).toEqual(['resynchronized']);
    await end(all);
  });

  test('items that a locked collection hides are not told to be deleted', async () => {
    const service = new MockService({ lockedItems: 'hidden', lockedFound: 'left out' });
    const path = service.add({ a: '1' }, 'x');
    const client = await service.connect({ session: 'plain' });
    const watch = client.watch();
    await watch.ready;
    service.setLocked(LOGIN, true);
    expect(await told(watch)).toEqual([`collection-changed ${LOGIN}`]);
    service.restart();
    expect(await told(watch)).toEqual(['resynchronized']);
    service.setLocked(LOGIN, false);
    expect(await told(watch)).toEqual([`collection-changed ${LOGIN}`]);
    // What went while it was hidden is told when it shows.
    service.setLocked(LOGIN, true);
    service.items.delete(path);
    expect(await told(watch)).toEqual([`collection-changed ${LOGIN}`]);
    service.setLocked(LOGIN, false);
    expect(await told(watch)).toEqual([`collection-changed ${LOGIN}`, `item-deleted ${path}`]);
    await end({ service, client, watch, peer: undefined as never });
  });

  test.each([
    ['one by one', 1],
    ['in one piece', 4_000],
  ])('more changes than can wait, sent %s, give way to a comparison', async (_name, atOnce) => {
    const all = await watching();
    const { service, peer, watch } = all;
    const signals: Signal[] = [];
    for (let index = 0; index < 3_000; index++) {
      const path = `${LOGIN}/many${index}`;
      signals.push(itemSignal(service, 'ItemCreated', path));
      service.items.set(path, {
        label: '',
        attributes: new Map(),
        value: Buffer.alloc(0),
        contentType: 'text/plain',
        isLocked: false,
      });
    }
    for (let start = 0; start < signals.length; start += atOnce) {
      peer.emitAll(signals.slice(start, start + atOnce));
      if (atOnce === 1 && start % 100 === 0) await settle(0);
    }
    const changes = await told(watch, 100);
    // None is missing: whoever adds them up has what there is.
    const present = new Set(changes.filter((change) => change.startsWith('item-created')));
    expect(present.size).toBe(3_000);
    expect(changes).toContain('resynchronized');
    await end(all);
  });

  test('a bus that is connected to again is a gap', async () => {
    const service = new MockService();
    let count = 0;
    let peer: BusPeer | undefined;
    const server = await listen((socket) => {
      peer = service.serve(transportOf(socket), { uniqueName: `:1.${100 + ++count}` });
    });
    const bus = await openBus(server.address, { reconnect: reconnecting({ initialDelayMs: 5 }) });
    const client = await SecretService.connect({ bus, session: 'plain', timeoutMs: 1_000 });
    const watch = client.watch();
    await watch.ready;
    service.sessions.clear();
    peer?.hangUp();
    await settle(1);
    // The service has stayed, and the signal is lost.
    const path = service.add({ a: 'b' }, 'x');
    expect(await told(watch, 150)).toEqual([`item-created ${path}`, 'resynchronized']);
    const second = service.add({ a: 'b' }, 'x');
    expect(await told(watch)).toEqual([`item-created ${second}`]);
    await watch.close();
    await client.close();
    await bus.close();
    await server[Symbol.asyncDispose]();
  });
});
