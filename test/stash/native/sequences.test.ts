/** Any sequence of operations against a model, on real files, by three handles. */
import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Stash, StashOperation } from '../../../src/stash/index.js';
import { propertyRuns } from '../../support/property-runs.js';
import { ModelFailure } from '../model.js';
import { failure, nameArbitrary } from '../support.js';
import { bytesOf, digest, listNodes, NativeModel, Place } from './support.js';

type Value = { byteLength: number; seed: number };

type Change =
  | { type: 'write'; key: string[]; value: Value }
  | { type: 'make'; key: string[]; empty?: boolean }
  | { type: 'remove'; key: string[]; recursive?: boolean };

type Step =
  | Exclude<Change, { type: 'make' }>
  | { type: 'read' | 'has' | 'children'; key: string[] }
  | { type: 'batch'; steps: Change[] }
  | { type: 'together'; steps: Change[][] }
  | { type: 'reopen' | 'otherHandle' | 'compact' | 'rekey' };

const keyArbitrary = fc.array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b') }, nameArbitrary), {
  maxLength: 3,
});

const deepArbitrary = fc
  .integer({ min: 62, max: 66 })
  .map((levels) => Array.from({ length: levels }, () => 'd'));

/** Around the lengths at which values leave the body, and chunks and paddings end. */
const byteLengthArbitrary = fc.oneof(
  { weight: 6, arbitrary: fc.nat(8) },
  { weight: 1, arbitrary: fc.nat(5000) },
  { weight: 1, arbitrary: fc.constantFrom(32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 131_072, 131_073) },
  { weight: 1, arbitrary: fc.nat(200_000) },
);

const writeArbitrary = fc.record({
  type: fc.constant('write' as const),
  key: fc.oneof({ weight: 20, arbitrary: keyArbitrary }, deepArbitrary),
  value: fc.record({ byteLength: byteLengthArbitrary, seed: fc.nat(1000) }),
});
const removeArbitrary = fc.record(
  { type: fc.constant('remove' as const), key: keyArbitrary, recursive: fc.boolean() },
  { requiredKeys: ['type', 'key'] },
);
const makeArbitrary = fc.record(
  {
    type: fc.constant('make' as const),
    key: fc.oneof({ weight: 20, arbitrary: keyArbitrary }, deepArbitrary),
    empty: fc.boolean(),
  },
  { requiredKeys: ['type', 'key'] },
);
const changesArbitrary: fc.Arbitrary<Change[]> = fc.array(
  fc.oneof({ weight: 3, arbitrary: writeArbitrary }, removeArbitrary, makeArbitrary),
  { maxLength: 4 },
);
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: writeArbitrary },
  { weight: 2, arbitrary: removeArbitrary },
  fc.record({
    type: fc.constantFrom('read' as const, 'has' as const, 'children' as const),
    key: keyArbitrary,
  }),
  { weight: 3, arbitrary: fc.record({ type: fc.constant('batch' as const), steps: changesArbitrary }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('together' as const),
      steps: fc.array(changesArbitrary, { minLength: 2, maxLength: 5 }),
    }),
  },
  fc.record({
    type: fc.constantFrom('reopen' as const, 'otherHandle' as const, 'compact' as const, 'rekey' as const),
  }),
);

function valueOf({ byteLength, seed }: Value): Uint8Array {
  return bytesOf(byteLength, seed);
}

function operationOf(change: Change): StashOperation {
  return change.type === 'write' ? { ...change, value: valueOf(change.value) } : change;
}

/** What comes of a change: what it returns, or its error. */
type Outcome = { result: unknown } | { code: string; missing?: readonly string[]; operationIndex?: number };

class Expected {
  model: NativeModel = new NativeModel();

  /** All changes on a copy, which is kept if none fails. */
  batch(changes: readonly Change[]): Outcome {
    const copy = this.model.copy();
    const result: (string | null)[] = [];
    for (const [operationIndex, change] of changes.entries()) {
      const outcome = attempted(() => {
        if (change.type === 'write') copy.write(change.key, digest(valueOf(change.value)));
        else if (change.type === 'make') copy.make(change.key, change.empty);
        else return copy.remove(change.key, change.recursive);
        return null;
      });
      if ('code' in outcome) return { ...outcome, operationIndex };
      result.push(outcome.result as string | null);
    }
    this.model = copy;
    return { result };
  }

  step(step: Step): Outcome {
    switch (step.type) {
      case 'batch':
        return this.batch(step.steps);
      case 'together':
        return { result: step.steps.map((changes) => this.batch(changes)) };
      case 'write':
      case 'remove': {
        const outcome = this.batch([step]);
        if ('result' in outcome) return { result: (outcome.result as unknown[])[0] };
        const { operationIndex: _none, ...alone } = outcome;
        return alone;
      }
      case 'read':
      case 'has':
      case 'children':
        return attempted(() => this.model[step.type](step.key));
      default:
        return { result: null };
    }
  }
}

function attempted(action: () => unknown): Outcome {
  try {
    return { result: action() };
  } catch (error) {
    if (!(error instanceof ModelFailure)) throw error;
    return { code: error.code, ...(error.missing === undefined ? {} : { missing: error.missing }) };
  }
}

function listed(removed: readonly (Uint8Array | undefined)[]): (string | null)[] {
  return removed.map((value) => (value === undefined ? null : digest(value)));
}

async function outcomeOf(promise: Promise<unknown>): Promise<Outcome> {
  let result: unknown;
  try {
    result = await promise;
  } catch {
    const error = await failure(() => promise);
    const { code, operationIndex } = error;
    return {
      code,
      ...('missing' in error ? { missing: error.missing as string[] } : {}),
      ...(operationIndex === undefined ? {} : { operationIndex }),
    };
  }
  return { result };
}

function runStep(stash: Stash, step: Step): Promise<Outcome> {
  switch (step.type) {
    case 'write':
      return outcomeOf(stash.write(step.key, valueOf(step.value)).then(() => null));
    case 'remove': {
      const { key, recursive } = step;
      const removed = stash.remove(key, recursive === undefined ? undefined : { recursive });
      return outcomeOf(removed.then((value) => listed([value])[0]));
    }
    case 'batch':
      return outcomeOf(stash.batch(step.steps.map(operationOf)).then(listed));
    case 'together':
      // Without waiting: they are made in order, and written together.
      return outcomeOf(
        Promise.all(
          step.steps.map((changes) => outcomeOf(stash.batch(changes.map(operationOf)).then(listed))),
        ),
      );
    case 'read':
      return outcomeOf(stash.read(step.key).then(digest));
    case 'has':
    case 'children':
      return outcomeOf(stash[step.type](step.key));
    case 'compact':
      return outcomeOf(stash.compact().then(() => null));
    case 'rekey':
      return outcomeOf(stash.rekey().then(() => null));
    default:
      return Promise.resolve({ result: null });
  }
}

test('any sequence does what the model does, seen by every handle, and after reopening', async () => {
  const settings = fc.record({
    durability: fc.constantFrom('full' as const, 'none' as const),
    padding: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 10 }), settings, async (steps, options) => {
      await using place = new Place();
      const expected = new Expected();
      let stash = await place.open(options);
      let other = await place.open();
      const reader = await place.open({ readOnly: true });
      for (const step of steps) {
        if (step.type === 'otherHandle') [stash, other] = [other, stash];
        if (step.type === 'reopen') {
          await stash.close();
          stash = await place.open(options);
        }
        const outcome = expected.step(step);
        expect(await runStep(stash, step)).toEqual(outcome);
        const nodes = expected.model.nodes();
        for (const handle of [stash, other, reader]) expect(await listNodes(handle)).toEqual(nodes);
      }
      const nodes = expected.model.nodes();
      const again = await place.open({ readOnly: true });
      expect(await listNodes(again)).toEqual(nodes);
      await other.compact();
      for (const handle of [stash, reader, again]) expect(await listNodes(handle)).toEqual(nodes);
      await stash.rekey();
      const last = await place.open({ readOnly: true });
      for (const handle of [stash, other, reader, again, last]) {
        expect(await listNodes(handle)).toEqual(nodes);
        expect(await handle.verify()).toMatchObject({ recovered: undefined });
      }
      expect(place.names()).toEqual(['a.stash']);
      rmSync(place.path);
    }),
    { numRuns: Math.ceil(propertyRuns() / 20) },
  );
}, 300_000);
