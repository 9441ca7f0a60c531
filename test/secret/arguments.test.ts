import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAvailable, SecretService } from '../../src/secret/index.js';
import { openScriptedBus } from '../support/scripted-peer.js';

const refused = { name: 'SecretServiceError', code: 'bad-argument' };
const anything = [null, 5, 'x', true] as unknown[];

describe('what is no argument is refused with a typed error', () => {
  it.each(anything)('connect and isAvailable, %s', async (value) => {
    await expect(SecretService.connect(value as object)).rejects.toMatchObject(refused);
    await expect(isAvailable(value as object)).rejects.toMatchObject(refused);
    await expect(SecretService.connect({ signal: value as AbortSignal, env: {} })).rejects.toMatchObject({
      name: 'SecretServiceError',
    });
    await expect(SecretService.connect({ bus: value as never })).rejects.toMatchObject(refused);
  });

  it('an address in the environment that is none is a bus that is not there, though not certainly', async () => {
    for (const address of ['garbage', 'unix:', ':::', 'unix:path=']) {
      const connecting = SecretService.connect({ env: { DBUS_SESSION_BUS_ADDRESS: address } });
      await expect(connecting).rejects.toMatchObject({ code: 'not-available', isAbsent: false });
      expect(await isAvailable({ env: { DBUS_SESSION_BUS_ADDRESS: address } })).toBe(false);
      await expect(SecretService.connect({ address })).rejects.toMatchObject(refused);
    }
  });
});

describe('the methods of a service', () => {
  let service: SecretService;

  beforeEach(async () => {
    const { bus } = await openScriptedBus((call) => {
      if (call.member === 'GetNameOwner') return { signature: 's', body: [':1.9'] };
      if (call.member !== 'OpenSession') return { errorName: 'org.freedesktop.DBus.Error.UnknownMethod' };
      return { signature: 'vo', body: [call.body[1], '/session'] };
    });
    service = await SecretService.connect({ bus, session: 'plain' });
  });

  afterEach(() => service.close());

  it.each(anything)('take no options, items or collections that are none: %s', async (value) => {
    const options = value as object;
    await expect(service.search({ a: 'b' }, options)).rejects.toMatchObject(refused);
    await expect(service.lookup({ a: 'b' }, options)).rejects.toMatchObject(refused);
    await expect(service.clear({ a: 'b' }, options)).rejects.toMatchObject(refused);
    await expect(service.set({ a: 'b' }, 'x', options)).rejects.toMatchObject(refused);
    await expect(service.set({ a: 'b' }, 'x', { collection: value as never })).rejects.toMatchObject(refused);
    await expect(service.collections(options)).rejects.toMatchObject(refused);
    await expect(service.getSecrets([value as never])).rejects.toMatchObject(refused);
    await expect(service.collections({ signal: value as AbortSignal })).rejects.toMatchObject(refused);
    if (value !== 'x') await expect(service.getSecrets(value as never)).rejects.toMatchObject(refused);
  });
});
