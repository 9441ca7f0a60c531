import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PrivateBus, startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { type Bus, openBus, Variant } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const BUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
};

/** What keeps the process alive. */
function resources(): string[] {
  return process.getActiveResourcesInfo().toSorted();
}

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('a real message bus', () => {
  let daemon: PrivateBus;
  let bus: Bus;

  beforeAll(async () => {
    daemon = await startPrivateBus();
    bus = await openBus(daemon.address);
  });

  afterAll(async () => {
    await bus?.close();
    await daemon?.close();
  });

  it('gives us a name and the guid of its address', async () => {
    expect(bus.uniqueName).toMatch(/^:1\.\d+$/);
    expect(daemon.address).toContain(`guid=${bus.guid}`);
    expect(await bus.call({ ...BUS, member: 'GetId', replySignature: 's' })).toHaveLength(1);
  });

  it('knows who we are', async () => {
    const [owner] = await bus.call({
      ...BUS,
      member: 'GetNameOwner',
      signature: 's',
      body: [bus.uniqueName],
    });
    expect(owner).toBe(bus.uniqueName);
    const [credentials] = await bus.call({
      ...BUS,
      member: 'GetConnectionCredentials',
      signature: 's',
      body: [bus.uniqueName],
      replySignature: 'a{sv}',
    });
    expect((credentials as Map<string, Variant>).get('ProcessID')).toEqual(new Variant('u', process.pid));
  });

  it('answers 1,000 calls in flight, each with its own reply', async () => {
    const names = Array.from({ length: 1000 }, (_, index) =>
      index % 2 === 0 ? bus.uniqueName : `a.b${index}`,
    );
    const replies = await Promise.all(
      names.map((name) => bus.call({ ...BUS, member: 'NameHasOwner', signature: 's', body: [name] })),
    );
    expect(replies).toEqual(names.map((name) => [name === bus.uniqueName]));
  });

  it('passes errors on', async () => {
    await expect(bus.call({ destination: 'no.such.name', path: '/', member: 'Get' })).rejects.toMatchObject({
      name: 'org.freedesktop.DBus.Error.ServiceUnknown',
    });
    await expect(bus.call({ ...BUS, member: 'NoSuchMember' })).rejects.toMatchObject({
      name: 'org.freedesktop.DBus.Error.UnknownMethod',
    });
  });

  it('lets one of us call the other, who exports nothing and says so', async () => {
    await using other = await openBus(daemon.address);
    await expect(bus.call({ destination: other.uniqueName, path: '/', member: 'Get' })).rejects.toMatchObject(
      {
        name: 'org.freedesktop.DBus.Error.UnknownObject',
      },
    );
  });

  it('carries a message of 32 MiB', async () => {
    const bytes = new Uint8Array(2 ** 25);
    const call = { destination: bus.uniqueName, path: '/', member: 'Put', signature: 'ay', body: [bytes] };
    await expect(bus.call(call)).rejects.toMatchObject({ name: 'org.freedesktop.DBus.Error.UnknownObject' });
  });

  it('is left without a trace: nothing keeps the process alive', async () => {
    const before = resources();
    const brief = await openBus(daemon.address);
    await brief.call({ ...BUS, member: 'GetId' });
    const waiting = expect(brief.call({ ...BUS, member: 'GetId' })).rejects.toMatchObject({ code: 'closed' });
    await brief.close();
    await waiting;
    expect(resources()).toEqual(before);
  });

  it('going away rejects what waits, and nothing else happens', async () => {
    const brief = await startPrivateBus();
    const lost = await openBus(brief.address);
    await using silent = await openBus(daemon.address);
    await brief.close();
    expect(await lost.closed).toMatchObject({ code: 'disconnected' });
    await expect(lost.call({ ...BUS, member: 'GetId' })).rejects.toMatchObject({ code: 'closed' });
    expect(await silent.call({ ...BUS, member: 'GetId' })).toHaveLength(1);
  });
});
