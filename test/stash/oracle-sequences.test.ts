/** Any sequence of changes leaves the same bytes inside of a sstash file as it does in Python. */
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { StashOperation } from '../../src/stash/index.js';
import { openBlob, parseContainer } from '../../src/stash/sstash/container.js';
import { deriveKey } from '../../src/stash/sstash/pbkdf2.js';
import { propertyRuns } from '../support/property-runs.js';
import { Model, ModelFailure } from './model.js';
import { useOracle } from './oracle.js';
import {
  emptyStash,
  hex,
  memoryOptions,
  memoryPath,
  nameArbitrary,
  temporaryFolder,
  unhex,
  utf8,
} from './support.js';

const oracleFor = useOracle('nacl');

const keyArbitrary = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constantFrom('a', 'b') }, nameArbitrary), {
  maxLength: 4,
});
const changeArbitrary = fc.record({
  removing: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
  key: keyArbitrary,
  value: fc.uint8Array({ maxLength: 5 }).map(hex),
  /** Whether it is made with the one before in one batch. */
  together: fc.boolean(),
});

test('the same changes make the same bytes in Python', async (context) => {
  const oracle = oracleFor(context);
  await using folder = await temporaryFolder();
  const password = hex(utf8(memoryOptions.password));
  let changes = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(changeArbitrary, { minLength: 1, maxLength: 12 }), async (given) => {
      const model = new Model();
      // What neither of the two can do is left out: that their errors are right is for other tests.
      const possible = given.filter(({ removing, key, value }) => {
        try {
          if (removing) model.remove(key);
          else model.write(key, value);
          return true;
        } catch (error) {
          if (error instanceof ModelFailure) return false;
          throw error;
        }
      });
      const { fileSystem, stash } = await emptyStash();
      writeFileSync(folder.file, fileSystem.readNow(memoryPath));
      const batches: StashOperation[][] = [];
      for (const { removing, key, value, together } of possible) {
        const operation: StashOperation = removing
          ? { type: 'remove', key }
          : { type: 'write', key, value: unhex(value) };
        if (together && batches.length > 0) batches.at(-1)?.push(operation);
        else batches.push([operation]);
      }
      for (const batch of batches) await stash.batch(batch);
      await stash.close();
      changes += possible.length;
      const steps = possible.map(({ removing, key, value }) => (removing ? { key } : { key, value }));
      const { contents, error } = await oracle.ask({ op: 'change', path: folder.file, steps, password });
      expect(error).toBeUndefined();
      const { parameters, blob } = parseContainer(fileSystem.readNow(memoryPath), 1);
      const ours = openBlob(await deriveKey(utf8(memoryOptions.password), parameters), blob);
      expect(Buffer.from(ours).toString()).toBe(Buffer.from(contents ?? '', 'hex').toString());
    }),
  );
  expect(changes).toBeGreaterThan(propertyRuns());
});
