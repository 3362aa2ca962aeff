// The conformance cases that go to every platform, on this one: through the built package, from
// outside. `npm run test:platforms` runs them on the others.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { REPOSITORY, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

test('the conformance cases hold here', async () => {
  const suite = join(REPOSITORY, 'test', 'platforms', 'conformance.mjs');
  const { status, stdout } = await run(process.execPath, [suite, REPOSITORY, freshDirectory()]);
  expect(stdout).toMatch(/^\d+ passed, 0 failed, 0 not run$/m);
  expect(status).toBe(0);
});
