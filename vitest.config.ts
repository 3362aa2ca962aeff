import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/postgres/**'], // npm run test:postgres
    maxWorkers: 3, // they mostly wait for processes; Vitest would start one for two processors
    pool: 'forks', // worker threads would share one process, and locks belong to processes
    globalSetup: ['test/support/scratch.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    expect: { poll: { timeout: 10_000 } },
    sequence: { shuffle: true },
  },
});
