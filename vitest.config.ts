import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // These need the built package, or heavy programs: npm run test:package, test:runtimes, test:providers, test:crash.
    exclude: ['test/package/**', 'test/runtimes/**', 'test/providers/**', 'test/crash/**'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    setupFiles: ['test/support/setup.ts'],
  },
});
