/** Any sequence of operations on a handle against a model, on files in memory. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type SecureStash, type StashOperation } from '../../src/stash/index.js';
import { Model, ModelFailure } from './model.js';
import {
  emptyStash,
  failure,
  hex,
  listEntries,
  memoryOptions,
  memoryPath,
  nameArbitrary,
  openOn,
  unhex,
} from './support.js';

type Change =
  | { type: 'write'; key: string[]; value: string }
  | { type: 'remove'; key: string[]; recursive?: boolean };

type Step =
  | Change
  | { type: 'read' | 'has' | 'children'; key: string[] }
  | { type: 'batch'; steps: Change[] }
  | { type: 'reopen' | 'entries' | 'otherHandle' };

const keyArbitrary = fc.array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b') }, nameArbitrary), {
  maxLength: 3,
});
const writeArbitrary = fc.record({
  type: fc.constant('write' as const),
  key: keyArbitrary,
  value: fc.uint8Array({ maxLength: 4 }).map(hex),
});
const removeArbitrary = fc.record(
  { type: fc.constant('remove' as const), key: keyArbitrary, recursive: fc.boolean() },
  { requiredKeys: ['type', 'key'] },
);
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: writeArbitrary },
  removeArbitrary,
  fc.record({
    type: fc.constantFrom('read' as const, 'has' as const, 'children' as const),
    key: keyArbitrary,
  }),
  fc.record({
    type: fc.constant('batch' as const),
    steps: fc.array(fc.oneof(writeArbitrary, removeArbitrary), { maxLength: 3 }),
  }),
  fc.record({ type: fc.constantFrom('reopen' as const, 'entries' as const, 'otherHandle' as const) }),
);

/** Runs one step on the model; batches on a copy, kept only if all of it succeeds. */
function modelStep(models: { current: Model }, step: Step): unknown {
  switch (step.type) {
    case 'write':
      return models.current.write(step.key, step.value);
    case 'remove':
      return models.current.remove(step.key, step.recursive);
    case 'batch': {
      const copy = models.current.copy();
      const results = step.steps.map((inner) =>
        inner.type === 'write' ? copy.write(inner.key, inner.value) : copy.remove(inner.key, inner.recursive),
      );
      models.current = copy;
      return results.map((result) => result ?? null);
    }
    case 'reopen':
    case 'otherHandle':
      return undefined;
    case 'entries':
      return models.current.entries();
    default:
      return models.current[step.type](step.key);
  }
}

function operationOf(step: Change): StashOperation {
  return step.type === 'write' ? { ...step, value: unhex(step.value) } : step;
}

async function stashStep(stash: SecureStash, step: Step): Promise<unknown> {
  switch (step.type) {
    case 'write':
      return await stash.write(step.key, unhex(step.value));
    case 'read':
      return hex(await stash.read(step.key));
    case 'remove': {
      const { recursive } = step;
      const value = await stash.remove(step.key, recursive === undefined ? undefined : { recursive });
      return value === undefined ? null : hex(value);
    }
    case 'batch': {
      const results = await stash.batch(step.steps.map(operationOf));
      return results.map((result) => (result === undefined ? null : hex(result)));
    }
    case 'entries':
      return await listEntries(stash);
    case 'has':
    case 'children':
      return await stash[step.type](step.key);
    default:
      return undefined;
  }
}

describe('operations', () => {
  test('any sequence does what the model does, through two handles and reopening', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 8 }), async (steps) => {
        const models = { current: new Model() };
        const { fileSystem, stash: first } = await emptyStash();
        // On a clock that stands still, and with files of one size, only the bytes tell of a change.
        let [stash, other] = [first, await openOn(fileSystem, memoryPath, memoryOptions)];
        for (const step of steps) {
          if (step.type === 'otherHandle') [stash, other] = [other, stash];
          if (step.type === 'reopen') {
            await stash.close();
            stash = await openOn(fileSystem, memoryPath, memoryOptions);
          }
          let expected: unknown;
          try {
            expected = modelStep(models, step);
          } catch (error) {
            if (!(error instanceof ModelFailure)) throw error;
            const got = await failure(() => stashStep(stash, step));
            expect(got.code).toBe(error.code);
            if (error.missing !== undefined) expect(got).toMatchObject({ missing: error.missing });
            continue;
          }
          expect(await stashStep(stash, step)).toEqual(expected);
        }
        expect(await listEntries(other)).toEqual(models.current.entries());
        expect(fileSystem.list()).toEqual([memoryPath]);
      }),
    );
  });
});
