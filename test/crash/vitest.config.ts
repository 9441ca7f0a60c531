import { defineConfig } from 'vitest/config';

/** Of how many kills; one takes about half a second. */
const kills = Number(process.env['CRASH_KILLS'] ?? 100);

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    testTimeout: 120_000 + kills * 3_000,
    hookTimeout: 60_000,
    // Both files keep the processors busy, and look at the clock.
    fileParallelism: false,
    setupFiles: ['../support/setup.ts'],
  },
});
