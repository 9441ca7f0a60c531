/** What the tests of watching share. */
import { expect } from 'vitest';
import { SecretService, type ServiceChange, type Watch } from '../../../src/secret/index.js';
import { LOGIN, MockService } from './mock-service.js';
import type { BusPeer, Signal } from './scripted-bus.js';

export const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
export const settle = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface Watching {
  readonly service: MockService;
  readonly client: SecretService;
  readonly peer: BusPeer;
  readonly watch: Watch;
}

export async function watching(prepare: (service: MockService) => void = () => {}): Promise<Watching> {
  const service = new MockService();
  prepare(service);
  const { bus, peer } = await service.openBus();
  const client = await SecretService.connect({ bus, session: 'plain', prompt: 'never', timeoutMs: 1_000 });
  const watch = client.watch();
  await watch.ready;
  return { service, client, peer, watch };
}

/** What a change says, without the objects. */
function say(change: ServiceChange): string {
  if (change.type === 'resynchronized') return change.type;
  return `${change.type} ${'item' in change ? change.item.path : change.collection.path}`;
}

export async function next(watch: Watch): Promise<string | undefined> {
  const { done, value } = await watch.next();
  return done === true ? undefined : say(value);
}

/** Reads changes until there are no more for some time. */
export async function told(watch: Watch, quietMs = 40): Promise<string[]> {
  const changes: string[] = [];
  for (;;) {
    const quiet = new Promise<'quiet'>((resolve) => setTimeout(() => resolve('quiet'), quietMs));
    pending.set(watch, pending.get(watch) ?? next(watch));
    const change = await Promise.race([pending.get(watch), quiet]);
    if (change === 'quiet') return changes;
    pending.delete(watch);
    if (change === undefined) return changes;
    changes.push(change);
  }
}

/** A next that has been asked for and not answered. */
export const pending = new WeakMap<Watch, Promise<string | undefined>>();

export async function end({ service, client, watch }: Watching): Promise<void> {
  await watch.close();
  await pending.get(watch);
  await client.close();
  expect(service.bus.matchRules).toEqual([]);
}

export const itemSignal = (
  service: MockService,
  member: string,
  path: string,
  change: Partial<Signal> = {},
): Signal => ({
  sender: service.bus.owner ?? '',
  path: LOGIN,
  interface: 'org.freedesktop.Secret.Collection',
  member,
  signature: 'o',
  body: [path],
  ...change,
});
