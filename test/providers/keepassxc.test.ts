/** The client against a real KeePassXC, with nobody at the screen. */
import { expect, it } from 'vitest';
import { SecretService } from '../../src/secret/index.js';
import { testContract } from './support/contract.js';
import { describeProviders, startKeePassXC } from './support/providers.js';

const describeKeePassXC = describeProviders();

describeKeePassXC('KeePassXC, open', () => {
  testContract({ start: () => startKeePassXC(), replacesAttributes: false });
});

/** What KeePassXC takes for the password of another entry, and does not let anyone store. */
const REFERENCE = '{REF:P@T:another}';

describeKeePassXC('KeePassXC and references to other entries', () => {
  it('says that it does not store them, and leaves nothing behind', async () => {
    await using provider = await startKeePassXC();
    await using service = await SecretService.connect({ address: provider.address });
    const collection = await service.defaultCollection();
    const item = await service.set({ there: '1' }, 'before');
    for (const run of [
      () => service.set({ there: '1' }, REFERENCE),
      () => item.setSecret(REFERENCE),
      () => item.setLabel(REFERENCE),
      () => service.set({ not: 'there' }, REFERENCE),
      () => service.set({ not: REFERENCE }, 'x'),
      () => collection.createItem({ label: REFERENCE, attributes: { not: 'there' }, secret: 'x' }),
    ]) {
      await expect(run(), run.toString()).rejects.toMatchObject({ name: 'SecretServiceError' });
    }
    expect((await item.getSecret()).text()).toBe('before');
    expect(await service.lookup({ not: 'there' })).toBeUndefined();
    expect(await collection.items()).toMatchObject([{ path: item.path }]);
  });
});
