/** What only real buses show of the faults that scripted ones are made to show. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { implement, objectManager, openBus, watchObjects } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';
import { startPrivateBroker } from '../support/private-broker.js';

const NAME = 'org.example.Clock';

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('a monitor on a real bus', () => {
  it('whose subscription is closed stays connected, whoever calls whom', async () => {
    const daemon = await startPrivateBus();
    const [monitor, service, client] = await Promise.all([1, 2, 3].map(() => openBus(daemon.address)));
    if (monitor === undefined || service === undefined || client === undefined) throw new Error('no bus');
    service.export('/', [implement({ name: NAME, methods: { Get: {} } }, { methods: { Get: () => {} } })]);
    await service.requestName(NAME);
    const messages = monitor.monitor();
    await messages.ready;
    await messages.close();
    await client.call({ destination: NAME, path: '/', interface: NAME, member: 'Get' });
    await delay(20);
    let ended: unknown = 'open';
    void monitor.closed.then((cause) => (ended = cause));
    await delay(20);
    expect(ended).toBe('open');
    await Promise.all([monitor.close(), service.close(), client.close()]);
    await daemon.close();
  });
});

describeWith('dbus-broker', runs('dbus-broker', ['--version']))('objects on dbus-broker', () => {
  it('are followed from the root, properties too', async () => {
    const broker = await startPrivateBroker();
    const [service, client] = [await openBus(broker.address), await openBus(broker.address)];
    const zone = { name: NAME, properties: { Zone: { type: 's', access: 'read' } } } as const;
    service.export('/', [objectManager]);
    const clock = service.export('/clock', [implement(zone, { properties: { Zone: { get: () => 'UTC' } } })]);
    await delay(5);
    const watched = await watchObjects(client, service.uniqueName, '/');
    clock.changed(NAME, ['Zone']);
    const change = await Promise.race([watched.changes.next(), delay(500).then(() => 'nothing came')]);
    expect(change).toMatchObject({ value: { type: 'changed', path: '/clock' } });
    await Promise.all([service.close(), client.close()]);
    await broker.close();
  });
});
