import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // These need the built package, or heavy programs: npm run test:package, test:runtimes, test:providers, test:crash.
    exclude: ['test/package/**', 'test/runtimes/**', 'test/providers/**', 'test/crash/**'],
    // Many tests wait for a disk or another program: one at a time takes nearly twice as long, on two cores too.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 120_000,
    hookTimeout: 60_000,
    setupFiles: ['test/support/setup.ts'],
  },
});
