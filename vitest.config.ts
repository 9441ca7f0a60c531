import { defineConfig } from 'vitest/config';

// These need the built package, or heavy programs: npm run test:package, test:runtimes, test:providers, test:crash.
const elsewhere = ['test/package/**', 'test/runtimes/**', 'test/providers/**', 'test/crash/**'];

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 60_000,
    setupFiles: ['test/support/setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'others',
          include: ['test/**/*.test.ts'],
          exclude: [...elsewhere, 'test/stash/**'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        // They wait for the disk and for Python: by two workers they take little more than half the time.
        extends: true,
        test: {
          name: 'stash',
          include: ['test/stash/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
