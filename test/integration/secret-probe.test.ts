/** Finding out what there is of a real GNOME Keyring, and having the bus start it. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { startPrivateBus, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { createCollectionWithPassword, isAvailable, probe, SecretService } from '../../src/secret/index.js';
import { openBus } from '../../src/wire/index.js';
import { describeWith, runs } from '../support/external.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
const ALIASES = '/org/freedesktop/secrets/collection';

describeWith('gnome-keyring-daemon', present)('probe', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sb-'));
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** A folder that says how the bus starts the service: by a shell that leaves a mark, then runs `command`. */
  function activation(command: string): string {
    const services = join(directory, 'services');
    mkdirSync(services);
    const script = join(directory, 'start');
    writeFileSync(script, `#!/bin/sh\n: >'${directory}/mark'\n${command}\n`, { mode: 0o700 });
    const text = `[D-BUS Service]\nName=org.freedesktop.secrets\nExec=${script}\n`;
    writeFileSync(join(services, 'org.freedesktop.secrets.service'), text);
    return services;
  }

  const wasStarted = (): boolean => existsSync(join(directory, 'mark'));

  it('tells of a bus that is not there, and of one without a service', async () => {
    expect(await probe({ env: {} })).toMatchObject({ state: 'no-bus', cause: { isAbsent: true } });
    expect(await probe({ address: `unix:path=${directory}/none` })).toMatchObject({ state: 'no-bus' });
    expect(await isAvailable({ env: {} })).toBe(false);
    await using bus = await startPrivateBus();
    expect(await probe({ address: bus.address })).toEqual({ state: 'no-service' });
    expect(await probe({ env: bus.env })).toEqual({ state: 'no-service' });
  });

  it('tells of a service from its start to its end', async () => {
    await using bus = await startPrivateBus();
    await using wire = await openBus(bus.address);
    const daemon = await startPrivateKeyring({ bus });
    const service = await SecretService.connect({ address: bus.address });
    const owner = await wire.nameOwner('org.freedesktop.secrets');
    const defaultCollection = `${ALIASES}/login`;
    const probes = async (expected: unknown): Promise<void> => {
      expect(await probe({ bus: wire })).toEqual(expected);
      expect(await probe({ address: bus.address })).toEqual(expected);
      expect(await service.probe()).toEqual(expected);
    };
    await probes({ state: 'ready', owner, defaultCollection });
    const login = await service.defaultCollection();
    await login.lock();
    await probes({ state: 'locked', owner, defaultCollection });
    await service.setAlias('default', undefined);
    // For the next client, the login keyring is the default one again.
    expect(await service.probe()).toEqual({ state: 'no-default-collection', owner });
    expect(await isAvailable({ bus: wire })).toBe(true);
    await daemon.close();
    await probes({ state: 'no-service' });
    expect(await isAvailable({ bus: wire })).toBe(false);
    await service.close();
    await expect(service.probe()).rejects.toEqual(error('closed'));
  });

  it('tells of a service without a collection to store in', async () => {
    await using bus = await startPrivateBus();
    await using daemon = await startPrivateKeyring({ bus, login: false });
    await using wire = await openBus(daemon.address);
    const owner = await wire.nameOwner('org.freedesktop.secrets');
    expect(await probe({ bus: wire })).toEqual({ state: 'no-default-collection', owner });
    expect(await probe({ address: bus.address })).toEqual({ state: 'no-default-collection', owner });
    await using service = await SecretService.connect({ bus: wire });
    await createCollectionWithPassword(service, 'first', 'p', { alias: 'default' });
    expect(await service.probe()).toEqual({ state: 'ready', owner, defaultCollection: `${ALIASES}/first` });
  });

  it('starts nothing, and says that it could be started', async () => {
    await using bus = await startPrivateBus({ serviceDirectory: activation('exit 1') });
    expect(await probe({ address: bus.address })).toEqual({ state: 'activatable' });
    expect(await isAvailable({ address: bus.address })).toBe(true);
    expect(wasStarted()).toBe(false);
    await expect(SecretService.connect({ address: bus.address })).rejects.toMatchObject({
      code: 'not-available',
      isAbsent: false,
    });
    expect(wasStarted()).toBe(true);
    expect(await probe({ address: bus.address })).toEqual({ state: 'activatable' });
  });

  it('gives up on a service that does not get going', async () => {
    await using bus = await startPrivateBus({ serviceDirectory: activation('exec sleep 2') });
    const started = performance.now();
    await expect(
      SecretService.connect({ address: bus.address, activationTimeoutMs: 300 }),
    ).rejects.toMatchObject({ name: 'DeadlineError', deadline: 'activation', timeoutMs: 300 });
    expect(performance.now() - started).toBeLessThan(1500);
    expect(await probe({ address: bus.address })).toEqual({ state: 'activatable' });
  });

  it('has the bus start a service that is needed, and again after it has ended', async () => {
    const control = join(directory, 'control');
    mkdirSync(control, { mode: 0o700 });
    const command = `exec gnome-keyring-daemon --foreground --components=secrets --control-directory='${control}'`;
    await using bus = await startPrivateBus({ serviceDirectory: activation(command) });
    await using wire = await openBus(bus.address);
    await using service = await SecretService.connect({ address: bus.address });
    const { processId } = await wire.credentials('org.freedesktop.secrets');
    try {
      const { path } = await service.collection('session');
      expect(await service.probe()).toMatchObject({ state: 'no-default-collection' });
      process.kill(processId as number, 'SIGKILL');
      await vi.waitFor(async () => expect(await wire.nameOwner('org.freedesktop.secrets')).toBeUndefined());
      const collection = await service.collection('session');
      expect(collection.path).toBe(path);
      const item = await service.set({ a: 'b' }, 'x', { collection });
      expect((await item.getSecret()).text()).toBe('x');
    } finally {
      const owner = await wire.nameOwner('org.freedesktop.secrets');
      const last = owner === undefined ? undefined : (await wire.credentials(owner)).processId;
      if (last !== undefined) process.kill(last, 'SIGKILL');
      await vi.waitFor(async () => expect(await wire.nameOwner('org.freedesktop.secrets')).toBeUndefined());
    }
  });
});
