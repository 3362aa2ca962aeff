import { mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

// npm run test:postgres: with servers of their own, which take longer to start than most tests to run.
const config = mergeConfig(base, {
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
  },
});
config.test.include = ['test/postgres/**/*.test.ts'];
config.test.exclude = [];

export default config;
