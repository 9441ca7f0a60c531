import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SecretService } from '../../src/secret/index.js';
import { MockService } from './support/mock-service.js';

async function connected(): Promise<{ service: MockService; client: SecretService }> {
  const service = new MockService();
  return { service, client: await service.connect({ session: 'plain' }) };
}

/** The value that a promise comes to, or the code of the error. */
async function outcome(run: Promise<unknown>): Promise<unknown> {
  try {
    return await run;
  } catch (caught) {
    expect(caught).toMatchObject({ name: 'SecretServiceError' });
    return (caught as { code: string }).code;
  }
}

describe('any sequence of verbs', () => {
  const attributes = fc
    .record(
      { a: fc.constantFrom('1', '2'), b: fc.constantFrom('1', '2'), c: fc.constant('1') },
      { requiredKeys: [] },
    )
    .filter((record) => Object.keys(record).length > 0)
    .map((record) => record as Record<string, string>);
  const step = fc.oneof(
    fc.record({
      verb: fc.constant('set' as const),
      attributes,
      value: fc.string({ maxLength: 3, unit: 'grapheme' }),
    }),
    fc.record({ verb: fc.constant('lookup' as const), attributes, exact: fc.boolean() }),
    fc.record({ verb: fc.constant('clear' as const), attributes, exact: fc.boolean() }),
    fc.record({ verb: fc.constant('listValues' as const), attributes, exact: fc.boolean() }),
    fc.record({ verb: fc.constant('lock' as const), attributes }),
    fc.record({ verb: fc.constant('unlock' as const), attributes }),
  );
  const additions = fc.constantFrom<Record<string, string>>(
    {},
    { 'xdg:schema': 'org.freedesktop.Secret.Generic' },
    { Title: 't', Uuid: '1', Path: '/t' },
  );

  /** What should be stored, by the attributes each item was made with. */
  class Model {
    readonly items: { attributes: Record<string, string>; value: string; isLocked: boolean }[] = [];

    including(wanted: Record<string, string>): Model['items'] {
      return this.items.filter((item) =>
        Object.entries(wanted).every(([name, value]) => item.attributes[name] === value),
      );
    }

    same(wanted: Record<string, string>): Model['items'] {
      const count = Object.keys(wanted).length;
      return this.including(wanted).filter((item) => Object.keys(item.attributes).length === count);
    }
  }

  async function apply(
    client: SecretService,
    model: Model,
    command: Exclude<
      typeof step extends fc.Arbitrary<infer Step> ? Step : never,
      { verb: 'lock' | 'unlock' }
    >,
  ): Promise<void> {
    const wanted = command.attributes;
    const [same] = model.same(wanted);
    if (command.verb === 'set') {
      const result = await outcome(client.set(wanted, command.value));
      if (same?.isLocked === true) {
        expect(result).toBe('locked');
        return;
      }
      if (same === undefined) model.items.push({ attributes: wanted, value: command.value, isLocked: false });
      else same.value = command.value;
      return;
    }
    const { exact } = command;
    if (command.verb === 'listValues') {
      for (const name of ['a', 'b', 'c'].filter((other) => !(other in wanted))) {
        const including = model.including(wanted).filter((item) => name in item.attributes);
        const made = including.filter((item) =>
          model.same({ ...wanted, [name]: item.attributes[name] ?? '' }).includes(item),
        );
        const values = new Set((exact ? made : including).map((item) => item.attributes[name]));
        const listed = await client.listValues(wanted, name, { exact });
        expect(listed).toHaveLength(values.size);
        expect(new Set(listed)).toEqual(values);
      }
      return;
    }
    const including = exact ? model.same(wanted) : model.including(wanted);
    const isAnyLocked = including.some((item) => item.isLocked);
    if (command.verb === 'clear') {
      const result = await outcome(client.clear(wanted, { exact }));
      const deleted = including.filter((item) => !item.isLocked);
      expect(result).toBe(isAnyLocked ? 'locked' : deleted.length);
      for (const item of deleted) model.items.splice(model.items.indexOf(item), 1);
      return;
    }
    const found = await outcome(client.lookup(wanted, { exact }).then((secret) => secret?.text()));
    const open = including.filter((item) => !item.isLocked);
    if (same !== undefined) expect(found).toBe(same.isLocked ? 'locked' : same.value);
    else if (open.length > 0) expect(open.map((item) => item.value)).toContain(found);
    else expect(found).toBe(isAnyLocked ? 'locked' : undefined);
  }

  test('leaves what a model of it says', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 10 }), additions, async (steps, added) => {
        const { service, client } = await connected();
        const model = new Model();
        const ownAttributes = new Map<string, Record<string, string>>();
        service.override('CreateItem', (_call, proper) => {
          const reply = proper() as { body: [string] };
          const item = service.item(reply.body[0]);
          ownAttributes.set(reply.body[0], Object.fromEntries(item.attributes));
          for (const [name, value] of Object.entries(added)) item.attributes.set(name, value);
          return reply;
        });
        for (const command of steps) {
          if (command.verb === 'lock' || command.verb === 'unlock') {
            const isLocked = command.verb === 'lock';
            for (const item of model.including(command.attributes)) item.isLocked = isLocked;
            for (const item of service.items.values()) {
              const entries = Object.entries(command.attributes);
              if (entries.every(([name, value]) => item.attributes.get(name) === value))
                item.isLocked = isLocked;
            }
            continue;
          }
          await apply(client, model, command);
          const stored = [...service.items].map(([path, item]) => ({
            attributes: ownAttributes.get(path),
            value: item.value.toString(),
            isLocked: item.isLocked,
          }));
          expect(stored).toEqual(model.items);
        }
        await client.close();
      }),
    );
  });
});
