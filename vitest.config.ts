import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // These need the built package: npm run test:package, npm run test:runtimes.
    exclude: ['test/package/**', 'test/runtimes/**'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    setupFiles: ['test/support/setup.ts'],
  },
});
