/** Tests of power failures: one a program, and at the end the number of distinct states that were looked at in all. */
import { afterAll, expect, test } from 'vitest';
import { type Place, powerFailures } from './harness.js';
import type { Detail } from './states.js';

/** Makes one test. */
export type PowerTest = (name: string, detail: Detail, program: (place: Place) => Promise<void>) => void;

/**
 * For one test file.
 * @param atLeast - How many distinct states there have to be in all.
 */
export function powerTests(atLeast: number): PowerTest {
  const found: { name: string; states: number; moments: number; ms: number }[] = [];
  let isWhole = true;
  afterAll(() => {
    const states = found.reduce((sum, each) => sum + each.states, 0);
    const moments = found.reduce((sum, each) => sum + each.moments, 0);
    const lines = found.map(
      (each) => `  ${each.states} at ${each.moments}: ${each.name} (${Math.round(each.ms)} ms)`,
    );
    console.log(`${states} states that power failures at ${moments} moments may leave:\n${lines.join('\n')}`);
    // Not where some tests were left out, or failed.
    if (isWhole) expect(states).toBeGreaterThanOrEqual(atLeast);
  });
  return (name, detail, program) => {
    test(name, async ({ onTestFailed }) => {
      onTestFailed(() => {
        isWhole = false;
      });
      const begun = performance.now();
      const { states, moments } = await powerFailures(program, detail);
      found.push({ name, states, moments, ms: performance.now() - begun });
      expect(states).toBeGreaterThan(moments);
    });
  };
}
