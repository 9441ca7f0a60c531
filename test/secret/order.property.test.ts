/** Replies that come late and in any order: every operation gets its own. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Item, OperationOptions } from '../../src/secret/index.js';
import { keyOf, MockService, type Override } from './support/mock-service.js';
import type { Reply } from './support/scripted-bus.js';

/** Holds every reply until it is let go. */
class Held {
  readonly #waiting: (() => void)[] = [];

  readonly hold: Override = async (_call, proper): Promise<Reply> => {
    const reply = proper();
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return reply;
  };

  get size(): number {
    return this.#waiting.length;
  }

  /** Lets one of those go that wait; `choice` says which. */
  release(choice: number): void {
    const [release] = this.#waiting.splice(choice % this.#waiting.length, 1);
    release?.();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const KINDS = [
  'secret',
  'label',
  'attributes',
  'properties',
  'lookup',
  'secrets',
  'findAll',
  'list',
  'set',
] as const;

test('are told apart, and abandoned ones hurt nobody', async () => {
  const count = 6;
  const service = new MockService();
  for (let index = 0; index < count; index++) {
    service.add({ index: String(index), all: 'yes' }, `secret ${index}`);
  }
  const client = await service.connect({ timeoutMs: 60_000 });
  const items = (await client.search({ all: 'yes' })).unlocked;

  const run = async (
    kind: (typeof KINDS)[number],
    index: number,
    options: OperationOptions,
  ): Promise<[unknown, unknown]> => {
    const item = items[index] as Item;
    const attributes = new Map(Object.entries({ index: String(index), all: 'yes' }));
    const label = `label ${index + 1}`;
    const text = `secret ${index}`;
    switch (kind) {
      case 'secret':
        return [(await item.getSecret(options)).text(), text];
      case 'label':
        return [await item.label(options), label];
      case 'attributes':
        return [await item.attributes(options), attributes];
      case 'properties':
        return [await item.properties(options), expect.objectContaining({ label, attributes })];
      case 'lookup':
        return [(await client.lookup({ index: String(index) }, options))?.text(), text];
      case 'secrets': {
        const secrets = await client.getSecrets([...items.slice(index), ...items.slice(0, index)], options);
        const texts = [...secrets].map(([one, secret]) => [one.path, secret.text()]);
        const expected = items.map((one, place) => [one.path, `secret ${place}`]);
        return [texts, [...expected.slice(index), ...expected.slice(0, index)]];
      }
      case 'findAll': {
        const found = await client.findAll({ all: 'yes' }, options);
        return [
          found.map(({ item: one, attributes: all, secret }) => [one.path, all.get('index'), secret.text()]),
          items.map((one, place) => [one.path, String(place), `secret ${place}`]),
        ];
      }
      case 'list':
        return [
          await client.listValues({ all: 'yes' }, 'index', options),
          items.map((_item, place) => String(place)),
        ];
      default:
        return [(await client.set({ index: String(index), all: 'yes' }, text, options)).path, item.path];
    }
  };

  const operation = fc.record({
    kind: fc.constantFrom(...KINDS),
    index: fc.nat({ max: count - 1 }),
    /** After how many replies it is cancelled. */
    cancelledAfter: fc.option(fc.nat({ max: 12 }), { freq: 4 }),
  });
  const cases = fc.record({
    operations: fc.array(operation, { minLength: 1, maxLength: 8 }),
    choices: fc.array(fc.nat({ max: 1000 }), { minLength: 1, maxLength: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ operations, choices }) => {
      const held = new Held();
      service.interceptor = held.hold;
      const controllers = operations.map(() => new AbortController());
      const outcomes = Promise.allSettled(
        operations.map(({ kind, index }, place) => {
          const { signal } = controllers[place] as AbortController;
          return run(kind, index, { signal });
        }),
      );
      const state = { hasEnded: false };
      void outcomes.then(() => (state.hasEnded = true));
      for (let round = 0; !state.hasEnded; round++) {
        operations.forEach(({ cancelledAfter }, place) => {
          if (cancelledAfter === round) controllers[place]?.abort('enough');
        });
        if (held.size > 0) held.release(choices[round % choices.length] ?? 0);
        else await settle();
        if (round > 2_000) throw new Error('it never ends');
      }
      (await outcomes).forEach((outcome, place) => {
        if (outcome.status === 'fulfilled') {
          const [actual, expected] = outcome.value;
          expect(actual).toEqual(expected);
        } else {
          // Only who was cancelled is told so.
          expect(operations[place]?.cancelledAfter).not.toBeNull();
          expect(outcome.reason).toMatchObject({ name: 'CancelledError', cause: 'enough' });
        }
      });
      while (held.size > 0) held.release(0);
      expect(service.items.size).toBe(count);
      service.calls.length = 0;
    }),
  );
  service.interceptor = undefined;
  expect(service.calls.map(keyOf)).toEqual([]);
  await client.close();
});
