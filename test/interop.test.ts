// The interop cases with the partners that every machine of ours has. `npm run test:interop` runs
// them with the others.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requireProgram, requirePython, requireWholeTable } from './support/requires.js';
import { REPOSITORY, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const FOLDER = join(REPOSITORY, 'test', 'interop');

async function cases(partner: string[]): Promise<string> {
  const args = [join(FOLDER, 'cases.mjs'), REPOSITORY, freshDirectory(), JSON.stringify(partner)];
  const { status, stdout } = await run(process.execPath, args);
  expect(stdout).toMatch(/^\d+ passed, 0 failed/m);
  expect(status).toBe(0);
  return stdout;
}

test('flock(1) on a descriptor', async (context) => {
  requireProgram(context, 'flock');
  requireWholeTable(context);
  expect(await cases(['sh', join(FOLDER, 'partner_fd.sh')])).toContain(' 0 not run');
});

test("Python's filelock", async (context) => {
  const python = requirePython(context, 'filelock');
  await cases([python, join(FOLDER, 'partner.py')]);
});
