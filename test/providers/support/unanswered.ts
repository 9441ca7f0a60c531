/** What holds on every provider for a dialog that nobody answers. */
import { expect, it } from 'vitest';
import type { Collection, SecretService } from '../../../src/secret/index.js';
import { promptDeadline } from './expectations.js';
import type { PrivateProvider } from './providers.js';
import { watchPrompts } from './witness.js';

/** A provider of a test with a client on it; nobody sees its dialogs. */
export interface Unattended {
  readonly provider: PrivateProvider;
  readonly service: SecretService;
  /** The default one. */
  readonly collection: Collection;
}

/** Adds the tests to a suite. @param unattended - Gives those of the test that runs. */
export function testUnanswered(unattended: () => Unattended): void {
  it.each<[string, (given: Unattended, options: { promptTimeoutMs: number }) => Promise<unknown>]>([
    ['unlock', ({ collection }, options) => collection.unlock(options)],
    ['lookup', ({ service }, options) => service.lookup({ a: 'b' }, options)],
    ['set', ({ service }, options) => service.set({ a: 'b' }, 'x', options)],
    ['clear', ({ service }, options) => service.clear({ a: 'b' }, options)],
    ['createCollection', ({ service }, options) => service.createCollection('another', options)],
  ])('gives up on a dialog that nobody answers, in time: %s', async (_name, run) => {
    const { provider, service } = unattended();
    await service.set({ a: 'b' }, 'kept');
    await provider.lock();
    await using witness = await watchPrompts(provider.address);
    const start = performance.now();
    const rejection = expect(run(unattended(), { promptTimeoutMs: 300 })).rejects.toEqual(promptDeadline);
    const path = await witness.nextShown();
    await rejection;
    expect(performance.now() - start).toBeLessThan(3_000);
    await witness.dismissed(path);
  });

  it('is cancelled while a dialog is open, and dismisses its prompt', async () => {
    const { provider, collection } = unattended();
    await provider.lock();
    await using witness = await watchPrompts(provider.address);
    const controller = new AbortController();
    const rejection = expect(collection.unlock({ signal: controller.signal })).rejects.toMatchObject({
      name: 'CancelledError',
    });
    const path = await witness.nextShown();
    controller.abort();
    await rejection;
    await witness.dismissed(path);
  });
}
